"""A profile that is small enough to read and to break."""

from pathlib import Path

GOOD = """\
name: gadget
title: "A gadget"
implementation: "native"
sources:
  bench: "someone's measurement"
cores: {value: 2, source: bench, quality: primary}
clock: {value: 100 MHz, source: bench, quality: primary}
power:
  base: {value: 1 W, source: bench, quality: primary}
  busy: {value: 0.5 W, source: bench, quality: primary}
  transmit: {value: 0 W, source: bench, quality: primary}
  receive: {value: 0 W, source: bench, quality: primary}
costs:
  kem.keygen:
    ML-KEM-768: {value: 1000 cycles, source: bench, quality: primary}
  aead.seal:
    Ascon-AEAD128:
      points:
        - {bytes: 16, value: 1 us}
        - {bytes: 1024, value: 20 us}
      source: bench
      quality: primary
  sig.sign:
    ML-DSA-44:
      value: 10 ms
      source: bench
      quality: primary
      noise: {law: geometric, fixed: 0.2, step: 0.2, p: 0.25, source: bench, quality: primary}
  fl.train:
    any: {value: 2 ms, per: sample, source: "why two milliseconds", quality: assumption}
"""


def write(folder: Path, text: str) -> Path:
    """Write a profile named gadget and return its path."""
    path = folder / 'gadget.yaml'
    path.write_text(text)
    return path
