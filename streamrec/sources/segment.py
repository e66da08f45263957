"""Segment: what the others of the user's segment (a country, a device) take.

A segment's popularity lies in a row of its own: it is an item that nobody can take, whose
neighbours (similarity.py) are what was taken in it. Score of j: P[segment -> j], over their sum.
"""

from typing import Any

from numpy.typing import NDArray

from streamrec.sources.neighbours import add, sum_of
from streamrec.sources.similarity import Similarity
from streamrec.sources.source import Said, Shopper, Source

Array = NDArray[Any]
SEGMENT_PREFIX = "\x1f"
"""Of the id of a segment's row: a control character, which item ids may not hold."""


class Segment(Source):
    """What is taken in the user's segment."""

    name = "segment"

    def __init__(self, settings: Any) -> None:
        self._similarity = Similarity(settings)

    def score(self, arrays: Any, user: Shopper, scores: Array, touched: Array) -> Said:
        """Add the segment's own counts."""
        if not len(user.segment) or user.segment[0] < 0:
            return Said(0, 0.0)
        lists, said = self._similarity.said(arrays, user.segment, alone=True)
        count = add(lists, user.segment, said, scores, touched)
        return Said(count, sum_of(scores, touched, count))
