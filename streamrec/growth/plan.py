"""How many partitions there are to be, and which steps of that are done."""

from math import gcd

import msgspec

COPY, CREATE, SWITCH = "copy", "create", "switch"
"""Steps: rows are written beside the old ones; partitions are made; each shard takes its rows."""


class Plan(msgspec.Struct):
    """The target, as it is kept until it is reached; `step` is the one to do."""

    events: int
    updates: int
    items: int
    epoch: str  # of the state afterwards
    growth: int  # its number
    despite_keys: bool = False  # rows and messages may lie where no user id puts them
    step: str = COPY
    owner: str = ""  # which process is at it: the one that began it, or went on with it last

    @property
    def targets(self) -> tuple[int, int, int]:
        """Partitions of events, updates and items."""
        return self.events, self.updates, self.items

    @property
    def command(self) -> str:
        """What goes on with it."""
        counts = f"--events {self.events} --updates {self.updates} --items {self.items}"
        return f"streamrec grow {counts}{' --despite-keys' if self.despite_keys else ''}"


def feeders(number: int, before: int, after: int) -> list[int]:
    """Return the former partitions from which keys can come to partition `number`."""
    step = gcd(before, after)
    return [former for former in range(before) if (former - number) % step == 0]


def heirs(former: int, before: int, after: int) -> list[int]:
    """Return the partitions to which keys of a former one can go; the inverse of feeders."""
    step = gcd(before, after)
    return [number for number in range(after) if (former - number) % step == 0]
