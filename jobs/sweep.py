"""Entry point of `ray job submit --working-dir . -- python jobs/sweep.py jobs/sweep_demo.yaml [--set KEY=VALUE] [--out SWEEP_DIR]`.

The job's exit code follows the sweep's. SIGTERM (`ray job stop`) ends it; `ray-al sweep --resume` goes on.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ray_al.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.argv.insert(1, "sweep")
    main()
