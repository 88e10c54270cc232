"""A TCP proxy that hurts connections on a schedule: cuts, halves, stalls and delays them after a number of bytes.

What a server has received when a fault strikes is a function of the schedule alone: exactly so many bytes of so many of
its connections, however the network or the threads cut them up. Faults are given, or drawn from a seed.
"""

import random
import socket
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from fcntl import ioctl
from termios import TIOCOUTQ
from types import TracebackType
from typing import Literal, Self

Direction = Literal['up', 'down']  # to the server, to the client
CHUNK_BYTES = 1 << 16
CONNECTIONS_MAX = 64
DRAIN_S_MAX = 10.0  # until the other end has what it shall still get
RESET = struct.pack('ii', 1, 0)  # SO_LINGER with no time: close sends RST


class Kind(Enum):
    """What happens to a connection."""

    CUT = 'cut'  # both ends see a reset
    HALVE = 'halve'  # this direction ends here, the other goes on
    STALL = 'stall'  # nothing more passes in this direction, and nobody is told
    DELAY = 'delay'  # this direction pauses


@dataclass(frozen=True)
class Fault:
    """A fault of the n-th connection, in one direction, after so many bytes of it."""

    connection: int
    direction: Direction
    after_bytes: int
    kind: Kind
    delay_s: float = 0.0


def drawn_faults(seed: int, n_connections: int, bytes_max: int, delay_s_max: float = 0.1) -> list[Fault]:
    """Return one fault for each of some connections."""
    generator = random.Random(seed)
    directions: tuple[Direction, Direction] = ('up', 'down')
    return [Fault(i, generator.choice(directions), generator.randrange(bytes_max), generator.choice(list(Kind)),
                  generator.uniform(0.0, delay_s_max)) for i in range(n_connections)]


class FaultProxy:
    """A proxy before a server, as long as the block that it is entered for.

    Parameters
    ----------
    wait
        Waits some seconds of a delay; it is told of each.
    """

    def __init__(self, server: tuple[str, int], faults: Iterable[Fault] = (), host: str = '127.0.0.1',
                 wait: Callable[[float], object] = time.sleep) -> None:
        self._server, self._wait = server, wait
        self._faults = defaultdict[tuple[int, Direction], list[Fault]](list)
        for fault in faults:
            self.add(fault)
        self.n_forwarded = defaultdict[tuple[int, Direction], int](int)  # bytes
        self._listener = socket.create_server((host, 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._over = threading.Event()
        self._sockets = list[socket.socket]()
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        """Take connections."""
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        """Reset all connections and end all threads."""
        self._over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()
        for each in (self._listener, *self._sockets):
            each.close()

    def add(self, fault: Fault) -> None:
        """Put a fault into the schedule; behind the bytes that have passed, it strikes before the next."""
        line = self._faults[fault.connection, fault.direction]
        line.append(fault)
        line.sort(key=lambda each: each.after_bytes)

    def _accept(self) -> None:
        for i in range(CONNECTIONS_MAX):
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
            except OSError:
                break
            self._sockets += [client, server]
            for pair in ((i, 'up', client, server), (i, 'down', server, client)):
                self._threads.append(threading.Thread(target=self._pump, args=pair))
                self._threads[-1].start()
        with suppress(OSError):
            self._listener.close()  # further ones are refused

    def _pump(self, i: int, direction: Direction, source: socket.socket, sink: socket.socket) -> None:
        """Forward one direction of a connection until it ends or a fault ends it."""
        with suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                while data:
                    fault = next(iter(self._faults[i, direction]), None)
                    n = len(data) if fault is None else fault.after_bytes - self.n_forwarded[i, direction]
                    if n > 0:
                        sink.sendall(data[:n])
                        self.n_forwarded[i, direction] += len(data[:n])
                        data = data[n:]
                    elif fault is not None:
                        self._faults[i, direction].remove(fault)
                        if not self._goes_on_after(fault, source, sink):
                            return
            sink.shutdown(socket.SHUT_WR)

    def _goes_on_after(self, fault: Fault, source: socket.socket, sink: socket.socket) -> bool:
        """Let a fault strike, and return whether anything passes afterwards."""
        match fault.kind:
            case Kind.DELAY:
                self._wait(fault.delay_s)
                return True
            case Kind.STALL:
                self._over.wait()
            case Kind.HALVE:
                sink.shutdown(socket.SHUT_WR)
                while source.recv(CHUNK_BYTES):
                    pass
            case Kind.CUT:
                _drain(sink)
                for each in (source, sink):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    with suppress(OSError):
                        each.shutdown(socket.SHUT_RD)  # wakes the thread of the other direction
                    each.close()
        return False


def _drain(sink: socket.socket) -> None:
    """Wait until the other end's kernel has all that was sent: a reset would throw it away."""
    deadline = time.monotonic() + DRAIN_S_MAX
    while struct.unpack('i', ioctl(sink, TIOCOUTQ, bytes(4)))[0] and time.monotonic() < deadline:
        time.sleep(0.001)
