"""Loading the settings: precedence, and errors that name the cause and the nearest valid name."""

from pathlib import Path

import pytest

from streamrec.errors import ConfigurationError
from streamrec.settings.load import all_settings, default_of, load, variable_of
from streamrec.settings.sections import RedisSettings, Settings
from streamrec.transport.redis.store import Store

pytestmark = pytest.mark.usefixtures("nothing_configured")


def written(text: str, name: str = "own.toml") -> Path:
    path = Path(name)
    path.write_text(text)
    return path


def error(
    text: str = "", environ: dict[str, str] | None = None, flags: dict[str, str] | None = None
) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(written(text) if text else None, environ or {}, flags or {})
    assert caught.value.exit_code == 78
    return str(caught.value)


def test_nothing_given_is_all_defaults() -> None:
    assert load(None, {}, {}) == Settings()


def test_flags_over_environment_over_file_over_defaults() -> None:
    file = written("[lists]\nlength = 2\nbecause = 2\nttl_seconds = 2\n")
    environ = {"STREAMREC_LISTS_LENGTH": "3", "STREAMREC_LISTS_BECAUSE": "3"}
    lists = load(file, environ, {"lists.length": "4"}).lists
    assert (lists.length, lists.because, lists.ttl_seconds) == (4, 3, 2)
    assert lists.due_batch == Settings().lists.due_batch


def test_which_file() -> None:
    written("[lists]\nlength = 1\n", "streamrec.toml")
    written("[lists]\nlength = 2\n", "two.toml")
    three = written("[lists]\nlength = 3\n", "three.toml")
    assert load(None, {}, {}).lists.length == 1
    assert load(None, {"STREAMREC_CONFIG": "two.toml"}, {}).lists.length == 2
    assert load(three, {"STREAMREC_CONFIG": "two.toml"}, {}).lists.length == 3
    assert "none.toml" in error(environ={"STREAMREC_CONFIG": "none.toml"})


def test_short_names() -> None:
    environ = {"STREAMREC_KAFKA": "k:1,[::1]:2", "STREAMREC_REDIS": "rediss://:pw@r:6379/0"}
    settings = load(None, environ, {})
    assert settings.kafka.brokers == "k:1,[::1]:2"
    assert settings.redis.url == "rediss://:pw@r:6379/0"
    assert load(None, {**environ, "STREAMREC_KAFKA_BROKERS": "l:1"}, {}).kafka.brokers == "l:1"


@pytest.mark.parametrize("name", all_settings())
def test_every_setting_can_come_from_environment_and_flag(name: str) -> None:
    value = default_of(name)
    if isinstance(value, dict):
        text = "{" + ", ".join(f'"{key}" = {entry}' for key, entry in value.items()) + "}"
    else:
        text = str(list(value)) if isinstance(value, tuple) else str(value)
    assert load(None, {variable_of(name): text}, {}) == Settings()
    assert load(None, {}, {name: text}) == Settings()


def test_tables_of_names() -> None:
    file = written("[events.weights]\nclick = 1\nwatch = 2\n[kafka.client_settings]\n'a.b' = 'c'\n")
    assert load(file, {}, {}).events.weights == {"click": 1.0, "watch": 2.0}
    flags = {"events.weights.watch": "3", "kafka.client_settings.sasl.mechanism": "PLAIN"}
    settings = load(file, {}, flags)
    assert settings.events.weights == {"click": 1.0, "watch": 3.0}
    assert settings.kafka.client_settings == {"a.b": "c", "sasl.mechanism": "PLAIN"}
    settings = load(None, {"STREAMREC_EVENTS_WEIGHTS": '{"click": 1}'}, {})
    assert settings.events.weights == {"click": 1.0}
    assert load(None, {}, {"events.weights.click": "9"}).events.weights["view"] == 0.3


def test_nested_section() -> None:
    environ = {"STREAMREC_EVENTS_MAPPING_USER": "actor.id"}
    file = written("[events.mapping]\nitem = 'sku'\n")
    mapping = load(file, environ, {"events.mapping.ts": "at"}).events.mapping
    assert (mapping.user, mapping.item, mapping.ts, mapping.type) == (
        "actor.id",
        "sku",
        "at",
        "type",
    )


def test_unknown_key_names_the_nearest_and_its_place() -> None:
    text = error("[lists]\nbecause = 1\nlenght = 3\n")
    assert "own.toml:3" in text and "did you mean lists.length?" in text
    assert "did you mean lists.length?" in error("length = 3\n")
    assert "did you mean kafka.brokers?" in error("[kafka]\nbroker = 'a:1'\n")
    assert "own.toml" in error("[list]\nlength = 3\n")
    text = error(environ={"STREAMREC_LISTS_LENGHT": "3"})
    assert "STREAMREC_LISTS_LENGHT" in text and "did you mean STREAMREC_LISTS_LENGTH?" in text
    text = error(flags={"lists.lenght": "3"})
    assert "--set lists.lenght" in text and "did you mean lists.length?" in text
    text = error(flags={"neural.sample_byte": "3"})
    assert "did you mean neural.sample_bytes_per_second?" in text


