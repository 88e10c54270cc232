"""What Ctrl-C, a polite SIGTERM and a closed terminal do to a command: it leaves at once, or unwinds and tidies up.

An exception that a signal raises can get lost on its way out: while modules are imported, in a callback, in a library
that makes another error of it. So a command leaves without one as long as it has nothing to tidy up, and `unwinding`
knows what it has heard; work that takes long asks it now and then, with `raise_if_heard`.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
LINE = 'iomtwin: interrupted; what is finished is kept, what is not is removed\n'
STDERR = 2


@contextmanager
def leaving() -> Iterator[None]:
    """Let a signal end the process at once, with one line."""
    with _handled(_leave):
        yield


_heard = threading.Event()


@contextmanager
def unwinding() -> Iterator[None]:
    """Let a signal raise KeyboardInterrupt, whatever a library makes of that on its way out."""
    _heard.clear()

    def hear(*_: object) -> None:
        _heard.set()
        raise KeyboardInterrupt

    try:
        with _handled(hear), _lost_in_silence():
            try:
                yield
            except Exception:
                if not _heard.is_set():
                    raise
        raise_if_heard()
    finally:
        _heard.clear()


def raise_if_heard() -> None:
    """Raise KeyboardInterrupt if one was raised in `unwinding`, and got lost.

    Raises
    ------
    KeyboardInterrupt
        If so.
    """
    if _heard.is_set():
        raise KeyboardInterrupt


@contextmanager
def _lost_in_silence() -> Iterator[None]:
    """Say nothing of an interrupt that a callback of a library could not hand on."""
    before = sys.unraisablehook

    def hook(unraisable: 'sys.UnraisableHookArgs') -> None:
        if unraisable.exc_type is not KeyboardInterrupt:
            before(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _leave(*_: object) -> None:
    os.write(STDERR, LINE.encode())
    os._exit(INTERRUPTED)


@contextmanager
def _handled(handler: Callable[..., None]) -> Iterator[None]:
    """Handle all three in the main thread, where alone they can be; one that is ignored stays so, as under nohup."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    handled = {number: old for number, old in before.items()
               if old not in (signal.SIG_IGN, None) and threading.current_thread() is threading.main_thread()}
    for number in handled:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in handled.items():
            signal.signal(number, old)
