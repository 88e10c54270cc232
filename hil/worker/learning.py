"""Models and updates on their way, and whose data they are trained on; the learning itself is `hil.learning`.

The body of a message has four numbers before the model: round, client, samples, and how many updates the aggregation of
the round takes. A client's data are drawn from its number: they are the same each time, and unlike those of others.
"""

import struct
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hil import learning
from hil.wire.errors import MalformedError

SAMPLES_MAX = 100_000  # of one client's round
UPDATES_MAX = 1_024  # of one aggregation
CLASS_SHIFT = 0.5  # how far the classes lie apart, in standard deviations of a sample: enough to learn something
HEADER = struct.Struct('<IIII')


@dataclass(frozen=True)
class Parameters:
    """A model for a client, or its update, or an average.

    `samples` is what a client trains on, or what an update or an average was trained on; `n_updates` how many updates
    the aggregation of this round takes; `values` are the parameters as `hil.learning` has them.
    """

    round: int
    client: int
    samples: int
    n_updates: int
    values: bytes = field(repr=False)

    def to_bytes(self) -> bytes:
        """Return it as the body of a message."""
        return HEADER.pack(self.round, self.client, self.samples, self.n_updates) + self.values

    @classmethod
    def from_bytes(cls, body: bytes) -> 'Parameters':
        """Return what is in a body.

        Raises
        ------
        MalformedError
            If it is no model, or has numbers that are none.
        """
        values = body[HEADER.size:]
        if not values or len(values) % learning.PARAMETER.itemsize:
            raise MalformedError(f'a body of {len(body)} bytes is no model')
        number, client, samples, n_updates = HEADER.unpack_from(body)
        if not 0 < samples <= SAMPLES_MAX * UPDATES_MAX or not 0 < n_updates <= UPDATES_MAX:
            raise MalformedError(f'a model of {samples} samples, one of {n_updates} updates; expected at least one of '
                                 f'each, and at most {UPDATES_MAX} updates')
        if not np.isfinite(np.frombuffer(values, learning.PARAMETER)).all():
            raise MalformedError('a model with numbers that are not finite would spoil every sum')
        return cls(number, client, samples, n_updates, values)


def train(model: Parameters) -> Parameters:
    """Return a client's update: the model after one pass over its data. The same model gives the same update.

    Raises
    ------
    MalformedError
        If it is not a model of the network, or asks for more samples than a client has.
    """
    if model.samples > SAMPLES_MAX:
        raise MalformedError(f'{model.samples} samples to train on; expected at most {SAMPLES_MAX}')
    beats, classes = data_of(model.client, model.samples)
    try:
        with np.errstate(over='ignore', invalid='ignore'):  # of absurd parameters, whose update is refused
            values = learning.train(model.values, beats, classes)
    except ValueError as why:
        raise MalformedError(str(why)) from None
    return replace(model, values=values)


def data_of(client: int, n: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return a client's data, shapes ``(n, 187)`` and ``(n,)``: noise around a centre for each class."""
    centres = np.random.Generator(np.random.Philox(key=0)).normal(
        0.0, CLASS_SHIFT, (learning.N_CLASSES, learning.N_INPUTS)).astype(np.float32)
    generator = np.random.Generator(np.random.Philox(key=client + 1))
    classes = generator.integers(learning.N_CLASSES, size=n)
    return centres[classes] + generator.standard_normal((n, learning.N_INPUTS), np.float32), classes
