"""What runs on a node: takes messages of one place, does their stages with real primitives, and sends them on.

`hil.worker.dispatcher` is all of it but the broker: bytes in, bytes out. `hil.worker.process` puts it behind one.
"""
