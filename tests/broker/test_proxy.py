"""The proxy of the tests does what its schedule says, and the same each time; before a server that sends all back."""

import random
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.broker.echo import EchoServer
from tests.broker.processes import PATIENCE_S, wait_until
from tests.broker.proxy import CONNECTIONS_MAX, Fault, FaultProxy, Kind, drawn_faults

TEXT = random.Random(1).randbytes(300_000)  # more than one chunk
CUTS = [0, 1, 65_535, 65_536, 65_537, 250_000]


@pytest.fixture
def server() -> Iterator[EchoServer]:
    """A server that sends back what it gets."""
    with EchoServer() as started:
        yield started


def talk(proxy: FaultProxy, text: bytes = TEXT) -> tuple[bytes, bool]:
    """Send a text and end it, and return what comes back and whether both ways came to their proper ends."""
    heard, is_whole = bytearray(), True
    with socket.create_connection(proxy.address, timeout=PATIENCE_S) as client:
        try:
            client.sendall(text)  # the kernel's buffers hold the echo meanwhile
            client.shutdown(socket.SHUT_WR)
        except OSError:
            is_whole = False  # the kernel tells a reset once: the end that is read then looks like any other
        try:
            while data := client.recv(1 << 16):
                heard += data
        except OSError:
            is_whole = False
    return bytes(heard), is_whole


def test_without_faults_all_passes_both_ways(server: EchoServer) -> None:
    """A text and its end go up and come down; the proxy has counted them."""
    with FaultProxy(server.address) as proxy:
        assert talk(proxy) == (TEXT, True)
        assert proxy.n_forwarded == {(0, 'up'): len(TEXT), (0, 'down'): len(TEXT)}


@pytest.mark.parametrize('n', CUTS)
def test_a_cut_lets_exactly_so_much_through(server: EchoServer, n: int) -> None:
    """The server has so many bytes, to the byte, and the client's end is none that was meant."""
    with FaultProxy(server.address, [Fault(0, 'up', n, Kind.CUT)]) as proxy:
        heard, is_whole = talk(proxy)
        received = server.received_in_all(0)
    assert received == TEXT[:n]
    assert TEXT.startswith(heard)
    assert not is_whole


@pytest.mark.parametrize('n', CUTS)
def test_a_half_is_whole_in_the_other_direction(server: EchoServer, n: int) -> None:
    """Halved on its way up, so many bytes and an end reach the server, and all that it answers comes back."""
    with FaultProxy(server.address, [Fault(0, 'up', n, Kind.HALVE)]) as proxy:
        assert talk(proxy) == (TEXT[:n], True)
        received = server.received_in_all(0)
    assert received == TEXT[:n]


def test_a_half_on_its_way_down_hides_the_rest(server: EchoServer) -> None:
    """The server has all, the client the first part and an end."""
    with FaultProxy(server.address, [Fault(0, 'down', 1_000, Kind.HALVE)]) as proxy:
        assert talk(proxy) == (TEXT[:1_000], True)
        received = server.received_in_all(0)
    assert received == TEXT


def test_a_stall_is_silent(server: EchoServer) -> None:
    """So many bytes come back, then nothing, and no end, until the proxy goes."""
    with (FaultProxy(server.address, [Fault(0, 'up', 70_000, Kind.STALL)]) as proxy,
          socket.create_connection(proxy.address, timeout=PATIENCE_S) as client):
        client.sendall(TEXT[:100_000])
        wait_until(lambda: len(server.received) and len(server.received[0]) == 70_000, 'the first part was there')
        assert client.recv(70_000, socket.MSG_WAITALL) == TEXT[:70_000]
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)
        assert not server.ended[0].is_set()


def test_a_delay_is_as_long_as_said_and_loses_nothing(server: EchoServer) -> None:
    """Two delays of one direction: the proxy waits for each, once, at its place; the text is whole."""
    waited = list[tuple[float, int]]()
    faults = [Fault(0, 'up', n, Kind.DELAY, delay_s) for n, delay_s in ((100_000, 2.0), (0, 1.0))]
    with FaultProxy(server.address, faults,
                    wait=lambda delay_s: waited.append((delay_s, proxy.n_forwarded[0, 'up']))) as proxy:
        assert talk(proxy) == (TEXT, True)
    assert waited == [(1.0, 0), (2.0, 100_000)]


def test_faults_meet_the_connection_they_are_for(server: EchoServer) -> None:
    """Of three connections, the second is cut."""
    with FaultProxy(server.address, [Fault(1, 'up', 10, Kind.CUT)]) as proxy:
        assert [is_whole for _, is_whole in (talk(proxy), talk(proxy), talk(proxy))] == [True, False, True]


def test_a_fault_that_is_added_strikes_before_the_next_byte(server: EchoServer) -> None:
    """A connection that was whole so far is cut at the byte that it has come to."""
    with FaultProxy(server.address) as proxy, socket.create_connection(proxy.address, timeout=PATIENCE_S) as client:
        client.sendall(b'before')
        assert client.recv(6, socket.MSG_WAITALL) == b'before'
        proxy.add(Fault(0, 'up', proxy.n_forwarded[0, 'up'], Kind.CUT))
        client.sendall(b'after')
        with suppress(ConnectionResetError):
            assert client.recv(1) == b''
        received = server.received_in_all(0)
    assert received == b'before'


def test_a_schedule_does_the_same_each_time() -> None:
    """Eight drawn faults, twice: servers receive the same; another seed draws other faults; every kind is drawn."""
    schedules = [drawn_faults(seed, 8, len(TEXT)) for seed in (1, 1, 2)]
    assert schedules[0] == schedules[1] != schedules[2]
    assert {fault.kind for fault in drawn_faults(1, 40, 10)} == set(Kind)
    faults = [fault for fault in schedules[0] if fault.direction == 'up' and fault.kind is not Kind.STALL]
    assert faults
    received = []
    for _ in range(2):
        with EchoServer() as server, FaultProxy(server.address, faults) as proxy:
            for _ in range(8):
                talk(proxy)
            received.append([server.received_in_all(i) for i in range(8)])
    assert received[0] == received[1]
    assert len({len(each) for each in received[0]}) > 1


def test_connections_are_bounded(server: EchoServer) -> None:
    """As many as are allowed are served, and the next is refused."""
    with FaultProxy(server.address) as proxy:
        for _ in range(CONNECTIONS_MAX):
            assert talk(proxy, b'x') == (b'x', True)

        def is_refused() -> bool:
            try:
                socket.create_connection(proxy.address, timeout=PATIENCE_S).close()
            except ConnectionRefusedError:
                return True
            return False

        wait_until(is_refused, 'the proxy took no more')
