"""A private RabbitMQ: its own ports, folder, users and certificate; on the loopback only; gone with its owner.

::

    with PrivateBroker() as broker:
        connection = connect(broker.endpoint, broker.users['twin'])

Between this process and RabbitMQ, with Erlang's port mapper, stands a guardian: `hil.broker.guardian` says what is
promised. Plain AMQP, the management plugin and every other plugin are off.
"""

import json
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from hil.broker import guardian
from hil.broker.certificates import issue
from hil.broker.connection import Endpoint, connect
from hil.broker.credentials import VHOST, Credentials, definitions, draw_credentials
from hil.broker.errors import BrokerError, UnavailableError
from hil.broker.installation import environment, find_port_mapper, find_server
from hil.broker.log import log_lines, reason_of_end
from hil.broker.names import Role
from hil.broker.settings import Paths, Settings, configuration

HOST = '127.0.0.1'
PORTS = range(20_000, 32_000)  # below 32768, where Linux begins to draw ports for connections that go out
PORT_ATTEMPTS = 3  # somebody may take a port between our look and RabbitMQ's
START_S_MAX = 120.0  # 8 s where nothing else runs, 15 s on a busy machine
STOP_S_MAX = 30.0
MEMORY_BYTES_MIN = 2 << 30  # free, for its folder to be in memory: more than a dozen queues hold at most
POLL_S = 0.1
TAKEN = re.compile('eaddrinuse|in use', re.IGNORECASE)  # what Erlang, RabbitMQ and we say of a port

Progress = Callable[[str], None]


