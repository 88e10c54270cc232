"""Two engines, one meaning: outcome and time of every hop of every job are equal bit for bit, and so is every sum."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from sim.engines import compiled, reference
from sim.loading import load, shipped_scenarios
from sim.lowering import lower
from sim.profiles import load_profile
from sim.results.recording import Recording
from sim.running import run_model
from tests.engine.cases import build
from tests.engine.strategies import Plan, plans
from tests.engines import Engine
from tests.scenario.clinic import CLINIC
from tests.scenario.key_effects import KEYS, NO_AUTHORITY
from tests.scenario.reduced import few_wards

PATCHES, MONITOR = '{devices: patch, at: 4 s, enrol_again: 6 s}', '{devices: monitor, index: 1, at: 6 s}'
SHORTENED = {
    'ward': ('duration=100 s', 'warm_up=10 s', 'learning.start=20 s', 'learning.pause=10 s'),
    'paper-testbed-sequential': ('duration=60 s',),
    'paper-testbed-distributed': ('duration=60 s',),
    'testbed': ('duration=20 s',),
    'teaching-hospital': ('duration=20 s', 'warm_up=5 s', 'learning.start=2 s', 'learning.rounds=2',
                          'learning.pause=1 s'),
    **{name: (*few_wards(name, 2), 'duration=10 s', 'warm_up=2 s', 'learning.start=1 s', 'learning.rounds=2',
              'learning.pause=1 s', 'learning.fraction=0.5') for name in ('campus-100k', 'region-1m')},
}
OUTAGES = (
    'outages=[{target: crypto-1, begin: 15 s, end: 40 s}, {target: edge-2, begin: 30 s, end: 50 s}, '
    '{target: general-1/wifi-ap-1, begin: 20 s, end: 22 s}, {target: broker, begin: 60 s, end: 61 s}]'
)
VARIANTS = {
    'outages': (*SHORTENED['ward'], OUTAGES, 'broker.detect=2 s'),
    'nodes lost, and their workers elsewhere': (
        *SHORTENED['ward'], OUTAGES, 'broker.detect=2 s', 'edge.rescheduling={grace: 2 s, eviction: 3 s, start: 1 s}',
        'crypto.replicas=4', 'crypto.policy=pack'),
    'full queue': (*SHORTENED['ward'], 'broker.capacity=1', 'broker.deliver=20 ms', 'crypto.prefetch=1'),
    'lossy air': (*SHORTENED['ward'], 'access_points.ble-gateway.loss_ratio=0.4',
                  'access_points.ble-gateway.attempts_max=2', 'access_points.wifi-ap.loss_ratio=0.3'),
    'unlike nodes': (*SHORTENED['ward'], 'edge.nodes.edge-2.profile=x86-server', 'crypto.sign_updates=true'),
    'one segment at a time': (*SHORTENED['ward'], 'transport.window=1', 'transport.quantum=100 us'),
    'late rounds': (*SHORTENED['ward'], 'learning.deadline=300 ms', 'learning.quorum=1.0', 'drain=100 ms'),
}


def same(one: Recording, other: Recording) -> None:
    """Assert that two recordings hold the same rows in the same order, and the same sums."""
    for rows, others in ((one.jobs, other.jobs), (one.hops, other.hops)):
        for name, column in rows.items():
            np.testing.assert_array_equal(np.array(column), np.array(others[name]), err_msg=name)
    assert one.differences(other) == []


def both(scenario: str | Path, overrides: tuple[str, ...]) -> tuple[Recording, Recording]:
    """Run a scenario through both engines, controllers included."""
    model = lower(*load(scenario, overrides))
    return run_model(model, engine='simpy', trace='stages'), run_model(model, engine='compiled', trace='stages')


@settings(max_examples=300)
@given(plan=plans())
def test_engines_agree_on_random_models(plan: Plan) -> None:
    """Random small models with ties, priorities, preemption, drops, outages and windows: all rows and sums equal."""
    runs = [engine(case.model, trace='stages', controllers=case.controllers)
            for engine, case in ((reference.run, build(plan)), (compiled.run, build(plan)))]
    same(*runs)


@pytest.mark.parametrize(('scenario', 'overrides'), [
    *(pytest.param(name, overrides, id=name) for name, overrides in SHORTENED.items()),
    *(pytest.param('ward', overrides, id=name) for name, overrides in VARIANTS.items()),
])
def test_engines_agree_on_shipped_scenarios(scenario: str, overrides: tuple[str, ...]) -> None:
    """Every shipped scenario, shortened, and the ward in trouble: rows, sums and the controller's decisions equal."""
    assert set(SHORTENED) == set(shipped_scenarios())
    one, other = both(scenario, overrides)
    assert one.n_launched > 0
    same(one, other)
    for row, other_row in zip(one.rounds, other.rounds, strict=True):
        for name in ('started_s', 'n_selected', 'n_delivered', 'quorum_met', 'closed_s', 'aggregated_s', 'ended'):
            np.testing.assert_equal(getattr(row, name), getattr(other_row, name))
        np.testing.assert_array_equal(row.jobs, other_row.jobs)


