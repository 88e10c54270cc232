"""Whole runs on hardware: a private broker, worker processes, devices that do their crypto."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from threadpoolctl import threadpool_limits

from hil import learning
from hil.broker.connection import Endpoint
from hil.broker.credentials import Credentials
from hil.inventory import load_inventory
from hil.ledger import Ledger
from hil.paced.binding import bind
from hil.paced.devices import Devices
from hil.paced.engine import PacedEngine
from hil.paced.hardware import Hardware, Line
from hil.paced.learning import Rounds
from hil.paced.messages import Messages
from hil.paced.running import execute, plan
from hil.worker.learning import Parameters, train
from sim import laws
from sim.results.contents import write_run
from sim.results.folder import read_run
from sim.results.tables import tables
from sim.running import controlled, prepare, run_model
from tests.paced.conftest import lab

NOWHERE = Line(Endpoint('amqps://nowhere', Path('none')), Credentials('nobody', ''))  # nothing may be asked there
# On a busy machine rounds take seconds: the first begins at once, and has all the time there is.
UNHURRIED = ('learning.start=100 ms', 'learning.pause=0 s', 'learning.deadline=200 s', 'drain=200 s')
N_CLIENTS, N_ROUNDS, MODEL_BYTES, SAMPLES = 4, 2, 100_000, 64


def test_nothing_bound_is_the_simulation_bit_for_bit() -> None:
    """All tables of a run in real time equal those of the reference, learning included."""
    scenario, origin = lab('duration=4 s', 'drain=2 s')
    model = prepare(scenario, origin).model
    binding = bind(scenario, model, frozenset())

    engine = PacedEngine(binding, Hardware('none', NOWHERE, {}),
                         Devices('none', 'pqc-768', None, [], [], 1), Ledger(bytes(16), 1, 1),
                         Messages(binding, 'none', Rounds(1000, 1)), trace='stages')
    paced = controlled(model, engine.run)
    simulated = run_model(model, engine='simpy', trace='stages')
    found, expected = tables(paced), tables(simulated)
    assert found.keys() == expected.keys()
    assert [name for name in expected if not found[name].equals(expected[name], null_equal=True)] == []
    assert simulated.rounds


def test_padded_legs_take_what_the_simulation_draws() -> None:
    """For every message that a crypto worker opens, the time it is to take is the service time in the reference."""
    scenario, origin = lab('learning=null', 'duration=4 s')
    model = prepare(scenario, origin).model
    engine = PacedEngine(bind(scenario, model, frozenset({'crypto'})), Hardware('none', NOWHERE, {}),
                         Devices('none', 'pqc-768', None, [], [], 1), Ledger(bytes(16), 1, 1),
                         Messages(bind(scenario, model, frozenset({'crypto'})), 'none', Rounds(1000, 1)),
                         is_padded=True)
    found = tables(run_model(model, engine='simpy', trace='stages'))
    opened = found['stages'].filter(pl.col('stage') == 'aead.open').join(found['jobs'], on='job')
    assert opened.height > 60
    for row in opened.iter_rows(named=True):
        stream = model.streams.index(row['stream'])
        key = laws.job_key(engine.run_key, int(model.entities.key[row['device']]),
                           laws.name_key('stream', row['stream']), row['k'])
        job = engine._new_job(key, stream, 0, row['device'], row['k'])
        (chain,) = engine._binding.chains[job.route.row].values()
        (leg,) = engine._slip(job, chain)
        assert leg.hold_ns == pytest.approx(row['service_s'] * 1e9, abs=1)


def averaged_twice(seed: int) -> str:
    """Return the hash of the model after the rounds, by the definition of FedAvg in float64, client by client."""
    scenario, origin = lab()
    clients = prepare(scenario, origin).model.learning.clients.tolist()  # type: ignore[union-attr]
    values = learning.initial_model(np.random.default_rng(seed), learning.hidden_units(MODEL_BYTES))
    for number in range(N_ROUNDS):
        total = np.zeros(len(values) // 4)
        for client in clients:
            with threadpool_limits(1):  # as on a node: sums in another order are other sums
                update = train(Parameters(number, client, SAMPLES, 1, values))
            total += SAMPLES * np.frombuffer(update.values, '<f4').astype(np.float64)
        values = (total / (SAMPLES * len(clients))).astype('<f4').tobytes()
    return hashlib.sha256(values).hexdigest()


@pytest.mark.usefixtures('rabbitmq')
@pytest.mark.parametrize(('only_bound', 'queues'), [(False, 'classic'), (True, 'quorum')],
                         ids=['with the model', 'the testbed alone, on quorum queues'])
def test_every_job_ends_once_and_the_model_is_fedavg(tmp_path: Path, *, only_bound: bool, queues: str) -> None:
    """Telemetry, alarms and two rounds: all delivered, the last model equal to FedAvg to the last bit."""
    local = load_inventory('local')
    inventory = local.model_copy(update={'broker': local.broker.model_copy(update={'queues': queues})})
    scenario, origin = lab('crypto.placement=distributed', 'crypto.replicas=2', *UNHURRIED)
    execution = execute(plan(scenario, origin, inventory, only_bound=only_bound))
    recording, measured = execution.recording, execution.measured
    assert measured is not None
    assert measured.facts['broker'].endswith(' with quorum queues') == (queues == 'quorum')
    jobs = tables(recording)['jobs']
    assert set(jobs['outcome'].to_list()) <= {'delivered', 'expired'}  # completed; in time if the machine let them
    assert jobs['job'].n_unique() == jobs.height == recording.n_launched
    assert [row.ended for row in recording.rounds] == ['complete'] * N_ROUNDS
    assert all(row.n_distributed == N_CLIENTS for row in recording.rounds)
    assert measured.facts['model_sha256'] == averaged_twice(scenario.seed)
    chains, work = measured.tables['chains'], measured.tables['work']
    in_flows = Counter(jobs['flow'].to_list())
    expected = {flow: in_flows[flow] for flow in ('vitals', 'alarm', 'fl-publish')} | {
        'fl-update': 2 * in_flows['fl-update'], 'fl-aggregate': N_CLIENTS * N_ROUNDS}
    assert dict(chains.group_by('flow').len().iter_rows()) == expected
    assert chains.select((pl.col('broker_and_wire_s') > 0).all()).item()
    assert set(work['node'].to_list()) == {'localhost-crypto-1', 'localhost-crypto-2', 'localhost-server-1'}
    alone = jobs.join(chains, on='job').filter(pl.col('flow') == 'vitals')
    if not only_bound:  # device and network come on top of what hardware took
        assert alone.select((pl.col('latency_s') > pl.col('round_trip_s')).all()).item()
    write_run(tmp_path, execution)
    run = read_run(tmp_path)
    assert run.manifest['world'] == 'hil'
    assert {row['metric'] for row in run.summary} >= {'latency', 'measured_round_trip', 'measured_stage'}
    assert not [row for row in run.summary if row['unit'] in ('J', 'd')]
