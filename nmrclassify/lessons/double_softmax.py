"""Lesson: a softmax applied twice."""

from math import e, log

import plotly.graph_objects as go
import torch

from nmrclassify.lessons.figures import bars, lines
from nmrclassify.lessons.lesson import Facts, Lesson, Report, Step, computation, nearest
from nmrclassify.lessons.progress import part_of, report_steps
from nmrclassify.lessons.short_training import BATCH, EVERY, SEED, STEPS, over_steps, short
from nmrclassify.mixtures.presets import build
from nmrclassify.plots.style import Theme
from nmrclassify.training.original_model_2022 import NO_FAULTS, Faults, assigned_costs, train
from nmrclassify.training.trainer import model_for

CLASSES = 10
ONCE, TWICE = "softmax once", "softmax twice"
LOWEST_LOSS = log(e + CLASSES - 1) - 1  # of two softmaxes
LARGEST = e / (e + CLASSES - 1)  # probability after two softmaxes


def cross_entropy(scores: torch.Tensor, twice: bool) -> torch.Tensor:
    """Return the loss of training for the first class, shape (n,), of scores of shape (n, K)."""
    nothing = torch.zeros(len(scores), 1, 1, 1)
    labels = torch.zeros(len(scores), 1, dtype=torch.int64)
    costs = assigned_costs(scores[:, None], nothing, labels, nothing, softmaxed=twice)
    return costs.classification[:, 0]


@computation(seconds=0.3)
def losses_and_gradients(report: Report, seed: int = SEED) -> Facts:
    """Measure the effect of a second softmax on ten scores and on a first gradient."""
    report(0.0, "computing losses")
    margins = torch.linspace(0, 20, 81)
    scores = torch.zeros(len(margins), CLASSES)
    scores[:, 0] = margins
    scores.requires_grad_(True)
    losses, slopes = {}, {}
    for name, twice in ((ONCE, False), (TWICE, True)):
        loss = cross_entropy(scores, twice)
        slopes[name] = torch.autograd.grad(loss.sum(), scores)[0].norm(dim=1).numpy()
        losses[name] = loss.detach().numpy()
    once = scores.detach()[-1].softmax(0)
    probabilities = {ONCE: once.numpy(), TWICE: once.softmax(0).numpy()}
    highest = {name: float(values[0]) for name, values in probabilities.items()}
    floor, floor_once = float(losses[TWICE].min()), float(losses[ONCE].min())
    shorter = float(slopes[ONCE][0] / slopes[TWICE][0])

    report(0.5, "computing a first gradient")
    data = build("quick", seed)
    batch = data.training_batch(0, BATCH)
    labels, sources = torch.from_numpy(batch.labels), torch.from_numpy(batch.sources)
    lengths = {}
    for name, twice in ((ONCE, False), (TWICE, True)):
        model = model_for(data, seed)
        logits, separation = model(torch.from_numpy(batch.areas))
        costs = assigned_costs(logits, separation.multiplets, labels, sources, softmaxed=twice)
        costs.classification.mean().backward()
        squares = [p.grad.square().sum() for p in model.parameters() if p.grad is not None]
        lengths[name] = float(torch.stack(squares).sum().sqrt())
    report(1.0, "done")
    return {
        "seed": seed,
        "batch": BATCH,
        "n_classes": CLASSES,
        "probabilities": probabilities,
        "highest_once": highest[ONCE],
        "highest_twice": highest[TWICE],
        "equal_share": 1 / CLASSES,
        "largest": LARGEST,
        "highest_option": nearest((1.0, highest[TWICE], 1 / CLASSES), LARGEST),
        "highest_is_the_formula": abs(highest[TWICE] - LARGEST) < 1e-4 and highest[ONCE] > 0.999,
        "margins": margins.numpy(),
        "losses": losses,
        "slopes": slopes,
        "floor": floor,
        "floor_once": max(floor_once, 1e-8),
        "formula": LOWEST_LOSS,
        "equal_loss": log(CLASSES),
        "floor_option": nearest((0, 0.43, floor, log(CLASSES)), LOWEST_LOSS),
        "floor_is_the_formula": abs(floor - LOWEST_LOSS) < 1e-4,
        "one_softmax_has_no_floor": floor_once < 1e-6,
        "slope_once": float(slopes[ONCE][0]),
        "slope_twice": float(slopes[TWICE][0]),
        "shorter": shorter,
        "slope_option": 1 if 0.05 < 1 / shorter < 0.2 else 0,
        "slope_is_divided_by_the_classes": abs(shorter - CLASSES) < 0.01,
        "network_shorter": lengths[ONCE] / lengths[TWICE],
        "network_gradient_is_shorter": lengths[TWICE] / lengths[ONCE] < 0.3,
    }


