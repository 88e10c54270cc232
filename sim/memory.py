"""The memory of this computer and this process, as Linux counts it: what may still be taken, and what was."""

import re
import resource
from contextlib import suppress
from pathlib import Path

MEMINFO = Path('/proc/meminfo')
STATUS, CLEAR_REFS = Path('/proc/self/status'), Path('/proc/self/clear_refs')
RESET_PEAK = '5'  # proc(5): of the resident set, since Linux 4.0
CGROUPS = Path('/proc/self/cgroup')
CGROUP_ROOT = Path('/sys/fs/cgroup')


def available_bytes() -> int | None:
    """Return the memory that this process may still take: of the machine, and of its control groups; None: unknown."""
    found = re.search(r'^MemAvailable:\s+(\d+) kB', _text(MEMINFO), re.MULTILINE)
    rooms = [1024 * int(found[1])] if found else []
    for line in _text(CGROUPS).splitlines():
        _, controllers, name = line.split(':', maxsplit=2)
        if controllers in ('', 'memory'):
            folder = CGROUP_ROOT / controllers / name.lstrip('/')
            for group in (folder, *folder.parents):
                if group.is_relative_to(CGROUP_ROOT):
                    rooms += _room(group, 'memory.max', 'memory.current', 'inactive_file')
                    rooms += _room(group, 'memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file')
    return max(0, min(rooms)) if rooms else None


def forget_peak() -> None:
    """Let the peak of this process's memory begin anew, where the system can: it has made other runs, perhaps."""
    with suppress(OSError):
        CLEAR_REFS.write_text(RESET_PEAK)


def peak_bytes() -> int:
    """Return the most memory that this process has had since `forget_peak`, or ever where that could do nothing."""
    found = re.search(r'^VmHWM:\s+(\d+) kB', _text(STATUS), re.MULTILINE)
    return 1024 * int(found[1] if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _room(group: Path, limit: str, usage: str, idle: str) -> list[int]:
    """Return what a group has left, if it has a limit; cached files that nobody reads give way, and count as room."""
    texts = _text(group / limit).strip(), _text(group / usage).strip()
    cached = re.search(rf'^{idle} (\d+)$', _text(group / 'memory.stat'), re.MULTILINE)
    room = int(cached[1]) if cached else 0
    return [int(texts[0]) - int(texts[1]) + room] if all(text.isdigit() for text in texts) else []


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ''
