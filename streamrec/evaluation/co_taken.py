"""Texts that people take one after the other: what an encoder is tuned on, and judged by.

Pairs of the first 90 % of the events may teach. Those of the last 10 % judge: of a pair (a, b) the
text b is ranked among all texts by its cosine to a, by the frozen encoder's vectors and by the
tuned one's. Items of the same text count as one: no encoder tells them apart.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.errors import ConfigurationError
from streamrec.evaluation.intervals import interval
from streamrec.evaluation.ranks import rank_of
from streamrec.events.event import Item
from streamrec.files.event_table import FORGOTTEN, EventTable
from streamrec.text.whiten import Whitening
from streamrec.text.words import unit, words_of

Array = NDArray[Any]
TEACHING = 0.9
"""Share of the events, the oldest, whose pairs teach."""
LEAST = 100
"""Pairs of either part: with fewer there is nothing to learn, or to judge by."""
MOST_JUDGED = 20_000
"""Pairs that are judged at most, evenly from all."""
TOP = 20
ROWS = 256
"""Pairs that are ranked at once: their scores take ROWS floats a text."""
STORED, CONTENT = "as stored", "as content reads them"
READINGS = (STORED, CONTENT)
"""Cosines of the stored vectors; of what the source `content` makes of them."""


class Pairs(NamedTuple):
    """Texts taken one after the other, as rows int64[n, 2], the older first, in time order."""

    teaching: Array
    judging: Array


def texts_of(items: Mapping[str, Item]) -> tuple[list[str], dict[str, int]]:
    """Return the distinct texts of items, sorted, and the row of each item's; none without."""
    words = {item: words_of(i.title, i.categories, i.text) for item, i in items.items()}
    texts = sorted(set(words.values()) - {""})
    rows = {text: row for row, text in enumerate(texts)}
    return texts, {item: rows[text] for item, text in words.items() if text}


def pairs_of(
    table: EventTable, text_of: Mapping[str, int], weights: Mapping[str, float], session_ms: int
) -> Pairs:
    """Return the pairs of different texts that a user took one after the other in a session.

    text_of: the row of an item's text; weights: of the types of events, above 0 is a take. A
    session is that of the file, or ends after session_ms without an event. Takes of items without
    text are passed over. Nothing is kept of users who are forgotten later or want no personal
    lists. A pair belongs to the part in which its later event lies, so no later one teaches.
    """
    n, ts = len(table), table.ts
    rows = np.array([text_of.get(name, -1) for name in table.item_names], np.int64)[table.items]
    positive = np.array([weights.get(name, 0.0) > 0.0 for name in table.type_names])
    takes = positive[table.types] & (rows >= 0)
    if table.personal is not None:
        takes &= table.personal
    forgotten = np.zeros(len(table.user_names), np.int64)
    for place, user, visitor in table.controls:
        if visitor == FORGOTTEN:
            forgotten[user] = place
    takes &= np.arange(n) >= forgotten[table.users]
    order = np.argsort(table.users, kind="stable")
    begins = np.diff(table.users[order], prepend=-1) != 0
    if table.sessions is not None:
        begins[1:] |= np.diff(table.sessions[order]) != 0
    else:
        begins[1:] |= np.diff(ts[order]) > session_ms
    session = np.cumsum(begins)[takes[order]]
    taken = order[takes[order]]
    older, newer = taken[:-1], taken[1:]
    good = (session[1:] == session[:-1]) & (rows[older] != rows[newer])
    older, newer = older[good], newer[good]
    by_time = np.argsort(newer, kind="stable")
    pairs = np.stack([rows[older], rows[newer]], 1)[by_time]
    first = np.searchsorted(newer[by_time], int(TEACHING * n))
    return Pairs(pairs[:first], pairs[first:])


def check_enough(pairs: Pairs) -> None:
    """Raise ConfigurationError where the pairs are too few to learn from or to judge by."""
    for part, some in (("first 90", pairs.teaching), ("last 10", pairs.judging)):
        if len(some) < LEAST:
            raise ConfigurationError(
                f"The {part} % of the events have {len(some)} pairs of items with different texts, "
                "taken one after the other by a user in one session; tuning needs "
                f"{LEAST}. Give more events; a take is a type of a weight above 0 "
                "(events.weights), a session ends after lists.session_seconds"
            )


