"""The key authority: when devices take new keys, how they come to them, and what happens when they are revoked.

Every exchange is a linear coroutine, started when it is due, that launches jobs and waits for their outcomes::

    rekey    rekey ─> a key-record to every place ─> key-activate
                                                 └─> (overlap) what was sealed under the former key is refused
    revoke   revoke ─> a revoke-notice to every place ─> nothing of the device is opened any more
    enrol    enrol ─> rekey ─> admitted again

What fails or takes too long is tried again after a pause, for as long as it takes; meanwhile the former key goes on,
until it has reached its last age, or the overlap is over. That begins when the last place has the new key: with a
device that comes to use it later than that, places have no key in common for a while. The devices hold keys when the
run begins; when they got them is drawn. A revoked device is refused from the moment at which the last place knows, by
all at once: a place that knows earlier would refuse it earlier. Revoking a holder of the group key gives all others a
new one. Left out: what the keys are.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import numpy as np

from sim.model import DELIVERED, Ints, KeyPlan, RevocationPlan
from sim.results.recording import KeyCause, KeyEvent, KeyRow
from sim.worlds import Controller, World


class KeyAuthority:
    """What the authority knows of every device's key. Invariant: a device has at most one exchange at a time.

    A certificate that is revoked ends what was begun under it: whoever waits compares serial numbers when it goes on.
    """

    def __init__(self, plan: KeyPlan, rows: list[KeyRow]) -> None:
        n = plan.devices.size
        self._plan, self._rows = plan, rows
        self._epoch = np.zeros(n, np.int64)
        self._group_epoch = 0
        self._since_s = np.zeros(n)  # since when the device seals under its key
        self._due_s = np.full(n, math.inf)
        self._sealed_before = np.zeros(n)  # bytes that it sealed under former keys
        self._serial = np.zeros(n, np.int64)  # of its certificate
        self._is_busy = np.zeros(n, np.bool_)
        self._is_revoked = np.zeros(n, np.bool_)
        self._is_refused = np.zeros(n, np.bool_)  # since it is revoked, or its key is too old
        self._dues: deque[tuple[float, int]] = deque()  # sorted: a new key is due after all that are due already

    def controllers(self) -> list[Controller]:
        """Return what runs from the beginning."""
        started = [Controller('keys by time', self._rotate)]
        if self._plan.usage_check_s < self._plan.ends_s:
            started.append(Controller('keys by usage', self._watch_usage))
        started += [Controller(f'revocation {i}', self._revocation(i, revocation))
                    for i, revocation in enumerate(self._plan.revocations)]
        return started

    def end_round(self, world: World, number: int, clients: Ints) -> None:
        """Let the clients of a learning round take new keys, if it is one of those after which they do."""
        if self._plan.rounds and (number + 1) % self._plan.rounds == 0:
            for device in np.searchsorted(self._plan.devices, clients).tolist():
                self._start_rekey(world, device, world.now(), 'rounds')

    # -- when -----------------------------------------------------------------------------------------------------

    async def _rotate(self, world: World) -> None:
        plan = self._plan
        ages = plan.every_s * world.uniform(plan.devices, 'key age', 0)
        self._since_s, self._due_s = -ages, plan.every_s - ages
        soon = np.flatnonzero(self._due_s < plan.ends_s)
        self._dues.extend((float(self._due_s[i]), int(i)) for i in soon[np.argsort(self._due_s[soon], kind='stable')])
        while True:
            # Whoever gets a key while this sleeps needs the next one later than that.
            await world.sleep((self._dues[0][0] if self._dues else world.now() + plan.every_s) - world.now())
            while self._dues and self._dues[0][0] <= world.now():
                due_s, device = self._dues.popleft()
                if self._due_s[device] == due_s:
                    self._start_rekey(world, device, due_s, 'time')

    async def _watch_usage(self, world: World) -> None:
        plan = self._plan
        while True:
            await world.sleep(plan.usage_check_s)
            used = world.read('sealed_bytes', plan.devices) - self._sealed_before
            for device in np.flatnonzero(used >= plan.usage_bytes).tolist():
                self._start_rekey(world, device, world.now(), 'usage')

    def _start_rekey(self, world: World, device: int, due_s: float, cause: KeyCause) -> None:
        if self._is_busy[device] or self._is_revoked[device]:
            return
        self._is_busy[device] = True
        row = self._row('rekey', cause, device, due_s)
        world.start(Controller(self._name('rekey', device), lambda world: self._rekey(world, device, row)))
        if self._since_s[device] + self._plan.expiry_s < self._plan.ends_s:
            world.start(Controller(self._name('expiry', device), lambda world: self._expire(world, device)))

    # -- what -----------------------------------------------------------------------------------------------------

    async def _rekey(self, world: World, device: int, row: KeyRow) -> None:
        """Give a device a new key, however often it takes, unless it is revoked meanwhile."""
        plan, entity, serial = self._plan, self._plan.devices[[device]], self._serial[device]
        while not await self._agree(world, device, row, serial):
            if self._serial[device] != serial:
                return
            row.attempts += 1
            await world.sleep(plan.retry_s)
        now = world.now()
        row.ended_s = now
        self._epoch[device] += 1
        self._since_s[device], self._is_busy[device] = now, False
        self._sealed_before[device] = world.read('sealed_bytes', entity)[0]
        self._due_s[device] = now + plan.every_s
        if self._due_s[device] < plan.ends_s:
            self._dues.append((float(self._due_s[device]), device))
        if self._is_refused[device]:
            self._is_refused[device] = False
            world.change(entity, valid_from=now)

    async def _agree(self, world: World, device: int, row: KeyRow, serial: int) -> bool:
        """Try once to agree on a key, to tell it to all places, and to let the device use it.

        `serial` is that of the device when its key became due: a device that was revoked since gets none.
        """
        entity = self._plan.devices[[device]]
        if not (self._serial[device] == serial and await self._exchange(world, 'rekey', entity)
                and self._serial[device] == serial and await self._tell(world, 'key-record')
                and self._serial[device] == serial):
            return False
        name = self._name(f'overlap {row.attempts}', device)
        world.start(Controller(name, lambda world: self._end_former(world, device, row, serial)))
        return await self._exchange(world, 'key-activate', entity) and bool(self._serial[device] == serial)

    async def _end_former(self, world: World, device: int, row: KeyRow, serial: int) -> None:
        """Refuse what is sealed under the former key when the overlap is over, used the device its new one or not."""
        await world.sleep(self._plan.overlap_s)
        if self._serial[device] == serial and not self._is_refused[device]:
            self._is_refused[device] = math.isnan(row.ended_s)
            world.change(self._plan.devices[[device]], valid_from=math.inf if self._is_refused[device] else row.ended_s)

    async def _expire(self, world: World, device: int) -> None:
        """Refuse a key that has reached its last age without a successor."""
        epoch = self._epoch[device]
        await world.sleep(max(self._since_s[device] + self._plan.expiry_s - world.now(), 0.0))
        if self._epoch[device] == epoch and not self._is_revoked[device]:
            self._row('expiry', 'time', device, world.now()).ended_s = world.now()
            self._is_refused[device] = True
            world.change(self._plan.devices[[device]], valid_from=math.inf)

    def _revocation(self, number: int, revocation: RevocationPlan) -> Callable[[World], Coroutine[Any, Any, None]]:
        plan = self._plan
        devices = np.searchsorted(plan.devices, revocation.devices)

        async def run(world: World) -> None:
            await world.sleep(revocation.at_s)
            self._is_revoked[devices] = True
            self._serial[devices] += 1
            rows = [self._row('revocation', 'revoked', device, revocation.at_s) for device in devices.tolist()]
            if np.isin(plan.members, revocation.devices).any():
                world.start(Controller(f'group {number}', self._renew_group))
            await self._until_done(world, rows, lambda: self._exchange(world, 'revoke', revocation.devices[:1]))
            await self._until_done(world, rows, lambda: self._tell(world, revocation.stream))
            for row in rows:
                row.ended_s = world.now()
            self._is_refused[devices] = True
            world.change(revocation.devices, valid_from=math.inf)
            if revocation.enrol_again_s < plan.ends_s:
                await world.sleep(max(revocation.enrol_again_s - world.now(), 0.0))
                for device in devices.tolist():
                    self._start_enrolment(world, device)

        return run

    def _start_enrolment(self, world: World, device: int) -> None:
        row = self._row('enrolment', 'revoked', device, world.now())
        world.start(Controller(self._name('enrol', device), lambda world: self._enrol(world, device, row)))

    async def _enrol(self, world: World, device: int, row: KeyRow) -> None:
        """Give a revoked device a new certificate and a new key."""
        entity = self._plan.devices[[device]]
        await self._until_done(world, [row], lambda: self._exchange(world, 'enrol', entity))
        row.ended_s = world.now()
        self._is_revoked[device] = False
        self._is_busy[device] = True
        await self._rekey(world, device, self._row('rekey', 'enrolled', device, world.now()))

    async def _renew_group(self, world: World) -> None:
        """Give all members of the group that are not revoked, and all places, a new key."""
        row = KeyRow('group', 'revoked', -1, self._group_epoch, world.now())
        self._group_epoch += 1  # at once: nothing is sealed any more under a key that somebody has who left
        self._rows.append(row)
        members = self._plan.members
        members = members[~self._is_revoked[np.searchsorted(self._plan.devices, members)]]
        while members.size:
            inbox = world.inbox()
            world.launch('group-key', members, inbox=inbox)
            outcomes = await inbox.take(members.size, self._plan.deadline_s)
            members = np.setdiff1d(members, outcomes.entity[outcomes.outcome == DELIVERED])
            if members.size:
                row.attempts += 1
                await world.sleep(self._plan.retry_s)
        await self._until_done(world, [row], lambda: self._tell(world, 'key-record'))
        row.ended_s = world.now()

    # -- exchanges ------------------------------------------------------------------------------------------------

    async def _until_done(self, world: World, rows: Sequence[KeyRow],
                          attempt: Callable[[], Coroutine[Any, Any, bool]]) -> None:
        """Try something again after a pause until it succeeds, and count the attempts."""
        while not await attempt():
            for row in rows:
                row.attempts += 1
            await world.sleep(self._plan.retry_s)

    async def _exchange(self, world: World, stream: str, entity: Ints) -> bool:
        inbox = world.inbox()
        world.launch(stream, entity, inbox=inbox)
        outcomes = await inbox.take(1, self._plan.deadline_s)
        return bool((outcomes.outcome == DELIVERED).any())

    async def _tell(self, world: World, stream: str) -> bool:
        """Send something to every place and return whether all have it before the deadline."""
        places = self._plan.places
        inbox = world.inbox()
        world.launch(stream, places, inbox=inbox)
        outcomes = await inbox.take(places.size, self._plan.deadline_s)
        return int(np.count_nonzero(outcomes.outcome == DELIVERED)) == places.size

    def _row(self, event: KeyEvent, cause: KeyCause, device: int, due_s: float) -> KeyRow:
        row = KeyRow(event, cause, int(self._plan.devices[device]), int(self._epoch[device]), due_s)
        self._rows.append(row)
        return row

    def _name(self, what: str, device: int) -> str:
        """Return a name that no other controller has: it orders what happens at once."""
        return f'{what} {self._plan.devices[device]} {len(self._rows)}'
