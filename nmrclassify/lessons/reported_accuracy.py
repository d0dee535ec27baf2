"""Lesson: what "82.9 % accuracy" meant."""

from itertools import permutations

import numpy as np
import plotly.graph_objects as go

from nmrclassify.lessons.figures import bars, lines
from nmrclassify.lessons.lesson import Facts, Lesson, Report, Step, computation, nearest
from nmrclassify.lessons.progress import report_steps
from nmrclassify.lessons.short_training import SEED, five_seeds, only_these
from nmrclassify.mixtures.grid import counts_of
from nmrclassify.mixtures.presets import build
from nmrclassify.plots.style import Theme
from nmrclassify.training.original_model_2022 import (
    NO_FAULTS,
    REPORTED,
    most_frequent_shares,
    printed,
    train,
)

EPOCHS, BATCH = 40, 10  # a batch holds all ten mixtures, so a step is an epoch
NEAR = 0.02  # shares of compounds that differ by less are about equal
OPTIMISERS = {"sgd": "SGD", "momentum": "SGD, momentum", "adam": "Adam"}


def right_in_place(named: np.ndarray, rows: np.ndarray) -> float:
    """Return the share right if names are compared place by place with lists in all orders."""
    orders = np.array(list(permutations(range(rows.shape[1]))))
    return float((rows[:, orders] == named).mean())


@computation(seconds=0.2)
def shares_of_compounds(report: Report, seed: int = 1) -> Facts:
    """Compare the figures of 2022, as shares of compounds, with naming the commonest ones.

    `seed` chooses the five libraries: see `five_seeds`.
    """
    report(0.0, "naming the commonest")
    seeds = five_seeds(seed)
    lazy, in_place = [], []
    for i, one in enumerate(seeds):
        few, many = build("original", one), build("quick", one)
        rows = np.concatenate([many.validation, many.test])
        rows = rows[~np.isin(few.keys(rows), few.keys(few.train))]
        lazy.append(most_frequent_shares(few, rows)[1])
        often = counts_of(few.train, few.library.n_compounds).sum(axis=0)
        commonest = np.argsort(-often, kind="stable")[: few.config.n_sources]
        in_place.append(right_in_place(commonest, rows))
        report((i + 1) / len(seeds), f"naming the commonest, seed {one}")
    n = few.config.n_sources
    per_compound = {name: value / n for name, value in REPORTED.items()}
    lazy_mean, in_place_mean = float(np.mean(lazy)), float(np.mean(in_place))
    most = printed(np.ones(1), n)
    *others, best = sorted(per_compound.values())
    as_good = abs(best - lazy_mean) < NEAR and max(others) < lazy_mean - NEAR
    options = (REPORTED["sgd"], 2 * per_compound["sgd"], per_compound["sgd"])
    return {
        "n": n,
        "most": most,
        "most_option": 1 if most == n else 0,
        "perfect_networks_get_3": most == n == 3,
        "reported": REPORTED,
        "reported_bars": [f"{OPTIMISERS[k]} {100 * v:.0f} %" for k, v in REPORTED.items()],
        "per_compound": per_compound,
        "share_bars": [f"{OPTIMISERS[k]} {100 * v:.0f} %" for k, v in per_compound.items()],
        "share_options": options,
        "share_option": nearest(options, REPORTED["sgd"] / n),
        "best": best,
        "best_is_27_6": abs(best - 0.2762) < 1e-4,
        "seeds": list(seeds),
        "n_seeds": len(seeds),
        "lazy": lazy_mean,
        "lazy_seeds": lazy,
        "in_place": in_place_mean,
        "lazy_option": 1 if as_good else 0 if min(others) > lazy_mean else 2,
        "near": 100 * NEAR,
        "others": others,
        "only_the_best_is_as_good": as_good,
        "in_place_is_a_third": abs(in_place_mean - lazy_mean / 3) < 1e-9,
    }


@computation(seconds=1.3, trains=True)
def over_epochs(report: Report, seed: int = SEED) -> Facts:
    """Train slots on the preset "original", and count after each epoch as in 2022."""
    data, config = build("original", seed), only_these(batch_size=BATCH, steps=EPOCHS)
    on_step = report_steps(report, EPOCHS, "training, epoch after epoch")
    _, history = train(data, config, NO_FAULTS, seed, on_step, 1)
    shares, n = np.array([row["right"] for row in history]), data.config.n_sources
    printed_2022, mean, end = printed(shares, n), float(shares.mean()), float(shares[-1])
    return {
        "seed": seed,
        "n_epochs": EPOCHS,
        "n": n,
        "n_test": len(data.test),
        "epochs": np.array([row["step"] for row in history]),
        "shares": shares,
        "printed": printed_2022,
        "mean": mean,
        "end": end,
        "printed_option": nearest((end, mean, printed_2022), n * mean),
        "printed_is_more_than_twice_the_end": printed_2022 > 2 * end,
        "printed_is_n_times_the_mean": abs(printed_2022 - n * mean) < 1e-9,
    }


def draw_reported(facts: Facts, theme: Theme) -> go.Figure:
    """Draw the accuracies reported in 2022."""
    heights = {"reported": np.array([facts["reported"][name] for name in OPTIMISERS])}
    groups = list(OPTIMISERS.values())
    return bars(groups, heights, "optimiser", "accuracy reported in 2022", theme, per_cent=True)


