"""A run folder is there with all its files or not at all: after errors, signals, deaths, full disks and rivals."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

from sim import replicating
from sim.errors import RunError
from sim.loading import load
from sim.profiles import load_profile
from sim.replicating import plan_runs, simulate, simulate_all
from sim.results.folder import Run, complete_folder, find_runs, read_run, remove_partial
from tests.results.runs import (
    ENDLESS,
    QUIET,
    ROOT,
    SHORT,
    descendants,
    ended,
    hidden,
    is_alive,
    make,
    plan,
    seeds,
    settings,
    start,
    wait_for,
)

INTERRUPTED = 'iomtwin: interrupted; what is finished is kept, what is not is removed\n'


def refuse(folder: Path) -> None:
    """Fail at the page of a run, in its middle."""
    (folder / 'half').write_text('', 'utf-8')
    raise ValueError(f'no page\nof {folder}')


def fail(*_: object) -> None:
    """Fail at the files of a run."""
    raise MemoryError


def hears(pid: int, number: signal.Signals) -> bool:
    """Return whether a process neither blocks nor ignores a signal, as in proc(5)."""
    status = dict(line.split(':', 1) for line in Path(f'/proc/{pid}/status').read_text('utf-8').splitlines())
    return not (int(status['SigBlk'], 16) | int(status['SigIgn'], 16)) >> (number - 1) & 1


def partial_pids(out: Path) -> list[int]:
    """Return the processes that are writing runs, as their hidden folders tell."""
    return [int(path.name.split('.')[2].partition('-')[0]) for path in hidden(out)]


# -- one process --------------------------------------------------------------------------------------------------


def test_a_run_whose_page_fails_is_kept_and_says_so(tmp_path: Path) -> None:
    """An exception of the last step becomes one line with the place of the run, which can be read."""
    with pytest.raises(RunError, match=r'the run is complete and kept, but its page .*ValueError: no page') as caught:
        simulate(plan(QUIET, ()), tmp_path, trace='none', finish=refuse)
    folder, = seeds(tmp_path)
    assert str(caught.value).startswith(f'{folder}: ')
    assert str(caught.value).endswith(f'(ValueError: no page of {folder}); try iomtwin report {folder}')
    assert read_run(folder).summary
    assert hidden(tmp_path) == []


def test_what_a_killed_run_left_is_removed_by_the_next_of_its_seed(tmp_path: Path) -> None:
    """SIGKILL to a run at work; then the same run, when that is long ago: its folder alone is there."""
    process = start(*ENDLESS, '--out', tmp_path)
    wait_for(lambda: hidden(tmp_path) != [], process)
    process.kill()
    process.communicate()
    (left,) = hidden(tmp_path)
    with complete_folder(left.parent / 'seed-1'):
        assert left.exists()  # for a moment: it could be one that is being made
    os.utime(left, (0.0, 0.0))
    with complete_folder(left.parent / 'seed-1'):
        assert not left.exists()
    assert hidden(tmp_path) == []


def test_a_folder_that_is_being_filled_stays(tmp_path: Path) -> None:
    """Two at work on one target, the first for long."""
    target = tmp_path / 'folder'
    with complete_folder(target) as first:
        os.utime(first, (0.0, 0.0))
        with complete_folder(target):
            assert first.exists()
        (first / 'mine').touch()
    assert [path.name for path in target.iterdir()] == ['mine']


def test_memory_that_runs_out_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MemoryError while a run is written, as numpy raises it: RunError, and not even the folder around it."""
    monkeypatch.setattr(replicating, 'write_run', fail)
    with pytest.raises(RunError, match=r'^quiet, seed 1: memory ran out; take fewer devices'):
        simulate(plan(QUIET, ()), tmp_path / 'results', trace='none')
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    """KeyboardInterrupt at the first progress of a run that has begun."""
    heard = []

    def interrupt(now: float, n_jobs: int) -> None:
        heard.append((now, n_jobs))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(replace(plan('ward', ['learning=null']), engine='simpy'), tmp_path, trace='none', progress=interrupt)
    assert 0.0 < heard[0][0] < 1.0
    assert heard[0][1] > 0
    assert seeds(tmp_path) == hidden(tmp_path) == []


