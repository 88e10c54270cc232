"""The life of keys in a scenario: exchanges, bytes and refusals that can be counted by hand."""

import math

import polars as pl
import pytest

from analysis.sheets import cause_sheet, key_sheet, rows_of
from sim import wire
from sim.flows import FLOWS, KEY_FLOWS
from sim.key_life import key_messages
from sim.results.recording import Recording
from sim.results.summary import summarise
from sim.results.tables import jobs, keys
from sim.running import run_model
from tests.scenario.clinic import model_of, scenario_of
from tests.scenario.key_effects import KEYS

TRUST: dict[str, wire.Trust] = {'patch': 'signed', 'tag': 'pre-shared', 'pump': 'pre-shared-kem', 'monitor': 'signed',
                                'scanner': 'signed'}
PLACES = 3  # two workers and the server


def lived(*overrides: str) -> Recording:
    """Run the clinic with keys."""
    return run_model(model_of(*KEYS, 'keys.rotation.every=10 s', *overrides))


@pytest.fixture(scope='module')
def recording() -> Recording:
    """Return the clinic with keys that are replaced every ten seconds."""
    return lived()


def test_number_of_exchanges_follows_from_the_ages(recording: Recording) -> None:
    """Every device has its first new key within 10 s, and the next one 10 s after that was in use, until 20 s."""
    table = keys(recording)
    first = table.filter(epoch=0)
    assert first.height == recording.model.keys.devices.size == 22
    assert first['due_s'].is_between(0.0, 10.0, closed='left').all()
    again = first.filter(pl.col('ended_s') + 10.0 < 20.0).height
    assert table.height == 22 + again + table.filter(epoch=2).height
    assert table.filter(epoch=1).height == again
    launched = jobs(recording).group_by('flow').len()
    done = table['ended_s'].is_not_nan().sum()
    n = dict(launched.iter_rows())
    assert n['rekey'] == table['attempts'].sum()
    assert done * PLACES <= n['key-record'] <= n['rekey'] * PLACES
    assert done <= n['key-activate'] <= n['key-record'] / PLACES


@pytest.mark.parametrize('name', TRUST)
def test_bytes_of_an_exchange_are_those_of_its_messages(name: str, recording: Recording) -> None:
    """A rekey puts request, answer and confirmation on the wire, each with AMQP and TLS; all of it is cryptography."""
    messages = key_messages(scenario_of().crypto, TRUST[name])
    n_bytes = sum(messages[part] + wire.messaging_bytes(messages[part])
                  for part in ('rekey-request', 'rekey-answer', 'rekey-confirm'))
    mine = jobs(recording).filter(pl.col('flow') == 'rekey', pl.col('class') == name)
    assert mine.height > 0
    assert mine['wire_bytes'].unique().to_list() == [n_bytes]
    rekey = recording.model.flows.index('rekey')
    assert recording.crypto_bytes[rekey] == recording.wire_bytes[rekey] > 0


def test_exposure_lasts_from_the_revocation_to_the_last_place() -> None:
    """A monitor revoked at 5 s: exposed until the last of three notices is verified; what ends later is refused."""
    recording = lived('keys.revocations=[{devices: monitor, index: 2, at: 5 s}]')
    table = jobs(recording)
    [row] = keys(recording).filter(event='revocation').iter_rows(named=True)
    notices = table.filter(pl.col('flow') == 'revoke-notice')
    assert notices.height == PLACES
    assert (row['class'], row['device'], row['due_s']) == ('monitor', 2, 5.0)
    assert row['ended_s'] == notices['finished_s'].max()
    mine = table.filter(pl.col('class') == 'monitor', pl.col('device') == 2, pl.col('flow') == 'vitals')
    late = mine.filter(pl.col('finished_s') > row['ended_s'])
    assert late.height > 10
    assert late['outcome'].unique().to_list() == ['rejected']
    assert mine.filter(pl.col('finished_s') < 5.0)['outcome'].unique().to_list() == ['delivered']
    others = table.filter(pl.col('class') == 'monitor', pl.col('device') != 2, pl.col('flow') == 'vitals')
    assert others['outcome'].unique().to_list() == ['delivered']