@computation(seconds=6.0, trains=True)
def once_and_twice(report: Report, seed: int = SEED) -> Facts:
    """Train slots on the same mixtures with one softmax and with two."""
    data, runs = build("quick", seed), {}
    for i, (name, faults) in enumerate(((ONCE, NO_FAULTS), (TWICE, Faults(False, True, False)))):
        part = part_of(report, 0.5 * i, 0.5 * (i + 1))
        on_step = report_steps(part, STEPS, f"training, {name}")
        _, runs[name] = train(data, short(), faults, seed, on_step, EVERY)
    once, twice = (runs[name][-1]["right"] for name in (ONCE, TWICE))
    half_once, half_twice = (
        next(row["right"] for row in runs[name] if row["step"] >= STEPS / 2)
        for name in (ONCE, TWICE)
    )
    losses = [row["classification"] for row in runs[TWICE]]
    report(1.0, "done")
    return {
        "seed": seed,
        "steps": STEPS,
        "batch": BATCH,
        "n_test": len(data.test),
        "runs": runs,
        "once": once,
        "twice": twice,
        "half_once": half_once,
        "half_twice": half_twice,
        "half_cost": 100 * (half_once - half_twice),
        "cost_option": 2 if twice < 0.3 else 1 if half_twice < half_once else 0,
        "two_learn_more_slowly": half_once > half_twice,
        "formula": LOWEST_LOSS,
        "last_loss": losses[-1],
        "loss_stays_above_the_formula": min(losses) > LOWEST_LOSS,
    }


def draw_probabilities(facts: Facts, theme: Theme) -> go.Figure:
    """Draw the probabilities after one softmax and after two."""
    classes = [str(k) for k in range(CLASSES)]
    return bars(classes, facts["probabilities"], "compound", "probability", theme, per_cent=True)


def draw_losses(facts: Facts, theme: Theme) -> go.Figure:
    """Draw the losses over the score of the true compound, and the lowest loss of two softmaxes."""
    return lines(
        {name: (facts["margins"][:49], losses[:49]) for name, losses in facts["losses"].items()},
        "score of the true compound above the others",
        "loss",
        theme,
        {"log(e + 9) - 1": facts["formula"]},
        y_range=(0, 2.5),
    )


def draw_slopes(facts: Facts, theme: Theme) -> go.Figure:
    """Draw the length of the gradient over the score of the true compound."""
    return lines(
        {name: (facts["margins"][:33], slopes[:33]) for name, slopes in facts["slopes"].items()},
        "score of the true compound above the others",
        "length of the gradient",
        theme,
        y_range=(0, 1.05),
    )


def draw_runs(facts: Facts, theme: Theme) -> go.Figure:
    """Draw the compounds right over the steps of both trainings."""
    curves = over_steps(facts["runs"], "right")
    return lines(curves, "step", "compounds right, unseen mixtures", theme, per_cent=True)


