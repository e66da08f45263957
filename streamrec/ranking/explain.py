"""Why an item is in a list, in numbers that add up; why_not.py: why it is not there.

A candidate's score is the sum of its parts: one a source, one an extra, and the network's, which is
not additive over sources and stands as its own term. Each is told relative to its mean over the
candidates, as what all have in common puts none before another. What a source's part is above that
of an item of which the source says nothing is shared out over the user's past items by what each of
them supports (Source.support); the rest is the item's own. Of the network's part it is said how it
responds to each source alone; that does not sum. The neural ranker's part is shared out by what
the score changes without each past item.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.blend.learned import Features, LearnedBlend
from streamrec.ranking.lists import NEURAL, ListMaker, Ranked
from streamrec.ranking.reasons import neural_support
from streamrec.state.item_table import ItemTable

LEAST_RESPONSE = 0.01
"""A smaller change of the network's part is not named."""


class Explanation(NamedTuple):
    """Of one candidate's score what is above the candidates' mean: parts.sum() = score - mean."""

    parts: dict[str, float]  # by source that takes part, by extra, network, neural
    by_item: dict[str, NDArray[np.float64]]  # by source, [history]: what each past item adds
    mean: float  # of the candidates' scores as they are told (Ranked.level), before rules

    def past(self, history: int) -> NDArray[np.float64]:
        """Return float64[history]: what each past item adds."""
        return sum(self.by_item.values(), start=np.zeros(history))


def explain(lists: ListMaker, table: ItemTable, ranked: Ranked, at: int) -> Explanation:
    """Return the explanation of candidate number `at`."""
    names, parts = _parts(lists, table, ranked)
    means = parts.mean(axis=0)
    off = {n for n, on in zip(lists.names, ranked.mixture.roster.active, strict=True) if not on}
    if lists.network is None:
        off.add(NEURAL)
    centred = dict(zip(names, (parts[at] - means).tolist(), strict=True))
    lifts = parts[at, :-1] - _silent(ranked, table)
    by_item = {}
    if ranked.moves.any():
        [by_item[NEURAL]] = neural_support(lists.network, ranked, np.array([at]), np.ones(1, bool))
    for m, source in enumerate(lists.sources):
        if source.name not in off:
            shares = _shares(lists, table, ranked, m, int(ranked.candidates[at]))
            if shares is not None:
                by_item[source.name] = lifts[m] * shares
    told = {name: part for name, part in centred.items() if name not in off}
    return Explanation(told, by_item, float(means.sum()) - ranked.level)


def shares(lists: ListMaker, table: ItemTable, ranked: Ranked) -> dict[str, float]:
    """Return by source, extra, network and neural its share of what lifts the list's items.

    share_m = sum_i max(0, part_im - mean_m) / sum over all m, i being the items of the list and
    mean_m over the candidates; {} where nothing lifts them.
    """
    if not len(ranked.order):
        return {}
    names, parts = _parts(lists, table, ranked)
    above = np.maximum(parts[ranked.order] - parts.mean(axis=0), 0.0).sum(axis=0)
    total = float(above.sum())
    return {
        name: float(part) / total for name, part in zip(names, above, strict=True) if part > 0.0
    }


def _parts(
    lists: ListMaker, table: ItemTable, ranked: Ranked
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return the names of the parts of scores, and float64[C, parts] that sum to the scores."""
    parts = np.column_stack([ranked.mixture.blend.parts(ranked.filled, table.blend), ranked.moves])
    return (*lists.names, *lists.extras, "network", NEURAL), parts


def _silent(ranked: Ranked, table: ItemTable) -> NDArray[np.float64]:
    """Return the parts of one more candidate, of which no source says anything."""
    features = ranked.features
    values = np.append(features.values, np.full_like(features.values[:1], np.nan), axis=0)
    ranks = np.append(features.ranks, np.zeros_like(features.ranks[:1]), axis=0)
    extras = np.append(features.extras, np.zeros_like(features.extras[:1]), axis=0)
    more = features._replace(values=values, ranks=ranks, extras=extras)
    parts: NDArray[np.float64] = ranked.mixture.blend.parts(more.filled(), table.blend)[-1]
    return parts


def _shares(
    lists: ListMaker, table: ItemTable, ranked: Ranked, m: int, row: int
) -> NDArray[np.float64] | None:
    """Return float64[history]: each past item's share of what source m says of a row."""
    source, shopper, arrays = lists.sources[m], ranked.shopper, table.arrays
    support = source.support(arrays, shopper, np.array([row]), lists.scratch.where)
    if support is None or not support.any():
        return None
    total = lists.score_of(m, shopper, table, row)
    return support[0] / total if abs(total) > 1e-12 else None


def network_responds_to(
    learned: LearnedBlend, features: Features, at: int, names: tuple[str, ...]
) -> dict[str, float]:
    """Return by source how the network's part of candidate `at` changes by it, the largest first.

    network(x) - network(x without m): without m, its value is the candidates' mean and its rank 0.
    The network is not additive, so the changes do not sum to its part.
    """
    m = len(names)
    filled = features.filled()
    rows, each = np.full(m + 1, at), np.arange(m)  # row k is without source k, the last as it is
    values, ranks, extras = filled.values[rows], filled.ranks[rows], filled.extras[rows]
    values[each, each], ranks[each, each] = filled.values.mean(axis=0), 0
    without = filled._replace(values=values, ranks=ranks, extras=extras)
    said = learned.network(without).astype(np.float64)
    changes = said[m] - said[:m]
    order = np.argsort(-np.abs(changes), kind="stable").tolist()
    large = [k for k in order if abs(changes[k]) >= LEAST_RESPONSE]
    return {names[k]: round(float(changes[k]), 6) for k in large}
