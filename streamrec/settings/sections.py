"""Settings: one Struct a section, one line under each field, read from TOML, environment and flags.

The generator of docs/configuration.md and deploy/streamrec.toml reads the lines under the fields.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from streamrec.errors import ConfigurationError
from streamrec.settings.logs import LoggingSettings
from streamrec.settings.mappings import FieldMapping, ItemMapping
from streamrec.settings.neural import NeuralSettings
from streamrec.settings.places import PlaceSettings
from streamrec.settings.security import SecuritySettings
from streamrec.settings.serve import ServeSettings
from streamrec.settings.text import TextSettings
from streamrec.settings.types import (
    Count,
    Length,
    Name,
    NonNegative,
    Positive,
    RedisUrl,
    Section,
    Share,
    Size,
    Topic,
)  # fmt: skip
from streamrec.sources.registry import SOURCES, all_sources


class KafkaSettings(Section, frozen=True, kw_only=True):
    """Where the log is and how to talk to it."""

    brokers: Name = "127.0.0.1:9092"
    """Bootstrap addresses, comma-separated host:port (STREAMREC_KAFKA)."""
    client: Literal["kafka-python", "confluent"] = "kafka-python"
    """kafka-python, or confluent (needs the extra `fast`; 5 times less CPU a message)."""
    events_topic: Topic = "streamrec.events"
    """Click events, keyed by user."""
    items_topic: Topic = "streamrec.items"
    """Item metadata, keyed by item, compacted."""
    updates_topic: Topic = "streamrec.updates"
    """Internal: what the user stage tells the owners of items."""
    dead_letters_topic: Topic = "streamrec.dead-letters"
    """Messages that could not be decoded or were refused, their first MiB, with the reason."""
    samples_topic: Topic = "streamrec.samples"
    """Internal: clicks on lists, which `train` learns from; without it nothing else suffers."""
    samples_hours: Positive = 168.0
    """How long `streamrec topics create` lets samples be kept: they are the trainer's memory."""
    group: Topic = "streamrec"
    """Prefix of the consumer group names."""
    session_timeout_seconds: Positive = 10.0
    """A learn process that is silent for this long loses its partitions to another."""
    fetch_wait_seconds: NonNegative = 0.05
    """The longest a broker holds a fetch that finds nothing new."""
    stuck_seconds: Positive = 60.0
    """A partition that has messages but delivers none for this long is fetched anew."""
    replication_factor: Size = 1
    """Replicas of each topic that `streamrec topics create` makes."""
    client_settings: dict[str, str] = {}
    """Passed to the client under librdkafka's names, e.g. "security.protocol" = "SASL_SSL"."""


class RedisSettings(Section, frozen=True, kw_only=True):
    """Where the state is."""

    url: RedisUrl = "redis://127.0.0.1:6379/0"
    """redis://, rediss:// (TLS), unix:// or redis+sentinel://host,host/NAME/0 (STREAMREC_REDIS)."""
    cluster: bool = False
    """True for Redis Cluster: the url names any one node."""
    timeout_seconds: Positive = 5.0
    """Longest wait for one reply."""


class EventSettings(Section, frozen=True, kw_only=True):
    """Which events are accepted, and what each type is worth."""

    weights: dict[str, float] = msgspec.field(
        default_factory=lambda: {
            "view": 0.3,
            "click": 1.0,
            "cart": 2.0,
            "purchase": 3.0,
            "like": 2.0,
            "rating": 1.0,
            "dislike": -1.0,
            "remove": 0.0,
            "impression": 0.0,
        }
    )
    """Accepted types: positive teaches, negative teaches against, 0 counts only; remove undoes."""
    default_type: str = ""
    """Type of an event that names none; empty: such an event is rejected."""
    mapping: FieldMapping = FieldMapping()
    """Where the fields are in the JSON, for topics that exist already."""
    duplicate_window: Count = 65_536
    """Latest event ids a partition remembers; an event whose (user, id) is in them is dropped."""
    max_ahead_seconds: NonNegative = 300.0
    """Events up to this far ahead of the log's time are set to it; further ahead is rejected."""
    max_age_days: NonNegative = 0.0
    """Events older than this against the log's time are rejected; 0: none, so that logs replay."""
    max_bytes: Size = 65_536
    """Longer messages are rejected whole."""
    flood_per_minute: NonNegative = 0.0
    """Events a minute of one user (by the log's time); the excess is suppressed; 0: no limit."""
    flood_burst: Size = 120
    """Events a user may send at once before flood_per_minute applies."""


