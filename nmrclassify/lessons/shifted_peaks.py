"""Lesson: shifted peaks, where least squares fails first."""

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go

from nmrclassify.baselines.comparison import network_counts
from nmrclassify.baselines.grid import counts_from_amounts, nnls
from nmrclassify.evaluation.metrics import shares_right, wilson
from nmrclassify.lessons.example_mixture import STATE
from nmrclassify.lessons.figures import bars, lines
from nmrclassify.lessons.lesson import Facts, Lesson, Report, Step, computation, nearest
from nmrclassify.lessons.short_training import SEED
from nmrclassify.mixtures.grid import generator, mix, shift_multiplets
from nmrclassify.plots.style import Theme
from nmrclassify.training.checkpoints import shipped

JITTERS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
DRAWS = 10  # mixtures of each composition
SHIFT = 0.4  # positions
AT_SHIFT = JITTERS.index(SHIFT)
NETWORK, SQUARES = "network", "least squares"
ENOUGH = 0.1  # an amount above this counts as named; the lowest amount in a mixture is 0.5


@computation(seconds=1.0)
def growing_shifts(report: Report, seed: int = SEED) -> Facts:
    """Compare the shipped network with least squares as shifts grow."""
    report(0.0, "opening the model")
    checkpoint = shipped("queries")
    data, n = checkpoint.dataset, checkpoint.dataset.config.n_sources
    right: dict[str, list[float]] = {NETWORK: [], SQUARES: []}
    n_named, unexplained = [], []
    for i, jitter in enumerate(JITTERS):
        report(0.1 + 0.85 * i / len(JITTERS), f"shift jitter {jitter:g}")
        rng = generator(seed, "test", int(1000 * jitter))
        config = replace(data.config, shift_jitter=jitter)
        mixtures = mix(data.library, np.repeat(data.test, DRAWS, axis=0), config, rng)
        counts = network_counts(checkpoint.model, mixtures, n)
        right[NETWORK].append(shares_right(counts, mixtures.counts)[0])
        amounts = nnls(mixtures.areas, data.library)
        counts = counts_from_amounts(amounts, False, number=n)
        right[SQUARES].append(shares_right(counts, mixtures.counts)[0])
        n_named.append(float((amounts > ENOUGH).sum(axis=1).mean()))
        rest = mixtures.areas - np.einsum("bk,kpl->bpl", amounts, data.library.areas)
        unexplained.append(float(np.sqrt((rest**2).sum() / (mixtures.areas**2).sum())))

    report(0.95, "moving one multiplet")
    ethanol = data.library.areas[data.library.names.index("ethanol")]
    position = int(np.flatnonzero(ethanol.any(axis=0))[-1])
    shifts = np.where(np.arange(ethanol.shape[1]) == position, SHIFT, 0.0)
    moved = shift_multiplets(ethanol, shifts).sum(axis=0)
    stays, goes = (float(moved[p] / ethanol[:, position].sum()) for p in (position, position + 1))
    total_ratio = float(moved.sum() / ethanol.sum())
    clean, shifted, far = (
        {name: float(right[name][i]) for name in right} for i in (0, AT_SHIFT, -1)
    )
    lead = shifted[NETWORK] - shifted[SQUARES]
    low, _ = wilson(shifted[NETWORK], len(data.test))
    too_many = n_named[AT_SHIFT] > n + 0.5
    report(1.0, "done")
    return {
        "seed": seed,
        "n": n,
        "n_compositions": len(data.test),
        "draws": DRAWS,
        "n_mixtures": len(data.test) * DRAWS,
        "shift": SHIFT,
        "shift_ppm": SHIFT * data.library.axis.width,
        "stays": stays,
        "goes": goes,
        "stays_option": nearest((1, stays, goes, 0), 1 - SHIFT),
        "area_is_divided": abs(stays - 0.6) < 1e-5
        and abs(goes - 0.4) < 1e-5
        and abs(total_ratio - 1) < 1e-5,
        "right": {name: np.array(shares) for name, shares in right.items()},
        "network_clean": clean[NETWORK],
        "squares_clean": clean[SQUARES],
        "clean_option": 1 if clean[SQUARES] == 1 else 0 if clean[NETWORK] > clean[SQUARES] else 2,
        "squares_get_all_clean": clean[SQUARES] == 1,
        "network_shifted": shifted[NETWORK],
        "squares_shifted": shifted[SQUARES],
        "lead": 100 * lead,
        "lead_option": 1 if lead > 0.05 else 0 if lead < -0.05 else 2,
        "network_leads": low > shifted[SQUARES],
        "enough": ENOUGH,
        "n_named": np.array(n_named),
        "named_clean": n_named[0],
        "named_shifted": n_named[AT_SHIFT],
        "most_named": max(n_named),
        "named_option": 1 if too_many else 0,
        "squares_name_too_many": abs(n_named[0] - n) < 0.05 and too_many,
        "unexplained_clean": unexplained[0],
        "unexplained": unexplained[AT_SHIFT],
        "unexplained_grows": unexplained[0] < 0.01 < unexplained[AT_SHIFT],
        "trained": checkpoint.training.added_jitter,
        "network_far": far[NETWORK],
        "squares_far": far[SQUARES],
        "far_option": 0 if far[NETWORK] == 1 else 1 if far[NETWORK] > 0.5 else 2,
        "network_falls_too": far[NETWORK] < 0.6 < clean[NETWORK] and far[NETWORK] > far[SQUARES],
    }


