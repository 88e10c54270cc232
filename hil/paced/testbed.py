"""What a run needs around it: a broker, its queues, the workers' keys, and worker processes; started and ended.

A broker that is not private and workers that are elsewhere are found, not started. What a run makes, it removes: its
queues, its processes, and the folder with its keys, which only its owner may read.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from hil.broker import topology
from hil.broker.connection import Connection, Endpoint, connect
from hil.broker.credentials import Credentials, to_environment
from hil.broker.errors import BrokerError, RefusedError
from hil.broker.names import REPLY, ROLES, Place, Role, exchange_of
from hil.broker.private import PrivateBroker
from hil.cluster import client as cluster_client
from hil.cluster.workers import Aftermath, PodWorkers
from hil.inventory import Cluster, Inventory
from hil.keys.messages import subject_id
from hil.paced.hardware import Line
from hil.worker.keys import KeyStore
from hil.worker.orders import Order, Task
from sim.errors import RunError, one_line

READY_S_MAX = 300.0  # for all workers; crypto warms up meanwhile
END_S_MAX = 30.0
POLL_S = 0.05
ONE_THREAD = {'OMP_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1'}  # of linear algebra: a worker is one busy at a time
Progress = Callable[[str], None]


@dataclass
class _Process:
    node: str
    folder: Path
    process: subprocess.Popen[str]


class Testbed:
    """The broker and the workers of one run, as a context.

    Parameters
    ----------
    inventory
        What there is.
    task
        What the workers are to do.
    progress
        Is told, in a few words, what it waits for.
    """

    def __init__(self, inventory: Inventory, task: Task, progress: Progress = lambda _: None) -> None:
        self.nodes: dict[bytes, str] = {}  # names of the workers by the ids that they sign their timings with
        self.server_version = ''
        self._inventory, self._task, self._progress = inventory, task, progress
        self._stack = ExitStack()
        self._private: PrivateBroker | None = None
        self._processes: list[_Process] = []
        self._pods: PodWorkers | None = None
        self._folder = Path()

    def __enter__(self) -> Self:
        """Start the broker, if it is private, and declare the run's queues.

        Raises
        ------
        BrokerError
            If there is no broker, or it refuses the twin.
        """
        try:
            if self._inventory.broker.private:
                self._progress('the private broker')
                self._private = self._stack.enter_context(PrivateBroker(run=self._task.run))
            # In the private broker's folder, which goes with its owner, however that ends.
            within = None if self._private is None else self._private.paths.folder
            folder = tempfile.TemporaryDirectory(prefix='iomtwin-run-', dir=within)
            self._folder = Path(self._stack.enter_context(folder))
            with self.connect('declare') as connection:
                self.server_version = connection.server_version
                topology.declare(connection, self._task.run, self._task.priorities, topology.Limits(
                    is_quorum=self._inventory.broker.queues == 'quorum'))
            self._stack.callback(self._clean)
            self._stack.callback(self._end_workers)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        """End the workers, remove the queues and end the broker."""
        self._stack.close()

    def connect(self, purpose: str) -> Connection:
        """Open a connection as the twin."""
        return self.line().connect(purpose)

    def line(self) -> Line:
        """Return how the twin reaches the broker."""
        return Line(self._endpoint(), self._credentials('twin'))

    def check_rights(self) -> str:
        """Return which roles can connect, if none but the twin can read what workers reply.

        Raises
        ------
        RefusedError
            If one may do more than it should, or the broker refuses it.
        """
        for role in ROLES:
            if role == 'twin':
                continue
            with connect(self._endpoint(), self._credentials(role), f'{role} check') as connection:
                try:
                    connection.subscribe(exchange_of(self._task.run, REPLY), 1)
                except RefusedError:
                    continue
                raise RefusedError(f"{connection.where}: the role {role} may read the twin's replies; give it only the "
                                   'rights of its own place')
        return f'{", ".join(ROLES)}: each has its own'

    def start_workers(self, store: KeyStore, keys_file: Path | None = None) -> None:
        """Start the workers of this machine and wait until they are ready; leave the keys of the others in a file.

        Raises
        ------
        RunError
            If one ends, or is not ready in time; with what it said.
        """
        if self._inventory.cluster is not None:
            self._give_pods_their_order(self._inventory.cluster, store)
            return
        keys = self._folder / 'keys.json'
        self._leave_keys(keys, store)
        if keys_file is not None:
            self._leave_keys(keys_file, store)
        for name, place in self._inventory.started(self._task.priorities).items():
            self._start(name, place, keys)
        deadline = time.monotonic() + READY_S_MAX
        while missing := [each for each in self._processes if not (each.folder / 'ready').exists()]:
            self._progress(f'{len(missing)} of {len(self._processes)} workers')
            self.check()
            if time.monotonic() > deadline:
                raise RunError(f'worker {missing[0].node}: not ready within {READY_S_MAX:g} s; free the processor')
            time.sleep(POLL_S)

    def check(self) -> None:
        """Return if all processes live.

        Raises
        ------
        RunError, BrokerError
            If one does not; with what it said.
        """
        if self._private is not None:
            self._private.check()
        for each in self._processes:
            if each.process.poll() is not None:
                said = each.process.communicate()[1].strip().splitlines()
                raise RunError(one_line(f'worker {each.node}: has ended with {each.process.returncode} '
                                        f'({said[-1] if said else "no word"}); look at what it says'))

    def aftermath(self) -> Aftermath:
        """Return what became of the workers that are pods; the run is over."""
        return Aftermath({}, {}, []) if self._pods is None else self._pods.aftermath()

    def check_pods(self) -> None:
        """Return if all workers that are pods can still begin.

        Raises
        ------
        RunError
            If one does not; with what it said.
        """
        if self._pods is not None:
            self._pods.check_begin()

    def _give_pods_their_order(self, cluster: Cluster, store: KeyStore) -> None:
        api, task = cluster_client.connect(cluster.context, cluster.namespace), self._task
        self._progress('the pods of the cluster')
        self._pods = self._stack.enter_context(
            PodWorkers(api, self._inventory, frozenset(task.priorities), self._progress))
        self.nodes |= {subject_id(worker): worker for worker in self._pods.posts.values()}
        self._pods.give(Order(**vars(task), posts=self._pods.posts, keys=store.to_json()))

    def _leave_keys(self, path: Path, store: KeyStore) -> None:
        """Write keys for their owner alone, to a file that is not there yet and goes with the run."""
        try:
            path.touch(0o600, exist_ok=False)
            self._stack.callback(path.unlink, missing_ok=True)
            path.write_text(json.dumps(store.to_json()))
        except OSError as error:
            raise RunError(f'{path}: the keys of workers cannot be left there ({error.strerror}); make room, or name '
                           'another file') from None

    def _start(self, name: str, place: Place, keys: Path) -> None:
        folder, endpoint = self._folder / name, self._endpoint()
        arguments = self._task.arguments(place, name, {
            'broker': endpoint.url, 'ca': endpoint.ca, 'keys': keys, 'status': folder, 'state': self._folder / 'state'})
        role: Role = place
        process = subprocess.Popen(
            [sys.executable, '-m', 'hil.worker', *arguments], text=True, stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is the twin's; it ends them in order
            env=os.environ | ONE_THREAD | to_environment(role, self._credentials(role)))
        self.nodes[subject_id(name)] = name
        self._processes.append(_Process(name, folder, process))

    def _end_workers(self) -> None:
        for each in self._processes:
            if each.process.poll() is None:
                each.process.send_signal(signal.SIGTERM)
        until = time.monotonic() + END_S_MAX
        for each in self._processes:
            try:
                each.process.communicate(timeout=max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                each.process.kill()
                each.process.communicate()

    def _clean(self) -> None:
        with suppress(BrokerError), self.connect('clean') as connection:
            topology.clean(connection, self._task.run)

    def _endpoint(self) -> Endpoint:
        return self._inventory.broker.endpoint() if self._private is None else self._private.endpoint

    def _credentials(self, role: Role) -> Credentials:
        return self._inventory.broker.credentials_of(role) if self._private is None else self._private.users[role]
