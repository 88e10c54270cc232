"""The compiled engine's memory: one array of records for each noun, in one tuple.

Everything that lives as long as the run (stations, servers, entities) is a row for good; everything that comes and
goes (jobs, works, events) is a slot of a pool, taken from a stack of free slots and given back. A device's own CPU is
a station behind the model's: station n_stations + entity.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.model import LINK, PREEMPTIVE, Model

Records = NDArray[Any]

NONE = -1

HOP = np.dtype([
    ('kind', 'i4'), ('flags', 'i4'), ('station', 'i4'), ('stage', 'i4'), ('curve', 'i4'), ('law', 'i4'),
    ('radio', 'i4'), ('window', 'i4'), ('key', 'i8'), ('amount', 'f8'), ('base', 'f8'), ('latency_s', 'f8'),
    ('crypto_ratio', 'f8'), ('n_bytes', 'i8'), ('wrap_bytes', 'i8'), ('segment_bytes', 'i8'), ('last_leg', 'i8'),
], align=True)
ROUTE = np.dtype([
    ('first', 'i8'), ('end', 'i8'), ('stream', 'i4'), ('flow', 'i4'), ('priority', 'i4'), ('fallback', 'i4'),
    ('guard_first', 'i4'), ('n_guards', 'i4'), ('deadline_s', 'f8'), ('wire_bytes', 'i8'), ('crypto_bytes', 'i8'),
], align=True)
STATION = np.dtype([
    ('discipline', 'i4'), ('law_offset', 'i4'), ('first_server', 'i4'), ('n_servers', 'i4'), ('n_busy', 'i4'),
    ('n_waiting', 'i4'), ('waiting_max', 'i4'), ('up', 'i4'), ('served', 'i8'), ('n_arrived', 'i8'),
    ('waiting_since_s', 'f8'), ('waiting_s', 'f8'), ('busy_s', 'f8'),
    ('frame_bytes', 'i8'), ('overhead_bits', 'f8'), ('loss_ratio', 'f8'), ('attempts_max', 'i8'),
], align=True)
SERVER = np.dtype([('speed', 'f8'), ('idle_since_s', 'f8'), ('work', 'i8')], align=True)
ENTITY = np.dtype([
    ('key', 'i8'), ('class_row', 'i4'), ('attachment', 'i4'), ('admitted', 'i4'), ('sending', 'i4'),
    ('busy_s', 'f8'), ('busy_crypto_s', 'f8'), ('transmit_s', 'f8'), ('transmit_crypto_s', 'f8'),
    ('transmit_bytes', 'f8'), ('receive_s', 'f8'), ('receive_crypto_s', 'f8'), ('receive_bytes', 'f8'),
], align=True)
JOB = np.dtype([
    ('key', 'i8'), ('id', 'i8'), ('route', 'i4'), ('entity', 'i4'), ('attachment', 'i4'), ('attempt', 'i4'),
    ('consumer', 'i4'), ('inbox', 'i4'), ('amounts', 'i4'), ('done', 'i4'), ('k', 'i8'), ('launched_s', 'f8'),
    ('deadline_s', 'f8'), ('crypto_s', 'f8'), ('mark_s', 'f8'),
    ('n_segments', 'i8'), ('entered', 'i8'), ('arrived', 'i8'), ('in_network', 'i8'),  # the present transfer
    ('number', 'i8'), ('position', 'i8'), ('next', 'i8'), ('previous', 'i8'), ('queued_s', 'f8'),  # the present queue
], align=True)
WORK = np.dtype([
    ('job', 'i8'), ('hop', 'i8'), ('segment', 'i8'), ('next', 'i8'), ('order', 'i8'), ('priority', 'i4'),
    ('lost', 'i4'), ('server', 'i4'), ('epoch', 'i4'), ('amount', 'f8'), ('remaining', 'f8'), ('arrived_s', 'f8'),
    ('first_started_s', 'f8'), ('started_s', 'f8'),
], align=True)
EVENT = np.dtype([('time_s', 'f8'), ('key', 'i8'), ('number', 'i8'), ('kind', 'i4'), ('b', 'i4'), ('a', 'i8')],
                 align=True)
QUEUE_RECORD = np.dtype([
    ('first_consumer', 'i4'), ('n_consumers', 'i4'), ('next_consumer', 'i4'), ('prefetch', 'i4'), ('capacity', 'i8'),
    ('head', 'i8'), ('tail', 'i8'), ('n_waiting', 'i8'), ('waiting_max', 'i8'), ('n_messages', 'i8'),
    ('delivered', 'i8'), ('dropped', 'i8'), ('redelivered', 'i8'), ('key', 'i8'),
    ('waiting_since_s', 'f8'), ('waiting_s', 'f8'), ('deliver_s', 'f8'), ('deliver_s_per_byte', 'f8'),
    ('acknowledge_s', 'f8'), ('detect_s', 'f8'),
], align=True)
CONSUMER_RECORD = np.dtype([
    ('station', 'i4'), ('queue', 'i4'), ('unacknowledged', 'i4'), ('incarnation', 'i4'), ('up', 'i4'), ('held', 'i8'),
], align=True)
INBOX = np.dtype([('n', 'i8'), ('wanted', 'i8'), ('driver', 'i8'), ('wait', 'i8'), ('key', 'i8')], align=True)
