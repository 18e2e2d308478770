"""Compare the overhead of later cycles: one warm group of workers, or one `fit()` per cycle.

The overhead of a cycle is its time beyond training, evaluation and scoring.

python jobs/bench_cycle.py [--cycles 5] [--workers 1]
"""

import argparse
import datetime
import json
import statistics
import tempfile
import time
from functools import partial

from ray_al.core.config import RunConfig, parse_config
from ray_al.core.storage import Storage
from ray_al.driver.cluster import connect
from ray_al.driver.create import create_run
from ray_al.driver.host import run
from ray_al.ledger import Event, Journal
from ray_al.ledger.records import CycleTrained, PoolScored


def main() -> None:
    """Run a few cycles in both ways, and print the overheads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="bench_cycle-")
    costs = {}
    begun = time.time()
    with connect(configure(folder, options, keep_workers=True)):
        connected = time.time()
        for name, keep_workers in (("warm group", True), ("fit() per cycle", False)):
            run_dir = create_run(
                configure(folder, options, keep_workers=keep_workers),
                f"{folder}/{name.replace(' ', '_')}",
            )
            steps: list[float] = []
            run(
                run_dir,
                should_stop=lambda: False,
                on_poll=partial(watch, run_dir, steps),
            )
            if keep_workers:
                print(
                    f"Ray started within {connected - begun:.1f} s; "
                    f"{phases(Journal(Storage(run_dir)).events, steps[0])}",
                    flush=True,
                )
            costs[name] = overheads(Journal(Storage(run_dir)).events)
            listed = ", ".join(f"{seconds:.2f}" for seconds in costs[name])
            print(
                f"{name:14s} first cycle {costs[name][0]:.1f} s, "
                f"later cycles {listed[listed.index(',') + 2 :]} s",
                flush=True,
            )
    warm, cold = (statistics.median(seconds[1:]) for seconds in costs.values())
    print(
        f"median of a later cycle: warm {warm:.2f} s, fit() per cycle {cold:.2f} s, "
        f"ratio {cold / warm:.0f}"
    )


def configure(folder: str, options: argparse.Namespace, *, keep_workers: bool) -> RunConfig:
    """Return the configuration of a small run."""
    values = {
        "data": {
            "dataset": "synthetic",
            "root": f"{folder}/data",
            "num_images": 24,
            "image_size": [32, 48],
        },
        "regions": {"rows": 4, "columns": 4},
        "train": {
            "steps": 5,
            "batch_size": 4,
            "workers": options.workers,
            "threads": 1,
            "keep_workers": keep_workers,
        },
        "strategy": {"acquisition": "equal"},
        "scoring": {"workers": 1, "threads": 1, "batch_size": 4},
        "budget": {"start": 16, "per_cycle": 16, "amount": 16 * options.cycles},
    }
    return parse_config(values, source="bench")


def watch(run_dir: str, steps: list[float], waiting: str | None) -> None:
    """Note when a training step is reported for the first time."""
    storage = Storage(run_dir)
    if not steps and storage.exists("status.json"):
        live = json.loads(storage.read("status.json"))
        if live["stage"] == "train" and live["done"]:
            steps.append(time.time())


def phases(events: list[Event], step: float) -> str:
    """Where the time goes before the first step, and before the first scores."""
    first: dict[str, float] = {}
    for event in events:
        first.setdefault(event.kind, _time(event))
    moments = {
        "driver": first["driver_started"],
        "start set labelled": first["labels_received"],
        "first step": step,
        "cycle 0 trained": first["cycle_trained"],
        "pool scored": first["pool_scored"],
    }
    made = first["run_created"]
    return "seconds after the run was made: " + ", ".join(
        f"{name} {moment - made:.1f}" for name, moment in moments.items()
    )


def overheads(events: list[Event]) -> list[float]:
    """Seconds from one trained cycle to the next that neither trained, evaluated nor scored."""
    times, seconds, work = [_time(events[0])], [], 0.0
    for event in events:
        record = event.record
        if isinstance(record, PoolScored):
            work += record.work_seconds
        if isinstance(record, CycleTrained):
            work += record.train_seconds + record.evaluate_seconds
            times.append(_time(event))
            seconds.append(times[-1] - times[-2] - work)
            work = 0.0
    return seconds


def _time(event: Event) -> float:
    return datetime.datetime.fromisoformat(event.time).timestamp()


if __name__ == "__main__":
    main()
