"""Why an item is where it is in a user's list, from the state in Redis as it is now."""

from typing import NamedTuple

import msgspec
import numpy as np

from streamrec.blend import combine as blend
from streamrec.inspection.lists_now import read_now
from streamrec.ranking.explain import PARTS, Explanation, explain, network_responds_to
from streamrec.ranking.lists import ListMaker, Ranked
from streamrec.settings.sections import Settings
from streamrec.sources.registry import SOURCES
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import key_of
from streamrec.state.rows import UserRow
from streamrec.transport.redis_store import Store


class Answer(msgspec.Struct):
    """Why an item is, or is not, in a user's list made now."""

    user: str
    item: str
    listed: bool
    place: int | None  # in the list, else among all candidates; None: not a candidate
    why_not: str
    score: float | None
    parts: dict[str, float]  # sum to the score; "rules": what boosts and rotation add
    past: dict[str, float]  # the user's past items: what of the score each accounts for
    places: dict[str, float]  # the item's place in each source's own ranking, 1 is the first
    network_responds_to: dict[str, float] = {}  # its part's change by each source; these do not sum


class Case(NamedTuple):
    """One user's ranking, and the item asked about."""

    table: ItemTable
    ranked: Ranked
    row: int


def explained(settings: Settings, store: Store, user: str, item: str) -> Answer:
    """Return the answer from the state in Redis."""
    table, lists, person, shown = read_now(settings, store, user)
    known = table.index.rows(np.array([key_of(item)], np.uint64))
    row = int(known[0])
    if row < 0 or not table.arrays.stored[row]:
        return Answer(
            user, item, False, None, "no event or metadata names this item", None, {}, {}, {}
        )
    [ranked] = lists.rank([person], table, [row], [user], shown)
    return answer(settings, lists, user, item, person, Case(table, ranked, row))


def answer(
    settings: Settings, lists: ListMaker, user: str, item: str, person: UserRow, case: Case
) -> Answer:
    """Return why the item is where it is in this ranking."""
    table, ranked, row = case
    places = {
        name: float(place) + 1.0
        for name, place in zip(SOURCES, ranked.places.tolist(), strict=True)
        if place == place
    }
    at = np.flatnonzero(ranked.candidates == row)
    if not len(at):
        why = lists.why_not(person, table, row, user)
        return Answer(user, item, False, None, why, None, {}, {}, places)
    how = settings.blend
    parts = blend.parts(how.kind, ranked.features, lists.weights, table.blend, how.reorder)[at[0]]
    found = explain(settings, table, ranked.history, row, parts)
    past = _by_item(table, ranked, found)
    listed, score = np.flatnonzero(ranked.order == at[0]), float(ranked.scores[at[0]])
    by_score = np.argsort(-ranked.scores, kind="stable")
    place = int((listed if len(listed) else np.flatnonzero(by_score == at[0]))[0]) + 1
    why = "" if len(listed) else lists.removed(person, table, row, user)
    if not len(listed) and not why:
        why = f"{place - 1} candidates score higher; a list has {len(ranked.order)}"
        if place <= len(ranked.order):
            why = "others bring more variety (lists.diversity)"
    named = {n: round(float(v), 6) for n, v in zip(PARTS, parts, strict=True) if v}
    if settings.lists.boosts or settings.lists.rotation:
        named["rules"] = round(score - float(parts.sum()), 6)
    responds = {}
    if table.blend is not None and "network" in named:
        responds = network_responds_to(table.blend, ranked.features, int(at[0]))
    return Answer(user, item, bool(len(listed)), place, why, score, named, past, places, responds)


def _by_item(table: ItemTable, ranked: Ranked, found: Explanation) -> dict[str, float]:
    """Return by past item what of the score it accounts for, where that is anything."""
    totals = zip(ranked.history.tolist(), found.by_item.sum(axis=0), strict=True)
    return {table.ids[h] or "": round(float(total), 6) for h, total in totals if total}
