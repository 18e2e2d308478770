import sys
from pathlib import Path

import pytest
import torch

TESTS = Path(__file__).parents[1]
sys.path[:0] = [
    str(TESTS / name) for name in ("unit", "contract", "integration")
]  # whose cases run here too


@pytest.fixture(autouse=True)
def on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no GPU is here: torch.cuda.is_available() is false")
