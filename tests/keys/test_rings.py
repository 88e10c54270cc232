"""Key rings: whatever happens in whatever order, only the newest activated epoch seals, and all ends in time."""

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hil.crypto.aead import aead
from hil.crypto.errors import CryptoError, ReplayError
from hil.crypto.sealing import Direction, SealingKey
from hil.keys import rings
from hil.keys.errors import ExpiredError, RevokedError, TamperedError, UnknownKeyError
from hil.keys.messages import enrolment_of, epoch_of
from hil.keys.rings import EPOCHS_MAX, KeyRing

FAST = aead('AES-128-GCM')
DEVICE, PLACE, OVERLAP_S = b'd' * 16, b'p' * 16, 10.0
EPOCHS = [*(epoch_of(1, count) for count in range(1, 6)), epoch_of(2, 1)]


def key_of(epoch: int) -> bytes:
    """Return a session key that belongs to an epoch."""
    return epoch.to_bytes(32, 'big')


@dataclass
class Expected:
    """What a ring should hold, said as plainly as it can be: when each epoch ends, which one seals."""

    until: dict[int, float] = field(default_factory=dict)
    active: int = 0
    revoked: int = -1

    def opens(self, epoch: int, now: float) -> bool:
        """Say whether messages of an epoch open."""
        return epoch > self.revoked and now < self.until.get(epoch, 0.0)


