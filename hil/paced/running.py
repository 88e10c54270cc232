"""Runs a scenario on hardware: what is bound goes to real workers, all else is simulated in real time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hil.broker.names import DEAD, REPLY, check_run, exchange_of, new_run, queue_of
from hil.broker.settings import BODY_BYTES_MAX
from hil.crypto.providers import Provider, choose
from hil.inventory import Inventory
from hil.ledger import Ledger
from hil.paced.binding import Binding, bind
from hil.paced.checks import check_bodies, check_load, check_memory, check_workers, loads, worker_bytes
from hil.paced.devices import Devices
from hil.paced.engine import PacedEngine
from hil.paced.hardware import Hardware
from hil.paced.learning import Rounds
from hil.paced.messages import Messages, subjects
from hil.paced.moments import Onlooker
from hil.paced.notes import median_latencies, why_invalid
from hil.paced.processors import Ticks
from hil.paced.real_time import real_time
from hil.paced.testbed import Testbed
from hil.wire.names import run_id
from hil.worker.hello import Hello
from hil.worker.orders import Task
from sim.errors import InputError
from sim.model import Model
from sim.origin import Origin
from sim.placement import pods_per_node
from sim.running import Execution, Lowered, Measured, controlled, prepare, run_model
from sim.scenario import Scenario
from sim.sources import Arrivals

CHAINS_MAX = 2_000  # in flight; less than `topology.Limits.messages_max`
BYTES_MAX = 64 << 20  # in flight; less than `topology.Limits.bytes_max`
LOADING_S = 1.0  # from the first arrival on, simulated before the clock starts
HELLO_S_MAX = 60.0  # for all workers to say that they are there, when those of this machine are ready
FAR_HELLO_S_MAX = 600.0  # for those elsewhere, which people start
Waiting = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """A scenario made ready for hardware; `only_bound` leaves out what is not at a bound place."""

    run: str
    lowered: Lowered
    inventory: Inventory
    binding: Binding
    only_bound: bool
    provider: Provider
    keys_file: Path | None  # where workers' keys are left for those who are elsewhere


def plan(scenario: Scenario, origin: Origin, inventory: Inventory, *, only_bound: bool = False,
         provider: str | None = None, run: str | None = None, keys_file: Path | None = None) -> Plan:
    """Return a scenario made ready for hardware: all that can be wrong without a broker shows here.

    Parameters
    ----------
    provider
        Who does ML-KEM; the fastest that is installed.
    run
        The run's name, with which workers elsewhere are started; a fresh one if there are none.
    keys_file
        Where the keys are to be left that workers elsewhere need.

    Raises
    ------
    InputError
        If the scenario cannot be lowered, asks for what workers cannot do, or is too much for them.
    """
    lowered = prepare(scenario, origin)
    inventory = inventory.following(pods_per_node(scenario, lowered.profiles))
    offered = frozenset(place for node in inventory.nodes.values() for place in node.places)
    binding = bind(scenario, lowered.model, offered)
    check_bodies(binding, BODY_BYTES_MAX)
    check_load(binding, inventory)
    _check_far(inventory, run, keys_file)
    name = check_run(new_run() if run is None else run)
    return Plan(name, lowered, inventory, binding, only_bound, choose(provider), keys_file)


def _check_far(inventory: Inventory, run: str | None, keys_file: Path | None) -> None:
    """Refuse what workers elsewhere could not begin with, and a file that is somebody's."""
    is_cluster = inventory.cluster is not None
    far = [name for name, node in inventory.nodes.items() if node.workers == 'elsewhere' and not is_cluster]
    if far and (run is None or keys_file is None):
        raise InputError(f'{far[0]}: its workers are started elsewhere, and need the name of the run and its keys; say '
                         '--run and --keys-file')
    if keys_file is None:
        return
    if not far:
        raise InputError(f'--keys-file {keys_file}: all workers of the inventory get their keys without it; leave it '
                         'out')
    if os.path.lexists(keys_file):
        raise InputError(f'--keys-file {keys_file}: is there already, and would be overwritten and removed; name a '
                         'file that is not')
    if not keys_file.absolute().parent.is_dir():
        raise InputError(f'--keys-file {keys_file}: there is no such folder; make it, or name another')


@dataclass(frozen=True)
class _Begun:
    """A testbed whose workers are all there and alike."""

    run: str
    testbed: Testbed
    devices: Devices
    hardware: Hardware
    hellos: list[Hello]


def execute(made: Plan, *, waiting: Waiting = lambda _: None, onlooker: Onlooker | None = None) -> Execution:
    """Run a plan once, in real time.

    Parameters
    ----------
    waiting
        Is told what is waited for while the testbed starts.
    onlooker
        Is told of the run while it goes on; the broker is asked for it what waits in the queues.

    Raises
    ------
    BrokerError
        If there is no broker, or it is gone for good.
    RunError
        If a worker does not start, ends, or is not like the others.
    """
    scenario, lowered = made.lowered.scenario, made.lowered
    rounds = Rounds(1 if scenario.learning is None else scenario.learning.model, scenario.seed)
    with _begun(made, waiting, () if onlooker is None else _queues(made)) as begun:
        if onlooker is not None:
            onlooker.meet(begun.hellos)
        ledger = Ledger(run_id(begun.run), CHAINS_MAX, BYTES_MAX)
        engine = PacedEngine(made.binding, begun.hardware, begun.devices, ledger,
                             Messages(made.binding, begun.run, rounds), only_bound=made.only_bound,
                             is_padded=made.inventory.padded, watch=begun.testbed.check,
                             see=None if onlooker is None else onlooker.see)
        _load_compiled(lowered.model)
        with real_time() as scheduling:
            ticks = Ticks.now()
            begin = time.perf_counter()
            recording = controlled(lowered.model, engine.run)
            wall_s = time.perf_counter() - begin
            shares = Ticks.now().shares(ticks)
        notes = engine.notes
        waiting('the workers to end')
        after = begun.testbed.aftermath()
        facts = {**_facts(made, begun), **after.facts, 'replies': dict(sorted(ledger.counts.items())),
                 'model_sha256': rounds.sha256, 'pacing': notes.pacing(), 'scheduling': scheduling, **asdict(shares)}
        invalid_because = [*why_invalid(notes, median_latencies(recording), shares.steal), *after.invalid_because]
        found = Measured(notes.tables(begun.testbed.nodes), notes.summary(), facts, invalid_because, after.logs)
    return Execution(scenario, lowered.profiles, recording, 'paced', lowered.wall_s, wall_s, lowered.compile_wall_s,
                     found)


