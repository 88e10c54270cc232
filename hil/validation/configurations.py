"""What is compared: a scenario under settings that move where cryptography queues and what it costs."""

from collections.abc import Mapping
from dataclasses import dataclass

SEQUENTIAL = {'crypto.placement': 'sequential'}
DISTRIBUTED = {'crypto.placement': 'distributed', 'crypto.replicas': '3'}


@dataclass(frozen=True)
class Configuration:
    """One setting; `distributes` names the one that it is but for the placement of its cryptography."""

    name: str
    settings: Mapping[str, str]
    distributes: str | None = None

    def overrides(self) -> list[str]:
        """Return the settings as a command takes them."""
        return [f'{key}={value}' for key, value in self.settings.items()]


def _sized(n_bytes: int) -> dict[str, str]:
    return {'learning.model': f'{n_bytes} B', 'learning.update': f'{n_bytes} B'}


QUICK = (
    Configuration('sequential', SEQUENTIAL),
    Configuration('distributed', DISTRIBUTED, distributes='sequential'),
)
FULL = (
    *QUICK,
    Configuration('two-replicas', {**DISTRIBUTED, 'crypto.replicas': '2'}, distributes='sequential'),
    Configuration('sequential-prefetch-1', {**SEQUENTIAL, 'crypto.prefetch': '1'}),
    Configuration('distributed-prefetch-1', {**DISTRIBUTED, 'crypto.prefetch': '1'},
                  distributes='sequential-prefetch-1'),
    Configuration('sequential-16-kb', {**SEQUENTIAL, **_sized(16_000)}),
    Configuration('distributed-16-kb', {**DISTRIBUTED, **_sized(16_000)}, distributes='sequential-16-kb'),
    Configuration('sequential-classical', {**SEQUENTIAL, 'crypto.suite': 'classical'}),
    Configuration('distributed-classical', {**DISTRIBUTED, 'crypto.suite': 'classical'},
                  distributes='sequential-classical'),
)
