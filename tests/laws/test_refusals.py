"""A broker that refuses is not one that is away: login, mechanism, certificate are named."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from needs import needs_server
from servers import KafkaServer, start_apache

from streamrec.errors import LogError
from streamrec.inspection.findings import findings
from streamrec.settings.sections import KafkaSettings, Settings
from streamrec.transport.kafka import connecting as bootstrap
from streamrec.transport.kafka.open_log import open_kafka
from streamrec.transport.kafka.topics import create_topics

LOGIN = {
    "security.protocol": "SASL_SSL",
    "sasl.mechanism": "PLAIN",
    "sasl.username": "streamrec",
    "sasl.password": "right",
}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate of its own authority, for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
    make += " -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    subprocess.run(make.split(), cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def secure(certificate: Path) -> Iterator[KafkaServer]:
    """A real broker that wants TLS and a login."""
    jaas = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    chain = [(certificate / name).read_text().strip() for name in ("cert.pem", "key.pem")]
    cert, key = ("\\n".join(text.splitlines()) for text in chain)
    server = needs_server(
        lambda: start_apache(
            {
                "listener.security.protocol.map": "SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
                "inter.broker.listener.name": "SASL_SSL",
                "sasl.enabled.mechanisms": "PLAIN",
                "sasl.mechanism.inter.broker.protocol": "PLAIN",
                "listener.name.sasl_ssl.plain.sasl.jaas.config": f'{jaas} username="streamrec" '
                'password="right" user_streamrec="right";',
                "ssl.keystore.type": "PEM",
                "ssl.keystore.certificate.chain": cert,
                "ssl.keystore.key": key,
                "ssl.truststore.type": "PEM",
                "ssl.truststore.certificates": cert,
            },
            listener="SASL_SSL",
        )
    )
    yield server
    server.close()


@pytest.fixture
def settings(secure: KafkaServer, certificate: Path, prefix: str) -> KafkaSettings:
    login = {**LOGIN, "ssl.ca.location": str(certificate / "cert.pem")}
    return KafkaSettings(
        brokers=secure.address,
        client_settings=login,
        events_topic=f"{prefix}.events",
        items_topic=f"{prefix}.items",
        updates_topic=f"{prefix}.updates",
        dead_letters_topic=f"{prefix}.dead-letters",
    )


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"sasl.password": "wrong"}, r"the login.*see sasl\.username.*password"),
        ({"sasl.mechanism": "SCRAM-SHA-512"}, r"(the login|to log in).*see sasl.*mechanism"),
        ({"ssl.ca.location": ""}, "certificate is not trusted"),
        ({"security.protocol": "PLAINTEXT"}, "security.protocol"),
        ({"security.protocol": "SASL_PLAINTEXT"}, "security.protocol"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_refusal_is_named(
    settings: KafkaSettings, wrong: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first connection gets 10 s; 4 are enough here.

    A broker may say why, or only end the connection: both name the login and its settings.
    """
    monkeypatch.setattr(bootstrap, "CONNECT_SECONDS", 4.0)
    login = {**settings.client_settings, **wrong}
    own = msgspec.structs.replace(settings, client_settings={k: v for k, v in login.items() if v})
    with pytest.raises(LogError, match=named):
        create_topics(own, 1)
    text = _doctor(own)
    assert re.search(named, text), text
    assert "right" not in text and "wrong'" not in text, text


def test_the_right_login_works(settings: KafkaSettings, client: str) -> None:
    create_topics(settings, 1)
    log = open_kafka(msgspec.structs.replace(settings, client=client))
    log.produce(settings.events_topic, b"{}", partition=0)
    log.flush()
    log.close()


def _doctor(kafka: KafkaSettings) -> str:
    found: Any = findings(Settings(kafka=kafka))
    return " ".join(f.text for f in found if f.subject == "Kafka")
