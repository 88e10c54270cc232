"""What a benchmark's numbers were measured with: the processor, the packages, and what else was running."""

import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path


def machine(packages: tuple[str, ...]) -> list[str]:
    """Return what the numbers were measured with."""
    cpu = next((line.split(':')[1].strip() for line in Path('/proc/cpuinfo').read_text().splitlines()
                if line.startswith('model name')), 'unknown')
    versions = ', '.join(f'{name} {metadata.version(name)}' for name in packages)
    return [(f'- {datetime.now(UTC):%Y-%m-%d}, {cpu}, {os.cpu_count()} cores, '
            f'Python {platform.python_version()}, {versions}'),
            f'- load {os.getloadavg()[0]:.1f} at the beginning']
