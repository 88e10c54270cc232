"""Draws and laws: uniform, independent at neighbouring addresses, and inverted as scipy says.

Addresses are fixed, so a test passes always or never; the intervals say what a good generator would keep to. There
are about two dozen of them in this file: each is at 99.9 %, so that all together are near 98 %.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from sim import laws
from sim.building import Hop, ModelBuilder
from sim.laws import EMPIRICAL, EXPONENTIAL, GEOMETRIC, LOGNORMAL, UNIFORM
from sim.model import LINK, SERVE
from sim.profile_schema import LAWS
from tests.engine.small import add_stream
from tests.engines import Engine
from tests.tables import Array, hops, job_key

N = 20_000
CONFIDENCE = 0.999


def drawn_along(step: str, n: int = N) -> Array:
    """Return the uniforms at n addresses that differ in one word only."""
    run, entity, stream = laws.name_key('run', 1), laws.name_key('class'), laws.name_key('stream', 'x')
    entities = laws.entity_keys(entity, n if step == 'entity' else 1)
    draws = np.empty(n)
    for i in range(n):
        at = dict.fromkeys(('entity', 'k', 'seed', 'hop', 'segment', 'attempt', 'purpose'), 0) | {step: i}
        run_key = laws.name_key('run', i) if step == 'seed' else run
        hop = laws.name_key('server', 'work', at['hop'], SERVE, 0)
        job = laws.job_key(run_key, int(entities[at['entity']]), stream, at['k'])
        draws[i] = laws.uniform(job, laws.SERVICE, hop, at['segment'], at['attempt'])
    return draws


@pytest.mark.parametrize('step', ['k', 'entity', 'segment', 'attempt', 'hop', 'seed'])
def test_draws_at_neighbouring_addresses_are_uniform_and_independent(step: str) -> None:
    """20,000 addresses in a row: pairs of neighbours fill a grid of 16 by 16 evenly, and do not correlate.

    Chi-square of 10,000 disjoint pairs with 255 degrees of freedom, both tails; the correlation of neighbours is
    normal with standard deviation 1 / sqrt(n).
    """
    draws = drawn_along(step)
    assert np.unique(draws).size == N
    cells = (draws[0::2] * 16).astype(int) * 16 + (draws[1::2] * 16).astype(int)
    expected = N / 2 / 256
    score = np.sum((np.bincount(cells, minlength=256) - expected) ** 2 / expected)
    tail = (1.0 - CONFIDENCE) / 2.0
    assert stats.chi2.ppf(tail, 255) < score < stats.chi2.ppf(1.0 - tail, 255)
    correlation = np.corrcoef(draws[:-1], draws[1:])[0, 1]
    assert abs(correlation) < stats.norm.ppf(1.0 - tail) / math.sqrt(N - 1)


def test_draws_for_unlike_purposes_are_independent() -> None:
    """20,000 jobs: the draws of a job for service, frames, phase, gap and selection do not correlate pairwise."""
    purposes = (laws.SERVICE, laws.FRAME, laws.PHASE, laws.GAP, laws.SELECT)
    keys = [job_key(1, 'c', 0, 'x', k) for k in range(2_000)]
    draws = np.array([[laws.uniform(key, purpose, 0, 0, 0) for key in keys] for purpose in purposes])
    limit = stats.norm.ppf(1.0 - (1.0 - CONFIDENCE) / 2.0) / math.sqrt(len(keys))
    off_diagonal = np.corrcoef(draws)[~np.eye(len(purposes), dtype=bool)]
    assert np.abs(off_diagonal).max() < limit


QUANTILES = (0.5, 0.75, 1.0, 2.0, 6.0)


def empirical_cdf(x: Array) -> Array:
    """Return the distribution function that is linear between the equally spaced quantiles."""
    return np.interp(x, QUANTILES, np.linspace(0.0, 1.0, len(QUANTILES)))


CONTINUOUS = {
    'exponential': (EXPONENTIAL, (), stats.expon().cdf),
    'uniform': (UNIFORM, (0.5, 1.75), stats.uniform(0.5, 1.25).cdf),
    'lognormal': (LOGNORMAL, (0.6,), stats.lognorm(0.6).cdf),
    'empirical': (EMPIRICAL, QUANTILES, empirical_cdf),
}


def served(engine: Engine, law: int, parameters: tuple[float, ...], n: int = N) -> Array:
    """Return the amounts of n jobs at an idle server, as the engine draws them."""
    b = ModelBuilder(seed=1)
    add_stream(b, 'x', [100.0 * k for k in range(n)], [Hop(SERVE, b.station('s'), law=b.law(law, *parameters))])
    table = hops(engine(b.build(duration_s=100.0 * n), trace='stages'))
    return table['finished_s'] - table['started_s']


@pytest.mark.parametrize('name', CONTINUOUS)
def test_law_has_the_distribution_of_its_name(engine: Engine, name: str) -> None:
    """20,000 addressed draws as an engine uses them: Kolmogorov-Smirnov against scipy's distribution."""
    law, parameters, cdf = CONTINUOUS[name]
    assert stats.kstest(served(engine, law, parameters), cdf).pvalue > 1.0 - CONFIDENCE