LESSON = Lesson(
    name="softmax",
    title="A softmax too many",
    aim="You will know why a loss that stops at 1.46 is a sign of a mistake, and what it costs.",
    steps=(
        Step(
            title="Scores become probabilities",
            page="pages/lessons.py",
            facts=losses_and_gradients,
            text="""A **softmax** turns scores into probabilities. All of them are above 0, and
                their sum is 1. Here, one of {n_classes} compounds has by far the highest score.
                After one softmax, its probability is almost 1. The first public version of this
                network applied a second softmax to the probabilities.""",
            question="What is the highest probability after the second softmax?",
            options=("It stays at 100 %", "{highest_twice:.0%}", "{equal_share:.0%}"),
            answer="highest_option",
            reveal="""It is {highest_twice:.0%}. The second softmax takes the probabilities for
                scores. They are 1 and nine times 0, so it gives e / (e + 9) = {largest:.3f}. The
                network cannot give a higher probability than this.""",
            claims={
                "highest_is_the_formula": """After two softmaxes, a certain compound has the
                    probability {highest_twice:.3f} = e / (e + 9)."""
            },
            figure=draw_probabilities,
            alt="""Bars: one compound has the probability {highest_once:.0%} after one softmax and
                {highest_twice:.0%} after two""",
        ),
        Step(
            title="The lowest loss",
            page="pages/lessons.py",
            facts=losses_and_gradients,
            text="""The **loss** (cross entropy) is minus the logarithm of the probability of the
                true compound. It is 0 if this probability is 1. The loss itself applies a softmax,
                so a softmax before it makes two. The curves show the loss as the score of the true
                compound rises above the others.""",
            question="To what value does the loss fall with two softmaxes?",
            options=("0.00", "0.43", "{floor:.2f}", "{equal_loss:.2f}"),
            answer="floor_option",
            reveal="""It falls to log(e + 9) - 1 = {formula:.4f}. Ten equal
                probabilities give {equal_loss:.2f}. If a training with ten classes stops at a loss
                near {formula:.2f}, its predictions may be perfect. The loss does not show it.""",
            claims={
                "floor_is_the_formula": """The loss of this app, computed from probabilities, falls
                    to {floor:.4f}. The formula gives {formula:.4f}.""",
                "one_softmax_has_no_floor": "Computed from scores, it falls to {floor_once:.0e}.",
            },
            figure=draw_losses,
            alt="Curves of the loss: with one softmax down to 0, with two down to {floor:.2f}",
        ),
        Step(
            title="Smaller gradients",
            page="pages/lessons.py",
            facts=losses_and_gradients,
            text="""A network learns from the **gradient**: how the loss changes if its scores
                change. The curves show the length of the gradient with one softmax and with two. At
                the left, all ten scores are equal, as in an untrained network.""",
            question="How long is the gradient at the left with two softmaxes, compared with one?",
            options=("The same", "About a tenth", "About twice as long"),
            answer="slope_option",
            reveal="""It is {shorter:.1f} times shorter. With ten equal probabilities, the first
                softmax divides each change of a score by ten. We also measured the gradient over
                all weights of an untrained network (seed {seed}, {batch} mixtures). It is
                {network_shorter:.0f} times shorter.""",
            claims={
                "slope_is_divided_by_the_classes": """At equal scores, the second softmax makes the
                    gradient {shorter:.2f} times shorter.""",
                "network_gradient_is_shorter": """It makes the gradient of the whole untrained
                    network {network_shorter:.1f} times shorter.""",
            },
            figure=draw_slopes,
            alt="""Curves of the length of the gradient: at equal scores {slope_once:.2f} with one
                softmax, {slope_twice:.3f} with two""",
        ),
        Step(
            title="One softmax and two",
            page="pages/lessons.py",
            facts=once_and_twice,
            text="""Two networks learn from the same {steps} batches of {batch} mixtures. Their
                first weights are the same (seed {seed}). One of them has the second softmax. In
                half of the mixtures, an unknown compound replaces one of the library, so that
                compositions are hard to memorise. The curves show the compounds right on {n_test}
                unseen mixtures.""",
            question="What does the second softmax do in this training?",
            options=(
                "Nothing: the network learns just as fast",
                "The network learns, but more slowly",
                "The network learns nothing at all",
            ),
            answer="cost_option",
            reveal="""After half of the steps, {half_once:.0%} of the compounds are right with one
                softmax and {half_twice:.0%} with two. At the end it is {once:.0%} and {twice:.0%}.
                The **optimiser** of this training divides its steps by the size of the gradients,
                so small gradients cost less. A plain optimiser does not do this. This is one seed:
                it shows the direction of the effect, not its exact size.""",
            claims={
                "two_learn_more_slowly": """After half of the steps, the second softmax costs
                    {half_cost:.0f} percentage points (one seed).""",
                "loss_stays_above_the_formula": """With two softmaxes the loss never falls below
                    {formula:.2f}. It ends at {last_loss:.2f}.""",
            },
            figure=draw_runs,
            alt="""Curves of the compounds right: at the end {once:.0%} with one softmax,
                {twice:.0%} with two""",
        ),
    ),
)
