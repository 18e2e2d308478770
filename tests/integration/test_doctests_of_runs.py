"""The examples in docstrings that make whole runs say what happens."""

import pytest
from helpers.docstrings import RUNS, check_examples


@pytest.mark.parametrize("name", sorted(RUNS))
def test_examples_of_runs(name: str) -> None:
    check_examples(name)
