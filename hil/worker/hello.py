"""What a worker says of itself to the twin when it has subscribed: who it is, and what its crypto is.

It is a message without a body among the replies; what it says stands in its AMQP header ``hello``, as JSON. A twin so
learns that all workers are there, and that they are of one version and one provider, before it launches anything.
"""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from sim.memory import available_bytes

HEADER = 'hello'
TEXT_MAX = 200  # of any of it: the broker limits headers, and nobody reads more


@dataclass(frozen=True)
class Hello:
    """A worker's own facts; `memory_mib` is what it may still take, of its machine and container; 0: unknown."""

    node: str
    place: str
    version: str  # of iomtwin
    provider: str  # who does its post-quantum work, with version
    suite: str
    machine: str
    kernel: str
    cores: int
    memory_mib: int

    def to_headers(self) -> Mapping[str, str]:
        """Return the headers of the message that says so."""
        return {HEADER: json.dumps(asdict(self))}


def hello_of(node: str, place: str, provider: str, suite: str) -> Hello:
    """Return what a worker of this machine says."""
    try:
        version = metadata.version('iomtwin')
    except metadata.PackageNotFoundError:
        version = 'unknown'
    return Hello(node, place, version, provider, suite, platform.machine(), platform.release(),
                 len(os.sched_getaffinity(0)), (available_bytes() or 0) >> 20)


def hello_in(headers: Mapping[str, Any]) -> Hello | None:
    """Return what a message's headers say, None if it is no hello; what a worker says wrong is no hello either."""
    said = headers.get(HEADER)
    if not isinstance(said, str):
        return None
    try:
        hello = Hello(**json.loads(said))
    except (ValueError, TypeError, RecursionError):
        return None
    texts = (hello.node, hello.place, hello.version, hello.provider, hello.suite, hello.machine, hello.kernel)
    is_good = all(isinstance(text, str) and len(text) <= TEXT_MAX for text in texts) and all(
        isinstance(number, int) for number in (hello.cores, hello.memory_mib))
    return hello if is_good else None
