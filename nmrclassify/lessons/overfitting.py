"""Lesson: a network can memorise ten mixtures."""

from math import comb

import numpy as np
import plotly.graph_objects as go

from nmrclassify.evaluation.metrics import evaluate
from nmrclassify.lessons.figures import bars, lines
from nmrclassify.lessons.lesson import Facts, Lesson, Report, Step, computation
from nmrclassify.lessons.progress import part_of, report_steps
from nmrclassify.lessons.short_training import EVERY, SEED, only_these, over_steps
from nmrclassify.mixtures.dataset import Dataset, compositions
from nmrclassify.mixtures.grid import Mixtures, generator, mix
from nmrclassify.mixtures.presets import build
from nmrclassify.mixtures.spec import MixtureSpec
from nmrclassify.plots.style import Theme
from nmrclassify.training.original_model_2022 import most_frequent_shares
from nmrclassify.training.trainer import Trainer

STEPS, BATCH = 120, 10


@computation(seconds=0.1)
def possible_mixtures(report: Report, seed: int = SEED) -> Facts:
    """Count the compositions of the preset "original"."""
    report(0.0, "counting")
    data = build("original", seed)
    n, k = data.config.n_sources, data.library.n_compounds
    possible = len(compositions(k, n, False, generator(seed, "view")))
    report(1.0, "done")
    return {
        "n": n,
        "n_compounds": k,
        "n_ten": len(data.train),
        "possible": possible,
        "one_in": round(possible / len(data.train)),
        "possible_option": ("30", str(comb(k, n)), "1000").index(str(possible)),
        "formula_counts_them": possible == comb(k, n),
    }


def history_of(data: Dataset, unseen: Mixtures, report: Report, title: str) -> list[dict]:
    """Train slots on clean mixtures; return the compounds right on training and unseen mixtures."""
    trainer, history = Trainer(data, only_these(batch_size=BATCH, steps=STEPS)), []
    tested = {"training": data.training_set(), "unseen": unseen}
    on_step = report_steps(report, STEPS, title)
    on_step(0)
    while not trainer.finished:
        trainer.advance()
        if trainer.step % EVERY == 0:
            row = {"step": trainer.step}
            for name, mixtures in tested.items():
                summary = evaluate(trainer.model, mixtures).summary()
                row |= {name: summary["compound_accuracy"], f"{name} exact": summary["exact_match"]}
            history.append(row)
        on_step(trainer.step)
    return history


@computation(seconds=6.0, trains=True)
def ten_and_many(report: Report, seed: int = SEED) -> Facts:
    """Train slots on the presets "original" and "quick"; test both on unseen mixtures."""
    few, many = build("original", seed), build("quick", seed)
    everything = np.concatenate([many.train, many.validation, many.test])
    seen = np.concatenate([few.keys(few.train), many.keys(many.train), many.keys(many.validation)])
    rows = everything[~np.isin(many.keys(everything), seen)]
    unseen = mix(few.library, rows, few.config, generator(seed, "test"))
    few_run = history_of(few, unseen, part_of(report, 0.0, 0.5), "training on ten mixtures")
    many_run = history_of(many, unseen, part_of(report, 0.5, 1.0), "training on many mixtures")
    few_end, many_end = few_run[-1], many_run[-1]
    commonest = most_frequent_shares(few, rows)[1]
    few_exact = few_end["unseen exact"]
    gain = many_end["unseen"] - few_end["unseen"]
    report(1.0, "done")
    return {
        "seed": seed,
        "steps": STEPS,
        "batch": BATCH,
        "n_ten": len(few.train),
        "n_many": len(many.train),
        "n_unseen": len(rows),
        "few_run": few_run,
        "few_training": few_end["training"],
        "few_unseen": few_end["unseen"],
        "few_exact": few_exact,
        "many_training": many_end["training"],
        "many_unseen": many_end["unseen"],
        "many_exact": many_end["unseen exact"],
        "learnt_option": 2 if few_end["training"] < 0.9 else 1 if few_exact < 0.5 else 0,
        "training_is_better": few_end["training"] - few_end["unseen"] > 0.3,
        "unseen_are_new": not np.isin(few.keys(rows), few.keys(few.train)).any(),
        "commonest": commonest,
        "network_beats_the_commonest": 0.1 < commonest < few_end["unseen"],
        "gain": 100 * gain,
        "gain_option": 0 if gain > 0.05 else 1 if gain < -0.05 else 2,
        "more_mixtures_help": gain > 0.2,
    }


def draw_run(facts: Facts, theme: Theme, levels: dict[str, float] | None = None) -> go.Figure:
    """Draw the compounds right over the steps of the training on ten mixtures."""
    runs = {"run": facts["few_run"]}
    curves = {
        "the ten training mixtures": over_steps(runs, "training")["run"],
        "unseen mixtures": over_steps(runs, "unseen")["run"],
    }
    return lines(curves, "step", "compounds right", theme, levels, per_cent=True)


def draw_run_and_commonest(facts: Facts, theme: Theme) -> go.Figure:
    """Draw the same curves and the share that naming the three commonest compounds gets right."""
    return draw_run(facts, theme, {"the three commonest, every time": facts["commonest"]})


