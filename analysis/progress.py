"""One progress bar for many runs: simulated time of all of them together, and jobs a second."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

RATE_FROM_S = 1e-3  # since the beginning: before, a rate says nothing


@contextmanager
def progress_bar(label: str, durations_s: Sequence[float]) -> Iterator[Callable[[int, float, int], None]]:
    """Show a bar on the terminal, if errors go to one, and give what moves it: run, share of it done, jobs so far."""
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
            done[run] = share
            n_jobs[run] = max(n_jobs[run], jobs)
            now_s = sum(part * duration_s for part, duration_s in zip(done, durations_s, strict=True))
            rate = sum(n_jobs) / max(time.monotonic() - begun, RATE_FROM_S)
            bar.update(task, completed=now_s,
                       rate=f'{now_s:,.0f} of {in_all_s:,.0f} s simulated, {rate:,.0f} jobs/s')

        yield show
