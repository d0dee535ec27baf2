"""Every lesson, step by step: its texts, claims, figures, and the pages that it opens."""

import ast
import re
from functools import cache
from itertools import permutations
from math import e, log
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

from nmrclassify.evaluation.masks import ideal_ratio_masks
from nmrclassify.lessons import (
    LESSONS,
    dilation,
    double_softmax,
    facts,
    figures,
    ideal_masks,
    least_squares,
    lesson,
    mixture,
    output_order,
)
from nmrclassify.lessons.example_mixture import example_mixture
from nmrclassify.lessons.progress import part_of, report_steps
from nmrclassify.mixtures.dataset import split
from nmrclassify.mixtures.grid import MixtureConfig, generator
from nmrclassify.nmr.library import LibraryConfig, random_library
from nmrclassify.plots.style import Theme
from nmrclassify.training import checkpoints
from nmrclassify.training.trainer import model_for
from nmrclassify.ui import url_parameters
from nmrclassify.ui.places import PAGES

# They stand in links: a name may be added, but none may be changed or removed.
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
ROOT = Path(__file__).parents[2]
STEPS = {
    f"{name}-{i}": step for name, one in LESSONS.items() for i, step in enumerate(one.steps, 1)
}
COMPUTATIONS = {step.facts.compute.__name__: step.facts for step in STEPS.values()}
WITH_FIGURE = [key for key, step in STEPS.items() if step.figure]
FAST = [name for name, computation in COMPUTATIONS.items() if computation.seconds < 3]
NOT_TEXT = re.compile(r"\b(nan|inf|True|False)\b|[{}\n]|np\.|array\(|  ")


@cache
def computed(computation):
    """Return the facts of a computation and all its reports; once, because some train a network."""
    reports = []
    return computation.compute(lambda share, words: reports.append((share, words))), reports


@pytest.fixture(params=STEPS)
def step(request):
    """Each step of each lesson."""
    return STEPS[request.param]


@pytest.fixture
def texts(step):
    """The texts of the step with its facts."""
    return step.filled(computed(step.facts)[0])


