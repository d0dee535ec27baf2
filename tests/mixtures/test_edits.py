"""An edited mixture is the sum of its sources; the text in a link gives the same edits again."""

import re
from dataclasses import fields, replace

import numpy as np
import pytest

from nmrclassify.mixtures import edits
from nmrclassify.mixtures.edits import (
    Add,
    Amount,
    Cut,
    EditError,
    Mixture,
    Move,
    Noise,
    Scale,
    apply,
    from_text,
    to_text,
)
from nmrclassify.mixtures.grid import MixtureConfig, mix_at, unknown_compounds, with_unknown
from nmrclassify.mixtures.presets import build
from nmrclassify.nmr.library import metabolite_library
from nmrclassify.nmr.multiplets import SYMBOLS, pattern

NOTHING = 10
EXAMPLES = [
    (),
    (Cut(0),),
    (Cut(20), Cut(3)),
    (Add(5, "d", 2.0),),
    (Move(3, -0.5),),
    (Scale(7, 1.25),),
    (Amount(10, 0.0),),
    (Noise(0.1, 7),),
    (
        Add(0, "sext", 0.5),
        Cut(5),
        Move(20, 2.25),
        Scale(4, 100.0),
        Amount(1, 2.5),
        Noise(1.0, 2**31 - 1),
    ),
]


PLAIN = MixtureConfig()


def library_and_mixture(
    config=PLAIN, labels=(2, 5, 7), amounts=(0.5, 1.0, 2.0), seed=4, unknown=False
):
    """Return data, and one mixture of chosen compounds as a sample."""
    data = build("quick", 3, config)
    mixtures = mix_at(
        data.library,
        np.array([labels]),
        np.array([amounts], np.float32),
        config,
        np.random.default_rng(seed),
    )
    if unknown:
        mixtures = with_unknown(
            mixtures, unknown_compounds(data.library, 1, np.random.default_rng(seed)), np.ones(1)
        )
    return data.library, Mixture.of(mixtures, 0)


def parts(sample):
    """Return the sum of everything that a mixture consists of."""
    return sample.sources.sum(axis=0) + (0 if sample.unknown is None else sample.unknown)


def drawn(rng, library, noise=True):
    """Return a random edit that is possible."""
    position = int(rng.integers(library.axis.n_positions))
    kinds = [
        lambda: Add(position, str(rng.choice(SYMBOLS)), float(rng.uniform(0.1, 5))),
        lambda: Cut(position),
        lambda: Move(position, float(rng.normal(0, 4))),
        lambda: Scale(position, float(rng.uniform(0.1, 4))),
        lambda: Amount(
            int(rng.integers(1, library.n_compounds + 1)), float(rng.choice([0.0, 0.3, 2.0]))
        ),
        lambda: Noise(float(rng.uniform(0.01, 0.5)), int(rng.integers(100))),
    ]
    return kinds[rng.integers(len(kinds) - (not noise))]()


@pytest.mark.parametrize("edits", EXAMPLES)
def test_a_text_gives_the_same_edits_again(edits):
    text = to_text(edits)
    assert from_text(text) == edits
    assert re.fullmatch(r"[a-z0-9_.~-]*", text), f"{text!r} would have to be quoted in a link"


def test_any_edit_that_can_be_made_survives_its_text():
    rng, library = np.random.default_rng(0), build("quick", 3).library
    for _ in range(300):
        edit = drawn(rng, library)
        (again,) = from_text(to_text((edit,)))
        for item in fields(edit):
            was, now = getattr(edit, item.name), getattr(again, item.name)
            assert now == pytest.approx(was, rel=1e-5) if item.type is float else now == was, (
                f"{edit} became {again}"
            )


@pytest.mark.parametrize("by", [1 / 30, 0.0123457, 0.00098765, 1e-5, 1.23456e-5, 999.999, 1000.0])
def test_small_and_large_factors_survive_their_text(by):
    # As the table of multiplets makes them: a new area divided by the old one.
    (again,) = from_text(to_text((Scale(3, by),)))
    assert again.by == pytest.approx(by, rel=1e-5)


