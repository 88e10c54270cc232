"""Federated learning that is really done: a small network trained on a node, and updates averaged on the server.

Models and updates are bytes, as they travel: the parameters as little-endian 32-bit floats, one matrix after the
other. Reading and writing them belongs to the work. The network has one hidden layer, for single heartbeats as in [2]::

    187 samples of a beat -> 1,280 hidden units (ReLU) -> 5 classes (softmax, cross-entropy)

which makes 247,045 parameters, a message of 0.99 MB. For models of another size the number of hidden units differs.
Left out: data, accuracy, and any other kind of network.

References
----------
.. [1] McMahan et al., "Communication-efficient learning of deep networks from decentralized data", AISTATS 2017,
       algorithm 1 (FedAvg: the average of clients' models, weighted by their numbers of samples).
.. [2] Kachuee, Fazeli, Sarrafzadeh, "ECG heartbeat classification: a deep transferable representation", ICHI 2018,
       sections II and III (beats of 187 samples at 125 Hz, five classes of AAMI EC57).
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

N_INPUTS, N_HIDDEN, N_CLASSES = 187, 1_280, 5  # [2]; hidden units for the 1 MB that the shipped scenarios exchange
N_A_UNIT = N_INPUTS + 1 + N_CLASSES  # parameters of a hidden unit
BATCH = 32  # beats whose mean gradient makes one step
STEP = 0.01  # of plain gradient descent
PARAMETER = np.dtype('<f4')

Floats = NDArray[np.float32]


def average(updates: Iterable[bytes], weights: Sequence[float]) -> bytes:
    """Return the weighted average of clients' models [1], summed in float64 in the order given.

    Parameters
    ----------
    updates
        Parameters as bytes, all of one length; one at a time is held.
    weights
        How many samples each client trained on.

    Raises
    ------
    ValueError
        If there is no update, or they are not of one length.
    """
    total = np.zeros(0)
    for update, weight in zip(updates, weights, strict=True):
        part = np.multiply(np.frombuffer(update, PARAMETER), weight, dtype=np.float64)
        total = total + part if total.size else part
    if not total.size:
        raise ValueError('found no update to average; expected at least one')
    return (total / sum(weights)).astype(PARAMETER).tobytes()


def shapes(n_hidden: int) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of a network's matrices and biases, in the order in which they travel."""
    return (N_INPUTS, n_hidden), (n_hidden,), (n_hidden, N_CLASSES), (N_CLASSES,)


def hidden_units(n_bytes: int) -> int:
    """Return how many hidden units make the network whose message is nearest to a size in bytes."""
    return max(1, round((n_bytes / PARAMETER.itemsize - N_CLASSES) / N_A_UNIT))


def initial_model(generator: np.random.Generator, n_hidden: int = N_HIDDEN) -> bytes:
    """Return random parameters, each matrix scaled by its number of inputs, and zeros for the rest."""
    arrays = [generator.normal(0.0, shape[0]**-0.5, shape) if len(shape) == 2 else np.zeros(shape)
              for shape in shapes(n_hidden)]
    return _written(arrays)


def train(model: bytes, beats: Floats, classes: NDArray[np.int64]) -> bytes:
    """Return a model after one pass over a client's data, in batches and in order.

    Parameters
    ----------
    beats
        Shape ``(n, 187)``.
    classes
        Shape ``(n,)``, each from 0 to 4.
    """
    parameters = _read(model)
    for begin in range(0, len(beats), BATCH):
        batch = slice(begin, begin + BATCH)
        gradients = _gradients(parameters, beats[batch], classes[batch])
        for i, gradient in enumerate(gradients):
            parameters[i] -= np.float32(STEP) * gradient
    return _written(parameters)


def loss(model: bytes, beats: Floats, classes: NDArray[np.int64]) -> float:
    """Return the mean cross-entropy of a model on data."""
    _, probabilities = _forward(_read(model), beats)
    return float(-np.log(probabilities[np.arange(len(classes)), classes]).mean())


def _forward(parameters: list[Floats], beats: Floats) -> tuple[Floats, Floats]:
    """Return the hidden units and the probabilities of the classes."""
    into_hidden, hidden_bias, into_classes, class_bias = parameters
    hidden = np.maximum(beats @ into_hidden + hidden_bias, np.float32(0))
    logits = hidden @ into_classes + class_bias
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return hidden, raised / raised.sum(axis=1, keepdims=True)


def _gradients(parameters: list[Floats], beats: Floats, classes: NDArray[np.int64]) -> list[Floats]:
    """Return the derivatives of the mean cross-entropy by each parameter."""
    hidden, at_classes = _forward(parameters, beats)
    at_classes[np.arange(len(classes)), classes] -= np.float32(1)
    at_classes /= np.float32(len(classes))
    at_hidden = (at_classes @ parameters[2].T) * (hidden > 0)
    return [beats.T @ at_hidden, at_hidden.sum(axis=0), hidden.T @ at_classes, at_classes.sum(axis=0)]


def _read(model: bytes) -> list[Floats]:
    """Return a model's matrices, which may be written to."""
    flat = np.frombuffer(model, PARAMETER).astype(np.float32)
    n_hidden, rest = divmod(flat.size - N_CLASSES, N_A_UNIT)
    if rest or n_hidden < 1:
        raise ValueError(f'found a model of {flat.size:,} parameters; expected {N_A_UNIT} for each hidden unit, and '
                         f'{N_CLASSES}')
    expected = shapes(n_hidden)
    ends = np.cumsum([int(np.prod(shape)) for shape in expected])
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), expected, strict=True)]


def _written(arrays: Sequence[NDArray[np.floating]]) -> bytes:
    return b''.join(array.astype(PARAMETER).tobytes() for array in arrays)
