"""The laws of the Log port: one body for both clients, against a real broker."""

import time
from collections.abc import Callable, Iterator

import msgspec
import pytest
from kafka import KafkaConsumer, TopicPartition
from laws.members import CLIENTS, Member
from needs import needs
from servers import KafkaServer

from streamrec.errors import (
    BrokerUnavailable,
    DeliveryFailed,
    LogError,
    MessageRefused,
    OffsetGone,
    WrongTopic,
)
from streamrec.settings.sections import KafkaSettings
from streamrec.transport.kafka.log import Log, Partition
from streamrec.transport.kafka.open_log import open_kafka
from streamrec.transport.kafka.topics import admin_client

# org.apache.kafka.common.utils.UtilsTest.testMurmur2
MURMUR2 = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}

Open = Callable[..., Log]


@pytest.fixture
def open_client(topics: KafkaSettings) -> Iterator[Open]:
    """Open Logs of any client on this test's topics; all are closed after the test."""
    opened: list[Log] = []

    def open_one(client: str, group: str | None = None) -> Log:
        opened.append(open_kafka(msgspec.structs.replace(topics, client=client), group))
        return opened[-1]

    yield open_one
    for log in opened:
        log.close()


@pytest.fixture
def log(client: str, open_client: Open, topics: KafkaSettings) -> Log:
    return open_client(client, topics.group)


def partitions_of(topic: str) -> list[Partition]:
    return [Partition(topic, number) for number in range(4)]


def fill(log: Log, topic: str, count: int) -> None:
    """Put the numbers from 0 into each of the 4 partitions."""
    for number in range(count):
        for partition in range(4):
            log.produce(topic, b"%d" % number, partition=partition)
    log.flush()


def test_every_message_arrives_once_and_in_order(log: Log, topics: KafkaSettings) -> None:
    fill(log, topics.events_topic, 500)
    member = Member(log, [topics.events_topic])
    member.until(lambda: member.count >= 2000)
    for partition in partitions_of(topics.events_topic):
        messages = member.messages[partition]
        assert [message.offset for message in messages] == list(range(500))
        assert [message.value for message in messages] == [b"%d" % n for n in range(500)]
    assert member.assigned == [partitions_of(topics.events_topic)]


def test_a_poll_returns_no_more_than_asked(log: Log, topics: KafkaSettings) -> None:
    fill(log, topics.events_topic, 100)
    member = Member(log, [topics.events_topic])
    while member.count < 400:
        assert member.poll(1.0, max_messages=7) <= 7


def test_an_idle_poll_takes_its_time_and_no_longer(log: Log, topics: KafkaSettings) -> None:
    member = Member(log, [topics.events_topic])
    member.join(4)
    member.poll(0.5)
    started = time.monotonic()
    assert log.poll(0.5, 100) == {}
    assert 0.4 < time.monotonic() - started < 15


@pytest.mark.parametrize("reader", CLIENTS)
def test_key_value_headers_and_time_pass_through(
    client: str, reader: str, open_client: Open, topics: KafkaSettings
) -> None:
    writer = open_client(client)
    topic = topics.items_topic  # keeps the producer's time; the others take the broker's
    writer.produce(topic, b"v", key=b"k", partition=2, headers=[("h", b"1")], timestamp=1234567)
    writer.produce(topic, None, key=b"k", partition=2)
    writer.produce(topic, b"\x00" * 1000, key=b"", partition=2)
    writer.flush()
    member = Member(open_client(reader, topics.group), [topic])
    member.until(lambda: member.count == 3)
    first, second, third = member.messages[Partition(topic, 2)]
    assert first == (0, 1234567, b"k", b"v")
    assert (second.key, second.value) == (b"k", None)
    assert (third.key, third.value) == (b"", b"\x00" * 1000)
    assert abs(second.timestamp - time.time() * 1000) < 60_000
    raw = KafkaConsumer(bootstrap_servers=topics.brokers, auto_offset_reset="earliest")
    raw.assign([TopicPartition(topic, 2)])
    records = raw.poll(timeout_ms=5000)[TopicPartition(topic, 2)]
    raw.close()
    assert [list(record.headers) for record in records] == [[("h", b"1")], [], []]