def test_geometric_law_counts_trials(engine: Engine) -> None:
    """Amounts are a + b N, with N trials of success probability 0.3: counts of N against scipy's geom (chi-square)."""
    n_trials = np.rint((served(engine, GEOMETRIC, (2.0, 0.5, 0.3)) - 2.0) / 0.5).astype(int)
    assert n_trials.min() == 1
    bins = np.arange(1, 20)
    counts = np.append(np.bincount(n_trials, minlength=20)[1:20], np.count_nonzero(n_trials >= 20))
    expected = N * np.append(stats.geom.pmf(bins, 0.3), stats.geom.sf(19, 0.3))
    score = np.sum((counts - expected) ** 2 / expected)
    assert score < stats.chi2.ppf(CONFIDENCE, bins.size)


UNIT = st.floats(2.0 ** -54, 1.0 - 2.0 ** -53)


@given(u=UNIT)
def test_normal_quantile_agrees_with_scipy(u: float) -> None:
    """Any u in (0, 1): Wichura's AS 241 and the inverse of Cephes differ by less than 1e-14, relatively."""
    assert laws.normal_quantile(u) == pytest.approx(special.ndtri(u), rel=1e-14, abs=1e-300)


@given(u=UNIT)
def test_laws_invert_their_distribution_functions(u: float) -> None:
    """At any u the factor is scipy's quantile; the exponential's is that of 1 - u, which is as uniform."""
    assert laws.noise(EXPONENTIAL, 0.0, 0.0, 0.0, u) == pytest.approx(stats.expon.isf(u), rel=1e-12)
    assert laws.noise(UNIFORM, 2.0, 5.0, 0.0, u) == pytest.approx(stats.uniform(2.0, 3.0).ppf(u), rel=1e-12)
    assert laws.noise(LOGNORMAL, 0.5, 0.0, 0.0, u) == pytest.approx(stats.lognorm(0.5).ppf(u), rel=1e-12)
    table = np.array(QUANTILES)
    exact = np.interp(u, np.linspace(0.0, 1.0, table.size), table)
    assert laws.empirical_noise(table, 0, table.size, u) == pytest.approx(exact, rel=1e-12)


@given(u=UNIT, failure=st.floats(0.01, 0.99))
def test_trials_invert_the_geometric_law(u: float, failure: float) -> None:
    """N is the number with P(N > n) < u ≤ P(N > n - 1), up to rounding at the steps."""
    n = laws.trials(u, failure)
    assert n >= 1
    assert failure ** n <= u * (1.0 + 1e-9)
    assert u <= failure ** (n - 1) * (1.0 + 1e-9)


@given(amounts=st.lists(st.integers(0, 1_000), min_size=1, max_size=8, unique=True).map(sorted), data=st.data())
def test_cost_is_linear_between_points(amounts: list[int], data: st.DataObject) -> None:
    """Any curve: numpy's interpolation within, the first value below, and the last slope beyond."""
    seconds = data.draw(st.lists(st.floats(0.0, 100.0), min_size=len(amounts), max_size=len(amounts)))
    amount = data.draw(st.floats(-10.0, 2_000.0))
    x, y = np.array(amounts, float), np.array(seconds)
    if amount <= x[-1] or len(x) == 1:
        exact = np.interp(amount, x, y)
    else:
        exact = y[-1] + (amount - x[-1]) * (y[-1] - y[-2]) / (x[-1] - x[-2])
    assert laws.cost(x, y, 0, len(x), amount) == pytest.approx(exact, rel=1e-9, abs=1e-9)


WORD = 2 ** 64
MIX_A, MIX_B, GOLDEN = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0x9E3779B97F4A7C15


def mix(h: int) -> int:
    """Return SplitMix64's finaliser of a word, in Python's integers."""
    h = (h ^ h >> 30) * MIX_A % WORD
    h = (h ^ h >> 27) * MIX_B % WORD
    return h ^ h >> 31