class PrivateBroker:
    """A RabbitMQ that lives as long as the block that it is entered for.

    Parameters
    ----------
    settings
        Its limits.
    run
        The only run that its users have rights for; none: every run.
    progress
        Is told, some times a second while it starts, what it last logged.
    start_s_max
        How long it may take to start.
    """

    def __init__(self, settings: Settings | None = None, run: str | None = None, *,
                 progress: Progress = lambda _: None, start_s_max: float = START_S_MAX) -> None:
        self.settings = settings or Settings()
        self.users: Mapping[Role, Credentials] = {}
        self.pids: tuple[int, ...] = ()  # of the port mapper and of RabbitMQ
        self._run = run
        self._progress = progress
        self._start_s_max = start_s_max
        self._folder: Path | None = None
        self._port = 0
        self._ended: int | None = None  # of its processes, the one that has
        self._guardian: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it and wait until it takes connections.

        Raises
        ------
        BrokerError
            If RabbitMQ is not installed, ends, or is not ready in time; the message holds the reason from its log.
        """
        server, mapper = find_server(), find_port_mapper()
        for attempt in range(PORT_ATTEMPTS):
            try:
                self._start(server, mapper)
                self._wait_until_ready()
            except BrokerError as error:
                self._stop()
                if attempt == PORT_ATTEMPTS - 1 or not TAKEN.search(str(error)):
                    raise
            except BaseException:
                self._stop()
                raise
            else:
                return self
        raise AssertionError('the last attempt returned or raised')

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        """End it, with all it holds."""
        self._stop()

    @property
    def endpoint(self) -> Endpoint:
        """Where clients find it."""
        return Endpoint(f'amqps://{HOST}:{self._port}/{VHOST}', self.paths.ca)

    @property
    def paths(self) -> Paths:
        """Its files, as long as it lives."""
        if self._folder is None:
            raise BrokerError('the private broker is not running; use it within its with block')
        return Paths(self._folder)

    def check(self) -> None:
        """Return if it lives.

        Raises
        ------
        BrokerError
            If it does not; the message holds the reason from its log.
        """
        paths = self.paths
        if self._has_ended():
            is_server = self._ended != self.pids[0]
            reason = reason_of_end(paths) if is_server else 'its port mapper has, as it does if its port is in use'
            raise BrokerError(f'the private broker has ended: {reason}')

    def restart(self, *, is_killed: bool = False) -> None:
        """Let RabbitMQ end and start again: port, users, queues and what it has confirmed stay.

        Parameters
        ----------
        is_killed
            Whether it ends as by a power cut; else it is asked to end.

        Raises
        ------
        BrokerError
            If it did not live, or is not ready in time.
        """
        self.check()
        paths, server = self.paths, self.pids[1]
        os.kill(server, signal.SIGKILL if is_killed else signal.SIGTERM)
        if not self._has_ended(STOP_S_MAX):
            os.kill(server, signal.SIGKILL)
            self._has_ended(STOP_S_MAX)
        for path in (paths.output, paths.log):  # they would tell of the first start
            os.truncate(path, 0)
        self._ended = None
        assert self._guardian is not None
        assert self._guardian.stdin is not None
        self._guardian.stdin.write(b'\n')
        self._hear_of_start()
        self._wait_until_ready()

    def _has_ended(self, wait_s: float = 0.0) -> bool:
        """Return whether one of its processes has, or does within some seconds."""
        if self._guardian is None or self._guardian.poll() is not None:
            raise BrokerError('the private broker has lost its guardian, and with it its processes; start it again')
        stream = self._guardian.stdout
        assert stream is not None
        if self._ended is None and select.select([stream], [], [], wait_s)[0]:
            self._ended = json.loads(stream.readline())['ended']
        return self._ended is not None

    def _start(self, server: Path, mapper: Path) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix='iomtwin-broker-', dir=_memory_folder()))
        if (free := shutil.disk_usage(self._folder).free) < self.settings.disk_free_bytes:  # it would take no message
            raise BrokerError(f'{self._folder.parent}: has {free >> 20:,} MiB free; a private broker stops at '
                              f'{self.settings.disk_free_bytes >> 20:,}: make room there, or let TMPDIR name another '
                              'folder')
        paths = self.paths
        self.users = draw_credentials()
        self._port, distribution_port, mapper_port = _free_ports(3)
        _write_files(paths, configuration(self.settings, paths, HOST, self._port),
                     definitions(self.users, self._run))
        commands = [[str(mapper), '-port', str(mapper_port), '-address', HOST], [str(server)]]
        self._guardian = subprocess.Popen(
            [sys.executable, '-I', '-S', guardian.__file__, str(os.getpid()), str(self._folder), json.dumps(commands)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
            bufsize=0,  # a line in a buffer of ours would not wake `select`
            env=environment(paths, HOST, self._port, distribution_port, mapper_port))
        self._hear_of_start()

    def _hear_of_start(self) -> None:
        """Take from the guardian whom it has started."""
        assert self._guardian is not None
        assert self._guardian.stdout is not None
        line = self._guardian.stdout.readline()
        if not line:
            raise BrokerError(f'the private broker cannot be started: {reason_of_end(self.paths)}')
        self.pids = tuple(json.loads(line)['started'])

    def _wait_until_ready(self) -> None:
        """Wait until RabbitMQ says that it is, and see for ourselves: users and certificate are in their places."""
        deadline = time.monotonic() + self._start_s_max
        while True:
            self.check()
            lines = log_lines(self.paths)
            if any('BOOT FAILED' in line for line in lines):
                raise BrokerError(f'the private broker cannot be started: {reason_of_end(self.paths)}')
            if any('Server startup complete' in line for line in lines):
                with suppress(UnavailableError):  # a handshake that a busy machine did not get done
                    connect(self.endpoint, self.users['twin']).close()
                    return
            last_words = (lines or ['nothing'])[-1]
            if time.monotonic() > deadline:
                raise BrokerError(f'the private broker was not ready within {self._start_s_max:g} s, its last words: '
                                  f'{last_words}; free the processor, or allow more time')
            self._progress(last_words)
            time.sleep(POLL_S)

    def _stop(self) -> None:
        """Let the guardian end everything; do what is left to do if it cannot."""
        if self._guardian is not None:
            for stream in (self._guardian.stdin, self._guardian.stdout):
                assert stream is not None
                with suppress(OSError):
                    stream.close()
            try:
                self._guardian.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                self._guardian.kill()  # the kernel then kills what it started
                self._guardian.wait()
            self._guardian = None
        _wait_until_gone(self.pids)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder, self._ended, self.pids = None, None, ()


def _memory_folder() -> Path | None:
    """Return the folder in memory, if there is one with room: what a private broker keeps goes with it anyway.

    A disk that others write to as well would be a part of every measurement; none if the user has named another place.
    """
    folder = Path('/dev/shm')
    if 'TMPDIR' in os.environ or not os.access(folder, os.W_OK) or shutil.disk_usage(folder).free < MEMORY_BYTES_MIN:
        return None
    return folder


def _write_files(paths: Paths, configuration_text: str, definitions_text: str) -> None:
    for name in ('home', 'log', 'data'):
        (paths.folder / name).mkdir()
    certificates = issue([HOST, 'localhost'])
    paths.ca.write_bytes(certificates.ca)
    paths.certificate.write_bytes(certificates.certificate)
    paths.key.write_bytes(certificates.key)
    paths.configuration.write_text(configuration_text)
    paths.definitions.write_text(definitions_text)
    (paths.folder / 'enabled_plugins').write_text('[].\n')


def _free_ports(n: int) -> list[int]:
    """Return ports that nobody listens at, all of them free at the same time."""
    candidates = random.SystemRandom().sample(PORTS, len(PORTS))
    found = list[int]()
    with ExitStack() as held:
        for port in candidates:
            probe = held.enter_context(socket.socket())
            with suppress(OSError):
                probe.bind((HOST, port))
                found.append(port)
            if len(found) == n:
                return found
    raise BrokerError(f'found no {n} free ports from {PORTS.start} to {PORTS.stop - 1} on {HOST}; end what holds them')


def _wait_until_gone(pids: tuple[int, ...]) -> None:
    """Wait until processes are gone that the kernel has been told to kill."""
    deadline = time.monotonic() + STOP_S_MAX
    while any(Path('/proc', str(pid)).exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(POLL_S)
