"""Variants: the most popular items of a title, for users who take of it."""

import math
from typing import Any

import numpy as np
import pytest
from oracle import USERS, settings, table

from streamrec.blend.rules import weights_of
from streamrec.ranking.lists import ListMaker
from streamrec.settings.load import load
from streamrec.settings.sections import Settings
from streamrec.sources.registry import names_of
from streamrec.sources.source import Shopper
from streamrec.sources.variants import Groups
from streamrec.state.item_table import ItemTable, Metadata


def described(config: Settings, seed: int = 1, items: int = 30) -> ItemTable:
    """Return a table whose items have one of four titles, or none."""
    mine, rng = table(items, seed, config), np.random.default_rng(seed)
    for row in range(items):
        title = f"{('Title', 'TITLE')[row % 2]} {rng.integers(4)}" if row % 5 else ""
        mine.sources[-1].describe(mine.arrays, row, Metadata(f"a{row}", title=title), None)
    return mine


def slow_score(mine: ItemTable, shopper: Shopper, most: int) -> dict[int, float]:
    """Return the documented score of each item that is to be proposed."""
    a, n = mine.arrays, len(mine)
    keys = a.title_key
    context = shopper.history[:3]
    weights = 0.7 ** np.arange(len(context))
    z = (weights / weights.sum()) @ a.contexts[context]
    found = {}
    for group in set(keys[shopper.history].tolist()) - {0}:
        rows = [j for j in range(n) if keys[j] == group and a.available[j]]
        rows = sorted((j for j in rows if np.isfinite(a.heats[j, 2])), key=lambda j: -a.heats[j, 2])
        takes = sum(
            int(t) for h, t in zip(shopper.history, shopper.takes, strict=True) if keys[h] == group
        )
        for j in rows[:most]:
            if j not in shopper.history:
                found[j] = takes * math.exp(float(z @ a.targets[j]) + float(a.bias[j]))
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("most", [3, 40])
def test_scores_and_support_are_what_is_documented(most: int, seed: int) -> None:
    config = settings(lists={"exclude": "none", "length": 10}, variants={"items": most})
    mine, said_something = described(config, seed), 0
    maker = ListMaker(config)
    maker.prepare(mine)
    source = maker.sources[-1]
    for who in USERS:
        shopper = maker.shopper(who, mine)
        scores, touched = np.zeros(len(mine)), np.zeros(len(mine) + 1, np.int32)
        said = source.score(mine.arrays, shopper, scores, touched)
        wanted = slow_score(mine, shopper, most)
        assert {j: scores[j] for j in touched[: said.touched].tolist()} == pytest.approx(wanted)
        assert np.count_nonzero(scores) == said.touched
        assert said.total == pytest.approx(sum(wanted.values()))
        rows = np.arange(len(mine), dtype=np.int32)
        support = source.support(mine.arrays, shopper, rows, np.zeros(len(mine), np.int32))
        assert support is not None and support.sum(axis=1) == pytest.approx(scores)
        said_something += said.touched
    assert said_something


class Stock:
    """Items in groups under random changes, and how a group should stand."""

    def __init__(self, most: int) -> None:
        self.most, self.groups = most, Groups(most)
        self.keys: Any = np.zeros(0, np.uint64)
        self.heats: Any = np.zeros(0)
        self.servable: Any = np.zeros(0, np.bool_)

    def add(self, keys: list[int]) -> None:
        rows = np.arange(len(self.keys), len(self.keys) + len(keys))
        self.keys = np.append(self.keys, np.array(keys, np.uint64))
        self.heats = np.append(self.heats, np.full(len(keys), -np.inf))
        self.servable = np.append(self.servable, np.ones(len(keys), np.bool_))
        self.tell(*rows.tolist())

    def tell(self, *rows: int) -> None:
        self.groups.refresh(self.keys, self.heats, self.servable, np.array(rows, np.int64))

    def listed(self, member: int) -> list[int]:
        g = self.groups.numbers[member]
        return [] if g < 0 else self.groups.lists[g, : self.groups.sizes[g]].tolist()

    def wanted(self, member: int) -> list[int]:
        mine = np.flatnonzero((self.keys == self.keys[member]) & self.servable).tolist()
        mine = [j for j in mine if self.keys[j] and np.isfinite(self.heats[j])]
        return sorted(mine, key=lambda j: (-self.heats[j], j))[: self.most]


@pytest.mark.parametrize("seed", range(3))
def test_a_group_lists_its_most_popular_whatever_changes(seed: int) -> None:
    rng, stock = np.random.default_rng(seed), Stock(50)  # more than a group ever has
    for n in range(400):
        if n % 10 == 0:
            stock.add(rng.integers(0, 4, 3).tolist())
        row = int(rng.integers(len(stock.keys)))
        what = rng.integers(6)
        if what == 0:
            stock.servable[row] ^= True
        elif what == 1:
            stock.keys[row] = rng.integers(0, 4)  # described anew
        elif what == 2:
            stock.heats[row] = -np.inf
        else:
            stock.heats[row] = round(n / 10 + rng.integers(5))  # with ties
        stock.tell(row)
        for member in range(len(stock.keys)):
            assert stock.listed(member) == stock.wanted(member)


def test_a_full_group_keeps_the_most_popular_and_takes_back_what_is_clicked_again() -> None:
    rng, stock = np.random.default_rng(1), Stock(4)
    stock.add([7] * 20)
    for n in range(200):
        row = int(rng.integers(20))
        stock.heats[row] = n + rng.random()  # events only make an item hotter
        stock.tell(row)
        assert stock.listed(0) == stock.wanted(0)
    best = stock.listed(0)[0]
    stock.servable[best] = False
    stock.tell(best)
    assert len(stock.listed(0)) == 3 and best not in stock.listed(0)
    out = next(j for j in range(20) if j not in stock.listed(0) and j != best)
    stock.heats[out] = 1000.0
    stock.tell(out)
    assert stock.listed(0)[0] == out


def test_one_that_is_off_has_no_place_in_the_blend() -> None:
    assert "variants" not in names_of(load(None, {}, {"profile": "catalogue"}))
    shop = load(None, {}, {"profile": "shop"})
    assert names_of(shop)[-1] == "variants"
    off = load(None, {}, {"profile": "shop", "variants.items": "0"})
    assert "variants" not in names_of(off) and len(weights_of(off)) == len(names_of(off))