def unmix(h: int) -> int:
    """Return the word whose finaliser is h."""
    h = (h ^ h >> 31 ^ h >> 62) * pow(MIX_B, -1, WORD) % WORD
    h = (h ^ h >> 27 ^ h >> 54) * pow(MIX_A, -1, WORD) % WORD
    return h ^ h >> 30 ^ h >> 60


def key_that_hashes_to(h: int) -> int:
    """Return the job key whose draw at purpose, hop, segment and attempt 0 comes from the word h."""
    key = unmix(unmix(h) ^ mix(GOLDEN)) ^ mix(GOLDEN)
    return key - WORD if key >= WORD // 2 else key


@pytest.mark.parametrize('h', [0, 1, WORD // 2 - 1, WORD // 2, WORD - 2 ** 11 - 1, WORD - 2 ** 11, WORD - 1])
def test_uniforms_lie_strictly_between_zero_and_one(h: int) -> None:
    """Keys made to hash to the ends and the middle of the range: each draw is the word's share, in (0, 1), and usable.

    At 1 an exponential stage would take no time and a lognormal one for ever.
    """
    u = laws.uniform(key_that_hashes_to(h), laws.SERVICE, 0, 0, 0)
    assert u == pytest.approx((h + 0.5) / WORD, abs=2.0 ** -52)
    assert 0.0 < u < 1.0
    assert 0.0 < laws.noise(EXPONENTIAL, 0.0, 0.0, 0.0, u) < math.inf
    assert 0.0 < laws.noise(LOGNORMAL, 1.0, 0.0, 0.0, u) < math.inf
    assert laws.trials(u, 0.5) >= 1


@given(n_bytes=st.integers(0, 5_000), frame_bytes=st.integers(1, 1_500), overhead=st.floats(0.0, 500.0),
       loss_ratio=st.floats(0.0, 0.9), attempts_max=st.integers(1, 8), k=st.integers(0, 100))
def test_transmission_is_the_sum_over_its_frames(
    n_bytes: int, frame_bytes: int, overhead: float, loss_ratio: float, attempts_max: int, k: int,
) -> None:
    """Bits, frames and fate of any segment against a plain loop over its frames and their draws."""
    job = job_key(1, 'c', 0, 'x', k)
    bits, n_sent, rest = 0.0, 0, n_bytes
    lost = False
    for frame in range(math.ceil(n_bytes / frame_bytes)):
        n = laws.trials(laws.uniform(job, laws.FRAME, 7, 3, frame), loss_ratio)
        n_sent += min(n, attempts_max)
        bits += min(n, attempts_max) * (8.0 * min(rest, frame_bytes) + overhead)
        rest -= frame_bytes
        if n > attempts_max:
            lost = True
            break
    found = laws.transmission(job, 7, 3, n_bytes, frame_bytes, overhead, loss_ratio, attempts_max)
    assert found == (pytest.approx(bits, rel=1e-12), n_sent, lost)


def test_profiles_can_name_every_law() -> None:
    """The laws of profiles, and the one of what has no noise, are those of the engines."""
    assert {'constant', *LAWS} == set(laws.LAW_NAMES)


def test_names_with_parts_do_not_collide() -> None:
    """The key of a name knows where its parts end, and is the same in every process (BLAKE2b, signed 64 bits)."""
    assert laws.name_key('ab', 'c') != laws.name_key('a', 'bc') != laws.name_key('abc')
    assert all(-2 ** 63 <= laws.name_key('x', i) < 2 ** 63 for i in range(100))
    assert {laws.name_key('x', i) < 0 for i in range(100)} == {True, False}


def test_address_of_a_draw_is_the_place_the_stage_and_its_occurrence() -> None:
    """Stages that come twice have two addresses; legs of a transfer have one each, and do not count as occurrences.

    So a longer way to the same server, or a stage in front, changes no draw behind it.
    """
    def keys(*hops: Hop) -> list[int]:
        b = ModelBuilder()
        b.route(b.stream('x', 'x'), b.class_('c'), hops)
        b.entities(0, [-1])
        return b.build(duration_s=1.0).hops.key.tolist()

    def link(stage: str) -> Hop:
        return Hop(LINK, 0, stage, 'net', segment_bytes=1)

    seal, far = Hop(SERVE, 0, 'seal'), Hop(SERVE, 0, 'seal', 'elsewhere')
    short = keys(link('up'), seal, link('up'), seal)
    long = keys(link('up'), link('up'), link('up'), far, seal, link('up'), seal)
    assert len(set(long)) == 7
    assert short == [long[0], *long[4:]]
    assert short[1] == laws.name_key('server', 'seal', 0, SERVE, 0)
    assert long[1] == laws.name_key('net', 'up', 0, LINK, 1)
