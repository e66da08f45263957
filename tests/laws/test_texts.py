"""Texts of items through the stages: encoded beside them, once each, the same after any restart."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from laws.spine import Spine
from laws.world import event, small

from streamrec.ranking.lists import ListMaker
from streamrec.settings.sections import Settings
from streamrec.state.user_rows import decode_user
from streamrec.text.words import address_of, stored_of

Rows = dict[bytes, bytes]


class Letters:
    """An encoder that counts letters; `encoded` is what it was given."""

    name = "letters"

    def __init__(self, number: int = 5) -> None:
        self.number = number
        self.encoded: list[str] = []
        self.wrong = False

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        if self.wrong:
            raise ValueError("no such letter")
        self.encoded += texts
        return stored_of(np.stack([self.vector(text) for text in texts]))

    def vector(self, text: str) -> np.ndarray:
        return np.bincount(np.frombuffer(text.encode(), np.uint8), minlength=256) * self.number


@pytest.fixture
def spine(make_spine: Callable[[Settings, int], Spine]) -> Spine:
    found = make_spine(small(text={"model": "letters"}, content={"size": 64}), 2)
    found.encoder = Letters()
    found.start()
    return found


def turn(spine: Spine, turns: int = 12) -> None:
    """Let the stages turn until nothing waits."""
    for _ in range(turns):
        spine.turn()
        time.sleep(0.01)


def describe(spine: Spine, *numbers: int, word: str = "tea") -> None:
    for n in numbers:
        spine.describe(item=f"i{n}", title=f"{word} {'abc'[n % 3] * 9}", categories=["pots"])


def texts(spine: Spine) -> Rows:
    """Return all rows of texts, by the item's key."""
    return {k: v for n in range(2) for k, v in spine.store.all_rows(f"i{n}", "texts").items()}


def letters(spine: Spine) -> Letters:
    assert isinstance(spine.encoder, Letters)
    return spine.encoder


def vectors(spine: Spine) -> dict[str, list[int]]:
    """Return the vectors that a scorer reads, by item."""
    feed = spine.new_feed()
    feed.refresh(1.0, spine.metrics)
    arrays, ids = feed.table.arrays, feed.table.ids
    return {str(ids[n]): arrays.text[n].tolist() for n in np.flatnonzero(arrays.text_by).tolist()}


def test_each_text_is_encoded_once_and_again_when_it_changes(spine: Spine) -> None:
    describe(spine, *range(6))
    turn(spine)
    made = texts(spine)
    assert len(made) == 6 and len(letters(spine).encoded) == 6
    describe(spine, *range(6))
    spine.learn([event("u1", f"i{n}") for n in range(8)])
    turn(spine)
    assert texts(spine) == made and len(letters(spine).encoded) == 6
    describe(spine, 2, word="coffee")
    turn(spine)
    assert letters(spine).encoded[6:] == ["coffee ccccccccc. pots"]
    assert len([k for k, v in texts(spine).items() if v != made[k]]) == 1
    spine.describe(item="i3")  # no text any more
    turn(spine)
    assert set(vectors(spine)) == {"i0", "i1", "i2", "i4", "i5"}
    assert spine.value("texts_encoded_total") == 7


def test_what_is_stored_is_a_function_of_the_text_and_the_encoder(spine: Spine) -> None:
    describe(spine, *range(4))
    turn(spine)
    for n in range(4):
        text = f"tea {'abc'[n % 3] * 9}. pots"
        expected = stored_of(letters(spine).vector(text)[None])[0]
        assert vectors(spine)[f"i{n}"] == expected.tolist()
    read = spine.new_feed().table.schema.kinds["texts"].read
    by = {read(blob)["text_by"] for blob in texts(spine).values()}
    assert by == {address_of(text) ^ 5 for text in letters(spine).encoded}


def test_after_a_crash_only_what_is_missing_is_encoded_to_the_same_rows(spine: Spine) -> None:
    describe(spine, *range(5))
    turn(spine)
    describe(spine, *range(5, 9))
    for _ in range(3):
        spine.users.step()
    spine.items.step()  # learns them and starts to encode, and is killed
    assert len(texts(spine)) == 5
    spine.encoder = Letters()
    spine.start()
    turn(spine)
    assert len(texts(spine)) == 9 and len(letters(spine).encoded) == 4
    found, spine.encoder = texts(spine), Letters()
    spine.start()
    turn(spine)
    assert texts(spine) == found and letters(spine).encoded == []


def test_another_encoder_makes_all_vectors_anew(spine: Spine) -> None:
    describe(spine, *range(5))
    turn(spine)
    before = texts(spine)
    spine.encoder = Letters(number=6)
    spine.start()
    turn(spine)
    after = texts(spine)
    assert len(letters(spine).encoded) == 5 and all(after[k] != v for k, v in before.items())
    spine.encoder = Letters()
    spine.start()
    turn(spine)
    assert texts(spine) == before


def test_an_encoder_that_fails_stops_no_learning(spine: Spine) -> None:
    letters(spine).wrong = True
    describe(spine, 0, 1)
    turn(spine)
    spine.learn([event("u1", "i0"), event("u1", "i1")])
    assert texts(spine) == {}
    assert sum(len(spine.store.all_rows(f"i{n}", "items")) for n in range(2)) == 2
    letters(spine).wrong = False
    spine.start()
    turn(spine)
    assert len(texts(spine)) == 2


def test_readers_follow_the_vectors_and_compare_them(spine: Spine) -> None:
    feed = spine.new_feed()
    feed.refresh(1.0, spine.metrics)
    describe(spine, *range(30))
    spine.learn([event("u1", f"i{n}") for n in range(33)])
    turn(spine)
    feed.refresh(2000.0, spine.metrics)
    table, maker = feed.table, ListMaker(spine.settings)
    maker.prepare(table)
    content = next(source for source in maker.sources if source.name == "content")
    lengths = np.linalg.norm(table.arrays.content[: len(table)], axis=1)
    known = table.arrays.text_by[: len(table)] != 0
    assert known.sum() == 30 and lengths[known] == pytest.approx(np.ones(30), abs=1e-5)
    shopper: Any = maker.shopper(spine_row(spine), table)._replace(
        history=np.array([table.row_of["i0"]], np.int32)
    )
    out = np.zeros((1, len(table)), np.float32)
    content.score_all(table.arrays, [shopper], out)
    score = {name: float(out[0, row]) for name, row in table.row_of.items()}
    assert score["i3"] == pytest.approx(1.0, abs=1e-3) and score["i1"] < 0.9
    assert all(np.isnan(score[f"i{n}"]) for n in (30, 31, 32))  # nothing is known of them


def spine_row(spine: Spine) -> Any:
    [blob] = spine.store.all_rows("u0", "users").values()
    return decode_user(blob)
