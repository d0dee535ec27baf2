"""Lesson: mixtures of an unknown number of compounds."""

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go

from nmrclassify.baselines.comparison import network_counts
from nmrclassify.evaluation.metrics import shares_right
from nmrclassify.lessons.figures import bars
from nmrclassify.lessons.lesson import Facts, Lesson, Report, Step, computation
from nmrclassify.lessons.progress import part_of, report_steps
from nmrclassify.lessons.short_training import SEED, STEPS, short
from nmrclassify.mixtures.dataset import Dataset, compositions
from nmrclassify.mixtures.grid import MixtureConfig, counts_of, generator, mix
from nmrclassify.mixtures.spec import MixtureSpec, usual_config
from nmrclassify.networks.conv_tasnet import Network
from nmrclassify.networks.slots import SlotsPrediction
from nmrclassify.plots.classes import class_heatmap
from nmrclassify.plots.style import Theme
from nmrclassify.training.checkpoints import shipped
from nmrclassify.training.original_model_2022 import NO_FAULTS, train

NUMBERS = (1, 2, 3, 4, 5)
N_MIXTURES = 100  # of each number
FEW, MANY = 2, 5
NOISE, JITTER = 0.1, 0.3  # of the last step: without them, queries name every compound
PAIR = ("ethanol", "glycine")
SLOTS, QUERIES = "slots for three", "queries"
QUERIES_STATE = {"model": "queries"}


@computation(seconds=4.5, trains=True)
def slots_and_queries(report: Report, seed: int = SEED) -> Facts:
    """Compare slots for three with the shipped queries on mixtures of one to five compounds."""
    checkpoint = shipped("queries")
    data, queries = checkpoint.dataset, checkpoint.model
    library, names = data.library, data.library.names
    on_step = report_steps(part_of(report, 0.0, 0.9), STEPS, "training slots")
    slots, _ = train(data, short(), NO_FAULTS, seed, on_step, STEPS)
    right: dict[str, list[float]] = {SLOTS: [], QUERIES: []}
    n_named, n_compositions = [], []
    for i, n in enumerate(NUMBERS):
        report(0.9 + 0.02 * i, f"mixtures of {n}")
        rng = generator(seed, "test", n)
        rows = compositions(library.n_compounds, n, False, rng)
        config = replace(data.config, n_sources=n)
        mixtures = mix(library, rows[np.arange(N_MIXTURES) % len(rows)], config, rng)
        n_compositions.append(min(N_MIXTURES, len(rows)))
        right[QUERIES].append(shares_right(network_counts(queries, mixtures), mixtures.counts)[0])
        # Matching needs as many sources as slots, so all compounds that slots name count here.
        predictions = [slots.predict(areas) for areas in mixtures.areas]
        n_named += [len(prediction.named) for prediction in predictions]
        counts = np.stack([prediction.counts for prediction in predictions])
        right[SLOTS].append(shares_right(counts, mixtures.counts)[0])

    labels = np.array([[names.index(name) for name in PAIR]])
    config = replace(data.config, n_sources=2, concentration_low=1.0, concentration_high=1.0)
    pair = mix(library, labels, config, generator(seed, "view")).areas[0]
    by_slots, by_queries = slots.predict(pair), queries.predict(pair)
    slot_names = [names[k] for k in by_slots.named]
    query_names = [names[k] for k in np.flatnonzero(by_queries.counts)]
    slots_are_right_at = [n for n, share in zip(NUMBERS, right[SLOTS], strict=True) if share > 0]
    few, many = (_disturbed_right(queries, data, seed, n) for n in (FEW, MANY))
    report(1.0, "done")
    return {
        "seed": seed,
        "steps": STEPS,
        "shipped_steps": checkpoint.training.steps,
        "pair": list(PAIR),
        "names": names,
        "query_names": query_names,
        "n_query_names": len(query_names),
        "query_option": len(query_names) - 1,
        "queries_name_the_pair": np.array_equal(
            by_queries.counts, counts_of(labels, len(names))[0]
        ),
        "by_slots": {
            name: getattr(by_slots, name) for name in ("named", "probabilities", "counts")
        },
        "slot_names": slot_names,
        "slot_predictions": [
            f"{name} ({100 * probability:.0f} %)"
            for name, probability in zip(slot_names, by_slots.confidence, strict=True)
        ],
        "slot_option": 1 if len(slot_names) == 3 else 0,
        "least_named": min(n_named),
        "slots_always_name_three": min(n_named) == max(n_named) == 3,
        "n_mixtures": N_MIXTURES,
        "n_compositions": n_compositions,
        "right": {name: np.array(shares) for name, shares in right.items()},
        "slots_right": right[SLOTS],
        "queries_right": right[QUERIES],
        "slots_right_option": 1 if slots_are_right_at == [3] else 2,
        "slots_are_right_at_three_only": slots_are_right_at == [3],
        "least_queries_right": min(right[QUERIES]),
        "queries_get_most": min(right[QUERIES]) > 0.5,
        "most_trained": data.config.n_sources + 1,
        "noise": NOISE,
        "jitter": JITTER,
        "few": FEW,
        "many": MANY,
        "few_right": few,
        "many_right": many,
        "many_option": 2 if many == 0 else 1 if many < few else 0,
        "many_are_harder": 0 < many < few,
    }


def _disturbed(n: int) -> MixtureConfig:
    usual = usual_config("metabolites")
    return replace(usual, n_sources=n, noise=NOISE, shift_jitter=JITTER)


