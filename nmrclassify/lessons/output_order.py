"""Lesson: why the order of the outputs must not matter."""

from dataclasses import asdict
from itertools import permutations
from math import factorial, log

import numpy as np
import plotly.graph_objects as go
import torch

from nmrclassify.lessons.figures import lines
from nmrclassify.lessons.lesson import Facts, Lesson, Report, Step, computation
from nmrclassify.lessons.progress import part_of, report_steps
from nmrclassify.lessons.short_training import BATCH, EVERY, SEED, STEPS, over_steps, short
from nmrclassify.mixtures.grid import generator
from nmrclassify.mixtures.presets import build
from nmrclassify.nmr.axis import Axis
from nmrclassify.plots.map_rows import MapRow, stack
from nmrclassify.plots.style import Theme, area_scale
from nmrclassify.training.original_model_2022 import (
    NO_FAULTS,
    Faults,
    assigned_costs,
    shuffled_compounds,
    train,
)

MATCHED, LISTED = "matched", "in the order listed"
UNTRAINED_SLOTS = {"preset": "quick", "network": "slots", "model": "untrained"}


@computation(seconds=0.2)
def two_lists(report: Report, seed: int = SEED) -> Facts:
    """List one mixture in two orders, and compute the lowest loss if the order is unknown."""
    report(0.0, "mixing")
    data = build("quick", seed)
    first = data.test_mixtures()[:1]
    second = shuffled_compounds(first, generator(seed, "view"))
    lists = [[data.library.names[k] for k in mixture.labels[0]] for mixture in (first, second)]
    difference = float(np.abs(first.sources.sum(axis=1) - second.sources.sum(axis=1)).max())
    n = data.config.n_sources
    orders = np.array(list(permutations(range(n))))
    # All orders are equally likely, so the best prediction of an output is how often each compound
    # stands at its place.
    probabilities = np.zeros((n, data.library.n_compounds))
    for order in orders:
        probabilities[np.arange(n), first.labels[0][order]] += 1 / len(orders)
    lowest = -float(
        np.mean(
            [np.log(probabilities[np.arange(n), first.labels[0][order]]).mean() for order in orders]
        )
    )
    report(1.0, "done")
    return {
        "seed": seed,
        "axis": asdict(data.library.axis),
        "areas": first.areas[0],
        "sources": [first.sources[0], second.sources[0]],
        "lists": lists,
        "difference": difference,
        "lists_have_the_same_sum": difference < 1e-5 and lists[0] != lists[1],
        "n": n,
        "n_minus_1": n - 1,
        "n_to_the_n": n**n,
        "n_orders": len(orders),
        "orders_option": 2 if len(orders) == factorial(n) else 0,
        "lowest": lowest,
        "lowest_option": 1 if abs(lowest - log(n)) < 1e-9 else 0,
        "lowest_is_log_n": abs(lowest - log(n)) < 1e-9,
    }


@computation(seconds=5.0, trains=True)
def with_and_without_matching(report: Report, seed: int = SEED) -> Facts:
    """Train slots with and without matching, and try all pairings of one unseen mixture."""
    data, models, runs = build("quick", seed), {}, {}
    for i, (name, faults) in enumerate(
        ((MATCHED, NO_FAULTS), (LISTED, Faults(False, False, True)))
    ):
        part = part_of(report, 0.49 * i, 0.49 * (i + 1))
        on_step = report_steps(part, STEPS, f"training, {name}")
        # An unknown compound would have no class, and the loss could fall below log 3.
        config = short(unknown_replaces=0.0)
        models[name], runs[name] = train(data, config, faults, seed, on_step, EVERY)

    report(0.98, "trying all pairings")
    unseen = data.test_mixtures()
    first = unseen[:1]
    labels, sources = torch.from_numpy(first.labels), torch.from_numpy(first.sources)
    with torch.no_grad():
        logits, separation = models[MATCHED](torch.from_numpy(first.areas))

        def cost(order: list[int], unmatched: bool) -> float:
            costs = assigned_costs(
                logits,
                separation.multiplets,
                labels[:, order],
                sources[:, order],
                unmatched=unmatched,
            )
            return float(costs.total(1.0).sum())

        n = labels.shape[1]
        costs = sorted(cost(list(order), True) for order in permutations(range(n)))
        chosen = cost(list(range(n)), False)
        named = models[LISTED](torch.from_numpy(unseen.areas))[0].argmax(-1).numpy()  # (B, C)
    matched, listed = (runs[name][-1] for name in (MATCHED, LISTED))
    lowest = min(row["classification"] for row in runs[LISTED])
    chosen_is_lowest = abs(chosen - costs[0]) < 1e-4
    report(1.0, "done")
    return {
        "seed": seed,
        "steps": STEPS,
        "batch": BATCH,
        "every": EVERY,
        "n_test": len(unseen),
        "runs": runs,
        "n_pairings": len(costs),
        "lowest_cost": costs[0],
        "highest_cost": costs[-1],
        "chosen_cost": chosen,
        "pairing_option": 1 if chosen_is_lowest else 0,
        "training_takes_the_lowest": chosen_is_lowest and costs[-1] > costs[0],
        "matched": matched["right"],
        "listed": listed["right"],
        "matched_loss": matched["classification"],
        "listed_loss": listed["classification"],
        "log_n": log(n),
        "same_name": float((named == named[:, :1]).all(axis=1).mean()),
        "learnt_option": 1 if listed["right"] < 0.5 < matched["right"] else 0,
        "matching_helps": matched["right"] - listed["right"] > 0.3,
        "lowest_listed_loss": lowest,
        "listed_loss_stays_above_log_n": lowest > log(n) - 0.02,
    }


