"""The paced twin: the model in real time, with the stages of some places done by real workers on a real broker.

`binding` says which hops hardware does, `engine` runs the model against the clock, `hardware` sends messages and hears
their replies, `devices` does the crypto of simulated devices, `testbed` starts and ends what a run needs.
"""
