"""What `streamrec doctor` finds of all that the other commands rest on, and the next step."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib import metadata
from typing import Any, NamedTuple

import redis

from streamrec.errors import StreamrecError
from streamrec.monitoring.exposure import open_ends
from streamrec.monitoring.log_lines import without_password
from streamrec.settings.place_rules import place_names
from streamrec.settings.sections import KafkaSettings, Settings
from streamrec.transport.kafka.batch_codecs import PACKAGES as PACKAGES_OF_CODECS
from streamrec.transport.kafka.log_identity import differences, log_identity
from streamrec.transport.kafka.open_log import check_listening, open_kafka
from streamrec.transport.kafka.topics import check_topics, may_write, remarks
from streamrec.transport.redis.keys import BOOTSTRAP, SHARDS
from streamrec.transport.redis.places import stored_places
from streamrec.transport.redis.store import Store

OLDEST_PYTHON = (3, 11)
PACKAGES = ("kafka-python", "redis", "numpy", "numba", "msgspec", "prometheus-client")
# 3.0.0 to 3.0.8 stop delivering after a batch or a rebalance
OLDEST_KAFKA_PYTHON = (3, 0, 9)
OLDEST_REDIS = (7, 0)


class Finding(NamedTuple):
    """One line: `state` is ok, warn or FAIL; only FAIL makes the command fail."""

    state: str
    subject: str
    text: str


def findings(settings: Settings) -> Iterator[Finding]:
    """Yield what each check finds; Kafka and Redis are asked side by side."""
    counts: dict[str, int] = {}  # of partitions, where Kafka answers
    with ThreadPoolExecutor(2) as pool:
        kafka = pool.submit(_told, "Kafka", lambda: _kafka(settings.kafka, counts))
        server = pool.submit(_told, "Redis", lambda: _redis(settings))
        yield from _told("installation", lambda: _installation(settings.kafka))
        yield from kafka.result()
        yield from server.result()
    if not any(found.state == "FAIL" and found.subject == "Redis" for found in server.result()):
        yield from _told("state", lambda: _state(settings, counts))
    yield from _told("security", lambda: _security(settings))


def _told(subject: str, check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """Return what a check finds; an error of ours is its last finding."""
    found = []
    try:
        for finding in check():
            found.append(finding)
    except StreamrecError as error:
        found.append(Finding("FAIL", subject, str(error)))
    return found


def _installation(settings: KafkaSettings) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    new_enough = sys.version_info >= OLDEST_PYTHON
    yield _verdict(new_enough, "Python", version, "install Python 3.11 or newer")
    client = ("confluent-kafka",) if settings.client == "confluent" else ()
    for package in PACKAGES + client:
        try:
            found = metadata.version(package)
        except metadata.PackageNotFoundError:
            extra = "streamrec[fast]" if package in client else "streamrec"
            yield Finding("FAIL", package, f"not installed; run: pip install '{extra}'")
            continue
        fits = package != "kafka-python" or _numbers(found) >= OLDEST_KAFKA_PYTHON
        next_step = "it stops delivering after a rebalance; run: pip install -U kafka-python"
        yield _verdict(fits, package, found, next_step)
    fast = importlib.util.find_spec("crc32c") is not None
    text = "crc32c is there" if fast else "crc32c is missing"
    yield _verdict(fast, "checksums", text, "reading is 4 times slower; run: pip install crc32c")
    for codec, package in PACKAGES_OF_CODECS.items():
        there = importlib.util.find_spec(package) is not None
        next_step = f"a batch of it would end learn; run: pip install {package}"
        yield _verdict(there, "codec", codec if there else f"{codec} cannot be read", next_step)


def _kafka(settings: KafkaSettings, counts: dict[str, int]) -> Iterator[Finding]:
    check_listening(settings)
    counts |= check_topics(settings)  # names why Kafka refuses, where it does
    log = open_kafka(settings)
    try:
        log.partitions(settings.events_topic)
    finally:
        log.close()
    yield Finding("ok", "Kafka", f"{settings.brokers} answers {settings.client}")
    remarked = remarks(settings)
    for topic, count in counts.items():
        yield Finding("ok", f"topic {topic}", f"{count} partitions, settings fit")
        if topic in remarked:
            yield Finding("warn", f"topic {topic}", remarked[topic])
    yield from _merging(settings)
    if settings.samples_topic not in counts:
        next_step = "`train` learns nothing; run: streamrec topics create --partitions N"
        yield Finding("warn", f"topic {settings.samples_topic}", f"it is missing; {next_step}")


def _merging(settings: KafkaSettings) -> Iterator[Finding]:
    topic = settings.events_topic
    allowed = may_write(settings, topic)
    if allowed:
        yield Finding(
            "ok", f"topic {topic}", "may be written to: visitors can be merged with users"
        )
    elif allowed is not None:
        text = (
            "no right Write with these settings: where `learn` has no more, messages `merge` are "
            "dead letters. Give learn the right (docs/operations.md), if visitors are merged"
        )
        yield Finding("warn", f"topic {topic}", text)


def _redis(settings: Settings) -> Iterator[Finding]:
    url = without_password(settings.redis.url)
    try:
        with closing(Store(settings.redis)) as store:
            found: dict[str, Any] = store.client(SHARDS).info("everything")
    except redis.RedisError as error:
        next_step = "start it, or set STREAMREC_REDIS=redis://host:port/0"
        yield Finding("FAIL", "Redis", f"{url} does not answer ({error}); {next_step}")
        return
    version = str(found.get("valkey_version") or found["redis_version"])
    new_enough = _numbers(version) >= OLDEST_REDIS
    yield _verdict(new_enough, "Redis", f"{url} is version {version}", "use Redis 7 or newer")
    role = str(found.get("role", "master"))
    next_step = "it takes no writes: is redis.url a replica's address, or was there a failover?"
    primary = role in ("master", "primary")
    yield _verdict(primary, "Redis role", "primary" if primary else "replica", next_step)
    yield _eviction(found)
    yield _persistence(found)


def _security(settings: Settings) -> Iterator[Finding]:
    found = list(open_ends(settings))
    for text in found:
        yield Finding("warn", "open", text)
    if not found:
        yield Finding("ok", "open", "nothing to other machines, by the settings")


def _eviction(found: dict[str, Any]) -> Finding:
    policy, limit = str(found["maxmemory_policy"]), int(found["maxmemory"])
    text = f"maxmemory {limit or 'none'}, policy {policy}"
    # volatile policies take only what has a time to live: the lists, which are made again
    safe = limit == 0 or not policy.startswith("allkeys")
    next_step = "it deletes learnt state when full; set maxmemory-policy noeviction"
    return _verdict(safe, "Redis memory", text, next_step)


def _persistence(found: dict[str, Any]) -> Finding:
    if found["aof_enabled"]:
        return Finding("ok", "Redis file", "append-only file on")
    return Finding(
        "warn",
        "Redis file",
        "append-only file off: when Redis restarts, only what Kafka still has is learnt again; "
        "set appendonly yes",
    )


def _state(settings: Settings, counts: dict[str, int]) -> Iterator[Finding]:
    with closing(Store(settings.redis)) as store:
        shards, [marker] = store.shards(), store.run([("GET", BOOTSTRAP)])
        places = set(stored_places(store)) - set(place_names(settings))
    if marker is not None:
        yield Finding(
            "FAIL",
            "state",
            "a bootstrap is filling this Redis, or was cut off, and `learn` does not start: wait "
            "until it is done. If none runs any more, run `streamrec bootstrap` with --again, or "
            "start over without (docs/guarantees.md)",
        )
        return
    for place in sorted(places):
        yield Finding(
            "warn",
            f"place {place}",
            "lists of it were stored, and these settings have no such place: their users' lists "
            "there stay what they are for lists.ttl_seconds. Give all roles the same [places]",
        )
    if shards is None:
        yield Finding("ok", "state", "nothing learnt yet")
        return
    kafka = settings.kafka
    wrong = []
    if shards.size != settings.factors.size:
        wrong.append(
            f"learnt with factors.size = {shards.size}, now {settings.factors.size}; set it back, "
            "or start over (docs/guarantees.md)"
        )
    if counts:  # Kafka answers
        wrong += differences(shards, log_identity(kafka), kafka)
    for text in wrong:
        yield Finding("FAIL", "state", text)
    if not wrong:
        yield Finding("ok", "state", "partitions, factors.size and the ids of the topics fit")


def _verdict(fine: bool, subject: str, text: str, next_step: str) -> Finding:
    if fine:
        return Finding("ok", subject, text)
    return Finding("FAIL", subject, f"{text}; {next_step}")


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version."""
    numbers = []
    for part in version.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)
