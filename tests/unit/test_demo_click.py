"""The last act: whose list is shown, which item is clicked, what is said to have moved."""

from typing import Any

import msgspec
import numpy as np
import pytest

from streamrec.demo.reaction import Reaction, best_reaction
from streamrec.demo.words import titles, what_moved
from streamrec.errors import StreamrecError
from streamrec.files.event_table import EventTable
from streamrec.ranking.published import ListItem, PublishedList
from streamrec.settings.sections import Settings


def published(user: str, items: str, offset: int = 0) -> PublishedList:
    """Return a list of these letters; capital ones have item `a` as their reason."""
    entries = [
        ListItem(i, 1.0, "similarity" if i.isupper() else "popularity_long", ["a"] * i.isupper())
        for i in items
    ]
    return PublishedList(user, 0, "", offset, entries)


class World:
    """A log and a store in one: a produced click makes the user's next list."""

    def __init__(self, before: dict[str, str], after: dict[str, str]) -> None:
        self.now = {user: published(user, items) for user, items in before.items()}
        self.after = after
        self.clicks: list[Any] = []

    def lists(self, users: list[str]) -> list[bytes | None]:
        return [msgspec.json.encode(self.now[user]) if user in self.now else None for user in users]

    def produce(self, topic: str, value: bytes, key: bytes) -> None:
        click = msgspec.json.decode(value)
        self.clicks.append(click)
        self.now[click["user"]] = published(click["user"], self.after[click["user"]], 1)

    def flush(self) -> None:
        pass


def reaction_of(world: World) -> Reaction:
    users = np.array([0, 1, 0, 1, 0], np.int32)
    items = np.array([0, 1, 2, 0, 0], np.int32)
    kinds, ts = np.zeros(5, np.int8), np.arange(5)
    table = EventTable("log", users, items, kinds, ts, ["u", "v"], list("aBC"), ["click"])
    fake: Any = world
    return best_reaction(Settings(), table, 5, fake, fake)


def test_the_lowest_personal_item_that_the_user_never_took_is_clicked() -> None:
    reaction = reaction_of(World({"u": "BDxEC", "v": "xyz"}, {"u": "ABDEFGH"}))
    assert (reaction.user, reaction.clicked, reaction.latest) == ("u", "E", ["a", "C"])
    assert [item.item for item in reaction.after.items] == list("ABDEFGH")


def test_another_user_is_tried_when_the_list_turns_popular() -> None:
    world = World({"u": "BCDEFGHI", "v": "BCDEFG"}, {"u": "abcdefgh", "v": "BDEFGHI"})
    assert reaction_of(world).user == "v"
    assert [click["user"] for click in world.clicks] == ["u", "v"]


def test_without_any_list_it_says_what_to_do() -> None:
    with pytest.raises(StreamrecError, match="--seconds"):
        reaction_of(World({}, {}))


def moved(before: str, after: str, clicked: str) -> str:
    lists = published("u", before), published("u", after)
    return what_moved(Reaction("u", [], clicked, *lists, 1.0), lambda item: f"Title {item}")


def test_what_moved_is_said_in_words() -> None:
    assert moved("BCDE", "BFEC", "a") == (
        "1 of the 4 items is new; “Title F” came in at 2 because of “Title a”; "
        "“Title E” rose from 4 to 3 because of “Title a”."
    )
    assert moved("BCD", "yzB", "C") == "2 of the 3 items are new; “Title y” came in at 1."
    assert moved("BC", "BC", "B") == "none of the 2 items is new."


def test_two_items_of_one_title_are_told_apart() -> None:
    table = EventTable("log", *[np.zeros(0)] * 4, [], [], [])
    table.catalogue.update({"B": {"title": "Milk"}, "C": {"title": "Milk"}})
    title = titles(table, Reaction("u", [], "B", published("u", "BC"), published("u", "D"), 1.0))
    assert [title(item) for item in "BCD"] == ["Milk (B)", "Milk (C)", "D"]
