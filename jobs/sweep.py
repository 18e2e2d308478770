"""Entry point of a sweep that is submitted as a Ray job.

ray job submit --working-dir . -- python jobs/sweep.py jobs/sweep_demo.yaml [--set KEY=VALUE]

The job's exit code is the sweep's. SIGTERM (`ray job stop`) ends it; `ray-al sweep --resume`
continues it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ray_al.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.argv.insert(1, "sweep")
    main()