def test_events_get_the_brokers_time(log: Log, kafka: KafkaServer, topics: KafkaSettings) -> None:
    if kafka.kind == "embedded":
        pytest.skip("the embedded broker keeps the producer's time")
    log.produce(topics.events_topic, b"old", timestamp=1_000_000, partition=0)
    log.flush()
    member = Member(log, [topics.events_topic])
    member.until(lambda: member.count == 1)
    (message,) = member.messages[Partition(topics.events_topic, 0)]
    assert abs(message.timestamp - time.time() * 1000) < 60_000


def test_keys_go_where_java_sends_them(log: Log, topics: KafkaSettings) -> None:
    for key in MURMUR2:
        log.produce(topics.events_topic, b"", key=key)
    log.flush()
    member = Member(log, [topics.events_topic])
    member.until(lambda: member.count == len(MURMUR2))
    found = {
        message.key: partition.number
        for partition, messages in member.messages.items()
        for message in messages
    }
    assert found == {key: (value & 0x7FFFFFFF) % 4 for key, value in MURMUR2.items()}


def test_both_clients_partition_alike(open_client: Open, topics: KafkaSettings) -> None:
    needs("confluent_kafka")
    for client in CLIENTS:
        log = open_client(client)
        for number in range(200):
            log.produce(topics.events_topic, client.encode(), key=b"user-%d" % number)
        log.flush()
    member = Member(open_client("kafka-python", topics.group), [topics.events_topic])
    member.until(lambda: member.count == 400)
    seen: dict[str, set[tuple[bytes | None, int]]] = {client: set() for client in CLIENTS}
    for partition, messages in member.messages.items():
        for message in messages:
            seen[(message.value or b"").decode()].add((message.key, partition.number))
    assert seen["kafka-python"] == seen["confluent"]
    assert len(seen["confluent"]) == 200


def test_reading_starts_where_on_assign_says_and_not_at_committed_offsets(
    log: Log, client: str, open_client: Open, topics: KafkaSettings
) -> None:
    fill(log, topics.events_topic, 20)
    starts = {partition: 3 * partition.number for partition in partitions_of(topics.events_topic)}
    member = Member(log, [topics.events_topic], starts)
    member.until(lambda: member.count == 80 - 18)
    assert {p: messages[0].offset for p, messages in member.messages.items()} == starts
    log.commit({partition: 15 for partition in starts})
    time.sleep(0.3)  # the commit is not waited for
    log.close()
    again = Member(open_client(client, topics.group), [topics.events_topic], starts)
    again.until(lambda: again.count == 80 - 18)
    assert {p: messages[0].offset for p, messages in again.messages.items()} == starts


def test_seek_goes_back_and_forth(log: Log, topics: KafkaSettings) -> None:
    fill(log, topics.events_topic, 3000)
    member = Member(log, [topics.events_topic])
    where = Partition(topics.events_topic, 1)
    member.until(lambda: len(member.messages[where]) > 0)
    for offset in (5, 2900, 0, 1500):
        # the client has fetched ahead: none of that may come
        log.seek(where, offset)
        member.messages.clear()
        member.until(lambda: len(member.messages[where]) > 0)
        assert member.messages[where][0].offset == offset
    member.messages.clear()
    log.seek(where, 2990)
    member.until(lambda: any(m.offset == 2999 for m in member.messages[where]))
    assert [message.offset for message in member.messages[where]] == list(range(2990, 3000))


def test_what_was_fetched_before_a_hold_does_not_stop_what_follows(
    log: Log, topics: KafkaSettings
) -> None:
    held, other = Partition(topics.events_topic, 0), Partition(topics.events_topic, 1)
    for number in range(50):
        log.produce(held.topic, b"%d" % number, partition=held.number)
    log.flush()
    member = Member(log, [topics.events_topic])
    while not member.messages[held]:
        member.poll(max_messages=10)
    log.hold(held)  # of what was fetched, most is not delivered yet
    for number in (1, 2):
        log.produce(other.topic, b"", partition=other.number)
        log.flush()
        member.until(lambda number=number: len(member.messages[other]) == number)  # type: ignore[misc]
    delivered = len(member.messages[held])
    log.seek(held, delivered)
    member.until(lambda: len(member.messages[held]) == 50)
    assert [message.offset for message in member.messages[held]] == list(range(50))


