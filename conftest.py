"""Which files pytest opens: tests, and the modules of `ray_al` whose docstrings hold examples."""

from pathlib import Path


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Pass over files without tests or examples.

    `--doctest-modules` imports every file that it is given. Helpers of tests, some of which break
    on purpose, and modules of `ray_al` that need an optional package are imported by nothing else.
    """
    if collection_path.suffix != ".py" or collection_path.name.startswith("test_"):
        return None
    return True if ">>> " not in collection_path.read_text() else None
