"""The one table that turns librdkafka's setting names into those of kafka-python."""

import difflib
from collections.abc import Callable
from typing import Any

from streamrec.errors import (
    ConfigurationError,
    DeliveryFailed,
    LogError,
    MessageRefused,
    WriteRefused,
)
from streamrec.settings.sections import KafkaSettings
from streamrec.transport.kafka.log import LONGEST_BYTES

# The longest update record: one batch's updates for one item partition.
MAX_MESSAGE_BYTES = LONGEST_BYTES
# What one fetch may bring, in all and of one partition; a single longer message comes whole.
FETCH_BYTES = 16 * 1024 * 1024
PARTITION_FETCH_BYTES = 1024 * 1024
# How long the first connection may take.
CONNECT_SECONDS = 10.0
# How long a message may stay unacknowledged before its delivery has failed.
DELIVERY_SECONDS = 30.0
# An error that a poll survives is logged at most this often.
COMPLAIN_SECONDS = 10.0
# Numbers of errors after which a topic takes no message of ours: no right to write to it (29), or
# none that anybody has, as brokers say it of a topic that is a copy (17, 42, 44).
UNWRITABLE = frozenset((17, 29, 42, 44))
# Of errors after which a message is never taken: too large (10, 18), or not a record (87).
UNFIT = frozenset((10, 18, 87))
# How long one request may wait for its answer before it is sent again.
REQUEST_SECONDS = 15.0
# A worker that does not poll for this long is taken for dead, whatever its heartbeats say.
MAX_POLL_SECONDS = 300.0


def kafka_python_settings(settings: KafkaSettings) -> dict[str, Any]:
    """Return the arguments that every kafka-python client gets: addresses, security, timeouts.

    Raises ConfigurationError for a key of `client_settings` that the table below lacks.
    """
    arguments: dict[str, Any] = {
        "bootstrap_servers": bootstrap_servers(settings),
        "request_timeout_ms": int(REQUEST_SECONDS * 1000),
        "reconnect_backoff_max_ms": 1000,
    }
    for key, value in settings.client_settings.items():
        if key not in _TABLE and settings.client == "confluent":
            continue  # a key of librdkafka; this client only looks after the topics
        if key not in _TABLE:
            near = difflib.get_close_matches(key, _TABLE, n=1, cutoff=0.0)[0]
            raise ConfigurationError(
                f'kafka.client_settings: the client kafka-python has no "{key}"; '
                f'the nearest key it knows is "{near}". '
                'kafka.client = "confluent" takes every key of librdkafka.'
            )
        name, convert = _TABLE[key]
        try:
            arguments[name] = convert(value)
        except ValueError:
            raise ConfigurationError(
                f'kafka.client_settings: "{key}" cannot be {value!r}.'
            ) from None
    return arguments


def confluent_settings(settings: KafkaSettings, own: dict[str, Any]) -> dict[str, Any]:
    """Return what a confluent client gets: the adapter's own settings and the user's, unchanged.

    Raises ConfigurationError where the user sets what the delivery promise rests on.
    """
    for key in settings.client_settings:
        if key in own:
            raise ConfigurationError(
                f'kafka.client_settings: "{key}" is set by streamrec itself: remove it.'
            )
    return {
        "socket.timeout.ms": int(REQUEST_SECONDS * 1000),
        "reconnect.backoff.max.ms": 1000,
        "log_level": 2,  # its errors come back from poll and flush, and are logged there
        **settings.client_settings,
        **own,
        "bootstrap.servers": ",".join(bootstrap_servers(settings)),
    }


def bootstrap_servers(settings: KafkaSettings) -> list[str]:
    """Return the addresses of `brokers`; raises ConfigurationError where one is not host:port."""
    addresses = [address.strip() for address in settings.brokers.split(",") if address.strip()]
    for address in addresses:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ConfigurationError(f"kafka.brokers: {address!r} is not host:port.")
    if not addresses:
        raise ConfigurationError("kafka.brokers is empty: give at least one host:port.")
    return addresses


def unreachable(settings: KafkaSettings, error: object) -> str:
    """Return the text of BrokerUnavailable."""
    return (
        f"No Kafka broker answers at {settings.brokers} ({error}). "
        "Start it, or set STREAMREC_KAFKA=host:port; `streamrec doctor` checks the connection."
    )


def delivery_error(settings: KafkaSettings, code: int, topic: str, reason: str) -> LogError:
    """Return what is raised for a message that Kafka did not take, by the number of its error.

    topic: whose message it was; "" where that is not known.
    """
    kafka = f"Kafka at {settings.brokers}"
    if topic and code in UNWRITABLE:
        text = f"{kafka} takes no message of this program for {topic}: {reason}. "
        right = "Give its principal the right Write on the topic (docs/operations.md)."
        return WriteRefused(topic, text + right)
    if code in UNFIT:
        return MessageRefused(
            f"{kafka} refuses a message, and would again: {reason}. "
            "Compare max.message.bytes of the topics with what `streamrec topics create` sets."
        )
    return DeliveryFailed(
        f"{kafka} did not acknowledge a message: {reason}. "
        "Nothing that came after it counts as sent."
    )


def _hostname_check(value: str) -> bool:
    words = {"https": True, "none": False}
    if value.lower() not in words:
        raise ValueError(value)
    return words[value.lower()]


_TABLE: dict[str, tuple[str, Callable[[str], Any]]] = {
    "client.id": ("client_id", str),
    "security.protocol": ("security_protocol", str.upper),
    "sasl.mechanism": ("sasl_mechanism", str.upper),
    "sasl.mechanisms": ("sasl_mechanism", str.upper),
    "sasl.username": ("sasl_plain_username", str),
    "sasl.password": ("sasl_plain_password", str),
    "sasl.kerberos.service.name": ("sasl_kerberos_service_name", str),
    "ssl.ca.location": ("ssl_cafile", str),
    "ssl.certificate.location": ("ssl_certfile", str),
    "ssl.key.location": ("ssl_keyfile", str),
    "ssl.key.password": ("ssl_password", str),
    "ssl.crl.location": ("ssl_crlfile", str),
    "ssl.endpoint.identification.algorithm": ("ssl_check_hostname", _hostname_check),
    "connections.max.idle.ms": ("connections_max_idle_ms", int),
    "metadata.max.age.ms": ("metadata_max_age_ms", int),
    "reconnect.backoff.ms": ("reconnect_backoff_ms", int),
    "reconnect.backoff.max.ms": ("reconnect_backoff_max_ms", int),
    "retry.backoff.ms": ("retry_backoff_ms", int),
}
