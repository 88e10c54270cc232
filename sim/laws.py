"""Every random number of a run, and every law that turns one into a duration. Scalar, compiled, shared.

A draw is addressed by what it is for, never by when it happens. An address is a chain of 64-bit words
absorbed one after the other::

    run     <- seed
    job     <- run, entity (class name, index within class), stream name, k   (k-th launch of that stream)
    uniform <- job, purpose, hop (stage name and occurrence), segment, attempt

so a new device class, another order of events or another engine changes nobody else's draws. One draw takes
one uniform in (0, 1) and inverts the law's distribution function.

Events carry a key made the same way. ``event_key`` packs the rank (two bits) over 61 bits of the hash of the
event's address into one signed 64-bit integer; equal times are ordered by it.

Keys are signed 64-bit at the border, because Python integers reach compiled code as such. No NumPy
transcendental is used: ``np.log`` and ``math.log`` differ in the last bit for some arguments.

References
----------
.. [1] Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (draws addressed by counter).
.. [2] Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014 (``mix64`` is its
       finaliser, variant 13 of Stafford).
.. [3] Wichura, "Algorithm AS 241: the percentage points of the normal distribution", 1988.
"""

import hashlib
import math

import numpy as np
from numba import njit

from sim.compiling import compiled

# What a draw is for.
SERVICE, FRAME, PHASE, GAP, SELECT = range(5)

# Kinds of event; the rank is kind >> 4 and orders events of equal time.
CHANGE = 0x00  # rank 0: up, down, capacity
SERVICE_END, ACKNOWLEDGE, RETURN = 0x10, 0x11, 0x12  # rank 1
ARRIVE, DELIVER = 0x20, 0x21  # rank 2
WAKE = 0x30  # rank 3: controllers

# Laws of noise: a factor on a stage's cost.
CONSTANT, EXPONENTIAL, UNIFORM, LOGNORMAL, GEOMETRIC, EMPIRICAL = range(6)
LAW_NAMES = ('constant', 'exponential', 'uniform', 'lognormal', 'geometric', 'empirical')

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, the increment of SplitMix64 [2]
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)


def name_key(*words: str | int) -> int:
    """Return the signed 64-bit key of a name, stable across processes and machines."""
    text = '\x1f'.join(str(word) for word in words)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), 'little', signed=True)


@njit(inline='always')
def _mix64(h):
    h = (h ^ (h >> np.uint64(30))) * _MIX_A
    h = (h ^ (h >> np.uint64(27))) * _MIX_B
    return h ^ (h >> np.uint64(31))


@njit(inline='always')
def _absorb(h, word):
    return _mix64(h ^ _mix64(np.uint64(word) + _GOLDEN))


@compiled
def entity_keys(class_key: int, n: int) -> np.ndarray:
    """Return the keys of the entities 0 to n - 1 of one class, shape ``(n,)``."""
    keys = np.empty(n, np.int64)
    for index in range(n):
        keys[index] = np.int64(_absorb(np.uint64(class_key), index))
    return keys


@compiled
def job_key(run_key: int, entity_key: int, stream_key: int, k: int) -> int:
    """Return the key of an entity's k-th launch of a stream."""
    return np.int64(_absorb(_absorb(_absorb(np.uint64(run_key), entity_key), stream_key), k))


@compiled
def event_key(kind: int, job: int, position: int, segment: int, attempt: int) -> int:
    """Return the number that orders events of equal time: rank over tie.

    The tie keeps 61 bits, so that rank and tie are one comparison of signed 64-bit integers.
    """
    h = _absorb(np.uint64(job), (position << 40) ^ (segment << 16) ^ ((attempt & 0xFF) << 8) ^ kind)
    return ((kind >> 4) << 61) | np.int64(h >> np.uint64(3))


@compiled
def uniform(key: int, purpose: int, hop: int, segment: int, attempt: int) -> float:
    """Return the uniform in the open interval (0, 1) at one address: one of the middles of 2^52 equal cells."""
    h = _absorb(_absorb(np.uint64(key), hop), (segment << 24) ^ (attempt << 4) ^ purpose)
    return (np.float64(h >> np.uint64(12)) + 0.5) * 2.220446049250313e-16  # 2^-52; a 53rd bit would round up to 1


@compiled
def selection(run_key: int, entity_keys: np.ndarray, purpose: int, k: int) -> np.ndarray:
    """Return a controller's k-th draw for some purpose, one uniform for each entity, shape ``(n_entities,)``."""
    draws = np.empty(entity_keys.size)
    for i in range(entity_keys.size):
        draws[i] = uniform(job_key(run_key, entity_keys[i], purpose, k), SELECT, 0, 0, 0)
    return draws


