"""Profiles: every number has its source, and derived ones can be recomputed."""

import csv
import math
import re
from pathlib import Path

import pytest

from sim.errors import InputError
from sim.profiles import ROOT, SHIPPED, Cost, MissingCost, load_profile, profiles_with, shipped_profiles, table
from tests.gadget import GOOD, write

CRYPTO = ('kem.', 'aead.', 'sig.')
QUALITIES = {'primary', 'secondary', 'derived', 'assumption'}
PUBLISHED = ROOT.parent / 'shared' / 'reference' / 'published-timings.csv'

@pytest.mark.parametrize('name', shipped_profiles())
def test_every_shipped_number_has_a_source_and_a_quality(name: str) -> None:
    """Claim: no number without origin, no derived one without formula; shown on every row of every profile."""
    rows = table(load_profile(name))
    assert len(rows) > 6, 'cores, clock, four powers and at least one cost'
    for row in rows:
        assert row['value'] or row['what'] == 'noise exponential', row
        assert len(row['source'].split()) > 1, f'a source is a text, not an unresolved key: {row}'
        assert row['quality'] in QUALITIES, row
        assert row['formula'] or row['quality'] != 'derived', row


@pytest.mark.parametrize('name', shipped_profiles())
def test_no_shipped_crypto_number_is_an_assumption(name: str) -> None:
    """Claim: what crypto costs was measured or derived; shown on every crypto row, noise included."""
    rows = [row for row in table(load_profile(name)) if row['stage'].startswith(CRYPTO)]
    assert rows
    assert not [row for row in rows if row['quality'] == 'assumption']


@pytest.mark.parametrize('name', shipped_profiles())
def test_every_named_source_is_cited(name: str) -> None:
    """Claim: a profile names no source in vain; shown by looking each key up outside its definition."""
    text = (SHIPPED / f'{name}.yaml').read_text()
    block = re.search(r'^sources:\n((?:  .*\n)+)', text, re.MULTILINE)
    assert block
    for key in re.findall(r'^  ([\w-]+):', block[1], re.MULTILINE):
        assert re.search(rf'source: {key}\b(?!-)', text), f'{name}: {key} is cited nowhere'


def test_a_profile_is_given_in_si_units(tmp_path: Path) -> None:
    """Claim: cycles are divided by the clock, times and watts are SI; shown on a small profile."""
    profile = load_profile(write(tmp_path, GOOD))
    assert (profile.name, profile.cores.value, profile.clock.value) == ('gadget', 2, 100e6)
    assert {part: figure.value for part, figure in profile.power.items()} == {
        'base': 1, 'busy': 0.5, 'transmit': 0, 'receive': 0}
    keygen = profile.cost('kem.keygen', 'ML-KEM-768')
    assert (keygen.amounts, keygen.seconds, keygen.unit) == ((0.0,), (1000 / 100e6,), 'op')
    assert keygen.noise.law == 'constant'
    seal = profile.cost('aead.seal', 'Ascon-AEAD128')
    assert seal.amounts == (16.0, 1024.0)
    assert seal.seconds == pytest.approx((1e-6, 20e-6), rel=1e-15)
    assert profile.cost('sig.sign', 'ML-DSA-44').noise.parameters == (0.2, 0.2, 0.25)
    assert len(profile.sha256) == 64


def test_a_cost_per_sample_is_a_line_through_zero_for_any_variant(tmp_path: Path) -> None:
    """Claim: `per: sample` means points (0, 0) and (1, value), found under any variant; shown on fl.train."""
    train = load_profile(write(tmp_path, GOOD)).cost('fl.train', 'a network')
    assert (train.amounts, train.seconds, train.unit) == ((0, 1), (0, 0.002), 'sample')


def test_a_missing_cost_names_the_profiles_that_have_it() -> None:
    """Claim: a number that nobody published is refused with a way out; shown with Ascon on a Raspberry Pi 3."""
    with pytest.raises(MissingCost) as caught:
        load_profile('raspberry-pi-3').cost('aead.seal', 'Ascon-AEAD128')
    owners = profiles_with('aead.seal', 'Ascon-AEAD128')
    assert 'raspberry-pi-4' in owners
    assert 'raspberry-pi-3' not in owners
    for name in owners:
        assert name in str(caught.value)
    assert '\n' not in str(caught.value)


def test_an_unknown_profile_name_lists_the_shipped_ones() -> None:
    """Claim: a wrong name is answered with the right ones; shown with one letter wrong."""
    with pytest.raises(InputError, match='raspberry-pi-4, raspberry-pi-5'):
        load_profile('rasberry-pi-4')


