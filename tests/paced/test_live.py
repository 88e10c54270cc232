"""What a run tells of itself while it goes on, and what a terminal shows of it."""

import fcntl
import io
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest
from rich.console import Console

from analysis.live import NODES_SHOWN, LiveTable
from commands.live import live_table
from hil.broker import topology
from hil.broker.connection import connect
from hil.broker.names import exchange_of, new_run, queue_of
from hil.broker.private import PrivateBroker
from hil.paced.apart import Inbox
from hil.paced.hardware import Blocked, Depths, Hardware, Line
from hil.paced.moments import ROWS_MAX, News
from hil.paced.notes import Notes, why_invalid
from hil.wire.message import KeyId, Leg, Message
from tests.broker.control import rabbitmqctl
from tests.broker.processes import wait_until
from tests.paced.conftest import LAB
from tests.results.runs import ROOT, children, descendants, is_alive

ROWS, COLUMNS = 60, 110
WAIT_S = 1.0
NO_MEMORY, SOME_MEMORY = '0.0000001', '0.4'  # share of the machine's at which the broker takes no more


def shown(table: LiveTable) -> str:
    """Return what a console shows of a table."""
    console = Console(width=COLUMNS, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def a_chain(value_s: float) -> dict[str, object]:
    """Return a row of chains whose parts all took so long."""
    times = ('round_trip_s', 'waiting_s', 'service_s', 'broker_and_wire_s', 'sent_late_s', 'heard_late_s')
    return {'flow': 'vitals', **dict.fromkeys(times, value_s)}


def test_percentiles_are_of_all_that_was_told() -> None:
    """A hundred and one messages of 0 to 100 ms, told in two parts: a median of 50 ms, and 95 ms at 95 %."""
    table = LiveTable('lab', 8.0)
    for part in (range(40), range(40, 101)):
        table.see(2.0, {'jobs launched': 101, 'in flight': 3}, {'crypto.0': 7}, [a_chain(1e-3 * i) for i in part],
                  [{'flow': 'vitals', 'place': 'crypto', 'stage': 'aead.open', 'wall_s': 2e-3 * i} for i in part])
    text = shown(table)
    assert re.search(r'vitals +101( +50 ms){4}', text)
    assert re.search(r'\n +(95 ms *){4}\n', text)
    assert re.search(r'crypto aead.open +101 +100 ms +190 ms', text)
    assert 'sent 50 ms late in the median, 99 ms p99; heard 50 ms' in text
    for words in ('2.0 of 8 s', '101 jobs launched, 3 in flight', 'crypto.0 7'):
        assert words in text


def test_a_table_says_what_is_waited_for_and_who_works() -> None:
    """Before the clock runs, what is waited for; then the first few workers, and how many there are besides."""
    table = LiveTable('lab', 8.0)
    table.wait_for('the private broker')
    assert 'waiting for the private broker' in shown(table)
    table.meet({'node': f'pi-{i}', 'place': 'crypto', 'version': '1', 'machine': 'aarch64', 'cores': 4,
                'memory_mib': 3_000} for i in range(NODES_SHOWN + 2))
    table.see(9.0, {}, {}, [], [])
    text = shown(table)
    assert 'pi-0: crypto, iomtwin 1, aarch64, 4 cores, 3,000 MiB free' in text
    assert 'and 2 more workers' in text
    assert 'the drain' in text


def test_every_row_is_told_once_and_few_at_once() -> None:
    """More rows than one moment takes: in their order, in two moments, and then none."""
    notes = Notes((0.0, 1.0))
    news = News(notes)
    notes.chains += [(i,) for i in range(ROWS_MAX + 5)]
    notes.work += [(i,) for i in range(3)]
    first, second, third = news.take(), news.take(), news.take()
    assert [len(each) for each in (*first, *second, *third)] == [ROWS_MAX, 3, 5, 0, 0, 0]
    assert [*first[0], *second[0]] == notes.chains


def test_without_a_terminal_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is started, and the run is not asked to tell anything."""
    before = children(os.getpid())  # not theirs: a broker of other tests starts some now and then
    monkeypatch.setattr('sys.stderr', io.StringIO())
    with live_table('lab', 8.0) as told:
        assert told.onlooker is None
        assert children(os.getpid()) == before


@pytest.mark.usefixtures('rabbitmq')
def test_a_blocked_broker_is_heard_of_and_queues_are_counted() -> None:
    """Out of memory, by its own limit: the twin hears so at once, and the run is not valid; then the message comes."""
    run = new_run()
    message = Message(run=bytes(16), job=1, attempt=0, flow='vitals', options=frozenset(), priority=1, deadline_ns=0,
                      slip=(Leg('crypto', 4, 5),), done=0, outcome='', key=KeyId(bytes(16), 0), sender=bytes(16),
                      receiver=bytes(16), sealed_by=None, timings=(), body=b'x')
    with PrivateBroker() as broker, connect(broker.endpoint, broker.users['twin']) as twin:
        topology.declare(twin, run, {'crypto': [1]})
        queue = queue_of(run, 'crypto', 1)
        with Hardware(run, Line(broker.endpoint, broker.users['twin']), {'crypto': [1]},
                      [queue, exchange_of(run, 'dead')]) as hardware:
            inbox, heard = Inbox(hardware.process), list[object]()
            rabbitmqctl(broker, 'set_vm_memory_high_watermark', NO_MEMORY)
            hardware.send(message)
            wait_until(lambda: heard.append(inbox.wait(WAIT_S)) or isinstance(heard[-1], Blocked), 'it is blocked')
            rabbitmqctl(broker, 'set_vm_memory_high_watermark', SOME_MEMORY)
            wait_until(lambda: heard.append(inbox.wait(WAIT_S)) or (
                isinstance(heard[-1], Depths) and heard[-1].ready[queue] >= 1), 'the message is counted')
    notes = Notes((0.0, 1.0))
    assert why_invalid(notes, {}, 0.0) == []
    notes.blocked = [(3.25, blocked.reason) for blocked in heard if isinstance(blocked, Blocked)]
    (reason,) = why_invalid(notes, {}, 0.0)
    assert 'stopped taking messages 3.2 s after the beginning (low on memory)' in reason


class Terminal:
    """A command on a terminal of its own, and all that it has written there."""

    def __init__(self, temporary: Path, *arguments: str | Path) -> None:
        temporary.mkdir()
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', ROWS, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'iomtwin', *map(str, arguments)], cwd=ROOT, stdin=theirs, stdout=theirs,
            stderr=theirs, start_new_session=True,
            env=os.environ | {'TMPDIR': str(temporary), 'TERM': 'xterm-256color'})
        os.close(theirs)
        self.text = ''
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                self.text += os.read(self._ours, 65_536).decode(errors='replace')
            except OSError:  # nobody holds the other end any more
                return

    def end(self) -> int:
        """Return how it ended, once it has and all that it wrote was read."""
        code = self.process.wait(240.0)
        self._reader.join(60.0)
        os.close(self._ours)
        return code


@pytest.mark.usefixtures('rabbitmq')
def test_the_table_is_drawn_and_ctrl_c_leaves_nothing_of_it(tmp_path: Path) -> None:
    """On a terminal: jobs, stages, pace, queues and nodes; Ctrl-C ends all, and gives the cursor back."""
    terminal = Terminal(tmp_path / 'tmp', 'hil', 'run', LAB, '--set', 'duration=200 s', '--out', tmp_path / 'out')
    words = ('waiting for', 'jobs launched', 'Pace: ', 'Ready in queues: crypto.0 ', 'Measured on hardware',
             'aead.open', 'localhost-crypto-1: crypto, iomtwin')
    try:
        wait_until(lambda: all(word in terminal.text for word in words) or terminal.process.poll() is not None,
                   'all of it is shown')
        begun = descendants(terminal.process.pid)
        os.killpg(terminal.process.pid, signal.SIGINT)  # as a terminal does
        code = terminal.end()
    finally:
        if terminal.process.poll() is None:
            terminal.process.kill()
            terminal.end()
    assert [word for word in words if word not in terminal.text] == []
    assert code == 130
    assert terminal.text.count('\x1b[?25l') == terminal.text.count('\x1b[?25h') == 1
    assert terminal.text.rstrip().rpartition('\n')[2].rpartition('\x1b[2K')[2].startswith('iomtwin: interrupted')
    assert len(begun) > 4
    wait_until(lambda: not any(is_alive(pid) for pid in begun), 'all processes are gone')  # trackers end a moment later
    assert not (tmp_path / 'out').exists()
    assert list((tmp_path / 'tmp').iterdir()) == []
