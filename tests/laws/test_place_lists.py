"""Lists of places: stored together, read together, forgotten together, on one Redis."""

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import msgspec
import pytest
from laws.spine import Spine
from laws.test_scorer import scorer
from laws.world import event, small

from streamrec.client import Client
from streamrec.inspection.known_user import known_of, traces_of
from streamrec.inspection.stored_lists import stored_lists
from streamrec.inspection.stored_state import Stored
from streamrec.settings.places import PlaceSettings
from streamrec.state.keys import key_of
from streamrec.state.user_rows import decode_user
from streamrec.transport.redis.forgetting import delete_lists
from streamrec.transport.redis.keys import list_key
from streamrec.transport.redis.places import stored_places
from streamrec.transport.redis.publishing import Encoded, publish

PLACES = {
    "home": PlaceSettings(exclude={"click": "session"}),
    "deals": PlaceSettings(length=3, filters=("item != 'i3'",), reasons=False),
    "again": PlaceSettings(exclude={}, length=4),
}


@pytest.fixture
def spine(make_spine: Callable[..., Spine]) -> Spine:
    settings = msgspec.structs.replace(small(users={"cached_users": 2}), places=PLACES)
    return make_spine(settings, 2)


def get(spine: Spine, name: str) -> dict[str, Any]:
    [blob] = spine.store.values([name])
    found: dict[str, Any] = json.loads(blob or b"{}")
    return found


def items(found: dict[str, Any]) -> list[str]:
    return [entry["item"] for entry in found["items"]]


def learn(spine: Spine, *more: dict[str, Any]) -> None:
    clicks = [event(f"u{n % 4}", f"i{n * 7 % 11}", ts=n) for n in range(60)]
    spine.learn([*clicks, *more], batch=10)


def test_every_place_has_its_list_under_its_rules(spine: Spine) -> None:
    learn(spine)
    spine.score(length=5)
    for n in range(4):
        row = decode_user(spine.store.all_rows("u0", "users")[b"u%d" % n])
        had = set(row.keys.tolist())
        home, deals = get(spine, f"rec:u{n}"), get(spine, f"rec:u{n}:deals")
        again = get(spine, f"rec:u{n}:again")
        assert "place" not in home and (deals["place"], again["place"]) == ("deals", "again")
        assert home["offset"] == deals["offset"] == again["offset"] == row.offset
        assert home["model"] == deals["model"]
        assert len(deals["items"]) <= 3 and "i3" not in items(deals)
        assert all(not entry["because"] and not entry["source"] for entry in deals["items"])
        assert not {key_of(item) for item in items(deals)} & had  # lists.exclude = user
        assert len(items(again)) == 4 and {key_of(item) for item in items(again)} & had
    strangers = get(spine, "rec:~place:deals")
    assert len(strangers["items"]) == 3 and "i3" not in items(strangers)
    assert stored_places(spine.store) == ["home", "deals", "again"]
    for place in ("home", "deals", "again"):
        assert spine.value("place_lists_total", place=place) == 4


def test_no_place_is_newer_than_another(spine: Spine) -> None:
    """A scorer that comes late with an older state of the user stores none of its lists."""
    others = {"u1": {"deals": b'{"at":2,"model":"m","offset":9,"items":[2]}'}}
    home = b'{"user":"u1","at":2,"model":"m","offset":9,"items":[]}'
    assert publish(spine.store, [Encoded("u1", 9, home)], "m", 60, others=others) == [True]
    late = {"u1": {"deals": b'{"at":1,"model":"m","offset":8,"items":[1]}', "new": b"{}"}}
    old = home.replace(b"9", b"8")
    assert publish(spine.store, [Encoded("u1", 8, old)], "m", 60, others=late) == [False]
    assert get(spine, "rec:u1:deals")["offset"] == 9 and get(spine, "rec:u1:new") == {}
    assert publish(spine.store, [Encoded("u1", 8, old)], "other", 60, others=late) == [True]
    assert get(spine, "rec:u1:deals")["offset"] == 8


