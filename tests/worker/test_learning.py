"""Learning that is really done: training lowers the loss; averages are FedAvg to the last bit, whatever comes again."""

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.wire.errors import MalformedError
from hil.worker import updates as updating
from hil.worker.learning import SAMPLES_MAX, UPDATES_MAX, Parameters, average, loss, train
from hil.worker.updates import StaleError, UpdateStore
from tests.worker.hospital import first_model


def update(client: int, n_updates: int, number: int = 0) -> Parameters:
    """Return an update whose numbers make sums depend on their order."""
    generator = np.random.default_rng([number, client])
    values = generator.normal(size=50) * 10.0 ** generator.integers(-8, 8, 50)
    return Parameters(number, client, 1 + 7 * client, n_updates, values)


def test_training_lowers_the_loss() -> None:
    """Five rounds of a client's training, each on the last: the cross-entropy falls in each, from ln 2."""
    model = first_model(1, 1)
    losses = [loss(model)]
    for _ in range(5):
        model = train(model)
        losses.append(loss(model))
    assert losses[0] == pytest.approx(np.log(2), rel=1e-12)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.8 * losses[0]


def test_training_is_a_function_of_the_model() -> None:
    """The same model gives the same update to the last bit; another client, or more samples, another one."""
    model = first_model(1, 1)
    assert train(model).to_bytes() == train(model).to_bytes()
    others = [replace(model, client=2), replace(model, samples=54)]
    assert all(train(other).values.tobytes() != train(model).values.tobytes() for other in others)


@given(order=st.lists(st.integers(0, 6), max_size=30).map(lambda early: [*early, *range(7)]))
def test_an_average_is_fedavg_whatever_comes_in_whatever_order(
        order: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Seven updates in any order and any number of times, the store opened anew each time: one sum, bit for bit."""
    folder = tmp_path_factory.mktemp('updates')
    updates = [update(client, 7) for client in range(7)]
    total = np.zeros(50)
    for each in updates:
        total += each.samples * each.values
    expected = total / sum(each.samples for each in updates)
    found = None
    seen = set[int]()
    for client in order:
        found = UpdateStore(folder).keep(updates[client])
        seen.add(client)
        assert (found is not None) == (len(seen) == 7)
    assert found is not None
    assert found.values.tobytes() == expected.tobytes()
    assert found.samples == sum(each.samples for each in updates)


def test_the_order_of_summation_shows() -> None:
    """Backwards, the same updates give other bits: what the tests above compare is not the same in any order."""
    updates = [update(client, 7) for client in range(7)]
    assert average(updates).values.tobytes() != average(reversed(updates)).values.tobytes()


def test_the_first_update_of_a_client_counts(tmp_path: Path) -> None:
    """A second one with other numbers changes nothing."""
    store = UpdateStore(tmp_path)
    store.keep(update(0, 2))
    store.keep(replace(update(0, 2), values=np.ones(50)))
    found = store.keep(update(1, 2))
    assert found is not None
    assert found.to_bytes() == average([update(0, 2), update(1, 2)]).to_bytes()


def test_half_a_file_is_no_update(tmp_path: Path) -> None:
    """A crash while an update is written leaves a part, which is not summed; the message that comes again writes it."""
    store = UpdateStore(tmp_path)
    store.keep(update(0, 2))
    (tmp_path / '0000000000' / '0000000001.part').write_bytes(b'half')
    found = UpdateStore(tmp_path).keep(update(1, 2))
    assert found is not None
    assert found.to_bytes() == average([update(0, 2), update(1, 2)]).to_bytes()


def test_rounds_that_are_over_are_removed_and_refused(tmp_path: Path) -> None:
    """Of five rounds the last two are on disk; an update of an earlier one is stale, one of the last is taken."""
    store = UpdateStore(tmp_path)
    for number in range(5):
        store.keep(update(0, 2, number))
    assert sorted(path.name for path in tmp_path.iterdir()) == ['0000000003', '0000000004']
    with pytest.raises(StaleError, match='an update of round 2, and round 4 has begun'):
        store.keep(update(1, 2, 2))
    assert store.keep(update(1, 2, 3)) is not None


@pytest.mark.parametrize('other', [
    replace(update(1, 2), values=np.zeros(49)), update(1, 3), replace(update(1, 2), samples=SAMPLES_MAX + 1)])
def test_what_does_not_go_with_its_round_is_refused(tmp_path: Path, other: Parameters) -> None:
    """Other lengths, other numbers of updates, and more samples than a client has."""
    store = UpdateStore(tmp_path)
    store.keep(update(0, 2))
    with pytest.raises(MalformedError):
        store.keep(other)
    assert store.keep(update(1, 2)) is not None


def test_a_round_has_room_for_its_updates_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third update in a round of two, and a round that would take more than it may on disk."""
    store = UpdateStore(tmp_path)
    store.keep(update(0, 2))
    store.keep(update(1, 2))
    with pytest.raises(MalformedError, match='has its 2 updates already'):
        store.keep(update(2, 2))
    monkeypatch.setattr(updating, 'BYTES_MAX', 799)
    with pytest.raises(MalformedError, match='a round of 800 bytes'):
        store.keep(update(0, 2, 1))


@given(client=st.integers(0, 2**32 - 1), values=st.lists(st.floats(-1e100, 1e100), min_size=2, max_size=9))
def test_parameters_come_back_as_they_were(client: int, values: list[float]) -> None:
    """To bytes and back, to the last bit."""
    model = Parameters(3, client, 17, 2, np.array(values))
    found = Parameters.from_bytes(model.to_bytes())
    assert found.to_bytes() == model.to_bytes()
    assert (found.round, found.client, found.samples, found.n_updates) == (3, client, 17, 2)


@pytest.mark.parametrize('body', [
    b'', bytes(16), bytes(16 + 8), first_model(0, 1).to_bytes()[:-1], first_model(0, 1).to_bytes() + b'\0',
    struct.pack('<IIII', 0, 0, 0, 1) + bytes(16), struct.pack('<IIII', 0, 0, 1, 0) + bytes(16),
    struct.pack('<IIII', 0, 0, 1, UPDATES_MAX + 1) + bytes(16),
    struct.pack('<IIIIdd', 0, 0, 1, 1, float('nan'), 0.0), struct.pack('<IIIIdd', 0, 0, 1, 1, float('inf'), 0.0),
    struct.pack('<IIIIdd', 0, 0, 1, 1, 0.0, 1.1e100)])
def test_what_is_no_model_is_refused(body: bytes) -> None:
    """Too short, not of whole numbers, without samples or updates, with numbers that would spoil every sum."""
    with pytest.raises(MalformedError):
        Parameters.from_bytes(body)


def test_a_client_does_not_train_on_everything() -> None:
    """More samples than a client may have are refused before any are drawn."""
    with pytest.raises(MalformedError, match='100001 samples'):
        train(replace(first_model(0, 1), samples=SAMPLES_MAX + 1))
