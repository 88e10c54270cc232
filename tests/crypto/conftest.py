import pytest

from hil.crypto.aead import aead
from hil.crypto.interfaces import Aead
from hil.crypto.providers import NAMES, Provider, choose
from sim.errors import InputError

AEADS = [('Ascon-AEAD128', 'native'), ('Ascon-AEAD128', 'interpreted'), ('Ascon-128', 'interpreted'),
         ('Ascon-128a', 'interpreted'), ('AES-128-GCM', 'native'), ('ChaCha20-Poly1305', 'native')]


@pytest.fixture(params=NAMES)
def provider(request: pytest.FixtureRequest) -> Provider:
    """Each provider in turn; one that is not installed says why."""
    try:
        return choose(request.param)
    except InputError as why:
        pytest.skip(str(why))


@pytest.fixture(params=AEADS, ids=' '.join)
def cipher(request: pytest.FixtureRequest) -> Aead:
    """Each AEAD in each of its implementations in turn."""
    name, implementation = request.param
    try:
        return aead(name, implementation)
    except InputError as why:  # the extra with the legacy cipher
        pytest.skip(str(why))
