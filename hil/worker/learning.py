"""Federated learning that is really done: a small model, its training, and federated averaging.

The model is logistic regression, trained by gradient descent on a client's own data. Averaging is [1], algorithm 1::

    w = (sum over clients of n_k w_k) / (sum over clients of n_k)

in float64 and in the order of the clients, one update after the other, so that the result is the same to the last bit
in whatever order updates came and however often.

References
----------
.. [1] McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hil.wire.errors import MalformedError

Floats = NDArray[np.float64]

N_STEPS, RATE = 5, 0.5  # of gradient descent: enough for the loss to fall visibly in each round
SAMPLES_MAX = 100_000  # of one client's round
UPDATES_MAX = 1_024  # of one aggregation
WEIGHT_MAX = 1e100  # so that no sum overflows
_HEADER = struct.Struct('<IIII')


@dataclass(frozen=True, eq=False)
class Parameters:
    """A model on its way, or an update: weights, and the bias last.

    `samples` is what a client trains on, or what an update or a mean was trained on; `n_updates` how many updates the
    aggregation of this round takes.
    """

    round: int
    client: int
    samples: int
    n_updates: int
    values: Floats

    def to_bytes(self) -> bytes:
        """Return it as the body of a message."""
        header = _HEADER.pack(self.round, self.client, self.samples, self.n_updates)
        return header + self.values.astype('<f8').tobytes()

    @classmethod
    def from_bytes(cls, body: bytes) -> 'Parameters':
        """Return what is in a body.

        Raises
        ------
        MalformedError
            If it is no model, or has numbers that are none.
        """
        n_bytes = len(body) - _HEADER.size
        if n_bytes < 16 or n_bytes % 8:
            raise MalformedError(f'a body of {len(body)} bytes is no model of at least one weight and a bias')
        number, client, samples, n_updates = _HEADER.unpack_from(body)
        values = np.frombuffer(body, '<f8', offset=_HEADER.size).astype(np.float64)
        if not 0 < samples <= SAMPLES_MAX * UPDATES_MAX or not 0 < n_updates <= UPDATES_MAX:
            raise MalformedError(f'a model of {samples} samples, one of {n_updates} updates; expected at least one of '
                                 f'each, and at most {UPDATES_MAX} updates')
        if not (np.abs(values) <= WEIGHT_MAX).all():  # which is false of what is no number, too
            raise MalformedError(f'a model with numbers that are no weights; expected at most {WEIGHT_MAX:g}')
        return cls(number, client, samples, n_updates, values)


def train(model: Parameters) -> Parameters:
    """Return a client's update: the model after some steps on its data. The same model gives the same update.

    Raises
    ------
    MalformedError
        If it asks for more samples than a client trains on.
    """
    if model.samples > SAMPLES_MAX:
        raise MalformedError(f'{model.samples} samples to train on; expected at most {SAMPLES_MAX}')
    features, labels = samples_of(model.client, model.samples, len(model.values) - 1)
    weights = model.values.copy()
    for _ in range(N_STEPS):
        error = _predicted(weights, features) - labels
        weights[:-1] -= RATE * (error @ features) / model.samples
        weights[-1] -= RATE * error.mean()
    return Parameters(model.round, model.client, model.samples, model.n_updates, weights)


def loss(model: Parameters) -> float:
    """Return the mean cross-entropy of a model on a client's data, nats."""
    features, labels = samples_of(model.client, model.samples, len(model.values) - 1)
    predicted = np.clip(_predicted(model.values, features), 1e-12, 1 - 1e-12)
    return float(-np.mean(labels * np.log(predicted) + (1 - labels) * np.log(1 - predicted)))


def samples_of(client: int, n: int, n_features: int) -> tuple[Floats, Floats]:
    """Return a client's data, shapes ``(n, n_features)`` and ``(n,)``: drawn, the same each time, unlike others'."""
    generator = np.random.Generator(np.random.Philox(key=client))
    centre = generator.normal(0.0, 0.5, n_features)  # clients differ
    features = generator.normal(centre, 1.0, (n, n_features))
    labels = (features.sum(axis=1) + generator.logistic(size=n) > 0).astype(np.float64)
    return features, labels


def average(updates: Iterable[Parameters]) -> Parameters:
    """Return the federated average of updates in the order of their clients; one at a time is held.

    Parameters
    ----------
    updates
        In ascending order of the clients, at least one.
    """
    total: Floats | None = None
    samples = number = n_updates = 0
    for update in updates:
        weighted = update.samples * update.values
        total = weighted if total is None else total + weighted
        samples, number, n_updates = samples + update.samples, update.round, update.n_updates
    assert total is not None, 'no updates to average'
    return Parameters(number, 0, samples, n_updates, total / samples)


def _predicted(weights: Floats, features: Floats) -> Floats:
    predicted: Floats = 1.0 / (1.0 + np.exp(-np.clip(features @ weights[:-1] + weights[-1], -500.0, 500.0)))
    return predicted
