"""Keys and certificates of the control plane and of nodes."""

from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hil.broker.certificates import issue


def write_pair(folder: Path, hosts: Sequence[str]) -> None:
    """Write a server's certificate, its key, and its authority's certificate."""
    found = issue(hosts)
    for name, text in (('ca.pem', found.ca), ('server.pem', found.certificate), ('server.key', found.key)):
        (folder / name).write_bytes(text)


def write_signing_key(path: Path) -> None:
    """Write the key that tokens of accounts are signed with: the API server wants it to be of RSA."""
    key = rsa.generate_private_key(65537, 2048)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
