"""Where this machine's processor time went while the clock of a run ran: to us, to other processes, to other guests.

Us is this process and all that descend from it: the twin, its devices, the broker and the workers that it started.
"""

import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path('/proc')
BUSY = (0, 1, 2, 5, 6)  # of the numbers behind `cpu` in /proc/stat: user, nice, system, irq, softirq
N_TIMES, STEAL = 8, 7  # guest time, behind these, is counted in user time already
PARENT = 1  # in /proc/<pid>/stat, behind the name
TIMES = (11, 12, 13, 14)  # there: user and system, its own and of its children that have ended


@dataclass(frozen=True)
class Shares:
    """Shares of the processors' time.

    Attributes
    ----------
    steal
        Taken by other guests of the host.
    others
        Taken by other processes of this machine.
    """

    steal: float
    others: float


@dataclass(frozen=True)
class Ticks:
    """Processor time since the start of the machine, in ticks."""

    all: int
    busy: int
    stolen: int
    ours: int

    @classmethod
    def now(cls) -> 'Ticks':
        """Read it."""
        times = [int(each) for each in (PROC / 'stat').read_text().splitlines()[0].split()[1:N_TIMES + 1]]
        return cls(sum(times), sum(times[i] for i in BUSY), times[STEAL], _ours())

    def shares(self, before: 'Ticks') -> Shares:
        """Return the shares of what passed since an earlier time."""
        passed = max(self.all - before.all, 1)
        others = (self.busy - before.busy) - (self.ours - before.ours)
        return Shares((self.stolen - before.stolen) / passed, max(others, 0) / passed)


def _ours() -> int:
    """Return the ticks of this process and of its descendants."""
    ticks: dict[int, int] = {}
    children: dict[int, list[int]] = {}
    for folder in PROC.iterdir():
        if folder.name.isdecimal():
            try:
                fields = (folder / 'stat').read_text().rpartition(')')[2].split()
            except OSError:  # it has ended
                continue
            ticks[int(folder.name)] = sum(int(fields[i]) for i in TIMES)
            children.setdefault(int(fields[PARENT]), []).append(int(folder.name))
    found, open_ = 0, [os.getpid()]
    while open_:
        process = open_.pop()
        found += ticks.get(process, 0)
        open_ += children.get(process, [])
    return found
