import ctypes
import os
import platform
import subprocess
import sys

import pytest

from ray_al.core import memory

LOOP = """
import resource, sys
import numpy as np
from ray_al.core.memory import keep_freed_memory
print(keep_freed_memory() if "keep" in sys.argv else None)
def step():
    arrays = [np.ones(1 << 18) for _ in range(24)]  # 2 MiB each, all freed at once
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*arguments: str, own: dict[str, str] | None = None) -> tuple[str, int]:
    """What `keep_freed_memory` returned, and the pages that ten steps had to get."""
    env = {key: value for key, value in os.environ.items() if key not in memory.OWN_SETTINGS}
    done = subprocess.run(
        [sys.executable, "-c", LOOP, *arguments],
        env=env | (own or {}),
        capture_output=True,
        text=True,
        check=True,
    )
    returned, count = done.stdout.split()
    return returned, int(count)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_arrays_of_the_next_step_lie_where_those_of_the_last_one_lay():
    _, default = faults()
    returned, kept = faults("keep")
    assert returned == "True"
    assert default > 20 * kept, (default, kept)


@pytest.mark.parametrize("name", memory.OWN_SETTINGS)
def test_settings_of_the_user_win(name):
    own = {name: "glibc.malloc.check=0" if name == "GLIBC_TUNABLES" else "131072"}
    assert faults("keep", own=own)[0] == "False"


def test_other_allocators_are_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    memory._function_of_glibc.cache_clear()
    memory.keep_freed_memory.cache_clear()
    try:
        assert not memory.keep_freed_memory()
        memory.return_unused_memory()
    finally:
        memory._function_of_glibc.cache_clear()
        memory.keep_freed_memory.cache_clear()
