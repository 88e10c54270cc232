"""Telemetry and a round of learning through real workers, what must come of them, and how workers are made to fail."""

import random
from collections import Counter
from dataclasses import replace

import numpy as np

from hil.ledger import ChainId
from hil.wire.codec import encode
from hil.wire.message import Leg, Message
from hil.worker.learning import Parameters, train
from tests.worker.hospital import AT_DEVICE, FROM_DEVICE, TO_DEVICE, first_model
from tests.worker.twin import Twin, nonces_of

N_CLIENTS = 5
SEED = 20_261_126

# Code that a worker runs first: it ends itself, without a word, at a point of its third job.
DIE_IN_THE_MIDDLE = """
import os, signal
from hil.worker import stages
real, n = stages.open_, 0
def open_(bench, work, at):
    global n
    real(bench, work, at)
    n += 1
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
stages.FUNCTIONS = {**stages.FUNCTIONS, 'aead.open': open_}
"""
DIE_BEFORE_THE_ACKNOWLEDGEMENT = """
import os, signal
from hil.worker import dispatcher
real, n = dispatcher.Dispatcher.confirmed, 0
def confirmed(self, *arguments):
    global n
    real(self, *arguments)
    n += 1
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
dispatcher.Dispatcher.confirmed = confirmed
"""


DIE_IN_THE_SUM = """
import os, signal
from hil import learning
real = learning.average
def average(updates, weights):
    held = []
    for update in updates:
        held.append(update)
        if len(held) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
    return real(held, weights)
learning.average = average
"""
DIE_IN_THE_FILE = """
import os, signal
real, n = os.fsync, 0
def fsync(descriptor):
    global n
    n += 1
    if n == 7:  # three for each update: its file, the folder of the round, that of the run
        os.kill(os.getpid(), signal.SIGKILL)
    real(descriptor)
os.fsync = fsync
"""
# To the thread itself: another one may be who takes what is sent to the process, and this one goes on until it has.
STOP_IN_THE_MIDDLE, STOP_IN_THE_SUM = (
    f'import threading\n{each}'.replace('os.kill(os.getpid(), signal.SIGKILL)',
                                        'signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)')
    for each in (DIE_IN_THE_MIDDLE, DIE_IN_THE_SUM))


def averaged(updates: list[Parameters]) -> bytes:
    """Return the federated average of updates as its definition has it, in float64 in the order of the clients."""
    arrays = [np.frombuffer(update.values, '<f4').astype(np.float64) for update in updates]
    total = np.zeros_like(arrays[0])
    for update, array in zip(updates, arrays, strict=True):
        total += update.samples * array
    return (total / sum(update.samples for update in updates)).astype('<f4').tobytes()


def learn_a_round(made: Twin, first_job: int) -> None:
    """Do a round: models to all clients, which are simulated; their updates; the aggregation. Compare it.

    Its number is that of the thousand in which its jobs are.
    """
    hospital = made.hospital
    devices = hospital.dispatcher('device')
    models = [first_model(i, N_CLIENTS, first_job // 1000) for i in range(N_CLIENTS)]
    jobs = {i: first_job + i for i in range(N_CLIENTS)}
    made.launch_all(hospital.model(jobs[i], i, models[i]) for i in jobs)
    uploads = []
    for job in jobs.values():
        down = made.replies[ChainId(job, TO_DEVICE.first)]
        handled = devices.handle(encode(replace(down, slip=(AT_DEVICE, FROM_DEVICE), done=0, timings=(), outcome='')))
        assert handled.result is not None, handled.why
        uploads.append(replace(handled.result, slip=(FROM_DEVICE,), done=0, timings=()))
    made.launch_all(uploads)
    updates = [Parameters.from_bytes(made.replies[ChainId(job, FROM_DEVICE.first)].body) for job in jobs.values()]
    expected = [train(model) for model in models]
    assert [each.to_bytes() for each in updates] == [each.to_bytes() for each in expected]
    order = random.Random(SEED).sample(range(N_CLIENTS), N_CLIENTS)  # they come as they come
    made.launch_all(hospital.update(first_job + 100 + i, updates[i]) for i in order)
    averages = [made.replies[ChainId(first_job + 100 + i, 0)].body for i in order]
    found = {Parameters.from_bytes(body).values for body in averages if body}
    assert found == {averaged(expected)}


def telemetry(made: Twin, n: int, first_job: int = 0) -> list[Message]:
    """Return messages of all devices in turn."""
    return [made.hospital.vitals(first_job + i, i % made.hospital.n_devices) for i in range(n)]


def records(made: Twin, n: int, first_job: int) -> list[Message]:
    """Return messages that the authority seals for the crypto place."""
    return [made.hospital.plain(first_job + i, i % made.hospital.n_devices, 'key-record', (Leg('authority', 0, 1),),
                                b'record') for i in range(n)]


def acknowledgements(made: Twin, n: int) -> list[Message]:
    """Return messages that the crypto place seals and the authority opens."""
    return [made.hospital.plain(i, i % made.hospital.n_devices, 'key-record', (
        Leg('crypto', 5, 6), Leg('authority', 9, 10)), b'acknowledgement') for i in range(n)]


def assert_exactly_once(made: Twin, n: int) -> None:
    """Each chain was delivered once, and no key and nonce sealed two things."""
    assert Counter(each.outcome for each in made.ledger.ended.values()) == {'delivered': n}
    assert made.ledger.n_in_flight == 0
    assert made.ledger.counts['unknown'] == 0
    assert all(len(bodies) == 1 for bodies in nonces_of(made.seen).values())
