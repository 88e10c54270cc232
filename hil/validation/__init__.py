"""How far off the model is: a testbed is calibrated, then the same scenarios are run on it and simulated."""