@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.parametrize("jitter", [0.0, 0.4])
def test_a_mixture_stays_the_sum_of_its_parts(unknown, jitter):
    library, plain = library_and_mixture(MixtureConfig(shift_jitter=jitter), unknown=unknown)
    rng = np.random.default_rng(1)
    for _ in range(40):
        sample = plain
        for _ in range(6):
            sample = apply(sample, (drawn(rng, library, noise=False),), library)
            assert sample.areas == pytest.approx(parts(sample), abs=1e-4)
            assert sample.areas.dtype == sample.sources.dtype == np.float32
            assert len(sample.sources) == len(sample.labels) == len(sample.concentrations)
            empty = ~sample.sources.any((1, 2))
            assert (sample.labels[empty] == NOTHING).all()
            assert (sample.concentrations[empty] == 0).all()
            assert (sample.labels[~empty] < NOTHING).all()


def test_noise_is_edited_along_and_belongs_to_nobody():
    library, plain = library_and_mixture(MixtureConfig(noise=0.2, shift_jitter=0.3), unknown=True)
    noise = Mixture(plain.areas - parts(plain))
    rng = np.random.default_rng(2)
    for _ in range(40):
        chosen = tuple(drawn(rng, library) for _ in range(5))
        # What belongs to compounds or to the unknown leaves the noise alone; all else happens to it
        # as to any mixture.
        linear = tuple(edit for edit in chosen if not isinstance(edit, (Add, Amount)))
        after = apply(plain, chosen, library)
        assert after.areas - parts(after) == pytest.approx(
            apply(noise, linear, library).areas, abs=1e-4
        ), chosen


def test_a_move_shares_the_area_between_two_places():
    library, plain = library_and_mixture(MixtureConfig(noise=0.05), unknown=True)
    last = library.axis.n_positions - 1
    for position in (0, 6, last):
        for by in (0.0, 0.25, -0.75, 1.0, -3.0, 2.5, 30.0, -30.0, 512.0):
            moved = apply(plain, (Move(position, by),), library)
            expected = plain.areas.astype(float).copy()
            expected[:, position] = 0
            to = min(max(position + by, 0), last)
            for place in {int(np.floor(to)), int(np.ceil(to))}:
                expected[:, place] += plain.areas[:, position] * (1 - abs(to - place))
            assert moved.areas == pytest.approx(expected, abs=1e-5), f"{position} by {by}"
            assert moved.areas.sum() == pytest.approx(plain.areas.sum(), rel=1e-5)
            assert moved.labels.tolist() == plain.labels.tolist()


def test_after_a_cut_nothing_is_left_there_and_all_else_is_as_it_was():
    library, plain = library_and_mixture(MixtureConfig(noise=0.1, shift_jitter=0.5), unknown=True)
    for position in range(21):
        cut = apply(plain, (Cut(position),), library)
        elsewhere = np.arange(21) != position
        for name in ("areas", "sources", "unknown"):
            assert not getattr(cut, name)[..., position].any()
            assert np.array_equal(
                getattr(cut, name)[..., elsewhere], getattr(plain, name)[..., elsewhere]
            )
        assert apply(cut, (Cut(position),), library).areas.tolist() == cut.areas.tolist()


def test_a_source_that_is_cut_away_is_no_compound_any_more():
    library, plain = library_and_mixture()
    filled = np.flatnonzero(plain.sources[1].any(axis=0))
    some = apply(plain, tuple(Cut(int(p)) for p in filled[:-1]), library)
    assert some.labels.tolist() == plain.labels.tolist()
    emptied = apply(plain, tuple(Cut(int(p)) for p in filled), library)
    assert emptied.labels[1] == NOTHING
    assert emptied.concentrations[1] == 0
    assert not emptied.sources[1].any()


def test_scaling_multiplies_one_position():
    library, plain = library_and_mixture(unknown=True)
    for by in (0.25, 1.0, 8.0):
        scaled = apply(plain, (Scale(6, by),), library)
        factor = np.where(np.arange(21) == 6, by, 1.0)
        for name in ("areas", "sources", "unknown"):
            assert getattr(scaled, name) == pytest.approx(getattr(plain, name) * factor)
        assert apply(scaled, (Scale(6, 1 / by),), library).areas == pytest.approx(
            plain.areas, rel=1e-6
        )


