"""ML-KEM by every provider: published cases, and every provider with every other one."""

import secrets

import pytest

from hil.crypto.errors import CryptoError
from hil.crypto.interfaces import Kem
from hil.crypto.mlkem import CryptographyMlKem
from hil.crypto.providers import NAMES, Provider, choose
from sim.errors import InputError
from tests.crypto import fips203
from tests.crypto.constants import MLKEM_512
from tests.crypto.vectors import needs_vectors, wycheproof

LEVELS = pytest.mark.parametrize('level', ['ML-KEM-512', 'ML-KEM-768', 'ML-KEM-1024'])


def level_of(provider: Provider, level: str) -> Kem:
    """Return one level, or skip the test of one that the provider has not."""
    if level not in provider.kems:
        pytest.skip(f'{provider.name} has no {level}')
    return provider.kems[level]


def private_key(kem: Kem, seed: bytes) -> object:
    """Return the private key of a seed in a provider's form; refused if the seed has another length."""
    if isinstance(kem, CryptographyMlKem):
        try:
            return kem.own.from_seed_bytes(seed)
        except ValueError as error:
            raise CryptoError(str(error)) from error
    return fips203.keygen(kem.name, seed)[1] if len(seed) == 64 else seed  # the others take no seed


def decapsulated(kem: Kem, seed: str, ciphertext: str) -> str | None:
    """Return the secret of a case, or None if key or ciphertext is refused."""
    try:
        return kem.decapsulate(private_key(kem, bytes.fromhex(seed)), bytes.fromhex(ciphertext)).hex()
    except CryptoError:
        return None


def is_taken(kem: Kem, public: str) -> bool:
    """Return whether a public key is encapsulated to."""
    try:
        kem.encapsulate(bytes.fromhex(public))
    except CryptoError:
        return False
    return True


@needs_vectors
@LEVELS
def test_the_plain_form_gives_every_published_answer(level: str) -> None:
    """The tests' own ML-KEM: public key, ciphertext and secret of each valid case; each invalid public key refused."""
    number = level.removeprefix('ML-KEM-')
    for case in wycheproof(f'mlkem_{number}_encaps_test.json'):
        public, is_valid = bytes.fromhex(case['ek']), case['result'] == 'valid'
        assert fips203.is_public_key(level, public) == is_valid, case['tcId']
        if is_valid:
            ciphertext, secret = fips203.encapsulate(level, public, bytes.fromhex(case['m']))
            assert (ciphertext.hex(), secret.hex()) == (case['c'], case['K']), case['tcId']
    for case in wycheproof(f'mlkem_{number}_test.json'):
        if case['result'] == 'valid':
            public, private = fips203.keygen(level, bytes.fromhex(case['seed']))
            assert public.hex() == case['ek'], case['tcId']
            assert fips203.decapsulate(level, private, bytes.fromhex(case['c'])).hex() == case['K'], case['tcId']


@needs_vectors
@LEVELS
def test_every_published_decapsulation(provider: Provider, level: str) -> None:
    """Wycheproof: the secret of each valid case, changed ciphertexts among them; each invalid case refused."""
    kem, cases = level_of(provider, level), wycheproof(f'mlkem_{level.removeprefix("ML-KEM-")}_test.json')
    for case in cases:
        expected = case['K'] if case['result'] == 'valid' else None
        assert decapsulated(kem, case['seed'], case['c']) == expected, case['tcId']
    assert sum(case['result'] == 'valid' for case in cases) == 153
    assert len(cases) == 193


@needs_vectors
@LEVELS
def test_every_published_public_key(provider: Provider, level: str) -> None:
    """Wycheproof: each valid public key is encapsulated to; each that is not reduced, short or long is refused."""
    kem, cases = level_of(provider, level), wycheproof(f'mlkem_{level.removeprefix("ML-KEM-")}_encaps_test.json')
    for case in cases:
        assert is_taken(kem, case['ek']) == (case['result'] == 'valid'), case['tcId']
    assert sum(case['result'] == 'valid' for case in cases) == 133


def test_a_published_decapsulation() -> None:
    """One case, for clones without the file, by the plain form and by the provider that pip installs."""
    seed, ciphertext, secret = MLKEM_512
    assert decapsulated(choose('pqcrypto').kems['ML-KEM-512'], seed, ciphertext) == secret
    private = fips203.keygen('ML-KEM-512', bytes.fromhex(seed))[1]
    assert fips203.decapsulate('ML-KEM-512', private, bytes.fromhex(ciphertext)).hex() == secret


@LEVELS
@pytest.mark.parametrize('other', NAMES)
def test_every_two_providers_understand_each_other(provider: Provider, other: str, level: str) -> None:
    """Keys of one, ciphertexts of the other, twenty times; the other way round is this test with names exchanged."""
    try:
        theirs = level_of(choose(other), level)
    except InputError as why:
        pytest.skip(str(why))
    ours = level_of(provider, level)
    for _ in range(20):
        pair = ours.generate()
        sent = theirs.encapsulate(pair.public)
        assert ours.decapsulate(pair.private, sent.ciphertext) == sent.secret


@LEVELS
def test_every_provider_understands_the_plain_form(provider: Provider, level: str) -> None:
    """Both ways with the tests' own ML-KEM: keys of one, ciphertexts of the other."""
    kem = level_of(provider, level)
    public, private = fips203.keygen(level, secrets.token_bytes(64))
    sent = kem.encapsulate(public)
    assert fips203.decapsulate(level, private, sent.ciphertext) == sent.secret
    pair = kem.generate()
    ciphertext, secret = fips203.encapsulate(level, pair.public, secrets.token_bytes(32))
    assert kem.decapsulate(pair.private, ciphertext) == secret


@LEVELS
def test_implicit_rejection_is_the_same_for_all(provider: Provider, level: str) -> None:
    """One seed, ten changed ciphertexts: each gives SHAKE256(z || ciphertext), and not the sender's secret."""
    kem, seed = level_of(provider, level), secrets.token_bytes(64)
    public, expanded = fips203.keygen(level, seed)
    own = private_key(kem, seed)
    for _ in range(10):
        sent = kem.encapsulate(public)
        changed = bytearray(sent.ciphertext)
        changed[secrets.randbelow(len(changed))] ^= 1 << secrets.randbelow(8)
        rejected = kem.decapsulate(own, bytes(changed))
        assert rejected == fips203.decapsulate(level, expanded, bytes(changed))
        assert rejected != sent.secret


@LEVELS
def test_the_providers_agree_on_random_ciphertexts(level: str) -> None:
    """Bytes that nobody encapsulated: pqcrypto and the plain form, and cryptography where it can, give one secret."""
    seed = secrets.token_bytes(64)
    public, private = fips203.keygen(level, seed)
    ciphertext = secrets.token_bytes(len(fips203.encapsulate(level, public, bytes(32))[0]))
    expected = fips203.decapsulate(level, private, ciphertext).hex()
    kems = [kem for name in ('pqcrypto', 'cryptography') if (kem := choose(name).kems.get(level))]
    assert {decapsulated(kem, seed.hex(), ciphertext.hex()) for kem in kems} == {expected}
