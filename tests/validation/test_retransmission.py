"""Lossy links against the geometric law of retransmission.

A frame is tried until it passes, at most m times; each attempt fails with probability p, independently. Then

    P(frame lost) = p^m,    E[attempts] = (1 - p^m) / (1 - p),

and a segment of F frames is lost with probability 1 - (1 - p^m)^F. Draws of different jobs are independent, so the
intervals are Student's over jobs and Clopper-Pearson's. Seeds 1 to 20, 4,000 jobs each.

References
----------
.. [1] Feller, "An introduction to probability theory and its applications" I, 1968, VI.8 (waiting times).
"""

import numpy as np

from sim.building import Hop, ModelBuilder
from sim.model import LINK, LISTED, LOST, Model
from tests import tables
from tests.engines import Engine
from tests.validation.intervals import SEEDS, assert_covered, mean_interval, share_interval

N_JOBS = 4_000
FRAME_BYTES = 100
OVERHEAD_BITS = 200.0  # of each attempt, so that one attempt of a full frame is 1,000 bits: a second at 1 kbit/s


def lossy_model(seed: int, n_frames: int, loss_ratio: float, attempts_max: int) -> Model:
    """Return jobs of one segment each, a minute apart, over one lossy link."""
    b = ModelBuilder(seed=seed)
    link = b.station('link', (1_000.0,), frame_bytes=FRAME_BYTES, frame_overhead_bits=OVERHEAD_BITS,
                     loss_ratio=loss_ratio, attempts_max=attempts_max)
    sensors, x = b.class_('sensor'), b.stream('x', 'x')
    b.entities(sensors, [-1])
    n_bytes = n_frames * FRAME_BYTES
    b.route(x, sensors, [Hop(LINK, link, n_bytes=n_bytes, segment_bytes=n_bytes)])
    b.source(x, sensors, LISTED, listed=[(0, 60.0 * k) for k in range(N_JOBS)])
    return b.build(duration_s=60.0 * N_JOBS)


def test_attempts_are_geometric_and_the_rest_is_lost(engine: Engine) -> None:
    """One frame, p = 0.4, m = 3: mean attempts (1 - p^m) / (1 - p), lost p^m [1]; attempts are seconds on the air."""
    p, m = 0.4, 3
    attempts, lost = [], []
    for seed in SEEDS:
        recording = engine(lossy_model(seed, 1, p, m), trace='stages')
        hops = tables.hops(recording)
        tried = hops['finished_s'] - hops['started_s']
        assert np.all(np.abs(tried - np.rint(tried)) < 1e-6)
        assert set(np.rint(tried)) == {1.0, 2.0, 3.0}
        attempts.append(mean_interval(tried))
        lost.append(share_interval(int(recording.outcomes[0, LOST]), N_JOBS))
    assert_covered((1.0 - p ** m) / (1.0 - p), attempts)
    assert_covered(p ** m, lost)


def test_segment_is_lost_with_any_of_its_frames(engine: Engine) -> None:
    """Five frames, p = 0.3, m = 2: lost with probability 1 - (1 - p^m)^5; frames behind a lost one are not sent.

    The expected seconds on the air are E[attempts] of a frame times the expected number of frames begun,
    sum over i < 5 of (1 - p^m)^i.
    """
    p, m, n_frames = 0.3, 2, 5
    passes = 1.0 - p ** m
    seconds, lost = [], []
    for seed in SEEDS:
        recording = engine(lossy_model(seed, n_frames, p, m), trace='stages')
        hops = tables.hops(recording)
        seconds.append(mean_interval(hops['finished_s'] - hops['started_s']))
        lost.append(share_interval(int(recording.outcomes[0, LOST]), N_JOBS))
    assert_covered(1.0 - passes ** n_frames, lost)
    assert_covered(passes / (1.0 - p) * sum(passes ** i for i in range(n_frames)), seconds)
