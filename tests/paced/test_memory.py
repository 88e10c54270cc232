"""The memory that a run's messages and updates may take at its workers, against what workers say they have."""

from dataclasses import replace

import pytest

from hil.broker.names import Place
from hil.inventory import Inventory
from hil.paced.binding import Binding, bind
from hil.paced.checks import COPIES_AT_WORK, COPIES_HELD, WARM_BYTES, check_memory, updates_bytes, worker_bytes
from hil.wire.codec import HEADER_BYTES_MAX
from hil.worker.hello import Hello, hello_of
from hil.worker.updates import ROUNDS_KEPT
from sim.errors import RunError
from sim.lowering import lower
from tests.paced.conftest import lab

PLACES: dict[Place, int] = {'crypto': 2, 'server': 1}
NAMES = {'here-crypto-1': 'crypto', 'here-crypto-2': 'crypto', 'here-server-1': 'server'}
FAR = {'broker': {'url': 'amqps://192.0.2.1:5671/iomtwin', 'ca': 'ca.pem', 'credentials': 'environment'}}
HERE = Inventory.model_validate({
    'broker': {'private': True}, 'nodes': {'here': {'workers': 'started', 'places': PLACES}}})
ELSEWHERE = Inventory.model_validate({**FAR, 'nodes': {'here': {'places': PLACES}}})
PODS = Inventory.model_validate({**FAR, 'cluster': {}, 'nodes': {'here': {'places': PLACES}}})


def bound(*overrides: str) -> Binding:
    """Return the laboratory with both places bound."""
    scenario, origin = lab(*overrides)
    return bind(scenario, lower(scenario, origin), frozenset(PLACES))


def hellos(memory_mib: int) -> list[Hello]:
    """Return what workers say who have so much memory each."""
    return [replace(hello_of(name, place, 'pqcrypto 1.0.0', 'pqc-768'), memory_mib=memory_mib)
            for name, place in NAMES.items()]


def test_a_worker_holds_as_many_messages_of_each_class_as_it_may() -> None:
    """Without learning: 1,056 bytes of vitals and 128 of an alarm, sealed 1 KiB and 96 B; those of each class count."""
    held = (1056 + HEADER_BYTES_MAX) + (128 + HEADER_BYTES_MAX)
    in_hand = COPIES_AT_WORK * (1056 + HEADER_BYTES_MAX)
    for prefetch in (1, 7):
        assert worker_bytes(bound('learning=null'), 'crypto', prefetch) == (
            WARM_BYTES + COPIES_HELD * prefetch * held + in_hand)


def test_a_longer_model_and_more_clients_take_more() -> None:
    """Ten times the model is ten times the updates, and so at both places; half of the clients keep half as many."""
    small, large = bound(), bound('learning.model=1 MB', 'learning.update=1 MB')
    for place in PLACES:
        assert worker_bytes(large, place, 2) - worker_bytes(small, place, 2) >= (2 * 3 + 12) * 900_000
    assert 4 * 1_000_000 <= updates_bytes(large) / ROUNDS_KEPT <= 4 * 1_010_000
    assert updates_bytes(bound('learning.fraction=0.5')) == updates_bytes(small) / 2
    assert updates_bytes(bound('learning=null')) == 0


@pytest.mark.parametrize(('inventory', 'who', 'n_crypto', 'n_server', 'n_kept'), [
    (ELSEWHERE, 'worker here-crypto-1', 1, 0, 0),
    (PODS, 'worker here-server-1', 0, 1, 1),
    (HERE, 'the workers of this machine', 2, 1, 1),
], ids=['elsewhere', 'pods', 'here'])
def test_what_does_not_fit_is_refused(
        inventory: Inventory, who: str, n_crypto: int, n_server: int, n_kept: int) -> None:
    """A MiB less than is needed: by the largest worker elsewhere, by a pod with the updates, here by all of them."""
    binding = bound('learning.model=5 MB', 'learning.update=5 MB')
    needed = (n_crypto * worker_bytes(binding, 'crypto', 2) + n_server * worker_bytes(binding, 'server', 2)
              + n_kept * updates_bytes(binding))
    enough_mib = -(-needed // 2**20)
    check_memory(binding, inventory, 2, hellos(enough_mib))
    with pytest.raises(RunError, match=f'{who}: may need .* {enough_mib - 1:,} MiB are free; free some') as refused:
        check_memory(binding, inventory, 2, hellos(enough_mib - 1))
    assert '\n' not in str(refused.value)


def test_what_is_not_known_is_not_refused() -> None:
    """A worker on a system that does not say what is free says 0."""
    check_memory(bound(), ELSEWHERE, 2, hellos(0))
