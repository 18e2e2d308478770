"""Time steps and passes of networks, by whether their process keeps the memory of freed arrays.

python jobs/bench_allocator.py [--repeats 40] [--turns 3]
"""

import argparse
import os
import statistics
import subprocess
import sys
from typing import Final

from ray_al.core.memory import OWN_SETTINGS

PREPARE: Final = """
import statistics, sys, time, torch
from ray_al.core.memory import keep_freed_memory
from ray_al.core.model import ModelConfig
from ray_al.models import build_model
from ray_al.models.networks.fpn import Fpn
repeats = int(sys.argv[2])
if sys.argv[1] == "kept" and not keep_freed_memory():
    raise SystemExit("this system's allocator is not glibc's")
torch.set_num_threads(1)
torch.manual_seed(0)

def step(model, inputs, bf16):
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        loss = model(inputs).float().square().mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
"""
WORK: Final = {
    "step of a head on features of 45x60, bf16": """
sizes = {24: (45, 60), 32: (23, 30), 96: (12, 15), 320: (6, 8)}
maps = tuple(torch.randn(8, count, *size).bfloat16() for count, size in sizes.items())
maps = tuple(one.to(memory_format=torch.channels_last) for one in maps)
model = Fpn(list(sizes), 11, 64, 0.1).to(memory_format=torch.channels_last)
optimizer = torch.optim.AdamW(model.parameters())
work = lambda: step(model, maps, True)
""",
    "step of LR-ASPP, 180x240, fp32": """
images, model = torch.rand(8, 3, 180, 240), build_model(ModelConfig(), 11)
optimizer = torch.optim.AdamW(model.parameters())
work = lambda: step(model, images, False)
""",
    "pass of LR-ASPP, 180x240, bf16": """
from ray_al.scoring.prepare import prepare_network
images = torch.rand(8, 3, 180, 240).bfloat16().to(memory_format=torch.channels_last)
model = prepare_network(build_model(ModelConfig(), 11).eval(), "bf16", "cpu")
work = torch.inference_mode()(lambda: model(images))
""",
}
TIME: Final = """
for _ in range(3):
    work()
seconds = []
for _ in range(repeats):
    start = time.process_time()
    work()
    seconds.append(time.process_time() - start)
print(1e3 * statistics.median(seconds))
"""


def main() -> None:
    """Measure all works with both settings, in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=40, help="steps or passes in a process")
    parser.add_argument("--turns", type=int, default=3, help="processes with each setting")
    options = parser.parse_args()
    for name, work in WORK.items():
        default, kept = [], []
        for _ in range(options.turns):  # in turns: the speed of a machine varies
            default.append(milliseconds(work, "default", options.repeats))
            kept.append(milliseconds(work, "kept", options.repeats))
        ratio = statistics.median(more / less for more, less in zip(default, kept, strict=True))
        print(
            f"{name}: {statistics.median(default):.1f} ms of the processor by default, "
            f"{statistics.median(kept):.1f} ms with kept memory, {ratio:.2f} times as fast",
            flush=True,
        )


def milliseconds(work: str, setting: str, repeats: int) -> float:
    """Return the median time of the processor in a new process, in milliseconds."""
    env = {key: value for key, value in os.environ.items() if key not in OWN_SETTINGS}
    done = subprocess.run(
        [sys.executable, "-c", PREPARE + work + TIME, setting, str(repeats)],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(done.stdout)


if __name__ == "__main__":
    main()
