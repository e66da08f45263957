"""What more filters do to a user's list."""

from collections.abc import Sequence
from typing import NamedTuple

from streamrec.inspection.lists_now import StateReader, list_of


class Filtered(NamedTuple):
    """A list made now without the filters, and under them; items by id, the first first."""

    before: list[str]
    after: list[str]
    removed: list[str]  # of those before: for which a filter does not hold
    passing: int  # items that may be listed and for which all filters hold
    of: int  # items that may be listed without them


def filtered_from(state: StateReader, user: str, filters: Sequence[str]) -> Filtered:
    """Return what the filters do to the list of a user, as the state is now."""
    now = state.now(user, filters)
    lists, table, shopper = now.lists, now.table, now.shopper
    if not lists.ready:
        return Filtered([], [], [], 0, 0)
    usual = now._replace(rules=lists.rules)
    before, after = ([item.item for item in list_of(each)[0]] for each in (usual, now))
    own, more = (lists.passing(shopper, table, each.rules) for each in (usual, now))
    of = lists.servable if own is None else own.size
    if more is None:
        return Filtered(before, after, [], of, of)
    removed = [name for name in before if not more.allowed[table.row_of[name]]]
    return Filtered(before, after, removed, more.size, of)
