"""Messages between the twin and its workers: a header of fixed fields, and a binary body.

docs/wire.md is the layout, byte by byte. There is one codec, `hil.wire.codec`; nothing is ever pickled.
"""
