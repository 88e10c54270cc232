"""What a worker notes of the messages that it begins, in processes that really end."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hil.worker.suspects import DEATHS_MAX, RECORD, SUSPECTS_MAX
from tests.worker.twin import ROOT

# Takes messages, each with how it ends: it is done, raises, or ends its process. Prints what became of it.
WORKER = """
import os, signal, sys
from pathlib import Path
from hil.worker.suspects import PoisonError, Suspects
suspects = Suspects(Path(sys.argv[1]))
for word in sys.argv[2:]:
    raw, how = word.split('=')
    try:
        with suspects.held(raw.encode()):
            if how == 'dies':
                os.kill(os.getpid(), signal.SIGKILL)
            if how == 'raises':
                raise ValueError
            print(raw)
    except (PoisonError, ValueError) as error:
        print(type(error).__name__)
"""
DONE = 0


def worker(folder: Path, *messages: str) -> tuple[int, list[str]]:
    """Return the exit code of a worker, and what became of its messages up to its end."""
    done = subprocess.run([sys.executable, '-u', '-c', WORKER, str(folder), *messages], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, check=False)
    return done.returncode, done.stdout.split()


def test_what_has_ended_a_worker_twice_is_not_begun_again(tmp_path: Path) -> None:
    """Other messages are done before, between and afterwards; it stays poison for every later worker."""
    for _ in range(DEATHS_MAX):
        assert worker(tmp_path, 'sound=is-done', 'poison=dies') == (-signal.SIGKILL, ['sound'])
    for _ in range(2):
        assert worker(tmp_path, 'poison=dies', 'sound=is-done') == (DONE, ['PoisonError', 'sound'])


@pytest.mark.parametrize('how', ['is-done', 'raises'])
def test_a_message_that_was_survived_is_no_suspect(tmp_path: Path, how: str) -> None:
    """It is in hand when somebody ends the worker, and survived when it comes again, any number of times."""
    for _ in range(DEATHS_MAX + 1):
        assert worker(tmp_path, 'm=dies')[0] == -signal.SIGKILL
        assert worker(tmp_path, f'm={how}')[0] == DONE


def test_what_is_in_hand_at_a_polite_end_is_no_suspect(tmp_path: Path) -> None:
    """The worker ends by an exit, with nothing in hand."""
    for _ in range(DEATHS_MAX + 2):
        assert worker(tmp_path, 'm=is-done') == (DONE, ['m'])


def test_the_latest_suspects_are_kept_within_bounds(tmp_path: Path) -> None:
    """More messages than there is room for have ended a worker once: the first is forgotten, the last two are not."""
    digests = [bytes([1 + i]) * 16 for i in range(SUSPECTS_MAX)]
    content = b''.join(RECORD.pack(digest, 1) for digest in digests)
    (tmp_path / '0').write_bytes(RECORD.pack(bytes(16), 0) + content)
    assert worker(tmp_path, 'm=dies')[0] == -signal.SIGKILL
    assert worker(tmp_path)[0] == DONE
    kept = [digest for digest, deaths in RECORD.iter_unpack((tmp_path / '0').read_bytes()) if deaths]
    assert len(kept) == SUSPECTS_MAX
    assert kept[:-1] == digests[1:]


@pytest.mark.parametrize('content', [b'', b'\0', bytes(range(100)), bytes(100_000)],
                         ids=['empty', 'too short', 'noise', 'too long'])
def test_a_damaged_file_stops_no_worker(tmp_path: Path, content: bytes) -> None:
    """Empty, too short, noise, too long: the worker begins, and counts from there."""
    (tmp_path / '0').write_bytes(content)
    for _ in range(DEATHS_MAX):
        assert worker(tmp_path, 'm=dies')[0] == -signal.SIGKILL
    assert worker(tmp_path, 'm=dies') == (DONE, ['PoisonError'])


def test_workers_that_share_a_folder_have_files_of_their_own(tmp_path: Path) -> None:
    """One waits with a message in hand while others come and go: theirs is another file, and it is nobody's suspect."""
    code = ('import sys\nfrom pathlib import Path\nfrom hil.worker.suspects import Suspects\n'
            "with Suspects(Path(sys.argv[1])).held(b'm'):\n    print(flush=True)\n    sys.stdin.read()")
    first = subprocess.Popen([sys.executable, '-c', code, str(tmp_path)], cwd=ROOT, text=True, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
    with first:
        first.stdout.readline()
        for _ in range(DEATHS_MAX + 1):
            assert worker(tmp_path, 'm=is-done') == (DONE, ['m'])
        assert sorted(path.name for path in tmp_path.iterdir()) == ['0', '1']
    assert first.returncode == DONE
