"""What Ctrl-C, a polite SIGTERM and a closed terminal do to a command: it leaves at once, or unwinds and tidies up.

An exception that a signal raises can get lost on its way out: while modules are imported, in a callback, in a library
that makes another error of it. So a command leaves without one as long as it has nothing to tidy up, and `unwinding`
knows what it has heard.
"""

import os
import signal
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


@contextmanager
def unwinding() -> Iterator[None]:
    """Let a signal raise KeyboardInterrupt, whatever a library makes of that on its way out."""
    heard = []

    def hear(*_: object) -> None:
        heard.append(True)
        raise KeyboardInterrupt

    with _handled(hear):
        try:
            yield
        except Exception:
            if not heard:
                raise
    if heard:
        raise KeyboardInterrupt


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
