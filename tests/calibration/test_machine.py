from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hil.calibration.machine import (
    Condition,
    Machine,
    condition,
    inspect,
    similar_profile,
    warnings,
)
from sim.errors import InputError
from sim.profiles import load_profile

CPUFREQ = 'sys/devices/system/cpu/cpu3/cpufreq'
RASPBERRY_PI = {  # what the files of a Raspberry Pi 4 hold, by the documentation that `hil.calibration.machine` cites
    'proc/device-tree/model': 'Raspberry Pi 4 Model B Rev 1.5\0',
    'proc/cpuinfo': 'processor\t: 0\nBogoMIPS\t: 108.00\n',
    f'{CPUFREQ}/scaling_governor': 'ondemand\n',
    f'{CPUFREQ}/cpuinfo_max_freq': '1800000\n',
    f'{CPUFREQ}/scaling_cur_freq': '600000\n',
    'sys/class/thermal/thermal_zone0/temp': '48212\n',
    'sys/devices/platform/soc/soc:firmware/get_throttled': '50000\n',
}
COOL = Condition(datetime(2026, 11, 26, tzinfo=UTC), 0.1, 48.2, 600e6, 0)
MACHINE = Machine('a processor', 'x86_64', 4, None, None, 'Linux 6', 'glibc 2.36', 'CPython 3.11', {})


@pytest.fixture
def raspberry_pi(tmp_path: Path) -> Path:
    """A root folder with the files of a Raspberry Pi 4."""
    for name, text in RASPBERRY_PI.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_raspberry_pi_tells_what_it_is_and_how_it_is(raspberry_pi: Path) -> None:
    """Board, governor, clock in kHz, temperature in m°C, memory in KiB and the bits of throttling, in SI units."""
    machine, now = inspect(3, raspberry_pi), condition(3, raspberry_pi)
    assert (machine.cpu, machine.governor, machine.clock_hz) == ('Raspberry Pi 4 Model B Rev 1.5', 'ondemand', 1.8e9)
    assert (now.temperature_c, now.clock_hz, now.throttled) == (pytest.approx(48.212), 600e6, 0x50000)
    assert machine.describe()['clock'] == '1800 MHz'
    assert {'temperature': '48.2 °C', 'current clock': '600 MHz', 'throttled': '0x50000'}.items() <= (
        now.describe().items())


def test_what_a_machine_does_not_tell_is_absent(tmp_path: Path) -> None:
    """A root folder without any file: no governor, clock, temperature or throttling, and no words about them."""
    machine, now = inspect(0, tmp_path), condition(0, tmp_path)
    assert (machine.clock_hz, machine.governor) == (None, None)
    assert {'clock', 'governor'}.isdisjoint(machine.describe())
    assert set(now.describe()) <= {'load', 'throttled'}, 'the firmware of a real Raspberry Pi may still answer'


def test_a_server_tells_its_processor_and_its_clock(tmp_path: Path) -> None:
    """Where there is no board and no frequency to choose, name and clock are those of /proc/cpuinfo."""
    (tmp_path / 'proc').mkdir()
    (tmp_path / 'proc/cpuinfo').write_text('model\t\t: 1\nmodel name\t: AMD EPYC\ncpu MHz\t\t: 2445.404\n')
    machine = inspect(0, tmp_path)
    assert (machine.cpu, machine.clock_hz) == ('AMD EPYC', pytest.approx(2445.404e6))


def test_this_machine_tells_what_every_record_needs() -> None:
    """Claim: processor, cores, kernel, library, Python and the versions of what does the work are told here as well."""
    told = inspect().describe()
    assert {'cpu', 'architecture', 'cores', 'kernel', 'libc', 'python', 'packages'} <= told.keys()
    assert all(told.values())
    for package in ('cryptography', 'pqcrypto', 'numba', 'numpy'):
        assert package in told['packages']


@pytest.mark.parametrize(('cpu', 'architecture', 'profile'), [
    ('Raspberry Pi 4 Model B Rev 1.5', 'aarch64', 'raspberry-pi-4'),
    ('Raspberry Pi 5 Model B Rev 1.0', 'aarch64', 'raspberry-pi-5'),
    ('Raspberry Pi 3 Model B Plus Rev 1.3', 'aarch64', 'raspberry-pi-3'),
    ('Some other board', 'aarch64', 'raspberry-pi-4'), ('AMD EPYC', 'x86_64', 'x86-server')])
def test_watts_are_taken_from_the_most_similar_shipped_profile(cpu: str, architecture: str, profile: str) -> None:
    """Claim: a board is told by its model, else by its architecture, and the profile is one that is shipped."""
    assert similar_profile(replace(MACHINE, cpu=cpu, architecture=architecture)) == profile
    assert load_profile(profile).power


def test_a_machine_that_is_like_none_asks_for_a_profile() -> None:
    """On another architecture the error says what to do, in one line."""
    with pytest.raises(InputError, match='--like'):
        similar_profile(replace(MACHINE, architecture='riscv64'))


@pytest.mark.parametrize(('before', 'after', 'words'), [
    (0x0, 0x0, []), (0x50000, 0x50000, []),  # long ago: the bits since the start do not change
    (0x0, 0x4, ['held back']), (0x1, 0x0, ['held back']), (0x0, 0x20000, ['held back'])])
def test_throttling_during_a_calibration_is_warned_of(before: int, after: int, words: list[str]) -> None:
    """Claim: bits for now, and bits since the start that are new, make a warning; old ones do not."""
    told = warnings(MACHINE, replace(COOL, throttled=before), replace(COOL, throttled=after))
    assert len(told) == len(words)
    assert all(word in warning for word, warning in zip(words, told, strict=True))


@pytest.mark.parametrize(('load', 'is_warned'), [(1.9, False), (2.1, True)])
def test_a_busy_machine_is_warned_of(load: float, is_warned: bool) -> None:
    """Claim: with four cores, a load above two before anything was timed makes a warning."""
    assert bool(warnings(MACHINE, replace(COOL, load=load), COOL)) is is_warned