class RingMachine(RuleBasedStateMachine):
    """One subject's keys on a place's ring, under random installs, activations, revocations and passing time."""

    def __init__(self) -> None:
        super().__init__()
        self.ring, self.expected, self.now = KeyRing(FAST, PLACE, OVERLAP_S), Expected(), 100.0

    @rule(epoch=st.sampled_from(EPOCHS), lifetime=st.sampled_from([50.0, 5.0, 0.0]))
    def install(self, epoch: int, lifetime: float) -> None:
        """Install a key, unless it is revoked, stale or over."""
        expected, until = self.expected, self.now + lifetime
        wrong = epoch <= expected.revoked or epoch < expected.active or not lifetime
        try:
            self.ring.install(DEVICE, epoch, key_of(epoch), until, self.now)
        except (RevokedError, ReplayError, ExpiredError):
            assert wrong
            return
        assert not wrong
        if expected.opens(epoch, self.now):
            return
        live = [each for each in expected.until if expected.opens(each, self.now)]
        if len(live) >= EPOCHS_MAX:
            del expected.until[min(each for each in live if each != expected.active)]
        expected.until[epoch] = until

    @rule(epoch=st.sampled_from(EPOCHS))
    def activate(self, epoch: int) -> None:
        """Activate a key, if it is there."""
        expected = self.expected
        opens = expected.opens(epoch, self.now)
        try:
            self.ring.activate(DEVICE, epoch, self.now)
        except (UnknownKeyError, RevokedError):
            assert not opens
            return
        assert opens
        if epoch > expected.active:
            expected.active = epoch
            for each in [each for each in expected.until if each < epoch]:
                end = self.now + OVERLAP_S if enrolment_of(each) == enrolment_of(epoch) else 0.0
                expected.until[each] = min(expected.until[each], end)

    @rule(epoch=st.sampled_from(EPOCHS[:2]))
    def revoke(self, epoch: int) -> None:
        """Revoke the subject up to an epoch."""
        self.ring.revoke(DEVICE, epoch)
        self.expected.revoked = max(epoch, self.expected.revoked)

    @rule(seconds=st.sampled_from([1.0, 5.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    @rule()
    def forget(self) -> None:
        """Erase what has ended."""
        self.ring.forget(self.now)
        held = self.ring._keys.get(DEVICE, {})
        assert set(held) == {each for each in EPOCHS if self.expected.opens(each, self.now)}

    @invariant()
    def opens_what_it_should(self) -> None:
        """A fresh message of each epoch opens exactly if it should."""
        for epoch in EPOCHS:
            sent = SealingKey(FAST, key_of(epoch), Direction.UP, DEVICE.hex()).seal(b'x', b'data')
            try:
                assert self.ring.open(DEVICE, epoch, DEVICE, sent, b'data', self.now).plaintext == b'x'
                assert self.expected.opens(epoch, self.now)
            except (UnknownKeyError, RevokedError):
                assert not self.expected.opens(epoch, self.now)

    @invariant()
    def seals_under_the_newest_activated(self) -> None:
        """It seals under the newest activated epoch while that opens, and otherwise not at all."""
        try:
            epoch, _ = self.ring.seal(DEVICE, b'x', b'data', self.now)
            assert epoch == self.expected.active
            assert self.expected.opens(epoch, self.now)
        except (UnknownKeyError, RevokedError):
            assert not self.expected.opens(self.expected.active, self.now)

    @invariant()
    def holds_so_many_and_no_more(self) -> None:
        """Memory is bounded."""
        assert len(self.ring._keys.get(DEVICE, {})) <= EPOCHS_MAX


TestRing = RingMachine.TestCase
TestRing.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_the_overlap_makes_no_key_last_longer() -> None:
    """A key that would end five seconds after a later one is activated ends then, in an overlap of ten."""
    ring = KeyRing(FAST, PLACE, OVERLAP_S)
    ring.install(DEVICE, 1, key_of(1), 5.0, 0.0)
    ring.install(DEVICE, 2, key_of(2), 50.0, 0.0)
    ring.activate(DEVICE, 2, 0.0)
    assert ring.session_key(DEVICE, 1, 4.9) == key_of(1)
    with pytest.raises(UnknownKeyError):
        ring.session_key(DEVICE, 1, 5.0)


def test_directions_and_senders_are_apart() -> None:
    """Four rings with one key: the device's, two places', and the device's again; each hears the others as they are."""
    device, place, other = (KeyRing(FAST, owner, OVERLAP_S) for owner in (DEVICE, PLACE, b'q' * 16))
    for ring in (device, place, other):
        ring.install(DEVICE, 1, key_of(1), 1_000.0, 0.0)
        ring.activate(DEVICE, 1, 0.0)
    _, up = device.seal(DEVICE, b'up', b'', 0.0)
    _, down = place.seal(DEVICE, b'down', b'', 0.0)
    assert place.open(DEVICE, 1, DEVICE, up, b'', 0.0).plaintext == b'up'
    assert device.open(DEVICE, 1, PLACE, down, b'', 0.0).plaintext == b'down'
    assert other.open(DEVICE, 1, PLACE, down, b'', 0.0).plaintext == b'down'
    with pytest.raises(TamperedError):
        other.open(DEVICE, 1, DEVICE, down, b'', 0.0)
    with pytest.raises(TamperedError):
        device.open(DEVICE, 1, b'q' * 16, down, b'', 0.0)
    for ring, sender, message in ((device, DEVICE, up), (place, PLACE, down)):
        with pytest.raises(TamperedError, match='its own message'):
            ring.open(DEVICE, 1, sender, message, b'', 0.0)


def test_forgeries_take_no_room() -> None:
    """Messages in the name of a thousand senders: refused, and none of them is remembered."""
    ring, sender = KeyRing(FAST, PLACE, OVERLAP_S), KeyRing(FAST, DEVICE, OVERLAP_S)
    for each in (ring, sender):
        each.install(DEVICE, 1, key_of(1), 1_000.0, 0.0)
        each.activate(DEVICE, 1, 0.0)
    _, sent = sender.seal(DEVICE, b'', b'', 0.0)
    for i in range(1_000):
        with pytest.raises(TamperedError):
            ring.open(DEVICE, 1, i.to_bytes(16, 'big'), sent, b'', 0.0)
    assert not ring._keys[DEVICE][1].opening


def test_keys_that_end_are_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes of a key are zeros once it has ended, was revoked or made room for others, and are not used then."""
    monkeypatch.setattr(rings, 'EPOCHS_MAX', 1)
    ring = KeyRing(FAST, PLACE, OVERLAP_S)

    def held(epoch: int, until: float) -> bytearray:
        ring.install(DEVICE, epoch, key_of(epoch), until, 0.0)
        return ring._keys[DEVICE][epoch].secret._value

    first, second = held(1, 1_000.0), held(2, 50.0)
    assert (first, second) == (bytes(32), key_of(2))
    secret = ring._keys[DEVICE][2].secret
    ring.forget(49.0)
    assert second == key_of(2)
    ring.forget(50.0)
    assert second == bytes(32)
    with pytest.raises(AssertionError, match='after it had been erased'):
        secret.reveal()
    third = held(3, 1_000.0)
    ring.revoke(DEVICE, 3)
    assert third == bytes(32)
    with pytest.raises(CryptoError):
        ring.session_key(DEVICE, 3, 0.0)
