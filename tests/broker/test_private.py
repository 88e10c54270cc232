"""A private broker: what it listens at, what is left of it, and what is said when it does not start."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.broker import guardian, installation, private
from hil.broker.connection import Published, connect
from hil.broker.credentials import VHOST
from hil.broker.errors import BrokerError, RefusedError, UnavailableError
from hil.broker.names import exchange_of, queue_of
from hil.broker.private import PrivateBroker
from hil.broker.settings import Settings
from hil.broker.topology import clean, declare
from tests.broker.control import rabbitmqctl
from tests.broker.processes import PATIENCE_S, holding, listening, wait_until

OWNER = Path(__file__).parent / 'owner.py'


class Stop(Exception):  # noqa: N818 - no error
    """Ends a start that a test has seen enough of."""


def stop(_: str) -> None:
    """End a start at its first word."""
    raise Stop


@pytest.mark.usefixtures('rabbitmq')
def test_it_listens_on_the_loopback_only_and_leaves_nothing() -> None:
    """Every port of a broker and its mapper is below 32768 on the loopback; a killed server is told; nothing stays.

    There is a port for TLS, one for Erlang and one for the mapper. What stays would be a process that was started with
    the broker's folder in its environment, or the folder.
    """
    with PrivateBroker() as broker:
        folder = broker.paths.folder
        connect(broker.endpoint, broker.users['twin']).close()
        assert set(broker.pids) < set(holding(folder))
        ports = listening(set(holding(folder)))
        assert {address for address, _ in ports} <= {'127.0.0.1', '::1'}
        assert len({port for _, port in ports}) == 3
        assert all(port < 32_768 for _, port in ports)
        broker.check()
        os.kill(broker.pids[1], signal.SIGKILL)
        wait_until(lambda: says_that_it_ended(broker), 'the broker had noticed')
    assert holding(folder) == {}
    assert not folder.exists()
    with pytest.raises(BrokerError, match='is not running'):
        broker.check()


@pytest.mark.parametrize('is_killed', [False, True], ids=['stopped', 'killed'])
def test_a_broker_that_starts_again_is_the_same(broker: PrivateBroker, run: str, *, is_killed: bool) -> None:
    """Another process at the same address takes the same passwords, and has the message that was confirmed."""
    endpoint, users, (mapper, server) = broker.endpoint, broker.users, broker.pids
    twin = connect(endpoint, users['twin'])
    declare(twin, run, {'crypto': [1]})
    assert twin.publish(exchange_of(run, 'crypto'), '1', b'job') is Published.CONFIRMED
    broker.restart(is_killed=is_killed)
    broker.check()
    assert (broker.endpoint, broker.pids[0]) == (endpoint, mapper)
    assert broker.pids[1] != server
    with pytest.raises(UnavailableError):
        twin.publish(exchange_of(run, 'crypto'), '1', b'')
    with connect(endpoint, users['crypto']) as worker, connect(endpoint, users['twin']) as again:
        worker.subscribe(queue_of(run, 'crypto', 1), 1)
        delivery = worker.receive(PATIENCE_S)
        assert delivery is not None
        assert delivery.body == b'job'
        worker.acknowledge(delivery)
        clean(again, run)


def test_a_queue_that_is_stopped_is_not_taken_for_deleted(broker: PrivateBroker, run: str) -> None:
    """RabbitMQ says 404 of a queue that does not run, as of one that is not there: only that is missing."""
    endpoint, users, queue = broker.endpoint, broker.users, queue_of(run, 'crypto', 1)
    with connect(endpoint, users['twin']) as twin:
        declare(twin, run, {'crypto': [1]})
    with connect(endpoint, users['crypto']) as worker, connect(endpoint, users['crypto']) as other:
        worker.subscribe(queue, 1)
        rabbitmqctl(broker, 'eval', f'rabbit_amqqueue:stop(<<"{VHOST}">>).')
        with pytest.raises(UnavailableError, match='is stopped'):
            worker.receive(PATIENCE_S)
        with pytest.raises(UnavailableError, match='is stopped'):
            other.subscribe(queue, 1)
    broker.restart(is_killed=True)
    with connect(endpoint, users['crypto']) as worker, connect(endpoint, users['twin']) as twin:
        worker.subscribe(queue, 1)
        clean(twin, run)
        with pytest.raises(RefusedError, match='was deleted'):
            worker.receive(PATIENCE_S)


def says_that_it_ended(broker: PrivateBroker) -> bool:
    """Return whether a broker has noticed its end."""
    try:
        broker.check()
    except BrokerError as error:
        return 'the private broker has ended' in str(error)
    return False


@pytest.fixture
def owner(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A program that owns a broker."""
    process = subprocess.Popen([sys.executable, OWNER, *request.param], text=True, start_new_session=True,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    yield process
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def where(owner: subprocess.Popen[str]) -> tuple[Path, list[int]]:
    """Return the folder and the processes of an owner's broker."""
    assert owner.stdout is not None
    said = json.loads(owner.stdout.readline())
    return Path(said['folder']), said['pids']


def is_over(folder: Path) -> bool:
    """Return whether nothing is left of a broker."""
    return not folder.exists() and not holding(folder)


@pytest.mark.usefixtures('rabbitmq')
@pytest.mark.parametrize(('owner', 'number', 'to_group'), [
    (('booting', 'wait'), signal.SIGINT, True),
    (('booting', 'wait'), signal.SIGINT, False),
    (('booting', 'wait'), signal.SIGTERM, False),
    (('booting', 'wait'), signal.SIGKILL, False),
    (('ready', 'wait'), signal.SIGINT, True),
    (('ready', 'wait'), signal.SIGKILL, False),
    (('again', 'wait'), signal.SIGKILL, False),
], indirect=['owner'])
def test_nothing_is_left_when_its_owner_is_ended(
        owner: subprocess.Popen[str], number: signal.Signals, *, to_group: bool) -> None:
    """Ctrl-C to its group or it alone, SIGTERM, kill -9; while it boots, when it is ready or has been started again."""
    folder, pids = where(owner)
    wait_until(lambda: set(pids) <= set(holding(folder)), 'they are seen')  # a script that becomes Erlang is not
    (os.killpg if to_group else os.kill)(owner.pid, number)
    owner.wait(PATIENCE_S)
    wait_until(lambda: is_over(folder), 'the broker was gone')


@pytest.mark.usefixtures('rabbitmq')
@pytest.mark.parametrize('owner', [('booting', 'raise')], indirect=True)
def test_nothing_is_left_after_an_exception(owner: subprocess.Popen[str]) -> None:
    """An owner that raises while it boots: no process and no folder once it has ended, without waiting."""
    folder, _ = where(owner)
    owner.wait(PATIENCE_S)
    assert is_over(folder)


@pytest.mark.usefixtures('rabbitmq')
@pytest.mark.parametrize('owner', [('booting', 'wait')], indirect=True)
def test_nothing_is_left_when_the_guardian_is_killed(owner: subprocess.Popen[str]) -> None:
    """Kill -9 of the guardian: the kernel ends what it started; the owner, interrupted then, removes the folder."""
    folder, pids = where(owner)
    parent = Path(f'/proc/{pids[0]}/stat').read_text().rpartition(')')[2].split()[1]
    os.kill(int(parent), signal.SIGKILL)
    wait_until(lambda: not holding(folder), 'the kernel had ended the broker')
    assert folder.exists()
    owner.send_signal(signal.SIGINT)
    owner.wait(PATIENCE_S)
    assert is_over(folder)


def test_the_guardian_ends_what_made_itself_a_daemon(tmp_path: Path) -> None:
    """A command whose child takes a session of its own and loses its parent: gone when the guardian's input closes."""
    folder = tmp_path / 'folder'
    (folder / 'log').mkdir(parents=True)
    command = ['sh', '-c', 'setsid sh -c "sleep 1000 & sleep 1000" & sleep 0.1; kill -9 $$']
    process = subprocess.Popen([sys.executable, '-I', '-S', guardian.__file__, str(os.getpid()), str(folder),
                                json.dumps([command])], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               env={'PATH': os.environ['PATH'], 'FOLDER': str(folder)})
    assert process.stdin is not None
    assert process.stdout is not None
    started = json.loads(process.stdout.readline())['started']
    assert json.loads(process.stdout.readline()) == {'ended': started[0]}
    wait_until(lambda: list(holding(folder).values()).count('sleep') == 2, 'the daemons were there')
    process.stdin.close()
    process.wait(PATIENCE_S)
    process.stdout.close()
    assert is_over(folder)


def test_a_missing_rabbitmq_is_one_line_that_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """No start script and an empty path."""
    monkeypatch.setattr(installation, 'BEHIND', {})
    monkeypatch.setenv('PATH', '')
    with pytest.raises(BrokerError, match='apt-get install --no-install-recommends rabbitmq-server'):
        PrivateBroker().__enter__()


def test_the_first_server_on_the_path_is_taken_and_not_debians_wrapper(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A script in a folder before all others is the server; if it is known as a wrapper, it is what it wraps."""
    script = tmp_path / 'rabbitmq-server'
    script.touch(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
    assert installation.find_server() == script
    monkeypatch.setattr(installation, 'BEHIND', {str(script): '/behind/rabbitmq-server'})
    assert installation.find_server() == Path('/behind/rabbitmq-server')


@pytest.mark.usefixtures('rabbitmq')
def test_a_folder_without_room_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A limit that no disk has free: RabbitMQ would start, take no message, and the first publisher would wait."""
    monkeypatch.setattr(private, '_memory_folder', lambda: tmp_path)
    with pytest.raises(BrokerError, match=rf'^{tmp_path}: has [\d,]+ MiB free; .* TMPDIR') as refused:
        PrivateBroker(Settings(disk_free_bytes=1 << 60)).__enter__()
    assert '\n' not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures('rabbitmq')
def test_a_broker_that_is_killed_says_what_it_last_said() -> None:
    """Without an error in its log there is a sentence and not a bare level or nothing."""
    with PrivateBroker() as broker:
        os.kill(broker.pids[1], signal.SIGKILL)
        wait_until(lambda: says_that_it_ended(broker), 'the broker had noticed')
        with broker.paths.log.open('a') as log:
            log.write('last\n[notice] \n')
        with pytest.raises(BrokerError, match=r'has ended: it logged no error; its last words: last$'):
            broker.check()


@pytest.mark.usefixtures('rabbitmq')
def test_a_port_that_somebody_takes_meanwhile_is_left_to_him(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mapper's port is taken at the first attempt, and the second takes others; shown by the start going on."""
    real, asked = private._free_ports, list[int]()

    with socket.create_server(('127.0.0.1', 0)) as taken:
        def first_taken(n: int) -> list[int]:
            asked.append(n)
            return [*real(n - 1), taken.getsockname()[1]] if len(asked) == 1 else real(n)

        monkeypatch.setattr(private, '_free_ports', first_taken)
        with pytest.raises(Stop), PrivateBroker(progress=lambda _: stop('') if len(asked) == 2 else None):
            pass
    assert asked == [3, 3]


@pytest.mark.usefixtures('rabbitmq')
def test_a_broker_that_does_not_boot_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that RabbitMQ does not know: one line with the key in it, and nothing left."""
    folders = list[Path]()
    real = private.configuration
    monkeypatch.setattr(private, 'configuration', lambda settings, paths, *rest: (
        folders.append(paths.folder) or real(settings, paths, *rest) + 'no_such_key = 1\n'))
    with pytest.raises(BrokerError, match='no_such_key') as caught:
        PrivateBroker().__enter__()
    assert '\n' not in str(caught.value)
    assert len(folders) == 1
    assert is_over(folders[0])


@pytest.mark.usefixtures('rabbitmq')
def test_a_broker_that_takes_too_long_says_what_it_did_last() -> None:
    """No time at all: one line that says so, and nothing left."""
    broker = PrivateBroker(start_s_max=0.0)
    with pytest.raises(BrokerError, match=r'not ready within 0 s, its last words: '):
        broker.__enter__()
    assert broker.pids == ()
