"""Every key of a scenario counts: it moves the result that it should, in the right direction."""

import re
import types
import typing
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from commands import simulation
from sim.replicating import Plan
from sim.scenario import Scenario
from tests.scenario.clinic import CLINIC, summary_of
from tests.scenario.key_effects import EFFECTS, INERT, Effect


class Stop(Exception):  # noqa: N818 - it ends a command where the test has seen enough
    """Raised in the place of a simulation."""


def leaves(kind: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    """Yield the path and the annotation of every key below a type; ``*`` stands for a name or a number."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            yield from leaves(field.annotation, f'{path}.{name}'.lstrip('.'))
        return
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is typing.Annotated:
        yield from leaves(arguments[0], path)
    elif origin in (typing.Union, types.UnionType):
        [inner] = [argument for argument in arguments if argument is not types.NoneType]
        yield from leaves(inner, path)
    elif origin is Mapping:
        yield from leaves(arguments[1], f'{path}.*')
    elif origin is tuple and isinstance(arguments[0], type) and issubclass(arguments[0], BaseModel):
        yield from leaves(arguments[0], f'{path}.*')
    else:
        yield path, kind


KEYS = dict(leaves(Scenario))
summary = lru_cache(maxsize=None)(summary_of)


def pattern_of(key: str) -> str | None:
    """Return the leaf of the schema that a key of the table is."""
    found = [leaf for leaf in KEYS if re.fullmatch(re.escape(leaf).replace(r'\*', '[^.]+'), key)]
    assert len(found) <= 1
    return found[0] if found else None


def value(effect: Effect, setting: str) -> float:
    """Return the metric of an effect when its key has a value."""
    rows = summary(*effect.context, f'{effect.key}={setting}')
    [row] = [row for row in rows if row['metric'] == effect.metric
             and effect.of in ('', ' of '.join(filter(None, (row['flow'], row['class'], row['station']))))]
    found = row[effect.statistic]
    assert found is not None, f'{effect.metric} of {effect.of} is not there'
    return float(found)


def test_table_of_effects_is_complete() -> None:
    """Every leaf of the schema, walked by its types, is a key of the table or inert by design, and not both."""
    covered = {pattern_of(effect.key) for effect in EFFECTS} - {None}
    assert len(KEYS) > 70, 'the walk has found the schema'
    assert covered | INERT.keys() == KEYS.keys()
    assert not covered & INERT.keys()


def test_every_value_of_a_choice_is_in_the_table() -> None:
    """Each value of every key with a list of values, or with true and false, is on one side of some row."""
    for leaf, kind in KEYS.items():
        values = set(get_args(kind)) if get_origin(kind) is Literal else {'true', 'false'} if kind is bool else set()
        rows = [effect for effect in EFFECTS if pattern_of(effect.key) == leaf]
        assert values <= {setting.strip("'") for effect in rows for setting in (effect.a, effect.b)}, leaf


@pytest.mark.parametrize('effect', EFFECTS, ids=[f'{e.key} {e.a[:20]} {e.b[:20]}' for e in EFFECTS])
def test_key_moves_its_metric(effect: Effect) -> None:
    """Two runs of the clinic, same seed, one key apart: the metric changes in the direction that the row reasons."""
    a, b = value(effect, effect.a), value(effect, effect.b)
    holds = {'+': a < b, '-': a > b, '≠': a != b}[effect.sign]
    assert holds, f'{effect.metric} of {effect.of} goes from {a} to {b}, but: {effect.why}'


@pytest.mark.parametrize(('key', 'setting'), [('name', 'polyclinic'), ('description', 'Other words.'),
                                              ('replications', '7')])
def test_inert_key_moves_nothing(key: str, setting: str) -> None:
    """The whole summary of the clinic is the same with another value of a key that is inert by design."""
    assert key in INERT
    assert summary(f'{key}={setting}') == summary()


def test_replications_are_so_many_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """`replications: 3` makes three plans with seeds one after the other; shown on the plans of `iomtwin run`."""
    planned: list[Plan] = []

    def plan_only(plans: list[Plan], **_options: object) -> None:
        planned.extend(plans)
        raise Stop

    monkeypatch.setattr(simulation, '_simulate', plan_only)
    with pytest.raises(Stop):
        simulation.run(str(CLINIC), overrides=['replications=3', 'seed=5'])
    assert [plan.seed for plan in planned] == [5, 6, 7]
