"""What the kernel says of processes and of the ports that they listen at."""

import ipaddress
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PATIENCE_S = 240.0  # bound of waiting for what comes in any case; the machine may be busy


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f'waited in vain until {what}'
        time.sleep(0.02)


def holding(folder: Path) -> dict[int, str]:
    """Return the processes that were started with a folder in their environment, and their names."""
    found = {}
    for process in Path('/proc').glob('[0-9]*'):
        with suppress(OSError):
            if os.fsencode(folder) in (process / 'environ').read_bytes():
                found[int(process.name)] = (process / 'comm').read_text().strip()
    return found


def listening(pids: set[int]) -> set[tuple[str, int]]:
    """Return the addresses and ports at which processes take TCP connections."""
    inodes = set()
    for pid in pids:
        with suppress(OSError):  # it has ended
            for descriptor in Path(f'/proc/{pid}/fd').iterdir():
                with suppress(OSError):
                    inodes.add(str(descriptor.readlink()))
    found = set()
    for table in ('/proc/net/tcp', '/proc/net/tcp6'):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == '0A' and f'socket:[{fields[9]}]' in inodes:  # LISTEN, see include/net/tcp_states.h
                address, port = fields[1].split(':')
                found.add((_address(address), int(port, 16)))
    return found


def _address(text: str) -> str:
    """Return an address that the kernel writes as words in its own byte order."""
    raw = bytes.fromhex(text)
    words = (raw[i:i + 4][::-1] for i in range(0, len(raw), 4))
    return str(ipaddress.ip_address(b''.join(words)))
