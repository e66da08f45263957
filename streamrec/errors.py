"""Every error streamrec raises on purpose: one short tree, each with its exit code."""


class StreamrecError(Exception):
    """Base of the tree; its text names the cause and the next step."""

    exit_code = 1


class ConfigurationError(StreamrecError):
    """A setting is unknown, missing or out of range."""

    exit_code = 78


class Overtaken(ConfigurationError):
    """Another process has gone on with what this one was at, and this one stops."""


class RowsRefused(StreamrecError):
    """More rows of a file are refused than may be left out."""

    exit_code = 65


class LogError(StreamrecError):
    """The Kafka log cannot be used as asked."""

    exit_code = 69


class BrokerUnavailable(LogError):
    """No broker answers at the configured address."""


class DeliveryFailed(LogError):
    """A produced message was not acknowledged; nothing after it may be committed."""


class WriteRefused(DeliveryFailed):
    """Kafka takes no message of ours for a topic: no right to it, or it is read only."""

    def __init__(self, topic: str, text: str) -> None:
        self.topic = topic
        super().__init__(text)


class MessageRefused(LogError):
    """Kafka will never take a message, e.g. because it is too large: sending it again is no use."""


class OffsetGone(LogError):
    """Kafka no longer has the offset that the state stands at; skipping would lose events."""

    exit_code = 65


class WrongTopic(LogError):
    """A topic is missing or has settings that streamrec cannot work with."""

    exit_code = 78


class GapError(LogError):
    """An update record starts after the receiver's high-water mark: one before it is missing."""

    exit_code = 65


class RankGone(StreamrecError):
    """Of several processes that train one network another has ended, or does not answer."""

    exit_code = 69


class StoreError(StreamrecError):
    """Redis cannot be used as asked."""

    exit_code = 69


class CommandRefused(StoreError):
    """Redis answered, and refused one command: a key of another type, no right, no memory."""


class CommitConflict(StoreError):
    """Another worker moved the shard's offset: drop what is cached, start over from Redis."""


class DamagedState(StreamrecError):
    """A state is not whole, in Redis or in a file: what is missing cannot be told."""

    exit_code = 65


class UnknownVersion(StreamrecError):
    """Stored bytes carry a version that this code does not read."""

    exit_code = 65


class RefusedVersion(StreamrecError):
    """A version of the neural ranker is damaged, or made for something else."""

    exit_code = 65


class FoldFailed(StreamrecError):
    """A batch made the fold raise; its messages are tried again one by one."""


class NotForgotten(StreamrecError):
    """A user is not gone everywhere in time; the message stays in the log and is still applied."""

    exit_code = 75


class NotLearnt(StreamrecError):
    """What was sent before is not learnt in time; what Redis holds is not what was sent."""

    exit_code = 75


class ChildFailed(StreamrecError):
    """A process that we started did not get ready, or ended; the text has its last lines."""

    exit_code = 70