def test_an_id_that_looks_like_a_user_and_a_place(spine: Spine) -> None:
    """u1:deals is somebody, and u1 has a list at deals; x:home and x:y are there too."""
    people = ["u1", "u1:deals", "u1:deals:deals", "x", "x:home", "x:home:home", "x:y", "x:y:again"]
    more = [event(name, f"i{n % 9}", ts=70 + n) for n, name in enumerate(people * 2)]
    learn(spine, *more)
    spine.score(length=5)
    names = ("home", "deals", "again")
    keys = [list_key(user, place, names) for user in people for place in names]
    assert len(set(keys)) == len(keys)
    with Client(spine.settings.redis) as client:
        for user in people:
            for place, found in client.page(user, names).items():
                assert (found.user, found.place, found.personal) == (user, place, True)
        assert not client.recommend("nobody:deals").personal
        assert not client.recommend("nobody", "deals").personal
    assert get(spine, "rec:u1:deals")["user"] == "u1"
    assert get(spine, "rec:u1:deals:home")["user"] == "u1:deals"
    assert get(spine, "rec:x:y")["user"] == "x:y"  # y is no place
    for place in names:
        listed = sorted(one.user for one in stored_lists(spine.store, place))
        assert listed == sorted({*people, "u0", "u2", "u3"})
    state = spine.shards.state
    assert delete_lists(spine.store, [("u1:deals", 10**9)], state) == [True]
    with Client(spine.settings.redis) as client:
        for user in people:
            each = client.page(user, names).values()
            assert [found.personal for found in each] == [user != "u1:deals"] * 3, user


def test_a_list_from_before_there_was_such_a_place_goes_too(spine: Spine) -> None:
    learn(spine)
    scorer(spine).step(10.0)
    for user, left in (("gone:deals", None), ("gone", b"rest")):
        blob = b'{"user":"%s","at":1,"model":"m","offset":1,"items":[]}' % user.encode()
        spine.store.run([("SET", "rec:gone:deals", blob)])
        assert delete_lists(spine.store, [("gone:deals", 10**9)], "m") == [True]
        assert (spine.store.values(["rec:gone:deals"]) == [None]) == (left is None)


def test_a_forgotten_user_is_gone_from_all_places(spine: Spine) -> None:
    learn(spine)
    spine.score(length=5)
    with closing(Stored(spine.settings.redis)) as stored:
        forget(spine, stored)


def forget(spine: Spine, stored: Stored) -> None:
    assert set(known_of(stored, spine.settings, "u1")["places"]) == {"deals", "again"}
    assert "list at deals" in traces_of(stored, "u1").names
    spine.learn([{"user": "u1", "type": "forget"}])
    assert traces_of(stored, "u1").names == []
    assert [key for keys in spine.store.names("rec:u1*", 100) for key in keys] == []
    assert get(spine, "rec:u2:deals")


def test_a_page_has_no_item_twice(spine: Spine) -> None:
    learn(spine)
    spine.score(length=5)
    with Client(spine.settings.redis) as client:
        page = client.page("u2", ["deals", "home", "again", "deals"])
        assert list(page) == ["deals", "home", "again"]
        shown = [entry.item for found in page.values() for entry in found.items]
        alone = [len(client.recommend("u2", place).items) for place in page]
        assert len(shown) == len(set(shown)) < sum(alone)
        assert [e.item for e in page["deals"].items] == items(get(spine, "rec:u2:deals"))
        both = client.page("u2", ["home", "deals"])
        assert [e.item for e in both["home"].items] == items(get(spine, "rec:u2"))
        stranger = client.page("who", ["home", "deals"])
        assert not any(found.personal for found in stranger.values())
        assert stranger["deals"].place == "deals" and stranger["home"].items
