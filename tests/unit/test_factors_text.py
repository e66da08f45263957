"""What the texts of items with few events add to the factors' scores, against the formula."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from streamrec.settings.load import load
from streamrec.sources.factors import Factors
from streamrec.sources.source import Shopper
from streamrec.state.user_rows import no_user

K, ITEMS = 8, 30
HISTORY = np.array([3, 7, 20], np.int32)


class Table:
    """As much of an item table as is asked for."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        content = rng.normal(size=(ITEMS, K)).astype(np.float32)
        self.arrays = SimpleNamespace(
            targets=rng.normal(size=(ITEMS, K)).astype(np.float32),
            contexts=rng.normal(size=(ITEMS, K)).astype(np.float32),
            bias=rng.normal(size=ITEMS).astype(np.float32),
            content=content / np.linalg.norm(content, axis=1, keepdims=True),
            text_by=(np.arange(ITEMS) % 4 != 0).astype(np.uint64),  # every fourth has no text
            events=rng.integers(0, 9, ITEMS).astype(np.uint32),
        )

    def __len__(self) -> int:
        return ITEMS


def prepared(table: Table, **more: str) -> Factors:
    flags = {"factors.size": str(K), "content.size": str(K), "text.model": "minilm", **more}
    source = Factors(load(None, {}, flags))
    source.prepare(SimpleNamespace(table=table))
    return source


def who(history: Any = HISTORY) -> Shopper:
    nothing = np.zeros(0, np.int32)
    n = len(history)
    zeros = np.zeros(n, np.uint8), np.zeros(n, np.bool_)
    return Shopper(
        history, *zeros, nothing, nothing.astype(np.uint32), nothing, np.zeros(n, np.int64),
        np.zeros(n, np.uint8), row=no_user(),
    )  # fmt: skip


def scores(source: Factors, table: Table, *people: Shopper) -> np.ndarray:
    out = np.empty((len(people), ITEMS), np.float32)
    source.score_all(table.arrays, people, out)
    return out


@pytest.mark.parametrize("seed", range(3))
def test_an_item_with_few_events_gets_the_cosine_of_its_text(seed: int) -> None:
    table = Table(seed)
    a = table.arrays
    weights = 0.7 ** np.arange(3)
    profile = (weights / weights.sum()) @ a.content[HISTORY]
    few = (a.events < 5) & (a.text_by != 0)
    assert 0 < few.sum() < ITEMS - 7  # some have a text, and more events
    [bare] = scores(prepared(table, **{"factors.text_weight": "0"}), table, who())
    [found] = scores(prepared(table, **{"factors.text_weight": "2.5"}), table, who())
    assert found == pytest.approx(bare + 2.5 * np.where(few, a.content @ profile, 0.0), abs=1e-5)


def test_rows_say_the_same_as_all() -> None:
    table, rows = Table(1), np.array([29, 4, 5, 11, 3], np.int32)
    source, people = prepared(table), (who(), who(HISTORY[1:]))
    out = np.empty((2, len(rows)), np.float32)
    source.score_rows(table.arrays, people, rows, out)
    assert out == pytest.approx(scores(source, table, *people)[:, rows], abs=1e-5)


def test_past_items_account_for_all_but_the_bias() -> None:
    table, rows = Table(2), np.arange(ITEMS, dtype=np.int32)
    source = prepared(table)
    said = source.support(table.arrays, who(), rows, np.zeros(ITEMS, np.int32))
    assert said.sum(1) + table.arrays.bias == pytest.approx(
        scores(source, table, who())[0], abs=1e-5
    )


def test_whose_past_has_no_text_gets_no_more_and_a_stranger_nothing() -> None:
    table = Table(3)
    table.arrays.content[HISTORY] = 0.0
    bare = prepared(table, **{"factors.text_weight": "0"})
    people = who(), who(HISTORY[:0])
    found = scores(prepared(table), table, *people)
    assert (found[0] == scores(bare, table, *people)[0]).all()
    assert np.isnan(found[1]).all()


@pytest.mark.parametrize(
    "more", [{"text.model": "hashed"}, {"factors.text_events": "0"}, {"content.size": "0"}]
)
def test_without_an_encoder_or_few_events_nothing_is_added(more: dict[str, str]) -> None:
    table = Table(4)
    bare = prepared(table, **{"factors.text_weight": "0"})
    assert (scores(prepared(table, **more), table, who()) == scores(bare, table, who())).all()
