"""The messages by which visitors' rows move between user shards, and what is when Kafka takes none.

The topic of events is the sites'; that `learn` may write to it too is easily forgotten. A message
that needs it is then a dead letter: it must not stop its partition.
"""

import logging

from streamrec.errors import WriteRefused
from streamrec.events.event import Message, Rejected
from streamrec.events.merging import Ask, Merge
from streamrec.settings.sections import Settings
from streamrec.state.moves import Moves, addressed
from streamrec.state.user_fold import Decoded
from streamrec.transport.kafka.log import Log

logger = logging.getLogger(__name__)
REFUSED_SECONDS = 60.0
"""For so long nothing is sent after a message was refused: then the right may be there."""


class Moving:
    """Sends what shards say to each other, as long as Kafka takes it."""

    def __init__(self, settings: Settings, log: Log, partitions: int) -> None:
        """partitions: of the topic of events."""
        self._topic = settings.kafka.events_topic
        self._mapping = settings.events.mapping
        self._log = log
        self._partitions = partitions
        self._refused_until = 0.0

    def checked(self, decoded: list[Decoded], now: float) -> list[Decoded]:
        """Return a batch in which what cannot be carried out is rejected; now: monotonic."""
        if not any(isinstance(what, Merge | Ask) for _, _, what in decoded):
            return decoded
        return [(offset, time, self._why_not(what, now) or what) for offset, time, what in decoded]

    def send(self, moves: Moves) -> None:
        """Queue the messages that the moves of one batch are."""
        for number, key, value in addressed(moves, self._mapping, self._partitions):
            self._log.produce(self._topic, value, key=key, partition=number)

    def refused(self, error: WriteRefused, now: float) -> None:
        """Note that Kafka took no message of a topic; now: monotonic."""
        if error.topic == self._topic:
            self._refused_until = now + REFUSED_SECONDS
            text = "no right Write on the topic of events: visitors cannot be merged with users"
            logger.error(text, extra={"topic": self._topic, "cause": str(error)})

    def _why_not(self, what: Message, now: float) -> Rejected | None:
        if not isinstance(what, Merge | Ask):
            return None
        if isinstance(what, Ask) and int(what.by[1:]) >= self._partitions:
            return Rejected("schema", f"{what.by} asks, and there are {self._partitions} shards")
        if now < self._refused_until:
            need = f"learn needs the right Write on {self._topic}, which Kafka refused"
            return Rejected("no_right", f"{need}; give it, then send the message again")
        return None
