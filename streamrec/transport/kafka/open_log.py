"""Open the Kafka client that the settings ask for, and see before whether anything listens.

A client tries for 10 s before it says that nothing does.
"""

import socket
from concurrent.futures import ThreadPoolExecutor

from streamrec.errors import BrokerUnavailable, ConfigurationError
from streamrec.settings.sections import KafkaSettings
from streamrec.transport.kafka.client_settings import bootstrap_servers, unreachable
from streamrec.transport.kafka.log import Log

LISTEN_SECONDS = 2.0


def open_kafka(settings: KafkaSettings, group: str | None = None) -> Log:
    """Return a Log on the settings' cluster; nothing connects before the first use.

    With `group` the Log can join that consumer group; without, it only produces and looks up.
    """
    if settings.client == "kafka-python":
        from streamrec.transport.kafka.kafka_python_log import KafkaPythonLog

        return KafkaPythonLog(settings, group)
    if settings.client == "confluent":
        try:
            from streamrec.transport.kafka.confluent_log import ConfluentLog
        except ImportError as error:
            raise ConfigurationError(
                f'kafka.client = "confluent" needs confluent-kafka ({error}): '
                "pip install 'streamrec[fast]', or set kafka.client = \"kafka-python\"."
            ) from None
        return ConfluentLog(settings, group)
    raise ConfigurationError(
        f"kafka.client = {settings.client!r} is not known: use kafka-python or confluent."
    )


def open_for_command(settings: KafkaSettings) -> Log:
    """Return a Log that produces; raises BrokerUnavailable within 2 s where nobody listens.

    A role waits for its broker; who typed a command wants to know.
    """
    check_listening(settings)
    return open_kafka(settings)


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
