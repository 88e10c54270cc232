"""Reading a scenario: complete and stable once resolved, lines found, overrides typed, files and names the same."""

import copy
import json
import math
import re
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel
from ruamel.yaml import YAML

import iomtwin
from sim.loading import SHIPPED, load, shipped_scenarios
from sim.lowering import lower
from sim.profiles import load_profile
from sim.resolving import profiles_of, resolved_yaml
from sim.running import run_model
from sim.scenario import Scenario
from sim.units import DIMENSIONS, quantity, spell
from sim.values import SIZE_MAX
from sim.yaml_source import read_yaml, spell_key
from tests.results.runs import hash_of
from tests.scenario.clinic import CLINIC, TEXT, edited, scenario_of
from tests.scenario.json_schema import problems
from tests.scenario.reduced import few_wards
from tests.tables import by_address

SOURCES = [*shipped_scenarios(), str(CLINIC)]
TAG_PERIOD = 'vitals: {flow: vitals, period: 2 s, payload: 32 B, priority: 2}'


def differences(a: Any, b: Any, at: str = 'model') -> list[str]:
    """Return the names of what differs between two models, arrays bit for bit."""
    if is_dataclass(a):
        return [name for field in fields(a)
                for name in differences(getattr(a, field.name), getattr(b, field.name), f'{at}.{field.name}')]
    same = np.array_equal(a, b) and a.dtype == b.dtype if isinstance(a, np.ndarray) else a == b
    return [] if same else [at]


def unset(part: Any, at: str = 'scenario') -> list[str]:
    """Return the keys that a scenario had by default and not from its file."""
    if isinstance(part, BaseModel):
        names = type(part).model_fields.keys()
        return [*(f'{at}.{name}' for name in names - part.model_fields_set),
                *(key for name in names for key in unset(getattr(part, name), f'{at}.{name}'))]
    values = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, tuple) else ()
    return [key for name, value in values for key in unset(value, f'{at}.{name}')]


@pytest.mark.parametrize('source', SOURCES)
def test_resolved_scenario_is_complete_and_stable(source: str, tmp_path: Path) -> None:
    """Written, read again and lowered: every key is said, scenario, text, hash and all arrays are the same."""
    scenario, origin = load(source, few_wards(source))
    assert unset(scenario), 'the file leaves some keys to their defaults'
    path = tmp_path / 'resolved.yaml'
    path.write_text(resolved_yaml(scenario))
    again, again_origin = load(path)
    assert again == scenario
    assert unset(again) == []
    assert resolved_yaml(again) == path.read_text()
    assert hash_of(path) == hash_of(source, few_wards(source))
    assert differences(lower(scenario, origin), lower(again, again_origin)) == []


def test_difference_between_models_is_found() -> None:
    """The comparison of models that the test of resolved forms rests on sees one priority and one array."""
    a, b = (lower(*load(CLINIC, [f'devices.tag.streams.vitals.priority={n}'])) for n in (2, 3))
    assert 'model.routes.priority' in differences(a, b)
    assert differences(a, a) == []


@given(value=st.floats(0.0, allow_nan=False, allow_infinity=False), dimension=st.sampled_from(sorted(DIMENSIONS)))
def test_spelled_quantity_is_read_as_the_same_float(value: float, dimension: str) -> None:
    """For any float, the subnormal and the largest too, and any dimension: what is written is read, exactly."""
    assert quantity(spell(value, dimension), dimension) == value


@given(n=st.integers(0, 2**53), unit=st.sampled_from(
    [('ns', -9), ('us', -6), ('µs', -6), ('ms', -3), ('s', 0), ('ks', 3)]))
def test_decimal_prefix_is_read_as_the_nearest_float(n: int, unit: tuple[str, int]) -> None:
    """For any whole number of nanoseconds to kiloseconds: the float nearest to the exact value."""
    name, exponent = unit
    assert quantity(f'{n} {name}', 'time') == (float(n * 10**exponent) if exponent >= 0 else n / 10**-exponent)


