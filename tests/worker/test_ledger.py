"""The ledger: each chain ends once, whatever is delivered how often; what is in flight is bounded."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.ledger import ChainId, Ended, Ledger
from hil.wire.message import KeyId, Leg, Message, StageTime, Timing
from hil.wire.names import run_id

RUN = run_id('ledger')
TIMING = Timing(bytes(16), bytes(8), False, 0, 0, 0, 0, 0, (StageTime(4, 1, 1),))


def message(job: int, deadline_ns: int = 0) -> Message:
    """Return what is launched."""
    return Message(RUN, job, 0, 'vitals', frozenset(), 1, deadline_ns, (Leg('crypto', 4, 5),), 0, '',
                   KeyId(bytes(16), 1), bytes(16), bytes(16), None, (), b'')


def reply(job: int, attempt: int = 0) -> Message:
    """Return what comes back."""
    return replace(message(job), attempt=attempt, done=1, outcome='delivered', timings=(TIMING,))


def ledger(chains_max: int = 100, bytes_max: int = 10_000) -> Ledger:
    """Return an empty one."""
    return Ledger(RUN, chains_max, bytes_max)


def test_the_first_reply_wins() -> None:
    """Later ones are duplicates, kept with the attempt that they came of."""
    book = ledger()
    book.launch(message(1), 10, 5)
    assert book.take(reply(1, attempt=1), 8)
    assert not book.take(reply(1, attempt=0), 9)
    assert not book.take(reply(1, attempt=2), 10)
    assert book.ended == {ChainId(1, 4): Ended('delivered', 1, 5, 8)}
    assert book.duplicates == [(ChainId(1, 4), 0), (ChainId(1, 4), 2)]
    assert book.counts == {'delivered': 1, 'duplicate': 2}


@given(n=st.integers(1, 12), came=st.lists(st.tuples(st.integers(0, 15), st.integers(0, 3)), max_size=60))
def test_launched_is_the_sum_of_all_outcomes(n: int, came: list[tuple[int, int]]) -> None:
    """Replies to any chains in any order and number, some never launched: each that was launched has one outcome."""
    book = ledger()
    for job in range(n):
        book.launch(message(job), 10, 0)
    firsts = [book.take(reply(job, attempt), 1) for job, attempt in came]
    known = [job for job, _ in came if job < n]
    assert sum(firsts) == len(set(known))
    assert book.counts['duplicate'] == len(known) - len(set(known))
    assert book.counts['unknown'] == len(came) - len(known)
    book.close(set(), 2)
    assert set(book.ended) == {ChainId(job, 4) for job in range(n)}
    assert Counter(each.outcome for each in book.ended.values()) == Counter(
        'delivered' if job in known else 'unfinished' for job in range(n))


def test_a_reply_after_the_deadline_is_expired() -> None:
    """A deadline of 100 ns, by the twin's clock: a reply at 100 is in time, at 101 it is not."""
    book = ledger()
    for job, received_ns in ((1, 150), (2, 151)):
        book.launch(message(job, deadline_ns=100), 10, 50)
        book.take(reply(job), received_ns)
    assert [each.outcome for each in book.ended.values()] == ['delivered', 'expired']


def test_jobs_and_bytes_in_flight_are_bounded() -> None:
    """Two chains or 100 bytes; a single chain may be larger, else it could never go."""
    book = ledger(chains_max=2, bytes_max=100)
    assert book.has_room(500)
    book.launch(message(1), 60, 0)
    assert not book.has_room(41)
    assert book.has_room(40)
    book.launch(message(2), 1, 0)
    assert not book.has_room(0)
    with pytest.raises(AssertionError, match='2 chains of 61 bytes are in flight'):
        book.launch(message(3), 0, 0)
    book.take(reply(1), 1)
    assert book.has_room(99)


def test_a_dead_letter_alone_ends_nothing() -> None:
    """A damaged copy lies in the dead letters while the message itself is replied to; only the end decides."""
    book = ledger()
    for job in (1, 2, 3):
        book.launch(message(job), 10, 0)
    book.take(reply(1), 1)
    book.close({ChainId(1, 4), ChainId(2, 4)}, 2)
    assert [book.ended[ChainId(job, 4)].outcome for job in (1, 2, 3)] == ['delivered', 'rejected', 'unfinished']
    assert book.n_in_flight == 0


def test_what_the_broker_refuses_is_dropped() -> None:
    """A message that never got into a queue has ended, once."""
    book = ledger()
    book.launch(message(1), 10, 0)
    assert book.refuse(ChainId(1, 4), 1)
    assert not book.refuse(ChainId(1, 4), 2)
    assert book.counts == {'dropped': 1}


@pytest.mark.parametrize('change', [
    {'run': run_id('another')}, {'flow': 'alarm'}, {'slip': (Leg('crypto', 4, 5), Leg('server', 5, 6))},
    {'outcome': ''}])
def test_a_reply_that_was_not_asked_for_is_unknown(change: dict[str, object]) -> None:
    """Another run, flow or slip than was launched, or a message that is still on its way: it ends nothing."""
    book = ledger()
    book.launch(message(1), 10, 0)
    assert not book.take(replace(reply(1), **change), 1)  # type: ignore[arg-type]
    assert book.counts == {'unknown': 1}
    assert book.n_in_flight == 1


def test_two_chains_of_one_job_are_two() -> None:
    """A job that goes to hardware, comes back and goes there again; the same chain a second time is a mistake."""
    book = ledger()
    learning = replace(message(1), flow='fl-update', options=frozenset({'pairwise'}))
    book.launch(replace(learning, slip=(Leg('crypto', 2, 4),)), 1, 0)
    book.launch(replace(learning, slip=(Leg('crypto', 15, 17),)), 1, 0)
    with pytest.raises(AssertionError, match='launched a second time'):
        book.launch(replace(learning, slip=(Leg('crypto', 15, 17),)), 1, 0)
