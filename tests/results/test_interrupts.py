"""A command that is interrupted, or whose output goes nowhere, leaves with one line at most and the right code."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from analysis.interrupts import unwinding
from analysis.progress import progress_bar
from tests.results.runs import DEADLINE_S, QUIET, ROOT, ended, start, wait_for

CLOSED, INTERRUPTED = 141, 130
SLOW_IMPORT = 'import time\nopen("here", "w").close()\ntime.sleep(100)\n'


@pytest.mark.parametrize(('module', 'arguments'), [
    ('typer', ['check', 'ward']), ('polars', ['report', 'nowhere']), ('networkx', ['run', str(QUIET)])])
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_modules_are_imported_ends_with_one_line(
        module: str, arguments: list[str], number: signal.Signals, tmp_path: Path) -> None:
    """A module that takes for ever to import, first of the command line, then of a command: code 130, no traceback."""
    (tmp_path / f'{module}.py').write_text(SLOW_IMPORT)
    process = subprocess.Popen(
        [sys.executable, '-c', 'import iomtwin; iomtwin.main()', *arguments], cwd=tmp_path, text=True,
        start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {'PYTHONPATH': os.pathsep.join((str(tmp_path), str(ROOT)))})
    wait_for((tmp_path / 'here').exists, process)
    process.send_signal(number)
    code, out, errors = ended(process)
    assert (code, out) == (INTERRUPTED, '')
    assert errors.startswith('iomtwin: interrupted')
    assert errors.count('\n') == 1


def alone(number: signal.Signals) -> None:
    """Send a signal to this process."""
    signal.raise_signal(number)


def changed(number: signal.Signals) -> None:
    """Make another error of the exception of a signal."""
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt:
        raise ValueError from None


def lost(number: signal.Signals) -> None:
    """Lose the exception of a signal."""
    with suppress(KeyboardInterrupt):
        signal.raise_signal(number)


@pytest.mark.parametrize('raised', [alone, changed, lost])
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_one_whatever_a_library_makes_of_it(
        number: signal.Signals, raised: Callable[[signal.Signals], None]) -> None:
    """Its exception, another one, or none, within `unwinding`: KeyboardInterrupt; the handler is as it was before."""
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), unwinding():
        raised(number)
    assert signal.getsignal(number) == before


def interrupted_in_a_callback(steps: list[int]) -> None:
    """Hear a signal within a callback of C, which cannot hand an exception on, and work on."""
    with unwinding(), progress_bar('work', [1.0]) as progress:
        ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal(signal.SIGINT))()
        for step in range(3):
            steps.append(step)
            progress(0, 0.5, 1)


def test_an_interrupt_that_a_callback_loses_ends_long_work(capfd: pytest.CaptureFixture[str]) -> None:
    """The next progress ends the work, and nothing is said of what was lost."""
    steps: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted_in_a_callback(steps)
    assert steps == [0]
    assert 'Exception ignored' not in capfd.readouterr().err


def test_an_interrupt_in_code_that_is_a_string_ends_with_the_same_code(tmp_path: Path) -> None:
    """Python remembers an interrupt that went through `exec`, whoever catches it, and ends by the signal: we do not."""
    (tmp_path / 'odd.py').write_text('import iomtwin\n'
                                     "iomtwin.app.command('odd')(lambda: exec('raise KeyboardInterrupt'))\n"
                                     'iomtwin.main()\n')
    done = subprocess.run([sys.executable, '-m', 'odd', 'odd'], capture_output=True, text=True, check=False,
                          env=os.environ | {'PYTHONPATH': f'{ROOT}:{tmp_path}'})
    assert done.returncode == 130
    assert 'iomtwin: interrupted' in done.stderr


def test_an_error_without_an_interrupt_stays_what_it_is() -> None:
    """An error of the work itself, within `unwinding`."""
    with pytest.raises(ZeroDivisionError), unwinding():
        raise ZeroDivisionError


@pytest.mark.parametrize('arguments', [
    ['check', 'ward'], ['check', '--schema'], ['profiles'], ['profiles', 'raspberry-pi-4'], ['--help'], []])
def test_an_output_that_nobody_reads_ends_a_command_without_a_word(arguments: list[str]) -> None:
    """The reader of a pipe is gone before the command begins."""
    process = start(*arguments)
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, errors) == (CLOSED, '')


@pytest.mark.parametrize('arguments', [['check', 'ward'], ['check', '--schema'], ['profiles', 'raspberry-pi-4'], []])
def test_an_output_that_takes_no_more_is_one_line(arguments: list[str]) -> None:
    """/dev/full in the place of a file on a full disk."""
    with Path('/dev/full').open('w') as full:
        done = subprocess.run([sys.executable, '-m', 'iomtwin', *arguments], cwd=ROOT, stdout=full, text=True,
                              stderr=subprocess.PIPE, timeout=DEADLINE_S, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith('iomtwin: ')
    assert 'No space left on device' in done.stderr
    assert done.stderr.count('\n') == 1


@pytest.mark.parametrize('environment', [
    {'COLUMNS': '1'}, {'COLUMNS': '-1'}, {'COLUMNS': 'many'}, {'TERM': 'dumb', 'NO_COLOR': '1'}, {'LC_ALL': 'C'},
    {'PYTHONIOENCODING': 'ascii'}, {'HOME': '/nowhere'}])
@pytest.mark.parametrize('arguments', [['profiles', 'raspberry-pi-4'], ['compare', '--help']])
def test_an_odd_environment_changes_no_more_than_the_looks(
        arguments: list[str], environment: dict[str, str]) -> None:
    """Widths that are none, terminals without colour, letters that the output cannot show: code 0 and no error."""
    done = subprocess.run([sys.executable, '-m', 'iomtwin', *arguments], cwd=ROOT, capture_output=True,
                          timeout=DEADLINE_S, env=os.environ | environment, check=False)
    assert (done.returncode, done.stderr) == (0, b'')
    assert done.stdout