def test_seek_of_a_foreign_partition_is_refused(log: Log, topics: KafkaSettings) -> None:
    member = Member(log, [topics.events_topic])
    member.join(4)
    with pytest.raises(LogError, match="not assigned"):
        log.seek(Partition(topics.events_topic, 9), 0)


def test_an_offset_past_the_end_is_an_error(log: Log, topics: KafkaSettings) -> None:
    fill(log, topics.events_topic, 5)
    where = Partition(topics.events_topic, 2)
    member = Member(log, [topics.events_topic], {where: 1000})
    for _ in range(2):  # it does not go away by itself
        with pytest.raises(OffsetGone, match=f"offset 1000 of {topics.events_topic}/2"):
            member.until(lambda: False, seconds=20)
    log.seek(where, 4)
    member.until(lambda: len(member.messages[where]) == 1)


def test_a_trimmed_offset_is_an_error(log: Log, topics: KafkaSettings) -> None:
    fill(log, topics.events_topic, 50)
    where = Partition(topics.events_topic, 3)
    with admin_client(topics) as admin:
        try:
            admin.delete_records({TopicPartition(*where): 30})
        except Exception as error:
            pytest.skip(f"this broker cannot delete records: {error!r}")
    if log.log_start(where) != 30:
        pytest.skip("this broker takes the request and deletes nothing")
    member = Member(log, [topics.events_topic], {where: 10})
    with pytest.raises(OffsetGone, match="offset 10 of"):
        member.until(lambda: False, seconds=20)
    assert member.messages[where] == []


def test_a_failed_delivery_is_raised_once_and_then_the_log_works_again(
    log: Log, topics: KafkaSettings
) -> None:
    for mistake in ({"value": b"x" * 9_000_000}, {"value": b"x", "partition": 77}):
        log.produce(topics.events_topic, b"before", partition=0)
        log.produce(topics.events_topic, **mistake)
        log.produce(topics.events_topic, b"after")
        with pytest.raises((DeliveryFailed, MessageRefused)):
            log.flush(5)
        log.flush()
        log.produce(topics.events_topic, b"good", partition=1)
        log.flush()
    member = Member(log, [topics.events_topic])
    good = Partition(topics.events_topic, 1)
    member.until(lambda: len(member.messages[good]) >= 2)
    assert [message.value for message in member.messages[good][-2:]] == [b"good", b"good"]


@pytest.mark.parametrize("pair", [(0, 0), (1, 1), (0, 1)])
def test_two_members_share_and_hand_over(
    pair: tuple[int, int], open_client: Open, topics: KafkaSettings
) -> None:
    if 1 in pair:
        needs("confluent_kafka")
    first = Member(open_client(CLIENTS[pair[0]], topics.group), [topics.events_topic])
    first.join(4)
    other = Member(open_client(CLIENTS[pair[1]], topics.group), [topics.events_topic])
    deadline = time.monotonic() + 30
    while not len(first.owned) == len(other.owned) == 2:
        assert time.monotonic() < deadline, f"{first} / {other}"
        first.poll(0.1)
        other.poll(0.1)
    assert first.owned | other.owned == set(partitions_of(topics.events_topic))
    # what stays is neither taken away nor given anew
    assert [len(partitions) for partitions in first.revoked] == [2]
    assert [len(partitions) for partitions in first.assigned] == [4]
    fill(open_client("kafka-python"), topics.events_topic, 10)
    while first.count + other.count < 40:
        first.poll(0.1)
        other.poll(0.1)
    first.log.close()
    other.join(4)
    fill(open_client("kafka-python"), topics.events_topic, 10)
    # the partitions handed over start at 0 again, as this member's on_assign says
    other.until(lambda: other.count == 20 + 40 + 20)
    assert first.count == 20


def test_a_join_that_ends_between_two_polls_counts(log: Log, topics: KafkaSettings) -> None:
    member = Member(log, [topics.events_topic])
    deadline = time.monotonic() + 5
    while len(member.owned) < 4:
        assert time.monotonic() < deadline
        member.poll(0.01)
        time.sleep(0.3)
    assert len(member.assigned) == 1


