"""Federated learning that is really done: averages are exact, gradients are right, training learns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hil import learning
from hil.learning import N_CLASSES, N_INPUTS, average, initial_model, loss, train

RNG = np.random.default_rng(1)


@given(arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 40)), elements=st.floats(-1e6, 1e6, width=32)),
       st.data())
def test_an_average_is_the_weighted_sum_in_float64_in_the_order_of_clients(
        updates: np.ndarray, data: st.DataObject) -> None:
    """Claim: bit for bit FedAvg, summed in float64 client by client and rounded once; shown on random updates."""
    n_clients = len(updates)
    weights = data.draw(st.lists(st.integers(1, 10_000), min_size=n_clients, max_size=n_clients))
    expected = [np.float32(sum(float(update[i]) * weight for update, weight in zip(updates, weights, strict=True))
                           / sum(weights)) for i in range(updates.shape[1])]
    found = np.frombuffer(average([update.tobytes() for update in updates], weights), np.float32)
    assert found.tolist() == expected


def test_nothing_cannot_be_averaged() -> None:
    """No update, or updates of unlike lengths, are refused."""
    with pytest.raises(ValueError, match='no update'):
        average([], [])
    with pytest.raises(ValueError, match='broadcast'):
        average([bytes(8), bytes(12)], [1, 1])


def test_a_model_has_the_size_that_shipped_scenarios_exchange() -> None:
    """A model's message is within 2 % of the 1 MB of the ward."""
    assert len(initial_model(RNG)) == pytest.approx(1e6, rel=0.02)


@pytest.mark.parametrize('n_bytes', [1_000, 100_000, 12_000_000])
def test_a_model_of_another_size_is_the_nearest_network(n_bytes: int) -> None:
    """Its message differs from the size asked for by at most half a hidden unit, and it can be trained."""
    model = initial_model(RNG, learning.hidden_units(n_bytes))
    assert abs(len(model) - n_bytes) <= 4 * 193 / 2
    assert len(train(model, np.ones((1, N_INPUTS), np.float32), np.zeros(1, np.int64))) == len(model)


def test_gradients_are_those_of_the_loss() -> None:
    """Along a random direction, the derivative of the loss by central differences is the gradient's, within 1 %.

    In float64, where a step of 1e-5 leaves a relative error of about 1e-6; the 1 % is for kinks of the ReLU in between.
    """
    rng = np.random.default_rng(2)
    parameters = [rng.normal(0.0, 0.05, shape) for shape in learning.shapes(learning.N_HIDDEN)]
    beats, classes = rng.normal(size=(16, N_INPUTS)), rng.integers(N_CLASSES, size=16)
    direction = [rng.normal(size=shape) for shape in learning.shapes(learning.N_HIDDEN)]

    def at(step: float) -> float:
        moved = [each + step * along for each, along in zip(parameters, direction, strict=True)]
        _, probabilities = learning._forward(moved, beats)
        return float(-np.log(probabilities[np.arange(16), classes]).mean())

    slope = sum(float((gradient * along).sum()) for gradient, along in zip(
        learning._gradients(parameters, beats, classes), direction, strict=True))
    assert (at(1e-5) - at(-1e-5)) / 2e-5 == pytest.approx(slope, rel=0.01)


def test_training_learns_what_can_be_learned() -> None:
    """Beats around five shapes: three passes over 400 of them make the loss on other beats ten times less."""
    rng = np.random.default_rng(3)
    shapes = rng.normal(size=(N_CLASSES, N_INPUTS))

    def data(n: int) -> tuple[np.ndarray, np.ndarray]:
        classes = rng.integers(N_CLASSES, size=n)
        return (shapes[classes] + 0.3 * rng.normal(size=(n, N_INPUTS))).astype(np.float32), classes

    model = initial_model(rng)
    others = data(100)
    before = loss(model, *others)
    for _ in range(3):
        model = train(model, *data(400))
    assert loss(model, *others) < before / 10


def test_a_model_of_another_size_is_refused() -> None:
    """Training on a message that is no model raises, and says how many parameters were expected."""
    with pytest.raises(ValueError, match='expected 193 for each'):
        train(bytes(8), np.zeros((1, N_INPUTS), np.float32), np.zeros(1, np.int64))
