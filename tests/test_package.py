"""The science runs without the app, pages are thin, requirements pinned, documents up to date."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from nmrclassify import bench

ROOT = Path(__file__).parents[1]

BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "streamlit":
            raise ImportError("streamlit is blocked")
sys.meta_path.insert(0, Block())
import importlib, pkgutil, nmrclassify
for module in pkgutil.walk_packages(nmrclassify.__path__, "nmrclassify."):
    if not module.name.startswith("nmrclassify.ui") and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from nmrclassify.training import checkpoints
model = checkpoints.shipped()
print(model.model.predict(model.dataset.test_mixtures().areas[0]).probabilities.shape)
try:
    import streamlit
except ImportError:
    print("blocked")
"""


def test_the_science_runs_with_streamlit_blocked():
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.split("\n")[:2] == ["(3, 10)", "blocked"], done.stderr


@pytest.mark.parametrize(
    "path", [ROOT / "app.py", *sorted((ROOT / "pages").glob("*.py"))], ids=lambda p: p.name
)
def test_pages_are_thin(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 150
    assert "unsafe_allow_html" not in text
    assert "import torch" not in text


def test_requirements_are_pinned_and_short():
    lines = (ROOT / "requirements.txt").read_text().split()
    assert all("==" in line for line in lines)
    assert {line.split("==")[0] for line in lines} == {
        "streamlit",
        "torch",
        "numpy",
        "plotly",
        "pandas",
        "pytest",
        "scipy",
        "safetensors",
        "tqdm",
        "nmrglue",
        "nmrsim",
        "pybaselines",
    }


def test_ci_runs_the_readmes_test_line():
    readme = (ROOT / "README.md").read_text().splitlines()
    line = next(line for line in readme if line.startswith("pip install -r tests/requirements.txt"))
    script = (ROOT / ".ci" / "run").read_text().replace(" --durations=10", "").splitlines()
    install, tests = line.split(" && ", 1)
    assert install in script
    assert tests in script


@pytest.mark.parametrize("gate", ["ruff check .", "ruff format --check .", "mypy"])
def test_ci_runs_the_gates(gate):
    assert gate in (ROOT / ".ci" / "run").read_text().splitlines()


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/design.md"]
)
def test_the_documents_name_files_that_are_there(name):
    text = (ROOT / name).read_text()
    paths = re.findall(r"`((?:nmrclassify|tests|docs|pages)/[\w/.]+)`|\]\(([\w/.]+)\)", text)
    paths = [first or second for first, second in paths]
    assert paths
    missing = [path for path in paths if "NAME" not in path and not (ROOT / path).exists()]
    assert missing == []


def test_the_readmes_python_example_runs():
    text = (ROOT / "README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 16
    done = subprocess.run(
        [sys.executable, "-c", code.replace("steps=100", "steps=20")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0 and "compound_accuracy" in done.stdout, done.stderr


def test_the_wheel_has_every_room_and_the_packaged_data():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert settings["packages"]["find"]["include"] == ["nmrclassify*"]
    packaged = settings["package-data"]["nmrclassify"]
    assert "data/*" in packaged
    # What the picture of the network is drawn with.
    scripts = {f"ui/*{path.suffix}" for path in (ROOT / "nmrclassify" / "ui").glob("diagram.*s")}
    assert scripts == {"ui/*.css", "ui/*.js"} <= set(packaged)
    folders = {path.parent for path in (ROOT / "nmrclassify").rglob("*.py")}
    assert all((folder / "__init__.py").is_file() for folder in folders)


def test_the_readme_is_finished():
    text = (ROOT / "README.md").read_text()
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert len(pictures) >= 5
    assert all((ROOT / picture).stat().st_size > 10_000 for picture in pictures)
    assert "RESULTS" not in text
    for name in re.findall(r"`bench ([a-z]+)`", text):
        assert name in bench.listed(), name
