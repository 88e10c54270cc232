"""Processes of the twin's own, apart from a run."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_first_process_apart_does_not_hear_ctrl_c() -> None:
    """A program of its own, for only the first process that a program spawns starts Python's resource tracker as well.

    That unblocks signals behind it; so Ctrl-C, which goes to all processes of a terminal, would end the process apart
    with a traceback, before the twin has ended what it holds.
    """
    done = subprocess.run([sys.executable, '-m', 'tests.paced.deaf'], cwd=ROOT, capture_output=True, text=True,
                          check=True)
    assert done.stdout.split() == ['SIGHUP', 'SIGINT', 'SIGTERM']