@pytest.mark.parametrize("kind", SYMBOLS)
def test_an_added_multiplet_belongs_to_the_unknown(kind):
    for unknown in (False, True):
        library, plain = library_and_mixture(unknown=unknown)
        added = apply(plain, (Add(5, kind, 2.5),), library)
        extra = np.zeros((6, 21))
        extra[:, 5] = 2.5 * pattern(kind)
        assert added.areas == pytest.approx(plain.areas + extra, abs=1e-6)
        assert added.unknown == pytest.approx(extra + (plain.unknown if unknown else 0), abs=1e-6)
        assert np.array_equal(added.sources, plain.sources)
        assert np.array_equal(added.labels, plain.labels)
    assert plain.unknown is not added.unknown


def test_an_amount_keeps_jittered_multiplets_where_they_are():
    library, plain = library_and_mixture(MixtureConfig(shift_jitter=0.6, noise=0.05))
    noise = plain.areas - parts(plain)
    changed = apply(plain, (Amount(6, 3.0),), library)
    assert changed.sources[1] == pytest.approx(3.0 * plain.sources[1], rel=1e-5)
    assert changed.concentrations == pytest.approx([0.5, 3.0, 2.0])
    assert np.array_equal(changed.sources[[0, 2]], plain.sources[[0, 2]])
    assert changed.areas - parts(changed) == pytest.approx(noise, abs=1e-5)
    assert apply(changed, (Amount(6, 1.0),), library).areas == pytest.approx(plain.areas, abs=1e-5)


def test_amount_0_takes_a_compound_out():
    library, plain = library_and_mixture()
    without = apply(plain, (Amount(6, 0.0),), library)
    assert without.labels.tolist() == [2, NOTHING, 7]
    assert without.concentrations.tolist() == [0.5, 0, 2.0]
    assert without.areas == pytest.approx(plain.sources[[0, 2]].sum(axis=0), abs=1e-6)
    absent = apply(plain, (Amount(1, 0.0),), library)
    assert np.array_equal(absent.areas, plain.areas)
    assert np.array_equal(absent.labels, plain.labels)


def test_a_new_compound_takes_a_free_place_or_makes_one():
    library, plain = library_and_mixture()
    grown = apply(plain, (Amount(1, 1.5),), library)
    assert grown.labels.tolist() == [2, 5, 7, 0]
    assert grown.concentrations.tolist() == [0.5, 1.0, 2.0, 1.5]
    assert grown.sources[3] == pytest.approx(1.5 * library.areas[0])
    swapped = apply(plain, (Amount(6, 0.0), Amount(1, 1.5)), library)
    assert swapped.labels.tolist() == [2, 0, 7]
    assert swapped.sources[1] == pytest.approx(1.5 * library.areas[0])
    assert plain.labels.tolist() == [2, 5, 7]
    assert len(plain.sources) == 3


def test_portions_of_one_compound_share_an_amount():
    library, plain = library_and_mixture(
        MixtureConfig(repetition=True, shift_jitter=0.4), labels=(4, 4, 7), amounts=(0.5, 1.5, 1.0)
    )
    changed = apply(plain, (Amount(5, 4.0),), library)
    assert changed.concentrations == pytest.approx([1.0, 3.0, 1.0])
    assert changed.sources[:2] == pytest.approx(2 * plain.sources[:2], rel=1e-5)
    assert apply(plain, (Amount(5, 0.0),), library).labels.tolist() == [NOTHING, NOTHING, 7]


def test_without_the_truth_an_amount_is_added():
    library, plain = library_and_mixture()
    file = Mixture(plain.areas)
    assert apply(file, (Amount(1, 2.0),), library).areas == pytest.approx(
        plain.areas + 2 * library.areas[0]
    )
    rng = np.random.default_rng(3)
    for _ in range(30):
        chosen = tuple(drawn(rng, library) for _ in range(4))
        if any(isinstance(edit, Amount) for edit in chosen):
            continue
        after = apply(file, chosen, library)
        assert after.areas == pytest.approx(apply(plain, chosen, library).areas, abs=1e-4)
        assert after.sources is after.labels is after.concentrations is None


