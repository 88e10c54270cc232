"""What is wrong with a scenario is told in one line that says where, what was found and what to do."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from sim.loading import load
from tests.scenario.clinic import CLINIC, TEXT, by_hour, edited
from tests.scenario.refusals import PATCH, TAG, TAG_PERIOD, Refuse, says


@dataclass(frozen=True)
class Edit:
    """A mistake in a file: `new` in the place of `old`; the message names the key, the line and the words."""

    old: str
    new: str
    key: str
    says: tuple[str, ...]
    at: str = ''  # text whose line the message names; the beginning of `new` if it is not said

    @property
    def line(self) -> int:
        """The line that the message names."""
        text = edited(self.old, self.new)
        return text.count('\n', 0, text.index(self.at) if self.at else TEXT.index(self.old)) + 1


def duration(text: str, *says: str) -> Edit:
    """Return a mistake in the duration."""
    return Edit('duration: 20 s', f'duration: {text}', 'duration', says or (f"'{text}'", "'20 ms'"))


def node(name: str) -> Edit:
    """Return a node named like another part."""
    return Edit('    edge-2:', f'    {name}:', f'edge.nodes.{name}', (f"'{name}'", 'rename'))


EDITS = {
    'wrong dimension': duration('20 kg', "'20 kg'", 'not a time'),
    'no unit': duration('20', "'20' has no unit", "'20 ms'"),
    'no space before the unit': duration('20s', "'20s'", 'space'),
    'unknown unit': duration('20 sec0nds', "'sec0nds'", 'unknown unit'),
    'unit that calculates': duration('1 10**10**10 s', "unknown unit '10**10**10 s'"),
    'number that calculates': duration('10**10**10 s'),
    'power of a unit': duration('1 s**99999999', "unknown unit 's**99999999'"),
    'larger than a decimal': duration('1e999999999 s', "'1e999999999 s' is too large"),
    'larger than a float': duration('1e400 s', "'1e400 s' is too large"),
    'longer than can be simulated': duration('1e300 s', '1e+300 s', 'at most'),
    'nan': duration('nan s', "'nan s' is not finite"),
    'inf': duration('inf s', "'inf s' is not finite"),
    'negative': duration('-5 s', "'-5 s'", 'positive'),
    'list for a quantity': duration('[20 s]', 'has no unit', "'20 ms'"),
    'unknown profile': Edit('profile: esp32-pump', 'profile: esp33-pump', 'devices.pump.profile',
                            ("'esp33-pump'", 'esp32-pump', 'raspberry-pi-4')),
    'link to no kind of access point': Edit('link: router', 'link: rooter', 'devices.tag.link',
                                            ("'rooter'", 'router')),
    'link that no ward has': Edit('{gateway: 1, router: 1, wifi: 1, port: 1}', '{gateway: 1, wifi: 1, port: 1}',
                                  'devices.tag.link', ("'router'", 'cannot reach the server', 'add one'),
                                  at='link: router'),
    'ward without the link': Edit('wards: [theatre]\n    link: port', 'wards: [theatre]\n    link: gateway',
                                  'devices.scanner.wards[0]', ("'theatre'", "'gateway'")),
    'access point of no kind': Edit('{wifi: 1, port: 1}', '{wify: 1, wifi: 1, port: 1}',
                                    'wards.theatre.access_points.wify', ("'wify'", 'wifi'),
                                    at='access_points: {wify'),
    'zero devices': Edit('count: 4\n    link: router', 'count: 0\n    link: router', 'devices.tag.count',
                         ("'0'", 'greater than or equal to 1')),
    'device class named like a node': Edit('  tag:', '  edge-1:', 'devices.edge-1', ("'edge-1'", 'rename')),
    'device class named like the server': Edit('  tag:', '  server:', 'devices.server', ("'server'", 'rename')),
    'node named like the server': node('server'),
    'node named like the broker': node('broker'),
    'node named like a switch': node('core'),
    'node named like a worker': node('crypto-1'),
    'node named like an uplink': node('floor-1-uplink'),
    'node named like a link': node('edge-1-link'),
    'name in capitals': Edit('  tag:', '  Tag_1:', 'devices.Tag_1', ("'Tag_1'", 'lower-case')),
    'number for a name': Edit('  tag:', '  5:', 'devices[5]', ("'5' is not a name", 'quotes')),
    'list for a name': Edit('  tag:', '  [a, b]:', 'devices', ('is not a name',)),
    'broker on an unknown node': Edit('broker:', 'broker:\n  node: edge-9', 'broker.node', ("'edge-9'", 'edge-2'),
                                      at='node: edge-9'),
    'unknown key': Edit('wards_per_floor: 2', 'ward_per_floor: 2', 'ward_per_floor',
                        ('unknown key', "did you mean 'wards_per_floor'?")),
    'unknown key unlike any': Edit('wards_per_floor: 2', 'zebra: 2', 'zebra', ('unknown key', 'write one of')),
    'unknown key in a section': Edit('replicas: 2', 'replicsa: 2', 'crypto.replicsa', ("did you mean 'replicas'?",)),
    'unknown key in a class': Edit('battery: 0.9 Wh', 'bttery: 0.9 Wh', 'devices.patch.bttery',
                                   ("did you mean 'battery'?",)),
    'unknown key in a stream': Edit('period: 500 ms', 'perid: 500 ms', 'devices.monitor.streams.vitals.perid',
                                    ("did you mean 'period'?",)),
    'missing key': Edit('duration: 20 s\n', '', 'duration', ('missing',), at='#'),
    'missing key of an access point': Edit('    rate: 1 Mbit/s\n', '', 'access_points.gateway.rate', ('missing',),
                                           at='gateway:\n'),
    'scalar for a section': Edit('access_points:\n  gateway:', 'access_points: 5\nx:\n  gateway:', 'access_points',
                                 ("'5'", 'mapping')),
    'truth for a number': Edit('seed: 1', 'seed: true', 'seed', ("'True'", 'integer')),
    'seed of fifty digits': Edit('seed: 1', f'seed: {"9" * 50}', 'seed', ('9' * 50, 'less than')),
    'time of day': Edit("starts_at: '08:00'", "starts_at: '25:00'", 'starts_at', ("'25:00'", "'08:00'")),
    'time of day in other digits': Edit("starts_at: '08:00'", "starts_at: '\u00b2:00'", 'starts_at', ("'08:00'",)),
    'control characters in a name': Edit('name: clinic', 'name: "a\\e[2J\\nb\\0"', 'name', ('a\\x1b[2J\\nb\\x00',)),
    'number that a node lacks': Edit('    edge-2: {profile: raspberry-pi-4}', '    edge-2: {profile: raspberry-pi-5}',
                                     'edge.nodes.edge-2.profile', ('found no cost for aead.open', 'needs it')),
    'megabyte of a number': Edit('duration: 20 s', f'duration: "{"9" * 100_000} s"', 'duration', ("'999", '…')),
}

SETTINGS = {
    'negative count': ('devices.tag.count=-1', "'-1'", 'greater than or equal to 1'),
    'negative seed': ('seed=-1', "'-1'"),
    'quorum above one': ('learning.quorum=1.5', "'1.5'", 'less than or equal to 1'),
    'fraction of nothing': ('learning.fraction=0', "'0'", 'greater than 0'),
    'prefetch zero': ('crypto.prefetch=0', "'0'", 'greater than or equal to 1'),
    'replicas zero': ('crypto.replicas=0', "'0'"),
    'unknown cipher': ('crypto.aead=Ascon', "'Ascon'", "'Ascon-AEAD128'"),
    'unknown technology': ('access_points.wifi.technology=wify', "'wify'", "'wifi'"),
    'loss of everything': ('access_points.wifi.loss_ratio=1.0', "'1.0'", 'less than 1'),
    'loss on a cable': ('access_points.port.loss_ratio=0.1', '0.1', 'cables'),
    'connection events of Wi-Fi': ('access_points.wifi.connection_interval=5 ms', 'only ble'),
    'warm-up as long as the run': ('warm_up=20 s', '20 s is not shorter than the duration'),
    'learning begins after the end': ('learning.start=20 s', '20 s is not before the end'),
    'client that is no class': ('learning.clients.0=monitr', "'monitr'", 'monitor'),
    'client named twice': ('learning.clients=[monitor, monitor]', "'monitor' is named twice"),
    'no clients': ('learning.clients=[]', '0 entries'),
    'ward named twice': ('devices.pump.wards=[ward, ward]', "'ward' is named twice"),
    '23 hours': (f'{PATCH}.by_hour=[{", ".join(["1"] * 23)}]', '23 entries', 'at least 24'),
    'no hour at all': (f'{PATCH}.by_hour={by_hour("0")}', 'zero at every hour'),
    'infinitely busy hour': (f'{PATCH}.by_hour={by_hour("1", ".inf")}', "'inf'", 'finite'),
    'hour that is no number': (f'{PATCH}.by_hour={by_hour(".nan")}', "'nan'", 'finite'),
    'devices per bed that are no number': ('devices.patch.per_bed=.nan', "'nan'", 'finite'),
    'payload beyond any disk': (f'{TAG}.payload=1e30 B', "'1e30 B' is too large"),
    'half a byte': (f'{TAG}.payload=0.5 B', "'0.5 B'", 'whole number'),
    'payload in bits': (f'{TAG}.payload=80 bit', "'80 bit'", 'bytes'),
    'charge for an energy': ('devices.patch.battery=900 mAh', "'900 mAh' is not an energy", 'Wh'),
    'more devices than fit': ('devices.tag.count=99999999', "'99999999'"),
    'unknown key': ('foo.bar=1', 'unknown key', 'write one of'),
    'unknown key in a stream': (f'{TAG}.perid=1 s', 'unknown key', "did you mean 'period'?"),
    'class that is not there': ('devices.watch.count=3', "there is no 'watch' in devices; did you mean 'patch'?",
                                'set it whole: devices.watch={…}'),
    'class without anything': ('devices.watch={count: 3}', 'missing'),
    'misspelt class': ('devices.mnitor.count=3', "there is no 'mnitor' in devices; did you mean 'monitor'?"),
    'misspelt stream': ('devices.tag.streams.vitls.period=1 s', "in devices.tag.streams; did you mean 'vitals'?"),
    'misspelt node': ('edge.nodes.edge-3.profile=x86-server', "there is no 'edge-3' in edge.nodes; did you mean"),
    'misspelt key of a ward': ('wards.ward.bedz=3', "unknown key; did you mean 'beds'?"),
    'node without a number': ('edge.nodes.edge-2.profile=raspberry-pi-5', 'raspberry-pi-5: found no cost for aead.open',
                              'devices.patch.streams.vitals needs it'),
    'device without a number': ('devices.monitor.profile=raspberry-pi-5', 'aead.seal Ascon-AEAD128', 'esp32-pump',
                                'cortex-m0plus-sensor', 'cortex-m4-wearable', 'raspberry-pi-4', 'x86-server',
                                'devices.monitor.streams.vitals needs it'),
    'server without a number': ('edge.server.profile=raspberry-pi-5', 'profile raspberry-pi-5: found no cost for'),
    'more cores than the server has': ('edge.server.cores=97', '97', '96 of its profile x86-server'),
    'no value': ('crypto.prefetch=', 'nothing', 'integer'),
    'list for a section': ('devices=[a]', 'a list', 'mapping'),
    'nothing for a class': ('devices.tag=null', 'nothing', 'mapping'),
    'row of three': (f'{TAG}.arrivals=[[0, 1 s, 2]]', '3 entries'),
    'row without unit': (f'{TAG}.arrivals=[[0, 1]]', "'1' has no unit"),
    'device before the first': (f'{TAG}.arrivals=[[-1, 1 s]]', "'-1'"),
}

# Where a mistake is told, if it is neither at the key that was set nor in it.
TOLD = {'foo.bar': 'foo: ', 'devices.watch': 'devices.watch.profile: ',
        'learning.clients.0': 'learning.clients[0]: '}

TOGETHER = {
    'count and per_bed': (['devices.tag.per_bed=1'], 'devices.tag', ('exactly one', 'both')),
    'neither count nor per_bed': (['devices.tag.count=null'], 'devices.tag', ('exactly one', 'none')),
    'period and rate': ([f'{TAG}.rate=1 /s'], TAG, ('exactly one', 'period and rate')),
    'no timing': ([f'{TAG}.period=null'], TAG, ('exactly one', 'none')),
    'hours of listed arrivals': ([f'{TAG}.period=null', f'{TAG}.arrivals=[]', f'{TAG}.by_hour={by_hour("2")}'], TAG,
                                 ('by_hour', 'remove')),
    'no beds for what is counted by beds': (['wards.ward.beds=0'], 'devices.patch', ('no device', 'count')),
    'node with too few cores': (['crypto.replicas=8'], 'edge.nodes.edge-1', ('4 cores', '4.3', 'replicas')),
    'pod with too many cores': (['crypto.pod_cores=4'], 'edge.nodes.edge-1', ('4 cores', '4.3', 'pod_cores')),
    'server without cores': (['broker.cores=4'], 'edge.server.cores', ('4 cores', '4.3')),
    'key establishment that the M0+ has no number for': (
        ['learning.clients=[tag]'], 'devices.tag.profile', ('kem.decaps ML-KEM-768', 'esp32-pump', 'raspberry-pi-4')),
    'more messages than can be simulated': ([f'{TAG}.period=1e-300 s'], 'devices', ('messages', 'at most')),
    'more devices by beds than fit': (
        ['wards.ward.count=10000', 'wards.ward.beds=10000'], 'devices', ('150,000,0', 'at most')),
    'more access points than fit': (
        ['wards.ward.count=100000', 'wards.ward.access_points.port=1000'], 'wards', ('access points', 'at most')),
}

OUTAGES = {
    'outage of an unknown part': ('[{target: lift, begin: 1 s, end: 2 s}]', '[0].target', ("'lift'", 'floor-1-uplink')),
    'outage that ends before it begins': ('[{target: broker, begin: 3 s, end: 2 s}]', '[0].end', ('2 s', '3 s')),
    'outage without end': ('[{target: broker, begin: 3 s}]', '[0].end', ('missing',)),
    'outage that is no list': ('{target: broker}', '', ('list',)),
}


@pytest.mark.parametrize('edit', EDITS.values(), ids=EDITS.keys())
def test_mistake_in_a_file_is_told_with_its_line(edit: Edit, refuse: Refuse, tmp_path: Path) -> None:
    """The message of every edit begins with file, line and key, and holds what was found; nothing is written."""
    path = tmp_path / 'clinic.yaml'
    path.write_text(edited(edit.old, edit.new))
    message = refuse(str(path))
    assert message.startswith(f'{path}:{edit.line} {edit.key}: ')
    says(message, *edit.says)


@pytest.mark.parametrize(('setting', 'words'), [(row[0], row[1:]) for row in SETTINGS.values()], ids=SETTINGS.keys())
def test_mistake_in_an_override_is_told_with_its_key(setting: str, words: tuple[str, ...], refuse: Refuse) -> None:
    """The message of every setting begins with ``--set`` and its key, or the part of the key that is unknown."""
    message = refuse(str(CLINIC), '--set', setting)
    key = setting.partition('=')[0]
    assert message.startswith(f'--set {TOLD.get(key, key)}')
    says(message, *words)


@pytest.mark.parametrize(('settings', 'key', 'words'), TOGETHER.values(), ids=TOGETHER.keys())
def test_parts_that_do_not_fit_are_told_where_they_meet(
        settings: list[str], key: str, words: tuple[str, ...], refuse: Refuse) -> None:
    """What is wrong with several keys together is told with the line in the file of what they belong to."""
    message = refuse(str(CLINIC), *(part for setting in settings for part in ('--set', setting)))
    last = key.rpartition('.')[2]
    lines = [number for number, line in enumerate(TEXT.splitlines(), 1) if line.strip().startswith(f'{last}:')]
    where = re.match(rf'{re.escape(str(CLINIC))}:(\d+) {re.escape(key)}: ', message)
    assert where, message
    assert int(where[1]) in lines
    says(message, *words)


@pytest.mark.parametrize(('value', 'key', 'words'), OUTAGES.values(), ids=OUTAGES.keys())
def test_mistake_in_an_outage_is_told(value: str, key: str, words: tuple[str, ...], refuse: Refuse) -> None:
    """An outage names a part that there is, and an end after its begin; shown by the refusal of others."""
    message = refuse(str(CLINIC), '--set', f'outages={value}')
    assert message.startswith(f'--set outages{key}: ')
    says(message, *words)


def test_device_beyond_the_beds_is_refused(refuse: Refuse) -> None:
    """A listed arrival of the ninth patch of eight beds is refused, as is one beyond a count."""
    message = refuse(str(CLINIC), '--set', f'{PATCH}.period=null', '--set', f'{PATCH}.arrivals=[[8, 1 s]]')
    says(message, f'--set {PATCH}.arrivals: ', 'device 8', 'there are 8')


def test_override_of_one_alias_leaves_the_other(tmp_path: Path) -> None:
    """Two streams share a mapping by an alias; an override of one leaves the other's period as it was."""
    path = tmp_path / 'clinic.yaml'
    path.write_text(edited(TAG_PERIOD, f'vitals: &shared {TAG_PERIOD.partition(": ")[2]}\n      other: *shared'))
    streams = load(path, [f'{TAG}.period=7 s'])[0].devices['tag'].streams
    assert (streams['vitals'].period, streams['other'].period) == (7.0, 2.0)
