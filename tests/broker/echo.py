"""A server that sends back what it gets and remembers it."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.broker.processes import wait_until


class EchoServer:
    """Echoes on as many connections as come, as long as the block that it is entered for."""

    def __init__(self) -> None:
        self._listener = socket.create_server(('127.0.0.1', 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self.received = list[bytearray]()  # of each connection
        self.ended = list[threading.Event]()  # of each connection, its end of this direction
        self._sockets = list[socket.socket]()
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        """Take connections."""
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        """End all."""
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in (self._listener, *self._sockets):
            each.close()

    def received_in_all(self, i: int) -> bytes:
        """Return what came on the i-th connection, once that direction of it has ended."""
        wait_until(lambda: len(self.ended) > i and self.ended[i].is_set(), f'connection {i} had ended')
        return bytes(self.received[i])

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                self.received.append(bytearray())
                self.ended.append(threading.Event())
                self._threads.append(threading.Thread(
                    target=self._echo, args=(client, self.received[-1], self.ended[-1])))
                self._threads[-1].start()

    def _echo(self, client: socket.socket, received: bytearray, ended: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(1 << 16):
                received += data
                client.sendall(data)
            ended.set()
            client.shutdown(socket.SHUT_WR)
        ended.set()
