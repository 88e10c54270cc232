"""Forward secrecy: who recorded everything, and later gets every key that lasts, opens nothing.

The attacker is tried on what it must be able to open as well: the same attacker with one ephemeral key opens all that
follows from it, so that its failure elsewhere says something.
"""

import gc
import types
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from hil.crypto.interfaces import Encapsulation, Kem, KeyPair
from hil.crypto.suites import bind
from hil.keys.messages import group_id
from sim.wire import Trust

from .attacker import Attacker
from .hospital import NOW, OVERLAP_S, PROVIDER, Hospital

LATER = NOW + 3_600
GROUP = group_id('model')
ALL_SAID = {b'%s %s' % (what, when) for what in (b'up', b'down', b'model') for when in (b'first', b'second')}
each_suite = pytest.mark.parametrize('suite', ['classical', 'pqc-512', 'pqc-768', 'hybrid'])
each_kem = pytest.mark.parametrize('trust', ['signed', 'pre-shared-kem'])


@dataclass
class Spy:
    """A KEM that keeps what everybody else must erase."""

    kem: Kem
    pairs: list[KeyPair] = field(default_factory=list)
    secrets: list[bytes] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Return the name of the KEM."""
        return self.kem.name

    @property
    def provider(self) -> str:
        """Return who does the work."""
        return self.kem.provider

    def generate(self) -> KeyPair:
        """Return a fresh key pair, and keep it."""
        self.pairs.append(self.kem.generate())
        return self.pairs[-1]

    def encapsulate(self, public: bytes) -> Encapsulation:
        """Return a fresh secret, and keep it."""
        sent = self.kem.encapsulate(public)
        self.secrets.append(sent.secret)
        return sent

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        """Return the secret of a ciphertext, and keep it."""
        self.secrets.append(self.kem.decapsulate(private, ciphertext))
        return self.secrets[-1]


def lived(suite: str, trust: Trust) -> tuple[Hospital, Spy]:
    """Return a hospital in which two devices spoke with two places in two epochs, and both heard a broadcast."""
    bound = bind(suite, PROVIDER)
    spy = Spy(bound.kem)
    hospital = Hospital(suite, trust, devices=('pump-1', 'pump-2'), bound=replace(bound, kem=spy))
    hospital.start()
    hospital.deliver(hospital.authority.share_group_key('model', ['pump-1', 'pump-2'], NOW))
    speak(hospital, b'first')
    for name in ('pump-1', 'pump-2'):
        hospital.rekey(name)
    speak(hospital, b'second')
    return hospital, spy


def speak(hospital: Hospital, what: bytes) -> None:
    """Send one message up and down per device, and one to the group."""
    for name, device in hospital.device.items():
        hospital.up(name, b'up ' + what)
        hospital.down('server', device.id, b'down ' + what)
    hospital.down('server', GROUP, b'model ' + what)


def long_term(hospital: Hospital) -> tuple[set[bytes], list[object]]:
    """Return all keys that last: one-time secrets and pre-shared keys, and everybody's private key of signatures."""
    subjects = [*hospital.device.values(), *hospital.place.values()]
    pairs = [hospital.authority._identity, *(each._identity for each in subjects if each._identity)]
    privates = [pair.private for pair in pairs]
    return {*(each.secret for each in hospital.commissions), *map(raw, privates)}, privates


def raw(private: object) -> bytes:
    """Return a private key as bytes."""
    if hasattr(private, 'private_numbers'):
        value: int = private.private_numbers().private_value
        return value.to_bytes(32, 'big')
    found: bytes = private.private_bytes_raw()  # type: ignore[attr-defined]  # ML-DSA's has it
    return found


def memory(roots: Iterable[object], but: object) -> tuple[list[bytes], list[object]]:
    """Return all bytes that can be reached from objects, and all the objects, but for what lies behind one of them."""
    stack, seen, data, others = list(roots), {id(but)}, [], []
    while stack:
        each: Any = stack.pop()
        if id(each) in seen or isinstance(each, type | types.ModuleType | types.FunctionType):
            continue
        seen.add(id(each))
        others.append(each)
        if isinstance(each, bytes | bytearray):
            data.append(bytes(each))
        stack += gc.get_referents(each)
    return data, others


