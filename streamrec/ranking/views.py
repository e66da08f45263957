"""What the ranking kernels see: the catalogue, one user, the rules, and work arrays."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.settings.sections import Settings
from streamrec.sources.registry import (
    CONTENT,
    COSINE,
    REPEATS,
    SEGMENT,
    SIMILARITY,
    SOURCES,
    SUCCESSORS,
)

Array = NDArray[Any]
SPARSE = (SIMILARITY, COSINE, SUCCESSORS, REPEATS, SEGMENT)
"""Sources that say something of few items: their scores lie in Scratch."""


class Scratch(NamedTuple):
    """Dense work arrays, one entry an item; all zero between users."""

    scores: Array  # float64[sparse sources, items]
    touched: Array  # int32[sparse sources, ...]
    marks: Array  # uint8[items]: bit 0 excluded or seen, bit 1 candidate
    where: Array  # int32[items]: a candidate's number; old numbers stay


class Catalogue(NamedTuple):
    """What is the same for all users until the table changes."""

    shorts: Array  # uint32[slots], short_rows int32[slots]: rows by the 32-bit hash of the item
    short_rows: Array
    popular: Array  # int32[3, most]: rows by falling share, available ones only
    log2_totals: Array  # float64[3]
    servable: Array  # bool[items]
    servable_count: int
    now: int  # newest event time, ms


class Shopper(NamedTuple):
    """One user, items as table rows."""

    history: Array  # int32[n], newest first
    takes: Array  # uint8[n]
    in_session: Array  # bool[n]
    excluded: Array  # int32[m]
    seen: Array  # uint32[s]
    logits: Array  # float32[items], or empty without history
    contents: Array  # float32[items], or empty
    segment: Array  # int32[0 or 1]: row of the user's segment


class Rules(NamedTuple):
    """Settings the kernel needs."""

    window: int
    ring: int
    context: int
    decay: float
    prior: float
    reverse: float
    most: int  # candidates of each source
    active: Array  # bool[M]


@njit(cache=True, nogil=True)
def sparse(m):  # type: ignore[no-untyped-def]
    """Return the place of source m in Scratch, or -1."""
    for s in range(len(SPARSE)):
        if SPARSE[s] == m:
            return s
    return -1


NO_SEGMENT = np.zeros(0, np.int32)


def rules_of(settings: Settings, weights: NDArray[np.float32]) -> Rules:
    """Return the kernel's rules; fixed blends ask only sources of weight, and who reorders."""
    active = np.ones(len(SOURCES), np.bool_)
    active[COSINE] = settings.cosine.neighbours > 0
    active[SUCCESSORS] = settings.successors.entries > 0
    active[CONTENT] = settings.content.size > 0
    active[REPEATS] = settings.lists.exclude == "none"
    if settings.blend.kind != "learned":
        finer = settings.blend.reorder if settings.blend.kind == "cascade" else ""
        active &= (weights != 0.0) | [s == finer for s in SOURCES]
    active[[s in settings.blend.off for s in SOURCES]] = False
    similarity = settings.similarity
    return Rules(
        similarity.window,
        settings.successors.window,
        settings.factors.context,
        settings.factors.context_decay,
        similarity.prior,
        similarity.reverse_weight,
        settings.blend.candidates,
        active,
    )


def new_scratch(items: int, width: int) -> Scratch:
    """Return work arrays for so many items, and so many entries of lists."""
    return Scratch(
        np.zeros((len(SPARSE), items)),
        np.zeros((len(SPARSE), width + 1), np.int32),
        np.zeros(items, np.uint8),
        np.zeros(items, np.int32),
    )