@pytest.mark.parametrize(('text', 'dimension', 'value'), [
    ('4 KiB', 'size', 4096), ('4 kB', 'size', 4000), ('2 MiB', 'size', 2 << 20), ('1.5 min', 'time', 90),
    ('10 Mbit/s', 'rate', 1e7), ('1 MB/s', 'rate', 8e6), ('0.5 /min', 'frequency', 0.5 / 60),
    ('2 /h', 'frequency', 2 / 3600), ('6 / min', 'frequency', 0.1), ('0.9 Wh', 'energy', 3240),
    ('1.8 GHz', 'clock', 1.8e9), ('20 mW', 'power', 0.02)])
def test_quantities_are_read_in_si_units(text: str, dimension: str, value: float) -> None:
    """Units as people write them, against values by hand."""
    assert math.isclose(quantity(text, dimension), value, rel_tol=1e-15)


@given(n=st.integers(1, SIZE_MAX), minutes=st.integers(0, 1439))
def test_sizes_and_times_of_day_round_trip(n: int, minutes: int) -> None:
    """Any size up to the largest and any minute of the day: written and read again, they are the same."""
    scenario = scenario_of(f'devices.tag.streams.vitals.payload={n} B',
                           f"starts_at='{minutes // 60:02d}:{minutes % 60:02d}'")
    assert scenario.devices['tag'].streams['vitals'].payload == n
    assert scenario.starts_at == 60.0 * minutes
    assert Scenario.model_validate(scenario.model_dump(mode='json')) == scenario


@given(st.text(st.characters(exclude_categories=['Cc', 'Cs'])) | st.from_regex(r'[0-9a-z+._~<=-]{1,5}', fullmatch=True))
def test_any_text_is_written_and_read_again(text: str) -> None:
    """Descriptions of any characters, and such as look like numbers, truths or nothing: the resolved form holds them.

    U+FFFE and U+FFFF are no characters, and YAML refuses them.
    """
    assume(not {'\ufffe', '\uffff'} & set(text))
    scenario = scenario_of().model_copy(update={'description': text})
    data, _ = read_yaml(resolved_yaml(scenario), lambda line, _: str(line))
    assert data['description'] == text
    assert Scenario.model_validate(data) == scenario


def test_every_key_is_found_on_its_line() -> None:
    """Each block key of the clinic, found by its indentation alone, is where an error would send its reader."""
    _, origin = load(CLINIC)
    outer: list[tuple[int, str]] = []
    n_keys = 0
    for number, line in enumerate(TEXT.splitlines(), start=1):
        found = re.match(r'( *)([a-z0-9_-]+):', line)
        if found:
            indent = len(found[1])
            outer = [*(pair for pair in outer if pair[0] < indent), (indent, found[2])]
            location = tuple(name for _, name in outer)
            assert origin.where(location) == f'{CLINIC}:{number} {".".join(location)}'
            n_keys += 1
    assert n_keys > 80
    inner = ('devices', 'patch', 'streams', 'vitals', 'period')
    assert origin.where(inner) == origin.where(inner[:-1]) + '.period', 'a key in braces is on the line of the braces'
    missing, around = ((*inner[:-2], 'nothing', 'here'), inner[:-2])
    assert origin.where(missing).partition(' ')[0] == origin.where(around).partition(' ')[0]


def test_keys_are_spelled_as_they_are_set() -> None:
    """Numbers in brackets, names behind dots."""
    assert spell_key(('outages', 0, 'target')) == 'outages[0].target'


