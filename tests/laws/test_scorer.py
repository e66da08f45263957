"""The scorer and the live metrics, after both stages over a Kafka of lists and a real Redis."""

from collections.abc import Callable
from typing import Any

import pytest
from laws.spine import Spine
from laws.world import event, small

from streamrec import flow
from streamrec.roles.score import Scorer
from streamrec.settings.sections import Settings
from streamrec.state.keys import key_of
from streamrec.state.user_rows import decode_user
from streamrec.transport.redis.keys import POPULAR

Make = Callable[..., Spine]


@pytest.fixture
def make(make_spine: Callable[[Settings, int], Spine]) -> Make:
    return lambda: make_spine(small(users={"cached_users": 2}), 2)


def clicks(count: int) -> list[dict[str, Any]]:
    return [event(f"u{n % 4}", f"i{n * 7 % 11}", ts=n) for n in range(count)]


def scorer(spine: Spine) -> Scorer:
    return spine.scorer(length=5)


def test_a_scorer_serves_the_due_and_the_strangers(make: Make) -> None:
    spine = make()
    spine.learn(clicks(60), batch=10)
    mine = spine.score(length=5)
    assert mine.ready and spine.store.due_count(["u0"]) == 0
    for n in range(4):
        row = decode_user(spine.store.all_rows("u0", "users")[b"u%d" % n])
        found = spine.served(f"u{n}")
        assert (found["user"], found["offset"]) == (f"u{n}", row.offset)
        listed = {key_of(entry["item"]) for entry in found["items"]}
        assert listed and not listed & set(row.keys.tolist())
    assert len(spine.served(POPULAR)["items"]) == 5
    assert spine.value("lists_published_total") == 4
    assert spine.value("click_to_list_seconds_count") == 4
    client = spine.store.client("sr:{u0}:due")
    client.zadd("sr:{u0}:later", {"u0": 1.0})  # as of a history that was learnt
    assert mine.step(30.0) is False and client.zcard("sr:{u0}:later") == 0
    assert spine.value("lists_published_total") == 5
    assert spine.value("click_to_list_seconds_count") == 4  # nobody clicked


def test_the_first_lists_are_not_empty_for_good(make: Make) -> None:
    """The scorer is quicker than the owners of the items: nothing can be recommended yet."""
    spine = make()
    mine = scorer(spine)
    spine.send(clicks(20))
    spine.users.step()
    mine.step(10.0)
    spine.items.step()
    for now in (20.0, 30.0):
        mine.step(now)
    assert spine.served("u1")["items"]


def test_a_scorer_that_dies_leaves_its_users_due(make: Make) -> None:
    spine = make()
    spine.learn(clicks(20))
    spine.store.take_due(["u0"], 9e12, 1.0, 64)  # its lease is over
    mine = scorer(spine)
    mine.step(10.0)
    assert spine.served("u1") and spine.store.due_count(["u0"]) == 0


def test_an_evicted_user_is_due_no_more(make: Make) -> None:
    spine = make()
    spine.learn(clicks(20))
    spine.store.run([("HDEL", "sr:{u0}:users", "u1")])
    scorer(spine).step(10.0)
    assert spine.served("u1") == {} and spine.served("u2")
    assert spine.store.due_count(["u0"]) == 0


def test_live_metrics_look_at_the_list_that_was_served(make: Make) -> None:
    spine = make()
    spine.learn(clicks(60), batch=10)
    scorer(spine).step(10.0)
    wanted = spine.served("u1")["items"][0]["item"]
    before = spine.value("prequential_events_total", list="own")
    hits = spine.value("prequential_hits_total", source="blend", k="10")
    spine.learn([event("u1", wanted, ts=99), event("u1", "no such item", ts=99)])
    assert spine.value("prequential_events_total", list="own") == before + 2
    assert spine.value("prequential_hits_total", source="blend", k="10") == hits + 1
    spine.learn([event("new here", spine.served(POPULAR)["items"][0]["item"], ts=99)])
    assert spine.value("prequential_events_total", list="own") == before + 2  # no event before it


def test_live_metrics_do_not_look_at_a_list_that_knows_the_click(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the user stage waits for the flush, the owners learn and a scorer makes a list."""
    spine = make()
    spine.learn(clicks(60), batch=10)
    mine = scorer(spine)
    mine.step(10.0)
    spine.learn([event("u1", "i0", ts=98)])  # u1 is due
    flush = spine.users_log.flush

    def flush_slowly(*arguments: Any) -> None:
        flush(*arguments)
        spine.items.step()
        mine.step(20.0)

    monkeypatch.setattr(spine.users_log, "flush", flush_slowly)
    hits = spine.value("prequential_hits_total", source="similarity", k="10")
    spine.send([event("u1", "brand new", ts=99)])
    spine.users.step()
    assert spine.value("prequential_hits_total", source="similarity", k="10") == hits


@pytest.mark.parametrize("blend", [{"kind": "weighted", "sample": 1.0}, {"sample": 0.0}])
def test_no_sample_is_kept_when_the_blend_does_not_learn(
    make_spine: Callable[[Settings, int], Spine], blend: dict[str, Any]
) -> None:
    spine = make_spine(small(blend=blend), 2)
    spine.learn(clicks(60), batch=10)
    scorer(spine).step(10.0)
    spine.learn([event("u1", spine.served("u1")["items"][0]["item"], ts=99)])
    assert spine.value("prequential_hits_total", source="blend", k="10") > 0
    assert spine.value("blend_samples_total") == 0


def test_samples_of_one_batch_are_bounded(
    make_spine: Callable[[Settings, int], Spine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They travel in one record, which has a longest length, and each costs its owner time."""
    spine = make_spine(small(blend={"sample": 1.0}), 2)
    spine.learn(clicks(60), batch=10)
    scorer(spine).step(10.0)
    wanted = [event(f"u{n}", spine.served(f"u{n}")["items"][0]["item"], ts=99) for n in range(4)]
    monkeypatch.setattr(flow, "MOST_SAMPLES", 3)
    spine.learn(wanted)
    assert spine.value("blend_samples_total") == 3
    monkeypatch.setattr(flow, "SAMPLE_BYTES", 50)
    scorer(spine).step(20.0)
    spine.learn([event("u1", spine.served("u1")["items"][0]["item"], ts=100)])
    assert spine.value("blend_samples_total") == 3
