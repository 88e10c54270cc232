"""Where the time of this machine's processors goes: to our processes, or to others'."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from hil.paced.processors import Shares, Ticks

BURN = 'while True: pass'
TICKS = Ticks(all=1_000, busy=500, stolen=10, ours=200)
DETACHED = ('import subprocess, sys; p = subprocess.Popen([sys.executable, "-c", "while True: pass"], '
            'stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); print(p.pid)')


def test_shares_are_of_what_passed() -> None:
    """Of 200 ticks, 120 busy: 70 of them ours, so that 50 are others'; 4 were stolen."""
    later = Ticks(all=1_200, busy=620, stolen=14, ours=270)
    assert later.shares(TICKS) == Shares(steal=0.02, others=0.25)


def test_no_share_is_negative() -> None:
    """Ticks are read one file after the other: ours may be the later ones."""
    assert replace(TICKS, all=1_100, busy=550, ours=260).shares(TICKS).others == 0.0


def test_a_child_is_ours() -> None:
    """What a child burns is ours, also when it has ended."""
    before = Ticks.now()
    child = subprocess.Popen([sys.executable, '-c', BURN])
    try:
        while Ticks.now().ours < before.ours + 20:
            time.sleep(0.05)
    finally:
        child.kill()
        child.wait()
    assert Ticks.now().ours >= before.ours + 20


def test_a_process_that_we_did_not_start_is_another() -> None:
    """One that burns, whose parent is gone: the ticks of others are at least half of what it says of itself."""
    started = subprocess.run([sys.executable, '-c', DETACHED], capture_output=True, text=True, check=True)
    pid = started.stdout.strip()
    try:
        before, used = Ticks.now(), used_by(pid)
        while used_by(pid) < used + 50:
            time.sleep(0.05)
        used, after = used_by(pid) - used, Ticks.now()
    finally:
        subprocess.run(['kill', pid], check=True)
    assert after.shares(before).others * (after.all - before.all) >= 0.5 * used


def used_by(pid: str) -> int:
    """Return the ticks that a process has used, as in proc(5)."""
    fields = Path('/proc', pid, 'stat').read_text('utf-8').rpartition(')')[2].split()
    return int(fields[11]) + int(fields[12])
