"""Check every claim of the lessons on five seeds (6 minutes)."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from nmrclassify.files import write_atomically
from nmrclassify.lessons import LESSONS, facts
from nmrclassify.lessons.lesson import Computation, Facts
from nmrclassify.training.trainer import set_threads

SEEDS = (1, 2, 3, 4, 5)
ANSWER = "the right answer is that of the lesson"


@cache
def _facts(computation: Computation, seed: int | None) -> Facts:
    """Return the facts of a computation with a seed, or with none."""
    options = {} if seed is None else {"seed": seed}
    return computation.compute(lambda share, words: None, **options)


def run(seeds: tuple[int, ...] = SEEDS) -> dict:
    """Return one row for each claim with its truth for each seed, and the sentences that fail.

    The right answer of a question is a claim, too: it must be that of the lesson's own seed,
    because the text behind it explains that one. A computation without a seed has the same facts
    in each column.
    """
    set_threads()
    table, failures = [], []
    for lesson in LESSONS.values():
        for number, step in enumerate(lesson.steps, 1):
            own = step.facts.seed
            answer = step.filled(_facts(step.facts, own)).answer
            texts = {
                seed: step.filled(_facts(step.facts, None if own is None else seed))
                for seed in seeds
            }
            claims = {
                name: {seed: text.claims[i] for seed, text in texts.items()}
                for i, name in enumerate(step.claims)
            }
            claims[ANSWER] = {
                seed: (text.options[text.answer], text.answer == answer)
                for seed, text in texts.items()
            }
            for name, tried in claims.items():
                row = {"lesson": lesson.title, "step": number, "claim": name}
                false = [
                    {"seed": seed, "sentence": sentence}
                    for seed, (sentence, holds) in tried.items()
                    if not holds
                ]
                table.append(
                    row
                    | {"depends on a seed": own is not None, "fails": len(false)}
                    | {f"seed {seed}": holds for seed, (_, holds) in tried.items()}
                )
                failures += [row | one for one in false]
    return {
        "claims": len(table),
        "true on all seeds": sum(not row["fails"] for row in table),
        "failures": failures,
        "table": table,
    }


def package(path: Path = facts.FILE, tell: Callable[[str], None] = print) -> dict:
    """Compute the facts of all lessons and write them to the file of the package (a minute)."""
    set_threads()
    computed = {}
    for name, computation in facts.computations().items():
        tell(f"{name}, about {computation.seconds:.0f} s")
        computed[name] = _facts(computation, None)
    content = facts.file_text(computed).encode()
    write_atomically(path, content)
    return {"computations": len(computed), "file": str(path), "bytes": len(content)}


def check(tell: Callable[[str], None] = print) -> dict:
    """Compute the facts of all lessons again and compare them with those of the package.

    Raises
    ------
    ValueError
        If one differs, see `facts.differences`; the message lists all of them.
    """
    set_threads()
    problems = []
    for name, computation in facts.computations().items():
        tell(f"{name}, about {computation.seconds:.0f} s")
        found = facts.differences(computation, _facts(computation, None))
        problems += [f"{name}: {difference}" for difference in found]
    if problems:
        raise ValueError(
            "\n".join([*problems, "`lessons --write` writes the facts as they are now"])
        )
    return {"computations": len(facts.computations()), "differences": 0}
