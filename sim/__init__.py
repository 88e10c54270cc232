"""iomtwin's model of a hospital: from a scenario file to a run's results.

`load` reads a scenario, `lower` turns it into arrays, `run` executes them.
"""
