import pytest

from hil.broker.names import Place
from hil.inventory import Inventory
from hil.paced.binding import Chain, bind
from hil.paced.checks import check_bodies, check_load, loads
from hil.wire.message import Leg
from sim.errors import InputError
from sim.lowering import lower
from sim.model import LINK, QUEUE
from tests.paced.conftest import lab

BOTH: frozenset[Place] = frozenset({'crypto', 'server'})


def chains_of(flow: str, places: frozenset[Place], *overrides: str) -> list[Chain]:
    """Return the chains of a flow of the laboratory."""
    scenario, origin = lab(*overrides)
    binding = bind(scenario, lower(scenario, origin), places)
    model = binding.model
    row = next(row for row, stream in enumerate(model.routes.stream.tolist())
               if model.flows[model.stream_flow[stream]] == flow)
    return [binding.chains[row][first] for first in sorted(binding.chains[row])]


def test_telemetry_is_one_chain_with_the_broker_in_it() -> None:
    """A bound crypto place takes broker, queue and the links to the worker with it; the device's seal comes before."""
    scenario, origin = lab()
    model = lower(scenario, origin)
    (chain,) = chains_of('vitals', BOTH)
    assert (chain.legs, chain.device) == ((Leg('crypto', 4, 5),), Leg('device', 0, 1))
    row = next(row for row, stream in enumerate(model.routes.stream.tolist()) if model.streams[stream] == 'vitals')
    first, end = int(model.routes.hop_first[row]), int(model.routes.hop_first[row] + model.routes.n_hops[row])
    covered = range(first + chain.first, first + chain.end)
    assert covered.stop == end
    assert [model.stages[model.hops.stage[hop]] for hop in covered if model.hops.kind[hop] != LINK] == [
        'broker.route', 'broker.queue', 'aead.open']
    assert all(model.hops.kind[hop] != QUEUE for hop in range(first, covered.start))


def test_an_update_is_two_chains_with_the_device_between() -> None:
    """The crypto place seals the model for a client and opens what the client made of it."""
    down, up = chains_of('fl-update', BOTH)
    assert (down.legs, down.device) == ((Leg('crypto', 2, 4),), None)
    assert (up.legs, up.device) == ((Leg('crypto', 15, 17),), Leg('device', 7, 12))


def test_without_optional_stages_legs_begin_later() -> None:
    """Session keys need no encapsulation, and unsigned updates no verification."""
    down, up = chains_of('fl-update', BOTH, 'crypto.learning_keys=established', 'crypto.sign_updates=false')
    assert down.legs == (Leg('crypto', 3, 4),)
    assert (up.legs, up.device) == ((Leg('crypto', 16, 17),), Leg('device', 8, 11))


def test_what_is_not_bound_is_simulated() -> None:
    """With the crypto place alone, publishing and averaging stay in the model; with nothing, everything does."""
    assert chains_of('fl-aggregate', frozenset({'crypto'})) == []
    assert chains_of('fl-publish', frozenset({'crypto'})) == []
    assert chains_of('vitals', frozenset()) == []


REFUSED = {
    'keys that live': (['keys.overlap=10 s'], 'keys'),
    'a group key': (['crypto.learning_keys=group'],
                    'crypto.learning_keys: workers do not know group keys; write per-round or established'),
    'more than a worker holds': (['crypto.prefetch=1001'], 'crypto.prefetch: 1,001; expected at most 1,000'),
    'no shipped suite': (['crypto.kem=ML-KEM-512'], 'crypto.suite'),
}


@pytest.mark.parametrize(('overrides', 'word'), REFUSED.values(), ids=REFUSED.keys())
def test_what_workers_cannot_do_is_refused(overrides: list[str], word: str) -> None:
    """One line that names the key."""
    scenario, origin = lab(*overrides)
    model = lower(scenario, origin)
    bind(scenario, model, frozenset())  # it is good enough for a simulation
    with pytest.raises(InputError, match=word) as refused:
        bind(scenario, model, BOTH)
    assert '\n' not in str(refused.value)


def test_a_scenario_with_nothing_to_do_there_is_refused() -> None:
    """An inventory that offers a place that no flow passes binds nothing, and says so."""
    scenario, origin = lab()
    with pytest.raises(InputError, match='nothing in it is done at authority'):
        bind(scenario, lower(scenario, origin), frozenset({'authority'}))


def inventory(n_crypto: int) -> Inventory:
    """Return an inventory with so many crypto workers."""
    return Inventory.model_validate({'broker': {'private': True}, 'nodes': {
        'here': {'workers': 'started', 'places': {'crypto': n_crypto}}}})


def test_the_load_is_rate_times_cost() -> None:
    """Twenty messages of 1 KiB a second, and 4 x 1200 alarms an hour, by their costs in the Pi's profile."""
    scenario, origin = lab('learning=null')
    binding = bind(scenario, lower(scenario, origin), frozenset({'crypto'}))
    model = binding.model
    rows = {model.streams[stream]: row for row, stream in enumerate(model.routes.stream.tolist())}
    curves, hops = model.curves, model.hops

    def cost(stream: str) -> float:
        (chain,) = binding.chains[rows[stream]].values()
        hop = int(model.routes.hop_first[rows[stream]]) + chain.end - 1
        points = slice(curves.first[hops.curve[hop]], curves.first[hops.curve[hop]] + curves.n[hops.curve[hop]])
        amounts, seconds = curves.amounts[points], curves.seconds[points]
        after = next((i for i, amount in enumerate(amounts) if amount >= hops.amount[hop]), None)
        assert after is not None
        if after == 0:
            return float(seconds[0])
        share = (hops.amount[hop] - amounts[after - 1]) / (amounts[after] - amounts[after - 1])
        return float(seconds[after - 1] + share * (seconds[after] - seconds[after - 1]))

    expected = 20 * cost('vitals') + 4 * 1200 / 3600 * cost('alarm')
    assert loads(binding, inventory(1)) == {'crypto': pytest.approx(expected)}
    assert loads(binding, inventory(4)) == {'crypto': pytest.approx(expected / 4)}


def test_too_much_for_the_workers_is_refused() -> None:
    """More than 80 % of a place's workers, by the profiles, with the place and what to do."""
    scenario, origin = lab('learning=null', 'devices.monitor.streams.vitals.period=20 us')
    binding = bind(scenario, lower(scenario, origin), frozenset({'crypto'}))
    with pytest.raises(InputError, match=r'crypto would be busy .* more workers'):
        check_load(binding, inventory(1))
    check_load(binding, inventory(40))


def test_a_body_that_no_queue_takes_is_refused() -> None:
    """With its flow and its size."""
    scenario, origin = lab('learning.model=13 MB', 'learning.update=1 MB')
    binding = bind(scenario, lower(scenario, origin), frozenset({'crypto'}))
    with pytest.raises(InputError, match='fl-update has 13,0'):
        check_bodies(binding, 12 << 20)
