"""The examples in docstrings say what happens."""

import pytest
from helpers.docstrings import RUNS, check_examples, modules_with_examples

MODULES = modules_with_examples()


def test_there_are_examples() -> None:
    assert len(MODULES) >= 6
    assert set(MODULES) >= RUNS


@pytest.mark.parametrize("name", [name for name in MODULES if name not in RUNS])
def test_examples_of(name: str) -> None:
    check_examples(name)
