"""The packaged facts of the lessons: computed by the lessons' own code, kept in one JSON file.

With them a step opens at once, and a training in a lesson need not run again for each visitor.
`python -m nmrclassify lessons --write` makes the file, `--check` computes all facts again. Beside
each computation stands a digest of the code and the data that its facts depend on. Facts with
another digest are not used: the app computes them instead.
"""

import ast
import inspect
import json
import platform
import re
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from nmrclassify.lessons import LESSONS, example_mixture, short_training
from nmrclassify.lessons.lesson import Computation, Facts
from nmrclassify.nmr.library import metabolite_library
from nmrclassify.training import packaged

FILE = packaged.FOLDER / "lessons.json"
# Of the larger of two numbers, or of 0.01: a processor may add in another order than another one.
TOLERANCE = 1e-3
# Of shares after a training on another processor, or with another torch. 120 steps enlarge a
# difference in the last digit: on emulated SSE 4 shares of 26 mixtures differed by up to 0.15.
TRAINED_TOLERANCE = 0.25
_NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?")


@cache
def machine() -> str:
    """Return a text that is the same where a training gives the same numbers to the last bit."""
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        cpu = "".join(re.findall(r"(?:model name|flags)\s*:.*", info.read_text())[:2])
    capability = torch.backends.cpu.get_cpu_capability()
    return sha256(f"{cpu} {capability} {torch.__version__}".encode()).hexdigest()[:12]


def computations() -> dict[str, Computation]:
    """Return all computations of the lessons by name, in teaching order."""
    steps = [step for lesson in LESSONS.values() for step in lesson.steps]
    return {step.facts.name: step.facts for step in steps}


def digest(computation: Computation) -> str:
    """Return the SHA-256 of the code of a computation and of the data that lessons use.

    The texts of a lesson do not count, nor do rooms below: `--check` notices a change there.
    """
    return sha256(f"{_code(computation)}\n{_data_digest()}".encode()).hexdigest()


@cache
def _code(computation: Computation) -> str:
    module = inspect.getmodule(computation.compute)
    if module is None:
        raise ValueError(f"{computation.name} is in no module; expected one of the lessons")
    shared = inspect.getsource(example_mixture) + inspect.getsource(short_training)
    return f"{computation.name}\n{_without_texts(module)}\n{shared}"


def _without_texts(module: ModuleType) -> str:
    source = inspect.getsource(module)
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "LESSON":
            lines[node.lineno - 1 : node.end_lineno] = []
    return "\n".join(lines)


@cache
def _data_digest() -> str:
    # Of the packaged table, lessons use ten compounds in bins of 0.5 ppm: their facts do not depend
    # on anything else in it.
    library = metabolite_library()
    names = ("metabolites_queries.safetensors", "metabolites_reference.safetensors")
    weights = [(packaged.FOLDER / name).read_bytes() for name in names]
    own = [repr((library.names, library.axis)).encode(), library.areas.tobytes()]
    return sha256(b"".join([*own, *weights])).hexdigest()


def packaged_facts(computation: Computation) -> Facts | None:
    """Return the packaged facts of a computation; None if its code or data have changed since."""
    entry = _read(FILE)["computations"].get(computation.name)
    if entry is None or entry["digest"] != digest(computation):
        return None
    return entry["facts"]


@cache
def _read(path: Path) -> dict[str, Any]:
    return decoded(json.loads(path.read_text(encoding="utf-8")))


def file_text(all_facts: dict[str, Facts]) -> str:
    """Return the text of the file for the facts of all computations: one of them a line."""
    known = computations()
    lines = [
        f"{json.dumps(name)}: "
        + json.dumps({"digest": digest(known[name]), "facts": encoded(facts)}, ensure_ascii=False)
        for name, facts in all_facts.items()
    ]
    body = ",\n".join(lines)
    return f'{{"machine": "{machine()}", "computations": {{\n{body}\n}}}}\n'


def encoded(value: Any) -> Any:
    """Return facts as JSON can hold them: an array becomes its type and its values.

    Raises
    ------
    ValueError
        If a fact is neither a number, a text, an array, nor a list or dict of these.
    """
    if isinstance(value, np.ndarray):
        # Texts of float32 are shorter than those of the same number as float64.
        values = np.array([str(x) for x in value.ravel()]).astype(float)
        values = values.astype(int) if value.dtype.kind in "iu" else values
        return {"array": str(value.dtype), "values": values.reshape(value.shape).tolist()}
    if isinstance(value, dict):
        return {str(key): encoded(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [encoded(entry) for entry in value]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"a fact is a {type(value).__name__}; expected numbers, texts and arrays")


def decoded(value: Any) -> Any:
    """Return the facts that `encoded` has written."""
    if isinstance(value, dict):
        if value.keys() == {"array", "values"}:
            return np.array(value["values"], dtype=value["array"])
        return {key: decoded(entry) for key, entry in value.items()}
    return [decoded(entry) for entry in value] if isinstance(value, list) else value


def differences(computation: Computation, computed: Facts) -> list[str]:
    """Return a sentence for each packaged fact that a computation did not give again.

    Whole numbers, texts and what is true have to be equal, and numbers within `TOLERANCE`. After a
    training on another `machine` than that of the file, only what the lesson states is compared:
    claims and right answers have to be equal, and shares within `TRAINED_TOLERANCE`.
    """
    stored = packaged_facts(computation)
    if stored is None:
        return ["its code or its data have changed since the file was written"]
    exact = not computation.trains or _read(FILE)["machine"] == machine()
    return _differences(stored, computed, computation.name, _alike if exact else _alike_trained)


def _differences(
    stored: Any, computed: Any, name: str, alike: Callable[[Any, Any, str], bool]
) -> list[str]:
    stored, computed = encoded(stored), encoded(computed)
    if isinstance(stored, dict) and isinstance(computed, dict):
        keys = [*stored, *(key for key in computed if key not in stored)]
        return [
            text
            for key in keys
            for text in _differences(stored.get(key), computed.get(key), key, alike)
        ]
    if isinstance(stored, list) and isinstance(computed, list) and len(stored) == len(computed):
        pairs = enumerate(zip(stored, computed, strict=True))
        return [text for i, pair in pairs for text in _differences(*pair, f"{name}[{i}]", alike)]
    if alike(stored, computed, name):
        return []
    return [f"{name} is {stored!r} in the file, now {computed!r}"]


def _alike(one: Any, other: Any, name: str) -> bool:
    if isinstance(one, float) and isinstance(other, (int, float)):
        return abs(one - other) <= TOLERANCE * max(abs(one), abs(other), 0.01)
    if isinstance(one, str) and isinstance(other, str):
        numbers = [
            [float(number.replace(",", "")) for number in _NUMBER.findall(text)]
            for text in (one, other)
        ]
        same_words = _NUMBER.sub("", one) == _NUMBER.sub("", other)
        return same_words and all(_alike(a, b, name) for a, b in zip(*numbers, strict=True))
    return type(one) is type(other) and one == other


def _alike_trained(one: Any, other: Any, name: str) -> bool:
    if isinstance(one, bool) or name.endswith("_option"):
        return one == other
    if isinstance(one, float) and isinstance(other, float) and 0 <= min(one, other) <= 1:
        return max(one, other) > 1 or abs(one - other) <= TRAINED_TOLERANCE
    return type(one) is type(other)
