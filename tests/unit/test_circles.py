"""Modules of a package import each other in one direction, imports in functions included."""

import ast
from graphlib import TopologicalSorter

import pytest
from helpers.paths import ROOT

PACKAGES = sorted(path.parent.name for path in (ROOT / "ray_al").glob("*/__init__.py"))


def imports_of(path, modules):
    """Names of the `modules` that a file imports, at its top or in functions, but not for types."""
    tree = ast.parse(path.read_text())
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
    of_types = {
        inner
        for block in blocks
        if ast.unparse(block.test) == "TYPE_CHECKING"
        for inner in ast.walk(block)
    }
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or node in of_types:
            continue
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            found.add(inner if inner in modules else node.module)
    return found & modules.keys()


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_form_no_circle(package):
    paths = (ROOT / "ray_al" / package).rglob("*.py")
    names = {path: path.relative_to(ROOT).with_suffix("").parts for path in paths}
    modules = {".".join(parts).removesuffix(".__init__"): path for path, parts in names.items()}
    assert len(modules) > 4
    graph = {name: imports_of(path, modules) for name, path in modules.items()}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError where there is one
    assert set(order) == modules.keys()
