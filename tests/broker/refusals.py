"""What a user is refused, tried on a real broker."""

from collections.abc import Callable
from typing import Any

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from hil.broker.connection import Connection
from hil.broker.errors import RefusedError


def refused(connection: Connection, attempt: Callable[[BlockingChannel], Any], words: str = 'ACCESS_REFUSED') -> None:
    """Assert that a broker refuses an attempt, made on a channel of its own."""

    def try_it() -> None:
        with connection.channel() as channel:
            channel.confirm_delivery()
            attempt(channel)

    with pytest.raises(RefusedError, match=words):
        try_it()
