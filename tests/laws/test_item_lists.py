"""`sim:<item>`: what follows an item and what is like it, made again as its counts change."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from laws.spine import Spine
from laws.test_scorer import scorer
from laws.world import event, small

from streamrec.client import Client
from streamrec.roles.scoring.item_lists import LOOK_SECONDS, TURN_SECONDS
from streamrec.settings.sections import Settings
from streamrec.transport.redis.item_lists import TURN, stored_item_list

LENGTH = 3


@pytest.fixture
def spine(make_spine: Callable[[Settings, int], Spine]) -> Spine:
    return make_spine(small(items={"similar_length": LENGTH, "similar_per_second": 1000.0}), 2)


def stored(spine: Spine, item: str) -> dict[str, Any]:
    blob = stored_item_list(spine.store, item)
    found: dict[str, Any] = json.loads(blob or b"{}")
    return found


def items(part: list[dict[str, Any]]) -> list[str]:
    return [each["item"] for each in part]


def walk(user: str, *names: str, ts: int = 0) -> list[dict[str, Any]]:
    """Return clicks of a user on one item after the other."""
    return [event(user, name, ts=ts + n) for n, name in enumerate(names)]


def many(*paths: str) -> list[dict[str, Any]]:
    """Return clicks: each path, "ab", is a user's."""
    return [one for n, path in enumerate(paths) for one in walk(f"u{n}", *path, ts=10 * n)]


def test_what_follows_comes_first_and_the_item_itself_never(spine: Spine) -> None:
    spine.learn([*many("ab", "ab", "ab", "ac", "ad"), event("u9", "a", segment="DK")])
    scorer(spine).step(10.0)
    found = stored(spine, "a")
    assert found["item"] == "a" and found["at"] > 0
    assert items(found["follows"])[0] == "b" and "a" not in items(found["follows"])
    scores = [each["score"] for each in found["follows"]]
    assert scores == sorted(scores, reverse=True) and 0.0 < scores[0] <= 1.0
    names = spine.store.names("sim:*", 100)
    known = {name.decode() for some in names for name in some}
    assert known == {"sim:a", "sim:b", "sim:c", "sim:d"}  # no list of a segment


def test_an_item_with_text_and_no_clicks_after_it_names_what_reads_like_it(spine: Spine) -> None:
    for name, title in (("a", "blue tea pot"), ("b", "blue tea cup"), ("c", "running shoes")):
        spine.describe(item=name, title=title)
    spine.learn(many("a", "b", "c"))
    scorer(spine).step(10.0)
    found = stored(spine, "a")
    assert found["follows"] == [] and items(found["like"])[0] == "b"


def test_a_list_is_made_again_when_its_counts_have_changed(spine: Spine) -> None:
    spine.learn(many("ab"))
    mine = scorer(spine)
    mine.step(10.0)
    assert items(stored(spine, "a")["follows"]) == ["b"]
    made = spine.value("item_lists_published_total")
    mine.step(11.0)
    assert spine.value("item_lists_published_total") == made  # nothing has changed
    spine.learn([*walk("v1", "a", "c", ts=100), *walk("v2", "a", "c", ts=110)])
    mine.step(12.0)
    assert items(stored(spine, "a")["follows"]) == ["c", "b"]
    assert spine.value("item_list_wait_seconds_count") > made
    assert spine.value("item_lists_due") == 0


def test_no_more_are_written_than_the_settings_allow(
    make_spine: Callable[[Settings, int], Spine],
) -> None:
    slow = make_spine(small(items={"similar_per_second": 2.0 / LOOK_SECONDS}), 2)
    slow.learn(many("abcdef", "fedcba"))
    mine = scorer(slow)
    mine.step(10.0)
    assert slow.value("item_lists_published_total") == 2 and slow.value("item_lists_due") == 4
    mine.step(10.0 + LOOK_SECONDS / 2)
    assert slow.value("item_lists_published_total") == 2
    for turn in (1, 2, 3):
        mine.step(10.0 + turn * LOOK_SECONDS)
    assert slow.value("item_lists_published_total") == 6 and slow.value("item_lists_due") == 0


