"""Runs a scenario on hardware: what is bound goes to real workers, all else is simulated in real time."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from hil.broker.names import new_run_id
from hil.broker.settings import BODY_BYTES_MAX
from hil.crypto.providers import Provider, choose
from hil.inventory import Inventory
from hil.ledger import Ledger
from hil.paced.binding import Binding, bind
from hil.paced.checks import check_bodies, check_load
from hil.paced.devices import Devices
from hil.paced.engine import PacedEngine
from hil.paced.hardware import Hardware
from hil.paced.learning import Rounds
from hil.paced.messages import Messages, subjects
from hil.paced.notes import processor_times, why_invalid
from hil.paced.testbed import Order, Testbed
from hil.wire.names import run_id
from sim.engines import Progress
from sim.loading import Origin
from sim.running import Execution, Lowered, controlled, prepare
from sim.running import Hardware as Measured
from sim.scenario import Scenario

CHAINS_MAX = 2_000  # in flight; a queue takes 10,000
BYTES_MAX = 64 << 20  # in flight; a queue takes 128 MiB
Waiting = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """A scenario made ready for hardware; `only_bound` leaves out what is not at a bound place."""

    lowered: Lowered
    inventory: Inventory
    binding: Binding
    only_bound: bool
    provider: Provider


def plan(scenario: Scenario, origin: Origin, inventory: Inventory, *, only_bound: bool = False,
         provider: str | None = None) -> Plan:
    """Return a scenario made ready for hardware: all that can be wrong without a broker shows here.

    Raises
    ------
    InputError
        If the scenario cannot be lowered, asks for what workers cannot do, or is too much for them.
    """
    lowered = prepare(scenario, origin)
    offered = frozenset(place for node in inventory.nodes.values() for place in node.places)
    binding = bind(scenario, lowered.model, offered)
    check_bodies(binding, BODY_BYTES_MAX)
    check_load(binding, inventory)
    return Plan(lowered, inventory, binding, only_bound, choose(provider))


def execute(made: Plan, *, waiting: Waiting = lambda _: None, progress: Progress | None = None) -> Execution:
    """Run a plan once, in real time.

    Parameters
    ----------
    waiting
        Is told what is waited for while the testbed starts.

    Raises
    ------
    BrokerError
        If there is no broker, or it is gone for good.
    RunError
        If a worker does not start.
    """
    model, scenario, name = made.lowered.model, made.lowered.scenario, new_run_id()
    rounds = Rounds(1 if scenario.learning is None else scenario.learning.model, scenario.seed)
    messages = Messages(made.binding, name, rounds)
    suite = scenario.crypto.suite
    assert suite is not None, 'bind refuses it'
    order = Order(suite, made.provider.name, made.binding.priorities(), scenario.crypto.prefetch, BODY_BYTES_MAX)
    ledger = Ledger(run_id(name), CHAINS_MAX, BYTES_MAX)
    with ExitStack() as stack:
        testbed = stack.enter_context(Testbed(name, made.inventory, order, waiting))
        waiting('the keys of devices')
        devices = stack.enter_context(
            Devices(name, suite, made.provider.name, *subjects(made.binding), BODY_BYTES_MAX))
        testbed.start_workers(devices.store)
        hardware = stack.enter_context(Hardware(name, testbed.connect))
        engine = PacedEngine(made.binding, hardware, devices, ledger, messages, only_bound=made.only_bound,
                             watch=testbed.check)
        all_before, stolen_before = processor_times()
        begin = time.perf_counter()
        recording = controlled(model, lambda controllers: engine.run(controllers, progress))
        wall_s = time.perf_counter() - begin
        all_ticks, stolen = (after - before for after, before in zip(
            processor_times(), (all_before, stolen_before), strict=True))
        steal = stolen / max(all_ticks, 1)
        notes = engine.notes
        facts = {**_facts(made, testbed, ledger), 'model_sha256': rounds.sha256, 'pacing': notes.pacing(),
                 'steal': steal}
        found = Measured(notes.tables(testbed.nodes), notes.summary(), facts, why_invalid(notes, steal))
    return Execution(scenario, made.lowered.profiles, recording, 'paced', made.lowered.wall_s, wall_s,
                     made.lowered.compile_wall_s, found)


def _facts(made: Plan, testbed: Testbed, ledger: Ledger) -> dict[str, Any]:
    provider = made.provider
    is_host = all(node.workers == 'started' for node in made.inventory.nodes.values())
    return {
        'testbed': 'host testbed' if is_host else 'nodes', 'places': sorted(made.binding.priorities()),
        'model': 'none' if made.only_bound else 'simulated', 'workers': sorted(testbed.nodes.values()),
        'broker': f'RabbitMQ {testbed.server_version}', 'kem_provider': f'{provider.name} {provider.version}',
        'outcomes': dict(sorted(ledger.counts.items())), 'n_duplicates': ledger.counts['duplicate'],
    }