class UserSettings(Section, frozen=True, kw_only=True):
    """Bounds of the rows kept for users."""

    recent_items: Length = 50
    """Distinct items kept in a user's history, newest last."""
    seen_items: Annotated[int, Meta(ge=0, le=60_000)] = 1000
    """Older items remembered only as seen, by a 32-bit hash."""
    max_users: Size = 1_000_000
    """Users a partition keeps in Redis; beyond, rows and lists of the longest idle are dropped."""
    cached_users: Size = 20_000
    """User rows a partition keeps in the memory of its worker."""
    newcomer_items: Annotated[int, Meta(ge=0, le=20)] = 3
    """Until they had so many other items, users teach others nothing of items that live of such."""
    newcomer_ratio: NonNegative = 2.0
    """An item lives of newcomers when it has over so many of their events for each of others'."""
    segment_users: Annotated[int, Meta(ge=1, le=20)] = 3
    """Users of a partition who must name a segment before it is one: 1 takes any name."""


class ItemSettings(Section, frozen=True, kw_only=True):
    """Bounds of the rows kept for items, and how fresh the copies of them are."""

    mapping: ItemMapping = ItemMapping()
    """Where the fields are in files of items."""
    max_items: Size = 100_000
    """Item rows a partition keeps; beyond, the least popular go."""
    feed_entries: Size = 500
    """Commits whose changed items are kept for readers; a reader further behind loads all rows."""
    refresh_seconds: NonNegative = 0.1
    """How often a worker brings its copy of the item table up to date."""
    similar_length: Annotated[int, Meta(ge=0, le=200)] = 12
    """Items of each part of `sim:<item>`, what follows an item and what is like it; 0: none."""
    similar_per_second: Positive = 20.0
    """Lists of items that are written, at most, by all scorers together."""


class BlendSettings(Section, frozen=True, kw_only=True):
    """How the sources' opinions become one list."""

    weights: dict[str, float] = msgspec.field(
        default_factory=lambda: {s.name: s.weight for s in SOURCES if s.weight}
    )
    """Weight of each source's log share; the learned blend starts from these."""
    kind: Literal["learned", "weighted", "cascade", "vote", "borda"] = "learned"
    """learned from clicks; weighted, as above; cascade, vote or borda, by the sources' ranks."""
    reorder: str = ""
    """Source by whose value a cascade orders what each source proposes; "": by their own ranks."""
    sample: Share = 0.25
    """Share of the published lists that the learned blend may learn from: of some 2 kB each."""
    event_weights: dict[str, float] = {}
    """Weight of each event type in the learned blend's loss, 1 if not named; 0: not learnt."""
    off: tuple[str, ...] = ()
    """Sources that take no part, whatever their weight."""
    pinned: tuple[str, ...] = ()
    """Sources whose weight above the learned blend does not change."""
    hidden: Annotated[int, Meta(ge=1, le=256)] = 32
    """Hidden units of the learned blend's network."""
    rate: Positive = 0.05
    """Adagrad step of the learned linear weights."""
    network_rate: NonNegative = 0.002
    """RMS-normalised step of the network; 0: linear only."""
    candidates: Annotated[int, Meta(ge=1, le=500)] = 50
    """Items each source proposes."""


