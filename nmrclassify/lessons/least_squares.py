"""Lesson: when least squares is better than a network."""

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go

from nmrclassify.baselines.comparison import classical_counts, network_counts
from nmrclassify.baselines.grid import counts_from_amounts, nnls
from nmrclassify.evaluation.metrics import shares_right
from nmrclassify.lessons.example_mixture import STATE, example_mixture
from nmrclassify.lessons.figures import bars
from nmrclassify.lessons.lesson import Facts, Lesson, Report, Step, computation
from nmrclassify.lessons.short_training import SEED
from nmrclassify.mixtures.grid import generator, mix
from nmrclassify.mixtures.presets import build
from nmrclassify.mixtures.spec import MixtureSpec
from nmrclassify.plots.style import Theme

LIBRARIES = (1, 2, 3, 4, 5)  # seeds
NOISES = (0.0, 0.1, 0.3, 0.5)
NOISE = NOISES[-1]  # of the question
DRAWS = 10  # mixtures of each composition
NETWORK, SQUARES = "network", "least squares"


@computation(seconds=4.0)
def least_squares(report: Report, seed: int = SEED) -> Facts:
    """Solve for the amounts of test mixtures, of new libraries and of mixtures with noise."""
    report(0.0, "solving for the amounts")
    example = example_mixture()
    library, data, labels = example.library, example.checkpoint.dataset, example.labels
    n_unknowns, n_equations = library.n_compounds, library.areas[0].size
    n_telling = int(library.areas.any(axis=0).sum())
    rank = int(np.linalg.matrix_rank(library.areas.reshape(n_unknowns, -1).astype(float)))
    true = np.zeros(n_unknowns)
    true[labels] = example.concentrations
    solved, predicted = nnls(example.areas[None], library)[0], example.prediction.amounts
    assert predicted is not None  # the shipped network predicts amounts
    error = float(np.abs(solved - true).max())
    network_error = float(np.abs(predicted[labels] - true[labels]).max())

    report(0.2, "solving all test mixtures")
    mixtures = data.test_mixtures(draws=DRAWS)
    amounts = mixtures.by_compound(mixtures.concentrations)
    largest_error = float(np.abs(nnls(mixtures.areas, library) - amounts).max())

    report(0.4, "solving with new libraries")
    new = []
    for other_seed in LIBRARIES:
        other = build("quick", other_seed)
        unseen = other.test_mixtures()
        amounts = nnls(unseen.areas, other.library)
        counts = counts_from_amounts(amounts, False, number=other.config.n_sources)
        new.append(shares_right(counts, unseen.counts)[0])

    right: dict[str, list[float]] = {NETWORK: [], SQUARES: []}
    for i, noise in enumerate(NOISES):
        report(0.6 + 0.1 * i, f"noise {noise:g}")
        config, rng = replace(data.config, noise=noise), generator(seed, "test", int(1000 * noise))
        noisy = mix(library, np.repeat(data.test, DRAWS, axis=0), config, rng)
        counts = network_counts(example.checkpoint.model, noisy, config.n_sources)
        right[NETWORK].append(shares_right(counts, noisy.counts)[0])
        counts = counts_from_amounts(nnls(noisy.areas, library), False, number=config.n_sources)
        right[SQUARES].append(shares_right(counts, noisy.counts)[0])
        if noise == NOISE:
            counts = classical_counts(data, noisy, config)["exhaustive"]
            search = float(shares_right(counts, noisy.counts)[0])
    network, squares = (float(right[name][NOISES.index(NOISE)]) for name in right)
    lead = squares - network
    report(1.0, "done")
    return {
        "seed": seed,
        "n_unknowns": n_unknowns,
        "n_positions": library.areas.shape[2],
        "n_equations": n_equations,
        "equations_option": (n_unknowns, library.areas.shape[2], n_equations).index(n_equations),
        "n_telling": n_telling,
        "rank": rank,
        "one_solution": rank == n_unknowns < n_telling < n_equations,
        "names": example.names,
        "true": [float(amount) for amount in example.concentrations],
        "ones": [1.0] * len(labels),
        "solved": solved[labels].tolist(),
        "predicted": predicted[labels].tolist(),
        "error": error,
        "network_error": network_error,
        "largest_error": largest_error,
        "amounts_option": 2 if error < 1e-4 else 0,
        "squares_are_exact": largest_error < 1e-4 and error < 1e-4,
        "network_is_less_exact": network_error > 100 * error,
        "n_mixtures": len(mixtures),
        "n_compositions": len(data.test),
        "trained_steps": example.checkpoint.training.steps,
        "libraries": list(LIBRARIES),
        "n_libraries": len(LIBRARIES),
        "n_new": len(unseen),
        "worst_new": min(new),
        "training_option": 2 if min(new) == 1 else 1,
        "new_libraries_are_solved": min(new) == 1,
        "right": {name: np.array(shares) for name, shares in right.items()},
        "network_right": right[NETWORK],
        "squares_right": right[SQUARES],
        "noise": NOISE,
        "network": network,
        "squares": squares,
        "lead": 100 * lead,
        "noise_option": 1 if lead > 0.02 else 0 if lead < -0.02 else 2,
        "squares_lead": lead > 0.03,
        "search": search,
        "search_lead": 100 * (search - squares),
        "search_leads": search > squares + 0.01,
        "trained_noise": example.checkpoint.training.augmented(data, any_number=True).mixing.noise,
    }


