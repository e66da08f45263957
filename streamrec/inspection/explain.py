"""Why an item is where it is in a user's list, from the state in Redis as it is now."""

import numpy as np

from streamrec.inspection.answer import Answer, Reasons
from streamrec.inspection.lists_now import StateNow, StateReader
from streamrec.ranking.contexts import ContextMaker, left_out, taken_only
from streamrec.ranking.explain import explain, network_responds_to, shares
from streamrec.ranking.lists import ListMaker, Ranked
from streamrec.ranking.rerank import Reranker
from streamrec.ranking.why_not import effects, why_not, why_not_listed
from streamrec.settings.places import HOME
from streamrec.settings.sections import Settings
from streamrec.sources.source import Shopper
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import key_of
from streamrec.transport.redis.store import Store


def explained(
    settings: Settings, store: Store, user: str, item: str, place: str = HOME, page: str = ""
) -> Answer:
    """Return the answer from the state in Redis; it takes as long as the catalogue is large.

    page: the item that a place with a context is asked for with; "" for none.
    """
    return explained_from(StateReader(settings, store).now(user, place=place), item, page)


def explained_from(now: StateNow, item: str, page: str = "") -> Answer:
    """Return the answer from the state as it was read."""
    return answer_for(now.lists, now.table, now.shopper, now.rules, (item, page))


def answer_for(
    lists: ListMaker, table: ItemTable, shopper: Shopper, rules: Reranker, asked: tuple[str, str]
) -> Answer:
    """Return the answer for a user; asked: the item, and that of the page, "" for none."""
    (item, page), user, place = asked, shopper.name, rules.place
    rows = table.index.rows(np.array([key_of(item), key_of(page)], np.uint64)).tolist()
    if rows[0] < 0 or not table.arrays.stored[rows[0]]:
        return unknown(user, item, place.name)
    [ranked] = lists.rank([shopper], table, rows[:1], rules)
    if rows[1] < 0 or not page:
        return answer(lists, table, ranked, rows[0], rules)
    found = _told(user, item, place.name, "it is the item of the page")
    if rows[0] == rows[1]:
        return found
    if item in left_out(lists, table, ranked.shopper):
        found.why_not = why_not(lists, ranked.shopper, table, rows[0], rules)
        return found
    of_item = ContextMaker(place).rules
    one = taken_only(rows[1], table)._replace(name=user)
    [ranked] = lists.rank([one], table, rows[:1], of_item)
    return answer(lists, table, ranked, rows[0], of_item)


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


def unknown(user: str, item: str, place: str = HOME) -> Answer:
    """Return the answer for an item that is not there."""
    why = "no event or metadata names this item"
    return _told(user, item, place, why)


def _told(
    user: str, item: str, place: str, why_not: str = "", ranks: dict[str, float] | None = None
) -> Answer:
    """Return the answer for an item in no list; the rest may still be filled in."""
    return Answer(
        user, item, False, None, why_not, None, parts={}, past={}, ranks=ranks or {}, place=place
    )


def answer(
    lists: ListMaker, table: ItemTable, ranked: Ranked, row: int, rules: Reranker | None = None
) -> Answer:
    """Return why the item is where it is in this ranking; rules: of it, those of home if None."""
    rules, shopper = rules or lists.rules, ranked.shopper
    place = rules.place
    ranks = zip(lists.names, ranked.full_ranks.tolist(), strict=True)
    named = {name: rank + 1.0 for name, rank in ranks if rank == rank}
    found = _told(shopper.name, table.ids[row] or "", place.name, ranks=named)
    at = np.flatnonzero(ranked.candidates == row)
    if not len(at):
        found.why_not = why_not(lists, shopper, table, row, rules)
        return found
    found.rules = effects(rules, shopper, table, row)
    told = explain(lists, table, ranked, int(at[0]))
    listed = np.flatnonzero(ranked.order == at[0])
    by_score = np.argsort(-ranked.scores, kind="stable")
    found.listed = bool(len(listed))
    found.score = float(ranked.scores[at[0]]) - ranked.level
    found.rank = int((listed if len(listed) else np.flatnonzero(by_score == at[0]))[0]) + 1
    if not len(listed):
        found.why_not = why_not_listed(rules, ranked, table, int(at[0]))
    found.mean = round(told.mean, 6)
    found.parts = {name: round(value, 6) for name, value in told.parts.items() if value}
    if place.boosts or place.rotation:
        rest = found.score - told.mean - sum(told.parts.values())
        found.parts["rules"] = round(rest, 6)
    past = zip(shopper.history.tolist(), told.past(len(shopper.history)).tolist(), strict=True)
    found.past = {table.ids[h] or "": round(value, 6) for h, value in past if value}
    if table.blend is not None and told.parts.get("network"):
        responds = network_responds_to(table.blend, ranked.features, int(at[0]), lists.names)
        found.network_responds_to = responds
    return found
