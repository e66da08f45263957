"""Sessions that a log names: they say which events are scored where lists leave out a session."""


class NamedSessions:
    """What each user took in the session they are in, by the log."""

    def __init__(self) -> None:
        self._latest: dict[int, int] = {}  # user -> session
        self._taken: dict[int, set[int]] = {}  # user -> items taken in it

    def continues(self, user: int, item: int, session: int, weight: float) -> bool:
        """Take in the user's next event; say if its session has earlier ones, none on the item."""
        if self._latest.get(user) != session:
            self._latest[user], self._taken[user] = session, set()
        taken = self._taken[user]
        found = bool(taken) and item not in taken
        if weight > 0.0:
            taken.add(item)
        return found
