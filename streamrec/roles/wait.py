"""What `score` and `train` wait for before they can do anything."""

import logging
import threading

from streamrec.transport.redis_keys import Shards
from streamrec.transport.redis_store import Store

logger = logging.getLogger(__name__)


def wait_for_shards(store: Store, stop: threading.Event) -> Shards | None:
    """Return how the state is partitioned, once a learn process has said so."""
    waited = 0
    while not stop.is_set():
        shards = store.shards()
        if shards is not None:
            return shards
        if waited % 50 == 0:
            logger.info("waiting for a learn process to declare the shards in Redis")
        waited += 1
        stop.wait(0.1)
    return None