class ListSettings(Section, frozen=True, kw_only=True):
    """The published lists."""

    length: Length = 20
    """Items in a list."""
    exclude: Literal["user", "session", "none"] = "user"
    """Left out: `user`, all the user has seen; `session`, what this session has seen; `none`."""
    session_seconds: Positive = 1800.0
    """A gap this long in a user's events starts a new session."""
    ttl_seconds: Size = 604_800
    """Redis forgets a list that was not renewed for this long."""
    filters: tuple[str, ...] = ()
    """What may be shown: expressions over item and user that must all hold (docs/filters.md)."""
    boosts: dict[str, float] = {}
    """Expression and what it adds to the score of an item for which it holds; 0.7 doubles."""
    diversity: Literal["none", "mmr", "dpp"] = "none"
    """Variety of a list: none, maximal marginal relevance, or a determinantal point process."""
    diversity_budget: Share = 0.02
    """Most of the expected NDCG that variety may cost."""
    rotation: NonNegative = 0.0
    """By how much an item sinks for each time it was shown in a row: times log(1 + times)."""
    because: Count = 2
    """Past items named as the reason of each item, at most."""
    due_batch: Size = 64
    """Users a scorer takes at once."""
    lease_seconds: Positive = 5.0
    """A user taken by a scorer that died is due again after this long."""


class BatchSettings(Section, frozen=True, kw_only=True):
    """How many events go into one commit."""

    max_events: Size = 2000
    """Most events in one commit: the bound on work lost by a crash."""
    linger_seconds: NonNegative = 0.005
    """Shortest pause between two turns of the user stage: trades freshness for fewer commits."""
    item_linger_seconds: NonNegative = 0.1
    """The same of the item stage, whose rows are larger and which no list waits for."""


class MetricsSettings(Section, frozen=True, kw_only=True):
    """The port with /metrics, /health/live and /health/ready."""

    host: Name = "127.0.0.1"
    """Address to listen on: this machine's own, unless you say another."""
    port: Annotated[int, Meta(ge=0, le=65_535)] = 9464
    """Port of learn; score has the next, then train, serve; a taken one: 10 further; 0: none."""


class CommonSettings(Section, frozen=True, kw_only=True):
    """All sections but those of the sources; what stands before them belongs to no section."""

    profile: Literal["general", "catalogue", "durable", "shop", "news"] = "general"
    """general, catalogue (films), durable (clothes), shop (groceries), news: defaults together."""
    extra_sources: tuple[str, ...] = ()
    """Sources from outside the package: `package.module:Class`, or an entry point's name."""
    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    events: EventSettings = EventSettings()
    users: UserSettings = UserSettings()
    items: ItemSettings = ItemSettings()
    text: TextSettings = TextSettings()
    blend: BlendSettings = BlendSettings()
    neural: NeuralSettings = NeuralSettings()
    lists: ListSettings = ListSettings()
    places: dict[str, PlaceSettings] = {}
    """Lists beside home, and what [lists] cannot say of home: [places.NAME] (docs/places.md)."""
    batches: BatchSettings = BatchSettings()
    serve: ServeSettings = ServeSettings()
    security: SecuritySettings = SecuritySettings()
    metrics: MetricsSettings = MetricsSettings()
    logging: LoggingSettings = LoggingSettings()


@lru_cache(maxsize=16)
def settings_type(extra: tuple[str, ...]) -> Any:
    """Return the type of the settings: the common sections, and one for each source that has any.

    Raises ConfigurationError when a source from outside cannot be loaded, or its section's name is
    taken.
    """
    sections = {s.section: s.Settings for s in all_sources(extra) if s.section}
    taken = set(CommonSettings.__struct_fields__) & set(sections)
    if taken:
        raise ConfigurationError(f"extra_sources: the section {taken.pop()} has another meaning")
    fields = [(name, section, section()) for name, section in sections.items()]
    return msgspec.defstruct(
        "Settings", fields, bases=(CommonSettings,), frozen=True, kw_only=True,
        module=__name__, namespace={"__doc__": CommonSettings.__doc__},
    )  # fmt: skip


if TYPE_CHECKING:

    class Settings(CommonSettings, frozen=True, kw_only=True):
        """All sections."""

        def __getattr__(self, name: str) -> Any:
            """Return the section of a source."""

else:
    Settings = settings_type(())  # by the same key as `load` asks, or it would be another type
