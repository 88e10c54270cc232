"""``python -m hil.worker``: a worker where the command line of iomtwin is not installed."""

import sys

from hil.worker.command import main

sys.exit(main())