def batches_of(pairs: Array, size: int, steps: int, seed: int) -> Iterator[Array]:
    """Yield int64[size, 2] `steps` times, drawn with replacement.

    P(pair) ~ sqrt(how often it is there, in either order), so that what is popular with all does
    not teach all (the smoothing of Mikolov et al. 2013, power 1/2).
    """
    distinct, counts = np.unique(np.sort(pairs, axis=1), axis=0, return_counts=True)
    chance, weights = np.random.default_rng(seed), np.sqrt(counts)
    for _ in range(steps):
        yield distinct[chance.choice(len(distinct), size, p=weights / weights.sum())]


def judged_of(pairs: Array) -> Array:
    """Return at most MOST_JUDGED of the pairs, evenly from all."""
    count = min(len(pairs), MOST_JUDGED)
    return pairs[np.linspace(0, len(pairs) - 1, count).astype(np.int64)]


def read(stored: NDArray[np.int8], reading: str, size: int) -> NDArray[np.float32]:
    """Return unit vectors float32[n, d] of stored ones; size: content.size, of main directions."""
    if reading == STORED:
        return unit(stored)
    return Whitening.of(stored, size, plain=True).apply(stored)


def ranks_of(vectors: NDArray[np.float32], pairs: Array) -> NDArray[np.float64]:
    """Return the rank of b by its cosine to a, 0 best, of each pair (a, b), among all but a.

    vectors: float32[n, d] of unit length. Cosines are compared to five digits, ties count midway.
    """
    out = np.empty(len(pairs))
    for first in range(0, len(pairs), ROWS):
        some = pairs[first : first + ROWS]
        scores = np.round(vectors[some[:, 0]] @ vectors.T, 5)
        scores[np.arange(len(some)), some[:, 0]] = -np.inf
        out[first : first + ROWS] = [
            rank_of(own, b) for own, b in zip(scores, some[:, 1].tolist(), strict=True)
        ]
    return out


def verdict(frozen: Array, tuned: Array) -> dict[str, dict[str, float]]:
    """Return recall@20 and MRR by ranks float64[n] of either encoder, and their differences.

    recall@20 is the share of ranks below 20, MRR the mean of 1 / (1 + rank). The 95 % interval of
    a difference is that of `interval`: paired, blocks of pairs that are near in time.
    """
    found = {}
    for name, metric in _METRICS.items():
        before, after = metric(frozen), metric(tuned)
        found[name] = {
            "frozen": float(before.mean()), "tuned": float(after.mean()),
            **interval(after, before)._asdict(),
        }  # fmt: skip
    return found


def is_better(verdicts: Mapping[str, Mapping[str, Mapping[str, float]]]) -> bool:
    """Say whether the tuned encoder is kept: the MRR's whole interval is above 0 in each reading.

    Both count, since tuning may do no more than what `content` does by itself: take the mean off.
    """
    return all(verdicts[reading]["mrr"]["low"] > 0.0 for reading in READINGS)


def figures_of(
    frozen: Mapping[str, Array], tuned: Mapping[str, Array], losses: Sequence[float]
) -> dict[str, Any]:
    """Return as JSON what came of it, by the ranks in each reading and the loss of each step.

    Losses are means of the first and the last tenth of the steps.
    """
    tenth = max(1, len(losses) // 10)
    verdicts = {reading: verdict(frozen[reading], tuned[reading]) for reading in READINGS}
    return {
        "judged": len(frozen[STORED]),
        "losses": {"first": sum(losses[:tenth]) / tenth, "last": sum(losses[-tenth:]) / tenth},
        "verdicts": verdicts,
        "kept": is_better(verdicts),
    }


def _recall(ranks: Array) -> NDArray[np.float64]:
    return (ranks < TOP).astype(np.float64)


def _reciprocal(ranks: Array) -> NDArray[np.float64]:
    return 1.0 / (1.0 + ranks.astype(np.float64))


_METRICS = {f"recall@{TOP}": _recall, "mrr": _reciprocal}
