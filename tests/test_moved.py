"""Import paths that version 0.1 taught keep working, and warn."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from pkgutil import resolve_name

import pytest

from nmrclassify.moved import MODULES, RENAMED

PROGRAMS = sorted((Path(__file__).parent / "data" / "programs_0_1").glob("*.py"))
# The Python example of the README of version 0.1.
README = {
    "answers": {"answer", "compare", "verdict"},
    "metrics": {"evaluate"},
    "presets": {"build"},
    "training": {"Trainer", "recipe"},
}


def taught():
    """Return every (module, name) that a program of version 0.1, or its README, imports."""
    pairs = {(module, name) for module, names in README.items() for name in names}
    for program in PROGRAMS:
        for node in ast.walk(ast.parse(program.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("nmrclassify"):
                module = node.module.removeprefix("nmrclassify").removeprefix(".")
                pairs |= {(module, alias.name) for alias in node.names}
    # Still defined where it was.
    return sorted(pairs - {("bench.robustness", "SWEEPS")})


@pytest.mark.parametrize(("module", "name"), [pair for pair in taught() if pair[0]])
def test_a_taught_path_leads_to_the_new_one(module, name):
    with pytest.warns(FutureWarning, match=rf"{module}\.{name} is nmrclassify\.\w+\.\w+"):
        value = getattr(importlib.import_module(f"nmrclassify.{module}"), name)
    path = RENAMED.get(f"{module}.{name}", f"{MODULES[module]}.{name}")
    assert value is resolve_name(f"nmrclassify.{path}")


# The configuration of full-scale mixtures has other field names: only that program's imports work.
@pytest.mark.parametrize(
    "program", [path for path in PROGRAMS if path.stem != "scale"], ids=lambda path: path.stem
)
def test_a_program_that_version_0_1_printed_still_runs(program):
    code = program.read_text().replace("figure.show()", "print(len(figure.data))")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > 0


def test_other_names_are_refused():
    with pytest.raises(ImportError):
        importlib.import_module("nmrclassify.nothing")
    with pytest.raises(AttributeError, match="nmrclassify.answers' has no attribute 'listing'"):
        _ = importlib.import_module("nmrclassify.answers").listing
