"""Active learning for semantic segmentation on Ray."""

import os

__version__ = "0.1.0"

# A thread of OpenMP that waits for another spins, by default for milliseconds. Where other processes use the cores too, it takes the core from
# the one that it waits for: a training step then takes up to twenty times as long. Where it never spins, a step takes half as long again on idle
# cores. So many turns cost neither (jobs/bench_threads.py). OpenMP reads this once, when torch is loaded.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
