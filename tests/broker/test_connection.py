"""Connections to a real broker: who is believed, what is refused, and what comes of a network that fails."""

import random
import re
import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from hil.broker.backoff import Backoff, retried
from hil.broker.certificates import VALID, issue
from hil.broker.connection import Connection, Endpoint, Published, Waits, connect
from hil.broker.credentials import VHOST
from hil.broker.errors import BrokerError, RefusedError, UnavailableError
from hil.broker.names import exchange_of, queue_of
from hil.broker.private import PrivateBroker
from hil.broker.topology import declare
from sim.errors import InputError
from tests.broker.conftest import Connect
from tests.broker.processes import PATIENCE_S
from tests.broker.proxy import Direction, Fault, FaultProxy, Kind

SHORT = Waits(socket_s=0.5, heartbeat_s=1)
FRETFUL = Waits(heartbeat_s=1)  # hears soon of silence


def address_of(broker: PrivateBroker) -> tuple[str, int]:
    """Return where a broker listens."""
    host, port, _ = broker.endpoint.parts()
    return host, port


def behind(proxy: FaultProxy, broker: PrivateBroker) -> Endpoint:
    """Return the endpoint of a broker behind a proxy."""
    host, port = proxy.address
    return Endpoint(f'amqps://{host}:{port}/{VHOST}', broker.endpoint.ca)


@pytest.mark.parametrize(('url', 'words'), [
    ('amqp://127.0.0.1:5672/x', 'expected amqps://'), ('https://broker', 'expected amqps://'),
    ('broker:5671', 'expected amqps://'), ('amqps://', 'expected amqps://'), ('amqps://h:port/x', 'expected amqps://'),
    ('amqps://h:99999/x', 'expected amqps://'), ('amqps://h/a/b', 'expected amqps://'),
    ('amqps://h/a?heartbeat=0', 'expected amqps://'), ('amqps://[::1/x', 'expected amqps://'),
    ('amqps://me:secret@h/x', 'names a user'), ('amqps://me:secret@/x', 'expected amqps://'),
])
def test_a_url_that_is_none_is_refused_without_its_password(url: str, words: str) -> None:
    """Other protocols, no host, no port, options, and credentials, which have no place in it: one line each."""
    with pytest.raises(InputError, match=words) as caught:
        Endpoint(url, Path('ca.pem')).parts()
    assert 'secret' not in str(caught.value)


def test_a_url_without_port_and_host_has_those_of_amqps() -> None:
    """Port 5671 (IANA, amqps) and the virtual host of that name."""
    assert Endpoint('amqps://broker', Path('ca.pem')).parts() == ('broker', 5671, '/')
    assert Endpoint('amqps://[::1]:9/x', Path('ca.pem')).parts() == ('::1', 9, 'x')


def test_a_broker_is_believed_by_its_certificate_only(broker: PrivateBroker, tmp_path: Path) -> None:
    """The right authority and name pass; another authority, and another name of the same machine, are refused."""
    twin = broker.users['twin']
    other = tmp_path / 'ca.pem'
    other.write_bytes(issue(['127.0.0.1']).ca)
    connect(broker.endpoint, twin).close()
    with pytest.raises(RefusedError, match='its certificate does not hold'):
        connect(Endpoint(broker.endpoint.url, other), twin)
    with (FaultProxy(address_of(broker), host='127.0.0.2') as proxy,
          pytest.raises(RefusedError, match=r'its certificate does not hold \(.*127\.0\.0\.2')):
        connect(behind(proxy, broker), twin)


def test_the_certificate_is_short_lived_and_strictly_formed(broker: PrivateBroker) -> None:
    """Python's strict check of RFC 5280 passes over TLS 1.3, and there are at most seven days from first to last."""
    context = ssl.create_default_context(cafile=broker.endpoint.ca)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with (socket.create_connection(address_of(broker)) as plain,
          context.wrap_socket(plain, server_hostname='127.0.0.1') as encrypted):
        assert encrypted.version() == 'TLSv1.3'
        certificate = encrypted.getpeercert()
    assert certificate is not None
    first, last = (ssl.cert_time_to_seconds(str(certificate[name])) for name in ('notBefore', 'notAfter'))
    assert 0 < last - first <= VALID.total_seconds() + 600
    assert VALID.days <= 7


