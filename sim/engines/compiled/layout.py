"""The compiled engine's memory: one table of records for each noun, and one record with all their addresses.

Compiled code gets that one record, the machine, and reads rows in place: ``job_at(m, slot).attempt``. (Handing
it the arrays instead, in a tuple, was ten times slower: Numba counts references to every array it touches.) What
Python allocates, Python keeps alive: `memory.Memory` owns the arrays. There are no bounds checks; the loop returns to
Python for room before a pool is full.

Everything that lives as long as the run (stations, servers, entities) is a row for good; everything that comes and
goes (jobs, works, events) is a slot of a pool, taken from a stack of free slots and given back. A device's own CPU is
a station behind the model's: station n_stations + entity.

Large tables begin where a line of the cache does, and the rows that events ask for are as wide as lines (a server's is
half a line), so that what is asked for ahead is few of them.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import from_dtype, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from sim.compiling import compiled
from sim.model import OUTCOMES
from sim.results.recording import HOP_COLUMNS, JOB_COLUMNS
from sim.sources import ARRIVAL

Records = NDArray[Any]

NONE = -1
CACHE_LINE_BYTES = 64
SLOT_BITS = 32  # of an event's subject: the job's slot, below its delivery
SLOTS_MAX = (1 << SLOT_BITS) - 1
# ARRIVE events, by their keys, that are about something else: a work, or a job that brings the next of its launch.
SEGMENT_ARRIVES, LAUNCHED = 0x40, 0x41


def _wide(fields: list[Any], row_bytes: int) -> np.dtype[Any]:
    """Return records that take `row_bytes` each, so that none lies in more lines of the cache than it must."""
    packed = np.dtype(fields, align=True)
    assert packed.fields is not None
    columns = {name: packed.fields[name] for name in packed.names or ()}
    return np.dtype({'names': list(columns), 'formats': [column[0] for column in columns.values()],
                     'offsets': [column[1] for column in columns.values()], 'itemsize': row_bytes}, align=True)


HOP = _wide([
    ('kind', 'i4'), ('flags', 'i4'), ('station', 'i4'), ('stage', 'i4'), ('curve', 'i4'), ('law', 'i4'),
    ('radio', 'i4'), ('window', 'i4'), ('key', 'i8'), ('amount', 'f8'), ('base', 'f8'), ('latency_s', 'f8'),
    ('crypto_ratio', 'f8'), ('n_bytes', 'i8'), ('wrap_bytes', 'i8'), ('segment_bytes', 'i8'), ('legs_behind', 'i8'),
    ('n_segments', 'i8'),
    ('end_convoy', 'i4'), ('arrival_convoy', 'i4'),  # of the ends of its services, and of what follows them
], 2 * CACHE_LINE_BYTES)
ROUTE = np.dtype([
    ('first', 'i8'), ('end', 'i8'), ('stream', 'i4'), ('flow', 'i4'), ('class_row', 'i4'), ('priority', 'i4'),
    ('fallback', 'i4'), ('guard_first', 'i4'), ('n_guards', 'i4'), ('deadline_s', 'f8'), ('wire_bytes', 'i8'),
    ('crypto_bytes', 'i8'),
], align=True)
STATION = _wide([
    ('discipline', 'i4'), ('law_offset', 'i4'), ('first_server', 'i4'), ('n_servers', 'i4'), ('n_idle', 'i4'),
    ('n_waiting', 'i8'), ('waiting_max', 'i8'), ('up', 'i4'), ('n_rows', 'i4'), ('served', 'i8'), ('n_arrived', 'i8'),
    ('waiting_since_s', 'f8'), ('waiting_s', 'f8'), ('busy_s', 'f8'),
    ('frame_bytes', 'i8'), ('frame_overhead_bits', 'f8'), ('frame_gap_bits', 'f8'),
    ('loss_ratio', 'f8'), ('attempts_max', 'i8'),
], 2 * CACHE_LINE_BYTES)
SERVER = _wide([('speed', 'f8'), ('idle_since_s', 'f8'), ('work', 'i8')], CACHE_LINE_BYTES // 2)
ENTITY = _wide([
    ('key', 'i8'), ('class_row', 'i4'), ('attachment', 'i4'), ('sending', 'i4'), ('valid_from_s', 'f8'),
    ('sealed_bytes', 'f8'),
    ('busy_s', 'f8'), ('busy_crypto_s', 'f8'), ('transmit_s', 'f8'), ('transmit_crypto_s', 'f8'),
    ('transmit_bytes', 'f8'), ('receive_s', 'f8'), ('receive_crypto_s', 'f8'), ('receive_bytes', 'f8'),
], 2 * CACHE_LINE_BYTES)
JOB = _wide([
    # What every hop asks for: a line of the cache.
    ('key', 'i8'), ('route', 'i4'), ('entity', 'i4'), ('attachment', 'i4'), ('attempt', 'i4'), ('consumer', 'i4'),
    ('delivery', 'i4'),  # grows with each delivery, and when its consumer dies; never starts again
    ('under_way', 'i4'),  # works, those of void deliveries too: the slot is free when there are none
    ('has_amounts', 'i2'), ('done', 'i2'),
    ('first_leg', 'i4'), ('n_segments', 'i4'), ('entered', 'i4'), ('arrived', 'i4'),  # of the present transfer
    ('launched_s', 'f8'),
    # What some hops and the end ask for.
    ('deadline_s', 'f8'), ('crypto_s', 'f8'), ('mark_s', 'f8'), ('sealed_s', 'f8'), ('id', 'i8'), ('k', 'i8'),
    ('next', 'i8'), ('inbox', 'i4'),
    # The present queue.
    ('number', 'i8'), ('position', 'i8'), ('previous', 'i8'), ('queued_s', 'f8'), ('sent_s', 'f8'),
], 3 * CACHE_LINE_BYTES)
WORK = _wide([
    ('job', 'i8'), ('hop', 'i8'), ('segment', 'i8'), ('next', 'i8'), ('order', 'i8'), ('priority', 'i4'),
    ('lost', 'i4'), ('server', 'i4'), ('epoch', 'i4'), ('station', 'i4'),
    ('attempt', 'i4'), ('delivery', 'i4'),  # those of the job when the work was made
    ('amount', 'f8'), ('remaining', 'f8'), ('arrived_s', 'f8'),
    ('first_started_s', 'f8'), ('started_s', 'f8'), ('gap_bits', 'f8'),
], 2 * CACHE_LINE_BYTES)
ENTRY = np.dtype([('time_s', 'f8'), ('event', 'i8')], align=True)  # of the heap
# What an event is about: a, and b, which says whether that still holds.
#   SERVICE_END      work, its epoch                   ACKNOWLEDGE   consumer, its incarnation
#   ARRIVE           job and its delivery, position    RETURN        first of the jobs that a consumer held, queue
#   SEGMENT_ARRIVES  work                              WAKE          driver, which of its waits
#   LAUNCHED         job                               CHANGE        row of the engine's list of changes
#   DELIVER          job, its delivery
EVENT = _wide([
    ('key', 'i8'), ('number', 'i8'), ('a', 'i8'), ('kind', 'i4'), ('b', 'i4'),
    ('time_s', 'f8'), ('convoy', 'i4'), ('next', 'i4'),  # of its convoy
    ('job', 'i4'), ('hop', 'i4'), ('entity', 'i4'), ('station', 'i4'),  # that it will act on, if that is known
], CACHE_LINE_BYTES)
CONVOY = np.dtype([('last', 'i8')], align=True)  # event; NONE: there is none
QUEUE_RECORD = np.dtype([
    ('first_consumer', 'i4'), ('n_consumers', 'i4'), ('next_consumer', 'i4'), ('prefetch', 'i4'), ('capacity', 'i8'),
    ('up', 'i8'),  # 0 while the broker is down
    ('head', 'i8'), ('tail', 'i8'), ('n_waiting', 'i8'), ('waiting_max', 'i8'), ('n_messages', 'i8'),
    ('delivered', 'i8'), ('dropped', 'i8'), ('redelivered', 'i8'), ('key', 'i8'),
    ('waiting_since_s', 'f8'), ('waiting_s', 'f8'), ('deliver_s', 'f8'), ('acknowledge_s', 'f8'), ('detect_s', 'f8'),
    ('deliver_convoy', 'i4'), ('acknowledge_convoy', 'i4'),
], align=True)
CONSUMER_RECORD = np.dtype([
    ('station', 'i4'), ('queue', 'i4'), ('unacknowledged', 'i4'), ('incarnation', 'i4'), ('up', 'i4'),
    ('held', 'i8'), ('held_last', 'i8'),  # first and last job that it has not acknowledged, in the order of delivery
], align=True)
INBOX = np.dtype([('n', 'i8'), ('wanted', 'i8'), ('driver', 'i8'), ('wait', 'i8'), ('key', 'i8')], align=True)
OUTCOME = np.dtype([('inbox', 'i8'), ('job', 'i8'), ('entity', 'i8'), ('outcome', 'i8'), ('launched_s', 'f8'),
                    ('finished_s', 'f8'), ('mark_s', 'f8')], align=True)
JOB_ROW = np.dtype([(name, 'i8' if code == 'q' else 'f8') for name, code in JOB_COLUMNS.items()], align=True)
HOP_ROW = np.dtype([(name, 'i8' if code == 'q' else 'f8') for name, code in HOP_COLUMNS.items()], align=True)
FLOW = np.dtype([
    ('outcomes', 'i8', len(OUTCOMES)), ('latency_sum_s', 'f8'), ('crypto_sum_s', 'f8'), ('wire_bytes', 'i8'),
    ('crypto_bytes', 'i8'),
], align=True)
DEADLINE = np.dtype([('n', 'i8'), ('n_missed', 'i8')], align=True)  # of the jobs of a class in a flow
LINE = np.dtype([('first', 'i4'), ('last', 'i4')], align=True)  # of the works that wait in one class
CURVE = np.dtype([('first', 'i8'), ('n', 'i8')], align=True)
LAW = np.dtype([('kind', 'i8'), ('a', 'f8'), ('b', 'f8'), ('c', 'f8')], align=True)
NUMBER = np.dtype([('value', 'i8')], align=True)
FLOAT = np.dtype([('value', 'f8')], align=True)

# Every table of the machine: its name, and the records it is made of. The machine holds their addresses.
TABLES = {
    'hops': HOP, 'routes': ROUTE, 'guards': NUMBER, 'route_of': NUMBER, 'stream_keys': NUMBER, 'groups': NUMBER,
    'attachment_stations': NUMBER, 'consumer_stations': NUMBER, 'curves': CURVE, 'curve_amounts': FLOAT,
    'curve_seconds': FLOAT,
    'laws': LAW, 'quantiles': FLOAT, 'stations': STATION, 'servers': SERVER, 'lines': LINE, 'entities': ENTITY,
    'queues': QUEUE_RECORD, 'consumers': CONSUMER_RECORD, 'flows': FLOW, 'deadlines': DEADLINE, 'stage_seconds': FLOAT,
    'latency': NUMBER, 'amount_columns': NUMBER, 'amounts': FLOAT, 'jobs': JOB, 'free_jobs': NUMBER, 'works': WORK,
    'free_works': NUMBER, 'events': EVENT, 'free_events': NUMBER, 'convoys': CONVOY, 'heap': ENTRY, 'inboxes': INBOX,
    'outcomes': OUTCOME, 'arrivals': ARRIVAL, 'job_rows': JOB_ROW, 'hop_rows': HOP_ROW,
}
COUNTERS = ('n_stations', 'n_stages', 'n_priorities', 'n_variants', 'n_classes', 'n_groups', 'n_amounts',
            'n_curve_points', 'n_quantiles', 'n_consumers', 'n_queues', 'n_rows', 'n_in_heap', 'is_apart', 'n_acted',
            'event_number', 'n_free_jobs', 'n_free_works', 'n_free_events', 'n_live', 'n_launched', 'n_hops',
            'n_unacknowledged', 'n_outcomes', 'n_job_rows', 'n_hop_rows', 'next_arrival', 'n_arrivals', 'margin',
            'outcomes_max', 'job_rows_max', 'hop_rows_max', 'traces_jobs', 'traces_hops', 'run_key')
MACHINE = np.dtype([('now', 'f8'), ('from_s', 'f8'), ('to_s', 'f8'), *((name, 'i8') for name in COUNTERS),
                    *((name, 'i8') for name in TABLES)], align=True)


# Rows are reached by pointers that the machine holds, never by numbers turned into pointers. Numba links functions that
# have been through code generation into their callers, and code generation, free to read (table + offset) as
# (offset + table), may have made a pointer of the offset. Where a caller then knows the offset to be 0 that is null,
# LLVM takes it that nobody gets there, and drops the path: on some processors events lost their times.


def _row_pointer(builder: Any, table: str, machine: Any, row: Any) -> Any:
    """Emit the address of a row of a table."""
    byte = ir.IntType(8)
    assert MACHINE.fields is not None
    place = builder.gep(builder.bitcast(machine, byte.as_pointer()), [ir.IntType(64)(MACHINE.fields[table][1])])
    rows = builder.load(builder.bitcast(place, byte.as_pointer().as_pointer()))
    return builder.gep(rows, [builder.mul(row, row.type(TABLES[table].itemsize))])


def _reader(table: str) -> Any:
    """Return a compiled function of (machine, row) that gives a row of a table as a record, in place."""
    record = from_dtype(TABLES[table])

    @intrinsic
    def at(typingctx: Any, machine: Any, row: Any) -> Any:  # noqa: ARG001 (the names are Numba's)
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = _row_pointer(builder, table, *arguments)
            return builder.bitcast(pointer, context.get_value_type(signature.return_type))

        return record(machine, types.int64), codegen

    return at


def _fetcher(table: str, n_lines: int | None = None) -> Any:
    """Return a compiled function of (machine, row) that asks for a row's first lines and does not wait."""

    @intrinsic
    def fetch(typingctx: Any, machine: Any, row: Any) -> Any:  # noqa: ARG001 (the names are Numba's)
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
            begin = _row_pointer(builder, table, *arguments)
            byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
            prefetch = builder.module.declare_intrinsic(
                'llvm.prefetch', [byte], ir.FunctionType(ir.VoidType(), [byte, number, number, number]))
            for offset in range(0, TABLES[table].itemsize, CACHE_LINE_BYTES)[:n_lines]:
                at = builder.gep(begin, [ir.IntType(64)(offset)])
                builder.call(prefetch, [at, number(1), number(3), number(1)])  # to be written, soon again, data
            return context.get_dummy_value()

        return types.void(machine, types.int64), codegen

    return fetch


