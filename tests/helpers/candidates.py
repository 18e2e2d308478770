"""Make candidates with features, probabilities and keys for batch rules."""

from typing import Any

import numpy as np
import pyarrow as pa

from ray_al.core.types import SCORE_SCHEMA
from ray_al.select.candidates import Candidates


def rng(seed: int = 0) -> np.random.Generator:
    """Return a generator of random numbers for this seed."""
    return np.random.default_rng(seed)


def make(
    num: int = 60,
    dims: int = 5,
    classes: int = 4,
    labelled: int = 0,
    seed: int = 0,
    features: Any = None,
    probabilities: Any = None,
    keys: Any = None,
) -> Candidates:
    """Return candidates around five centres; arrays that are given replace the drawn ones."""
    random = rng(seed)
    centres = 4 * random.normal(size=(5, dims))
    rows = [
        {
            "image_index": i // 4,
            "image_id": f"i{i // 4:03d}",
            "region": i % 4,
            "score": float(i),
            "num_pixels": 9,
        }
        for i in range(num)
    ]
    drawn = (centres[random.integers(0, 5, num)] + random.normal(size=(num, dims))).astype(
        np.float32
    )
    likely = random.dirichlet(np.full(classes, 0.5), num).astype(np.float32)
    return Candidates(
        table=pa.Table.from_pylist(rows, schema=SCORE_SCHEMA),
        keys=random.random(num) if keys is None else np.asarray(keys, dtype=np.float64),
        features=drawn if features is None else np.asarray(features, dtype=np.float32),
        probabilities=likely
        if probabilities is None
        else np.asarray(probabilities, dtype=np.float32),
        labelled=(
            centres[random.integers(0, 5, labelled)] + random.normal(size=(labelled, dims))
        ).astype(np.float32),
    )
