"""Tests lie where the tree says, have names of their own, and share through helpers alone."""

import ast
import functools
from collections import defaultdict
from pathlib import Path

import pytest
from helpers.paths import ROOT, TESTS

FILES = sorted(TESTS.rglob("*.py"))
OUTSIDE = [path for path in FILES if path.parent.name != "helpers"]


def name_of(path: Path) -> str:
    """Return a file's path below `tests`."""
    return str(path.relative_to(TESTS))


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """Return a file's source, which several tests read."""
    return ast.parse(path.read_text())


def imported(path: Path) -> set[str]:
    """Return the names of the modules that a file imports, at any level."""
    names = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def helpers_of(path: Path) -> dict[str, str]:
    """Return the bodies of a file's functions and classes that are no tests, by name."""
    found = {}
    for node in tree_of(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[:5] != "test_":
            body = node.body[1:] if ast.get_docstring(node) else node.body
            found[node.name] = "\n".join(map(ast.unparse, body))
    return found


def test_what_is_no_test_lies_in_helpers() -> None:
    shared = [name_of(path) for path in OUTSIDE if not path.name.startswith("test_")]
    assert [name for name in shared if not name.endswith("conftest.py")] == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_file_imports_a_test(path: Path) -> None:
    last_names = {name.split(".")[-1] for name in imported(path)}
    assert [name for name in last_names if name.startswith(("test_", "conftest"))] == []


def test_no_two_test_files_have_the_same_name() -> None:
    places = defaultdict(list)
    for path in OUTSIDE:
        if path.name != "conftest.py":
            places[path.name].append(name_of(path))
    assert [names for names in places.values() if len(names) > 1] == []


def test_no_two_files_define_the_same_helper() -> None:
    places = defaultdict(list)
    for path in FILES:
        for name, body in helpers_of(path).items():
            places[name, body].append(name_of(path))
    again = {name: files for (name, body), files in places.items() if body and len(files) > 1}
    assert again == {}


def test_folders_of_unit_tests_are_packages() -> None:
    folders = {path.parent.name for path in (TESTS / "unit").glob("*/test_*.py")}
    packages = {path.parent.name for path in (ROOT / "ray_al").glob("*/__init__.py")}
    assert folders <= packages | {"jobs"}