def _queues(made: Plan) -> list[str]:
    """Return the names of the queues that hold a plan's messages, in the order of their way."""
    places = made.binding.priorities().items()
    return [*(queue_of(made.run, place, priority) for place, priorities in places for priority in priorities),
            *(exchange_of(made.run, name) for name in (REPLY, DEAD))]


def _n_device_processes() -> int:
    """Return in how many processes devices live: one in four processors is theirs."""
    return max(1, (os.cpu_count() or 1) // 4)


def _load_compiled(model: Model) -> None:
    """Simulate its first moments: what is compiled is loaded when it is first called, while no clock runs yet."""
    block = Arrivals(model, 0).next_block()
    first_s = 0.0 if block is None else float(block['time_s'][0])
    run_model(replace(model, warm_up_s=0.0, duration_s=min(first_s + LOADING_S, model.duration_s), drain_s=0.0),
              engine='simpy', trace='none')


def inspect(made: Plan, *, waiting: Waiting = lambda _: None) -> list[dict[str, str]]:
    """Return what is found of a plan's broker, places and workers, a row each; a testbed is started for it.

    Raises
    ------
    BrokerError, RunError, InputError
        If something of it is not as it must be.
    """
    with _begun(made, waiting) as begun:
        rows = [{'what': 'broker', 'found': f'{_broker(made, begun)}, TLS 1.3'},
                {'what': 'rights', 'found': begun.testbed.check_rights()}]
        prefetch = made.lowered.scenario.crypto.prefetch
        for place, load in loads(made.binding, made.inventory).items():
            n = made.inventory.n_workers(place)
            rows.append({'what': place, 'found': f'{n} {"worker" if n == 1 else "workers"}, busy {100 * load:.2g} % of '
                                                 'the time, as the profiles say; each may need '
                                                 f'{worker_bytes(made.binding, place, prefetch) >> 20:,} MiB'})
        rows += [{'what': hello.node, 'found': f'{hello.place}, iomtwin {hello.version}, {hello.provider}, '
                                               f'{hello.machine}, {hello.cores} cores, {hello.memory_mib:,} MiB free'}
                 for hello in begun.hellos]
    return rows


@contextmanager
def _begun(made: Plan, waiting: Waiting, counted: Sequence[str] = ()) -> Iterator[_Begun]:
    """Start what a plan needs, and let the messages in some queues be counted; end it behind."""
    scenario, suite, name = made.lowered.scenario, made.lowered.scenario.crypto.suite, made.run
    assert suite is not None, 'bind refuses it'
    task = Task(name, suite, made.provider.name, made.binding.priorities(), scenario.crypto.prefetch, BODY_BYTES_MAX,
                made.inventory.padded)
    with ExitStack() as stack:
        testbed = stack.enter_context(Testbed(made.inventory, task, waiting))
        waiting('the keys of devices')
        devices = stack.enter_context(
            Devices(name, suite, made.provider.name, *subjects(made.binding), BODY_BYTES_MAX, _n_device_processes()))
        testbed.start_workers(devices.store, made.keys_file)
        hardware = stack.enter_context(Hardware(name, testbed.line(), made.binding.priorities(), counted))
        expected = {place: made.inventory.n_workers(place) for place in made.binding.priorities()}
        waiting('a word of all workers')
        is_far = made.keys_file is not None or made.inventory.cluster is not None
        hellos = hardware.hellos(sum(expected.values()), FAR_HELLO_S_MAX if is_far else HELLO_S_MAX,
                                 testbed.check_pods)
        check_workers(hellos, expected)
        check_memory(made.binding, made.inventory, scenario.crypto.prefetch, hellos)
        yield _Begun(name, testbed, devices, hardware, hellos)


def _broker(made: Plan, begun: _Begun) -> str:
    """Return what did the broker's work: times of another version, or of other queues, may not be compared."""
    queues = made.inventory.broker.queues
    return f'RabbitMQ {begun.testbed.server_version}{"" if queues == "classic" else f" with {queues} queues"}'


def _facts(made: Plan, begun: _Begun) -> dict[str, Any]:
    is_host = all(node.workers == 'started' for node in made.inventory.nodes.values())
    return {
        'testbed': 'host testbed' if is_host else 'nodes', 'is_padded': made.inventory.padded,
        'places': sorted(made.binding.priorities()),
        'model': 'none' if made.only_bound else 'simulated', 'broker': _broker(made, begun),
        'kem_provider': f'{made.provider.name} {made.provider.version}',
        'workers': [asdict(hello) for hello in begun.hellos],
    }
