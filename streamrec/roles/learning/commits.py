"""The one act by which both stages of `learn` store a shard, and the offset that it rests on."""

from collections.abc import Iterable

from streamrec.errors import CommitConflict, StoreError, StreamrecError
from streamrec.monitoring.metrics import Metrics
from streamrec.transport.redis.keys import Commit
from streamrec.transport.redis.store import Store


class Commits:
    """Knows where the shards of a stage stand in Redis; each is stored only if it still does.

    Bound: an offset for each shard that this process ever had.
    """

    def __init__(self, stage: str, store: Store, metrics: Metrics) -> None:
        self._stage, self._store, self._metrics = stage, store, metrics
        self._stored: dict[str, int | None] = {}  # None: nothing is stored yet

    def restored(self, shard: str) -> dict[bytes, bytes]:
        """Return a shard's meta fields, empty where none are stored: from there it goes on.

        Raises StoreError and DamagedState.
        """
        meta = self._store.meta(shard)
        self._stored[shard] = int(meta[b"offset"]) if meta else None
        return meta

    def expected(self, shard: str) -> int | None:
        """Return the offset that Redis has of a shard, unless another worker was there since."""
        return self._stored[shard]

    def overtaken(self, shards: Iterable[str]) -> dict[str, StoreError]:
        """Return the shards that do not stand where they are expected, or do not answer."""
        wrong = self._store.wrong_offsets({shard: self._stored[shard] for shard in shards})
        conflicts = sum(isinstance(error, CommitConflict) for error in wrong.values())
        self._metrics.commits.labels(self._stage, "conflict").inc(conflicts)
        return wrong

    def commit(self, commit: Commit, offset: int) -> None:
        """Store rows and offset together; from then on the shard is expected at `offset`.

        Raises CommitConflict, and StoreError where it is open whether it is stored: the shard has
        to be restored then.
        """
        try:
            with self._metrics.commit_seconds.labels(self._stage).time():
                self._store.commit(commit)
        except StreamrecError as error:
            result = "conflict" if isinstance(error, CommitConflict) else "failed"
            self._metrics.commits.labels(self._stage, result).inc()
            raise
        self._stored[commit.shard] = offset
        self._metrics.commits.labels(self._stage, "ok").inc()
        self._metrics.last_commit_timestamp_seconds.labels(self._stage).set_to_current_time()