def test_older_tls_and_none_at_all_get_no_answer(broker: PrivateBroker) -> None:
    """TLS 1.2 is refused in the handshake; AMQP in the clear gets no AMQP back."""
    context = ssl.create_default_context(cafile=broker.endpoint.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(address_of(broker)) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname='127.0.0.1')
    with socket.create_connection(address_of(broker), timeout=PATIENCE_S) as plain:
        plain.sendall(b'AMQP\x00\x00\x09\x01')  # the protocol header, AMQP 0-9-1 section 4.2.2
        with suppress(ConnectionResetError):  # no answer either
            assert not plain.recv(1).startswith(b'\x01')  # where a method frame would begin


@pytest.mark.parametrize(('contents', 'words'), [
    (None, 'No such file'), ('', 'no certificate'), ('x', 'no certificate')])
def test_an_authority_that_cannot_be_read_is_an_input_error(
        broker: PrivateBroker, tmp_path: Path, contents: str | None, words: str) -> None:
    """No file, an empty one, and one with something else in it."""
    ca = tmp_path / 'ca.pem'
    if contents is not None:
        ca.write_text(contents)
    with pytest.raises(InputError, match=rf'ca\.pem: cannot be read \({words}'):
        connect(Endpoint(broker.endpoint.url, ca), broker.users['twin'])


def test_a_virtual_host_that_is_not_there_is_refused(broker: PrivateBroker) -> None:
    """Another one than the broker has."""
    endpoint = Endpoint(broker.endpoint.url.replace(VHOST, 'other'), broker.endpoint.ca)
    with pytest.raises(RefusedError, match='vhost other not found'):
        connect(endpoint, broker.users['twin'])


def test_a_connection_belongs_to_its_thread(opened: Connect) -> None:
    """Used from another thread it is a broken promise of the program, told at once."""
    connection, caught = opened('twin'), list[BaseException]()

    def use() -> None:
        try:
            connection.receive(0.0)
        except AssertionError as error:
            caught.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert 'belongs to the thread that opened it' in str(caught[0])


def test_a_connection_knows_the_version_of_its_broker(opened: Connect) -> None:
    """A version of RabbitMQ that we say we run with."""
    version = opened('twin').server_version
    assert re.fullmatch(r'\d+\.\d+\.\d+.*', version)
    assert tuple(int(part) for part in version.split('.')[:2]) >= (3, 10)


def test_headers_arrive_as_they_were_sent(opened: Connect, run: str) -> None:
    """Bytes, text and numbers, up to 64 bits."""
    twin, worker = opened('twin'), opened('crypto')
    headers = {'bytes': bytes(range(256)), 'text': 'Größe', 'number': 2**63 - 1, 'negative': -1, 'truth': True}
    declare(twin, run, {'crypto': [1]})
    worker.subscribe(queue_of(run, 'crypto', 1), 1)
    twin.publish(exchange_of(run, 'crypto'), '1', b'', headers)
    delivery = worker.receive(PATIENCE_S)
    assert delivery is not None
    assert dict(delivery.headers) == headers


