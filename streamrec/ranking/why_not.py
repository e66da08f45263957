"""What the rules of a place do to an item, and why it is not in a user's list there."""

from collections import Counter
from typing import Any

import numpy as np

from streamrec.ranking.lists import ListMaker, Ranked
from streamrec.ranking.rerank import Reranker
from streamrec.ranking.shoppers import excluding_event, first_excluded
from streamrec.sources.source import Shopper
from streamrec.state.item_table import ItemTable

UNITS = (("days", 86_400_000), ("hours", 3_600_000), ("minutes", 60_000))


def why_not(
    lists: ListMaker, shopper: Shopper, table: ItemTable, row: int, rules: Reranker | None = None
) -> str:
    """Return why an item is not even a candidate for a user; rules: without, those of home."""
    rules = rules or lists.rules
    if not table.arrays.available[row]:
        return "it is not available"
    user, key, rule = shopper.row, int(table.keys[row]), lists.settings.lists.exclude
    if (user.seen == (key & 0xFFFFFFFF)).any():
        return "the user had it, or disliked it, before (lists.exclude)"
    if rules.place.exclude is not None:
        if event := _event(lists, shopper, table, row, rules):
            return event
    elif (user.keys[first_excluded(lists.settings, user, rule) :] == key).any():
        return f"the user had it (lists.exclude = {rule})"
    if removed := [line for line in rules.trace(table, row, shopper) if line.startswith("removed")]:
        return "; ".join(removed)
    most = lists.settings.blend.candidates
    place = rules.place
    of = f" of those that rank here ({_at(rules)}.sources)" if place.sources else ""
    return f"no source{of} has it among its best {most}"


def why_not_listed(rules: Reranker, ranked: Ranked, table: ItemTable, at: int) -> str:
    """Return why candidate number `at` is not in the list."""
    place, scores = rules.place, ranked.scores
    best = np.argsort(-scores, kind="stable").tolist()
    pins = rules.pinned(table).tolist()
    first = [n for row in pins for n in best if int(ranked.candidates[n]) == row][: place.length]
    order = [*first, *(n for n in best if n not in set(first))]
    kept = order
    if rules.caps:
        stays = rules.caps.within(ranked.candidates[order].tolist(), table)
        stays = [*([True] * len(first)), *stays[len(first) :]]
        kept = [n for n, stay in zip(order, stays, strict=True) if stay]
        if at not in kept:
            above = ranked.candidates[kept[: _before(kept, order, at)]].tolist()
            return f"capped: {_full(rules, table, above, int(ranked.candidates[at]))}"
    ahead = kept.index(at)
    if ahead < len(ranked.order):
        return f"others bring more variety (diversity = {place.diversity})"
    pinned = f", pins first ({_at(rules)}.pins)" if first else ""
    capped = (
        f", without what the caps take out ({_at(rules)}.caps)" if len(kept) < len(order) else ""
    )
    return f"{ahead} candidates score higher{pinned}{capped}; a list has {len(ranked.order)}"


def effects(rules: Reranker, shopper: Shopper, table: ItemTable, row: int) -> list[str]:
    """Return what the rules do to a candidate: its pin, its boosts, its place among the capped."""
    place, found = rules.place, []
    name = table.ids[row]
    if name in place.pins:
        found.append(f"pinned: number {place.pins.index(name) + 1} of {_at(rules)}.pins")
    found += [line for line in rules.trace(table, row, shopper) if line.startswith("boost")]
    for field, values in rules.caps.values(table, row).items() if rules.caps else ():
        words = ", ".join(map(str, values))
        found.append(f"capped at {place.caps[field]}: {field} is {words}")
    return found


def _event(lists: ListMaker, shopper: Shopper, table: ItemTable, row: int, rules: Reranker) -> str:
    """Return in words the event for which a place leaves an item out; "" for none."""
    place = rules.place
    assert place.exclude is not None
    found = excluding_event(place.exclude, lists.settings, shopper, table, int(table.keys[row]))
    if found is None:
        return ""
    kind, age_ms = found
    rule = f"places.{place.name}.exclude"
    given = lists.settings.places[place.name].exclude or {}
    return f"the user had it: {kind} {_ago(age_ms)} ({rule}: {kind} = {given.get(kind, '')})"


def _ago(age_ms: int) -> str:
    """Return an age in words."""
    for words, unit in UNITS:
        if age_ms >= 2 * unit:
            return f"{age_ms // unit} {words} before the newest event"
    return "just now"


def _before(kept: list[int], order: list[int], at: int) -> int:
    """Return how many of the kept stand before candidate `at`."""
    before = set(order[: order.index(at)])
    return sum(n in before for n in kept)


def _full(rules: Reranker, table: ItemTable, above: list[int], row: int) -> str:
    """Return which caps are full with the items above."""
    counts: Counter[tuple[str, Any]] = Counter()
    for one in above:
        for field, values in rules.caps.values(table, one).items():
            counts.update((field, value) for value in values)
    most = rules.place.caps
    mine = rules.caps.values(table, row)
    full = [(f, v) for f, values in mine.items() for v in values if counts[f, v] >= most[f]]
    words = " and ".join(f"{counts[f, v]} items of {f} {v}" for f, v in full)
    return f"{words} stand above it ({_at(rules)}.caps)"


def _at(rules: Reranker) -> str:
    """Return where the rules are written."""
    return f"places.{rules.place.name}"