@pytest.mark.parametrize("name", ["STREAMREC_TEST_KAFKA", "STREAMREC_SERVICE_HOST", "STREAMREC_X"])
def test_variables_that_are_no_settings(name: str) -> None:
    value = "tcp://10.0.0.1:80" if name == "STREAMREC_X" else "anything"
    assert load(None, {name: value, "OTHER": "x"}, {}) == Settings()


def test_kubernetes_service_named_like_a_setting() -> None:
    environ = {"STREAMREC_METRICS_PORT": "tcp://10.0.0.1:9464"}
    assert load(None, environ, {}) == Settings()
    assert load(None, {"STREAMREC_METRICS_PORT": "9465"}, {}).metrics.port == 9465


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("lists.length", "x", "whole number, at least 1"),
        ("lists.length", "0", "whole number, at least 1"),
        ("lists.length", "2.5", "whole number, at least 1"),
        ("lists.exclude", "users", "`user` or `session` or `none`"),
        ("kafka.client", "librdkafka", "`kafka-python` or `confluent`"),
        ("kafka.events_topic", "a b", "string"),
        ("kafka.brokers", "localhost", "not host:port"),
        ("kafka.items_topic", "streamrec.events", "two topics"),
        ("redis.url", "http://u:secret@h", "redis"),
        ("redis.cluster", "maybe", "true or false"),
        ("factors.context_decay", "1.5", "at most 1"),
        ("factors.context", "51", "users.recent_items keeps only 50"),
        ("similarity.window", "51", "users.recent_items keeps only 50"),
        ("factors.learning_rate", "nan", "above 0"),
        ("events.max_ahead_seconds", "inf", "number"),
        ("events.weights", "{click = nan}", "table of numbers"),
        ("events.weights", "[1]", "table of numbers"),
        ("events.weights", "{", "table of numbers"),
        ("events.weights", "{view = 0}", "no positive weight"),
        ("events.weights", "{view = 1, forget = 0}", "the type is streamrec's own"),
        ("events.weights.click", "much", "table of numbers"),
        ("events.default_type", "watch", "none of cart, click"),
        ("popularity.half_lives_seconds", "[1, 2]", "list of 3"),
        ("popularity.half_lives_seconds", "[1, 3, 2]", "must rise"),
        ("blend.weights.popularity", "1", "none of content, cosine, factors"),
        ("blend.weights.factors", "-1", "below 0"),
        ("blend.kind", "bordo", "`vote` or `borda`"),
        ("blend.reorder", "popularity", "none of content, cosine, factors"),
        ("blend.off", '["factor"]', "none of content, cosine, factors"),
        ("blend.candidates", "10", "less than lists.length"),
        ("users.cached_users", "2000000", "users.max_users"),
        ("metrics.port", "65536", "at most 65535"),
        ("logging.level", "loud", "`debug`"),
    ],
)
def test_wrong_type_or_out_of_range(name: str, text: str, words: str) -> None:
    message = error(flags={name: text})
    assert words in message and name in message and f"--set {name}" in message
    assert "secret" not in message


def test_wrong_type_in_the_file() -> None:
    assert "own.toml:2" in error("[lists]\nlength = '5'\n")
    assert "own.toml:2" in error("[events]\nweights = {click = 'x'}\n")
    assert "own.toml" in error("[lists\n")


def test_the_source_that_reorders_may_not_be_off() -> None:
    both = {"blend.reorder": "factors", "blend.off": '["factors", "cosine"]'}
    assert "blend.reorder names 'factors', which blend.off switches off" in error(flags=both)
    assert load(None, {}, both | {"blend.reorder": "content"}).blend.reorder == "content"


def test_problem_between_settings_names_the_place_that_was_given() -> None:
    assert error("[blend]\ncandidates = 10\n").startswith("own.toml:2: blend.candidates")


def test_the_password_is_in_no_message() -> None:
    assert "secret" not in error(environ={"STREAMREC_REDIS": "http://u:secret@h"})
    assert "secret" not in error("[kafka]\nclient_settings = ['secret']\n")
    for name in (name for name in all_settings(Settings) if name.endswith("_tokens")):
        if name != "serve.without_tokens":
            assert "secret" not in error(f"{name} = 'secret'\n")
            assert "secret" not in error(f"{name} = ['secret', 7]\n")
            assert name in error(flags={name: "['secret', 7]"})


def test_a_key_without_its_certificate_is_named() -> None:
    with pytest.raises(ConfigurationError, match="ssl_keyfile needs ssl_certfile"):
        Store(RedisSettings(url="rediss://:secret@h:1/0?ssl_keyfile=key.pem"))
