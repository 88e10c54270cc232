"""The message broker of the hardware loop: a private one, its rights, its queues, and connections to it.

`hil.broker.private` starts a broker that ends with its owner; `hil.broker.topology` says which exchanges and queues a
run has; `hil.broker.connection` is the only module that knows pika. Importing this package starts nothing.
"""
