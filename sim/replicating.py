"""Many runs: one after the other in this process, or on several processes; each leaves its run folder or nothing.

Workers are separate processes that take plans from one list. An interrupt, the death of one of them, or that of the
parent ends them all at once; what they had not finished is removed, what they had is kept.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from sim.errors import IomtwinError, RunError
from sim.loading import Origin
from sim.results.contents import scenario_folder, write_run
from sim.results.folder import Run, complete_folder, read_run, remove_partial
from sim.results.recording import Trace
from sim.running import EngineName, execute_lowered, prepare, with_seed
from sim.scenario import Scenario

Progress = Callable[[int, float, int], None]  # plan, share of its duration done, messages so far
POLL_S = 0.2  # how often the parent looks after its workers
END_S = 10.0  # what workers get to tidy up


@dataclass(frozen=True)
class Plan:
    """One run to make."""

    scenario: Scenario
    origin: Origin
    seed: int
    engine: EngineName = 'auto'


def simulate(plan: Plan, out: Path, *, trace: Trace, finish: Callable[[Path], object] | None = None,
             progress: Callable[[float, int], None] | None = None) -> Run:
    """Make one run and write its folder, to which `finish` may then add files.

    Raises
    ------
    InputError
        If the scenario cannot be lowered.
    RunError
        If the run fails, and then there is no folder; or if only `finish` does, and the folder stays.
    """
    scenario = with_seed(plan.scenario, plan.seed)
    end_s = scenario.duration

    def report(now_s: float, n_jobs: int) -> None:
        if progress is not None:
            progress(min(now_s / end_s, 1.0), n_jobs)

    try:
        lowered = prepare(scenario, plan.origin)  # bad input is told before a folder is made
        target = scenario_folder(out, scenario, lowered.profiles) / f'seed-{plan.seed}'
        with complete_folder(target) as folder:
            write_run(folder, execute_lowered(lowered, engine=plan.engine, trace=trace, progress=report))
            problem = _finished(finish, folder).replace(str(folder), str(target))
    except MemoryError:
        raise RunError(f'{scenario.name}, seed {plan.seed}: memory ran out; take fewer devices, a shorter duration, '
                       '--trace none or fewer --jobs') from None
    if problem:
        raise RunError(f'{target}: the run is complete and kept, but its page could not be made ({problem}); try '
                       f'iomtwin report {target}')
    return read_run(target)


def _finished(finish: Callable[[Path], object] | None, folder: Path) -> str:
    """Add the last files to a complete run, and return what went wrong with that."""
    try:
        if finish is not None:
            finish(folder)
    except Exception as error:  # of whatever kind: the run was long, and its tables are whole
        return f'{type(error).__name__}: {" ".join(str(error).split())}'
    return ''


def simulate_all(plans: Sequence[Plan], out: Path, *, n_processes: int, trace: Trace,
                 finish: Callable[[Path], object] | None = None, progress: Progress | None = None) -> list[Run]:
    """Make all runs, in the order of the plans.

    Raises
    ------
    RunError
        If a worker process dies, for instance because memory ran out.
    """
    tell = progress or _ignore
    n = min(n_processes or os.cpu_count() or 1, len(plans))
    if n > 1:
        return _in_processes(plans, out, n, trace, finish, tell)
    runs = []
    for i, plan in enumerate(plans):
        runs.append(simulate(plan, out, trace=trace, finish=finish,
                             progress=partial(tell, i)))
        tell(i, 1.0, 0)
    return runs


def _ignore(plan: int, share: float, n_jobs: int) -> None:
    """Tell nobody."""


def _in_processes(plans: Sequence[Plan], out: Path, n: int, trace: Trace, finish: Callable[[Path], object] | None,
                  tell: Progress) -> list[Run]:
    context = multiprocessing.get_context('spawn')
    tasks, news = context.Queue(), context.Queue()
    for i, plan in enumerate(plans):
        tasks.put((i, plan))
    for _ in range(n):
        tasks.put(None)
    workers = [context.Process(target=_work, args=(tasks, news, out, trace, finish), daemon=True) for _ in range(n)]
    try:
        _start(workers)
        folders = _follow(workers, news, len(plans), tell)
        for worker in workers:
            worker.join(END_S)
    finally:
        _stop(workers)
        for parent in {scenario_folder(out, plan.scenario) for plan in plans}:
            for worker in workers:
                if worker.pid is not None:
                    remove_partial(parent, worker.pid)
        for channel in (tasks, news):
            channel.cancel_join_thread()
    return [read_run(folders[i]) for i in range(len(plans))]


def _start(workers: Sequence[SpawnProcess]) -> None:
    """Start workers that hear no Ctrl-C, which a terminal sends to them too: it is the parent who ends them.

    One that comes meanwhile waits until all are started, for a worker that is half started would complain. The mask is
    for the workers, which begin with it; here another thread may hear the signal, and the handler keeps it.
    """
    heard: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()  # only it may have handlers, and is interrupted
    handler = signal.signal(signal.SIGINT, lambda number, _: heard.append(number)) if is_main else None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        for worker in workers:
            worker.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
    if heard:
        raise KeyboardInterrupt


def _stop(workers: Sequence[SpawnProcess]) -> None:
    """End what still runs: politely first, so that it tidies up."""
    running = [worker for worker in workers if worker.is_alive()]
    for worker in running:
        worker.terminate()
    for worker in running:
        worker.join(END_S)
        if worker.is_alive():
            worker.kill()
            worker.join()


def _follow(workers: Sequence[SpawnProcess], news: Any, n_plans: int, tell: Progress) -> dict[int, Path]:
    """Collect what workers say until every plan has its folder."""
    folders: dict[int, Path] = {}
    while len(folders) < n_plans:
        exit_codes = [worker.exitcode for worker in workers]
        dead = [code for code in exit_codes if code not in (None, 0)]
        if dead:
            raise RunError(f'a worker process died ({_cause(dead[0])}); try --jobs 1')
        try:
            i, what, value = news.get(timeout=POLL_S)
        except queue.Empty:
            if None not in exit_codes:
                raise RunError('the worker processes ended with runs left to make; try --jobs 1') from None
            continue
        if what == 'progress':
            tell(i, *value)
        elif what == 'done':
            folders[i] = value
            tell(i, 1.0, 0)
        else:
            raise value
    return folders


def _cause(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        return f'{name}: probably out of memory' if name == 'SIGKILL' else name
    return f'exit code {exit_code}'


def _tell_parent(news: Any, plan: int, share: float, n_jobs: int) -> None:
    news.put((plan, 'progress', (share, n_jobs)))


def _work(tasks: Any, news: Any, out: Path, trace: Trace, finish: Callable[[Path], object] | None) -> None:
    """Make runs until there are no more; SIGTERM unwinds, so that no partial folder stays."""
    heard = []

    def end(*_: object) -> None:
        heard.append(True)
        news.cancel_join_thread()  # perhaps nobody reads any more
        sys.exit(143)

    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _work_off(tasks, news, out, trace, finish)
    except Exception:
        if not heard:
            raise
        sys.exit(143)  # a library made something else of the first one


def _work_off(tasks: Any, news: Any, out: Path, trace: Trace, finish: Callable[[Path], object] | None) -> None:
    while (task := tasks.get()) is not None:
        i, plan = task
        try:
            run = simulate(plan, out, trace=trace, finish=finish,
                           progress=partial(_tell_parent, news, i))
        except IomtwinError as error:
            news.put((i, 'error', error))
            return
        news.put((i, 'done', run.folder))


def _end_with_parent() -> None:
    """Wait for the parent's death, however it dies, and end this process: nobody wants its runs any more."""
    parent = multiprocessing.parent_process()
    assert parent is not None, 'workers have a parent'
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
