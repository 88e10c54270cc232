"""A key's life with real primitives: enrolment, session keys, their way to those who open messages, and their end.

docs/key-life.md has the protocol on one page. A `Device` and a `Place` are subjects: each has an identity that the
`Authority` certified, and comes to one session key after another with it. The authority hands the devices' keys to the
places. All three are state machines that take messages as bytes, give messages as bytes, and never look at a clock:
the time is an argument, in unix seconds. None of them may be used by two threads at once.

Secrets are erased as far as Python lets us. Promised is that nothing here refers to an ephemeral private key or a KEM's
secret once it has been used, nor to a session key once it has ended, and that the bytes of those that lived in a
`Secret` were overwritten. Not promised is that no copy is left in memory: primitives take and return objects that
cannot be overwritten, and the interpreter, its libraries and the system's swap may hold copies until they use the space
for something else.
"""
