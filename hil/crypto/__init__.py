"""Real primitives behind three small interfaces, named as scenarios name them.

`hil.crypto.suites.bind` turns the name of a suite into functions; `hil.crypto.sealing` is what messages are sealed and
opened with. Importing this package compiles nothing, probes for nothing and prints nothing.
"""
