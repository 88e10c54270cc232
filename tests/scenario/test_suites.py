"""Suites: a name says the primitives, overrides are plain, and every claim and every table is what the code says."""

import re
from pathlib import Path

import pytest

from analysis.words import security_said
from sim.errors import InputError
from sim.flows import FLOWS, FRESH_KEY, Stage
from sim.loading import load, shipped_scenarios
from sim.profiles import ROOT, load_profile, shipped_profiles
from sim.resolving import resolved_yaml
from sim.results.summary import summarise
from sim.running import prepare, run_model
from sim.security import claims
from sim.suites import DEFAULT, KEM_CATEGORY, PARTS, SIGNATURE_CATEGORY, SUITES, variant
from tests.results.runs import hash_of
from tests.scenario.clinic import CLINIC, model_of, scenario_of

SHORT = ('duration=20 s', 'warm_up=2 s', 'drain=20 s', 'wards.general.count=2', 'devices.asset-tag.count=50',
         'devices.glucose-meter.count=50', 'learning.start=3 s', 'learning.rounds=1', 'learning.fraction=0.2')
ON_X86 = ('edge.nodes.edge-1.profile=x86-server', 'edge.nodes.edge-2.profile=x86-server',
          'devices.monitor.profile=x86-server')
SHORT_MODEL = ('learning.model=4 KiB', 'learning.update=4 KiB')  # in Python, 1 MB takes a Raspberry Pi 4 too long


def choice(*overrides: str) -> tuple[str | None, ...]:
    """Return the suite of the clinic with overrides, and its parts."""
    crypto = scenario_of(*overrides).crypto
    return crypto.suite, *(getattr(crypto, part) for part in PARTS)


def parts(name: str) -> tuple[str, ...]:
    """Return the parts of a suite."""
    return tuple(getattr(SUITES[name], part) for part in PARTS)


# -- what a name says -----------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', SUITES)
def test_asked_for_a_suite_the_file_s_primitives_are_put_aside(name: str) -> None:
    """The clinic names its AEAD; `--set crypto.suite` gives all parts of the suite and none of the file's."""
    assert choice(f'crypto.suite={name}') == (name, *parts(name))


@pytest.mark.parametrize('overrides', [('crypto.aead=AES-128-GCM', 'crypto.suite=pqc-1024'),
                                       ('crypto.suite=pqc-1024', 'crypto.aead=AES-128-GCM')])
def test_primitive_that_is_asked_for_counts_for_more_than_its_suite(overrides: tuple[str, str]) -> None:
    """Both asked for, in either order: the primitive holds, the suite gives the rest, and its name is not borne."""
    assert choice(*overrides) == (None, 'ML-KEM-1024', 'AES-128-GCM', 'ML-DSA-65', 'native')


def test_what_is_unsaid_is_the_default_suite_s() -> None:
    """Of the clinic only the AEAD is said, that of the default suite: so it is the default suite."""
    assert choice() == (DEFAULT, *parts(DEFAULT))


def test_primitives_that_are_a_suite_s_bear_its_name() -> None:
    """All four parts of a suite, named one by one, are the same experiment as the suite by its name."""
    named = [f'crypto.{part}={value}' for part, value in zip(PARTS, parts('classical'), strict=True)]
    assert scenario_of(*named).crypto.suite == 'classical'
    assert hash_of(CLINIC, named) == hash_of(CLINIC, ['crypto.suite=classical'])


@pytest.mark.parametrize(
    'override', ['crypto.suite=classical', 'crypto.aead=none', 'crypto.implementation=interpreted'])
def test_resolved_choice_stays_what_it_is(override: str, tmp_path: Path) -> None:
    """The resolved form says the suite and all parts; read again it is the same, and another suite replaces it."""
    scenario = scenario_of(override)
    file = tmp_path / 'again.yaml'
    file.write_text(resolved_yaml(scenario))
    assert all(f'\n  {key}: ' in file.read_text() for key in ('suite', *PARTS))
    assert load(file)[0] == scenario
    assert load(file, ['crypto.suite=hybrid'])[0].crypto == scenario_of('crypto.suite=hybrid').crypto


@pytest.mark.parametrize(('override', 'told'), [
    ('crypto.suite=pqc', ("--set crypto.suite: found 'pqc'", "'classical'", "'pqc-1024'")),
    ('crypto.suite=[pqc-768]', ('--set crypto.suite: found a list',)),
    ('crypto.suite=null', ('crypto: suite is null and kem, signature, implementation unsaid', 'name one of classical')),
    ('crypto.kem=RSA-2048-OAEP', ("--set crypto.kem: found 'RSA-2048-OAEP'",)),
    ('crypto.implementation=fast', ("--set crypto.implementation: found 'fast'",)),
])
def test_choice_that_there_is_not_is_told_in_one_line(override: str, told: tuple[str, ...]) -> None:
    """Unknown suites and parts, and null for a suite where parts are unsaid: one line that says what there is."""
    with pytest.raises(InputError) as caught:
        scenario_of(override)
    assert '\n' not in str(caught.value)
    assert all(text in str(caught.value) for text in told), caught.value