def draw_noises(facts: Facts, theme: Theme) -> go.Figure:
    """Draw the mixtures wholly right for each noise."""
    return bars(
        [f"{noise:g}" for noise in NOISES],
        facts["right"],
        "noise (peak area)",
        "mixtures wholly right",
        theme,
        per_cent=True,
    )


LESSON = Lesson(
    name="classical",
    title="When no network is needed",
    aim="You will know when it is better to solve equations than to train a network.",
    steps=(
        Step(
            title="Equations instead of training",
            page="pages/mixtures.py",
            state=STATE,
            target="mixture map",
            facts=least_squares,
            text="""The mixture is a sum: amount of ethanol times pattern of ethanol, plus amount of
                lactate times pattern of lactate, and so on. Every cell of the map (peak and
                position) gives one such equation. The unknowns are the amounts of the {n_unknowns}
                compounds of the library.""",
            question="How many equations are there for these unknowns?",
            options=("{n_unknowns}", "{n_positions}", "{n_equations}"),
            answer="equations_option",
            reveal="""6 x 21 = {n_equations} equations. But in most cells no compound of the library
                has area: these equations say 0 = 0. The other {n_telling} cells are still more than
                necessary. The table has **rank** {rank}: that many patterns are independent. So no
                pattern is a sum of others, and there is only one solution.""",
            claims={
                "one_solution": """Of {n_equations} equations, {n_telling} carry information. There
                    are {n_unknowns} unknowns, and the rank is {rank}."""
            },
        ),
        Step(
            title="The exact amounts",
            page="pages/separation.py",
            state=STATE,
            target="amounts",
            facts=least_squares,
            text="""**Least squares** finds the solution with the smallest squared error. No amount
                may be below zero. The mixture holds {names}, with the true amounts {true:.3f}. Look
                at the table *How much of each?*. The network predicts {predicted:.3f}.""",
            question="What amounts does least squares find?",
            options=("{predicted:.3f}", "{ones:.3f}", "{solved:.3f}"),
            answer="amounts_option",
            reveal="""It finds {solved:.3f}, and 0 for the other compounds. This is exact except for
                rounding (the error is at most {error:.0e}). The error of the network is up to
                {network_error:.2f}. Over {n_mixtures} test mixtures of {n_compositions}
                compositions, the error of least squares is never above {largest_error:.0e}.""",
            claims={
                "squares_are_exact": """The error of least squares is at most {largest_error:.0e} in
                    {n_mixtures} clean mixtures.""",
                "network_is_less_exact": """The error of the network is up to {network_error:.2f} in
                    this mixture.""",
            },
        ),
        Step(
            title="A new library",
            page="pages/robustness.py",
            state=MixtureSpec("quick", 1, number=1).link() | {"model": "untrained"},
            target="methods",
            facts=least_squares,
            text="""These are other compounds: a random library. The shipped network was trained for
                its own ten compounds only, so this page shows an untrained network. It must be
                trained for the new compounds first (the shipped one took {trained_steps:,} steps).
                The first table compares it with least squares on the new mixtures.""",
            question="How long must least squares be trained for the new library?",
            options=("As long as the network", "A few steps", "Not at all"),
            answer="training_option",
            reveal="""Not at all: it needs only the library. We tried {n_libraries} new random
                libraries (seeds {libraries}), each with {n_new} clean mixtures of three compounds.
                For the worst library, {worst_new:.0%} of the mixtures are wholly right.""",
            claims={
                "new_libraries_are_solved": """On {n_libraries} new libraries, least squares gets at
                    least {worst_new:.0%} of the mixtures wholly right."""
            },
        ),
        Step(
            title="With noise",
            page="pages/lessons.py",
            facts=least_squares,
            text="""Now each peak area has random **noise**. The axis shows its size (standard
                deviation). For comparison, a single hydrogen has area 1. The shipped network and
                least squares get the same {n_mixtures} mixtures of {n_compositions} compositions
                (seed {seed}). Both get the number of compounds, three. The network also reads the
                amounts of least squares, as one of its inputs.""",
            question="Which one is better at noise {noise:g}?",
            options=("The network: it was trained with noise", "Least squares", "They are equal"),
            answer="noise_option",
            reveal="""Least squares is better: {squares:.0%} of the mixtures are wholly right,
                against {network:.0%}. (The network was trained with noise up to
                {trained_noise:.2f}.) With the same noise in all cells, least squares gives the most
                likely **amounts**. It is not the best method to **name** three compounds: trying
                all compositions and taking the most probable one gets {search:.0%}. (The page
                *Robustness* has more figures.) If the patterns move, see the lesson *When peaks
                move*.""",
            claims={
                "squares_lead": """Least squares is better than the shipped network by {lead:.0f}
                    percentage points at noise {noise:g}.""",
                "search_leads": """At noise {noise:g}, trying all compositions is better than least
                    squares by {search_lead:.0f} percentage points.""",
            },
            figure=draw_noises,
            alt="Bars over noise: network {network_right:.0%}; least squares {squares_right:.0%}",
        ),
    ),
)