def mean_and_sd(cost: Cost) -> tuple[float, float]:
    """Return mean and standard deviation of the factor of a geometric law: N has mean 1/p and sd sqrt(1-p)/p."""
    fixed, step, p = cost.noise.parameters
    return fixed + step / p, step * math.sqrt(1 - p) / p


@pytest.mark.parametrize(('variant', 'attempts', 'mean_us', 'sd_us'), [
    ('ML-DSA-44', 4.25, 1490.2, 1091.0),
    ('ML-DSA-65', 5.1, 3267.3, 2414.0),
])
def test_signing_on_a_pi_4_has_the_published_mean_and_spread(
        variant: str, attempts: float, mean_us: float, sd_us: float) -> None:
    """Claim: the geometric law gives back mean and sd of itzmeanjan/ml-dsa @d4fb44d, with FIPS 204's attempts."""
    cost = load_profile('raspberry-pi-4').cost('sig.sign', variant)
    mean, sd = mean_and_sd(cost)
    assert 1 / cost.noise.parameters[2] == pytest.approx(attempts, rel=1e-6)
    assert mean == pytest.approx(1, rel=1e-5)
    assert cost.seconds[0] == pytest.approx(mean_us * 1e-6, rel=1e-12)
    assert cost.seconds[0] * sd == pytest.approx(sd_us * 1e-6, rel=1e-4)


@pytest.mark.parametrize(('variant', 'attempts', 'mean_cycles', 'min_cycles'), [
    ('ML-DSA-44', 4.25, 3_943_121, 1_812_557),
    ('ML-DSA-65', 5.1, 6_193_171, 2.92e6),
])
def test_signing_on_a_cortex_m4_has_the_published_mean_and_minimum(
        variant: str, attempts: float, mean_cycles: float, min_cycles: float) -> None:
    """Claim: one attempt takes the minimum and the mean is the mean of pqm4 @cc2c1b9 (m4f), at 64 MHz."""
    cost = load_profile('cortex-m4-wearable').cost('sig.sign', variant)
    fixed, step, p = cost.noise.parameters
    assert 1 / p == pytest.approx(attempts, rel=1e-6)
    assert cost.seconds[0] * mean_and_sd(cost)[0] * 64e6 == pytest.approx(mean_cycles, rel=1e-5)
    assert cost.seconds[0] * (fixed + step) * 64e6 == pytest.approx(min_cycles, rel=1e-5)


@pytest.mark.parametrize(('variant', 'attempts', 'median_us', 'p95_us'), [
    ('ML-DSA-44', 4.25, 36.8, 101.0),
    ('ML-DSA-65', 5.1, 56.6, 153.0),
])
def test_signing_on_x86_has_the_measured_median_and_p95(
        variant: str, attempts: float, median_us: float, p95_us: float) -> None:
    """Claim: the law's quantiles, N = ceil(ln(1-q) / ln(1-p)), are the median and p95 measured on 2026-11-23."""
    cost = load_profile('x86-server').cost('sig.sign', variant)
    fixed, step, p = cost.noise.parameters
    assert 1 / p == pytest.approx(attempts, rel=1e-6)
    for q, expected_us in ((0.5, median_us), (0.95, p95_us)):
        n = math.ceil(math.log(1 - q) / math.log(1 - p))
        assert cost.seconds[0] * (fixed + step * n) * 1e6 == pytest.approx(expected_us, rel=1e-4)


def test_the_total_of_ml_kem_512_on_a_cortex_m0plus_is_the_published_one() -> None:
    """Claim: the three parts add up to 35.7 ms at 133 MHz (arXiv 2603.19340), in pqm4 clean's proportions."""
    profile = load_profile('cortex-m0plus-sensor')
    parts = [profile.cost(stage, 'ML-KEM-512').seconds[0] for stage in ('kem.keygen', 'kem.encaps', 'kem.decaps')]
    assert sum(parts) * 48e6 / 133e6 == pytest.approx(35.7e-3, rel=1e-6)
    clean = (595_793, 700_605, 888_653)
    for part, cycles in zip(parts, clean, strict=True):
        assert part / sum(parts) == pytest.approx(cycles / sum(clean), rel=1e-5)


def test_broker_costs_are_the_inverse_of_the_measured_throughput() -> None:
    """Claim: x86 seconds per message are 1 / messages per second; the Raspberry Pi's are that times its factor."""
    rates = {1024: 2914, 102400: 1416, 1048576: 261, 10485760: 33}
    for name, factor in (('x86-server', 1), ('raspberry-pi-5', 2), ('raspberry-pi-4', 5)):
        route = load_profile(name).cost('broker.route', 'any')
        assert route.amounts == tuple(rates)
        assert route.seconds == pytest.approx([factor / rate for rate in rates.values()], rel=1e-4)


