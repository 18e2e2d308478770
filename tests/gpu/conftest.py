import pytest
import torch


@pytest.fixture(autouse=True)
def on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no GPU is here: torch.cuda.is_available() is false")
