"""Progress bars: simulated time of many runs together, and jobs a second; or the share of what is timed."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from analysis.interrupts import raise_if_heard

RATE_FROM_S = 1e-3  # since the beginning: before, a rate says nothing
DRAWN_EVERY_S = 0.2  # a bar that draws itself no more often than a person sees


@contextmanager
def progress_bar(label: str, durations_s: Sequence[float]) -> Iterator[Callable[[int, float, int], None]]:
    """Show a bar on the terminal, if errors go to one, and give what moves it: run, share of it done, jobs so far.

    What moves it raises KeyboardInterrupt if one was lost.
    """
    done = [0.0] * len(durations_s)
    n_jobs = [0] * len(durations_s)
    in_all_s = sum(durations_s)
    begun = time.monotonic()
    columns = (TextColumn('{task.description}'), BarColumn(), TaskProgressColumn(), TextColumn('{task.fields[rate]}'),
               TimeRemainingColumn())
    terminal = Console(stderr=True)
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task(label, total=in_all_s, rate='')

        def show(run: int, share: float, jobs: int) -> None:
            raise_if_heard()
            done[run] = share
            n_jobs[run] = max(n_jobs[run], jobs)
            now_s = sum(part * duration_s for part, duration_s in zip(done, durations_s, strict=True))
            rate = sum(n_jobs) / max(time.monotonic() - begun, RATE_FROM_S)
            bar.update(task, completed=now_s,
                       rate=f'{now_s:,.0f} of {in_all_s:,.0f} s simulated, {rate:,.0f} jobs/s')

        yield show


@contextmanager
def waiting_line() -> Iterator[Callable[[str], None]]:
    """Show what is waited for on the terminal, if errors go to one, and give what says it."""
    terminal = Console(stderr=True)
    if not terminal.is_terminal:
        yield lambda _: None
        return
    with terminal.status('') as status:
        yield lambda what: status.update(f'waiting for {what}')


@contextmanager
def drawn_between_steps() -> Iterator[Callable[[str, float], None]]:
    """Show a bar that is drawn only when it is told of progress: nothing else runs while a step is timed.

    Yields a function of what is being done and the share that is done, in [0, 1].
    """
    drawn_s = 0.0
    terminal = Console(stderr=True)
    columns = (TextColumn('{task.description}'), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=terminal, transient=True, auto_refresh=False,
                  disable=not terminal.is_terminal) as bar:
        task = bar.add_task('', total=1.0)

        def show(what: str, share: float) -> None:
            nonlocal drawn_s
            bar.update(task, description=what, completed=share)
            if time.monotonic() > drawn_s + DRAWN_EVERY_S:
                bar.refresh()
                drawn_s = time.monotonic()

        yield show
