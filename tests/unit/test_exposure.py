"""What is open to other machines is refused or listed."""

from typing import Any

import pytest
from make import context

from streamrec.commands.roles import learn, score
from streamrec.errors import ConfigurationError
from streamrec.monitoring.exposure import check_plaintext, is_loopback, open_ends
from streamrec.settings.load import load
from streamrec.settings.sections import Settings


def made(**flags: str) -> Settings:
    return load(None, {}, {name.replace("__", "."): text for name, text in flags.items()})


def test_loopback_is_told_by_the_text() -> None:
    for host in ("127.0.0.1", "127.8.8.8", "localhost", "::1", "[::1]"):
        assert is_loopback(host), host
    for host in ("0.0.0.0", "::", "10.0.0.1", "redis", "localhost.example.com", "", "[::]"):
        assert not is_loopback(host), host


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"kafka__brokers": "localhost:9092,[::1]:9092"},
        {"redis__url": "redis://u:p@127.0.0.1:6379/0"},
        {"redis__url": "redis://[::1]:6379/0"},
        {"redis__url": "unix:///run/redis.sock"},
        {"redis__url": "rediss://redis:6379/0"},
        {"redis__url": "rediss+sentinel://a:26379,b:26379/main/0"},
        {"redis__url": "redis+sentinel://127.0.0.1:26379,localhost:26380/main/0"},
        {"kafka__brokers": "k:9093", "kafka__client_settings": '{"security.protocol" = "ssl"}'},
        {"kafka__brokers": "k:9", "kafka__client_settings": '{"security.protocol" = "SASL_SSL"}'},
    ],
)
def test_what_stays_here_or_is_encrypted_is_closed(flags: dict[str, str]) -> None:
    check_plaintext(made(**flags))
    assert list(open_ends(made(**flags))) == []


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"kafka__brokers": "127.0.0.1:9092,kafka-2:9092"}, "kafka.brokers: kafka-2 is"),
        (
            {
                "kafka__brokers": "k:9",
                "kafka__client_settings": '{"security.protocol" = "SASL_PLAINTEXT"}',
            },
            "security.protocol is SASL_PLAINTEXT",
        ),
        ({"redis__url": "redis://redis:6379/0"}, "redis.url: redis is another machine"),
        ({"redis__url": "redis://user:p4ss@10.1.2.3/0"}, "redis.url: 10.1.2.3 is another"),
        ({"redis__url": "redis+sentinel://localhost,b:26379/main/0"}, "redis.url: b is another"),
    ],
)
def test_plaintext_to_another_machine_is_refused_until_it_is_allowed(
    flags: dict[str, str], named: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"security\.allow_plaintext = true") as error:
        check_plaintext(made(**flags))
    assert named in str(error.value) and "p4ss" not in str(error.value)
    assert error.value.exit_code == 78
    allowed = made(**flags, security__allow_plaintext="true")
    check_plaintext(allowed)
    [told] = open_ends(allowed)
    assert named in told


def test_any_name_is_listed() -> None:
    [told] = open_ends(made(serve__names='["*"]'))
    assert told.startswith("serve.names has *")
    assert not list(open_ends(made(serve__names='["*"]', serve__read_tokens='["t"]')))


def test_open_ports_are_listed() -> None:
    found = list(open_ends(made(metrics__host="0.0.0.0", serve__host="::")))
    assert [text.partition(":")[0] for text in found] == [
        "metrics.host is 0.0.0.0",
        "serve.host is ",
    ]
    assert list(open_ends(made(serve__host="10.0.0.1", serve__read_tokens='["secret"]'))) == []


@pytest.mark.parametrize("command", [learn, score])
def test_the_roles_refuse_before_they_connect(command: Any) -> None:
    """To a host that does not exist: otherwise the error would be another one."""
    for flags in ({"kafka__brokers": "no.such.host:9092"}, {"redis__url": "redis://no.such/0"}):
        with pytest.raises(ConfigurationError, match=r"no\.such"):
            command(context(made(**flags, metrics__port="0")))