@pytest.fixture
def schema(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return what `iomtwin check --schema` prints."""
    monkeypatch.setattr(sys, 'argv', ['iomtwin', 'check', '--schema'])
    iomtwin.main()
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return printed


def plain(path: str | Path) -> dict[str, Any]:
    """Return a YAML file as plain data, without iomtwin's reader."""
    found: dict[str, Any] = YAML(typ='safe', pure=True).load(Path(path).read_text('utf-8'))
    return found


@pytest.mark.parametrize('source', SOURCES)
def test_printed_schema_allows_the_scenario_and_its_resolved_form(source: str, schema: dict[str, Any]) -> None:
    """What an editor checks with: no problem in any shipped file, nor in the form that a run folder keeps."""
    path = SHIPPED / f'{source}.yaml' if source in shipped_scenarios() else source
    assert list(problems(plain(path), schema, schema)) == []
    resolved = YAML(typ='safe', pure=True).load(resolved_yaml(load(source)[0]))
    assert list(problems(resolved, schema, schema)) == []


@pytest.mark.parametrize(('keys', 'value', 'problem'), [
    (('durations',), '20 s', 'unknown'), (('duration',), 20, 'no string'), (('duration',), '20s', 'pattern'),
    (('edge', 'server', 'cores'), 0, 'minimum'), (('crypto', 'aead'), 'Ascon', 'enum'),
    (('devices', 'patch', 'streams', 'vitals', 'by_hour'), [1] * 23, 'minItems'),
    (('devices', 'patch', 'per_bed'), 0, 'none of'), (('learning',), {'rounds': 0}, 'none of'),
    (('wards', 'ward', 'beds'), True, 'no integer'), (('wards', 'annex'), {}, 'missing')])
def test_printed_schema_refuses_a_mistake(keys: tuple[str, ...], value: object, problem: str,
                                          schema: dict[str, Any]) -> None:
    """One wrong value in the clinic is a problem, so that an editor shows it before a run does."""
    data = copy.deepcopy(plain(CLINIC))
    node = data
    for key in keys[:-1]:
        node = node[key]
    node[keys[-1]] = value
    found = list(problems(data, schema, schema))
    assert found
    assert all(keys[0] in text for text in found)
    assert any(problem in text for text in found), found


@pytest.mark.parametrize(('override', 'read', 'value'), [
    ('crypto.prefetch=4', lambda s: s.crypto.prefetch, 4),
    ('edge.k3s_cores=0.5', lambda s: s.edge.k3s_cores, 0.5),
    ('edge.k3s_cores=0', lambda s: s.edge.k3s_cores, 0.0),
    ('crypto.sign_updates=true', lambda s: s.crypto.sign_updates, True),
    ('crypto.aead=none', lambda s: s.crypto.aead, 'none'),
    ('duration=1 min', lambda s: s.duration, 60.0),
    ("starts_at='13:30'", lambda s: s.starts_at, 48_600.0),
    ('starts_at=13:30', lambda s: s.starts_at, 48_600.0),
    ('learning.clients=[pump, monitor]', lambda s: s.learning.clients, ('pump', 'monitor')),
    ('learning.clients.0=pump', lambda s: s.learning.clients, ('pump',)),
    ('learning=null', lambda s: s.learning, None),
    ('wiring.core={rate: 1 Mbit/s, latency: 0 s}', lambda s: (s.wiring.core.rate, s.wiring.core.latency), (1e6, 0.0)),
    ('description=a=b', lambda s: s.description, 'a=b'),
    ("description=''", lambda s: s.description, ''),
])
def test_override_has_the_type_that_yaml_gives_it(override: str, read: Any, value: object) -> None:
    """Whole numbers, fractions, truths, texts, quantities, lists, mappings and nothing; the rest stays as it was."""
    scenario = scenario_of(override)
    assert read(scenario) == value
    assert type(read(scenario)) is type(value)


def test_override_makes_the_section_that_is_not_there() -> None:
    """A backup line, of which the clinic has none, is given by two overrides; the later of two for one key holds."""
    scenario = scenario_of('wiring.backup.rate=1 Mbit/s', 'wiring.backup.latency=1 ms', 'wiring.backup.rate=2 Mbit/s')
    assert scenario.wiring.backup is not None
    assert (scenario.wiring.backup.rate, scenario.wiring.backup.latency) == (2e6, 1e-3)


@pytest.mark.parametrize('name', shipped_scenarios())
def test_shipped_scenario_is_found_by_name_and_by_path_from_anywhere(
        name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways give the same scenario in another working directory; by its name, lines are told in scenarios/."""
    monkeypatch.chdir(tmp_path)
    by_name, origin = load(name)
    assert by_name == load(SHIPPED / f'{name}.yaml')[0]
    assert by_name.name == name, 'a scenario is called as its file'
    assert origin.where(('name',)).startswith(f'scenarios/{name}.yaml:')


def test_listed_arrivals_happen_when_the_file_says(tmp_path: Path) -> None:
    """Rows of a CSV file are launches at exactly these times, and may stand in the scenario itself."""
    rows = {(3, 0): 12.25, (0, 0): 1.1, (0, 1): 5.0, (2, 0): 5.0}
    (tmp_path / 'alarms.csv').write_text(
        'device,time_s\n' + ''.join(f'{device},{time_s}\n' for (device, _), time_s in rows.items()))
    path = tmp_path / 'clinic.yaml'
    path.write_text(edited(TAG_PERIOD, 'vitals: {flow: vitals, arrivals: alarms.csv, payload: 32 B}'))
    scenario, origin = load(path)
    assert scenario.devices['tag'].streams['vitals'].arrivals == tuple((device, t) for (device, _), t in rows.items())
    launched = {(index, k): found[0] for (class_, index, _, k), found
                in by_address(run_model(lower(scenario, origin))).items() if class_ == 'tag'}
    assert launched == rows
    path.write_text(resolved_yaml(scenario))
    (tmp_path / 'alarms.csv').unlink()
    assert load(path)[0] == scenario


def test_paths_begin_at_the_folder_of_the_scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile beside the scenario, read from another folder; one of a shipped name is the shipped one."""
    (tmp_path / 'a').mkdir()
    (tmp_path / 'b').mkdir()
    contents = load_profile('raspberry-pi-4').contents.decode()
    for name in ('raspberry-pi-4', 'my-pi'):
        (tmp_path / 'a' / f'{name}.yaml').write_text(
            contents.replace('name: raspberry-pi-4', f'name: {name}') + '# mine\n')
    (tmp_path / 'a' / 'clinic.yaml').write_text(TEXT)
    monkeypatch.chdir(tmp_path / 'b')
    scenario, origin = load('../a/clinic.yaml', ['edge.server.profile=my-pi.yaml'])
    used = profiles_of(scenario, origin)
    assert used[scenario.edge.server.profile].name == 'my-pi'
    assert used['raspberry-pi-4'].sha256 == load_profile('raspberry-pi-4').sha256
    monkeypatch.chdir(tmp_path)
    assert lower(scenario, origin).stations.n
    assert load('a/clinic.yaml', ['edge.server.profile=my-pi.yaml'])[0] == scenario


def test_lists_stand_on_one_line_each() -> None:
    """A stream's hours are one line of the resolved form, as are its clients; a long description is not folded."""
    lines = resolved_yaml(scenario_of(f'description={"very long " * 50}')).splitlines()
    hours = [line for line in lines if 'by_hour' in line]
    assert all(line.endswith(', 1.0]') for line in hours)
    assert not [line for line in lines if line.lstrip().startswith('- ')]
    assert max(map(len, lines)) > 500


def test_defaults_of_the_printed_schema_are_what_it_allows(schema: dict[str, Any]) -> None:
    """An editor fills in what the schema says: a time with its unit, not a number that is refused."""
    n_defaults = 0
    for part in (schema, *schema['$defs'].values()):
        for key, content in part['properties'].items():
            if 'default' in content:
                n_defaults += 1
                assert list(problems(content['default'], content, schema)) == [], key
    assert n_defaults > 20