def draw_lists(facts: Facts, theme: Theme) -> go.Figure:
    """Draw the mixture, and its sources in the order of either list."""
    scale = area_scale(theme, facts["areas"])
    rows = [MapRow("<b>The mixture</b>", facts["areas"][None], scale, outputs=False)]
    for i, names in enumerate(facts["lists"]):
        rows.append(
            MapRow(
                f"<b>List {i + 1}</b>",
                facts["sources"][i],
                scale,
                headings=tuple(names),
                outputs=False,
            )
        )
    return stack(rows, Axis(**facts["axis"]), theme)


def draw_runs(facts: Facts, theme: Theme) -> go.Figure:
    """Draw the compounds right over the steps of both trainings."""
    curves = over_steps(facts["runs"], "right")
    return lines(curves, "step", "compounds right, unseen mixtures", theme, per_cent=True)


LESSON = Lesson(
    name="order",
    title="The order must not matter",
    aim="You will know why training matches outputs to compounds before it computes the loss.",
    steps=(
        Step(
            title="A list has no order",
            page="pages/lessons.py",
            facts=two_lists,
            text="""Two chemists mix the same three compounds. One writes down the list {lists[0]}.
                The other writes down {lists[1]}. The first row shows the mixture. The rows below
                show both lists (random compounds, seed {seed}).""",
            question="In how many orders can three compounds be listed?",
            options=("1", "{n}", "{n_orders}", "{n_to_the_n}"),
            answer="orders_option",
            reveal="""{n} x {n_minus_1} x 1 = {n_orders}. All orders give the same mixture, because
                a sum does not depend on the order. So the mixture does not show which compound
                stands first in a list.""",
            claims={
                "lists_have_the_same_sum": """The sums of the two lists differ by at most
                    {difference:.1g} in any cell."""
            },
            figure=draw_lists,
            alt="Maps of a mixture and of its sources, listed as {lists[0]} and as {lists[1]}",
        ),
        Step(
            title="What should output 1 learn?",
            page="pages/separation.py",
            state=UNTRAINED_SLOTS,
            target="classes",
            facts=two_lists,
            text="""This is an untrained network of the kind *slots*. It has three equal outputs.
                Each output names one compound. Suppose that output 1 counts as right only if it
                names the first compound of the list. Every order is equally likely.""",
            question="""Suppose that the network finds the three compounds. What is the best
                prediction of output 1?""",
            options=(
                "Name the right one every time",
                "Give each of the three a probability of one third",
                "Give each compound of the library a probability of one tenth",
            ),
            answer="lowest_option",
            reveal="""It gives one third to each. The loss is the **cross entropy**: minus the
                logarithm of the probability of the true compound. Lower is better. With one third,
                the loss is log {n} = {lowest:.2f} and cannot be lower. This is true even for a
                network that finds all three compounds.""",
            claims={
                "lowest_is_log_n": """Over all {n_orders} orders, the lowest mean loss is
                    {lowest:.4f} = log {n}."""
            },
        ),
        Step(
            title="Match first, then compute the loss",
            page="pages/separation.py",
            state=UNTRAINED_SLOTS,
            target="costs",
            facts=with_and_without_matching,
            text="""Look at *How outputs are matched to sources*. Every output is compared with
                every compound. The number in a cell is the **cost** of this pair. The frames show
                the pairing that counts. This is called **permutation-invariant** training: the
                order does not matter.""",
            question="Which of all the pairings counts in training?",
            options=(
                "The one in the order of the list",
                "The one with the lowest sum of costs",
                "The mean of all of them",
            ),
            answer="pairing_option",
            reveal="""The one with the lowest sum counts. Three outputs have {n_pairings} pairings.
                We tried all of them for one unseen mixture, with the network that the next step
                trains. The sums go from {lowest_cost:.2f} to {highest_cost:.2f}. Training takes the
                pairing that costs {chosen_cost:.2f}.""",
            claims={
                "training_takes_the_lowest": """We tried all {n_pairings} pairings. None costs less
                    than the one that training takes."""
            },
        ),
        Step(
            title="With and without matching",
            page="pages/lessons.py",
            facts=with_and_without_matching,
            text="""Two networks learn from the same {steps} batches of {batch} mixtures. Their
                first weights are the same (seed {seed}). For one network, outputs are matched
                before the loss is computed. For the other, the order of the list counts, and this
                order is random. The curves show the compounds right on {n_test} unseen mixtures.
                For these curves, the outputs of both networks are matched.""",
            question="What does the network without matching learn?",
            options=(
                "The same, only more slowly",
                "Hardly more than one compound in three",
                "Nothing at all",
            ),
            answer="learnt_option",
            reveal="""At the end, {matched:.0%} of the compounds are right with matching, and
                {listed:.0%} without. Without matching, the loss ends at {listed_loss:.2f}: it
                cannot fall below log 3 = {log_n:.2f}. With matching, it falls to
                {matched_loss:.2f}. In {same_name:.0%} of the mixtures, the three outputs without
                matching all name the
                same compound: each output names the most probable of the three.""",
            claims={
                "matching_helps": """With matching, the compounds right on unseen mixtures go from
                    {listed:.0%} to {matched:.0%} (one seed, {n_test} mixtures).""",
                "listed_loss_stays_above_log_n": """Without matching the loss does not fall below
                    log 3 = {log_n:.2f}: the lowest mean over {every} steps is
                    {lowest_listed_loss:.2f}.""",
            },
            figure=draw_runs,
            alt="""Curves of the compounds right over {steps} steps: with matching up to
                {matched:.0%}, in the order listed up to {listed:.0%}""",
        ),
    ),
)
