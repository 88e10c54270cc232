"""The profile of a calibration, as the text of its file.

What was measured is ``primary``, with its machine and date for a source. Watts, and stages that a machine cannot time
by itself (``broker.route``), are taken over from another profile: with the source and quality that they have there,
and that profile's name before it. Cryptography is never taken over: an operation that was not timed is absent.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hil.calibration.machine import Machine
from hil.calibration.measurement import Measurement
from hil.calibration.spread import Spread
from sim.errors import InputError
from sim.flows import CRYPTO_STAGES
from sim.profile_reading import read_entry
from sim.profile_schema import LAWS
from sim.profiles import Cost, Figure, Noise, Profile
from sim.units import spell
from sim.yaml_writing import written

WIDTH = 120
UNITS = ((1.0, 's'), (1e-3, 'ms'), (1e-6, 'us'), (1e-9, 'ns'))
CORES_SOURCE, CLOCK_SOURCE = 'counted by the operating system', 'as the operating system tells it'
HEADER = """\
# Written by iomtwin calibrate. Costs are medians of calls in Python on one core; noise is what was found about them.
# Beyond its last point a curve goes on with its last slope.
"""

Entry = dict[str, Any]


def profile_text(name: str, machine: Machine, measured: Sequence[Measurement], like: Profile, *,
                 sources: Mapping[str, str], implementation: str, record: Mapping[str, str]) -> str:
    """Return the text of a profile's file.

    Parameters
    ----------
    name
        Of the profile, and of its file without the suffix.
    like
        The profile that watts and other stages are taken over from.
    sources
        For everything that does the work of an operation: what was measured, when and how.
    record
        What the calibration says of itself.

    Raises
    ------
    InputError
        If the name is none that a profile can have.
    """
    costs: dict[str, Entry] = {}
    for each in measured:
        costs.setdefault(each.operation.stage, {})[each.operation.variant] = _measured(each)
    for (stage, variant), cost in like.costs.items():
        if stage not in costs and not stage.startswith(CRYPTO_STAGES):
            costs.setdefault(stage, {})[variant] = _taken_over(cost, like)
    cores = {'value': machine.n_cores, 'source': CORES_SOURCE, 'quality': 'primary'}
    clock = _figure(like.clock, like) if machine.clock_hz is None else {
        'value': f'{machine.clock_hz / 1e6:.1f} MHz', 'source': CLOCK_SOURCE, 'quality': 'primary'}
    data = {'name': name, 'title': f'{machine.cpu} ({machine.architecture}), calibrated {record["date"]}',
            'implementation': implementation, 'sources': dict(sources), 'calibration': dict(record), 'cores': cores,
            'clock': clock, 'power': {part: _figure(figure, like) for part, figure in like.power.items()},
            'costs': costs}
    text = HEADER + written(data, WIDTH)
    read_entry(f'{name}.yaml', text, name)  # what cannot be read again is not handed out
    return text


def check_target(file: Path) -> None:
    """Refuse a file that no profile can be written to, before anything is timed.

    Raises
    ------
    InputError
        If it is none for YAML, or there is no such folder, or none that may be written to.
    """
    if file.suffix != '.yaml' or os.path.isdir(file):  # noqa: PTH112 - Path.is_dir raises if the name is too long
        raise InputError(f'--out {file}: found no name of a profile; expected a file that ends in .yaml; correct it')
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise InputError(f'--out {file}: cannot be written; expected a folder that is there and may be written to; '
                         'make it, or choose another')


def spell_time(seconds: float) -> str:
    """Write a time with five digits, in the unit in which it is at least one."""
    factor, unit = next((each for each in UNITS if seconds >= each[0]), UNITS[-1])
    return f'{seconds / factor:.5g} {unit}'


def _measured(measurement: Measurement) -> Entry:
    """Return the cost of an operation that was timed."""
    operation, kept = measurement.operation, measurement.kept
    amounts, seconds = measurement.curve()
    entry: Entry
    if operation.unit == 'byte':
        entry = {'points': [{'bytes': amount, 'value': spell_time(each)}
                            for amount, each in zip(amounts, seconds, strict=True)]}
    elif operation.unit == 'sample':
        entry = {'value': spell_time(seconds[0] / amounts[0]), 'per': 'sample'}
    else:
        entry = {'value': spell_time(seconds[0])}
    counts = [len(point.durations) for point in kept]
    calls = f'{min(counts):,}' if len(set(counts)) == 1 else f'{min(counts):,} to {max(counts):,}'
    entry |= {'source': operation.done_by, 'quality': 'primary', 'formula': f'median of {calls} calls'}
    law = measurement.spread()
    if law.quantiles:
        entry['noise'] = {'law': 'empirical', 'quantiles': list(law.quantiles), 'source': operation.done_by,
                          'quality': 'primary', 'formula': _said(law, amounts)}
    return entry


def _said(law: Spread, amounts: Sequence[int]) -> str:
    """Return which calls a law was made of."""
    sizes = [amounts[i] for i in law.used]
    if len(sizes) == 1:
        return f'{law.n:,} calls over their median' + (f', of {sizes[0]:,} bytes' if len(amounts) > 1 else '')
    return f'{law.n:,} calls of {len(sizes)} sizes, {sizes[0]:,} to {sizes[-1]:,} bytes, over the median of each'


def _taken_over(cost: Cost, like: Profile) -> Entry:
    """Return a cost of another profile, in seconds: its cycles would be others at this clock."""
    begin = len(cost.amounts) - len(cost.written)  # a cost per byte or sample starts at (0, 0), which is not written
    values = [spell(seconds, 'time') for seconds in cost.seconds[begin:]]
    entry: Entry = {'value': values[0], 'per': cost.unit} if len(values) == 1 else {
        'points': [{'bytes': int(amount), 'value': value} for amount, value in zip(cost.amounts, values, strict=True)]}
    entry |= _origin(cost, like)
    if cost.noise.law != 'constant':
        names, parameters = LAWS[cost.noise.law], list(cost.noise.parameters)
        entry['noise'] = {'law': cost.noise.law, **({names[0]: parameters} if cost.noise.law == 'empirical' else
                                                    dict(zip(names, parameters, strict=True))),
                          **_origin(cost.noise, like)}
    return entry


def _figure(figure: Figure, like: Profile) -> Entry:
    return {'value': figure.written, **_origin(figure, like)}


def _origin(number: Figure | Cost | Noise, like: Profile) -> Entry:
    origin = {'source': f'taken over from the profile {like.name}: {number.source}', 'quality': number.quality}
    return origin if number.formula is None else {**origin, 'formula': number.formula}
