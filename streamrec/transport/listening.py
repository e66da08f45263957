"""Whether anything listens at the brokers: a client tries for 10 s before it says that not."""

import socket
from concurrent.futures import ThreadPoolExecutor

from streamrec.errors import BrokerUnavailable
from streamrec.settings.sections import KafkaSettings
from streamrec.transport.client_settings import bootstrap_servers, unreachable

LISTEN_SECONDS = 2.0


def check_listening(settings: KafkaSettings) -> None:
    """Raise BrokerUnavailable where none of the addresses takes a connection within 2 s."""
    addresses = bootstrap_servers(settings)
    with ThreadPoolExecutor(len(addresses)) as pool:
        causes = list(pool.map(_refused, addresses))
    if all(causes):
        raise BrokerUnavailable(unreachable(settings, causes[0]))


def _refused(address: str) -> OSError | None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), LISTEN_SECONDS).close()
    except OSError as error:
        return error
    return None
