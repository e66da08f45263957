"""What the sources that speak of all items say, for a batch of users: of all, or of what passes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrec.ranking.passing import Passing
from streamrec.sources.source import Shopper, Source, having

Array = NDArray[Any]
Dense = tuple[Array, int]
"""(float32[ALL sources, users, items], number of the user), as `gather` wants it."""


def said_of_all(
    sources: Sequence[Source | None],
    arrays: Any,
    size: int,
    shoppers: Sequence[Shopper],
    passing: Sequence[Passing | None],
) -> list[Dense]:
    """Return for each user what sources say of `size` items; passing: by user, None for all.

    Each is asked once for all users who may be shown the same items. Of rows that do not pass, and
    by sources that are not asked (None), anything may be said.
    """
    alike: dict[int, list[int]] = {}
    for n, each in enumerate(passing):
        alike.setdefault(id(each) if each is not None and each.picked else 0, []).append(n)
    found: dict[int, Dense] = {}
    for group in alike.values():
        said = np.empty((len(sources), len(group), size), np.float32)
        people = [shoppers[n] for n in group]
        for source, out in zip(sources, said, strict=True):
            if source is not None:
                _ask(source, arrays, people, passing[group[0]], out)
        found.update((n, (said, number)) for number, n in enumerate(group))
    return [found[n] for n in range(len(shoppers))]


def _ask(
    source: Source, arrays: Any, people: Sequence[Shopper], passing: Passing | None, out: Array
) -> None:
    if passing is not None and passing.picked and having("score_rows", [source]):
        of_rows = np.empty((len(people), len(passing.rows)), np.float32)
        source.score_rows(arrays, people, passing.rows, of_rows)
        out[:, passing.rows] = of_rows
    else:
        source.score_all(arrays, people, out)