@pytest.mark.parametrize('name', shipped_scenarios())
def test_every_shipped_scenario_names_a_suite(name: str) -> None:
    """Its file names no primitive beside it, so that what the suite says can be read there."""
    text = re.search(r'^crypto:.*\n((?:  .*\n)+)', (ROOT / 'scenarios' / f'{name}.yaml').read_text(), re.MULTILINE)[1]
    assert re.search(r'^  suite: \S', text, re.MULTILINE)
    assert not re.search(rf'^  ({"|".join(PARTS)}):', text, re.MULTILINE)


# -- what it does ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', SUITES)
def test_every_suite_runs_on_the_teaching_hospital(name: str) -> None:
    """A part of it for twenty seconds: telemetry and updates arrive, and cryptography takes some of their time."""
    lowered = prepare(*load('teaching-hospital', [*SHORT, *SHORT_MODEL, f'crypto.suite={name}']))
    summary = summarise(run_model(lowered.model, engine='compiled', trace='none'))
    delivered = {row['flow']: row['mean'] for row in summary if row['metric'] == 'delivered'}
    assert delivered['vitals'] > 100
    assert delivered['fl-update'] > 0
    [share] = [row['mean'] for row in summary if (row['metric'], row['flow']) == ('crypto_latency_share', 'fl-update')]
    assert share > 0


def test_interpreted_suite_is_refused_where_nobody_can_say_what_it_takes() -> None:
    """A Raspberry Pi 3 runs Python, and no number says how fast: told are node, number, who has and who needs it."""
    with pytest.raises(InputError) as caught:
        prepare(*load('teaching-hospital', [*SHORT, 'crypto.suite=interpreted',
                                            'edge.nodes.edge-1.profile=raspberry-pi-3']))
    message = str(caught.value)
    assert re.match(r'--set edge\.nodes\.edge-1\.profile: profile raspberry-pi-3: '
                    r'found no cost for aead\.\w+ Ascon-128 \(interpreted\); expected a number with a source; '
                    r'use raspberry-pi-4 or x86-server, .*; devices\.[\w.-]+ needs it$', message)
    assert '\n' not in message


def test_interpreted_cipher_is_python_s_where_that_runs_and_native_elsewhere() -> None:
    """Where a worker runs Python it opens by the interpreted curve; a patch, which does not, seals by the native."""
    curves = model_of(*ON_X86, 'crypto.suite=interpreted').curves
    found = {tuple(curves.seconds[first:first + n]) for first, n in zip(curves.first, curves.n, strict=True)}
    server, patch = load_profile('x86-server'), load_profile('cortex-m4-wearable')
    assert server.cost('aead.open', 'Ascon-128 (interpreted)').seconds in found
    assert patch.cost('aead.seal', 'Ascon-128').seconds in found


# -- what it claims -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(('overrides', 'keys', 'signatures'), [
    (('crypto.suite=classical',), 'no category, a quantum computer breaks X25519', 'ECDSA-P256 is not used'),
    (('crypto.suite=classical', 'crypto.sign_updates=true'), 'no category, a quantum computer breaks X25519',
     'no category, a quantum computer breaks ECDSA-P256'),
    (('crypto.suite=pqc-512', 'crypto.sign_updates=true'), 'NIST category 1', 'NIST category 2'),
    (('crypto.suite=pqc-768', 'crypto.sign_updates=true'), 'NIST category 3', 'NIST category 3'),
    (('crypto.suite=pqc-1024', 'crypto.sign_updates=true'), 'NIST category 5', 'NIST category 3'),
    (('crypto.suite=hybrid',), 'NIST category 3', 'ML-DSA-65 is not used'),
    (('crypto.suite=hybrid', 'crypto.learning_keys=established'), 'X25519MLKEM768 is not used',
     'ML-DSA-65 is not used'),
    (('crypto.suite=classical', 'crypto.sign_updates=true', 'learning=null'), 'X25519 is not used',
     'ECDSA-P256 is not used'),
])
def test_categories_are_said_of_what_is_used(overrides: tuple[str, ...], keys: str, signatures: str) -> None:
    """Of FIPS 203 section 8 and FIPS 204 table 1; a KEM or a signature that is in no flow protects nothing."""
    said = dict(security_said(claims(scenario_of(*overrides))))
    assert (said['Keys'], said['Signatures']) == (keys, signatures)


@pytest.mark.parametrize(('overrides', 'said'), [
    ((), 'none'), (('crypto.suite=classical',), 'classical (X25519, AES-128-GCM, ECDSA-P256)'),
    (('crypto.suite=interpreted',), 'interpreted (ML-KEM-768, Ascon-128 interpreted, ML-DSA-65)'),
    (('crypto.aead=none',), 'none of the shipped ones (ML-KEM-768, none, ML-DSA-65)'),
])
def test_suite_is_said_with_its_primitives(overrides: tuple[str, ...], said: str) -> None:
    """A name is said for a suite only; interpreted is said of the AEAD that is."""
    expected = f'{DEFAULT} (ML-KEM-768, Ascon-AEAD128, ML-DSA-65)' if not overrides else said
    assert dict(security_said(claims(scenario_of(*overrides))))['Suite'] == expected


