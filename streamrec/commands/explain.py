"""`streamrec explain` and `streamrec weights`: why lists are what they are."""

from typing import Any, NamedTuple

import msgspec
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from streamrec.blend import combine as blend
from streamrec.blend.learned import BUCKETS, LearnedBlend
from streamrec.blend.rules import BLEND_KEY, blend_owner, blend_rules
from streamrec.commands.lists_now import read_now, shards_of
from streamrec.ranking.explain import PARTS, Explanation, explain, network_responds_to
from streamrec.ranking.lists import ListMaker, Ranked
from streamrec.settings.sections import Settings
from streamrec.sources.registry import EXTRAS, SOURCES
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import key_of
from streamrec.state.rows import UserRow
from streamrec.transport.redis_store import Store

M = len(SOURCES)


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


class Weights(msgspec.Struct):
    """The learned blend's state, for people."""

    leads: str
    samples: int
    linear: dict[str, dict[str, float]]  # source or extra -> history bucket -> weight
    importance: dict[str, float]  # loss gained by shuffling the source among the candidates
    loss: dict[str, float]  # 1 - mean reciprocal rank of late, of the blend and each source


class Case(NamedTuple):
    """One user's ranking, and the item asked about."""

    table: ItemTable
    ranked: Ranked
    row: int


def run_explain(settings: Settings, user: str, item: str, *, as_json: bool = False) -> int:
    """Print why `item` is or is not in the list of `user`; return the exit code."""
    store = Store(settings.redis)
    try:
        answer = explained(settings, store, user, item)
    finally:
        store.close()
    if as_json:
        print(msgspec.json.encode(answer).decode())
    else:
        _print_answer(answer)
    return 0


def run_weights(settings: Settings, *, as_json: bool = False) -> int:
    """Print the learned blend's weights; return the exit code."""
    store = Store(settings.redis)
    try:
        shards = shards_of(store)
        owner = f"i{blend_owner(shards.items)}"
        blob = store.rows(owner, "blend", [BLEND_KEY])[0]
    finally:
        store.close()
    learned = LearnedBlend.from_bytes(blob, blend_rules(settings)) if blob else None
    if learned is None:
        print("the blend has learnt from no click yet: it uses blend.weights")
        return 0
    found = weights_of(learned)
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        _print_weights(found)
    return 0


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


def weights_of(learned: LearnedBlend) -> Weights:
    """Return the state in words and numbers."""
    names = (*SOURCES, *EXTRAS)
    buckets = ["0", *(f"{low}+" for low in BUCKETS)]
    linear = {
        name: {
            bucket: round(float(learned.linear[0, k] + learned.linear[1 + b, k]), 4)
            for b, bucket in enumerate(buckets)
        }
        for k, name in enumerate(names)
    }
    seen = max(1e-9, float(learned.seen[1]))
    losses = (learned.losses / seen).round(4).tolist()
    leader = learned.leader()
    return Weights(
        "blend" if leader < 0 else SOURCES[leader],
        int(learned.seen[0]),
        linear,
        dict(zip(SOURCES, learned.importance.round(4).tolist(), strict=True)),
        dict(zip(("blend", *SOURCES), losses, strict=True)),
    )


def _by_item(table: ItemTable, ranked: Ranked, found: Explanation) -> dict[str, float]:
    """Return by past item what of the score it accounts for, where that is anything."""
    totals = zip(ranked.history.tolist(), found.by_item.sum(axis=0), strict=True)
    return {table.ids[h] or "": round(float(total), 6) for h, total in totals if total}


def _print_answer(found: Answer) -> None:
    console = Console(highlight=False)
    who, what = escape(found.user), escape(found.item)
    if found.listed:
        console.print(f"{what} is number {found.place} of a list made now for {who}.")
    else:
        console.print(f"{what} is not in a list made now for {who}: {escape(found.why_not)}.")
    if found.score is not None:
        table = Table("part", "adds", title=f"score {found.score:.4f}", title_justify="left")
        for name, value in sorted(found.parts.items(), key=lambda part: -abs(part[1])):
            table.add_row(name, f"{value:+.4f}")
        console.print(table)
    if found.network_responds_to:
        words = ", ".join(f"{name} {by:+.2f}" for name, by in found.network_responds_to.items())
        words = f"The network responds to: {words} (each alone; these do not sum)."
        console.print(words, soft_wrap=True)
    if found.past:
        table = Table("past item", "of the score", title="by what the user took")
        for name, value in sorted(found.past.items(), key=lambda one: -abs(one[1]))[:10]:
            table.add_row(escape(name), f"{value:+.4f}")
        console.print(table)
    if found.places:
        best = sorted(found.places.items(), key=lambda one: one[1])
        words = ", ".join(f"{name} {place:.0f}" for name, place in best)
        console.print(f"Its place in each source alone: {words}.", soft_wrap=True)


def _print_weights(found: Weights) -> None:
    console = Console(highlight=False)
    console.width = max(console.width, 110)  # a name that is cut is worse than a wrapped line
    console.print(f"{found.samples} clicks learnt from; the lists follow {found.leads}.")
    buckets = list(next(iter(found.linear.values())))
    table = Table()
    table.add_column("", no_wrap=True)
    for title in (*(f"history {b}" for b in buckets), "importance", "loss alone"):
        table.add_column(title)
    for name, row in found.linear.items():
        cells: list[Any] = [f"{row[b]:+.3f}" for b in buckets]
        importance, loss = found.importance.get(name), found.loss.get(name)
        cells += ["" if v is None else f"{v:.4f}" for v in (importance, loss)]
        table.add_row(name, *cells)
    console.print(table)
    console.print(f"Loss of the blend: {found.loss['blend']:.4f} (1 - reciprocal rank, of late).")
