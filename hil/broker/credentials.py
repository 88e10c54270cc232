"""Who talks to a broker: a user for each role, and where a process finds its password.

Passwords are never in a scenario or an inventory. A process finds them in its environment or in a file that nobody
else may read.
"""

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hil.broker.names import ROLES, Role, rights
from hil.private_file import read_private
from sim.errors import InputError

VHOST = 'iomtwin'
FILE_BYTES_MAX = 1 << 16
PASSWORD_BYTES = 24  # drawn for each role of each broker
SALT_BYTES = 4  # RabbitMQ's rabbit_password: a salt of 32 bits, then SHA-256 of salt and password


@dataclass(frozen=True)
class Credentials:
    """A user of a broker."""

    user: str
    password: str = field(repr=False)


def draw_credentials() -> dict[Role, Credentials]:
    """Return a user with a fresh password for each role."""
    return {role: Credentials(role, secrets.token_urlsafe(PASSWORD_BYTES)) for role in ROLES}


def definitions(users: Mapping[Role, Credentials], run: str | None = None) -> str:
    """Return users and rights as RabbitMQ imports them, without a password in it.

    Parameters
    ----------
    users
        Who there is.
    run
        The only run whose names the rights are for; none: every run.
    """
    permissions = [{'user': user.user, 'vhost': VHOST, **asdict(rights(role, run))} for role, user in users.items()]
    return json.dumps({
        'vhosts': [{'name': VHOST}],
        'users': [{'name': user.user, 'password_hash': _hash(user.password), 'tags': '',
                   'hashing_algorithm': 'rabbit_password_hashing_sha256'} for user in users.values()],
        'permissions': permissions}, indent=1)


def _hash(password: str) -> str:
    salt = secrets.token_bytes(SALT_BYTES)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def to_environment(role: Role, credentials: Credentials) -> dict[str, str]:
    """Return the variables that `from_environment` reads."""
    user, password = _variables(role)
    return {user: credentials.user, password: credentials.password}


def from_environment(role: Role, environment: Mapping[str, str] = os.environ) -> Credentials:
    """Return the credentials of a role, as in ``IOMTWIN_CRYPTO_USER`` and ``IOMTWIN_CRYPTO_PASSWORD``.

    Raises
    ------
    InputError
        If they are not there.
    """
    for name in _variables(role):
        if not environment.get(name):
            raise InputError(f"environment: found no {name}; expected the {role}'s credentials there; set it")
    user, password = _variables(role)
    return Credentials(environment[user], environment[password])


def _variables(role: Role) -> tuple[str, str]:
    return f'IOMTWIN_{role.upper()}_USER', f'IOMTWIN_{role.upper()}_PASSWORD'


def from_file(role: Role, path: Path) -> Credentials:
    """Return the credentials of a role from a JSON file: ``{"crypto": {"user": "…", "password": "…"}}``.

    Raises
    ------
    InputError
        If the file cannot be read, may be read by others, or holds none for the role.
    """
    text = read_private(path, 'credentials', FILE_BYTES_MAX)
    try:
        entry = json.loads(text)[role]
        found = Credentials(entry['user'], entry['password'])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f'{path}: found no credentials of the role {role}; expected JSON as in '
                         f'{{"{role}": {{"user": "…", "password": "…"}}}}') from None
    if not (isinstance(found.user, str) and isinstance(found.password, str) and found.user):
        raise InputError(f'{path}: user and password of the role {role} must be texts; correct the file')
    return found
