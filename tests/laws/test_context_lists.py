"""Lists of items at places: stored for each item, read with a person's exclusions, forgotten."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from laws.spine import Spine
from laws.test_item_lists import items, many, walk
from laws.test_scorer import scorer
from laws.world import event, small

from streamrec.client import Client
from streamrec.ranking.contexts import ContextMaker
from streamrec.ranking.rerank import Reranker
from streamrec.settings.place_rules import place_of
from streamrec.settings.places import PlaceSettings
from streamrec.settings.sections import Settings
from streamrec.state.user_rows import decode_user
from streamrec.transport.redis.keys import item_list_key

PLACES = {
    "product": PlaceSettings(
        context="item", length=4, exclude={"purchase": "ever"}, filters=("item != 'e'",),
        caps={"brand": 2},
    ),
    "cart": PlaceSettings(context="basket", length=3, exclude={"purchase": "ever"}),
}  # fmt: skip


@pytest.fixture
def spine(make_spine: Callable[[Settings, int], Spine]) -> Spine:
    found = small(items={"similar_length": 3, "similar_per_second": 1000.0})
    return make_spine(msgspec.structs.replace(found, places=PLACES), 2)


def stored(spine: Spine, item: str, place: str) -> dict[str, Any]:
    [blob] = spine.store.values([item_list_key(item, place)])
    found: dict[str, Any] = json.loads(blob or b"{}")
    return found


def learnt(spine: Spine) -> Any:
    """Let people walk from a to b and c to d, one buys, and all lists be made."""
    for n, name in enumerate("abcdefg"):
        spine.describe(item=name, title=name, attributes={"brand": "xyz"[n % 3]})
    spine.learn([*many("ab", "ab", "abe", "cd", "cd", "fg", "cg"), *walk("u0", "e", ts=90)])
    spine.learn([event("u0", "d", "purchase", ts=95), *walk("u0", "d", ts=96)])
    return spine.score(length=5)


def test_every_item_has_a_list_at_each_place_with_a_context(spine: Spine) -> None:
    learnt(spine)
    found = stored(spine, "a", "product")
    assert (found["item"], found["place"]) == ("a", "product")
    assert found["model"] == spine.shards.state and found["at"] > 0
    assert found["caps"] == {"brand": 2} and "pinned" not in found
    assert 0 < len(found["items"]) <= 4 and not {"a", "e"} & set(items(found["items"]))
    assert all(len(one["of"]["brand"]) == 1 for one in found["items"])
    cart = stored(spine, "a", "cart")
    assert len(cart["items"]) == 3 and "caps" not in cart and "of" not in cart["items"][0]
    names = [n.decode() for some in spine.store.names("sim:{*", 100) for n in some]
    assert set(names) == {f"sim:{{{n}}}:{place}" for n in "abcdefg" for place in PLACES}


def test_what_a_person_bought_is_written_beside_their_list(spine: Spine) -> None:
    """Bought, and looked at since: it is left out all the same."""
    learnt(spine)
    [mine, other] = [
        json.loads(b or b"") for b in spine.store.values(["rec:u0:cart", "rec:u3:cart"])
    ]
    assert mine["exclude"] == ["d"] and "exclude" not in other
    assert "exclude" not in json.loads(spine.store.values(["rec:u0"])[0] or b"")
    with Client(spine.settings.redis) as client:
        found = client.basket(["c"], "cart", "u0")
        assert found.items and not {"c", "d"} & {one.item for one in found.items}
        free = client.basket(["c"], "cart")
        assert free.items[0].item == "d" and (free.user, free.personal) == ("", False)
        assert (found.user, found.personal, found.place) == ("u0", True, "cart")
        assert free.items[0].because == ["c"] and free.items[0].source


def test_what_is_read_is_what_a_list_maker_makes(spine: Spine) -> None:
    mine = learnt(spine)
    table, lists = mine._feed.table, mine._lists
    with Client(spine.settings.redis) as client:
        for place in PLACES:
            rules = Reranker(place_of(spine.settings, place))
            for user in ("u0", "u1", "u4"):
                row = decode_user(spine.store.all_rows("u0", "users")[user.encode()])
                types = mine._places.types_of("u0")
                [person] = lists.rank(
                    [lists.shopper(row, table, user, {}, types)], table, rules=rules
                )
                for basket in ("a", "c", "ac", "cfa", "z", ""):
                    rows = [table.row_of[n] for n in basket if n in table.row_of]
                    told = ContextMaker(rules.place).listed(lists, table, person, rows)
                    found = client.basket(list(basket), place, user)
                    assert [one.item for one in found.items] == [table.ids[j] for j in told.rows]


def test_who_asks_with_unknown_items_gets_their_own_list(spine: Spine) -> None:
    learnt(spine)
    with Client(spine.settings.redis) as client:
        own = [one.item for one in client.recommend("u3", "cart").items]
        assert [one.item for one in client.basket(["?"], "cart", "u3").items] == own
        assert [one.item for one in client.basket([], "cart", "u3").items] == own
        stranger = client.basket(["?"], "cart", "nobody")
        assert stranger.items and not stranger.personal and stranger.user == "nobody"


def test_items_that_became_unavailable_are_left_out(spine: Spine) -> None:
    mine = learnt(spine)
    spine.describe(item="b", available=False)
    spine.turn()
    mine.step(99.0)
    with Client(spine.settings.redis) as client:
        assert "b" not in {one.item for one in client.basket(["a"], "product").items}


def test_the_lists_of_items_are_made_without_those_of_what_follows(
    make_spine: Callable[[Settings, int], Spine],
) -> None:
    found = small(items={"similar_length": 0, "similar_per_second": 1000.0})
    spine = make_spine(msgspec.structs.replace(found, places=PLACES), 2)
    spine.learn(many("ab", "ab"))
    scorer(spine).step(10.0)
    assert items(stored(spine, "a", "cart")["items"]) == ["b"]
    assert spine.store.values(["sim:a"]) == [None]


def test_a_forgotten_person_leaves_no_exclusions(spine: Spine) -> None:
    learnt(spine)
    spine.learn([{"user": "u0", "type": "forget"}])
    assert spine.store.values(["rec:u0:cart", "rec:u0:product"]) == [None, None]