def test_a_run_that_fails_leaves_the_earlier_run_of_its_seed_as_it_was(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs into one folder, the second fails: every file of the first has its bytes."""
    folder = make(tmp_path, QUIET, ()).folder
    before = {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}
    monkeypatch.setattr(replicating, 'write_run', fail)
    with pytest.raises(RunError):
        simulate(plan(QUIET, ()), tmp_path, trace='stages')
    assert {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()} == before
    assert hidden(tmp_path) == []


def test_a_reader_finds_a_run_at_every_moment_of_a_replacement(tmp_path: Path) -> None:
    """A folder replaced two hundred times while another thread reads it: the manifest is there each time."""
    target, is_over = tmp_path / 'seed-1', threading.Event()
    missed: list[bool] = []

    def write() -> None:
        with complete_folder(target) as folder:
            (folder / 'manifest.json').write_text('{}')

    def look() -> None:
        while not is_over.is_set():
            if not (target / 'manifest.json').exists():
                missed.append(True)

    write()
    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(200):
        write()
    is_over.set()
    reader.join()
    assert missed == []


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    """Traced, then not: no file of the first is left."""
    first = make(tmp_path, QUIET, (), trace='stages').folder
    assert (first / 'stages.parquet').exists()
    second = make(tmp_path, QUIET, (), trace='none').folder
    assert second == first
    assert not (second / 'stages.parquet').exists()
    assert read_run(second).manifest['trace'] == 'none'
    assert hidden(tmp_path) == []


def test_rivals_for_one_folder_leave_one_whole_result(tmp_path: Path) -> None:
    """Four threads put fifty folders each at one place: what is there in the end has both files of one of them."""
    target, failures = tmp_path / 'scenario' / 'seed-1', []

    def put(writer: int) -> None:
        try:
            for i in range(50):
                with complete_folder(target) as folder:
                    for name in 'ab':
                        (folder / name).write_text(f'{writer} {i}', 'utf-8')
        except Exception as error:
            failures.append(error)

    writers = [threading.Thread(target=put, args=(writer,)) for writer in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failures == []
    assert sorted(path.name for path in target.iterdir()) == ['a', 'b']
    assert (target / 'a').read_text('utf-8') == (target / 'b').read_text('utf-8')
    assert hidden(tmp_path) == []


def test_only_the_dead_process_is_tidied_up_after(tmp_path: Path) -> None:
    """Hidden folders of processes 17 and 170, and a finished run: only what 17 was writing goes."""
    for name in ('.seed-1.17-0a0b0c0d.partial', '.seed-2.170-0a0b0c0d.partial', 'seed-17'):
        (tmp_path / name).mkdir()
    remove_partial(tmp_path, 17)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['.seed-2.170-0a0b0c0d.partial', 'seed-17']


# -- disks --------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk() -> Iterator[None]:
    """Let no file of this process grow beyond 8 KiB: the nearest thing to a full disk that needs no privilege."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures('ward', 'small_disk')  # the ward first: what it compiles is larger
@pytest.mark.parametrize('trace', ['none', 'stages'])
def test_a_full_disk_is_one_line_that_says_where_and_what_to_do(trace: str, tmp_path: Path) -> None:
    """A table, or the summary alone, does not fit: RunError with the folder's name, and nothing left."""
    with pytest.raises(RunError, match=r'seed-1: cannot be written \(.*(large|os error).*\); make room') as caught:
        simulate(plan(), tmp_path, trace=trace)  # type: ignore[arg-type]  # a literal
    assert '\n' not in str(caught.value)
    assert seeds(tmp_path) == hidden(tmp_path) == []


def test_a_place_that_cannot_be_written_to_ends_with_one_line_and_code_1(tmp_path: Path) -> None:
    """--out names a file: exit code and errors of the command line."""
    (tmp_path / 'file').write_text('', 'utf-8')
    code, out, errors = ended(start('run', QUIET, '--out', tmp_path / 'file'))
    assert (code, out) == (1, '')
    assert errors.startswith(f'iomtwin: {tmp_path / "file"}/quiet-')
    assert errors.endswith('cannot be written (Not a directory); make room, or choose another folder with --out\n')
    assert errors.count('\n') == 1


def test_an_error_in_a_worker_is_raised_in_the_parent(tmp_path: Path) -> None:
    """A place that cannot be written to, in this process and in two others: the same words."""
    (tmp_path / 'file').write_text('', 'utf-8')
    with pytest.raises(RunError) as alone:
        simulate_all([plan(QUIET, ())], tmp_path / 'file', n_processes=1, trace='none')
    with pytest.raises(RunError) as apart:
        simulate_all([plan(QUIET, ())] * 2, tmp_path / 'file', n_processes=2, trace='none')
    assert str(alone.value) == str(apart.value)


def test_an_error_without_words_of_the_system_still_says_what_happened(tmp_path: Path) -> None:
    """An OSError with a text and no number, as libraries raise them, and one of the system."""
    with pytest.raises(RunError, match=r'seed-1: cannot be written \(disk on fire\)'), \
            complete_folder(tmp_path / 'seed-1'):
        raise OSError('disk on fire')
    with pytest.raises(RunError, match=r'No space left on device'), complete_folder(tmp_path / 'seed-1'):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('spoil', [Path.unlink, lambda path: path.write_text('otherwise', 'utf-8')],
                         ids=['deleted', 'edited'])
def test_a_profile_that_goes_while_runs_are_made_changes_none_of_them(
        spoil: Callable[[Path], object], tmp_path: Path) -> None:
    """Two workers make three seeds, and the first that is heard of them spoils a profile: all are of one scenario."""
    profile = tmp_path / 'mine.yaml'
    profile.write_text(load_profile('esp32-pump').contents.decode().replace('name: esp32-pump', 'name: mine'), 'utf-8')
    plans = plan_runs(*load(QUIET, [f'devices.pump.profile={profile}']), [1, 2, 3])
    heard: list[int] = []

    def hear(number: int, share: float, n_jobs: int) -> None:  # noqa: ARG001 - what a progress is told
        if not heard:
            spoil(profile)
        heard.append(number)

    runs = simulate_all(plans, tmp_path / 'out', n_processes=2, trace='none', progress=hear)
    assert heard
    assert [run.folder for run in runs] == seeds(tmp_path / 'out')
    assert len({run.manifest['scenario_hash'] for run in runs}) == 1


# -- signals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_one_line_and_nothing_left(number: signal.Signals, tmp_path: Path) -> None:
    """A ward that would take days, sent a signal when it has its hidden folder."""
    process = start(*ENDLESS, '--out', tmp_path)
    wait_for(lambda: hidden(tmp_path), process)
    process.send_signal(number)
    assert ended(process) == (130, '', INTERRUPTED)
    assert seeds(tmp_path) == hidden(tmp_path) == []


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_replications_keeps_the_finished_and_leaves_no_process(
        number: signal.Signals, tmp_path: Path) -> None:
    """Sent when the first of many seeds is there and others run: whole seeds, no hidden folder, no process left."""
    process = start('run', QUIET, '--replications', '500', '--jobs', '2', '--out', tmp_path)
    wait_for(lambda: seeds(tmp_path) and hidden(tmp_path), process)
    workers = descendants(process.pid)
    assert len(workers) >= 2
    process.send_signal(number)
    assert ended(process) == (130, '', INTERRUPTED)
    wait_for(lambda: not any(map(is_alive, workers)))
    assert hidden(tmp_path) == []
    kept = find_runs(next(tmp_path.iterdir()))
    assert 1 <= len(kept) < 500
    assert all(json.loads((run.folder / 'summary.json').read_text('utf-8')) == run.summary for run in kept)
    assert all((run.folder / 'report.html').exists() for run in kept)


def test_an_interrupt_from_the_keyboard_reaches_all_and_only_one_speaks(tmp_path: Path) -> None:
    """A terminal sends SIGINT to every process of the session; none that was started hears it, however far it is."""
    process = start(*ENDLESS, '--replications', '2', '--jobs', '2', '--out', tmp_path)
    started = wait_for(lambda: len(found := descendants(process.pid)) >= 3 and found, process)  # and a tracker
    heard_by = [pid for pid in started if hears(pid, signal.SIGINT)]
    os.killpg(process.pid, signal.SIGINT)
    assert heard_by == []
    assert ended(process) == (130, '', INTERRUPTED)
    wait_for(lambda: not any(map(is_alive, started)))
    assert seeds(tmp_path) == hidden(tmp_path) == []


def test_an_interrupt_between_two_starts_waits_until_both_are_made() -> None:
    """A worker whose start is interrupted is started all the same, and so is the next one; then the interrupt acts.

    The signal comes to another thread, which does not block it; Python acts on it in this one.
    """
    started = []

    def hear() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.raise_signal(signal.SIGINT)

    class Worker:
        def start(self) -> None:
            other = threading.Thread(target=hear)
            other.start()
            other.join()
            started.append(self)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        replicating._start([Worker(), Worker()])  # type: ignore[list-item]  # all that is asked of a process
    assert len(started) == 2
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())


