"""A processor for the clock: while a run is paced, the twin's thread goes before all others, where it may.

Linux lets a thread go first if its user is root or has a limit of real-time priorities (``ulimit -r``); without that
the twin is a process like all others, and says so in the manifest.
"""

import ctypes
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PR_SET_TIMERSLACK = 29  # linux/prctl.h
SLACK_NS = 1_000  # by which a sleep may last longer than it was to; Linux's own is 50 us
YOUNG_MAX = 50_000  # objects before the collector looks at the young ones, in place of Python's 700


@contextmanager
def real_time() -> Iterator[str]:
    """Run the calling thread before others, and let the collector of garbage alone what is there already.

    Yields what was granted: ``fifo``, or ``other`` where the user may not. Threads and processes that are started
    meanwhile are ordinary ones.
    """
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, SLACK_NS)
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, *thresholds[1:])
    granted = 'other'
    with suppress(PermissionError):
        lowest = os.sched_param(os.sched_get_priority_min(os.SCHED_FIFO))
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, lowest)
        granted = 'fifo'
    try:
        yield granted
    finally:
        if granted == 'fifo':
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 0)  # Linux's own again
        gc.set_threshold(*thresholds)
        gc.unfreeze()
