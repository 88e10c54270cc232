"""Models that are wrong on purpose: what a comparison would catch, shown on the same runs as what it finds.

A validation that finds no error may be of a good model, or may not have looked closely. So each also compares models
with a known mistake, and says by how much they are off.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hil.calibration.profile_file import WIDTH
from sim.yaml_source import read_yaml
from sim.yaml_writing import written


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong.

    Attributes
    ----------
    factors
        By stage, what the time of every node's work is multiplied by.
    settings
        What the model's scenario says instead of the testbed's.
    """

    name: str
    title: str
    factors: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)


MISTAKES = (
    Mistake('open-too-fast', 'opening is 30 % too fast', factors={'aead.open': 0.7}),
    Mistake('prefetch-ignored', 'prefetch is ignored', settings={'crypto.prefetch': '1000'}),
)


def scaled(text: str, factors: Mapping[str, float]) -> str:
    """Return a profile's text with the costs of some stages multiplied, by any suite and of any size."""
    data, _ = read_yaml(text, lambda line, location: f'{line}: {location}')
    for stage, factor in factors.items():
        for cost in data['costs'][stage].values():
            for entry in cost.get('points', [cost]):
                number, unit = str(entry['value']).split()
                entry['value'] = f'{float(number) * factor:.6g} {unit}'
    return written(data, WIDTH)
