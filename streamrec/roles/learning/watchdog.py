"""Finds partitions that have messages but deliver none."""

from streamrec.transport.kafka.log import Partition


class Watchdog:
    """Remembers since when each partition has stood still behind its high watermark.

    Feed it after every poll (`seen`), then seek what `stuck` returns anew, at its own position.
    A partition whose high watermark is not known may be one that is never fetched: it counts as
    waiting too. Holds one entry for each assigned partition.
    """

    def __init__(self, stuck_seconds: float) -> None:
        self._stuck_seconds = stuck_seconds
        self._waiting: dict[Partition, tuple[int, float]] = {}

    def seen(
        self, partition: Partition, position: int, high_watermark: int | None, now: float
    ) -> None:
        """Note where a partition stands; `now` is a monotonic clock's reading in seconds."""
        if high_watermark is not None and position >= high_watermark:
            self._waiting.pop(partition, None)
        elif self._waiting.get(partition, (None, 0.0))[0] != position:
            self._waiting[partition] = (position, now)

    def stuck(self, now: float) -> list[Partition]:
        """Return the partitions that waited too long; each gets the full time again."""
        found = [
            partition
            for partition, (_, since) in self._waiting.items()
            if now - since >= self._stuck_seconds
        ]
        for partition in found:
            self._waiting[partition] = (self._waiting[partition][0], now)
        return sorted(found)

    def forget(self, partition: Partition) -> None:
        """Drop a partition that was revoked."""
        self._waiting.pop(partition, None)
