"""Engines run a Model and leave a Recording; they know nothing of YAML, hospitals or cryptography."""