def test_noise_has_its_level_and_its_seed():
    library, plain = library_and_mixture()
    noisy = [apply(plain, (Noise(0.3, seed),), library).areas - plain.areas for seed in (0, 0, 1)]
    assert np.array_equal(noisy[0], noisy[1])
    assert not np.array_equal(noisy[0], noisy[2])
    many = np.stack(
        [apply(plain, (Noise(0.3, seed),), library).areas - plain.areas for seed in range(60)]
    )
    assert many.std() == pytest.approx(0.3, rel=0.05)
    assert abs(many.mean()) < 0.02


def test_edits_are_made_in_their_order():
    library, plain = library_and_mixture()
    there = int(np.flatnonzero(plain.areas.any(axis=0))[0])
    first, second = (
        apply(plain, pair, library).areas
        for pair in ((Cut(there), Add(there, "s", 1)), (Add(there, "s", 1), Cut(there)))
    )
    assert first[0, there] == 1
    assert not second[:, there].any()
    whole = apply(plain, EXAMPLES[-1], library)
    step = plain
    for edit in EXAMPLES[-1]:
        step = apply(step, (edit,), library)
    assert np.array_equal(whole.areas, step.areas)
    assert apply(plain, (), library) is plain


def test_nothing_given_is_changed():
    library, plain = library_and_mixture(MixtureConfig(shift_jitter=0.3), unknown=True)
    names = ("areas", "sources", "labels", "concentrations", "unknown")
    before = {name: getattr(plain, name).copy() for name in names}
    rng, pure = np.random.default_rng(5), library.areas.copy()
    for _ in range(60):
        apply(plain, tuple(drawn(rng, library) for _ in range(3)), library)
    assert all(np.array_equal(getattr(plain, name), before[name]) for name in names)
    assert np.array_equal(library.areas, pure)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (Cut(21), "position is 21; expected 0 to 20"),
        (Cut(-1), "position is -1"),
        (Move(21, 1.0), "position is 21"),
        (Scale(99, 2.0), "position is 99"),
        (Add(21, "s", 1.0), "position is 21"),
        (Add(3, "s", 0.0), "multiplet is 0 x 's'"),
        (Add(3, "s", 1001.0), "up to 1000"),
        (Add(3, "oct", 1.0), "'oct'"),
        (Move(3, 513.0), "moved by 513"),
        (Move(3, float("nan")), "moved by nan"),
        (Scale(3, 0.0), "scaled by 0"),
        (Scale(3, -1.0), "scaled by -1"),
        (Scale(3, float("inf")), "scaled by inf"),
        (Amount(0, 1.0), "compound 0"),
        (Amount(11, 1.0), "from 1 to 10"),
        (Amount(1, -1.0), "is -1; expected 0, or 0.0001 to 100"),
        (Amount(1, 100.5), "is 100.5"),
        (Noise(0.0, 1), "noise is 0"),
        (Noise(1.5, 1), "noise is 1.5"),
        (Noise(0.5, 2**31), "2147483648"),
        (Noise(0.5, -1), "seed -1"),
    ],
)
def test_limits_name_the_value_and_what_was_expected(edit, message):
    library, plain = library_and_mixture()
    with pytest.raises(EditError, match=re.escape(message)) as caught:
        apply(plain, (edit,), library)
    assert "expected" in str(caught.value)
    assert edit.words(library)  # the list of edits names also those that are not possible here


def test_limits_themselves_are_allowed():
    library, plain = library_and_mixture()
    for edit in (
        Add(20, "sext", edits.MAX_AREA),
        Move(0, -edits.MAX_MOVE),
        Scale(20, edits.MAX_AREA),
        Amount(10, edits.MAX_AMOUNT),
        Noise(edits.MAX_NOISE, 0),
    ):
        assert np.isfinite(apply(plain, (edit,), library).areas).all()


def test_a_kind_with_too_many_peaks_for_the_library_is_refused():
    library, plain = library_and_mixture()
    few = replace(library, areas=library.areas[:, :3] + 1e-3)
    with pytest.raises(EditError, match="quartet has 4 peaks"):
        Add(3, "q", 1.0).apply(Mixture(plain.areas[:3]), few)


