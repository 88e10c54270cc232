"""The text of a profile's file to checked entries: every mistake told with its line.

What a schema cannot say is checked here too: costs in cycles are comparable once the clock is known.
"""

from collections.abc import Iterator
from functools import partial

from pydantic import ValidationError

from sim.errors import InputError
from sim.mistakes import first_mistake
from sim.profile_schema import ProfileEntry, seconds
from sim.units import quantity
from sim.values import RUN_S_MAX
from sim.yaml_source import Location, in_file, line_of, read_yaml


def read_entry(file: str, text: str, stem: str) -> ProfileEntry:
    """Read and check the text of one file whose name without suffix is `stem`.

    Raises
    ------
    InputError
        At the first thing that is wrong; one line: file:line key: found; expected; what to do.
    """
    where = partial(in_file, file)
    data, marks = read_yaml(text, where)
    if not isinstance(data, dict):
        raise InputError(f'{file}:1: found no keys; expected a profile; see scenarios/profiles/README.md')
    try:
        entry = ProfileEntry.model_validate(data, context={'sources': data.get('sources'), 'stem': stem})
    except ValidationError as error:
        location, sentence = first_mistake(error, data, ProfileEntry)
        raise InputError(f'{where(line_of(marks, location), location)}: {sentence}') from None
    for location, problem in _bad_curves(entry):
        raise InputError(f'{where(line_of(marks, location), location)}: {problem}')
    return entry


def _bad_curves(entry: ProfileEntry) -> Iterator[tuple[Location, str]]:
    """Yield what is wrong with costs once cycles are seconds: these cannot be told before the clock is known."""
    clock_hz = quantity(entry.clock.value, 'clock')
    for stage, variants in entry.costs.by_stage():
        for variant, cost in variants.items():
            before_s = 0.0
            for i, text in enumerate(cost.texts()):
                at: Location = ('costs', stage, variant, *(('points', i) if cost.points else ('value',)))
                time_s = seconds(text, clock_hz)
                if time_s > RUN_S_MAX:
                    yield at, f"found '{text}'; expected at most {RUN_S_MAX:g} s; correct it"
                if time_s < before_s:
                    yield at, (f"found '{text}' for a larger size, less time than before; expected no falling curve; "
                               'correct the points')
                before_s = time_s
