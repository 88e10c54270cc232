"""Processes of the twin's own, each at the other end of a pipe.

The twin's process keeps time, and has one thread: whatever takes long, waits for a network or wants a thread is done
apart. What comes back is stamped there, and waits in the pipe until the twin looks.
"""

import ctypes
import multiprocessing
import os
import pickle
import queue
import select
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from sim.errors import RunError

PR_SET_PDEATHSIG = 1  # linux/prctl.h
END_S_MAX = 30.0
SPAWN = multiprocessing.get_context('spawn')  # a fork would take the twin's open files and locks along


class Apart:
    """A process that works on what it is sent, as a context; it ends with the twin, however that ends.

    Parameters
    ----------
    work
        What it does; gets its end of the pipe and the arguments. It iterates over `sent` and returns at its end.
    """

    def __init__(self, work: Callable[..., None], *arguments: object) -> None:
        self._pipe, theirs = SPAWN.Pipe()
        self._name = work.__module__
        self._theirs = theirs
        self._process = SPAWN.Process(target=_begin, args=(work, theirs, os.getpid(), arguments), daemon=True)

    def __enter__(self) -> Self:
        """Start it."""
        resource_tracker.ensure_running()  # else the first start would, and by that unblock signals (seen in 3.11)
        with _unheard(signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # by the process: the twin ends it
            self._process.start()
        self._theirs.close()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        """Let it end."""
        self._pipe.close()
        self._process.join(END_S_MAX)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()

    def fileno(self) -> int:
        """Return what `select` waits for."""
        return self._pipe.fileno()

    def send(self, item: object) -> None:
        """Send it something."""
        try:
            self._pipe.send_bytes(pickle.dumps(item, pickle.HIGHEST_PROTOCOL))
        except OSError:
            self.receive()  # its last words
            raise self._ended() from None

    def offer(self, item: object) -> None:
        """Send it something that it can do without: nothing if it is behind, or gone."""
        if select.select([], [self._pipe], [], 0.0)[1]:
            with suppress(OSError):
                self._pipe.send_bytes(pickle.dumps(item, pickle.HIGHEST_PROTOCOL))

    def receive(self) -> Any:
        """Return what it sent, when there is something.

        Raises
        ------
        Exception
            What ended its work.
        RunError
            If it has ended without a word.
        """
        try:
            item = self._pipe.recv()
        except (EOFError, OSError):
            raise self._ended() from None
        if isinstance(item, Exception):
            raise item
        return item

    def _ended(self) -> RunError:
        return RunError(f'{self._name}: its process has ended; look whether memory was short, and run again')


class Inbox:
    """What happens in processes apart, for a thread that waits until a time and no longer."""

    def __init__(self, *sources: Apart) -> None:
        self._sources = sources
        self._heard = deque[Any]()

    def wait(self, seconds: float) -> Any | None:
        """Return what happened, or None if nothing does within a time; at once if that is over.

        Raises
        ------
        Exception
            What ended the work of a process.
        """
        if not self._heard:
            ready = select.select(self._sources, [], [], max(0.0, seconds))[0]
            self._heard.extend(source.receive() for source in ready)
        return self._heard.popleft() if self._heard else None


def sent(pipe: Connection) -> Iterator[Any]:
    """Yield what the twin sends until it wants no more. A thread reads it: the twin never waits for the work."""
    items, is_over = queue.SimpleQueue[Any](), threading.Event()

    def read() -> None:
        with suppress(EOFError, OSError):
            while True:
                items.put(pipe.recv())
        is_over.set()
        items.put(None)

    threading.Thread(target=read, daemon=True).start()
    while (item := items.get()) is not None and not is_over.is_set():
        yield item


def _begin(work: Callable[..., None], pipe: Connection, twin: int, arguments: Sequence[object]) -> None:
    """Work in the process; the last word is the error that ended it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != twin:  # it has ended already
        os._exit(1)
    try:
        work(pipe, *arguments)
    except Exception as error:  # the twin raises it again
        with suppress(OSError):  # the twin is gone
            pipe.send(error)


@contextmanager
def _unheard(*signals: signal.Signals) -> Iterator[None]:
    """Hold signals back until the end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
