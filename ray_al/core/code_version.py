"""Which code made a result: a digest of what can change it."""

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
    "score",
    "select",
    "label",
    "ledger",
    "driver",
)
"""Packages that a run's choices and scores depend on; reports and comparisons only read them."""


@functools.cache
def code_digest() -> str:
    """The first twelve digits of SHA-256 over the paths and the contents of these packages' Python files.

    A comment changes it too: an equal digest says that the code was the same, another one does not
    say that the results would differ.
    """
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for file in sorted(path for part in PARTS for path in (root / part).rglob("*.py")):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]
