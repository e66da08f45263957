"""`streamrec explain` and `streamrec weights`: why lists are what they are."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from streamrec.blend.learned import BUCKETS, EXTRAS, LearnedBlend
from streamrec.blend.rules import BLEND_KEY, blend_owner, blend_rules
from streamrec.commands.lists_now import read_now, shards_of
from streamrec.ranking.explain import explain, network_responds_to
from streamrec.ranking.lists import ListMaker, Ranked
from streamrec.settings.sections import Settings
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import key_of
from streamrec.transport.redis_store import Store


class Answer(msgspec.Struct):
    """Why an item is, or is not, in a user's list made now."""

    user: str
    item: str
    listed: bool
    rank: int | None  # in the list, else among all candidates; None: not a candidate
    why_not: str
    score: float | None
    parts: dict[str, float]  # above the candidates' mean, by source, extra, network and rules
    past: dict[str, float]  # the user's past items: what of that each accounts for
    ranks: dict[str, float]  # the item's rank in each source's own order, 1 is the first
    mean: float = 0.0  # of the candidates' scores: score = mean + the sum of parts
    network_responds_to: dict[str, float] = {}  # its part's change by each source; these do not sum


class Weights(msgspec.Struct):
    """The learned blend's state, for people."""

    leads: str
    samples: int
    linear: dict[str, dict[str, float]]  # source or extra -> history bucket -> weight
    importance: dict[str, float]  # loss gained by shuffling the source among the candidates
    loss: dict[str, float]  # 1 - mean reciprocal rank of late, of the blend and each source


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
    found = weights_of(settings, learned)
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        _print_weights(found)
    return 0


def explained(settings: Settings, store: Store, user: str, item: str) -> Answer:
    """Return the answer from the state in Redis."""
    now = read_now(settings, store, user)
    row = int(now.table.index.rows(np.array([key_of(item)], np.uint64))[0])
    if row < 0 or not now.table.arrays.stored[row]:
        why = "no event or metadata names this item"
        return Answer(user, item, False, None, why, None, {}, {}, {})
    [ranked] = now.lists.rank([now.shopper], now.table, [row])
    return answer(now.lists, now.table, ranked, row)


def answer(lists: ListMaker, table: ItemTable, ranked: Ranked, row: int) -> Answer:
    """Return why the item is where it is in this ranking."""
    settings, shopper = lists.settings, ranked.shopper
    ranks = zip(lists.names, ranked.full_ranks.tolist(), strict=True)
    named = {name: rank + 1.0 for name, rank in ranks if rank == rank}
    found = Answer(shopper.name, table.ids[row] or "", False, None, "", None, {}, {}, named)
    at = np.flatnonzero(ranked.candidates == row)
    if not len(at):
        found.why_not = lists.why_not(shopper, table, row)
        return found
    told = explain(lists, table, ranked, int(at[0]))
    listed = np.flatnonzero(ranked.order == at[0])
    by_score = np.argsort(-ranked.scores, kind="stable")
    found.listed, found.score = bool(len(listed)), float(ranked.scores[at[0]])
    found.rank = int((listed if len(listed) else np.flatnonzero(by_score == at[0]))[0]) + 1
    if not len(listed):
        found.why_not = _why_not_listed(lists, table, ranked, row, found.rank)
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


def _why_not_listed(lists: ListMaker, table: ItemTable, ranked: Ranked, row: int, rank: int) -> str:
    removed = lists.removed(ranked.shopper, table, row)
    if removed or rank <= len(ranked.order):
        return removed or "others bring more variety (lists.diversity)"
    return f"{rank - 1} candidates score higher; a list has {len(ranked.order)}"


def weights_of(settings: Settings, learned: LearnedBlend) -> Weights:
    """Return the state in words and numbers; sources that are off are left out."""
    lists = ListMaker(settings)
    sources, names = lists.names, (*lists.names, *EXTRAS)
    off = {n for n, on in zip(sources, lists.roster.active, strict=True) if not on}
    buckets = ["0", *(f"{low}+" for low in BUCKETS)]
    linear = {
        name: {
            bucket: round(float(learned.linear[0, k] + learned.linear[1 + b, k]), 4)
            for b, bucket in enumerate(buckets)
        }
        for k, name in enumerate(names)
        if name not in off
    }
    seen = max(1e-9, float(learned.seen[1]))
    losses = (learned.losses / seen).round(4).tolist()
    leader = learned.leader()
    return Weights(
        "blend" if leader < 0 else sources[leader],
        int(learned.seen[0]),
        linear,
        _but(off, sources, learned.importance.round(4).tolist()),
        _but(off, ("blend", *sources), losses),
    )


def _but(off: set[str], names: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    return {name: value for name, value in zip(names, values, strict=True) if name not in off}


def _print_answer(found: Answer) -> None:
    console = Console(highlight=False)
    who, what = escape(found.user), escape(found.item)
    if found.listed:
        console.print(f"{what} is number {found.rank} of a list made now for {who}.")
    else:
        console.print(f"{what} is not in a list made now for {who}: {escape(found.why_not)}.")
    if found.score is not None:
        title = f"score {found.score:.4f}, {found.score - found.mean:+.4f} above the mean"
        table = Table("part", "adds", title=title, title_justify="left")
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
    if found.ranks:
        best = sorted(found.ranks.items(), key=lambda one: one[1])
        words = ", ".join(f"{name} {rank:.0f}" for name, rank in best)
        console.print(f"Its rank in each source alone: {words}.", soft_wrap=True)


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
