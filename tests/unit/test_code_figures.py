"""The limits that the source keeps, and what measures them."""

import ast
from pathlib import Path

import pytest
from helpers.code_figures import Figures, Share, body_length, find_circles, measure, table
from helpers.paths import ROOT


@pytest.fixture(scope="module")
def figures() -> Figures:
    return measure(ROOT, longest_file=350, longest_body=45)


def test_the_source_keeps_its_limits(figures: Figures) -> None:
    assert figures.long_files == figures.long_functions == figures.wide_lines == ()
    assert figures.docstrings.value >= 0.95
    assert figures.settings.count == figures.settings.total > 200
    assert figures.annotations.count == figures.annotations.total > 2000
    assert figures.tests_per_source >= 0.6
    assert figures.readme_bytes <= 10_000


def test_imports_within_packages_form_no_circle(figures: Figures) -> None:
    assert figures.circles == ()


def write_sources(root: Path, **texts: str) -> None:
    """Write modules of a package `ray_al.part`, and all else that is measured."""
    (root / "ray_al/part").mkdir(parents=True)
    for name, text in {"__init__": '"""A part."""\n', **texts}.items():
        (root / f"ray_al/part/{name}.py").write_text(text)
    (root / "tests").mkdir()
    (root / "tests/test_it.py").write_text("def test_it():\n    assert True\n")
    (root / "README.md").write_text("words")


def test_what_breaks_a_limit_is_named(tmp_path: Path) -> None:
    source = """from pydantic import BaseModel

class Settings(BaseModel):
    kind: str = "a"
    told: int = 1
    \"\"\"What it is.\"\"\"
    untold: int = 2

def compute(value, other: int) -> int:
    \"\"\"Compute.\"\"\"
    value += 1
    return value
"""
    write_sources(tmp_path, settings=source + f"# {'x' * 99}\n")
    wide = "x" * 101
    (tmp_path / "ray_al/README.md").write_text(f"|{wide}|\n![{wide}](a.png)\n{wide}\n")
    figures = measure(tmp_path, longest_file=12, longest_body=1)
    assert figures.long_files == ("ray_al/part/settings.py",)
    assert figures.long_functions == ("ray_al/part/settings.py:9 compute",)
    assert figures.wide_lines == ("ray_al/part/settings.py:13", "ray_al/README.md:3")
    assert figures.docstrings == Share(2, 4)
    assert figures.settings == Share(1, 2)
    assert figures.annotations == figures.typed_tests == Share(0, 1)
    assert f"| tests / source lines | {2 / 14:.2f} |" in table(figures)


@pytest.mark.parametrize("inner", ["", "def late():\n    "])
def test_a_circle_is_found_in_functions_too(tmp_path: Path, inner: str) -> None:
    write_sources(
        tmp_path, a="from ray_al.part.b import x\n", b=f"{inner}from ray_al.part import a\n"
    )
    (circle,) = find_circles(tmp_path)
    assert {"ray_al.part.a", "ray_al.part.b"} == set(circle.split(" <- "))


def test_an_import_for_types_alone_makes_no_circle(tmp_path: Path) -> None:
    late = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from ray_al.part import a\n"
    write_sources(tmp_path, a="from ray_al.part.b import x\n", b=late)
    assert find_circles(tmp_path) == ()


def test_a_body_is_counted_without_its_docstring() -> None:
    (function,) = ast.parse(
        'def f():\n    """Say.\n\n    More.\n    """\n\n    return (\n1)\n'
    ).body
    assert isinstance(function, ast.FunctionDef)
    assert body_length(function) == 2
