"""What the console answers and sends; its copy of the state says what `explain` says."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import msgspec
import pytest
from http_app import http_app, in_kafka
from laws.spine import Spine
from laws.world import NOW, event, small
from servers import RedisServer
from starlette.testclient import TestClient

from streamrec.client import Client
from streamrec.events.event import Event, EventDecoder
from streamrec.http.console.clicks import STEP_MS
from streamrec.http.console.lists import pictures_of
from streamrec.inspection.answer import Answer
from streamrec.inspection.explain import explained, explained_from, shares_from
from streamrec.inspection.lists_now import StateReader, filter_effect, list_of
from streamrec.local.child import free_port
from streamrec.settings.sections import KafkaSettings, Settings
from streamrec.settings.types import changed

Make = Callable[[Settings, int], Spine]
ITEMS = 23


@pytest.fixture
def spine(make_spine: Make) -> Spine:
    made = make_spine(small(lists={"length": 5}), 2)
    for n in range(ITEMS):
        made.describe(item=f"i{n}", title=f"Tea {n}" if n % 2 else f"Cup {n}")
    made.learn([event(f"u{n % 4}", f"i{n * 7 % ITEMS}", ts=n) for n in range(60)])
    made.score()
    return made


@pytest.fixture
def kept(spine: Spine, monkeypatch: pytest.MonkeyPatch) -> StateReader:
    monkeypatch.setattr("streamrec.transport.redis.item_feed.REST", 0.0)
    return StateReader(spine.settings, spine.store)


def told(answer: Answer) -> Answer:
    """Return the answer as two processes tell it alike: rows in another order round otherwise."""
    score = None if answer.score is None else round(answer.score, 6)
    return msgspec.structs.replace(answer, score=score)


def test_it_says_what_explain_says_and_follows(spine: Spine, kept: StateReader) -> None:
    asked = [(user, f"i{n}") for user in ("u0", "u3", "nobody") for n in range(ITEMS)]
    for turn in range(2):
        for user, item in asked:
            found = explained_from(kept.now(user), item)
            assert told(found) == told(explained(spine.settings, spine.store, user, item))
        spine.learn([event("u0", "i5", ts=100 + turn)])
    assert "names this item" in explained_from(kept.now("u0"), "never").why_not


def test_shares_sum_to_one_and_name_what_lifts_the_list(spine: Spine, kept: StateReader) -> None:
    shares = shares_from(kept.now("u0"))
    assert sum(shares.values()) == pytest.approx(1.0) and min(shares.values()) > 0
    one = {"kind": "weighted", "weights": {"factors": 1.0}}
    alone = StateReader(changed(spine.settings, blend=one), spine.store)
    assert set(shares_from(alone.now("u0"))) == {"factors"}


def test_a_filter_is_tried_on_the_list_that_is_there(spine: Spine, kept: StateReader) -> None:
    """It is of an older state: other items, and one that is known no longer."""
    now = [entry.item for entry in list_of(kept.now("u3"))[0]]
    older = [*(f"i{n}" for n in range(ITEMS) if f"i{n}" not in now), "gone"]
    cups = 'title contains "cup"'
    found = filter_effect(kept, "u3", [cups], older)
    assert found.removed == [name for name in older[:-1] if int(name[1:]) % 2] != []
    made = [entry.item for entry in list_of(kept.now("u3", [cups]))[0]]
    assert found.added == [name for name in made if name not in older][: len(found.removed)]
    assert filter_effect(kept, "u3", ["available"], older)[:2] == ([], [])


def test_what_comes_in_is_as_much_as_is_removed_though_it_would_anyway(
    spine: Spine, kept: StateReader
) -> None:
    """Of an old list: the first that a list made now has beside what stays."""
    now = [entry.item for entry in list_of(kept.now("u3"))[0]]
    stays, gone = now[0], next(f"i{n}" for n in range(ITEMS) if f"i{n}" not in now)
    found = filter_effect(kept, "u3", [f'item != "{gone}"'], [stays, gone])
    assert found.removed == [gone] and found.added == [now[1]]


def test_another_state_is_read_anew(
    spine: Spine, kept: StateReader, clean_redis: RedisServer
) -> None:
    assert shares_from(kept.now("u0"))
    clean_redis.client().flushall()
    spine.store.declare(1, 2, 1, spine.settings.factors.size)
    assert shares_from(kept.now("u0")) == {}


@pytest.fixture
def page(spine: Spine) -> Iterator[TestClient]:
    with http_app(spine.settings, console=True) as client:
        yield client


def test_what_the_page_asks_for(page: TestClient) -> None:
    def ask(path: str) -> object:
        answer = page.get(f"/console/api/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    people = ask("people")
    assert people[0]["user"] == "u3", people
    assert {one["user"] for one in people} == {"u0", "u1", "u2", "u3"}
    assert people[0]["events"] == 15 and people[0]["latest"][0]["item"] == f"i{59 * 7 % ITEMS}"
    mine = ask("list?user=u3")
    assert mine["personal"] and len(mine["rows"]) == 5 and len(mine["latest"]) == 5
    for row in mine["rows"]:
        assert row["title"].startswith(("Tea", "Cup")) and row["reason"] and row["meaning"]
        for past in row["because"]:
            assert past["title"] in row["reason"] or "Taken before" in row["reason"]
    stranger = ask("list?user=nobody")
    assert not stranger["personal"] and stranger["rows"] and stranger["latest"] == []
    found = ask("search?q=tea+1")
    assert found[0]["title"] == "Tea 1" and all("Tea" in one["title"] for one in found)
    assert ask("search?q=i8")[0] == {"item": "i8", "title": "Cup 8"}
    why = ask(f"explain?user=u3&item={mine['rows'][0]['item']}")
    assert why["answer"]["listed"] and why["title"] == mine["rows"][0]["title"] and why["parts"]
    sizes = [abs(part["value"]) for part in why["parts"]]
    assert sizes == sorted(sizes, reverse=True)
    shares = ask("shares?user=u3")
    assert sum(part["value"] for part in shares) == pytest.approx(1.0, abs=0.01)
    assert len({part["name"] for part in shares}) == len(shares)
    assert ask(f"similar?item=i{7}")
    listed = [row["item"] for row in mine["rows"]]
    teas = {row["item"] for row in mine["rows"] if row["title"].startswith("Tea")}
    tried = ask('filter?user=u3&filter=title+contains+"cup"')
    assert {one["item"] for one in tried["removed"]} == teas and teas
    assert (tried["length"], tried["passing"], tried["of"]) == (5, 12, ITEMS)
    assert tried["added"] and all(one["title"].startswith("Cup") for one in tried["added"])
    assert not {one["item"] for one in tried["added"]} & set(listed)
    nobody = ask('filter?user=nobody&filter=title+contains+"zzz"')
    assert (nobody["passing"], nobody["added"], len(nobody["removed"])) == (0, [], 5)
    assert ask("filter?user=u3&filter=available")["removed"] == []
    for wrong in ("", "&filter=", "&filter=price+<"):
        answer = page.get(f"/console/api/filter?user=u3{wrong}")
        assert answer.status_code == 400 and "filter" in answer.json()["detail"]


def test_pictures_are_addresses_of_the_web_or_of_this_server(spine: Spine) -> None:
    addresses = ["https://shop.example/a.png", "/pictures/b.png", "javascript:alert(1)", 7, None]
    for n, address in enumerate(addresses):
        spine.describe(item=f"i{n}", title=f"Tea {n}", attributes={"image": address, "n": 1.0})
    spine.learn([event("u0", "i0", ts=100)])
    with closing(Client(spine.settings.redis)) as client:
        items = [f"i{n}" for n in range(len(addresses))]
        assert pictures_of(client, items, "image") == {"i0": addresses[0], "i1": addresses[1]}
        assert pictures_of(client, items, "") == pictures_of(client, items, "n") == {}


def test_a_click_is_an_event_like_any_other(
    spine: Spine, client: str, topics: KafkaSettings
) -> None:
    kafka = msgspec.structs.replace(topics, client=client)
    settings = msgspec.structs.replace(spine.settings, kafka=kafka)
    stranger = {"user": "ü 1", "item": "i9"}
    with http_app(settings, console=True, base_url="http://127.0.0.1") as page:
        unknown = page.post("/console/api/click", json={"user": "u1", "item": "never"})
        assert unknown.status_code == 404 and "'never'" in unknown.json()["detail"]
        long = page.post("/console/api/click", json={"user": "u" * 600, "item": "i9"})
        assert long.status_code == 400 and "user" in long.json()["detail"]
        sent = page.post("/console/api/click", json=stranger)
        assert sent.status_code == 202 and sent.json() | stranger == sent.json()
    [(key, said)] = in_kafka(settings.kafka, topics.events_topic)
    assert key == "ü 1".encode()
    event = EventDecoder(settings.events).decode(msgspec.json.encode(said), NOW)
    assert isinstance(event, Event)
    assert (event.user, event.item, event.type) == ("ü 1", "i9", "click")
    assert event.ts == NOW - 1_000_000 + 59_000 + STEP_MS  # behind the newest of the old events


def test_clicks_wait_for_kafka_no_longer_than_other_requests(
    spine: Spine, caplog: pytest.LogCaptureFixture
) -> None:
    """And none of them for another one's turn, or until a connection has failed."""
    kafka = {"brokers": f"127.0.0.1:{free_port()}"}
    settings = changed(spine.settings, kafka=kafka, serve={"write_seconds": 1.0})

    def click(number: int) -> int:
        event = {"user": f"u{number}", "item": "i9"}
        return page.post("/console/api/click", json=event).status_code

    with http_app(settings, console=True) as page, ThreadPoolExecutor(3) as pool:
        assert set(pool.map(click, range(3))) == {503}
    causes = [vars(r)["cause"] for r in caplog.records if r.getMessage() == "a request failed"]
    assert causes == ["Kafka did not acknowledge within 1 s"] * 3