def test_a_failing_on_assign_is_called_again(log: Log, topics: KafkaSettings) -> None:
    fill(log, topics.events_topic, 1)
    calls = []

    def on_assign(partitions: object) -> dict[Partition, int]:
        calls.append(partitions)
        if len(calls) < 3:
            raise RuntimeError("Redis is away")
        return dict.fromkeys(partitions_of(topics.events_topic), 0)

    log.subscribe([topics.events_topic], on_assign, lambda partitions: None)
    count, failures = 0, 0
    deadline = time.monotonic() + 20
    while count < 4 and time.monotonic() < deadline:
        try:
            count += sum(map(len, log.poll(0.2, 100).values()))
        except RuntimeError:
            assert count == 0
            failures += 1
    assert (count, failures) == (4, 2)


def test_watermarks_and_starts(log: Log, topics: KafkaSettings) -> None:
    where = Partition(topics.events_topic, 0)
    assert log.high_watermark(where) is None
    member = Member(log, [topics.events_topic])
    fill(log, topics.events_topic, 250)
    member.until(lambda: member.count == 1000)
    assert [log.high_watermark(p) for p in partitions_of(topics.events_topic)] == [250] * 4
    assert log.high_watermark(Partition(topics.events_topic, 9)) is None
    assert log.log_start(where) == 0


def test_partition_counts(client: str, open_client: Open, topics: KafkaSettings) -> None:
    log = open_client(client)
    assert log.partitions(topics.updates_topic) == 4
    with pytest.raises(WrongTopic, match="no-such-topic does not exist"):
        log.partitions("no-such-topic")


def test_long_messages(log: Log, topics: KafkaSettings) -> None:
    event, update = bytes(range(256)) * 3500, bytes(range(256)) * 32_000
    log.produce(topics.events_topic, event, partition=0)
    log.produce(topics.updates_topic, update, partition=3)
    log.flush()
    member = Member(log, [topics.events_topic, topics.updates_topic])
    member.until(lambda: member.count == 2)
    assert member.messages[Partition(topics.events_topic, 0)][0].value == event
    assert member.messages[Partition(topics.updates_topic, 3)][0].value == update


def test_messages_are_compressed(client: str, open_client: Open, topics: KafkaSettings) -> None:
    log = open_client(client)
    for _ in range(50):
        log.produce(topics.updates_topic, b"x" * 100_000, partition=0)
    log.flush()
    raw = KafkaConsumer(bootstrap_servers=topics.brokers)
    raw.assign([TopicPartition(topics.updates_topic, 0)])
    raw.seek(TopicPartition(topics.updates_topic, 0), 0)
    count = 0
    while count < 50:
        count += sum(map(len, raw.poll(timeout_ms=1000).values()))
    # over its window of at least 30 s: 5 MB uncompressed were more than 80 kB/s
    rate = raw.metrics()["consumer-metrics"]["incoming-byte-rate"]
    raw.close()
    assert 0 < rate < 20_000


def test_an_aborted_transaction_is_not_read(
    log: Log, kafka: KafkaServer, topics: KafkaSettings
) -> None:
    if kafka.kind == "embedded":
        pytest.skip("the embedded broker returns aborted messages")
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=topics.brokers, transactional_id=topics.group)
    producer.init_transactions()
    for value, end in ((b"a", producer.abort_transaction), (b"b", producer.commit_transaction)):
        producer.begin_transaction()
        producer.send(topics.events_topic, value, partition=0)
        producer.flush()
        end()
    producer.close()
    member = Member(log, [topics.events_topic])
    member.until(lambda: member.count == 1)
    assert member.messages[Partition(topics.events_topic, 0)][0].value == b"b"


def test_a_broker_that_does_not_answer_is_named(
    client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("kafka_python_log", "connecting", "confluent_log", "topics"):
        monkeypatch.setattr(f"streamrec.transport.kafka.{module}.CONNECT_SECONDS", 0.5)
    log = open_kafka(KafkaSettings(brokers="127.0.0.1:1", client=client), "g")
    for use in (
        lambda: log.subscribe(["t"], lambda p: {}, lambda p: None),
        lambda: log.partitions("t"),
        lambda: log.log_start(Partition("t", 0)),
    ):
        with pytest.raises(BrokerUnavailable, match="127.0.0.1:1 .*STREAMREC_KAFKA"):
            use()
    log.close()


def test_without_a_group_it_cannot_subscribe(client: str, open_client: Open) -> None:
    with pytest.raises(LogError, match="without a consumer group"):
        open_client(client).subscribe(["t"], lambda p: {}, lambda p: None)
