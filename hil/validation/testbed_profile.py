"""The profile of a testbed: what probes measured, in place of what another profile says of it.

Everything else is that other profile's, with its sources: watts, and what nobody does on a testbed.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from hil.calibration.machine import inspect
from hil.calibration.profile_file import WIDTH, spell_time
from hil.calibration.spread import rising, spread
from hil.validation.fitting import Fit, Floats
from sim.profile_reading import read_entry
from sim.profiles import Profile
from sim.suites import SUITES, variant
from sim.yaml_source import read_yaml
from sim.yaml_writing import written

BROKER = ('broker.route', 'broker.answer')
SOURCE = 'testbed'
HEADER = """\
# Written by iomtwin validate: a testbed as its twin sees it. Costs of workers are of whole messages: cryptography, and
# taking the message in and answering it.
"""


def profile_of_testbed(name: str, like: Profile, fits: Mapping[str, Fit], broker: Fit, facts: Mapping[str, Any], *,
                       only_broker: bool) -> str:
    """Return the text of a profile's file.

    Parameters
    ----------
    name
        Of the profile, and of its file without the suffix.
    like
        Where all else is taken from.
    fits
        What was measured of the node, by the suite that it was measured with.
    broker
        What was measured of the broker; see `pooled`.
    facts
        Of the testbed, as a run has them in its manifest.
    only_broker
        Leave the work of workers as it is: that of a testbed which plays other computers.
    """
    data, _ = read_yaml(like.contents.decode(), lambda line, location: f'{like.name}: {line}: {location}')
    machine, now = inspect(), datetime.now(UTC)
    data['name'] = name
    data['title'] = f'{data["title"]}; {"its broker" if only_broker else "as a testbed"}, measured {now:%Y-%m-%d}'
    data['sources'] |= {SOURCE: (
        f'measured {now:%Y-%m-%d} on {machine.cpu} ({machine.architecture}, {machine.n_cores} cores), '
        f'{machine.python}: {facts["broker"]}, {facts["kem_provider"]}, over the broker, {facts["testbed"]}')}
    costs = data['costs']
    for stage in BROKER:
        costs[stage] = {'any': _bytes(broker.samples[stage])}
    if not only_broker:
        for suite, fit in fits.items():
            parts = SUITES[suite]
            aead = variant(parts.aead, parts.implementation)
            for stage in ('aead.open', 'aead.seal'):
                costs.setdefault(stage, {})[aead] = _bytes(fit.samples[stage])
            costs.setdefault('kem.encaps', {})[parts.kem] = _op(fit.samples['kem.encaps'][0])
    text = HEADER + written(data, WIDTH)
    read_entry(f'{name}.yaml', text, name)  # what cannot be read again is not handed out
    return text


def pooled(fits: Sequence[Fit]) -> Fit:
    """Return what was measured of the broker with all suites and nodes together: it does not read what it carries."""
    stages = {}
    for stage in BROKER:
        found = [fit.samples[stage] for fit in fits]
        stages[stage] = {size: np.concatenate([each[size] for each in found if size in each])
                         for size in sorted(set().union(*found))}
    spacing = {size: float(np.median([fit.spacing_s[size] for fit in fits]))
               for size in fits[0].spacing_s}
    deliver_s, cable_s, acknowledge_s = (float(np.median([getattr(fit, name) for fit in fits]))
                                         for name in ('deliver_s', 'cable_s', 'acknowledge_s'))
    return Fit(stages, deliver_s, cable_s, acknowledge_s, spacing)


def _bytes(samples: Mapping[int, Floats]) -> dict[str, Any]:
    """Return the cost of a stage over bytes."""
    medians = rising([float(np.median(seconds)) for seconds in samples.values()])
    points = [{'bytes': size, 'value': spell_time(seconds)} for size, seconds in zip(samples, medians, strict=True)]
    return {'points': points, **_origin([*samples.values()])}


def _op(samples: Floats) -> dict[str, Any]:
    """Return the cost of an operation."""
    return {'value': spell_time(float(np.median(samples))), **_origin([samples])}


def _origin(samples: list[Floats]) -> dict[str, Any]:
    law = spread(samples)
    entry: dict[str, Any] = {'source': SOURCE, 'quality': 'primary',
                             'formula': f'median of {min(map(len, samples)):,} messages or more'}
    if law.quantiles:
        entry['noise'] = {'law': 'empirical', 'quantiles': list(law.quantiles), 'source': SOURCE, 'quality': 'primary',
                          'formula': f'{law.n:,} messages over the median of their size'}
    return entry
