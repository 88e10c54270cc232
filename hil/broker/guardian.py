"""Ends processes with their owner: a small process between a private broker and whoever started it.

Run as ``python -I guardian.py OWNER_PID FOLDER COMMANDS``: it starts the commands, says their process ids on its
output, and later which of them has ended. A byte on its input lets it start those again that have, and say the ids
anew. It waits until its input is closed or its owner is gone, however that came about; then it kills every process that
descends from it, those that made themselves daemons included, and removes the folder. They are killed, not stopped:
what a private broker holds is thrown away, and its polite end takes seconds.

What is promised: nothing is left after the owner's end, be it kill -9. If it is the guardian that is killed with -9,
the kernel kills the commands, and the owner removes the folder. If both are killed with -9, the folder is left.

It imports nothing of ours, so that it is there at once. Linux only, as is what it guards.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
OUTPUT = 'log/output.txt'
REAP_MS = 10_000


def main() -> None:
    """Guard until there is nobody to guard for."""
    owner, folder, commands = int(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    _prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphans among the descendants become our children
    try:
        gone = os.pidfd_open(owner)
        if os.getppid() == owner:  # else it went before we looked
            _guard(gone, folder, commands)
    except ProcessLookupError:
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _kill_descendants()
        shutil.rmtree(folder, ignore_errors=True)


def _guard(gone: int, folder: Path, commands: list[list[str]]) -> None:
    """Start the commands and return when the owner closes our input, or is gone."""
    poll = select.poll()
    for descriptor in (gone, 0):
        poll.register(descriptor, select.POLLIN)
    children = dict[int, subprocess.Popen[bytes]]()  # by the position of the command
    alive = dict[int, int]()  # descriptors of those that have not ended, and their positions
    while True:
        for i in sorted(set(range(len(commands))) - set(alive.values())):
            children[i] = _start(commands[i], folder)
            descriptor = os.pidfd_open(children[i].pid)
            alive[descriptor] = i
            poll.register(descriptor, select.POLLIN)
        _say({'started': [children[i].pid for i in range(len(commands))]})
        if not _is_to_start_again(poll, alive, children):
            return


def _start(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    with (folder / OUTPUT).open('ab') as output:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder,
                                preexec_fn=_die_with_guardian)  # noqa: PLW1509 - there are no threads here


def _is_to_start_again(poll: select.poll, alive: dict[int, int], children: dict[int, subprocess.Popen[bytes]]) -> bool:
    """Say who ends, until we are told to start again, or there is nobody to guard for."""
    while True:
        for descriptor, _ in poll.poll(REAP_MS):
            if descriptor not in alive:
                return descriptor == 0 and bool(os.read(0, 1))
            poll.unregister(descriptor)
            os.close(descriptor)
            _say({'ended': children[alive.pop(descriptor)].pid})
        _bury()


def _bury() -> None:
    """Take note of the ends of orphans, which the kernel keeps in its table until somebody does."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def _say(words: dict[str, object]) -> None:
    with suppress(BrokenPipeError):  # of an owner that is gone; we see that otherwise
        os.write(1, f'{json.dumps(words)}\n'.encode())


def _kill_descendants() -> None:
    """Kill our children until there are none: theirs become ours."""
    while True:
        for pid in _children():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> list[int]:
    found = []
    for stat in Path('/proc').glob('[0-9]*/stat'):
        with suppress(OSError):  # it has just ended
            parent = stat.read_text('utf-8', 'replace').rpartition(')')[2].split()[1]
            if int(parent) == os.getpid():
                found.append(int(stat.parent.name))
    return found


def _die_with_guardian() -> None:
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), 'prctl')


if __name__ == '__main__':
    main()
