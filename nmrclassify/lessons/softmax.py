"""Lesson: a softmax applied twice."""

from math import e, log

import numpy as np
import torch

from nmrclassify.lessons.figures import bars, lines
from nmrclassify.lessons.lesson import Claim, Facts, Lesson, Report, Step
from nmrclassify.lessons.progress import counted, part
from nmrclassify.lessons.trained import BATCH, EVERY, SEED, STEPS, over_steps, short
from nmrclassify.lessons.wording import share
from nmrclassify.mixtures.presets import build
from nmrclassify.training.original_model_2022 import NO_FAULTS, Faults, costs_along, train
from nmrclassify.training.trainer import model_for

CLASSES = 10
ONCE, TWICE = "softmax once", "softmax twice"


def _loss(scores: torch.Tensor, twice: bool) -> torch.Tensor:
    """Return the package's cross entropy for the first class, shape (n,), of scores of shape (n, K)."""
    nothing = torch.zeros(len(scores), 1, 1, 1)
    labels = torch.zeros(len(scores), 1, dtype=torch.int64)
    return costs_along(scores[:, None], nothing, labels, nothing, softmaxed=twice).classification[
        :, 0
    ]


def certain(report: Report) -> Facts:
    """Measure what a second softmax does to ten scores as the right one grows, and to a real first gradient."""
    report(0.0, "computing losses")
    margins = torch.linspace(0, 20, 81)
    scores = torch.zeros(len(margins), CLASSES)
    scores[:, 0] = margins
    scores.requires_grad_(True)
    losses, slopes = {}, {}
    for name, twice in ((ONCE, False), (TWICE, True)):
        losses[name] = _loss(scores, twice)
        slopes[name] = torch.autograd.grad(losses[name].sum(), scores)[0].norm(dim=1).numpy()
        losses[name] = losses[name].detach().numpy()
    once = scores.detach()[-1].softmax(0)
    report(0.5, "computing a first gradient")
    data = build("quick", SEED)
    batch = data.training_batch(0, BATCH)
    lengths = {}
    for name, twice in ((ONCE, False), (TWICE, True)):
        model = model_for(data, SEED)
        logits, separation = model(torch.from_numpy(batch.areas))
        labels, sources = torch.from_numpy(batch.labels), torch.from_numpy(batch.sources)
        costs_along(
            logits, separation.multiplets, labels, sources, softmaxed=twice
        ).classification.mean().backward()
        gradients = [p.grad.square().sum() for p in model.parameters() if p.grad is not None]
        lengths[name] = float(sum(gradients).sqrt())
    report(1.0, "done")
    return {
        "margins": margins.numpy(),
        "losses": losses,
        "slopes": slopes,
        "once": once.numpy(),
        "twice": once.softmax(0).numpy(),
        "floor": float(losses[TWICE].min()),
        "formula": log(e + CLASSES - 1) - 1,
        "largest": e / (e + CLASSES - 1),
        "first gradients": lengths,
    }


def once_and_twice(report: Report) -> Facts:
    """Train slots on the same mixtures with the softmax once and twice."""
    data, runs = build("quick", SEED), {}
    for i, (name, faults) in enumerate(((ONCE, NO_FAULTS), (TWICE, Faults(False, True, False)))):
        on = part(report, 0.5 * i, 0.5 * (i + 1))
        _, runs[name] = train(
            data, short(), faults, SEED, counted(on, STEPS, f"training, {name}"), EVERY
        )
    report(1.0, "done")
    return {"runs": runs, "n_test": len(data.test), "formula": log(e + CLASSES - 1) - 1}


def _last(f: Facts, name: str, key: str) -> float:
    return f["runs"][name][-1][key]


def _half(f: Facts, name: str) -> float:
    return next(row["right"] for row in f["runs"][name] if row["step"] >= STEPS / 2)


def _ratio(f: Facts) -> float:
    return f["first gradients"][TWICE] / f["first gradients"][ONCE]