@pytest.mark.parametrize('overrides', [
    pytest.param((*KEYS, 'keys.rotation.every=5 s', 'keys.rotation.rounds=1', 'keys.rotation.usage=10 kB',
                  'keys.rotation.usage_check=2 s', 'keys.overlap=100 ms'), id='rotation'),
    pytest.param((*KEYS, 'crypto.learning_keys=group', f'keys.revocations=[{PATCHES}, {MONITOR}]'),
                 id='revocation and a group key'),
    pytest.param((*NO_AUTHORITY, 'keys.rotation.every=5 s', 'keys.expiry=12 s', 'keys.deadline=1 s'),
                 id='no authority'),
])
def test_engines_agree_on_the_life_of_keys(overrides: tuple[str, ...]) -> None:
    """Keys by age, usage and rounds, revoked, enrolled again, expired: rows, sums and the authority's notes equal."""
    one, other = both(CLINIC, overrides)
    same(one, other)
    assert len(one.keys) > 10
    np.testing.assert_equal([vars(row) for row in one.keys], [vars(row) for row in other.keys])


def test_an_untraced_run_has_the_same_sums(engine: Engine) -> None:
    """A ward traced in full and not at all: the sums are the same, the rows are gone."""
    model = lower(*load('ward', SHORTENED['ward']))
    full, none = engine(model, trace='stages'), engine(model, trace='none')
    assert set(full.differences(none)) == {'trace', 'jobs', 'hops'}
    assert len(none.jobs['job']) == len(none.hops['job']) == 0
    assert len(full.hops['job']) > 0


@pytest.mark.parametrize('overrides', [
    pytest.param(('learning=null', 'crypto.prefetch=65535', 'edge.nodes.edge-1.profile=esp32-pump',
                  'edge.nodes.edge-2.profile=esp32-pump', 'edge.nodes.edge-3.profile=esp32-pump',
                  'crypto.replicas=3', 'devices.bedside-monitor.streams.vitals.period=10 ms',
                  'devices.bedside-monitor.streams.vitals.payload=8 KiB', 'broker.detect=2 s', 'duration=20 s',
                  'warm_up=0 s', 'drain=20 s', 'outages=[{target: crypto-1, begin: 10 s, end: 19 s}]'),
                 id='thousands of messages return at once'),
    pytest.param(('learning=null', 'edge.server.profile=LARGE', 'broker.cores=1000', 'edge.server.cores=1024',
                  'duration=20 s', 'warm_up=0 s', 'devices.bedside-monitor.streams.vitals.period=100 ms',
                  'outages=[{target: broker, begin: 1 s, end: 15 s}]'), id='a thousand servers wake at once'),
    pytest.param(('outages=[{target: edge-1, begin: 10 s, end: 90 s}, {target: crypto-1, begin: 20 s, end: 30 s}]',
                  *SHORTENED['ward']), id='a worker on a node that is down'),
])
def test_engines_agree_when_much_happens_at_once(overrides: tuple[str, ...], tmp_path: Path) -> None:
    """What fills the pools in one event: rows and sums are equal, and memory is whole."""
    large = tmp_path / 'x86-server.yaml'
    large.write_bytes(load_profile('x86-server').contents.replace(b'cores: {value: 96', b'cores: {value: 1024'))
    one, other = both('ward', tuple(override.replace('LARGE', str(large)) for override in overrides))
    same(one, other)
