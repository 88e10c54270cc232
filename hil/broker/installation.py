"""The RabbitMQ and the Erlang that are installed: where they are, and the environment that they are started in."""

import os
import shutil
from pathlib import Path

from hil.broker.errors import BrokerError
from hil.broker.settings import Paths

BEHIND = {'/usr/sbin/rabbitmq-server': '/usr/lib/rabbitmq/bin/rabbitmq-server'}  # Debian's first becomes another user
INSTALL = 'install it, on Debian and Ubuntu: sudo apt-get install --no-install-recommends rabbitmq-server'


def find_server() -> Path:
    """Return RabbitMQ's own start script: the first on the PATH, or what Debian's script there stands for.

    Raises
    ------
    BrokerError
        If it is not installed.
    """
    found = shutil.which('rabbitmq-server') or next(filter(os.path.exists, BEHIND.values()), None)
    if found is None:
        raise BrokerError(f'found no rabbitmq-server; expected RabbitMQ 3.10 or later; {INSTALL}')
    return Path(BEHIND.get(found, found))


def find_port_mapper() -> Path:
    """Return Erlang's port mapper.

    Raises
    ------
    BrokerError
        If it is not installed.
    """
    found = shutil.which('epmd')
    if found is None:
        raise BrokerError(f'found no epmd, which comes with Erlang; RabbitMQ needs both; {INSTALL}')
    return Path(found)


def environment(paths: Paths, host: str, port: int, distribution_port: int, mapper_port: int) -> dict[str, str]:
    """Return all that RabbitMQ and Erlang see: nothing of the user's own, nor of the machine's configuration."""
    folder = paths.folder
    return {
        'PATH': os.environ.get('PATH', os.defpath),
        'LANG': 'C.UTF-8',
        'HOME': str(folder / 'home'),  # of Erlang's cookie
        'detached': 'yes',  # the script becomes Erlang, which so dies with its guardian, and leaves no shell between
        'ERL_EPMD_PORT': str(mapper_port),
        'ERL_EPMD_ADDRESS': host,
        # Of every Erlang, also of those that RabbitMQ starts for a moment, each minute one.
        'ERL_AFLAGS': f'-start_epmd false -kernel inet_dist_use_interface {{{host.replace(".", ",")}}}',
        'ERL_CRASH_DUMP_SECONDS': '0',
        # Its threads sleep when they have nothing to do; they would keep processors busy that workers need.
        'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS': '+sbwt none +sbwtdcpu none +sbwtdio none',
        'RABBITMQ_NODENAME': f'iomtwin-{port}@localhost',
        'RABBITMQ_DIST_PORT': str(distribution_port),
        'RABBITMQ_CONFIG_FILE': str(paths.configuration),
        'RABBITMQ_CONFIG_FILES': str(folder / 'none' / '*.conf'),
        'RABBITMQ_ADVANCED_CONFIG_FILE': str(folder / 'none' / 'advanced.config'),
        'RABBITMQ_CONF_ENV_FILE': str(folder / 'none' / 'rabbitmq-env.conf'),
        'RABBITMQ_MNESIA_BASE': str(folder / 'data'),
        'RABBITMQ_LOG_BASE': str(folder / 'log'),
        'RABBITMQ_LOGS': str(paths.log),
        'RABBITMQ_ENABLED_PLUGINS_FILE': str(folder / 'enabled_plugins'),
        'RABBITMQ_GENERATED_CONFIG_DIR': str(folder / 'data'),
        'RABBITMQ_PID_FILE': str(folder / 'pid'),
    }
