"""Whether a run counts: what a twin always takes is a part of the way; what it takes now and then is not."""

from collections.abc import Sequence

import pytest

from hil.paced.notes import CHAIN_COLUMNS, LATE_S_MAX, N_FOR_LATE, Notes, why_invalid

SOME_MS, MANY = 4e-3, 2 * N_FOR_LATE


def notes_of(late_s: Sequence[float], column: str) -> Notes:
    """Return the notes of a run whose telemetry was so late, message by message."""
    found = Notes((0.0, 60.0))
    for i, each in enumerate(late_s):
        row = dict.fromkeys(CHAIN_COLUMNS, 0.0) | {
            'job': i, 'flow': 'vitals', 'first_stage': 'aead.open', 'outcome': 'delivered', 'attempt': 0,
            'is_counted': True, column: each}
        found.chains.append(tuple(row.values()))
    return found


@pytest.mark.parametrize(('column', 'what'), [('sent_late_s', 'sent'), ('heard_late_s', 'heard')])
def test_a_run_is_late_by_what_is_beyond_its_usual_delay(column: str, what: str) -> None:
    """Of telemetry with a median of 20 ms 1 ms may be usual, and 1 ms more at 99 %; beyond either the run is late."""
    latencies = {'vitals': 20e-3}
    usual, more, most = 0.9e-3, 1.8e-3, 2.1e-3
    for late_s, is_late in (([usual] * MANY, False), ([usual] * (MANY - 4) + [more] * 4, False),
                            ([usual] * (MANY - 4) + [most] * 4, True), ([1.1e-3] * MANY, True)):
        found = why_invalid(notes_of(late_s, column), latencies, 0.0)
        assert bool(found) == is_late, found
        assert all('vitals: half of the' in each and f'were {what}' in each and '1.00 ms each' in each
                   for each in found)


def test_what_is_late_depends_on_what_is_measured() -> None:
    """4 ms are late for a flow of 20 ms, and not for one of 100 ms; 21 ms are for every flow, however slow."""
    late = notes_of([SOME_MS] * MANY, 'sent_late_s')
    assert why_invalid(late, {'vitals': 20e-3}, 0.0)
    assert not why_invalid(late, {'vitals': 0.1}, 0.0)
    assert why_invalid(notes_of([LATE_S_MAX + 1e-3] * MANY, 'sent_late_s'), {'vitals': 60.0}, 0.0)


def test_few_messages_do_not_decide() -> None:
    """Of fewer than a hundred there is no one in a hundred."""
    assert not why_invalid(notes_of([1.0] * (N_FOR_LATE - 1), 'sent_late_s'), {'vitals': 20e-3}, 0.0)
