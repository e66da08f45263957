"""Swaps the network that orders the lists, between two batches, when another one is named."""

import logging

from streamrec.errors import RefusedVersion, StoreError
from streamrec.monitoring.metrics import Metrics
from streamrec.neural.serve import Served
from streamrec.neural.version import unpack
from streamrec.ranking.lists import ListMaker
from streamrec.settings.sections import Settings
from streamrec.transport.redis.versions import Versions, decoded

logger = logging.getLogger(__name__)
LOOK_SECONDS = 1.0


class Swap:
    """Follows the pointer in Redis; a version that is refused leaves the one that serves."""

    def __init__(
        self,
        settings: Settings,
        state: str,
        versions: Versions,
        lists: ListMaker,
        metrics: Metrics,
    ) -> None:
        self.state = self.model = state
        self._on, self._shrinkage = settings.neural.on, settings.neural.shrinkage
        self._versions = versions
        self._lists = lists
        self._metrics = metrics
        self._looked_at = -LOOK_SECONDS
        self._pointer = b""
        self.number = 0
        metrics.model_info.labels(self.model).set(1)

    def look(self, now: float) -> None:
        """Take another version over if one is named, at most once a second."""
        if not self._on or now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        try:
            pointer = self._versions.pointer()
            if pointer != self._pointer:
                self._follow(pointer)
                self._pointer = pointer  # one that is refused is not tried again
        except StoreError as error:  # lists go on with what there is
            logger.warning("no news of the network", extra={"cause": str(error)})

    def _follow(self, pointer: bytes) -> None:
        wanted = self.number
        try:
            wanted = decoded(pointer).number
            if wanted != self.number:
                self._lists.network = self._load(wanted) if wanted else None
                self._metrics.model_info.remove(self.model)
                self.number = wanted
                self.model = f"{self.state}+n{wanted}" if wanted else self.state
                self._metrics.model_info.labels(self.model).set(1)
                logger.info("lists are ordered by another version", extra={"version": wanted})
        except RefusedVersion as error:
            self._metrics.neural.refused.inc()
            fields = {"version": wanted, "cause": str(error), "serving": self.number}
            logger.warning("a version is refused", extra=fields)
        self._metrics.neural.version.set(self.number)

    def _load(self, number: int) -> Served:
        version = unpack(self._versions.get(number), self._lists.reader.shape)
        return Served.of(version.arrays, self._shrinkage)
