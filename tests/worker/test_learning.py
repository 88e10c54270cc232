"""Learning that is really done: training lowers the loss; averages are FedAvg to the last bit, whatever comes again."""

import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil import learning
from hil.wire.errors import MalformedError
from hil.worker import updates as updating
from hil.worker.learning import SAMPLES_MAX, UPDATES_MAX, Parameters, data_of, train
from hil.worker.updates import StaleError, UpdateStore
from tests.worker.hospital import FIRST, first_model


def update(client: int, n_updates: int, number: int = 0) -> Parameters:
    """Return an update whose numbers make sums depend on their order."""
    generator = np.random.default_rng([number, client])
    values = generator.normal(size=500) * 10.0 ** generator.integers(-3, 3, 500)
    return Parameters(number, client, 1 + 7 * client, n_updates, values.astype('<f4').tobytes())


def averaged(updates: list[Parameters]) -> bytes:
    """Return the federated average as its definition has it: float64, in the order given."""
    total = np.zeros(500)
    for each in updates:
        total += each.samples * np.frombuffer(each.values, '<f4').astype(np.float64)
    return (total / sum(each.samples for each in updates)).astype('<f4').tobytes()


def loss(model: Parameters) -> float:
    """Return the mean cross-entropy of a model on its client's data, nats."""
    return learning.loss(model.values, *data_of(model.client, model.samples))


def test_training_lowers_the_loss() -> None:
    """Three rounds of a client's training, each on the last: the cross-entropy falls in each."""
    model = replace(first_model(1, 1), samples=400)
    losses = [loss(model)]
    for _ in range(3):
        model = train(model)
        losses.append(loss(model))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.8 * losses[0]


def test_training_is_a_function_of_the_model() -> None:
    """The same model gives the same update to the last bit; another client, or more samples, another one."""
    model = first_model(1, 1)
    assert train(model).to_bytes() == train(model).to_bytes()
    others = [replace(model, client=2), replace(model, samples=54)]
    assert all(train(other).values != train(model).values for other in others)


@given(order=st.lists(st.integers(0, 6), max_size=30).map(lambda early: [*early, *range(7)]))
def test_an_average_is_fedavg_whatever_comes_in_whatever_order(
        order: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Seven updates in any order and any number of times, the store opened anew each time: one sum, bit for bit."""
    folder = tmp_path_factory.mktemp('updates')
    updates = [update(client, 7) for client in range(7)]
    found = None
    seen = set[int]()
    for client in order:
        found = UpdateStore(folder).keep(updates[client])
        seen.add(client)
        assert (found is not None) == (len(seen) == 7)
    assert found is not None
    assert found.values == averaged(updates)
    assert found.samples == sum(each.samples for each in updates)


def test_the_first_update_of_a_client_counts(tmp_path: Path) -> None:
    """A second one with other numbers changes nothing."""
    store = UpdateStore(tmp_path)
    store.keep(update(0, 2))
    store.keep(replace(update(0, 2), values=bytes(2000)))
    found = store.keep(update(1, 2))
    assert found is not None
    assert found.values == averaged([update(0, 2), update(1, 2)])


def test_half_a_file_is_no_update(tmp_path: Path) -> None:
    """A crash while an update is written leaves a part, which is not summed; the message that comes again writes it."""
    store = UpdateStore(tmp_path)
    store.keep(update(0, 2))
    (tmp_path / '0000000000' / '0000000001.part').write_bytes(b'half')
    found = UpdateStore(tmp_path).keep(update(1, 2))
    assert found is not None
    assert found.values == averaged([update(0, 2), update(1, 2)])


def test_a_server_that_hung_as_it_wrote_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one keeps the same client's update, and sums, while the first writes its own: the first file stays."""
    store, real, others = UpdateStore(tmp_path), os.fsync, list[Parameters | None]()
    store.keep(update(0, 2))

    def overtaken(descriptor: int) -> None:
        monkeypatch.setattr(os, 'fsync', real)
        others.append(UpdateStore(tmp_path).keep(update(1, 2)))
        real(descriptor)

    monkeypatch.setattr(os, 'fsync', overtaken)
    late = store.keep(replace(update(1, 2), values=bytes(2000)))
    assert [late] == others
    assert late is not None
    assert late.values == averaged([update(0, 2), update(1, 2)])
    assert sorted(path.name for path in (tmp_path / '0000000000').iterdir()) == ['0000000000', '0000000001']


def test_a_server_that_hung_for_rounds_is_told_that_its_own_is_over(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rounds begin while it sums, and its own is removed: stale. Another file that is gone is the disk's fault."""
    store, real = UpdateStore(tmp_path), learning.average
    store.keep(update(0, 2))

    def overtaken(updates: Iterable[bytes], weights: Sequence[float]) -> bytes:
        for number in (1, 2):
            UpdateStore(tmp_path).keep(update(0, 2, number))
        return real(updates, weights)

    monkeypatch.setattr(learning, 'average', overtaken)
    with pytest.raises(StaleError, match='an update of round 0, and round 2 has begun'):
        store.keep(update(1, 2))

    def robbed(updates: Iterable[bytes], weights: Sequence[float]) -> bytes:
        (tmp_path / '0000000002' / '0000000000').unlink()
        return real(updates, weights)

    monkeypatch.setattr(learning, 'average', robbed)
    with pytest.raises(FileNotFoundError):
        store.keep(update(1, 2, 2))


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
    replace(update(1, 2), values=bytes(1996)), update(1, 3), replace(update(1, 2), samples=SAMPLES_MAX + 1)])
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
    monkeypatch.setattr(updating, 'BYTES_MAX', 3999)
    with pytest.raises(MalformedError, match='a round of 4000 bytes'):
        store.keep(update(0, 2, 1))


@given(client=st.integers(0, 2**32 - 1), values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False),
                                                         min_size=1, max_size=9))
def test_parameters_come_back_as_they_were(client: int, values: list[float]) -> None:
    """To bytes and back, to the last bit."""
    model = Parameters(3, client, 17, 2, np.array(values, '<f4').tobytes())
    assert Parameters.from_bytes(model.to_bytes()) == model


@pytest.mark.parametrize('body', [
    b'', bytes(16), first_model(0, 1).to_bytes()[:-1], first_model(0, 1).to_bytes() + b'\0',
    struct.pack('<IIII', 0, 0, 0, 1) + bytes(16), struct.pack('<IIII', 0, 0, 1, 0) + bytes(16),
    struct.pack('<IIII', 0, 0, 1, UPDATES_MAX + 1) + bytes(16),
    struct.pack('<IIIIff', 0, 0, 1, 1, float('nan'), 0.0), struct.pack('<IIIIff', 0, 0, 1, 1, 0.0, float('inf'))])
def test_what_is_no_model_is_refused(body: bytes) -> None:
    """Too short, not of whole numbers, without samples or updates, with numbers that would spoil every sum."""
    with pytest.raises(MalformedError):
        Parameters.from_bytes(body)


@pytest.mark.parametrize('values', [bytes(4), struct.pack('<f', 3e38) * (len(FIRST) // 4)])
def test_absurd_models_are_trained_or_refused_without_a_word(values: bytes) -> None:
    """A model of another network is refused; one whose numbers overflow gives an update that the server refuses."""
    model = replace(first_model(0, 1), values=values)
    with pytest.raises(MalformedError):
        Parameters.from_bytes(train(model).to_bytes())


def test_a_client_does_not_train_on_everything() -> None:
    """More samples than a client may have are refused before any are drawn."""
    with pytest.raises(MalformedError, match='100001 samples'):
        train(replace(first_model(0, 1), samples=SAMPLES_MAX + 1))
