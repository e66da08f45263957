"""Why an item is in a list, in numbers that add up, or why it is not there.

A candidate's score is the sum of its parts: one a source, one an extra, and the network's, which is
not additive over sources and stands as its own term. A source's part is shared out over the user's
past items by what each of them contributed to the source's value; the rest is the item's own. Of
the network's part it is said how it responds to each source alone; that does not sum.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.blend.learned import Features, LearnedBlend
from streamrec.settings.sections import Settings
from streamrec.sources.popularity import log_share
from streamrec.sources.registry import (
    CONTENT,
    COSINE,
    EXTRAS,
    FACTORS,
    POPULARITY_LONG,
    REPEATS,
    SIMILARITY,
    SOURCES,
    SUCCESSORS,
)
from streamrec.sources.successors import REVERSE
from streamrec.state.item_table import ItemTable

Array = NDArray[Any]
PARTS = (*SOURCES, *EXTRAS, "network")
M = len(SOURCES)
LEAST_RESPONSE = 0.01
"""A smaller change of the network's part is not named."""


class Explanation(NamedTuple):
    """The parts of one candidate's score: score = parts.sum() = by_item.sum() + own.sum()."""

    parts: NDArray[np.float64]  # [len(PARTS)]
    by_item: NDArray[np.float64]  # [M, history]: of each past item, newest first
    own: NDArray[np.float64]  # [len(PARTS)]: what no past item accounts for


def explain(
    settings: Settings, table: ItemTable, history: Array, row: int, parts: NDArray[np.float64]
) -> Explanation:
    """Return the explanation of candidate `row` for a user with this history (rows, newest first).

    parts: float64[len(PARTS)], its row of blend.parts.
    """
    given = contributions(settings, table, history, row)
    by_item = np.zeros((M, len(history)))
    linear = {
        FACTORS: _own_logit(settings, table, row),
        SIMILARITY: _popular_share(settings, table, history, row),
    }
    for m in range(M):
        total = float(given[m].sum()) + linear.get(m, 0.0)
        if given[m].any() and abs(total) > 1e-12:
            by_item[m] = parts[m] * given[m] / total
    own = parts.copy()
    own[:M] -= by_item.sum(axis=1)
    return Explanation(parts, by_item, own)


def network_responds_to(learned: LearnedBlend, features: Features, at: int) -> dict[str, float]:
    """Return by source how the network's part of candidate `at` changes by it, the largest first.

    network(x) - network(x without m): without m, its value is the candidates' mean and its rank 0.
    The network is not additive, so the changes do not sum to its part.
    """
    rows, each = np.full(M + 1, at), np.arange(M)  # row m is without source m, the last as it is
    values, ranks, extras = features.values[rows], features.ranks[rows], features.extras[rows]
    values[each, each], ranks[each, each] = features.values.mean(axis=0), 0
    said = learned.network(Features(values, ranks, extras, features.history)).astype(np.float64)
    changes = said[M] - said[:M]
    order = np.argsort(-np.abs(changes), kind="stable").tolist()
    large = [m for m in order if abs(changes[m]) >= LEAST_RESPONSE]
    return {SOURCES[m]: round(float(changes[m]), 6) for m in large}


def contributions(settings: Settings, table: ItemTable, history: Array, row: int) -> Array:
    """Return float64[M, history]: what each past item adds to each source's value of `row`."""
    a, n = table.arrays, len(history)
    out = np.zeros((M, n))
    decay, window = settings.factors.context_decay, settings.similarity.window
    weights = decay ** np.arange(n)
    context = np.arange(n) < settings.factors.context
    if n:
        z = weights * context
        norm = float(z.sum())
        out[FACTORS] = z / norm**settings.factors.context_norm * (
            a.contexts[history] @ a.targets[row]
        )  # fmt: skip
        if a.content.shape[1]:
            out[CONTENT] = z / norm * (a.content[history] @ a.content[row])
    for b, h in enumerate(history.tolist()):
        if b < window:
            total = float(a.totals[h]) + settings.similarity.prior
            here = a.neighbours[h, : a.sizes[h]] == row
            if total > 0.0:
                out[SIMILARITY, b] = weights[b] * a.weights[h, : a.sizes[h]][here].sum() / total
        if b < settings.successors.window:
            out[SUCCESSORS, b] = weights[b] * _votes(settings, a, h, row)
        far = a.far[h, : a.far_sizes[h]] == row
        scale = (b + 1.0) * np.sqrt(max(1.0, a.events[h]) * max(1.0, a.events[row]))
        out[COSINE, b] = a.far_weights[h, : a.far_sizes[h]][far].sum() / scale
        out[REPEATS, b] = float(h == row)
    return out


def _votes(settings: Settings, a: Any, h: int, row: int) -> float:
    size = min(int(a.ring_totals[h]), a.ring.shape[1])
    ranks = a.ring_ranks[h, :size].astype(np.int64)
    weight = np.where(ranks >= REVERSE, settings.similarity.reverse_weight, 1.0)
    weight = weight / ((ranks & 127) + 1.0)
    total = float(weight.sum())
    return float(weight[a.ring[h, :size] == row].sum()) / total if total > 0.0 else 0.0


def _own_logit(settings: Settings, table: ItemTable, row: int) -> float:
    """Return what an item's logit has without any history: its bias and the prior."""
    heats, total = table.prior_heat()
    share = float(log_share(heats[row], total))
    return float(table.arrays.biases[row]) + settings.factors.prior * share


def _popular_share(settings: Settings, table: ItemTable, history: Array, row: int) -> float:
    """Return what similarity says of an item for its popularity alone."""
    prior, newest = settings.similarity.prior, history[: settings.similarity.window]
    totals = table.arrays.totals[newest].astype(np.float64) + prior
    steps = settings.factors.context_decay ** np.arange(len(newest))
    mass = float((steps * prior / np.maximum(totals, 1e-300)).sum())
    heat = table.arrays.heats[row, POPULARITY_LONG]
    return mass * float(np.exp(log_share(heat, table.log2_totals()[POPULARITY_LONG])))
