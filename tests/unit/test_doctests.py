"""The examples in docstrings say what happens."""

import doctest
import importlib
from pathlib import Path

import pytest

import ray_al

ROOT = Path(ray_al.__file__).parent
FILES = [file for file in sorted(ROOT.rglob("*.py")) if ">>> " in file.read_text()]


def name_of(file: Path) -> str:
    return ".".join(("ray_al", *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(
        ".__init__"
    )


def test_there_are_examples():
    assert len(FILES) >= 6


@pytest.mark.parametrize("name", map(name_of, FILES))
def test_examples_of(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0