def parties(hospital: Hospital) -> list[object]:
    """Return those whose memory is looked into."""
    return [hospital.authority, *hospital.place.values(), *hospital.device.values()]


@each_suite
@each_kem
def test_all_keys_that_last_and_all_that_was_recorded_open_nothing(suite: str, trust: Trust) -> None:
    """Private keys of authority, places and devices, every secret given by hand, and every byte on the wire."""
    hospital, _ = lived(suite, trust)
    assert Attacker(hospital).opens(*long_term(hospital)) == set()


@each_suite
@each_kem
def test_one_ephemeral_key_opens_what_was_agreed_on_with_it(suite: str, trust: Trust) -> None:
    """The control: with a device's first ephemeral key its first messages, with a place's the keys sent to it too."""
    hospital, spy = lived(suite, trust)
    secrets, privates = long_term(hospital)
    attacker = Attacker(hospital)
    place, _, device = (pair.private for pair in spy.pairs[:3])
    assert attacker.opens(secrets, [*privates, device]) == {b'up first', b'down first', b'model first', b'model second'}
    assert attacker.opens(secrets, [*privates, place]) == ALL_SAID


@pytest.mark.parametrize('suite', ['classical', 'pqc-768'])
def test_without_a_kem_nothing_is_forward_secret(suite: str) -> None:
    """The pre-shared variant, as it says of itself: who gets the pre-shared keys opens all that was ever recorded."""
    hospital, _ = lived(suite, 'pre-shared')
    opened = Attacker(hospital).opens(*long_term(hospital))
    assert opened == ALL_SAID


@each_suite
@each_kem
def test_nobody_holds_an_ephemeral_key_or_a_secret_of_a_kem(suite: str, trust: Trust) -> None:
    """All that can be reached from the parties: no private key of a KEM, and no secret, once a key is agreed on."""
    hospital, spy = lived(suite, trust)
    data, objects = memory(parties(hospital), spy)
    assert len(data) > 100
    assert not {id(each.private) for each in spy.pairs} & {id(each) for each in objects}
    for secret in (*spy.secrets, *(each.private for each in spy.pairs if isinstance(each.private, bytes))):
        assert not [each for each in data if secret in each]
    hospital.device['pump-1'].begin_rekey(NOW)  # the control: now there is one
    _, objects = memory(parties(hospital), spy)
    assert id(spy.pairs[-1].private) in {id(each) for each in objects}


@each_suite
@each_kem
def test_all_memory_later_opens_only_what_has_not_ended(suite: str, trust: Trust) -> None:
    """Everything in every party's memory, an hour and one more rekey of all later: only the last epochs open."""
    hospital, spy = lived(suite, trust)
    for name in (*hospital.place, *hospital.device):
        hospital.rekey(name, LATER)
    hospital.deliver(hospital.authority.share_group_key('model', hospital.device, LATER), LATER)
    speak_later(hospital)
    for ring in (hospital.authority, *(each.ring for each in (*hospital.place.values(), *hospital.device.values()))):
        ring.forget(LATER + OVERLAP_S)
    data, objects = memory(parties(hospital), spy)
    assert Attacker(hospital).opens(data, objects) == {b'up third', b'down third', b'model third'}


def speak_later(hospital: Hospital) -> None:
    """Send what `speak` sends, an hour later."""
    for name, device in hospital.device.items():
        hospital.up(name, b'up third', now=LATER)
        hospital.down('server', device.id, b'down third', now=LATER)
    hospital.down('server', GROUP, b'model third', now=LATER)


def test_records_are_as_forward_secret_as_the_keys_of_places() -> None:
    """Devices change keys and places do not: a place's memory then opens what its key was ever used to send."""
    hospital, spy = lived('classical', 'signed')
    for name in hospital.device:
        hospital.rekey(name, LATER)
    place = hospital.place['server']
    place.ring.forget(LATER + OVERLAP_S)
    data, _ = memory([place], spy)
    assert Attacker(hospital).opens(data) == ALL_SAID
    hospital.rekey('server', LATER)
    place.ring.forget(LATER + OVERLAP_S)
    data, _ = memory([place], spy)
    assert Attacker(hospital).opens(data) == {b'model first', b'model second'}  # the group's key has not ended