def test_the_death_of_a_worker_is_one_line_and_ends_the_others(tmp_path: Path) -> None:
    """Of two workers at work one is killed, as the system does when memory runs out: code 1, nothing left."""
    process = start(*ENDLESS, '--replications', '2', '--jobs', '2', '--out', tmp_path)
    wait_for(lambda: len(hidden(tmp_path)) == 2, process)
    workers = descendants(process.pid)
    os.kill(partial_pids(tmp_path)[0], signal.SIGKILL)
    code, out, errors = ended(process)
    assert (code, out) == (1, '')
    assert errors == 'iomtwin: a worker process died (SIGKILL: probably out of memory); try --jobs 1\n'
    wait_for(lambda: not any(map(is_alive, workers)))
    assert seeds(tmp_path) == hidden(tmp_path) == []


def test_workers_share_nothing_that_a_death_could_leave_behind(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers make three runs: no semaphore, no segment of memory was given to Python's tracker of such things.

    What is given to it, it warns of when a process ends before it has taken it back.
    """
    tracked: list[object] = []
    monkeypatch.setattr(resource_tracker, 'register', lambda *what: tracked.append(what))
    simulate_all([plan(QUIET, (), seed) for seed in (1, 2, 3)], tmp_path, n_processes=2, trace='none')
    assert len(seeds(tmp_path)) == 3
    assert tracked == []


def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    """SIGKILL to the parent of two workers at work: they end too, and tidy up."""
    process = start(*ENDLESS, '--replications', '2', '--jobs', '2', '--out', tmp_path)
    wait_for(lambda: len(hidden(tmp_path)) == 2, process)
    workers = descendants(process.pid)
    process.kill()
    assert ended(process)[0] == -signal.SIGKILL
    wait_for(lambda: not any(map(is_alive, workers)))
    assert seeds(tmp_path) == hidden(tmp_path) == []


def test_a_worker_that_loses_its_signal_ends_with_its_parent_all_the_same(tmp_path: Path) -> None:
    """SIGKILL to the parent of two workers that hear nothing: some seconds later nothing of them is left."""
    out = tmp_path / 'out'
    code = f"""if __name__ == '__main__':
    from tests.results.runs import QUIET, Path, deaf, load
    from sim.replicating import plan_runs, simulate_all
    plans = plan_runs(*load(QUIET, ()), [1, 2])
    simulate_all(plans, Path({str(out)!r}), n_processes=2, trace='none', finish=deaf)
"""
    (tmp_path / 'parent.py').write_text(code, 'utf-8')
    environment = os.environ | {'PYTHONPATH': str(ROOT)}
    process = subprocess.Popen([sys.executable, tmp_path / 'parent.py'], start_new_session=True, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    wait_for(lambda: sum((path / 'deaf').exists() for path in hidden(out)) == 2, process)
    workers = descendants(process.pid)
    process.kill()
    assert ended(process)[0] == -signal.SIGKILL
    wait_for(lambda: not any(map(is_alive, workers)))
    assert seeds(out) == hidden(out) == []


# -- rivals -------------------------------------------------------------------------------------------------------


def test_two_processes_that_make_the_same_run_do_not_disturb_each_other(ward: Run, tmp_path: Path) -> None:
    """The same scenario and seed into one folder at the same time: both succeed, and what is there is one whole run."""
    processes = [start('run', 'ward', *settings(SHORT), '--trace', 'stages', '--out', tmp_path) for _ in range(2)]
    for process in processes:
        code, _, errors = ended(process)
        assert (code, errors) == (0, '')
    assert hidden(tmp_path) == []
    together, = seeds(tmp_path)
    assert {path.name for path in together.iterdir()} == {path.name for path in ward.folder.iterdir()} | {'report.html'}
    assert all((together / path.name).read_bytes() == path.read_bytes() for path in ward.folder.glob('*.parquet'))
