"""What machine this is, as far as it says so: what a measurement is worth nothing without.

Read from the kernel's files, so that no program has to be there; what a machine does not tell is absent. A virtual
machine tells neither governor nor temperature, and a clock that its host may not keep to.

References
----------
.. [1] Linux, Documentation/admin-guide/pm/cpufreq.rst (frequencies in kHz) and driver-api/thermal/sysfs-api.rst (m°C).
.. [2] Raspberry Pi documentation, "vcgencmd", get_throttled (bits 0 to 3: now; 16 to 19: since the start).
"""

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sim.errors import InputError

PACKAGES = ('cryptography', 'pqcrypto', 'liboqs-python', 'numba', 'numpy', 'ascon')
THROTTLED_NOW = 0xF  # [2]: under-voltage, frequency capped, throttled, soft temperature limit
BUSY_SHARE = 0.5  # of the cores: beyond it, others are likely to want the core that is used
ANSWER_S = 2.0  # that the firmware may take
SYSFS_THROTTLED = 'sys/devices/platform/soc/soc:firmware/get_throttled'  # of Raspberry Pi's own kernel
FREQUENCIES = 'sys/devices/system/cpu/cpu{core}/cpufreq'
# What a computer is most like, by how its model begins; a server otherwise.
SIMILAR = {'Raspberry Pi 3': 'raspberry-pi-3', 'Raspberry Pi 5': 'raspberry-pi-5', 'Raspberry Pi 4': 'raspberry-pi-4'}
SIMILAR_ARCHITECTURE = {'x86_64': 'x86-server', 'aarch64': 'raspberry-pi-4'}


@dataclass(frozen=True)
class Machine:
    """A computer; what it does not tell is None."""

    cpu: str
    architecture: str
    n_cores: int
    clock_hz: float | None
    governor: str | None
    kernel: str
    libc: str
    python: str
    packages: Mapping[str, str]

    def describe(self) -> dict[str, str]:
        """Return what a record of a measurement says of it."""
        clock = None if self.clock_hz is None else f'{self.clock_hz / 1e6:.0f} MHz'
        told = {'cpu': self.cpu, 'architecture': self.architecture, 'cores': str(self.n_cores), 'clock': clock,
                'governor': self.governor, 'kernel': self.kernel, 'libc': self.libc, 'python': self.python,
                'packages': ', '.join(f'{name} {found}' for name, found in self.packages.items())}
        return {what: text for what, text in told.items() if text is not None}


@dataclass(frozen=True)
class Condition:
    """How a computer is at one moment; what it does not tell is None."""

    at: datetime
    load: float  # processes that run or want to, over the last minute
    temperature_c: float | None
    clock_hz: float | None
    throttled: int | None  # the bits of [2]

    def describe(self) -> dict[str, str]:
        """Return what a record of a measurement says of it."""
        told = {
            'load': f'{self.load:.2f}',
            'temperature': None if self.temperature_c is None else f'{self.temperature_c:.1f} °C',
            'current clock': None if self.clock_hz is None else f'{self.clock_hz / 1e6:.0f} MHz',
            'throttled': None if self.throttled is None else f'{self.throttled:#x}',
        }
        return {what: text for what, text in told.items() if text is not None}


def inspect(core: int = 0, root: Path = Path('/')) -> Machine:
    """Return what this computer says of itself; clock and governor are those of one core."""
    frequencies = root / FREQUENCIES.format(core=core)
    clock_khz = _number(frequencies / 'cpuinfo_max_freq')
    clock_mhz = _of_cpuinfo(root, 'cpu MHz')
    return Machine(
        cpu=_model(root), architecture=platform.machine(), n_cores=os.cpu_count() or 1,
        clock_hz=clock_khz * 1e3 if clock_khz else float(clock_mhz) * 1e6 if clock_mhz else None,
        governor=_text(frequencies / 'scaling_governor'), kernel=f'{platform.system()} {platform.release()}',
        libc=' '.join(platform.libc_ver()), python=f'{platform.python_implementation()} {platform.python_version()}',
        packages=dict(_packages()))


def condition(core: int = 0, root: Path = Path('/')) -> Condition:
    """Return how this computer is now."""
    clock_khz = _number(root / FREQUENCIES.format(core=core) / 'scaling_cur_freq')
    temperature = _number(root / 'sys/class/thermal/thermal_zone0/temp')
    return Condition(datetime.now(UTC), os.getloadavg()[0], None if temperature is None else temperature / 1e3,
                     None if clock_khz is None else clock_khz * 1e3, _throttled(root))


def warnings(machine: Machine, before: Condition, after: Condition) -> list[str]:
    """Return what makes a measurement between two moments doubtful."""
    told = []
    if before.load > BUSY_SHARE * machine.n_cores:
        told.append(f'other programs were busy (load {before.load:.1f} on {machine.n_cores} cores); calibrate again '
                    'when they are not')
    then, since = (each.throttled or 0 for each in (before, after))
    if (then | since) & THROTTLED_NOW or since & ~then:
        told.append(f'the clock was held back, or the voltage too low (throttled {since:#x}); cool the machine, give '
                    'it enough power, and calibrate again')
    return told


def similar_profile(machine: Machine) -> str:
    """Return the shipped profile of the computer that is most like this one.

    Raises
    ------
    InputError
        If there is none.
    """
    of_model = (name for model, name in SIMILAR.items() if machine.cpu.startswith(model))
    name = next(of_model, SIMILAR_ARCHITECTURE.get(machine.architecture))
    if name is None:
        raise InputError(f"no shipped profile is of a machine like '{machine.cpu}' ({machine.architecture}); name one "
                         'with --like')
    return name


def _model(root: Path) -> str:
    """Return the board's model where the firmware gives one, else the processor's."""
    board = _text(root / 'proc/device-tree/model')
    # In a container the device tree is hidden, and the kernel of a Raspberry Pi names the board here too.
    return (board or _of_cpuinfo(root, 'Model') or _of_cpuinfo(root, 'model name') or platform.processor()
            or platform.machine())


def _throttled(root: Path) -> int | None:
    """Return what the firmware of a Raspberry Pi says of its clock and voltage [2]."""
    told = _text(root / SYSFS_THROTTLED)
    program = shutil.which('vcgencmd') if told is None else None
    if program is not None:
        with suppress(OSError, subprocess.SubprocessError):
            told = subprocess.run([program, 'get_throttled'], capture_output=True, text=True, timeout=ANSWER_S,
                                  check=True).stdout.strip().rpartition('=')[2]
    try:
        return None if told is None else int(told, 16)
    except ValueError:
        return None


def _packages() -> list[tuple[str, str]]:
    found = []
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found.append((name, version(name)))
    return found


def _of_cpuinfo(root: Path, key: str) -> str | None:
    return _line(_text(root / 'proc/cpuinfo') or '', key)


def _line(text: str, key: str) -> str | None:
    """Return what follows a key and a colon on the first line that begins with it."""
    for line in text.splitlines():
        found, colon, value = line.partition(':')
        if colon and found.strip() == key:
            return value.strip()
    return None


def _number(path: Path) -> float | None:
    text = _text(path)
    return float(text) if text is not None and text.lstrip('-').isdecimal() else None


def _text(path: Path) -> str | None:
    """Return what a file of the kernel says; a device tree ends its texts with a zero."""
    try:
        return path.read_text('utf-8', errors='replace').strip('\0\n ') or None
    except OSError:
        return None
