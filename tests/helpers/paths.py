"""Where this repository lies, and what a process that a test starts can import."""

import os
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent


def python_path() -> str:
    """Return a PYTHONPATH with the package, the helpers, and all that this process can import."""
    return os.pathsep.join([str(ROOT), str(TESTS), *filter(None, sys.path)])
