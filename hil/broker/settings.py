"""The limits of a broker, all of them set by us, and the file that says them to RabbitMQ 3.10 and 4.

What a version would choose by itself differs from version to version (the largest message was 128 MiB and is 16 MiB
since 4.0), so nothing that a run depends on is left to it.
"""

from dataclasses import dataclass
from pathlib import Path

BODY_BYTES_MAX = 12 << 20  # of one message's body; RabbitMQ 4 refuses more than 16 MiB unless it is told otherwise
HEARTBEAT_S = 60  # RabbitMQ's own; a worker may compute for as long without a word
LOG_BYTES_MAX = 8 << 20  # of one file; there are two


@dataclass(frozen=True)
class Settings:
    """What a broker may take and how long it waits."""

    memory_bytes: int = 512 << 20  # then publishers are blocked; an idle broker takes 150 MB
    disk_free_bytes: int = 128 << 20  # publishers are blocked when the disk has less
    body_bytes_max: int = BODY_BYTES_MAX
    heartbeat_s: int = HEARTBEAT_S
    consumer_timeout_s: int = 1800  # that a message may stay unacknowledged: RabbitMQ's own since 3.8.17
    channels_max: int = 64  # of one connection


@dataclass(frozen=True)
class Paths:
    """The files of a private broker, in a folder of its own."""

    folder: Path

    @property
    def ca(self) -> Path:
        """The certificate that clients check the broker's against."""
        return self.folder / 'ca.pem'

    @property
    def certificate(self) -> Path:
        """The broker's certificate."""
        return self.folder / 'server.pem'

    @property
    def key(self) -> Path:
        """The broker's private key."""
        return self.folder / 'server.key'

    @property
    def definitions(self) -> Path:
        """Users and their rights, read at the start."""
        return self.folder / 'definitions.json'

    @property
    def configuration(self) -> Path:
        """The text that `configuration` returns."""
        return self.folder / 'rabbitmq.conf'

    @property
    def log(self) -> Path:
        """What RabbitMQ says of itself."""
        return self.folder / 'log' / 'broker.log'

    @property
    def output(self) -> Path:
        """What RabbitMQ and Erlang print, most of it before the log is open."""
        return self.folder / 'log' / 'output.txt'


def configuration(settings: Settings, paths: Paths, host: str, port: int) -> str:
    """Return the text of ``rabbitmq.conf``; every key in it means the same in 3.10 and 4."""
    lines = {
        'listeners.tcp': 'none',
        'listeners.ssl.1': f'{host}:{port}',
        'ssl_options.cacertfile': paths.ca,
        'ssl_options.certfile': paths.certificate,
        'ssl_options.keyfile': paths.key,
        'ssl_options.verify': 'verify_none',  # of clients: they have passwords
        'ssl_options.versions.1': 'tlsv1.3',
        'load_definitions': paths.definitions,
        'heartbeat': settings.heartbeat_s,
        'max_message_size': settings.body_bytes_max,
        'consumer_timeout': 1000 * settings.consumer_timeout_s,
        'channel_max': settings.channels_max,
        'vm_memory_high_watermark.absolute': settings.memory_bytes,
        'disk_free_limit.absolute': settings.disk_free_bytes,
        'log.file.level': 'info',
        'log.file.rotation.size': LOG_BYTES_MAX,
        'log.file.rotation.count': 1,
    }
    return ''.join(f'{key} = {value}\n' for key, value in lines.items())
