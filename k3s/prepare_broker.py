"""Prepares a broker for a cluster: its certificate, its users with passwords, and its limits, in a folder of yours.

    .venv/bin/python k3s/prepare_broker.py 192.0.2.10 ~/.config/iomtwin/lab

The address is the one that the nodes reach the broker by: it is what the certificate is for. What is secret in the
folder is readable for you alone; nothing of it belongs into a repository. The certificate is good for a year.

For a broker in the cluster add ``--in-pod``; for one that a system's service runs, as root, ``--user rabbitmq``.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

from hil.broker.certificates import issue
from hil.broker.credentials import definitions, draw_credentials
from hil.broker.settings import Paths, Settings, configuration
from hil.worker.command import OptionParser, reported
from sim.errors import InputError

VALID = timedelta(days=365)
PORT = 5671  # AMQP over TLS, as IANA has it
IN_POD = Path('/run/iomtwin/rabbitmq')  # where k3s/overlays/broker-in-cluster has the files


def prepare(arguments: Sequence[str]) -> None:
    """Write the files.

    Raises
    ------
    InputError
        If there is something in the folder already.
    """
    options = _parser().parse_args(arguments)
    folder = options.folder.expanduser().absolute()
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f'{folder}: is not empty; name another, or remove what is there: workers of the broker that '
                         'it is of would not know this one')
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711 if options.user else 0o700)
    users, certificates = draw_credentials(), issue([options.host], VALID)
    seen = Paths(IN_POD if options.in_pod else folder)
    text = configuration(Settings(), seen, '0.0.0.0' if options.in_pod else options.host, options.port)
    paths = Paths(folder)
    for path, what in ((paths.ca, certificates.ca.decode()), (paths.certificate, certificates.certificate.decode()),
                       (paths.key, certificates.key.decode()), (paths.definitions, definitions(users)),
                       (paths.configuration, text),
                       (folder / 'credentials.json', json.dumps({role: asdict(user) for role, user in users.items()}))):
        path.touch(0o600)
        path.write_text(what)
        if options.user and path.name != 'credentials.json':
            shutil.chown(path, options.user)
    print(f'{folder}: the broker of amqps://{options.host}:{options.port}/iomtwin, until its certificate ends in '
          f'{VALID.days} days')


def _parser() -> argparse.ArgumentParser:
    parser = OptionParser('k3s/prepare_broker.py', description='Prepare a broker for a cluster.')
    add = parser.add_argument
    add('host', help='address that nodes reach it by')
    add('folder', type=Path, help='that is not there, or empty')
    add('--port', type=int, default=PORT, help='%(default)s; in a pod, what rabbitmq.conf says within it')
    add('--in-pod', action='store_true', help='for the overlay broker-in-cluster')
    add('--user', help='of the system, that RabbitMQ runs as; for root alone')
    return parser


if __name__ == '__main__':
    sys.exit(reported(prepare, sys.argv[1:]))
