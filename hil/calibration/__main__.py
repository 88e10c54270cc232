"""Calibrates this machine and writes its profile to standard output: what a pod does, whose log is read."""

import argparse
import sys
from collections.abc import Sequence

from hil.calibration.calibrating import FULL_S, calibrate
from hil.calibration.machine import inspect, similar_profile
from hil.crypto.providers import choose
from hil.worker.command import OptionParser, reported
from sim.profiles import load_profile


def run(arguments: Sequence[str]) -> None:
    """Calibrate and write the profile, which says itself how well, and nothing else: a log has both outputs in it.

    Raises
    ------
    InputError
        If an argument is wrong, or no profile is of a machine like this one.
    """
    options = _parser().parse_args(arguments)
    model = load_profile(similar_profile(inspect()))
    found = calibrate(choose(None), model, options.name, options.seconds, lambda *_: None)
    print(found.text, end='')


def _parser() -> argparse.ArgumentParser:
    parser = OptionParser('python -m hil.calibration', description='Time the real primitives on this machine.')
    parser.add_argument('--name', required=True, help='of the profile')
    parser.add_argument('--seconds', type=float, default=FULL_S, help='how long it takes; %(default)s')
    return parser


if __name__ == '__main__':
    sys.exit(reported(run, sys.argv[1:]))
