"""Find and run the examples in the package's docstrings."""

import doctest
import importlib
from pathlib import Path

import ray_al

RUNS = frozenset({"ray_al.api"})
"""The modules whose examples make whole runs."""


def modules_with_examples() -> list[str]:
    """Return the names of all modules whose docstrings hold examples."""
    root = Path(ray_al.__file__).parent
    files = [file for file in sorted(root.rglob("*.py")) if ">>> " in file.read_text()]
    parts = [("ray_al", *file.relative_to(root).with_suffix("").parts) for file in files]
    return [".".join(one).removesuffix(".__init__") for one in parts]


def check_examples(name: str) -> None:
    """Fail if a module's examples do not print what they say, or if there are none."""
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0
