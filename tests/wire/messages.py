"""Messages of all kinds for tests."""

from dataclasses import replace

from hypothesis import strategies as st

from hil.wire import names
from hil.wire.codec import HOLD_NS_MAX
from hil.wire.message import SLIP_MAX, KeyId, Leg, Message, SealedBy, StageTime, Timing, stages_of
from sim import flows

U64 = st.integers(0, 2**64 - 1)
IDS = st.binary(min_size=16, max_size=16)

TIMINGS = st.builds(
    Timing, node=IDS, clock=st.binary(min_size=8, max_size=8), is_redelivered=st.booleans(), received_ns=U64,
    started_ns=U64, finished_ns=U64, published_ns=U64, confirmed_ns=U64,
    stages=st.lists(st.builds(StageTime, st.integers(0, 255), U64, U64), max_size=3).map(tuple))


def legs_of(flow: str, options: frozenset[str]) -> list[Leg]:
    """Return the longest slip of a flow: every place that does work, in order."""
    legs: list[Leg] = []
    for i, stage in enumerate(flows.FLOWS[flow]):
        if legs and legs[-1].place == stage.place and legs[-1].end == i:
            legs[-1] = Leg(stage.place, legs[-1].first, i + 1)
        elif stage.place != 'network':
            legs.append(Leg(stage.place, i, i + 1))
    return [leg for leg in legs if stages_of(flow, options, leg)][:SLIP_MAX]


@st.composite
def messages(draw: st.DrawFn, body: st.SearchStrategy[bytes] | None = None) -> Message:
    """Draw a message that a receiver takes."""
    flow = draw(st.sampled_from(names.FLOWS))
    options = draw(st.frozensets(st.sampled_from(names.OPTIONS)))
    chosen = [leg for leg in legs_of(flow, options) if draw(st.booleans())] or legs_of(flow, options)[:1]
    slip = [replace(leg, hold_ns=draw(st.integers(0, HOLD_NS_MAX))) for i, leg in enumerate(chosen)
            if i == 0 or leg.place != chosen[i - 1].place]
    done = draw(st.integers(0, len(slip)))
    stage = draw(st.none() | st.integers(0, len(flows.FLOWS[flow]) - 1))
    outcome = 'delivered' if done == len(slip) else draw(st.sampled_from(['', 'dropped']))
    content = draw(st.binary(max_size=64) if body is None else body)
    return Message(
        run=draw(IDS), job=draw(U64), attempt=draw(st.integers(0, 2**16 - 1)), flow=flow, options=options,
        priority=draw(st.integers(0, 7)), deadline_ns=draw(U64), slip=tuple(slip), done=done, outcome=outcome,
        key=KeyId(draw(IDS), draw(U64)), sender=draw(IDS), receiver=draw(IDS),
        sealed_by=None if stage is None else SealedBy(stage, draw(IDS), draw(U64)),
        timings=tuple(draw(st.lists(TIMINGS, min_size=done, max_size=done))),
        body=b'' if outcome == 'dropped' else content)
