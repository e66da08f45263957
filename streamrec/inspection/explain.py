"""Why an item is where it is in a user's list, from the state in Redis as it is now."""

import numpy as np

from streamrec.inspection.answer import Answer, Reasons
from streamrec.inspection.lists_now import StateNow, StateReader
from streamrec.ranking.explain import explain, network_responds_to, shares, why_not
from streamrec.ranking.lists import ListMaker, Ranked
from streamrec.settings.sections import Settings
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import key_of
from streamrec.transport.redis_store import Store


def explained(settings: Settings, store: Store, user: str, item: str) -> Answer:
    """Return the answer from the state in Redis; it takes as long as the catalogue is large."""
    return explained_from(StateReader(settings, store).now(user), item)


def explained_from(now: StateNow, item: str) -> Answer:
    """Return the answer from the state as it was read."""
    user = now.shopper.name
    row = int(now.table.index.rows(np.array([key_of(item)], np.uint64))[0])
    if row < 0 or not now.table.arrays.stored[row]:
        return unknown(user, item)
    [ranked] = now.lists.rank([now.shopper], now.table, [row])
    return answer(now.lists, now.table, ranked, row)


def shares_from(now: StateNow) -> dict[str, float]:
    """Return what lifts the items of a list made from the state, by part; they sum to 1."""
    if not now.lists.ready:
        return {}
    [ranked] = now.lists.rank([now.shopper], now.table)
    return shares(now.lists, now.table, ranked)


def reasons_from(now: StateNow, most: int | None) -> dict[str, Reasons]:
    """Return why the first items of a list made from the state are in it, by item."""
    if not now.lists.ready:
        return {}
    table, history = now.table, now.shopper.history
    [ranked] = now.lists.rank([now.shopper], table, rules=now.rules)
    found = {}
    for at in ranked.order[:most].tolist():
        told = explain(now.lists, table, ranked, at)
        past = told.past(len(history)).tolist()
        named = {table.ids[h] or "": value for h, value in zip(history, past, strict=True)}
        found[table.ids[ranked.candidates[at]] or ""] = Reasons(_shared(told.parts), _shared(named))
    return found


def _shared(parts: dict[str, float]) -> dict[str, float]:
    """Return the shares of what is above 0, the largest first."""
    above = sorted(((name, v) for name, v in parts.items() if v > 0.0), key=lambda one: -one[1])
    total = sum(value for _, value in above)
    return {name: round(value / total, 6) for name, value in above}


def unknown(user: str, item: str) -> Answer:
    """Return the answer for an item that is not there."""
    why = "no event or metadata names this item"
    return Answer(user, item, False, None, why, None, {}, {}, {})


def answer(lists: ListMaker, table: ItemTable, ranked: Ranked, row: int) -> Answer:
    """Return why the item is where it is in this ranking."""
    settings, shopper = lists.settings, ranked.shopper
    ranks = zip(lists.names, ranked.full_ranks.tolist(), strict=True)
    named = {name: rank + 1.0 for name, rank in ranks if rank == rank}
    found = Answer(shopper.name, table.ids[row] or "", False, None, "", None, {}, {}, named)
    at = np.flatnonzero(ranked.candidates == row)
    if not len(at):
        found.why_not = why_not(lists, shopper, table, row)
        return found
    told = explain(lists, table, ranked, int(at[0]))
    listed = np.flatnonzero(ranked.order == at[0])
    by_score = np.argsort(-ranked.scores, kind="stable")
    found.listed, found.score = bool(len(listed)), float(ranked.scores[at[0]])
    found.rank = int((listed if len(listed) else np.flatnonzero(by_score == at[0]))[0]) + 1
    if not len(listed):
        found.why_not = _why_not_listed(ranked, found.rank)
    found.mean = round(told.mean, 6)
    found.parts = {name: round(value, 6) for name, value in told.parts.items() if value}
    if settings.lists.boosts or settings.lists.rotation:
        rest = found.score - told.mean - sum(told.parts.values())
        found.parts["rules"] = round(rest, 6)
    past = zip(shopper.history.tolist(), told.past(len(shopper.history)).tolist(), strict=True)
    found.past = {table.ids[h] or "": round(value, 6) for h, value in past if value}
    if table.blend is not None and told.parts.get("network"):
        responds = network_responds_to(table.blend, ranked.features, int(at[0]), lists.names)
        found.network_responds_to = responds
    return found


def _why_not_listed(ranked: Ranked, rank: int) -> str:
    if rank <= len(ranked.order):
        return "others bring more variety (lists.diversity, the place's caps and pins)"
    return f"{rank - 1} candidates score higher; a list has {len(ranked.order)}"