@compiled
def normal_quantile(u: float) -> float:
    """Return the standard normal quantile of u in (0, 1), relative error below 1e-15 [3]."""
    q = u - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        num = (((((((2509.0809287301226727 * r + 33430.575583588128105) * r + 67265.770927008700853) * r
                   + 45921.953931549871457) * r + 13731.693765509461125) * r + 1971.5909503065514427) * r
                + 133.14166789178437745) * r + 3.387132872796366608)
        den = (((((((5226.495278852854561 * r + 28729.085735721942674) * r + 39307.89580009271061) * r
                   + 21213.794301586595867) * r + 5394.1960214247511077) * r + 687.1870074920579083) * r
                + 42.313330701600911252) * r + 1.0)
        return q * num / den
    r = math.sqrt(-math.log(u if q < 0 else 1.0 - u))
    if r <= 5.0:
        r -= 1.6
        num = (((((((7.7454501427834140764e-4 * r + 0.0227238449892691845833) * r + 0.24178072517745061177) * r
                   + 1.27045825245236838258) * r + 3.64784832476320460504) * r + 5.7694972214606914055) * r
                + 4.6303378461565452959) * r + 1.42343711074968357734)
        den = (((((((1.05075007164441684324e-9 * r + 5.475938084995344946e-4) * r + 0.0151986665636164571966) * r
                   + 0.14810397642748007459) * r + 0.68976733498510000455) * r + 1.6763848301838038494) * r
                + 2.05319162663775882187) * r + 1.0)
    else:
        r -= 5.0
        num = (((((((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r + 0.0012426609473880784386) * r
                   + 0.026532189526576123093) * r + 0.29656057182850489123) * r + 1.7848265399172913358) * r
                + 5.4637849111641143699) * r + 6.6579046435011037772)
        den = (((((((2.04426310338993978564e-15 * r + 1.4215117583164458887e-7) * r + 1.8463183175100546818e-5) * r
                   + 7.868691311456132591e-4) * r + 0.0148753612908506148525) * r + 0.1369298809227358053) * r
                + 0.59983220655588793769) * r + 1.0)
    return -num / den if q < 0 else num / den


@compiled
def trials(u: float, failure: float) -> int:
    """Return the number of trials up to and with the first success: geometric, by inversion."""
    return 1 if failure <= 0.0 else 1 + math.floor(math.log(u) / math.log(failure))


@compiled
def noise(law: int, a: float, b: float, c: float, u: float) -> float:
    """Return the factor that a law puts on a cost.

    ======================  ==========================================================
    constant                1
    exponential             mean 1
    uniform (a, b)          between a and b
    lognormal (a)           median 1, log standard deviation a
    geometric (a, b, c)     a + b N, with N trials of success probability c
    ======================  ==========================================================

    The empirical law needs its table: `empirical_noise`.
    """
    if law == EXPONENTIAL:
        return -math.log(u)
    if law == UNIFORM:
        return a + (b - a) * u
    if law == LOGNORMAL:
        return math.exp(a * normal_quantile(u))
    if law == GEOMETRIC:
        return a + b * trials(u, 1.0 - c)
    return 1.0


@compiled
def empirical_noise(quantiles: np.ndarray, first: int, n: int, u: float) -> float:
    """Return the factor at probability u between n equally spaced quantiles from `first` on."""
    x = u * (n - 1)
    i = min(int(x), n - 2)
    return quantiles[first + i] + (x - i) * (quantiles[first + i + 1] - quantiles[first + i])


@compiled
def cost(amounts: np.ndarray, seconds: np.ndarray, first: int, n: int, amount: float) -> float:
    """Return the cost of an amount on a piecewise linear curve of n points from `first` on.

    Below the first point the first value, beyond the last the last slope.
    """
    if n == 1 or amount <= amounts[first]:
        return seconds[first]
    i = first + 1
    while i < first + n - 1 and amounts[i] < amount:
        i += 1
    slope = (seconds[i] - seconds[i - 1]) / (amounts[i] - amounts[i - 1])
    return seconds[i - 1] + (amount - amounts[i - 1]) * slope


@compiled
def transmission(
    job: int, hop: int, segment: int, n_bytes: int, frame_bytes: int, overhead_bits: float,
    loss_ratio: float, attempts_max: int,
) -> tuple[float, int, bool]:
    """Return what a segment puts on a link: bits with all attempts, frames sent, and whether it was lost.

    Each frame is tried until it passes, back to back; a frame that fails `attempts_max` times loses the
    segment, and the frames behind it are not sent.
    """
    n_frames = 1 if 0 < n_bytes <= frame_bytes else (n_bytes + frame_bytes - 1) // frame_bytes
    if loss_ratio <= 0.0:
        return 8.0 * n_bytes + n_frames * overhead_bits, n_frames, False
    bits = 0.0
    sent = 0
    rest = n_bytes
    for frame in range(n_frames):
        attempts = trials(uniform(job, FRAME, hop, segment, frame), loss_ratio)
        lost = attempts > attempts_max
        if lost:
            attempts = attempts_max
        bits += attempts * (8.0 * min(rest, frame_bytes) + overhead_bits)
        sent += attempts
        if lost:
            return bits, sent, True
        rest -= frame_bytes
    return bits, sent, False
