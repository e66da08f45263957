"""The first connection of a kafka-python client: where it fails, the cause is named.

kafka-python logs why a broker refused it, tries again, and in the end only says that time is up.
"""

import logging
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka.errors import (
    InvalidReceiveError,
    KafkaError,
    KafkaTimeoutError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)

from streamrec.errors import BrokerUnavailable, LogError
from streamrec.settings.sections import KafkaSettings
from streamrec.transport.kafka.client_settings import (
    CONNECT_SECONDS,
    kafka_python_settings,
    unreachable,
)

CLIENT, LOGGER = logging.getLogger("kafka"), logging.getLogger("kafka.net.manager")


def connected(client: Any, settings: KafkaSettings, **arguments: Any) -> Any:
    """Return a connected kafka-python client; raises BrokerUnavailable or LogError."""
    arguments |= kafka_python_settings(settings)
    with _causes() as causes:
        try:
            return client(bootstrap_timeout_ms=int(CONNECT_SECONDS * 1000), **arguments)
        except KafkaTimeoutError as error:
            named = [*filter(None, map(_named, causes.found)), *_closed(causes.found, settings)]
            if named:
                text = f"Kafka at {settings.brokers} answers, and refuses: {named[0]}."
                raise BrokerUnavailable(text) from None
            raise BrokerUnavailable(unreachable(settings, error)) from None
        except (KafkaError, OSError, ValueError) as error:
            cause = _named(error) or f"Kafka client: {error!r}"
            raise LogError(f"Kafka at {settings.brokers}: {cause}.") from error


def _named(error: BaseException) -> str:
    """Return what a refusal means and which setting to look at; "" for a broker that is away."""
    text = str(error).rstrip(".")
    if isinstance(error, SaslAuthenticationFailedError):
        return f"the login is wrong ({text}); see sasl.username and sasl.password"
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"it has no such way to log in ({text}); see sasl.mechanism"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({text}); see ssl.ca.location"
    if isinstance(error, ssl.SSLError):
        return f"no TLS could be agreed on ({text}); see security.protocol and ssl.*"
    if isinstance(error, FileNotFoundError):
        return f"a file of kafka.client_settings is not there ({text})"
    for inner in (error.__cause__, error.__context__, *error.args):
        if isinstance(inner, BaseException) and (found := _named(inner)):
            return found
    if isinstance(error, InvalidReceiveError):
        return "it speaks TLS, or no Kafka; see security.protocol"
    return ""


def _closed(errors: list[BaseException], settings: KafkaSettings) -> list[str]:
    """Return what it means that a broker took the connection, and ended it."""
    if not any("disconnected" in str(error) for error in errors):
        return []
    if "SASL" in settings.client_settings.get("security.protocol", "").upper():
        what = "sasl.username, .password and .mechanism; and security.protocol, if it wants TLS"
        return [f"it ends the connection at the login; see {what}"]
    return ["it ends the connection; does it want TLS or a login? See security.protocol"]


class _Causes(logging.Filter):
    """Keeps the errors that are logged; lets those lines through that went through before."""

    def __init__(self, shown: bool) -> None:
        super().__init__()
        self.found: list[BaseException] = []
        self._shown = shown

    def filter(self, record: logging.LogRecord) -> bool:
        arguments = record.args if isinstance(record.args, tuple) else ()
        self.found += [one for one in arguments if isinstance(one, BaseException)]
        return self._shown


class _Quiet:
    """While anything connects for the first time the client's lines are not shown: ours says why.

    Nine lines a second said that a broker is away. At level debug they are shown.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connecting = 0  # threads
        self._levels = (logging.NOTSET, logging.NOTSET)
        self._shown = False

    def __enter__(self) -> bool:
        """Return whether the lines are shown."""
        with self._lock:
            self._connecting += 1
            if self._connecting == 1:
                self._levels, self._shown = (
                    (CLIENT.level, LOGGER.level),
                    CLIENT.isEnabledFor(logging.INFO),
                )
                LOGGER.setLevel(min(LOGGER.getEffectiveLevel(), logging.WARNING))
                if not self._shown:
                    CLIENT.setLevel(logging.CRITICAL + 1)
            return self._shown

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._connecting -= 1
            if self._connecting == 0:
                for logger, level in zip((CLIENT, LOGGER), self._levels, strict=True):
                    logger.setLevel(level)


_quiet = _Quiet()


@contextmanager
def _causes() -> Iterator[_Causes]:
    with _quiet as shown:
        causes = _Causes(shown)
        LOGGER.addFilter(causes)
        try:
            yield causes
        finally:
            LOGGER.removeFilter(causes)
