"""Closed lists of all that a header names, and the ids of those who send and receive.

A name is one byte: its position in its list. The lists are part of the schema: a name added anywhere but at a list's
end needs another schema version.
"""

import hashlib

from sim import flows
from sim.wire import SUBJECT_BYTES

ID_BYTES = SUBJECT_BYTES
PLACES = ('device', 'gateway', 'broker', 'crypto', 'server', 'authority')
FLOWS = ('vitals', 'alarm', 'imaging', 'fl-publish', 'fl-update', 'fl-aggregate', 'enrol', 'rekey', 'key-record',
         'key-activate', 'revoke-notice', 'group-key', 'revoke')
OUTCOMES = ('', 'delivered', 'dropped')  # '' is on its way; the twin knows of more
# Bit i of the byte of options is OPTIONS[i].
OPTIONS = (flows.FRESH_KEY, flows.PAIRWISE, flows.SIGNED, flows.CERTIFIED, flows.PRE_SHARED, flows.EPHEMERAL)


def run_id(name: str) -> bytes:
    """Return the id of a run by its name, 16 bytes."""
    return hashlib.blake2b(name.encode(), digest_size=ID_BYTES, person=b'iomtwin run').digest()