@pytest.mark.parametrize(('name', 'stage', 'variant', 'gbit_per_s'), [
    ('raspberry-pi-4', 'aead.seal', 'AES-128-GCM', 0.298),
    ('raspberry-pi-4', 'aead.open', 'AES-128-GCM', 0.297),
    ('raspberry-pi-4', 'aead.seal', 'ChaCha20-Poly1305', 122.86e6 * 8 / 1e9),
    ('raspberry-pi-3', 'aead.open', 'AES-256-GCM', 0.283),
    ('raspberry-pi-5', 'aead.seal', 'AES-256-GCM', 1102.22e6 * 8 / 1e9),
])
def test_a_published_rate_is_the_slope_of_its_line(name: str, stage: str, variant: str, gbit_per_s: float) -> None:
    """Claim: bits over seconds of a two-point curve is the published rate (lelegard/aesbench, gocryptfs issues)."""
    cost = load_profile(name).cost(stage, variant)
    assert (cost.amounts[0], cost.seconds[0]) == (0, 0)
    assert cost.amounts[1] * 8 / cost.seconds[1] == pytest.approx(gbit_per_s * 1e9, rel=1e-5)


@pytest.mark.parametrize('name', shipped_profiles())
def test_a_hybrid_costs_what_its_two_parts_cost(name: str) -> None:
    """Claim: X25519MLKEM768 is ML-KEM-768 and X25519, one after the other, wherever both are there and nowhere else."""
    costs = load_profile(name).costs
    for stage in ('kem.keygen', 'kem.encaps', 'kem.decaps'):
        parts = [costs[stage, part].seconds[0] for part in ('ML-KEM-768', 'X25519') if (stage, part) in costs]
        hybrid = costs.get((stage, 'X25519MLKEM768'))
        assert (hybrid is None) == (len(parts) < 2)
        if hybrid is not None:
            assert hybrid.seconds[0] == pytest.approx(sum(parts), rel=1e-6)
            assert hybrid.quality == 'derived'


@pytest.mark.parametrize(('variant', 'us'), [
    ('Ascon-AEAD128', (106, 792, 45_718, 745_762, 7.4e6)), ('Ascon-128a', (241, 1841, 107_199, 3.12e6)),
    ('Ascon-128', (290, 2535, 150_837, 5.32e6))])
def test_interpreted_ascon_keeps_every_measured_size(variant: str, us: tuple[float, ...]) -> None:
    """Claim: x86-server has all points of 2026-11-23, and PyPI's cipher a steeper slope where messages are long."""
    cost = load_profile('x86-server').cost('aead.seal', f'{variant} (interpreted)')
    assert cost.amounts == (64, 1024, 65_536, 1_048_576, 10_485_760)[:len(us)]
    assert cost.seconds == pytest.approx([each * 1e-6 for each in us], rel=1e-12)
    slopes = [(cost.seconds[i + 1] - cost.seconds[i]) / (cost.amounts[i + 1] - cost.amounts[i]) for i in (1, 2)]
    assert (slopes[1] > 1.5 * slopes[0]) == (variant != 'Ascon-AEAD128')


def test_interpreted_cipher_was_measured_on_x86_and_is_derived_for_the_raspberry_pi_4_alone() -> None:
    """Claim: a Python speed is no property of a cipher that another computer shares: who has none is refused.

    The Raspberry Pi 4's is the work of a message, in steps of a Python program, at what such a step took on one.
    """
    quality = {(name, variant): cost.quality for name in shipped_profiles()
               for (stage, variant), cost in load_profile(name).costs.items()
               if stage == 'aead.seal' and variant.endswith(' (interpreted)')}
    assert quality.pop(('raspberry-pi-4', 'Ascon-128 (interpreted)')) == 'derived'
    assert {(name, each) for (name, _), each in quality.items()} == {('x86-server', 'primary')}


def test_interpreted_ascon_of_the_raspberry_pi_4_is_its_steps_at_the_published_time_of_one() -> None:
    """Claim: seconds are steps x 158.263 s / 5,000,000 x 1.5 GHz / 1.8 GHz, and no better than a third either way.

    The other published program, primes of salwan.github.io in 4.3 s, took 1.12333 s where a step took 7.19915 us; as
    a measure of the same messages it is within that third.
    """
    cost = load_profile('raspberry-pi-4').cost('aead.seal', 'Ascon-128 (interpreted)')
    step_s = 158.263 / 5_000_000 * 1.5 / 1.8
    assert cost.amounts == (64, 1024, 16_384, 65_536)
    assert cost.seconds == pytest.approx([n * step_s for n in (72.626, 600.52, 9_408.7, 38_753.3)], rel=1e-4)
    assert 2 / 3 < (4.3 / 1.12333) / (158.263 / 5_000_000 / 7.19915e-6) < 4 / 3