def draw_right(facts: Facts, theme: Theme) -> go.Figure:
    """Draw the mixtures wholly right over the shift jitter."""
    return lines(
        {name: (np.array(JITTERS), shares) for name, shares in facts["right"].items()},
        "shift jitter (positions)",
        "mixtures wholly right",
        theme,
        per_cent=True,
    )


def draw_named(facts: Facts, theme: Theme) -> go.Figure:
    """Draw how many compounds least squares names over the shift jitter."""
    return bars(
        [f"{jitter:g}" for jitter in JITTERS],
        {"compounds named": facts["n_named"]},
        "shift jitter (positions)",
        "compounds named by least squares",
        theme,
    )


LESSON = Lesson(
    name="shifts",
    title="When peaks move",
    aim="You will know why least squares fails on shifted peaks, and what a network can learn.",
    steps=(
        Step(
            title="Peaks move",
            page="pages/compare.py",
            state=STATE | {"jitter_b": f"{SHIFT:g}"},
            target="mixture",
            facts=growing_shifts,
            text="""Acidity, salt and temperature move peaks. A is a clean mixture. B is the same
                mixture with a **shift jitter** of {shift:g}: each multiplet moves by a random
                amount, typically {shift:g} positions ({shift_ppm:.1f} ppm here). If it ends between
                two positions, its area is divided between them. Look at the maps of the mixture and
                their difference.""",
            question="""A multiplet moves by exactly {shift:g} positions. How much of its area stays
                in the old position?""",
            options=("All", "{stays:.0%}", "{goes:.0%}", "Nothing"),
            answer="stays_option",
            reveal="""{stays:.0%} stays, and the next position gets {goes:.0%}. No area is lost, but
                the pattern is now different from the pattern in the library.""",
            claims={
                "area_is_divided": """Of the quartet of ethanol, {stays:.0%} stays and {goes:.0%}
                    moves to the next position. The total area stays the same."""
            },
        ),
        Step(
            title="Without shifts",
            page="pages/robustness.py",
            target="methods",
            facts=growing_shifts,
            text="""**Least squares** is a classical method. It finds the amounts of all library
                compounds whose sum is nearest to the mixture. The first table compares it with the
                network on clean mixtures. There, only least squares gets the number of compounds,
                so the network has the harder task. For the question below, both get this
                number.""",
            question="On clean mixtures, is the network better than least squares?",
            options=("Yes", "No: least squares gets all of them right", "No: both are bad"),
            answer="clean_option",
            reveal="""Least squares gets {squares_clean:.0%} wholly right, and the network
                {network_clean:.0%} ({n_mixtures} mixtures of {n_compositions} unseen compositions,
                seed {seed}). A network cannot be better than that.""",
            claims={
                "squares_get_all_clean": """Without shifts, least squares gets {squares_clean:.0%}
                    of the mixtures wholly right."""
            },
        ),
        Step(
            title="As shifts grow",
            page="pages/lessons.py",
            facts=growing_shifts,
            text="""These are the same {n_compositions} compositions, {draws} mixtures of each, with
                eight sizes of shift. Network and least squares get the same mixtures and the number
                of compounds, {n}. The network also reads the amounts of least squares, as one of
                its inputs. A mixture is wholly right if all {n} compounds are right.""",
            question="Which of the two gets worse first?",
            options=("The network", "Least squares", "Both at the same shift"),
            answer="lead_option",
            reveal="""Least squares does. At {shift:g} positions it gets {squares_shifted:.0%}
                wholly right, and the network {network_shifted:.0%}. The network was trained on
                shifted mixtures, so it has learnt the effect of shifts. Least squares uses one
                fixed pattern for each compound.""",
            claims={
                "network_leads": """At {shift:g} positions, the network is better by {lead:.0f}
                    percentage points."""
            },
            figure=draw_right,
            alt="""Curves over the shift jitter: at {shift:g} positions network
                {network_shifted:.0%}, least squares {squares_shifted:.0%} wholly right""",
        ),
        Step(
            title="The errors of least squares",
            page="pages/lessons.py",
            facts=growing_shifts,
            text="""Least squares can only add up patterns of the library. The bars show how many
                compounds get an amount above {enough:g}, on average. Each mixture holds {n}
                compounds, and no amount is below 0.5.""",
            question="""A position holds area, but no compound of the mixture has area there. What
                does least squares do?""",
            options=(
                "It ignores the area",
                "It explains the area by compounds that are not in the mixture",
                "It reports an error",
            ),
            answer="named_option",
            reveal="""It names compounds that are not in the mixture: it names {named_clean:.1f}
                compounds without shifts, and {named_shifted:.1f} at {shift:g} positions. And
                {unexplained:.0%} of the mixture is still unexplained (root of the squared areas).
                You can measure the unexplained rest, and it is a warning.""",
            claims={
                "squares_name_too_many": """At {shift:g} positions, it names {named_shifted:.1f}
                    compounds in a mixture of {n}.""",
                "unexplained_grows": """The unexplained rest grows from {unexplained_clean:.0%} to
                    {unexplained:.0%}.""",
            },
            figure=draw_named,
            alt="""Bars: least squares names {named_clean:.1f} compounds without shifts and
                {most_named:.1f} at most""",
        ),
        Step(
            title="The limits of the network",
            page="pages/robustness.py",
            state={"jitter": "1", "model": "queries"},
            target="methods",
            facts=growing_shifts,
            text="""Here the shifts are larger: jitter 1. In training, the jitter went up to
                {trained:g} positions (standard deviation). On this page, only the classical methods
                get the number of compounds, so the network has the harder task.""",
            question="""If it also gets the number, how many mixtures does the network get wholly
                right at jitter 1?""",
            options=("All", "More than half", "Fewer than half"),
            answer="far_option",
            reveal="""The network gets {network_far:.0%} wholly right, and least squares
                {squares_far:.0%}. Such shifts are as large as the distance between compounds, so
                different mixtures become similar. Such large shifts were also rare in the training.
                A network works best on data like its training data.""",
            claims={
                "network_falls_too": """From no shift to jitter 1, the network falls from
                    {network_clean:.0%} to {network_far:.0%}. It stays above least squares."""
            },
        ),
    ),
)