def _array(table: str, counter: str) -> Any:
    """Return a compiled function of the machine that gives a table of floats as an array, in place."""

    @intrinsic
    def begin(typingctx: Any, machine: Any) -> Any:  # noqa: ARG001 (the names are Numba's)
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = _row_pointer(builder, table, arguments[0], ir.IntType(64)(0))
            return builder.bitcast(pointer, context.get_value_type(signature.return_type))

        return types.CPointer(types.float64)(machine), codegen

    @compiled
    def all_of(m: Any) -> Any:
        return numba.carray(begin(m), getattr(m, counter))  # type: ignore[attr-defined, call-arg]  # compiled

    return all_of


hop_at, route_at, station_at, server_at, line_at = map(_reader, ('hops', 'routes', 'stations', 'servers', 'lines'))
entity_at, queue_at, consumer_at, inbox_at, outcome_at = map(
    _reader, ('entities', 'queues', 'consumers', 'inboxes', 'outcomes'))
job_at, work_at, event_at, entry_at, convoy_at, arrival_at = map(
    _reader, ('jobs', 'works', 'events', 'heap', 'convoys', 'arrivals'))
job_row_at, hop_row_at, flow_at, deadline_at, curve_at, law_at = map(
    _reader, ('job_rows', 'hop_rows', 'flows', 'deadlines', 'curves', 'laws'))
attachment_station_at, consumer_station_at, group_at, guard_at, route_row_at, stream_key_at = map(
    _reader, ('attachment_stations', 'consumer_stations', 'groups', 'guards', 'route_of', 'stream_keys'))
free_job_at, free_work_at, free_event_at = map(_reader, ('free_jobs', 'free_works', 'free_events'))
amount_at, amount_column_at, stage_seconds_at, latency_bin_at = map(
    _reader, ('amounts', 'amount_columns', 'stage_seconds', 'latency'))
fetch_entity, fetch_station, fetch_server, fetch_work, fetch_event, fetch_hop, fetch_route = map(
    _fetcher, ('entities', 'stations', 'servers', 'works', 'events', 'hops', 'routes'))
fetch_job = _fetcher('jobs', n_lines=2)
quantiles_in, curve_amounts_in, curve_seconds_in = (
    _array('quantiles', 'n_quantiles'), _array('curve_amounts', 'n_curve_points'),
    _array('curve_seconds', 'n_curve_points'))
