"""The rooms of the package, and the arrows between them: see docs/architecture.md."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# From top to bottom. A room imports only rooms below it; those of one row do not import each other.
FLOORS = (
    ("app.py", "pages", "__main__"),
    ("cli",),
    ("cli_parser",),
    ("bench",),
    ("ui",),
    ("lessons",),
    ("plots",),
    ("baselines",),
    ("training",),
    ("evaluation",),
    ("networks",),
    ("mixtures",),
    ("nmr",),
    ("config", "files"),
    ("__init__",),
    ("moved",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MAX_ARROWS = 80
# The command line runs the benches by name; nothing else may need them.
MAY_IMPORT_BENCH = {"cli", "bench"}


def sources():
    """Return the path and the syntax tree of every module of the package, the pages and the app."""
    paths = [ROOT / "app.py", *(ROOT / "pages").glob("*.py"), *(ROOT / "nmrclassify").rglob("*.py")]
    return [(path.relative_to(ROOT), ast.parse(path.read_text())) for path in sorted(paths)]


SOURCES = sources()


def room_of(path):
    """Return the room that a file stands in."""
    if path.parts[0] != "nmrclassify":
        return path.parts[0]
    return path.parts[1].removesuffix(".py")


def imported_modules(tree):
    """Return the full names of all modules that a syntax tree imports, also inside functions."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"relative import on line {node.lineno}; write it in full"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_rooms(tree):
    """Return the rooms of the package that a syntax tree imports."""
    parts = [name.split(".") for name in imported_modules(tree)]
    rooms = {part[1] for part in parts if part[0] == "nmrclassify" and len(part) > 1}
    return {room for room in rooms if room in FLOOR}


ARROWS = {
    (room_of(path), room): path
    for path, tree in SOURCES
    for room in imported_rooms(tree)
    if room != room_of(path)
}


def test_every_file_stands_in_a_known_room():
    assert {room_of(path) for path, _ in SOURCES} == set(FLOOR)


@pytest.mark.parametrize(("upper", "lower"), sorted(ARROWS))
def test_arrows_go_down(upper, lower):
    assert FLOOR[upper] < FLOOR[lower], f"{ARROWS[upper, lower]} imports {lower}"
    assert lower != "bench" or upper in MAY_IMPORT_BENCH


def test_there_are_few_arrows():
    assert len(ARROWS) <= MAX_ARROWS


@pytest.mark.parametrize("library", ["streamlit"])
def test_only_the_app_imports_streamlit(library):
    rooms = {
        room_of(path)
        for path, tree in SOURCES
        if any(name.split(".")[0] == library for name in imported_modules(tree))
    }
    assert rooms <= {"app.py", "pages", "ui"}


def test_class_names_are_unique():
    names = Counter(
        node.name
        for path, tree in SOURCES
        for node in tree.body
        if isinstance(node, ast.ClassDef) and path.parts[0] == "nmrclassify"
    )
    assert [name for name, times in names.items() if times > 1] == []


def test_networks_answer_for_themselves():
    compared = re.compile(r"\bkind *(==|!=|in|not in) *[({\[]?\"(slots|queries)\"")
    lines = [
        f"{path}: {line.strip()}"
        for path, _ in SOURCES
        for line in (ROOT / path).read_text().splitlines()
        if compared.search(line)
    ]
    assert len(lines) <= 5, "\n".join(lines)