LESSON = Lesson(
    "softmax",
    "A softmax too many",
    "You will know why a loss that stops at 1.46 is a sign of a mistake, and what the mistake"
    " costs.",
    (
        Step(
            "Scores become chances",
            "pages/lessons.py",
            {},
            lambda f: (
                "A **softmax** turns scores into chances: all above 0, together 1. Here one of"
                f" {CLASSES} compounds has by far the highest score, so after one softmax its"
                " chance is almost 1. The first public version of this network then applied a"
                " second softmax to the chances."
            ),
            "What is left of that chance after the second softmax?",
            lambda f: ("It stays at 100 %", share(f["twice"][0]), share(1 / CLASSES)),
            lambda f: int(
                np.argmin(np.abs(np.array([1.0, f["twice"][0], 1 / CLASSES]) - f["largest"]))
            ),
            lambda f: (
                f"{share(f['twice'][0])}. The chances, now taken for scores, are 1 and nine times"
                f" 0, so the second softmax gives e / (e + 9) = {f['largest']:.3f}. However sure"
                " the network is, it cannot say so."
            ),
            (
                Claim(
                    lambda f: (
                        "After two softmaxes the chance of a certain compound is"
                        f" {f['twice'][0]:.3f} = e / (e + 9)."
                    ),
                    lambda f: (
                        abs(float(f["twice"][0]) - f["largest"]) < 1e-4
                        and float(f["once"][0]) > 0.999
                    ),
                ),
            ),
            certain,
            0.3,
            lambda f, theme: bars(
                [str(k) for k in range(CLASSES)],
                {ONCE: f["once"], TWICE: f["twice"]},
                "compound",
                "chance",
                theme,
                per_cent=True,
            ),
            lambda f: (
                f"Bars: the chance of one compound is {share(f['once'][0])} after one softmax and"
                f" {share(f['twice'][0])} after two"
            ),
        ),
        Step(
            "The floor",
            "pages/lessons.py",
            {},
            lambda f: (
                "The **loss** (cross entropy) is minus the logarithm of the chance given to the"
                " true compound: 0 if the network is sure and right. It applies a softmax of its"
                " own. So a softmax before it makes two. The curves show the loss as the true"
                " compound's score rises above the others."
            ),
            "To what value does the loss fall with two softmaxes?",
            lambda f: ("0.00", "0.43", f"{f['floor']:.2f}", f"{log(CLASSES):.2f}"),
            lambda f: int(
                np.argmin(
                    [abs(value - f["formula"]) for value in (0, 0.43, f["floor"], log(CLASSES))]
                )
            ),
            lambda f: (
                f"To log(e + 9) - 1 = {f['formula']:.4f}; guessing costs {log(CLASSES):.2f}. A"
                f" training whose loss stops near {f['formula']:.2f} with ten classes may well be"
                " perfect, and hide it."
            ),
            (
                Claim(
                    lambda f: (
                        f"The package's own loss, given probabilities, falls to {f['floor']:.4f};"
                        f" the formula says {f['formula']:.4f}."
                    ),
                    lambda f: abs(f["floor"] - f["formula"]) < 1e-4,
                ),
                Claim(
                    lambda f: (
                        f"Given scores, it falls to {max(f['losses'][ONCE].min(), 1e-8):.0e}."
                    ),
                    lambda f: bool(f["losses"][ONCE].min() < 1e-6),
                ),
            ),
            certain,
            0.3,
            lambda f, theme: lines(
                {name: (f["margins"][:49], losses[:49]) for name, losses in f["losses"].items()},
                "score of the true compound above the others",
                "loss",
                theme,
                {"log(e + 9) - 1": f["formula"]},
                y_range=(0, 2.5),
            ),
            lambda f: (
                f"Curves of the loss: with one softmax down to 0, with two down to {f['floor']:.2f}"
            ),
        ),
        Step(
            "Smaller steps",
            "pages/lessons.py",
            {},
            lambda f: (
                "A network learns by following the **gradient**: how the loss changes if its scores"
                " change. The curves show its length with one softmax and with two. At the left,"
                " all ten scores are equal, as in a network that has just been started."
            ),
            "How long is the gradient at the start with two softmaxes, compared with one?",
            lambda f: ("As long", "About a tenth", "About twice as long"),
            lambda f: 1 if 0.05 < f["slopes"][TWICE][0] / f["slopes"][ONCE][0] < 0.2 else 0,
            lambda f: (
                f"It is {f['slopes'][ONCE][0] / f['slopes'][TWICE][0]:.1f} times shorter. Chances"
                " differ less than scores do: with ten of them, each change is divided by ten."
                f" Over all weights of a real untrained network (seed {SEED}, {BATCH} mixtures) the"
                f" gradient is {1 / _ratio(f):.0f} times shorter."
            ),
            (
                Claim(
                    lambda f: (
                        "At equal scores the second softmax shortens the gradient "
                        f"{f['slopes'][ONCE][0] / f['slopes'][TWICE][0]:.2f} times."
                    ),
                    lambda f: bool(
                        abs(f["slopes"][ONCE][0] / f["slopes"][TWICE][0] - CLASSES) < 0.01
                    ),
                ),
                Claim(
                    lambda f: (
                        f"The whole untrained network's gradient is {1 / _ratio(f):.1f} times"
                        " shorter."
                    ),
                    lambda f: _ratio(f) < 0.3,
                ),
            ),
            certain,
            0.3,
            lambda f, theme: lines(
                {name: (f["margins"][:33], slopes[:33]) for name, slopes in f["slopes"].items()},
                "score of the true compound above the others",
                "length of the gradient",
                theme,
                y_range=(0, 1.05),
            ),
            lambda f: (
                f"Curves of the gradient's length: at equal scores {f['slopes'][ONCE][0]:.2f} with"
                f" one softmax, {f['slopes'][TWICE][0]:.3f} with two"
            ),
        ),
        Step(
            "With and without",
            "pages/lessons.py",
            {},
            lambda f: (
                f"Two networks learn from the same {STEPS} batches of {BATCH} mixtures with the"
                f" same first weights (seed {SEED}); one has the second softmax. The curves show"
                f" the compounds right on {f['n_test']} mixtures that neither was trained on."
            ),
            "What does the second softmax do in this training?",
            lambda f: (
                "Nothing: it learns just as fast",
                "It learns, but more slowly",
                "It learns nothing at all",
            ),
            lambda f: (
                2
                if _last(f, TWICE, "right") < 0.3
                else 1
                if _half(f, TWICE) < _half(f, ONCE)
                else 0
            ),
            lambda f: (
                f"Half way through, {share(_half(f, ONCE))} of the compounds are right with one"
                f" softmax and {share(_half(f, TWICE))} with two; at the end"
                f" {share(_last(f, ONCE, 'right'))} and {share(_last(f, TWICE, 'right'))}. The"
                " **optimiser** used here measures its steps by the size of the gradients and so"
                " makes up for part of it; a plain one would not. This is one seed: it shows the"
                " direction, not the exact size."
            ),
            (
                Claim(
                    lambda f: (
                        "Half way through, the second softmax has cost"
                        f" {100 * (_half(f, ONCE) - _half(f, TWICE)):.0f} points of a hundred (one"
                        " seed)."
                    ),
                    lambda f: _half(f, ONCE) > _half(f, TWICE),
                ),
                Claim(
                    lambda f: (
                        f"Its loss never falls below {f['formula']:.2f}: it ends at "
                        f"{_last(f, TWICE, 'classification'):.2f}."
                    ),
                    lambda f: min(row["classification"] for row in f["runs"][TWICE]) > f["formula"],
                ),
            ),
            once_and_twice,
            6.0,
            lambda f, theme: lines(
                over_steps(f["runs"], "right"),
                "step",
                "compounds right, unseen mixtures",
                theme,
                per_cent=True,
            ),
            lambda f: (
                f"Curves of the compounds right: at the end {share(_last(f, ONCE, 'right'))} with"
                f" one softmax, {share(_last(f, TWICE, 'right'))} with two"
            ),
        ),
    ),
)
