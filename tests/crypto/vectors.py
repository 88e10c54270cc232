"""Published test vectors, from the folder beside the checkout that holds them; tests without it say that they skip."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2].parent / 'shared' / 'vectors'
needs_vectors = pytest.mark.skipif(not FOLDER.is_dir(), reason=f'{FOLDER} with the published vectors is not here')

Case = dict[str, Any]


def wycheproof(name: str) -> list[Case]:
    """Return the cases of a Wycheproof file, each with what its group says; all of them."""
    read = json.loads((FOLDER / name).read_text())
    cases = [{**group, **case} for group in read['testGroups'] for case in group['tests']]
    assert len(cases) == read['numberOfTests'] > 0
    return cases


def ascon_answers() -> Iterator[dict[str, bytes]]:
    """Yield the known answers of Ascon-AEAD128: Key, Nonce, PT, AD and CT."""
    for record in (FOLDER / 'ascon_aead128_sp800_232_kat.txt').read_text().strip().split('\n\n'):
        fields = dict(line.split(' =', 1) for line in record.splitlines())
        yield {name: bytes.fromhex(value) for name, value in fields.items() if name != 'Count'}
