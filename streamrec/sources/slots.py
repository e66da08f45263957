"""Where rows stand among some rows, by a work array over all items."""

from numba import njit


@njit(cache=True, nogil=True)
def note_slots(rows, where):  # type: ignore[no-untyped-def]
    """Set where[rows[r]] = r in int32[items]; what it holds elsewhere does not matter."""
    for r in range(len(rows)):
        where[rows[r]] = r


@njit(cache=True, nogil=True)
def slot_of(j, rows, where):  # type: ignore[no-untyped-def]
    """Return r of rows[r] = j, or -1, after note_slots."""
    if j < 0:
        return -1
    r = where[j]
    return r if r < len(rows) and rows[r] == j else -1
