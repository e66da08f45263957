"""`streamrec items load`: a real Kafka gets what differs from what a real Redis holds."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer

import pytest
from kafka import KafkaConsumer
from laws.spine import ITEMS, Spine
from laws.world import small
from servers import RedisServer
from typer.testing import CliRunner, Result

from streamrec.cli import app
from streamrec.events.event import Item
from streamrec.replay.catalogue import difference, withdrawn
from streamrec.settings.sections import KafkaSettings
from streamrec.transport.kafka.topics import create_topics

FILE = "id,title,price,new\na,Pot,3,true\nb,Cup,4.5,false\nc,Jug,,true\n"


class Shop:
    """Loads files, and lets the learners take in what is sent."""

    def __init__(self, folder: Path, kafka: KafkaSettings, redis: str, spine: Spine) -> None:
        self.file, self.spine = folder / "items.csv", spine
        self._common = ["--kafka", kafka.brokers, "--redis", redis]
        for name in ("group", "events_topic", "updates_topic", "items_topic"):
            self._common += ["--set", f"kafka.{name}={getattr(kafka, name)}"]
        self._consumer = KafkaConsumer(
            kafka.items_topic, bootstrap_servers=kafka.brokers, auto_offset_reset="earliest"
        )

    def load(self, text: str, *options: str) -> Result:
        self.file.write_text(text)
        arguments = [*self._common, "items", "load", str(self.file), *options]
        return CliRunner().invoke(app, arguments)

    def learn(self, most: int) -> list[str]:
        """Return the keys of the next messages, sorted, after the learners have taken them in."""
        keys = []
        while len(keys) < most:
            for messages in self._consumer.poll(timeout_ms=500).values():
                for message in messages:
                    keys.append(message.key.decode())
                    self.spine.broker.append(ITEMS, message.value, message.key)
        self.spine.turn()
        return sorted(keys)

    def stored(self) -> set[str]:
        found = (self.spine.store.all_rows(f"i{n}", "catalogue") for n in range(self.spine.parts))
        return {row.decode() for rows in found for row in rows.values()}

    def close(self) -> None:
        self._consumer.close()


@pytest.fixture
def shop(
    tmp_path: Path,
    kafka_settings: KafkaSettings,
    clean_redis: RedisServer,
    make_spine: Callable[..., Spine],
    nothing_configured: None,
) -> Iterator[Shop]:
    create_topics(kafka_settings, 1)
    shop = Shop(tmp_path, kafka_settings, clean_redis.url, make_spine(small(), 1))
    yield shop
    shop.close()


def test_only_differences_are_sent(shop: Shop) -> None:
    first = shop.load(FILE, "--dry-run")
    assert first.exit_code == 0
    assert first.stdout == "3 items: 3 new, 0 changed, 0 as they were, 0 gone\n"
    first = shop.load(FILE)
    assert first.exit_code == 0 and first.stdout.endswith(f"sent 3 to {topic(shop)}\n")
    assert shop.learn(3) == ["a", "b", "c"]
    again = shop.load(FILE)
    assert again.stdout.splitlines()[0] == "3 items: 0 new, 0 changed, 3 as they were, 0 gone"

    other = "id,title,price,new\nd,Tray,1,true\nb,Mug,4.5,false\na,Pot,3,true\n"
    diff = "3 items: 1 new, 1 changed, 1 as they were, 1 gone"
    kept = shop.load(other, "--dry-run", "--delete-missing")
    assert kept.stdout.splitlines() == [diff]
    assert "Those that are gone stay" in shop.load(other, "--dry-run").stderr
    done = shop.load(other, "--delete-missing")
    assert done.stdout.splitlines() == [diff, f"sent 3 to {topic(shop)}"]
    assert shop.learn(3) == ["b", "c", "d"]
    assert '{"item":"c","title":"Jug","available":false,"attributes":{"new":true}}' in shop.stored()
    last = shop.load(other, "--delete-missing")
    assert last.stdout.splitlines()[0] == "3 items: 0 new, 0 changed, 3 as they were, 0 gone"
    back = shop.load(FILE, "--dry-run")
    assert back.stdout.splitlines()[0] == "3 items: 0 new, 2 changed, 1 as they were, 1 gone"


def test_what_was_sent_before_is_learnt_before_it_is_compared(shop: Shop) -> None:
    shop.load(FILE)
    assert shop.learn(3) == ["a", "b", "c"]
    other = FILE.replace("Cup", "Mug")
    assert shop.load(other).stdout.startswith("3 items: 0 new, 1 changed")
    late = shop.load(FILE, "--timeout", "0.5")
    assert late.exit_code == 75 and not late.stdout
    assert f"1 messages of {topic(shop)} are not learnt after 0.5 s" in late.stderr
    blind = shop.load(FILE, "--timeout", "0", "--dry-run")  # as if b were a cup for all time
    assert "1 messages" in blind.stderr and ", 0 changed, 3 as they were" in blind.stdout
    learner = Timer(1.0, shop.learn, [1])
    learner.start()
    back = shop.load(FILE)
    learner.join()
    assert back.stdout.startswith("3 items: 0 new, 1 changed, 2 as they were")
    assert shop.learn(1) == ["b"] and '"title":"Cup"' in "".join(shop.stored())


def test_refused_rows_end_with_65_and_delete_nothing(shop: Shop) -> None:
    wrong = FILE + "{},Bad,1,true\n"
    result = shop.load(wrong)
    assert result.exit_code == 65 and "line 5" in result.stderr and not result.stdout
    result = shop.load(wrong, "--max-refused", "1")
    assert result.exit_code == 65 and "sent 3" in result.stdout
    assert "4 rows, 3 items, 1 refused: 1 bad_id" in result.stderr
    assert shop.learn(3) == ["a", "b", "c"]
    other = wrong.replace("Cup", "Mug")
    result = shop.load(other, "--skip-refused")
    assert result.exit_code == 0 and "sent 1" in result.stdout
    result = shop.load(wrong, "--skip-refused", "--delete-missing")
    assert result.exit_code == 65 and "would count as gone" in result.stderr and not result.stdout
    assert shop.load("id,title\n", "--delete-missing").exit_code == 78


def test_the_columns_are_named_as_for_evaluate(shop: Shop) -> None:
    text = "sku;name;stock\n1;Pot;3\n2;Cup;0\n"
    result = shop.load(text)
    assert result.exit_code == 78 and "--item-columns item=COLUMN" in result.stderr
    columns = ["--item-columns", "item=sku,title=name,available=stock"]
    assert shop.load(text, *columns).exit_code == 0
    assert shop.learn(2) == ["1", "2"]
    assert shop.stored() == {
        '{"item":"1","title":"Pot"}',
        '{"item":"2","title":"Cup","available":false}',
    }


def test_a_missing_topic_is_named(shop: Shop) -> None:
    shop._common[-1] += "-not"
    result = shop.load(FILE)
    assert result.exit_code == 78 and f"{topic(shop)}" in result.stderr


def test_items_that_only_events_name_are_new_and_can_be_gone() -> None:
    rows = [b'{"item": "a"}', b'{"item": "b"}', b'{"item": "c"}', b'{"item":"d","available":false}']
    found = difference({"a": Item("a", title="A"), "b": Item("b")}, rows)
    assert ([i.item for i in found.new], found.changed, found.same) == (["a"], [], 1)
    assert [withdrawn(item) for item in found.gone] == [Item("c", available=False)]


def test_a_flag_is_not_the_number_it_equals_and_order_does_not_count() -> None:
    row = b'{"item":"a","attributes":{"x":true,"y":2}}'
    twice = [row, row]
    same = Item("a", attributes={"y": 2.0, "x": True})
    assert difference({"a": same}, twice).same == 1
    assert difference({"a": Item("a", attributes={"x": 1.0, "y": 2.0})}, twice).changed


def topic(shop: Shop) -> str:
    return shop._common[-1].partition("=")[2]