def test_one_scorer_writes_and_another_takes_over(spine: Spine) -> None:
    spine.learn(many("ab"))
    first, second = scorer(spine), scorer(spine)
    first.step(10.0)
    made = spine.value("item_lists_published_total")
    second.step(10.0)
    assert spine.value("item_lists_published_total") == made
    client = spine.store.client(TURN)
    assert 0 < client.pttl(TURN) <= TURN_SECONDS * 1000
    client.delete(TURN)  # as time does
    second.step(11.0)
    assert spine.value("item_lists_published_total") == 2 * made
    first.step(12.0)
    assert spine.value("item_lists_published_total") == 2 * made


def test_an_item_of_any_name_has_a_list_and_takes_no_turn_away(spine: Spine) -> None:
    names = ("~writer", "writer", TURN)
    spine.learn([one for name in names for one in walk(f"of {name}", name, "b")])
    mine = scorer(spine)
    mine.step(10.0)
    for name in names:
        assert items(stored(spine, name)["follows"]) == ["b"]
    spine.learn(many("cd"))
    mine.step(11.0)
    assert items(stored(spine, "c")["follows"]) == ["d"]


def test_unavailable_items_are_in_no_list_and_keep_their_own(spine: Spine) -> None:
    spine.learn(many("ab", "ac"))
    spine.describe(item="b", available=False)
    spine.turn()
    scorer(spine).step(10.0)
    assert items(stored(spine, "a")["follows"]) == ["c"]
    assert items(stored(spine, "b")["follows"]) == ["a"]


def test_a_reader_does_not_see_what_was_hidden_since(spine: Spine) -> None:
    spine.learn(many("ab", "ac", "ab"))
    mine = scorer(spine)
    mine.step(10.0)
    spine.describe(item="b", available=False)
    spine.turn()
    mine.step(10.1)
    mine.step(12.0)
    with Client(spine.settings.redis) as client:
        assert [each.item for each in client.item_list("a").follows] == ["c"]
        assert client.item_list("nothing").follows == []


def test_none_are_written_where_the_settings_say_so(
    make_spine: Callable[[Settings, int], Spine],
) -> None:
    spine = make_spine(small(items={"similar_length": 0}), 2)
    spine.learn(many("ab"))
    scorer(spine).step(10.0)
    assert not any(spine.store.names("sim:*", 10))


def test_a_key_of_another_type_holds_up_no_list_of_people(spine: Spine) -> None:
    spine.store.client("sim:a").rpush("sim:a", "x")
    spine.store.client(TURN).rpush(TURN, "x")
    spine.learn(many("ab"))
    scorer(spine).step(10.0)
    assert spine.value("lists_published_total") == 1
    assert spine.value("redis_errors_total", op="score") == 1


def popular(spine: Spine, name: str) -> list[str]:
    return spine.listed(f"~popular:{name}")


def test_categories_have_a_list_for_strangers_that_follows_what_is_popular(spine: Spine) -> None:
    for name, categories in (("a", ["x"]), ("b", ["x", "y"]), ("c", ["y"]), ("d", ["x"])):
        spine.describe(item=name, categories=categories)
    spine.learn(many("ab", "b", "c", "cb"))
    mine = scorer(spine)
    mine.step(10.0)
    assert popular(spine, "x") == ["b", "a"] and popular(spine, "y") == ["b", "c"]
    with Client(spine.settings.redis) as client:
        found = client.recommend("~popular:x")
        assert [one.source for one in found.items] == ["popularity_medium"] * 2
        assert sum(one.score for one in found.items) == pytest.approx(1.0, abs=1e-3)
    made = spine.value("popular_lists_published_total")
    mine.step(11.0)
    assert spine.value("popular_lists_published_total") == made == 2
    spine.learn([event(f"v{n}", "a", ts=50) for n in range(5)])
    spine.describe(item="c", categories=["z"])
    spine.turn()
    mine.step(12.5)  # the catalogue has changed: at once
    assert popular(spine, "x") == ["a", "b"] and popular(spine, "z") == ["c"]
    assert popular(spine, "y") == ["b"]
    assert 0.0 <= spine.value("popular_list_age_seconds") <= 1.0


def test_segments_have_a_list_for_strangers(spine: Spine) -> None:
    there = [event(f"d{n}", "a", ts=n, segment="DK") for n in range(4)]
    spine.learn([*there, *(event(f"s{n}", "b", ts=n, segment="SE") for n in range(6))])
    scorer(spine).step(10.0)
    assert popular(spine, "DK")[0] == "a" and popular(spine, "SE")[0] == "b"
