"""The compiled engine's events come out in their order, whatever went in and however it was put in."""

import random

from sim.building import ModelBuilder
from sim.engines.compiled.heap import drop_first, first_event, first_time_s, has_event, push, push_behind
from sim.engines.compiled.layout import NONE
from sim.engines.compiled.memory import Memory
from sim.laws import WAKE

N_CONVOYS = 5
STEPS = 12_000


def machine() -> Memory:
    """Return the tables of a model of one idle device, with some convoys."""
    builder = ModelBuilder()
    builder.entities(builder.class_('device'), [-1])
    memory = Memory(builder.build(duration_s=1.0), 'none', 0)
    memory['convoys'] = [NONE] * N_CONVOYS
    return memory


def add(memory: Memory, chance: random.Random, now: float, number: int) -> tuple[float, int, int]:
    """Add an event, by itself or to a convoy, and return what it is ordered by.

    Times and keys are few, so that many are equal; those of convoy c are mostly c seconds ahead, as a link's are.
    """
    memory.make_room()
    key, convoy = chance.randrange(4), chance.randrange(-1, N_CONVOYS)
    ahead_s = float(chance.randrange(12) if convoy == NONE or chance.random() < 0.2 else convoy)
    if chance.random() < 0.5:
        push_behind(memory.m, convoy, now + ahead_s, key, WAKE, number, 0)
    else:
        push(memory.m, now + ahead_s, key, WAKE, number, 0)
    return now + ahead_s, key, number


def test_events_come_in_the_order_of_time_key_and_number() -> None:
    """Hundreds at a time are added and taken, in turns of chance; each comes when it is the first there is."""
    memory, chance = machine(), random.Random(7)
    waiting: set[tuple[float, int, int]] = set()
    now, n_most = 0.0, 0
    for number in range(STEPS):
        grows = number // 2_000 % 2 == 0
        if chance.random() < (0.6 if grows else 0.4) or not waiting:
            waiting.add(add(memory, chance, now, number))
        else:
            event = memory['events'][first_event(memory.m)]
            first = min(waiting)
            assert (first_time_s(memory.m), int(event['key']), int(event['a'])) == first
            drop_first(memory.m)
            waiting.remove(first)
            now = first[0]
        n_most = max(n_most, len(waiting))
        assert has_event(memory.m) == bool(waiting)
        assert memory['events'].size - int(memory.m['n_free_events']) == len(waiting)
    assert n_most > 300


def test_convoy_has_one_event_in_the_heap() -> None:
    """A thousand events that come in their order are a convoy: the heap never holds more than the first of them."""
    memory = machine()
    push(memory.m, 0.0, 0, WAKE, 0, 0)
    for number in range(1_000):
        memory.make_room()
        push_behind(memory.m, 0, 1.0 + number // 3, number % 3, WAKE, number, 0)
        assert int(memory.m['n_in_heap']) == 1
    drop_first(memory.m)
    taken = []
    while has_event(memory.m):
        assert int(memory.m['n_in_heap']) + int(memory.m['is_apart']) == 1
        taken.append(int(memory['events'][first_event(memory.m)]['a']))
        drop_first(memory.m)
    assert taken == list(range(1_000))
