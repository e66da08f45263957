"""Since when messages of a partition wait to be learnt."""

from streamrec.transport.kafka_log import Partition


class Waiting:
    """Bounds how long the oldest unlearnt message of each partition has waited.

    It came after the last learnt one was logged, and after the partition was last seen learnt to
    its end: the later of the two is the earliest that it can have come. So what is told is never
    too short, and does not grow while messages flow. Where neither is known, as at a start, it
    counts from the first look. Times are epoch seconds; holds an entry for each owned partition.
    """

    def __init__(self) -> None:
        self._logged: dict[Partition, float] = {}  # log's time of the last message learnt
        self._at_end: dict[Partition, float] = {}  # when it was last seen learnt to its end
        self._behind: dict[Partition, float] = {}  # since the first look that found it behind

    def learnt(self, partition: Partition, log_time_ms: int) -> None:
        """Note the log's time of the last message learnt; -1: it has none."""
        if log_time_ms >= 0:
            self._logged[partition] = log_time_ms / 1000.0

    def seen(self, partition: Partition, behind: bool, now: float) -> None:
        """Note whether a partition has messages that are not learnt yet."""
        if behind:
            self._behind.setdefault(partition, now)
        else:
            self._behind.pop(partition, None)
            self._at_end[partition] = now

    def forget(self, partition: Partition) -> None:
        """Drop a partition that was revoked."""
        for known in (self._logged, self._at_end, self._behind):
            known.pop(partition, None)

    def oldest_seconds(self, topic: str, now: float) -> float:
        """Return how long the longest waiting message has waited at most, 0 when all is learnt."""
        since = [self._since(*one) for one in tuple(self._behind.items()) if one[0].topic == topic]
        return max(0.0, now - min(since)) if since else 0.0

    def _since(self, partition: Partition, first_look: float) -> float:
        known = self._logged.get(partition), self._at_end.get(partition)
        return max((at for at in known if at is not None), default=first_look)
