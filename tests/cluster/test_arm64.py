"""A worker on arm64, emulated: wheels, endianness and protocol; by hand, with tests/cluster/arm64_worker.sh."""

import os
import subprocess
from pathlib import Path

import pytest

from hil.broker.private import PrivateBroker
from tests.worker.rounds import N_CLIENTS, assert_exactly_once, learn_a_round, telemetry
from tests.worker.twin import twin

pytestmark = pytest.mark.cluster
COMPILE = 'from hil.crypto.ascon_kernel import warm_up; warm_up()'  # into the cache, for both workers


def test_a_worker_seals_opens_and_aggregates_on_arm64(broker: PrivateBroker, tmp_path: Path) -> None:
    """Telemetry, and a round of learning whose average is FedAvg to the last bit, by workers of that architecture."""
    root = os.environ.get('IOMTWIN_ARM64')
    if not root:
        pytest.skip('NOT TESTED: a worker on arm64; run tests/cluster/arm64_worker.sh FOLDER')
    python = ('qemu-aarch64-static', '-L', root, '-E', f'PYTHONHOME={root}/usr', '-E', f'PYTHONPATH={root}/site',
              '-E', 'PYTHONDONTWRITEBYTECODE=1', '-E', f'NUMBA_CACHE_DIR={root}/numba',
              f'{root}/usr/bin/python3.11')
    subprocess.run([*python, '-c', COMPILE], check=True)  # minutes, more than a test waits for a worker
    with twin(broker, tmp_path, python=python) as made:
        made.wait_until_ready(made.start('crypto', 'pi-1'))  # one after the other: each has half a minute's work to do
        made.wait_until_ready(made.start('server', 'pi-2'))
        made.launch_all(telemetry(made, 20))
        learn_a_round(made, 1000)
        assert_exactly_once(made, 20 + 3 * N_CLIENTS)
