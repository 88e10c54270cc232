"""Suites and providers: every name is bound to what it says, and one provider does the post-quantum work of a run."""

import subprocess
import sys

import pytest

from hil.crypto.interfaces import Kem, Signature
from hil.crypto.providers import NAMES, Provider, choose
from hil.crypto.sealing import LIMITS, Direction, OpeningKey, SealingKey
from hil.crypto.suites import bind, kem, signature, warm_up
from sim.errors import InputError
from sim.suites import KEM_CATEGORY, SIGNATURE_CATEGORY, SUITES
from sim.wire import AEAD_BYTES, AEAD_NONCE_BYTES, KEM_CIPHERTEXT_BYTES, SIGNATURE_BYTES

POST_QUANTUM = ('ML-KEM-512', 'ML-KEM-768', 'ML-KEM-1024', 'X25519MLKEM768')


@pytest.mark.parametrize('name', SUITES)
def test_each_suite_carries_a_message(name: str) -> None:
    """A key agreed on and signed, a message sealed under it and opened: with each suite as it is bound."""
    if name == 'interpreted':
        pytest.importorskip('ascon', reason='the extra with the legacy cipher is not installed')
    suite = bind(name, choose('pqcrypto'))
    pair, identity = suite.kem.generate(), suite.signature.generate()
    sent = suite.kem.encapsulate(pair.public)
    signed = suite.signature.sign(identity.private, sent.ciphertext)
    suite.signature.verify(identity.public, sent.ciphertext, signed)
    device = SealingKey(suite.aead, sent.secret, Direction.UP, 'pump-1')
    hospital = OpeningKey(suite.aead, suite.kem.decapsulate(pair.private, sent.ciphertext), Direction.UP, 'pump-1')
    assert hospital.open(device.seal(b'pressure', b'job 1'), b'job 1').plaintext == b'pressure'


@pytest.mark.parametrize('name', SUITES)
def test_each_suite_is_bound_to_what_it_names(name: str) -> None:
    """The primitives of a bound suite have the table's names, and the AEAD is interpreted where it says so."""
    if name == 'interpreted':
        pytest.importorskip('ascon', reason='the extra with the legacy cipher is not installed')
    bound = bind(name, choose('pqcrypto'))
    assert (bound.kem.name, bound.aead.name, bound.signature.name) == (
        SUITES[name].kem, SUITES[name].aead, SUITES[name].signature)
    assert (bound.aead.implementation in {'python', 'ascon'}) == (SUITES[name].implementation == 'interpreted')


def test_the_tables_name_the_same_primitives() -> None:
    """Claims, bytes on the wire and limits: whatever a suite names is in all of them."""
    assert set(KEM_CATEGORY) == set(KEM_CIPHERTEXT_BYTES)
    assert set(SIGNATURE_CATEGORY) == set(SIGNATURE_BYTES)
    for suite in SUITES.values():
        assert suite.kem in KEM_CIPHERTEXT_BYTES
        assert suite.aead in AEAD_BYTES
        assert suite.aead in LIMITS
        assert suite.signature in SIGNATURE_BYTES
    assert set(LIMITS) == set(AEAD_NONCE_BYTES) - {'AES-256-GCM'}


@pytest.mark.parametrize(('name', 'categories'), [
    ('classical', (0, 0)), ('pqc-512', (1, 2)), ('pqc-768', (3, 3)), ('pqc-1024', (5, 3)), ('hybrid', (3, 3)),
    ('interpreted', (3, 3))])
def test_each_suite_claims_what_its_primitives_claim(name: str, categories: tuple[int, int]) -> None:
    """The categories of FIPS 203 section 8 and FIPS 204 table 1; none for what a quantum computer breaks."""
    assert (KEM_CATEGORY[SUITES[name].kem], SIGNATURE_CATEGORY[SUITES[name].signature]) == categories


def test_one_provider_does_all_the_post_quantum_work(provider: Provider) -> None:
    """Each KEM of ML-KEM that a provider gives, hybrid or not, names it; what it lacks is an error, not another's."""
    for name in POST_QUANTUM:
        if name in provider.kems or name == 'X25519MLKEM768':
            found: Kem = kem(name, provider)
            assert found.provider == provider.name
        else:
            with pytest.raises(InputError, match=f"has no KEM '{name}'; it has ML-KEM-768"):
                kem(name, provider)


def test_signatures_are_never_done_by_pqcrypto(provider: Provider) -> None:
    """ML-DSA comes from liboqs where that is the provider, and else from cryptography; ECDSA always does."""
    found: list[Signature] = [signature(name, provider) for name in ('ML-DSA-44', 'ML-DSA-65')]
    assert {each.provider for each in found} == {'liboqs' if provider.name == 'liboqs' else 'cryptography'}
    assert signature('ECDSA-P256', provider).provider == 'cryptography'


def test_a_provider_says_what_it_is_and_why(provider: Provider) -> None:
    """The description names library, version and reason, and has no key in it."""
    said = provider.describe()
    assert said['kem_provider'] == f'{provider.name} {provider.version}'
    assert said['kem_provider_reason'] == 'asked for by name'
    assert said['signature_provider'].split()[0] in {'cryptography', 'liboqs'}
    assert said['classical_provider'].startswith('cryptography ')


def test_by_itself_a_provider_with_all_levels_is_chosen() -> None:
    """Liboqs or pqcrypto, with the reason; never the one that lacks a level."""
    chosen = choose()
    assert chosen.name in {'liboqs', 'pqcrypto'}
    assert len(chosen.kems) == 3
    assert chosen.reason.startswith('no liboqs: ' if chosen.name == 'pqcrypto' else 'it is installed')


def test_what_there_is_not_is_told() -> None:
    """Unknown providers, suites, KEMs and signatures: an error of input that lists what there is."""
    with pytest.raises(InputError, match=f"there is no provider 'openssl'; expected one of {', '.join(NAMES)}"):
        choose('openssl')
    with pytest.raises(InputError, match="there is no suite 'pqc'; expected one of classical, pqc-512"):
        bind('pqc', choose('pqcrypto'))
    with pytest.raises(InputError, match='ML-KEM-512'):
        bind('pqc-512', choose('cryptography'))
    with pytest.raises(InputError, match="no signature 'Ed25519'; it has ML-DSA-44, ML-DSA-65"):
        signature('Ed25519', choose('pqcrypto'))


def test_the_table_needs_no_cryptography() -> None:
    """The simulator reads the suites without importing a single package of others."""
    code = "import sys, sim.suites; print(sorted({'cryptography', 'numpy', 'pydantic'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == '[]'


@pytest.mark.parametrize('suite', [name for name in SUITES if name != 'interpreted'])
def test_every_native_suite_warms_up(suite: str) -> None:
    """Each primitive is used once, with no message in sight."""
    warm_up(bind(suite, choose('pqcrypto')))
