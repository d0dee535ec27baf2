import re
from functools import cache
from itertools import permutations
from math import e, log

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

from nmrclassify import lessons
from nmrclassify.evaluation.masks import ideal_ratio_masks
from nmrclassify.lessons import dilation, figures, overlap
from nmrclassify.lessons.lesson import nothing
from nmrclassify.lessons.progress import part
from nmrclassify.lessons.shown import shown
from nmrclassify.mixtures.dataset import split
from nmrclassify.mixtures.grid import MixtureConfig, generator
from nmrclassify.nmr.library import LibraryConfig, random_library
from nmrclassify.plots.style import Theme
from nmrclassify.training import checkpoints
from nmrclassify.training.trainer import model_for
from nmrclassify.ui import url_parameters
from nmrclassify.ui.page import PAGES

NAMES = [
    "mixture",
    "mask",
    "order",
    "softmax",
    "reshape",
    "memory",
    "dilation",
    "overlap",
    "number",
    "shifts",
    "classical",
    "accuracy",
]
NEW_PAGES = {
    "pages/lessons.py",
    "pages/travel.py",
    "pages/whatif.py",
    "pages/inside.py",
    "pages/compare.py",
}
STEPS = [(lesson.name, i) for lesson in lessons.LESSONS.values() for i in range(len(lesson.steps))]
FACTS = {
    step.facts.__name__: step.facts for lesson in lessons.LESSONS.values() for step in lesson.steps
}
CHEAP = 3.0  # seconds


@cache
def computed(facts):
    """Return what a facts function computes, and all that it reported; once, since some train a network."""
    told = []
    return facts(lambda share, words: told.append((share, words))), told


@pytest.fixture(params=STEPS, ids=lambda at: f"{at[0]}-{at[1] + 1}")
def step(request) -> lessons.Step:
    """Each step of each lesson."""
    name, i = request.param
    return lessons.LESSONS[name].steps[i]