def test_no_microcontroller_runs_python() -> None:
    """Claim: ciphers stay native on a Cortex-M and an ESP32, whatever a suite says; the others run CPython."""
    assert {name for name in shipped_profiles() if not load_profile(name).runs_python} == {
        'cortex-m0plus-sensor', 'cortex-m4-wearable', 'esp32-pump'}


# (profile, stage, variant, point of the curve) and the published row that it must equal:
# (platform, variant, operation, bytes, part of the implementation's name).
SPOT_CHECKS = [
    (('raspberry-pi-4', 'kem.decaps', 'ML-KEM-768', 0), ('Raspberry Pi 4', 'ML-KEM-768', 'decaps', '', '@27faf17eab')),
    (('raspberry-pi-4', 'kem.keygen', 'ML-KEM-1024', 0), ('Raspberry Pi 4', 'ML-KEM-1024', 'keygen', '', '@27faf17')),
    (('raspberry-pi-4', 'aead.seal', 'Ascon-AEAD128', 2),
     ('Raspberry Pi 4B', 'Ascon-AEAD128', 'encrypt (32 B AD)', '2048', '')),
    (('raspberry-pi-4', 'sig.verify', 'ML-DSA-65', 0), ('Raspberry Pi 4B', 'ML-DSA-65', 'verify', '32', 'median')),
    (('raspberry-pi-5', 'kem.encaps', 'ML-KEM-512', 0), ('Raspberry Pi 5', 'ML-KEM-512', 'encaps', '', 'native 2026')),
    (('raspberry-pi-3', 'sig.sign', 'ECDSA-P256', 0), ('Raspberry Pi 3', 'P-256', 'sign', '', 'OpenSSL')),
    (('raspberry-pi-3', 'kem.encaps', 'ML-KEM-768', 0), ('Raspberry Pi 3', 'ML-KEM-768', 'encaps', '', 'OpenSSL')),
    (('raspberry-pi-4', 'sig.keygen', 'ML-DSA-65', 0), ('Raspberry Pi 4B', 'ML-DSA-65', 'keygen', '', 'median')),
    (('cortex-m4-wearable', 'sig.keygen', 'ML-DSA-44', 0), ('NUCLEO-L4R5ZI', 'ML-DSA-44', 'keygen', '', 'm4f (mean')),
    (('cortex-m4-wearable', 'kem.keygen', 'ML-KEM-768', 0), ('NUCLEO-L4R5ZI', 'ML-KEM-768', 'keygen', '', 'm4fspeed')),
    (('cortex-m4-wearable', 'aead.open', 'Ascon-AEAD128', 2),
     ('Arduino Nano 33 BLE (nRF52840)', 'Ascon-128a v1.2', 'decrypt', '1024', '')),
    (('cortex-m0plus-sensor', 'aead.seal', 'Ascon-128', 3),
     ('Arduino MKR Zero (SAMD21G18A)', 'Ascon-128 v1.2', 'encrypt', '2048', '')),
    (('esp32-pump', 'kem.decaps', 'ML-KEM-768', 0), ('ESP32-D0WD', 'ML-KEM-768', 'decaps', '', 'liboqs')),
    (('esp32-pump', 'aead.seal', 'Ascon-AEAD128', 1),
     ('NodeMCU v2 (ESP8266)', 'Ascon-128a v1.2', 'encrypt', '128', '')),
    (('esp32-pump', 'aead.open', 'AES-128-GCM', 1), ('NodeMCU v2 (ESP8266)', 'AES-128-GCM', 'decrypt', '128', '')),
]


@pytest.mark.skipif(not PUBLISHED.exists(), reason='the table of published timings is not beside the repository')
@pytest.mark.parametrize(('ours', 'published'), SPOT_CHECKS)
def test_profile_numbers_equal_published_rows(
        ours: tuple[str, str, str, int], published: tuple[str, str, str, str, str]) -> None:
    """Claim: profiles were copied without error; shown on some rows of the collected public timings."""
    name, stage, variant, point = ours
    with PUBLISHED.open(newline='') as file:
        rows = [row for row in csv.DictReader(file) if published[4] in row['implementation']
                and (row['platform'], row['variant'], row['operation'], row['payload_bytes']) == published[:4]]
    assert len(rows) == 1, rows
    profile = load_profile(name)
    value = float(rows[0]['value'])
    expected = {'cycles': value / profile.clock.value, 'ns': value * 1e-9, 'us': value * 1e-6, 'ops/s': 1 / value}
    assert profile.cost(stage, variant).seconds[point] == pytest.approx(expected[rows[0]['unit']], rel=1e-5)