def draw_sizes(facts: Facts, theme: Theme) -> go.Figure:
    """Draw the compounds right after training on ten mixtures and on many."""
    heights = {
        f"trained on {facts[f'n_{size}']}": np.array(
            [facts[f"{run}_training"], facts[f"{run}_unseen"]]
        )
        for size, run in (("ten", "few"), ("many", "many"))
    }
    groups = ["training mixtures", "unseen mixtures"]
    return bars(groups, heights, "tested on", "compounds right", theme, per_cent=True)


LESSON = Lesson(
    name="memory",
    title="A network can memorise ten mixtures",
    aim="You will know why a network is tested on mixtures that it was not trained on.",
    steps=(
        Step(
            title="Ten of how many?",
            page="pages/mixtures.py",
            state=MixtureSpec("original", number=1).link(),
            target="library",
            facts=possible_mixtures,
            text="""The first public version trained on {n_ten} mixtures. Each mixture holds {n}
                different compounds from a library of {n_compounds}. This page shows such a
                library.""",
            question="How many different mixtures of three compounds are possible?",
            options=("30", "{possible}", "1000"),
            answer="possible_option",
            reveal="""10 x 9 x 8 / 6 = {possible} mixtures are possible. So {n_ten} of them are
                about one in {one_in}. The network should name the compounds of the others as
                well.""",
            claims={
                "formula_counts_them": """There are {possible} ways to choose {n} of {n_compounds}
                    compounds."""
            },
        ),
        Step(
            title="Training mixtures and unseen mixtures",
            page="pages/lessons.py",
            facts=ten_and_many,
            text="""We trained slots (three outputs, each names one compound) on {n_ten}
                mixtures for {steps} steps (seed {seed}). The solid curve shows the compounds right
                on these mixtures. The dashed curve shows {n_unseen} unseen mixtures: the same
                compounds in other combinations.""",
            question="Has the network learnt the compounds?",
            options=(
                "Yes: all training mixtures are right",
                "No: its training mixtures are right, but many other combinations are wrong",
                "It has not even learnt its training mixtures",
            ),
            answer="learnt_option",
            reveal="""In the training mixtures, {few_training:.0%} of the compounds are right. In
                the unseen mixtures, {few_unseen:.0%} are right, and only {few_exact:.0%} of those
                mixtures are wholly right. The network has memorised ten mixtures. It has not learnt
                the pattern of each compound. This is called **overfitting**.""",
            claims={
                "training_is_better": """Compounds right: {few_training:.0%} in training mixtures,
                    {few_unseen:.0%} in unseen mixtures (one seed).""",
                "unseen_are_new": """None of the {n_unseen} unseen compositions was used in this
                    training.""",
            },
            figure=draw_run,
            alt="""Curves: training mixtures up to {few_training:.0%}, unseen mixtures up to
                {few_unseen:.0%}""",
        ),
        Step(
            title="Better than a constant prediction?",
            page="pages/lessons.py",
            facts=ten_and_many,
            text="""We need something to compare a share with. The simplest method does not look at
                the mixture. It always names the three compounds that are commonest in the training
                mixtures. The thin line shows its share of compounds right.""",
            question="What share of the compounds in unseen mixtures does this method get right?",
            options=("0 %", "10 %", "{commonest:.0%}", "{few_unseen:.0%}"),
            answer=2,
            reveal="""It gets {commonest:.0%} right and never looks at a mixture. The network gets
                {few_unseen:.0%} right, which is better. But compare this with {commonest:.0%} and
                not with 0.""",
            claims={
                "network_beats_the_commonest": """The three commonest compounds are {commonest:.0%}
                    of the compounds in {n_unseen} unseen mixtures."""
            },
            figure=draw_run_and_commonest,
            alt="""The same curves, with a line at {commonest:.0%} for always naming the three
                commonest""",
        ),
        Step(
            title="More mixtures",
            page="pages/lessons.py",
            facts=ten_and_many,
            text="""This is the same network with the same first weights, number of steps and batch
                size ({batch} mixtures). But now it learns from {n_many} compositions and not from
                {n_ten}. Both trainings are tested on the same {n_unseen} compositions, which
                neither has used.""",
            question="What changes?",
            options=(
                "It does better on unseen mixtures",
                "It does worse: there is more to memorise",
                "Nothing",
            ),
            answer="gain_option",
            reveal="""The compounds right in unseen mixtures go from {few_unseen:.0%} to
                {many_unseen:.0%}. The mixtures wholly right go from {few_exact:.0%} to
                {many_exact:.0%}. Many mixtures are hard to memorise. It is easier to learn what
                they have in common: the patterns of the compounds.""",
            claims={
                "more_mixtures_help": """With {n_many} compositions, the compounds right in unseen
                    mixtures rise by {gain:.0f} percentage points (one seed)."""
            },
            figure=draw_sizes,
            alt="""Bars of the compounds right. Trained on ten: training {few_training:.0%}, unseen
                {few_unseen:.0%}. Trained on many: training {many_training:.0%}, unseen
                {many_unseen:.0%}""",
        ),
    ),
)