def test_notice_grows_with_those_it_names() -> None:
    """Notices of one patch and of all eight differ by seven names; each is signed once, and told to three places."""
    sizes = []
    for index, n_revoked in (('index: 0, ', 1), ('', 8)):
        recording = lived(f'keys.revocations=[{{devices: patch, {index}at: 5 s}}]')
        n = dict(jobs(recording).group_by('flow').len().iter_rows())
        assert (n['revoke'], n['revoke-notice']) == (1, PLACES)
        assert keys(recording).filter(event='revocation').height == n_revoked
        sizes.append(jobs(recording).filter(pl.col('flow') == 'revoke-notice')['wire_bytes'][0])
    assert sizes[1] - sizes[0] == 7 * wire.SUBJECT_BYTES


def test_group_key_leaves_sealing_to_the_server() -> None:
    """Under a group key workers seal no model and only the server does; a revoked client costs all others a new key."""
    group = ('crypto.learning_keys=group', 'keys.rotation.every=1000 s', 'keys.expiry=2000 s')
    recording = lived(*group, 'keys.revocations=[{devices: monitor, index: 2, at: 15 s}]')
    model = recording.model
    seals = model.stages.index('aead.seal')
    route = model.routes.hop_first[model.route_of[model.streams.index('fl-update'), 0, 3, 0]]
    n_hops = model.routes.n_hops[model.route_of[model.streams.index('fl-update'), 0, 3, 0]]
    places = model.hops.place[route:route + n_hops][model.hops.stage[route:route + n_hops] == seals]
    assert [model.places[place] for place in places] == ['device']
    renewed = jobs(recording).filter(pl.col('flow') == 'group-key')
    assert sorted(renewed['device']) == [0, 1, 3, 4]
    [row] = keys(recording).filter(event='group').iter_rows(named=True)
    assert (row['class'], row['device']) == (None, None)
    told = jobs(recording).filter(pl.col('flow') == 'key-record', pl.col('launched_s') == renewed['finished_s'].max())
    assert told.height == PLACES
    assert row['ended_s'] == told['finished_s'].max()


def test_clients_take_new_keys_after_rounds_of_learning() -> None:
    """Two rounds of five monitors, new keys after each second one: five exchanges, due when that round is over."""
    recording = lived('keys.rotation.every=1000 s', 'keys.expiry=2000 s', 'keys.rotation.rounds=2')
    table = keys(recording).filter(cause='rounds')
    assert table['class'].to_list() == ['monitor'] * 5
    assert table['due_s'].unique().to_list() == [recording.rounds[1].aggregated_s]


def test_people_see_what_happened_to_keys_and_what_computed_for_it(recording: Recording) -> None:
    """The sheet of keys counts what the table has after the warm-up; shares of what is computed are of all of it."""
    rows = rows_of(summarise(recording))
    due = keys(recording).filter(pl.col('due_s') >= 2.0)
    [line] = key_sheet(rows).rows
    done = due.filter(pl.col('ended_s').is_not_nan())
    assert [line[column].value for column in (1, 2)] == [due.height, done.height]
    assert line[3].value == pytest.approx(done['time_s'].mean(), rel=1e-12)
    causes = {cells[0].text: [each.value or 0.0 for each in cells[1:]] for cells in cause_sheet(rows).rows}
    assert {'vitals', 'fl-update', 'rekey'} <= causes.keys()
    total_s = sum(sum(values[:3]) for values in causes.values())
    for values in causes.values():
        assert values[3] == pytest.approx(sum(values[:3]) / total_s, rel=1e-12)
    crypto = [stage for stage, name in enumerate(recording.model.stages) if name.startswith(('kem.', 'aead.', 'sig.'))]
    assert total_s == pytest.approx(recording.stage_s[:, crypto].sum(), rel=1e-12)


def test_keys_that_are_not_asked_for_are_not_there() -> None:
    """Without the part `keys` no flow of key life is in the model, and nothing launches one."""
    recording = run_model(model_of())
    assert not set(KEY_FLOWS) & set(recording.model.flows)
    assert recording.keys == []


def test_every_flow_of_key_life_is_a_row_of_the_table() -> None:
    """All flows that the key authority launches are in the table, and every message they send has a size."""
    messages = {*key_messages(scenario_of().crypto, 'signed'), 'revoke-notice'}
    sent = {stage.amount for flow in KEY_FLOWS for stage in FLOWS[flow] if stage.place == 'network'}
    assert sent == messages
    assert all(math.isfinite(size) for size in key_messages(scenario_of().crypto, 'pre-shared').values())
