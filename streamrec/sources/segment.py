"""Segment: what the others of the user's segment (a country, a device) take.

A segment's popularity lies in a row of its own: it is an item that nobody can take, whose
neighbours (similarity.py) are what was taken in it. Score of j: P[segment -> j], over their sum.
"""

from typing import Any

from numpy.typing import NDArray

from streamrec.sources import similarity
from streamrec.sources.source import Said, Shopper, Source

Array = NDArray[Any]
SEGMENT_PREFIX = "\x1f"
"""Of the id of a segment's row: a control character, which item ids may not hold."""


class Segment(Source):
    """What is taken in the user's segment."""

    name = "segment"

    def score(self, arrays: Any, user: Shopper, scores: Array, touched: Array) -> Said:
        """Add the segment's own counts."""
        a = arrays
        lists = a.similarity_keys, a.similarity_weights, a.similarity_size, a.similarity_total
        if not len(user.segment) or user.segment[0] < 0:
            return Said(0, 0.0)
        count, _ = similarity.score(lists, user.segment, 1.0, 0.0, scores, touched)
        return Said(count, similarity.sum_of(scores, touched, count))