FRESH = 'yes, session keys are agreed on with fresh key pairs'
STAYS = '; no for learning, its fresh keys go to key pairs that stay'
ESTABLISHED = 'crypto.learning_keys=established'
PRE_SHARED = tuple(f'devices.{name}.trust=pre-shared' for name in ('patch', 'tag', 'pump'))


@pytest.mark.parametrize(('overrides', 'said'), [
    ((ESTABLISHED,), 'no, keys are there from the start'),
    (('crypto.learning_keys=group',), 'no, keys are there from the start'),
    (('learning=null',), 'no, keys are there from the start'),
    (('crypto.aead=none',), 'no, nothing is encrypted'),
    ((), f'no, keys are there from the start{STAYS}'),
    (('keys={}', 'devices.tag.trust=signed', ESTABLISHED), FRESH),
    (('keys={}', 'devices.tag.trust=pre-shared-kem', ESTABLISHED), FRESH),
    (('keys={}', 'devices.tag.trust=signed'), f'{FRESH}{STAYS}'),
    (('keys={}', *PRE_SHARED, ESTABLISHED),
     ('yes for monitor, scanner, session keys are agreed on with fresh key pairs; '
      'no for patch, tag, pump, session keys come of pre-shared keys')),
    (('keys={}', *PRE_SHARED, 'devices.monitor.trust=pre-shared', 'devices.scanner.trust=pre-shared', ESTABLISHED),
     'no, session keys come of pre-shared keys'),
])
def test_forward_secrecy_is_claimed_of_fresh_key_pairs_only(overrides: tuple[str, ...], said: str) -> None:
    """Neither of keys that are there, nor of those under pre-shared ones or encapsulated to key pairs that stay."""
    assert claims(scenario_of(*overrides))['forward_secrecy'] == said


@pytest.mark.parametrize(('trust', 'more', 'keys', 'signatures'), [
    ('signed', (), 3, 3), ('pre-shared-kem', (), 3, None), ('pre-shared', (), None, None),
    ('pre-shared', ('keys.revocations=[{devices: tag, at: 5 s}]',), None, 3)])
def test_life_of_keys_uses_what_its_trust_needs(
        trust: str, more: tuple[str, ...], keys: int | None, signatures: int | None) -> None:
    """Certificates are signed, and so are revocations; a KEM is used unless keys come of pre-shared ones."""
    trusts = [f'devices.{name}.trust={trust}' for name in scenario_of().devices]
    found = claims(scenario_of('keys={}', *trusts, ESTABLISHED, *more))
    assert (found['key_category'], found['signature_category']) == (keys, signatures)


def test_forward_secrecy_follows_the_table_of_flows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were clients to make a key pair for each round, learning would have it, and telemetry would still not."""
    changed = {**FLOWS, 'fl-update': (Stage('device', 'kem.keygen', when=FRESH_KEY), *FLOWS['fl-update'])}
    monkeypatch.setattr('sim.security.FLOWS', changed)
    assert claims(scenario_of())['forward_secrecy'] == (
        'no, keys are there from the start; yes for learning, each of its keys goes to a fresh key pair')


# -- the table of docs/suites.md ------------------------------------------------------------------------------


def runners(name: str, *stages: str) -> list[str]:
    """Return the shipped profiles that have the numbers of a suite for stages."""
    suite = SUITES[name]
    found = []
    for profile in map(load_profile, shipped_profiles()):
        aead = variant(suite.aead, suite.implementation if profile.runs_python else 'native')
        names = {'aead': aead, 'kem': suite.kem, 'sig': suite.signature}
        if all((stage, names[stage.split('.')[0]]) in profile.costs for stage in stages):
            found.append(profile.name)
    return found


TELEMETRY = ('aead.seal', 'aead.open')
LEARNING = (*TELEMETRY, 'kem.encaps', 'kem.decaps', 'sig.sign', 'sig.verify')
KEY_LIFE = (*LEARNING, 'kem.keygen', 'sig.keygen')


def test_the_documented_table_is_what_the_code_says() -> None:
    """Every row of both tables of docs/suites.md, made anew from the suites and the shipped profiles."""
    expected = []
    for name, suite in SUITES.items():
        expected.append(f'| `{name}` | {suite.kem} | {suite.aead} | {suite.signature} | {suite.implementation} '
                        f'| {KEM_CATEGORY[suite.kem] or "none"} | {SIGNATURE_CATEGORY[suite.signature] or "none"} |')
        columns = (', '.join(runners(name, *stages)) for stages in (TELEMETRY, LEARNING, KEY_LIFE))
        expected.append(f'| `{name}` | {" | ".join(columns)} |')
    text = (ROOT / 'docs' / 'suites.md').read_text()
    assert sorted(re.findall(r'^\| `.*', text, re.MULTILINE)) == sorted(expected)
