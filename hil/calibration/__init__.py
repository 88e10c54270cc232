"""What the primitives cost on this machine: timed, and written as a profile that scenarios use as it is.

`hil.calibration.calibrating.calibrate` is the way through. Importing this package times nothing and prints nothing.
"""
