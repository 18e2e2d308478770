"""Time a training step on idle and on busy cores, by how OpenMP's threads wait for each other.

python jobs/bench_threads.py [--steps 10] [--threads 2] [--busy 2]
"""

import argparse
import os
import subprocess
import sys
import time

WAITS: dict[str, dict[str, str]] = {
    "default": {},
    "OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"},
    **{
        f"GOMP_SPINCOUNT={count}": {"GOMP_SPINCOUNT": str(count)}
        for count in (1_000, 10_000, 100_000, 1_000_000)
    },
    "one thread": {},
}
STEP = """
import statistics, sys, time, torch  # before ray_al, which makes a choice of its own
from ray_al.core.model import ModelConfig
from ray_al.models import build_model
steps, threads = map(int, sys.argv[1:])
torch.set_num_threads(threads)
torch.manual_seed(0)
model = build_model(ModelConfig(), 8).train()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
images, labels = torch.rand(8, 3, 96, 128), torch.randint(0, 8, (8, 96, 128))
seconds = []
for _ in range(steps + 2):
    start = time.perf_counter()
    logits = torch.nn.functional.interpolate(model(images), size=(96, 128), mode="bilinear")
    loss = torch.nn.functional.cross_entropy(logits, labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    seconds.append(time.perf_counter() - start)
print(statistics.median(seconds[2:]), max(seconds[2:]))
"""


def main() -> None:
    """Measure all ways of waiting, on idle and on busy cores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--busy", type=int, default=2, help="processes that do nothing but take a core each"
    )
    options = parser.parse_args()
    print(
        f"seconds per step, median (longest) of {options.steps}, {options.threads} threads, "
        f"{os.cpu_count()} cores"
    )
    for busy in (0, options.busy):
        others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
        time.sleep(1)
        try:
            for name, variables in WAITS.items():
                median, longest = measure(
                    options, variables, threads=1 if name == "one thread" else options.threads
                )
                print(
                    f"with {busy} busy processes  {name:24s} {median:7.3f} ({longest:.3f})",
                    flush=True,
                )
        finally:
            for other in others:
                other.kill()
                other.wait()


def measure(
    options: argparse.Namespace, variables: dict[str, str], *, threads: int
) -> tuple[float, float]:
    """The median and the longest step, in seconds."""
    unset = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    env = {key: value for key, value in os.environ.items() if key not in unset} | variables
    done = subprocess.run(
        [sys.executable, "-c", STEP, str(options.steps), str(threads)],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    median, longest = done.stdout.split()
    return float(median), float(longest)


if __name__ == "__main__":
    main()