@pytest.mark.parametrize(
    "text",
    [
        "cut",
        "cut_",
        "cut_x",
        "cut_-1",
        "cut_1.5",
        "cut_1_2",
        "add_1_d",
        "add_1_2_3",
        "add_1_D_1",
        "scale_1_nan",
        "scale_1_inf",
        "move_1_1e999",
        "noise_0.1_-1",
        "~",
        "cut_1~",
        "~cut_1",
        "Cut_1",
        "cut_1 ",
        " cut_1",
        "cut_1\n",
        "cut_²",
        "eval_1",
        "amount_1_1__",
        "move_1_+1",
        "move_1_.5",
        "cut_99999999999",
    ],
)
def test_texts_that_are_no_edits_are_refused(text):
    with pytest.raises(EditError, match="expected"):
        from_text(text)


def test_too_many_edits_are_refused():
    assert len(from_text("~".join(["cut_1"] * edits.MAX_EDITS))) == edits.MAX_EDITS
    with pytest.raises(
        EditError, match=f"{edits.MAX_EDITS + 1} edits; expected at most {edits.MAX_EDITS}"
    ):
        from_text("~".join(["cut_1"] * (edits.MAX_EDITS + 1)))


def test_whatever_comes_with_a_link_gives_an_edit_error_or_a_mixture():
    rng, (library, plain) = np.random.default_rng(6), library_and_mixture(unknown=True)
    letters = [
        *"addcutmovescaleamountnoise",
        *"__~~0123456789.-e+ ²٣\n%",
        "add_",
        "cut_",
        "move_",
        "scale_",
        "amount_",
        "noise_",
        "_s_",
        "_0",
        "1e",
        "99",
    ]
    for i in range(600):
        if i % 2:
            text = "".join(rng.choice(letters, size=rng.integers(0, 25)))
        else:  # a good text with one character of it replaced
            text = list(to_text(tuple(drawn(rng, library) for _ in range(rng.integers(1, 4)))))
            text[rng.integers(len(text))] = str(rng.choice(letters))
            text = "".join(text)
        try:
            edits = from_text(text)
            words = [edit.words(library) for edit in edits]
            after = apply(plain, edits, library)
        except EditError:
            continue
        assert all(words) and np.isfinite(after.areas).all(), text
        assert len(from_text(to_text(edits))) == len(edits)


@pytest.mark.parametrize(
    "text",
    [
        "~".join(["scale_5_1000"] * 20),
        "amount_1_1e-44~amount_1_100",
        "~".join(["add_5_s_1"] + ["scale_5_1000"] * 39),
    ],
)
def test_no_list_of_edits_makes_an_undefined_number(text):
    library, plain = library_and_mixture()
    try:
        after = apply(plain, from_text(text), library)
    except EditError:
        return
    assert all(
        np.isfinite(part).all() for part in (after.areas, after.sources, after.concentrations)
    ), f"{text[:40]!r} gives areas up to {np.abs(after.areas).max()}"


def test_words_say_where_and_what_in_the_unit_of_the_axis():
    toy, metabolites = build("quick", 3).library, metabolite_library()
    assert Move(3, 0.5).words(toy) == "move the multiplet at position 3 by +0.5 positions"
    assert Move(3, 0.5).words(metabolites) == "move the multiplet at 1.75 ppm by +0.25 ppm"
    assert Cut(3).words(metabolites) == "remove the multiplet at 1.75 ppm"
    assert Amount(1, 2.0).words(metabolites) == f"2 x {metabolites.names[0]}"
    assert Amount(1, 0.0).words(toy) == "no compound 0"
    assert Amount(99, 1.0).words(toy) == "1 x compound number 99"
    assert Add(4, "d", 2.0).words(toy) == "add d of area 2 at position 4"
    assert "seed 7" in Noise(0.1, 7).words(toy)
    assert Scale(4, 0.5).words(toy) == "0.5 times the multiplet at position 4"


def test_a_sample_is_one_row_of_a_batch():
    data = build("quick", 3, MixtureConfig(noise=0.1))
    batch = data.test_mixtures()
    sample = Mixture.of(batch, 4)
    assert np.array_equal(sample.areas, batch.areas[4])
    assert sample.labels.tolist() == batch.labels[4].tolist()
    assert sample.unknown is None
    mixtures = with_unknown(
        batch,
        unknown_compounds(data.library, len(batch), np.random.default_rng(0)),
        np.ones(len(batch)),
    )
    assert np.array_equal(Mixture.of(mixtures, 4).unknown, mixtures.unknown[4])
