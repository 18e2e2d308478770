"""Entry point of a run that is submitted as a Ray job.

ray job submit --working-dir . -- python jobs/run.py jobs/demo.yaml [--set KEY=VALUE] [--out DIR]

The job's exit code is the run's. SIGTERM (`ray job stop`) ends the run cleanly between two steps;
`ray-al resume` continues it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ray_al.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.argv.insert(1, "run")
    main()
