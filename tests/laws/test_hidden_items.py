"""Items that become unavailable leave stored lists; first lists are made again as items come."""

from collections.abc import Callable

import pytest
from laws.spine import Spine
from laws.test_scorer import clicks, scorer
from laws.world import event, small

from streamrec.client import Client
from streamrec.roles.scoring.hidden_items import WHOLE_SECONDS
from streamrec.settings.sections import Settings
from streamrec.transport.redis.hidden import hidden_items, hide
from streamrec.transport.redis.keys import HIDDEN, POPULAR


@pytest.fixture
def spine(make_spine: Callable[[Settings, int], Spine]) -> Spine:
    return make_spine(small(), 2)


def listed(spine: Spine, user: str) -> list[str]:
    """Return the items of a list as it is stored."""
    return [entry["item"] for entry in spine.served(user).get("items", [])]


def shown(spine: Spine, user: str) -> list[str]:
    """Return what a reader gets."""
    with Client(spine.settings.redis) as client:
        return [entry.item for entry in client.recommend(user).items]


def describe(spine: Spine, item: str, *, available: bool) -> None:
    spine.describe(item=item, available=available)
    spine.turn()


def test_an_unavailable_item_leaves_stored_lists_and_comes_back(spine: Spine) -> None:
    spine.learn([*clicks(60), event("u9", "i1", segment="DK")], batch=10)
    mine = scorer(spine)
    mine.step(10.0)
    before = listed(spine, "u1")
    gone = before[0]
    describe(spine, gone, available=False)
    mine.step(12.0)
    assert hidden_items(spine.store) == {gone}  # the segment's row is no item
    assert listed(spine, "u1") == before and shown(spine, "u1") == before[1:]
    assert gone not in listed(spine, POPULAR)
    describe(spine, gone, available=True)
    mine.step(14.0)
    assert hidden_items(spine.store) == set() and shown(spine, "u1") == before


def test_when_nothing_is_left_the_set_says_so(spine: Spine) -> None:
    spine.learn([event("u1", "i1"), event("u2", "i2")])
    mine = scorer(spine)
    mine.step(10.0)
    assert listed(spine, "u1") == ["i2"]
    for item in ("i1", "i2"):
        describe(spine, item, available=False)
    mine.step(12.0)
    assert hidden_items(spine.store) == {"i1", "i2"} and shown(spine, "u1") == []


def test_what_a_dead_scorer_left_is_put_right(spine: Spine) -> None:
    spine.learn(clicks(60))
    describe(spine, "i3", available=False)
    hide(spine.store, ["i4", "evicted"], [])
    mine = scorer(spine)
    mine.step(10.0)
    assert hidden_items(spine.store) == {"i3"}
    hide(spine.store, ["i4"], ["i3"])
    mine.step(12.0)
    assert hidden_items(spine.store) == {"i4"}  # nothing changed in the table
    mine.step(12.0 + WHOLE_SECONDS)
    assert hidden_items(spine.store) == {"i3"}


def test_a_set_that_redis_refuses_holds_up_no_list(spine: Spine) -> None:
    spine.learn(clicks(60))
    spine.store.run([("SET", HIDDEN, "wrong type")])
    mine = scorer(spine)
    mine.step(10.0)
    assert listed(spine, "u1") and spine.value("redis_errors_total", op="score")
    spine.store.run([("DEL", HIDDEN)])
    describe(spine, "i3", available=False)
    mine.step(12.0)
    assert hidden_items(spine.store) == {"i3"}


def test_a_set_that_cannot_be_read_keeps_no_list_back(spine: Spine) -> None:
    """As on a Cluster whose node of that key is away: an item too many, and no error."""
    spine.learn(clicks(60), batch=10)
    scorer(spine).step(10.0)
    spine.store.run([("DEL", HIDDEN)])
    spine.store.run([("SET", HIDDEN, "not a set")])
    assert shown(spine, "u1") == listed(spine, "u1") != []


def test_first_lists_are_made_again_as_items_come(spine: Spine) -> None:
    mine = scorer(spine)
    spine.learn([event("first", "i0")])
    mine.step(10.0)
    assert listed(spine, "first") == []
    for n, most in enumerate((1, 3, 5), start=1):  # lists have 5 items
        spine.learn([event(f"u{n}-{k}", f"i{n}-{k}") for k in range(2**n)])
        mine.step(10.0 + n)
        mine.step(10.5 + n)
        assert len(listed(spine, "first")) >= most, n
    assert spine.store.due_count(["u0"]) == 0
    before = spine.value("lists_published_total")
    spine.learn([event("u4", f"i4-{k}", "impression") for k in range(60)])
    mine.step(20.0)
    mine.step(21.0)
    assert spine.value("lists_published_total") == before  # full lists are not made again