def _disturbed_right(queries: Network, data: Dataset, seed: int, n: int) -> float:
    """Return the share of mixtures of `n` compounds, with noise and jitter, wholly right."""
    rng = generator(seed, "test", 10 * n)
    rows = compositions(data.library.n_compounds, n, False, rng)
    mixtures = mix(data.library, rows[np.arange(N_MIXTURES) % len(rows)], _disturbed(n), rng)
    return float(shares_right(network_counts(queries, mixtures), mixtures.counts)[0])


def draw_slots(facts: Facts, theme: Theme) -> go.Figure:
    """Draw the probabilities of the three slots for the mixture of two."""
    none = np.empty(0)  # the masks and multiplets are not drawn
    prediction = SlotsPrediction(none, none, none, none, **facts["by_slots"])
    figure = class_heatmap(prediction, tuple(facts["names"]), theme)
    return figure.update_yaxes(title={"text": "output of the network"})


def draw_numbers(facts: Facts, theme: Theme) -> go.Figure:
    """Draw the mixtures wholly right for each number of compounds."""
    numbers = [str(n) for n in NUMBERS]
    return bars(
        numbers,
        facts["right"],
        "compounds in the mixture",
        "mixtures wholly right",
        theme,
        per_cent=True,
    )


LESSON = Lesson(
    name="number",
    title="How many compounds?",
    aim="You will know which kind of network needs the number of compounds, and which does not.",
    steps=(
        Step(
            title="One query for each compound",
            page="pages/separation.py",
            state=MixtureSpec(
                config=replace(usual_config("metabolites"), n_sources=2), compounds=(1, 5)
            ).link()
            | QUERIES_STATE,
            target="bars",
            facts=slots_and_queries,
            text="""This mixture holds only {pair}. The network on this page works with **queries**:
                one output for each compound of the library. Each output gives the probability that
                its compound is in the mixture. Look at the bars under *Which compounds are there?*.
                The network does not get the number of compounds.""",
            question="How many compounds does it name?",
            options=("1", "2", "3", "4"),
            answer="query_option",
            reveal="""It names {n_query_names} compounds: {query_names}. Each output decides about
                one compound only. Most outputs give a low probability.""",
            claims={
                "queries_name_the_pair": "The shipped model names {query_names}, and nothing else."
            },
        ),
        Step(
            title="Three slots, two compounds",
            page="pages/lessons.py",
            facts=slots_and_queries,
            text="""The reference design works with **slots** instead: three outputs. Each output
                divides 100 % between the compounds of the library. We trained such a network
                on mixtures of three ({steps} steps, seed {seed}). It gets the same mixture of two.
                A row is an output, and the number in a cell is a probability.""",
            question="There is one output too many. What does it do?",
            options=(
                "It names nothing",
                "It still names a compound",
                "It names a compound that another output has named, and marks this",
            ),
            answer="slot_option",
            reveal="""The outputs name {slot_predictions}. A slot always names a compound, because
                its probabilities add up to 100 %. Only a low probability can warn the reader.""",
            claims={
                "slots_always_name_three": """In all mixtures that we tried, of one to five
                    compounds, three slots name {least_named} compounds."""
            },
            figure=draw_slots,
            alt="Probabilities of three outputs; they name {slot_names}",
        ),
        Step(
            title="From one to five",
            page="pages/lessons.py",
            facts=slots_and_queries,
            text="""Now both networks get {n_mixtures} mixtures of each number of compounds (seed
                {seed}; one and two compounds have only {n_compositions[0]} and {n_compositions[1]}
                compositions). A mixture is wholly right if all its compounds are named and no
                other. Do not compare the bars at three: the queries were trained for
                {shipped_steps:,} steps, the slots for {steps}.""",
            question="For which numbers of compounds can three slots ever be wholly right?",
            options=(
                "For all of them, with more training",
                "Only for three",
                "For three and fewer",
            ),
            answer="slots_right_option",
            reveal="""Only for three, and no training changes that. For one to five compounds, slots
                get {slots_right:.0%} of the mixtures wholly right. Queries get {queries_right:.0%}.
                (Slots can have one more class, *nothing*. On the page *Train or load*, they have it
                if the number of compounds varies.)""",
            claims={
                "slots_are_right_at_three_only": """Three slots get no mixture of another number
                    wholly right.""",
                "queries_get_most": """Queries get at least {least_queries_right:.0%} of the
                    mixtures of each number wholly right.""",
            },
            figure=draw_numbers,
            alt="""Bars for one to five compounds: slots {slots_right:.0%}, queries
                {queries_right:.0%} wholly right""",
        ),
        Step(
            title="The limits of queries",
            page="app.py",
            state=MixtureSpec(config=_disturbed(MANY), compounds=(1, 2, 3, 4, 5)).link()
            | QUERIES_STATE,
            target="network",
            facts=slots_and_queries,
            text="""This mixture holds five compounds, with noise {noise:g} and shift jitter
                {jitter:g}. You can choose other compounds in the sidebar. The network was trained
                on mixtures of zero to {most_trained} compounds.""",
            question="Do queries get {many} compounds right as often as {few}?",
            options=("Yes, the number makes no difference", "No, less often", "No, never"),
            answer="many_option",
            reveal="""Of the mixtures of {few}, {few_right:.0%} are wholly right. Of the mixtures of
                {many}, it is {many_right:.0%}. There are three reasons: more compounds overlap
                more, one mistake makes the whole mixture wrong, and the network was not trained on
                five compounds.""",
            claims={
                "many_are_harder": """With noise and jitter, from {few} to {many} compounds, the
                    mixtures wholly right change from {few_right:.0%} to {many_right:.0%}
                    ({n_mixtures} mixtures each)."""
            },
        ),
    ),
)