def draw_epochs(facts: Facts, theme: Theme) -> go.Figure:
    """Draw the compounds right after each epoch."""
    curves = {"after each epoch": (facts["epochs"], facts["shares"])}
    return lines(curves, "epoch", "compounds right, unseen mixtures", theme, per_cent=True)


def draw_lazy(facts: Facts, theme: Theme) -> go.Figure:
    """Draw the shares of compounds right in 2022 and of the lazy method."""
    shares = [*(facts["per_compound"][name] for name in OPTIMISERS), facts["lazy"]]
    return bars(
        [*OPTIMISERS.values(), "lazy"],
        {"compounds right": np.array(shares)},
        "optimiser in 2022, and the lazy method",
        "share of compounds right",
        theme,
        y_range=(0, 0.4),
        per_cent=True,
    )


LESSON = Lesson(
    name="accuracy",
    title="What 82.9 % accuracy meant",
    aim="You will know which questions to ask when you read an accuracy.",
    steps=(
        Step(
            title="A share of what?",
            page="pages/evaluate.py",
            facts=shares_of_compounds,
            text="""In 2022, the first public version of this network reported a test accuracy of
                {reported[sgd]:.4f}. This was the number of **compounds** that were named right,
                divided by the number of **mixtures**. Each mixture holds {n} compounds. (This page
                counts differently: it divides *Compounds right* by the number of compounds.)""",
            question="If every compound is named right, what is the accuracy as counted in 2022?",
            options=("1", "{most:.0f}", "10"),
            answer="most_option",
            reveal="""It is {most:.0f}: all {n} compounds of a mixture, divided by one mixture. A
                number that can reach {most:.0%} is not a share. Always ask: how many out of how
                many?""",
            claims={
                "perfect_networks_get_3": "Counted as in 2022, a perfect network gets {most:.0f}."
            },
        ),
        Step(
            title="Per compound",
            page="pages/lessons.py",
            facts=shares_of_compounds,
            text="""The three bars are the accuracies reported in 2022, for three **optimisers**
                (methods to adjust the weights). The share of compounds is the number of compounds
                right, divided by the number of all compounds.""",
            question="SGD reported {reported[sgd]:.1%}. What share of the compounds was right?",
            options=("{share_options[0]:.1%}", "{share_options[1]:.1%}", "{share_options[2]:.1%}"),
            answer="share_option",
            reveal="""{reported[sgd]:.4f} / {n} = {per_compound[sgd]:.3f}. The other two shares are
                {per_compound[momentum]:.1%} and {per_compound[adam]:.1%}.""",
            claims={"best_is_27_6": "Per compound, the best of the three figures is {best:.1%}."},
            figure=draw_reported,
            alt="Bars of the reported accuracy: {reported_bars}",
        ),
        Step(
            title="Averaged over what?",
            page="pages/lessons.py",
            facts=over_epochs,
            text="""There was a second mistake. The figure was an average over all **epochs**
                (rounds of training), from the first to the last. Here we trained the network
                of today for {n_epochs} epochs on ten mixtures (seed {seed}). The curve shows the
                compounds right on {n_test} unseen mixtures after each epoch.""",
            question="Which accuracy would the code of 2022 print for this training?",
            options=("{end:.0%}", "{mean:.0%}", "{printed:.0%}"),
            answer="printed_option",
            reveal="""At the end, {end:.0%} are right. The mean over the epochs is {mean:.0%}, and
                {n} times the mean is {printed:.0%}. So this one number contains two mistakes: it is
                multiplied by {n}, and it counts the early epochs, when the network had hardly
                learnt. It does not tell how good the network is at the end.""",
            claims={
                "printed_is_more_than_twice_the_end": """The printed figure, {printed:.0%}, is more
                    than twice the share at the end, {end:.0%}.""",
                "printed_is_n_times_the_mean": "It is {n} times the mean over the epochs.",
            },
            figure=draw_epochs,
            alt="Curve of the compounds right over {n_epochs} epochs, rising to {end:.0%}",
        ),
        Step(
            title="Compared with what?",
            page="pages/lessons.py",
            facts=shares_of_compounds,
            text="""The last question: what does a method get that learns almost nothing? A lazy
                method always names the three compounds that are commonest in the ten training
                mixtures. The bars show the shares of compounds right in 2022. Beside them is the
                share of the lazy method on unseen mixtures (mean of {n_seeds} random libraries,
                seeds {seeds}).""",
            question="How good were the figures of 2022, compared with the lazy method?",
            options=(
                "All were better",
                "The best was about as good, the other two were worse",
                "All were worse",
            ),
            answer="lazy_option",
            reveal="""The lazy method gets {lazy:.0%} (by seed: {lazy_seeds:.0%}), about as much as
                the best of them. But perhaps an output counted as right in 2022 only at the place
                of its compound in the list. We suppose this, but we cannot check it. Counted this
                way, the lazy method gets {in_place:.0%}. Then the network of 2022 had learnt
                something, but the order of the outputs was a problem
                (lesson *The order must not matter*).""",
            claims={
                "only_the_best_is_as_good": """Naming the three commonest gets {lazy:.1%} of the
                    compounds right. The best figure of 2022, {best:.1%}, is within {near:.0f}
                    percentage points of it; the others are {others:.1%}.""",
                "in_place_is_a_third": """Counted place by place, the lazy method gets a third of
                    that: {in_place:.0%}.""",
            },
            figure=draw_lazy,
            alt="Bars of the share of compounds right: {share_bars}, lazy method {lazy:.0%}",
        ),
    ),
)