def assert_same(one, other):
    """Check that two facts are the same to the last bit."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        one, other = list(one.values()), list(other.values())
    if isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, np.ndarray):
        assert np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    elif hasattr(one, "__dict__"):
        assert_same(vars(one), vars(other))
    else:
        assert one == other


# The form of a lesson


def test_lessons_keep_their_names_and_teaching_order():
    assert list(LESSONS) == NAMES
    assert len({one.title for one in LESSONS.values()}) == len(NAMES)
    assert len(STEPS) == 53


@pytest.mark.parametrize("name", NAMES)
def test_a_lesson_has_three_to_six_steps_with_different_titles(name):
    one = LESSONS[name]
    assert 3 <= len(one.steps) <= 6
    assert len({step.title for step in one.steps}) == len(one.steps)
    assert re.fullmatch(r"You will know [^\n]+\.", one.aim)


def test_names_of_computations_are_unique():
    assert len(COMPUTATIONS) == len({step.facts for step in STEPS.values()}) == 17


def test_a_template_takes_facts_lists_and_lines():
    facts = {"share": 0.256, "names": ["a", "b", "c"], "values": (1.0, 2.0), "inner": {"key": [7]}}
    template = """{share:.0%} of {names};
        {values:.1f} {inner[key][0]}"""
    assert lesson.fill(template, facts) == "26 % of a, b and c; 1.0 and 2.0 7"
    with pytest.raises(KeyError, match="missing"):
        lesson.fill("{missing}", facts)


def test_the_nearest_option():
    assert lesson.nearest((0.1, 0.5, 0.9), 0.6) == 1


# Each step


def test_a_step_opens_a_page_of_the_sidebar_in_a_state_that_a_link_can_carry(step):
    assert step.page in PAGES
    assert not (step.page == "pages/lessons.py" and step.state)
    for key, text in step.state.items():
        url_parameters.PARAMETERS[key].parse(text)


def test_a_step_with_a_figure_of_its_own_is_on_the_page_of_lessons_and_frames_nothing(step):
    assert step.figure is None or step.page == "pages/lessons.py"
    assert not step.target or step.page != "pages/lessons.py"


def test_a_step_has_all_its_texts(step, texts):
    assert 2 <= len(texts.options) == len(set(texts.options))
    assert 0 <= texts.answer < len(texts.options)
    assert texts.question.endswith("?")
    assert texts.claims
    assert not any(fact is None for fact in computed(step.facts)[0].values())
    claims = [claim for claim, _ in texts.claims]
    for text in (step.title, texts.text, texts.question, texts.reveal, *texts.options, *claims):
        assert text.strip()
        assert not NOT_TEXT.search(text), text


def test_every_claim_is_true(step, texts):
    facts, _ = computed(step.facts)
    for name in step.claims:
        assert isinstance(facts[name], bool | np.bool_), name
    assert [claim for claim, holds in texts.claims if not holds] == []


def test_texts_are_short(texts):
    assert len(texts.text.split()) <= 75
    for text in (texts.text, texts.reveal):
        for sentence in re.split(r"[.!?:]\)?\s", text):
            assert len(re.findall(r"[^\W\d]{2,}", sentence)) <= 24, sentence


def strings_of_the_app() -> list[str]:
    """Return all texts in the code of the pages and of what they share."""
    found = []
    for path in (
        ROOT / "app.py",
        *(ROOT / "pages").glob("*.py"),
        *(ROOT / "nmrclassify/ui").glob("*.py"),
    ):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_what_a_text_names_in_italics_exists():
    known = "\n".join([*strings_of_the_app(), *(tab.label for tab in PAGES.values())])
    titles = {one.title for one in LESSONS.values()}
    compounds = set(example_mixture().library.names)
    named = {}
    for key, step in STEPS.items():
        texts = step.filled(computed(step.facts)[0])
        for words in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", f"{texts.text} {texts.reveal}"):
            named[words] = key
    assert len(named) > 10
    emphasis = {"Ideal", "slots", "nothing"}
    missing = {
        words: key
        for words, key in named.items()
        if words not in titles | compounds | emphasis and words not in known
    }
    assert not missing


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("key", WITH_FIGURE)
def test_a_figure_has_axis_titles_and_words(key, dark):
    step = STEPS[key]
    facts, _ = computed(step.facts)
    figure = step.figure(facts, Theme(dark))
    assert isinstance(figure, go.Figure)
    assert figure.data
    alt = step.filled(facts).alt
    assert len(alt) > 10
    assert not NOT_TEXT.search(alt)
    layout = figure.to_dict()["layout"]
    axes = [axis for name, axis in layout.items() if name.startswith(("xaxis", "yaxis"))]
    titles = [axis["title"]["text"] for axis in axes if "title" in axis]
    assert len(titles) >= 2
    assert all(titles)
    assert layout["font"]["color"] == Theme(dark).text


def test_only_figures_have_words():
    assert [key for key, step in STEPS.items() if step.alt] == WITH_FIGURE
    assert len(WITH_FIGURE) == 24


# Computations


@pytest.mark.parametrize("name", COMPUTATIONS)
def test_a_computation_reports_rising_shares_and_can_be_stopped(name):
    _, reports = computed(COMPUTATIONS[name])
    shares = [share for share, _ in reports]
    assert shares[0] == 0
    assert shares[-1] == pytest.approx(1)
    assert np.all(np.diff(shares) >= 0)
    assert all(words for _, words in reports)
    assert 0 < COMPUTATIONS[name].seconds <= 25

    def stop(share, words):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        COMPUTATIONS[name].compute(stop)


def test_a_training_stops_where_it_is():
    shares = []

    def stop(share, words):
        shares.append(share)
        if len(shares) == 5:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        output_order.with_and_without_matching.compute(stop)
    assert len(shares) == 5
    assert shares[-1] < 0.1


@pytest.mark.parametrize("name", FAST)
def test_a_computation_repeats_its_facts(name):
    facts = COMPUTATIONS[name].compute(lambda share, words: None)
    assert_same(computed(COMPUTATIONS[name])[0], facts)


@pytest.mark.parametrize("name", COMPUTATIONS)
def test_the_packaged_facts_are_those_that_the_computation_gives(name):
    found = facts.differences(COMPUTATIONS[name], computed(COMPUTATIONS[name])[0])
    assert not found, "python -m nmrclassify lessons --write makes the file anew"


def test_the_packaged_facts_fill_all_texts_and_figures(step):
    stored = facts.packaged_facts(step.facts)
    assert step.filled(stored) == step.filled(computed(step.facts)[0])
    if step.figure:
        drawn, computed_figure = (
            step.figure(found, Theme()) for found in (stored, computed(step.facts)[0])
        )
        assert drawn.to_json() == computed_figure.to_json()


def test_a_part_of_the_work_reports_its_share_of_the_whole():
    reports = []
    part = part_of(lambda share, words: reports.append((share, words)), 0.5, 0.75)
    report_steps(part, 4, "training")(2)
    assert reports == [(0.625, "training: step 2 of 4")]


# Facts, computed in another way


def test_the_lowest_loss_of_two_softmaxes_by_search():
    facts, _ = computed(double_softmax.losses_and_gradients)
    # Probability of the true class. The others share the rest equally: the best case for the loss.
    p = np.linspace(0, 1, 1001)
    scores = np.concatenate([p[:, None], np.repeat((1 - p[:, None]) / 9, 9, axis=1)], axis=1)
    loss = np.log(np.exp(scores).sum(axis=1)) - scores[:, 0]
    assert facts["floor"] == pytest.approx(loss.min(), abs=1e-5) == pytest.approx(1.46115, abs=1e-4)
    assert facts["formula"] == pytest.approx(np.log(np.e + 9) - 1)
    assert facts["highest_twice"] == pytest.approx(e / (e + 9), abs=1e-6)


def test_equal_probabilities_of_all_orders_are_the_best_prediction():
    facts, _ = computed(output_order.two_lists)
    assert facts["lowest"] == pytest.approx(log(3))
    orders = np.array(list(permutations(range(3))))
    rng = np.random.default_rng(0)
    for _ in range(200):
        probabilities = rng.dirichlet(np.ones(3), size=3)
        assert -np.log(probabilities[np.arange(3), orders]).mean() >= facts["lowest"]


@pytest.mark.parametrize(
    ("name", "ends"), [(dilation.DILATED, [-45, 45]), (dilation.PLAIN, [-12, 12])]
)
def test_the_receptive_field_by_changing_one_position_at_a_time(name, ends):
    library = random_library(LibraryConfig(n_positions=dilation.POSITIONS), generator(7, "library"))
    model = model_for(split(library, MixtureConfig(), 7, None, None), 7)
    separator = model.separator.requires_grad_(False)
    for block in separator.blocks:
        block.dilation = block.dilation if name == dilation.DILATED else 1
        block.first_norm, block.second_norm = torch.nn.Identity(), torch.nn.Identity()
    separator.norm = torch.nn.Identity()
    separator.double()
    draw, middle = torch.Generator().manual_seed(0), dilation.POSITIONS // 2
    encoding = torch.randn(1, dilation.POSITIONS, 64, generator=draw).double()
    before = separator(encoding).trunk[0, middle]
    affects = []
    for position in range(dilation.POSITIONS):
        changed = encoding.clone()
        # So large that the effect is above rounding errors.
        changed[0, position] += 1e3 * torch.randn(64, generator=draw)
        affects.append(not torch.equal(separator(changed).trunk[0, middle], before))
    offsets = np.flatnonzero(affects) - middle
    assert [offsets[0], offsets[-1]] == ends
    facts, _ = computed(dilation.receptive_fields)
    assert facts["measured"][name] == ends[1] - ends[0] + 1


def test_least_squares_is_exact_by_lapack():
    facts, _ = computed(least_squares.least_squares)
    data = checkpoints.shipped().dataset
    mixtures = data.test_mixtures(draws=10)
    atoms = data.library.areas.reshape(len(data.library.names), -1).astype(float)
    amounts = np.linalg.lstsq(atoms.T, mixtures.areas.reshape(len(mixtures), -1).T, rcond=None)[0].T
    true = mixtures.by_compound(mixtures.concentrations)
    assert np.abs(amounts - true).max() < 1e-5
    assert facts["largest_error"] < 1e-5
    example = example_mixture()
    alone = np.linalg.lstsq(atoms.T, example.areas.ravel(), rcond=None)[0]
    assert facts["solved"] == pytest.approx(alone[example.labels].tolist(), abs=1e-5)
    assert facts["rank"] == np.linalg.matrix_rank(atoms)


def test_a_network_separates_with_the_masks_that_it_gets():
    example = example_mixture()
    model, areas = example.checkpoint.model, example.areas
    with torch.no_grad():
        record = model(torch.from_numpy(areas)[None])[1]
    masks = record.masks[0].numpy()
    same = ideal_masks.separated_with(model, areas, masks)
    assert np.allclose(same, record.multiplets[0].numpy(), atol=1e-5)
    open_masks = ideal_masks.separated_with(model, areas, np.ones_like(masks))
    assert np.allclose(open_masks, open_masks[:1], atol=1e-6)
    assert not ideal_masks.separated_with(model, areas, np.zeros_like(masks)).any()
    with torch.no_grad():
        again = model(torch.from_numpy(areas)[None])[1]
    assert torch.equal(again.masks, record.masks)  # the model itself has not changed


def test_the_overlap_of_the_example_mixture_by_counting():
    facts, _ = computed(mixture.sums_and_edits)
    example = example_mixture()
    shared = [p for p in range(21) if (example.sources[:, :, p].sum(axis=1) > 0).sum() > 1]
    assert facts["n_shared"] == len(shared) == 2
    assert example.shared == shared
    facts, _ = computed(ideal_masks.ideal_masks)
    ideal = ideal_ratio_masks(example.checkpoint.model, example.truth.sources)
    assert facts["ideal"] == pytest.approx(ideal[example.output("glycine"), facts["filter"], 7])


# The figures of lessons


def test_curves_hold_their_values():
    x = np.arange(5.0)
    curves = {"a": (x, x / 10), "b": (x, x / 5)}
    figure = figures.lines(curves, "steps", "share", Theme(), {"limit": 0.3}, per_cent=True)
    assert [trace.name for trace in figure.data] == ["a", "b", "limit"]
    assert list(figure.data[1].y) == list(x / 5)
    assert list(figure.data[2].y) == [0.3, 0.3]
    assert len({trace.line.dash for trace in figure.data[:2]}) == 2
    assert figure.layout.showlegend


def test_bars_hold_their_values():
    heights, errors = {"one": np.array([0.0, 1.0])}, {"one": np.ones((2, 2))}
    figure = figures.bars(["p", "q"], heights, "group", "height", Theme(), errors)
    assert list(figure.data[0].y) == [0, 1]
    assert list(figure.data[0].error_y.array) == [1, 1]
    assert not figure.layout.showlegend