def test_nobody_there_is_unavailable(broker: PrivateBroker) -> None:
    """A port that nobody listens at, and a name that nobody has (RFC 6761: invalid)."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        for host in (f'127.0.0.1:{free.getsockname()[1]}', 'broker.invalid'):
            with pytest.raises(UnavailableError, match=re.escape(host)):
                connect(Endpoint(f'amqps://{host}/x', broker.endpoint.ca), broker.users['twin'])


@pytest.mark.parametrize('direction', ['up', 'down'])
@pytest.mark.parametrize('kind', [Kind.CUT, Kind.HALVE, Kind.STALL])
@pytest.mark.parametrize('n', [0, 300])
def test_a_network_that_fails_at_the_beginning_is_unavailable(
        broker: PrivateBroker, direction: Direction, kind: Kind, n: int) -> None:
    """Each fault in each direction, before the first byte and within the handshake: one error, soon, and no hang."""
    with (FaultProxy(address_of(broker), [Fault(0, direction, n, kind)]) as proxy,
          pytest.raises(UnavailableError, match=r'^broker 127\.0\.0\.1:')):
        connect(behind(proxy, broker), broker.users['twin'], waits=SHORT)


@pytest.mark.parametrize('direction', ['up', 'down'])
@pytest.mark.parametrize('kind', [Kind.CUT, Kind.HALVE, Kind.STALL])
def test_a_network_that_fails_later_is_unavailable_and_the_next_connection_is_not(
        broker: PrivateBroker, opened: Connect, run: str, direction: Direction, kind: Kind) -> None:
    """A fault in the midst of a large message: an error instead of a confirmation; tried again, it is there.

    It may be there twice: what failed on its way back had come.
    """
    declare(opened('twin'), run, {'crypto': [1]})
    body, attempts = random.Random(1).randbytes(1 << 20), list[Connection]()
    with FaultProxy(address_of(broker)) as proxy:

        def publish() -> Published:
            # Only heartbeats tell of these; elsewhere one might come down, and strike, before the message is up.
            is_silent = not attempts and (direction == 'up' or kind is Kind.STALL)
            twin = connect(behind(proxy, broker), broker.users['twin'], waits=FRETFUL if is_silent else None)
            attempts.append(twin)
            if len(attempts) == 1:
                passed = proxy.n_forwarded[0, direction]
                proxy.add(Fault(0, direction, passed + (100_000 if direction == 'up' else 0), kind))
            return twin.publish(exchange_of(run, 'crypto'), '1', body)

        assert retried(publish, random.Random(1), threading.Event().wait) is Published.CONFIRMED
        for attempt in attempts:
            attempt.close()
    assert len(attempts) == 2
    worker = opened('crypto')
    worker.subscribe(queue_of(run, 'crypto', 1), 2)
    first, second = worker.receive(PATIENCE_S), worker.receive(0.0 if direction == 'up' else PATIENCE_S)
    assert first is not None
    assert first.body == body
    assert (second is None) == (direction == 'up')


@pytest.mark.parametrize('direction', ['up', 'down'])
def test_a_handshake_that_is_cut_anywhere_is_unavailable(broker: PrivateBroker, direction: Direction) -> None:
    """Cuts at 30 places of TLS and AMQP's handshake, the user's password within: each may be tried again, none refuses.

    pika guesses that credentials were wrong if the connection is lost when it has just sent them.
    """
    with FaultProxy(address_of(broker)) as proxy, connect(behind(proxy, broker), broker.users['twin']):
        n_bytes = proxy.n_forwarded[0, direction]
    for i in range(30):
        with (FaultProxy(address_of(broker), [Fault(0, direction, i * n_bytes // 30, Kind.CUT)]) as proxy,
              pytest.raises(UnavailableError, match=r'^broker 127\.0\.0\.1:')):
            connect(behind(proxy, broker), broker.users['twin'], waits=SHORT)


def test_a_network_that_only_hesitates_is_none_of_our_business(broker: PrivateBroker) -> None:
    """Pauses within the handshake, both ways."""
    faults = [Fault(0, direction, 200, Kind.DELAY, 0.1) for direction in ('up', 'down')]
    with FaultProxy(address_of(broker), faults) as proxy:
        connect(behind(proxy, broker), broker.users['twin']).close()
        assert proxy.n_forwarded[0, 'up'] > 200


def test_pauses_grow_within_their_bounds_and_are_drawn_from_the_generator() -> None:
    """Twelve attempts have eleven pauses, each between nothing and a bound that doubles up to the longest."""
    backoff = Backoff(first_s=0.1, longest_s=5.0, attempts_max=12)
    pauses = list(backoff.pauses(random.Random(7)))
    assert pauses == list(backoff.pauses(random.Random(7))) != list(backoff.pauses(random.Random(8)))
    bounds = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0, 5.0, 5.0]
    assert len(pauses) == len(bounds)
    assert all(0.0 <= pause <= bound for pause, bound in zip(pauses, bounds, strict=True))
    assert max(pauses) > 1.6


def attempts_of(errors: list[BrokerError | None], stop_after: int | None = None) -> tuple[int, BrokerError | None]:
    """Return how often something is tried that fails as told, and the error that is left."""
    tried, waits = list[int](), list[float]()

    def attempt() -> None:
        tried.append(1)
        error = errors[len(tried) - 1]
        if error is not None:
            raise error

    def wait(pause_s: float) -> bool:
        waits.append(pause_s)
        return len(waits) == stop_after

    try:
        retried(attempt, random.Random(1), wait, Backoff(attempts_max=3))
    except BrokerError as error:
        return len(tried), error
    return len(tried), None


def test_only_what_may_pass_is_tried_again_and_not_for_ever() -> None:
    """Unavailable twice and then there; for ever; with a wish to stop; and refused, which is tried once."""
    gone, refusal = UnavailableError('gone'), RefusedError('no')
    assert attempts_of([gone, gone, None]) == (3, None)
    n, error = attempts_of([gone] * 9)
    assert (n, str(error)) == (3, 'gone (attempt 3)')
    assert attempts_of([gone] * 9, stop_after=1)[0] == 1
    assert attempts_of([gone, refusal]) == (2, refusal)
