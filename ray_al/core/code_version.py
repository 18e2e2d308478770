"""A digest of the code that can change a result, recorded with the result."""

import functools
import hashlib
from pathlib import Path

PARTS = (
    "core",
    "datasets",
    "regions",
    "models",
    "features",
    "train",
    "acquisition",
    "scoring",
    "select",
    "label",
    "ledger",
    "driver",
)
"""Packages that a run's choices and scores depend on; reports and comparisons only read results."""


@functools.cache
def code_digest() -> str:
    """Return the first twelve digits of SHA-256 over the Python files of `PARTS`, with their paths.

    A comment changes it too: equal digests mean equal code, but unequal digests do not mean that
    the results would differ.
    """
    root = Path(__file__).parents[1]
    files: list[Path] = []
    for part in PARTS:
        files += (root / part).rglob("*.py")
    digest = hashlib.sha256()
    for file in sorted(files):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]
