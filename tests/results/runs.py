"""Runs of a few simulated seconds, and the real command line in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from sim.loading import load
from sim.replicating import Plan, plan_runs, simulate
from sim.resolving import profiles_of, scenario_hash
from sim.results.folder import Run
from sim.results.recording import Trace

ROOT = Path(__file__).resolve().parents[2]
QUIET = Path(__file__).resolve().parent / 'quiet.yaml'
SHORT = ('duration=20 s', 'warm_up=2 s', 'learning.start=3 s', 'learning.pause=1 s')  # of the ward
ENDLESS = ('run', 'ward', '--set', 'duration=1000 h', '--set', 'learning=null',  # longer than any test waits
           '--trace', 'none')  # whose rows no memory would hold
DEADLINE_S = 240.0
T = TypeVar('T')


def plan(scenario: str | Path = 'ward', overrides: Sequence[str] = SHORT, seed: int = 1) -> Plan:
    """Return the plan of one run."""
    return plan_runs(*load(scenario, overrides), [seed])[0]


def hash_of(scenario: str | Path, overrides: Sequence[str] = ()) -> str:
    """Return the hash of a scenario with the profiles that it uses now."""
    loaded, origin = load(scenario, overrides)
    return scenario_hash(loaded, profiles_of(loaded, origin))


def make(out: Path, scenario: str | Path = 'ward', overrides: Sequence[str] = SHORT, *, seed: int = 1,
         trace: Trace = 'jobs') -> Run:
    """Make one run in this process."""
    return simulate(plan(scenario, overrides, seed), out, trace=trace)


def deaf(folder: Path) -> None:
    """Never end, whatever is raised meanwhile, as a library may that loses what a signal raises."""
    while True:
        with suppress(BaseException):
            (folder / 'deaf').touch()
            time.sleep(100.0)


def settings(overrides: Sequence[str]) -> list[str]:
    """Return overrides as arguments of the command line."""
    return [part for override in overrides for part in ('--set', override)]


def start(*arguments: str | Path, hash_seed: int = 0) -> subprocess.Popen[str]:
    """Start the command line in a session of its own, with only this tree to import from."""
    return subprocess.Popen(
        [sys.executable, '-m', 'iomtwin', *map(str, arguments)], cwd=ROOT, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {'PYTHONHASHSEED': str(hash_seed)})


def ended(process: subprocess.Popen[str], seconds: float = DEADLINE_S) -> tuple[int, str, str]:
    """Wait for the end; return exit code, output and errors. What does not end is killed, and fails the test."""
    try:
        out, errors = process.communicate(timeout=seconds)  # until nobody holds its pipes any more
    except subprocess.TimeoutExpired:
        kill(process)
        raise
    return process.returncode, out, errors


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a process and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def wait_for(condition: Callable[[], T], process: subprocess.Popen[str] | None = None) -> T:
    """Return what a condition says once that is true; a process that was to make it true must not end before."""
    until = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        if process is not None and process.poll() is not None:
            raise AssertionError(f'it ended before, and said: {process.communicate()}')
        if time.monotonic() > until:
            if process is not None:
                kill(process)
            raise AssertionError('the condition did not come true in time')
        time.sleep(0.01)
    return found


def children(pid: int) -> list[int]:
    """Return the processes that one has started."""
    try:
        return [int(child) for child in Path(f'/proc/{pid}/task/{pid}/children').read_text('utf-8').split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def descendants(pid: int) -> list[int]:
    """Return the processes below one."""
    found = children(pid)
    return found + [below for child in found for below in descendants(child)]


def is_alive(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    try:
        return Path(f'/proc/{pid}/stat').read_text('utf-8').rpartition(')')[2].split()[0] != 'Z'
    except (FileNotFoundError, ProcessLookupError):
        return False


def seeds(out: Path) -> list[Path]:
    """Return the run folders below a folder."""
    return sorted(out.glob('*/seed-*'))


def files(folder: Path) -> set[str]:
    """Return the names of all files in a run folder, with the folders in it."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file()}


def hidden(out: Path) -> list[Path]:
    """Return what lies in the scenarios' folders under a hidden name."""
    return sorted(out.glob('*/.*'))


def metric(run: Run, name: str, flow: str) -> dict[str, float]:
    """Return the row of a flow's metric."""
    return next(row for row in run.summary if (row['metric'], row['flow']) == (name, flow))
