"""Many runs: one after the other in this process, or on several processes; each leaves its run folder or nothing.

Workers are separate processes; each has a pipe to its parent, who hands out one plan at a time. They share nothing, no
queue, lock or semaphore that a death could leave behind. An interrupt, the death of one of them, or that of the parent
ends them all at once; what they had not finished is removed, what they had is kept.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from sim.agreement import check_agreement
from sim.engines import Progress
from sim.errors import IomtwinError, RunError
from sim.origin import Origin
from sim.profiles import Profile
from sim.resolving import profiles_of
from sim.results.contents import scenario_folder, write_run
from sim.results.folder import Run, complete_folder, read_run, remove_partial
from sim.results.recording import Trace
from sim.running import EngineName, execute_lowered, prepare, with_seed
from sim.scenario import Scenario

PlanProgress = Callable[[int, float, int], None]  # plan, share of its duration done, messages so far
END_S = 10.0  # what workers get to tidy up
ENDED = 143  # 128 + SIGTERM


@dataclass(frozen=True)
class Plan:
    """One run to make."""

    scenario: Scenario
    origin: Origin
    profiles: Mapping[str, Profile]  # what the scenario uses: all seeds are of the same, whatever becomes of the files
    seed: int
    engine: EngineName = 'auto'


def plan_runs(scenario: Scenario, origin: Origin, seeds: Iterable[int], engine: EngineName = 'auto') -> list[Plan]:
    """Return a plan for each seed of a scenario.

    Raises
    ------
    InputError
        If a profile cannot be read.
    """
    profiles = profiles_of(scenario, origin)
    return [Plan(scenario, origin, profiles, seed, engine) for seed in seeds]


def simulate(plan: Plan, out: Path, *, trace: Trace, finish: Callable[[Path], object] | None = None,
             progress: Progress | None = None) -> Run:
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
        lowered = prepare(scenario, plan.origin, plan.profiles)  # bad input is told before a folder is made
        target = scenario_folder(out, scenario, plan.profiles) / f'seed-{plan.seed}'
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
                 finish: Callable[[Path], object] | None = None, progress: PlanProgress | None = None) -> list[Run]:
    """Make all runs, in the order of the plans.

    Raises
    ------
    RunError
        If a worker process dies, for instance because memory ran out.
    """
    tell = progress or _ignore
    n = min(n_processes or os.cpu_count() or 1, len(plans))
    if n > 1:
        if any(plan.engine != 'simpy' for plan in plans):
            check_agreement()  # here, once, and not in each process
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
                  tell: PlanProgress) -> list[Run]:
    context = multiprocessing.get_context('spawn')
    pipes = [context.Pipe() for _ in range(n)]
    workers = [context.Process(target=_work, args=(theirs, out, trace, finish), daemon=True) for _, theirs in pipes]
    try:
        _start(workers)
        for _, theirs in pipes:
            theirs.close()  # so that a worker's death ends its pipe
        folders = _follow(dict(zip((ours for ours, _ in pipes), workers, strict=True)), plans, tell)
        for worker in workers:
            worker.join(END_S)
    finally:
        _stop(workers)
        for parent in {scenario_folder(out, plan.scenario, plan.profiles) for plan in plans}:
            for worker in workers:
                if worker.pid is not None:
                    remove_partial(parent, worker.pid)
        for ours, _ in pipes:
            ours.close()
    return [read_run(folders[i]) for i in range(len(plans))]


def _start(workers: Sequence[SpawnProcess]) -> None:
    """Start workers that hear no Ctrl-C, which a terminal sends to them too: it is the parent who ends them.

    One that comes meanwhile waits until all are started, for a worker that is half started would complain. The mask is
    for the workers, which begin with it; here another thread may hear the signal, and the handler keeps it.
    """
    resource_tracker.ensure_running()  # else the first start would, and by that unblock the signal (seen in 3.11)
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


def _follow(workers: Mapping[Connection, SpawnProcess], plans: Sequence[Plan], tell: PlanProgress) -> dict[int, Path]:
    """Hand out the plans, one at a time to each worker, and collect what they say until every plan has its folder."""
    tasks = iter(enumerate(plans))
    folders: dict[int, Path] = {}
    busy = dict(workers)
    for channel, worker in workers.items():
        with _death_told(worker):
            channel.send(next(tasks))  # there are no more workers than plans
    while busy:
        for channel in [channel for channel in wait(list(busy)) if isinstance(channel, Connection)]:
            with _death_told(workers[channel]):
                i, what, value = channel.recv()
                if what == 'done':
                    task = next(tasks, None)
                    channel.send(task)
                    if task is None:  # it ends now
                        del busy[channel]
            if what == 'error':
                raise value
            if what == 'done':
                folders[i] = value
            tell(i, *(value if what == 'progress' else (1.0, 0)))
    return folders


@contextmanager
def _death_told(worker: SpawnProcess) -> Iterator[None]:
    """Say what a worker died of when its pipe ends."""
    try:
        yield
    except (EOFError, OSError):
        worker.join(END_S)
        raise RunError(f'a worker process died ({_cause(worker.exitcode)}); try --jobs 1') from None


def _cause(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        return f'{name}: probably out of memory' if name == 'SIGKILL' else name
    return f'exit code {exit_code}'


def _work(parent: Connection, out: Path, trace: Trace, finish: Callable[[Path], object] | None) -> None:
    """Make runs until there are no more; SIGTERM unwinds, so that no partial folder stays."""
    heard = []

    def end(*_: object) -> None:
        heard.append(True)
        sys.exit(ENDED)

    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=_end_with_parent, args=(out,), daemon=True).start()
    try:
        _work_off(parent, out, trace, finish)
    except Exception as error:
        if not heard and not isinstance(error, (EOFError, ConnectionError)):
            raise
        sys.exit(ENDED)  # a library made something else of the first one; or the parent is gone


def _work_off(parent: Connection, out: Path, trace: Trace, finish: Callable[[Path], object] | None) -> None:
    while (task := parent.recv()) is not None:
        i, plan = task
        try:
            run = simulate(plan, out, trace=trace, finish=finish, progress=partial(_tell_progress, parent, i))
        except IomtwinError as error:
            parent.send((i, 'error', error))
            return
        parent.send((i, 'done', run.folder))


def _tell_progress(parent: Connection, plan: int, share: float, n_jobs: int) -> None:
    parent.send((plan, 'progress', (share, n_jobs)))


def _end_with_parent(out: Path) -> None:
    """Wait for the parent's death, however it dies, and end this process: nobody wants its runs any more.

    What SIGTERM raises can get lost in a library: then it ends all the same, a little later.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None, 'workers have a parent'
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END_S)
    try:
        for folder in out.iterdir():
            remove_partial(folder, os.getpid())
    finally:
        os._exit(ENDED)
