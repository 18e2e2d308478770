"""An interrupt where Python would end the process in its own way."""

import subprocess
import sys
from pathlib import Path

INSIDE_TEXT = """
import sys
from ray_al import cli
from ray_al.driver import catalog
catalog.list_strategies = lambda: exec("raise KeyboardInterrupt")
sys.argv = ["ray-al", "strategies"]
cli.main()
"""


def test_an_interrupt_while_text_is_executed_leaves_the_exit_code(tmp_path: Path) -> None:
    """Python ends such a process by SIGINT, though the interrupt was caught."""
    (tmp_path / "inside_text.py").write_text(INSIDE_TEXT)
    done = subprocess.run(
        [sys.executable, "-m", "inside_text"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
