"""Active learning for semantic segmentation on Ray."""

import os

__version__ = "0.1.0"

# Two threads on two cores that others use: a thread that spins while it waits takes the core from the one that it waits for, and a training
# step takes ten times as long (jobs/bench_threads.py). OpenMP reads this once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