def same(one, other) -> bool:
    """Whether two facts are the same to the last bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other, equal_nan=True)
    return one == other if not hasattr(one, "__dict__") else same(vars(one), vars(other))


def test_the_lessons_stand_in_teaching_order():
    assert list(lessons.LESSONS) == NAMES
    for name, lesson in lessons.LESSONS.items():
        assert lessons.lesson(name) is lesson
        assert 3 <= len(lesson.steps) <= 6
        assert lesson.title
        assert lesson.aim
        assert len({step.title for step in lesson.steps}) == len(lesson.steps)
    assert len({lesson.title for lesson in lessons.LESSONS.values()}) == len(NAMES)
    assert len(FACTS) == len(
        {step.facts for lesson in lessons.LESSONS.values() for step in lesson.steps}
    )


def test_an_unknown_lesson_is_refused_with_the_names():
    with pytest.raises(
        ValueError, match="lesson is 'cooking'; expected one of mixture, mask, .*accuracy"
    ):
        lessons.lesson("cooking")


def test_a_step_opens_a_page_in_a_state_that_a_link_can_carry(step):
    assert step.page in set(PAGES) | NEW_PAGES
    for key, text in step.state.items():
        url_parameters.PARAMETERS[url_parameters.OLD_NAMES.get(key, key)].parse(text)
    assert (step.page == "pages/lessons.py") <= (not step.state)


def test_a_step_says_what_it_means(step):
    facts, _ = computed(step.facts)
    options = step.options(facts)
    assert 2 <= len(options) == len(set(options))
    assert 0 <= step.right(facts) < len(options)
    look, reveal = step.look(facts), step.reveal(facts)
    claims = [claim.text(facts) for claim in step.claims]
    assert claims
    assert step.question.endswith("?")
    for text in (step.title, step.question, look, reveal, *options, *claims):
        assert text.strip() and not re.search(
            r"\b(nan|inf|None|True|False)\b|[{}]|np\.|array\(|  ", text
        ), text
    assert len(re.findall(r"[.!?]\W*(?:\s|$)", look)) <= 5
    assert len(look.split()) <= 70
    assert (step.figure is None) == (step.alt is None)


def test_every_claim_holds(step):
    facts, _ = computed(step.facts)
    for claim in step.claims:
        assert claim.holds(facts) is True or claim.holds(facts) is np.True_, claim.text(facts)


@pytest.mark.parametrize("dark", [False, True])
def test_a_steps_own_figure_is_drawn_with_axis_titles(step, dark):
    if step.figure is None:
        return
    facts, _ = computed(step.facts)
    figure = step.figure(facts, Theme(dark))
    assert isinstance(figure, go.Figure)
    assert figure.data
    assert len(step.alt(facts)) > 10
    layout = figure.to_dict()["layout"]
    axes = [axis for name, axis in layout.items() if name.startswith(("xaxis", "yaxis"))]
    titles = [axis["title"]["text"] for axis in axes if "title" in axis]
    assert len(titles) >= 2
    assert all(titles)
    assert layout["font"]["color"] == Theme(dark).text


@pytest.mark.parametrize("name", FACTS)
def test_facts_report_rising_shares_and_can_be_stopped(name):
    facts = FACTS[name]
    _, told = computed(facts)
    shares = [share for share, _ in told]
    assert shares[0] == 0
    assert shares[-1] == pytest.approx(1)
    assert np.all(np.diff(shares) >= 0)
    assert all(words for _, words in told)

    def stop(share, words):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        facts(stop)


def test_a_training_stops_where_it_is():
    told = []

    def stop(share, words):
        told.append(share)
        if len(told) == 5:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        FACTS["with_and_without_matching"](stop)
    assert len(told) == 5
    assert told[-1] < 0.1


def test_the_same_facts_come_out_again():
    seconds = {
        step.facts: step.seconds for lesson in lessons.LESSONS.values() for step in lesson.steps
    }
    cheap = [facts for facts, taken in seconds.items() if taken < CHEAP]
    assert len(cheap) >= 8
    for facts in cheap:
        assert same(computed(facts)[0], facts(lambda share, words: None)), facts.__name__


def test_the_stated_seconds_are_of_the_right_size_and_agree_between_steps():
    stated = {}
    for lesson in lessons.LESSONS.values():
        for step in lesson.steps:
            assert stated.setdefault(step.facts, step.seconds) == step.seconds
            assert 0 < step.seconds <= 25
    assert nothing(lambda share, words: None) == {}


def test_a_part_of_the_work_reports_its_share_of_the_whole():
    told = []
    part(lambda share, words: told.append((share, words)), 0.5, 0.75)(0.5, "half")
    assert told == [(0.625, "half")]


# The claims, by other means.


def test_the_floor_of_two_softmaxes_by_minimising():
    facts, _ = computed(FACTS["certain"])
    p = np.linspace(
        0, 1, 1001
    )  # chance of the true class; what is left is shared out, which is the best for the loss
    scores = np.concatenate([p[:, None], np.repeat((1 - p[:, None]) / 9, 9, axis=1)], axis=1)
    loss = np.log(np.exp(scores).sum(axis=1)) - scores[:, 0]
    assert facts["floor"] == pytest.approx(loss.min(), abs=1e-5) == pytest.approx(1.46115, abs=1e-4)
    assert facts["formula"] == pytest.approx(np.log(np.e + 9) - 1)
    assert facts["twice"][0] == pytest.approx(e / (e + 9), abs=1e-6)


def test_equal_chances_of_all_orders_are_the_best_guess():
    facts, _ = computed(FACTS["two_lists"])
    orders = np.array(list(permutations(range(3))))
    rng = np.random.default_rng(0)
    for _ in range(
        200
    ):  # any other chances that three outputs could give to three compounds cost more
        probabilities = rng.dirichlet(np.ones(3), size=3)
        cost = -np.log(probabilities[np.arange(3), orders]).mean()
        assert cost >= facts["least"] == pytest.approx(log(3))


@pytest.mark.parametrize("dilated", [True, False])
def test_the_receptive_field_by_changing_one_position_after_the_other(dilated):
    library = random_library(LibraryConfig(n_positions=dilation.POSITIONS), generator(7, "library"))
    model = model_for(split(library, MixtureConfig(), 7, None, None), 7)
    separator = model.separator.requires_grad_(False)
    for block in separator.blocks:
        block.dilation = block.dilation if dilated else 1
        block.first_norm, block.second_norm = torch.nn.Identity(), torch.nn.Identity()
    separator.norm = torch.nn.Identity()
    separator.double()
    draw, middle = torch.Generator().manual_seed(0), dilation.POSITIONS // 2
    encoding = torch.randn(1, dilation.POSITIONS, 64, generator=draw).double()
    before = separator(encoding)[1][0, middle]
    felt = []
    for position in range(dilation.POSITIONS):
        changed = encoding.clone()
        changed[0, position] += 1e3 * torch.randn(
            64, generator=draw
        )  # so large that what arrives is above rounding
        felt.append(not torch.equal(separator(changed)[1][0, middle], before))
    name = dilation.DILATED if dilated else dilation.PLAIN
    facts, _ = computed(FACTS["seen_positions"])
    where = np.flatnonzero(felt) - middle
    assert [where[0], where[-1]] == ([-45, 45] if dilated else [-12, 12])
    assert facts["measured"][name] == where[-1] - where[0] + 1 == facts["nominal"][name]


def test_least_squares_is_exact_by_lapack():
    facts, _ = computed(FACTS["exactly"])
    data = checkpoints.shipped().dataset
    mixtures = data.test_mixtures(draws=10)
    atoms = data.library.areas.reshape(len(data.library.names), -1).astype(float)
    amounts = np.linalg.lstsq(atoms.T, mixtures.areas.reshape(len(mixtures), -1).T, rcond=None)[0].T
    true = mixtures.by_compound(mixtures.concentrations)
    assert np.abs(amounts - true).max() < 1e-5
    assert facts["worst"] < 1e-5
    seen = shown()
    alone = np.linalg.lstsq(atoms.T, seen.areas.ravel(), rcond=None)[0]
    assert facts["solved"] == pytest.approx(alone[seen.labels].tolist(), abs=1e-5)
    assert facts["rank"] == np.linalg.matrix_rank(atoms)


def test_told_masks_are_what_the_network_uses():
    seen = shown()
    model = seen.checkpoint.model
    with torch.no_grad():
        record = model(torch.from_numpy(seen.areas)[None])[1]
    own = overlap.separated_with(model, seen.areas, record.masks[0].numpy())
    assert np.allclose(own, record.multiplets[0].numpy(), atol=1e-5)
    whole = overlap.separated_with(model, seen.areas, np.ones_like(record.masks[0].numpy()))
    assert np.allclose(whole, whole[:1], atol=1e-6)
    assert not overlap.separated_with(
        model, seen.areas, np.zeros_like(record.masks[0].numpy())
    ).any()
    # What was lent to the copy is still the model's own.
    with torch.no_grad():
        again = model(torch.from_numpy(seen.areas)[None])[1]
    assert torch.equal(again.masks, record.masks)


def test_the_overlap_of_the_mixture_shown_by_counting():
    facts, _ = computed(FACTS["compounds_and_sums"])
    seen = shown()
    owners = [
        [
            name
            for name, source in zip(seen.names, seen.sources, strict=False)
            if source[:, p].sum() > 0
        ]
        for p in range(21)
    ]
    assert facts["shared"] == [p for p, names in enumerate(owners) if len(names) > 1]
    ideal = ideal_ratio_masks(seen.checkpoint.model, seen.truth.sources)
    assert computed(FACTS["ideal_masks"])[0]["ideal"] == pytest.approx(
        ideal[seen.output("glycine"), computed(FACTS["ideal_masks"])[0]["filter"], 7]
    )


def test_figures_hold_what_was_given():
    x = np.arange(5.0)
    drawn = figures.lines(
        {"a": (x, x / 10), "b": (x, x / 5)},
        "steps",
        "share",
        Theme(),
        {"limit": 0.3},
        per_cent=True,
    )
    assert [trace.name for trace in drawn.data] == ["a", "b", "limit"]
    assert list(drawn.data[2].y) == [0.3, 0.3]
    assert len({trace.line.dash for trace in drawn.data[:2]}) == 2
    assert drawn.layout.showlegend
    held = figures.bars(
        ["p", "q"], {"one": x[:2]}, "group", "height", Theme(), {"one": np.ones((2, 2))}
    )
    assert list(held.data[0].y) == [0, 1]
    assert list(held.data[0].error_y.array) == [1, 1]
    assert not held.layout.showlegend
