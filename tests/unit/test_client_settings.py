"""One table of client settings serves both clients; what it lacks is refused by name."""

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from needs import needs

from streamrec.errors import ConfigurationError
from streamrec.settings.sections import KafkaSettings
from streamrec.transport.kafka import client_settings
from streamrec.transport.kafka.client_settings import confluent_settings, kafka_python_settings
from streamrec.transport.kafka.open_log import open_kafka


def test_librdkafkas_names_become_kafka_pythons() -> None:
    settings = KafkaSettings(
        brokers=" a:1, b:2 ",
        client_settings={
            "security.protocol": "sasl_ssl",
            "sasl.mechanism": "scram-sha-512",
            "sasl.username": "u",
            "sasl.password": "p",
            "ssl.ca.location": "ca.pem",
            "ssl.certificate.location": "cert.pem",
            "ssl.key.location": "key.pem",
            "ssl.key.password": "secret",
            "ssl.endpoint.identification.algorithm": "none",
        },
    )
    assert (
        kafka_python_settings(settings).items()
        >= {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": "u",
            "sasl_plain_password": "p",
            "ssl_cafile": "ca.pem",
            "ssl_certfile": "cert.pem",
            "ssl_keyfile": "key.pem",
            "ssl_password": "secret",
            "ssl_check_hostname": False,
        }.items()
    )
    assert kafka_python_settings(settings)["bootstrap_servers"] == ["a:1", "b:2"]


def test_every_client_of_kafka_python_takes_every_name_of_the_table() -> None:
    names = {name for name, _ in client_settings._TABLE.values()}
    for client in (KafkaAdminClient, KafkaConsumer, KafkaProducer):
        assert names <= set(client.DEFAULT_CONFIG)


def test_an_unknown_key_is_refused_with_the_nearest_known_one() -> None:
    settings = KafkaSettings(client_settings={"sasl.user": "u"})
    with pytest.raises(ConfigurationError, match='no "sasl.user"; .* is "sasl.username"'):
        kafka_python_settings(settings)


def test_a_wrong_value_is_refused() -> None:
    settings = KafkaSettings(client_settings={"retry.backoff.ms": "soon"})
    with pytest.raises(ConfigurationError, match="\"retry.backoff.ms\" cannot be 'soon'"):
        kafka_python_settings(settings)


@pytest.mark.parametrize("brokers", ["", "localhost", "a:b", ":9092", "a:0", "a:70000", "a:1,b"])
def test_wrong_addresses_are_refused(brokers: str) -> None:
    with pytest.raises(ConfigurationError, match="kafka.brokers"):
        kafka_python_settings(KafkaSettings(brokers=brokers))


def test_confluent_gets_the_users_settings_as_they_are() -> None:
    settings = KafkaSettings(client_settings={"sasl.oauthbearer.method": "oidc"})
    assert (
        confluent_settings(settings, {"acks": "all"}).items()
        >= {
            "sasl.oauthbearer.method": "oidc",
            "acks": "all",
            "bootstrap.servers": "127.0.0.1:9092",
        }.items()
    )


def test_what_the_delivery_promise_rests_on_cannot_be_changed() -> None:
    settings = KafkaSettings(client_settings={"acks": "1"})
    with pytest.raises(ConfigurationError, match='"acks" is set by streamrec itself'):
        confluent_settings(settings, {"acks": "all"})


def test_confluents_own_refusal_is_a_configuration_error() -> None:
    needs("confluent_kafka")
    settings = KafkaSettings(client="confluent", client_settings={"no.such.key": "1"})
    with pytest.raises(ConfigurationError, match="no.such.key"):
        open_kafka(settings).partitions("t")


def test_an_unknown_client_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="kafka-python or confluent"):
        open_kafka(KafkaSettings(client="pykafka"))


def test_a_client_that_is_not_installed_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "streamrec.transport.kafka.confluent_log", None)
    with pytest.raises(ConfigurationError, match=r"streamrec\[fast\]"):
        open_kafka(KafkaSettings(client="confluent"))
