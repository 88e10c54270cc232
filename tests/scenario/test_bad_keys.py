"""What is wrong with the life of keys is told in one line that says where, what was found and what to do."""

import pytest

from tests.scenario.clinic import CLINIC
from tests.scenario.key_effects import KEYS
from tests.scenario.refusals import Refuse, says

PUMP = 'keys.revocations=[{devices: pump, at: 5 s, enrol_again: 8 s}]'
REFUSED = {
    'authority on no computer': (('keys.authority=edge-9',), ("'edge-9'", "did you mean 'edge-")),
    'authority without cores': (('keys.cores=4',), ('edge.server.cores', '4 cores leave none')),
    'authority on a full node': (('keys.authority=edge-1', 'keys.cores=4'), ('edge.nodes.edge-1', 'reserve')),
    'keys without a cipher': (('crypto.aead=none',), ('keys', 'cipher')),
    'expiry before a new key': (('keys.expiry=30 s',), ('keys.expiry', '30 s', 'rotation.every')),
    'more keys than can be simulated': (('keys.rotation.every=1 us',), ('keys.rotation', 'at most')),
    'usage beyond the cipher': (('keys.rotation.usage=20000 TiB',), ('keys.rotation.usage', 'too large')),
    'rounds without learning': (('learning=null', 'keys.rotation.rounds=1'), ('keys.rotation.rounds', 'none')),
    'revoking no class': (('keys.revocations=[{devices: patches, at: 5 s}]',), ("'patches'", 'patch')),
    'revoking a device that is not there': (('keys.revocations=[{devices: tag, index: 4, at: 5 s}]',),
                                            ('index', 'names device 4', 'there are 4')),
    'revoking after the end': (('keys.revocations=[{devices: tag, at: 20 s}]',), ('at', '20 s is not before the end')),
    'enrolling before the revocation': (('keys.revocations=[{devices: patch, at: 5 s, enrol_again: 4 s}]',),
                                        ('enrol_again', '4 s is before at, 5 s')),
    'enrolling without certificates': ((PUMP,), ('enrol_again', "'pump'", 'pre-shared-kem')),
    'revoking twice': (('keys.revocations=[{devices: tag, at: 5 s}, {devices: tag, index: 1, at: 6 s}]',),
                       ("'tag'", 'revoked before')),
    'unknown key': (('keys.rotatoin=1',), ('rotatoin',)),
}


@pytest.mark.parametrize(('overrides', 'words'), REFUSED.values(), ids=REFUSED.keys())
def test_keys_that_cannot_live_so_are_refused(overrides: tuple[str, ...], words: tuple[str, ...],
                                              refuse: Refuse) -> None:
    """One thing wrong in the keys of the clinic: one line with where and what; shown by the command's refusal."""
    settings = [option for setting in (*KEYS, *overrides) for option in ('--set', setting)]
    says(refuse(str(CLINIC), *settings), *words)


@pytest.mark.parametrize(('name', 'trust', 'words'), [
    ('pump', 'signed', ('devices.pump', 'sig.sign', 'cortex-m4-wearable', 'trust: pre-shared-kem;')),
    ('tag', 'pre-shared-kem', ('devices.tag', 'kem.keygen', 'trust: pre-shared;')),
    ('tag', 'signed', ('devices.tag', 'kem.keygen', 'trust: pre-shared;')),
])
def test_class_without_numbers_for_its_keys_is_told_what_else_they_may_rest_on(
        name: str, trust: str, words: tuple[str, ...], refuse: Refuse) -> None:
    """A pump without signatures, a tag without KEM: refused with who has the number and a weaker trust that does."""
    settings = [*KEYS, f'devices.{name}.trust={trust}']
    says(refuse(str(CLINIC), *(option for setting in settings for option in ('--set', setting))), *words)
