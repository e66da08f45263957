"""The role `learn` in threads of the test, on a real Kafka and a real Redis."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from prometheus_client import CollectorRegistry
from samples import sample

from streamrec.errors import StoreError
from streamrec.monitoring.metrics import Metrics
from streamrec.roles.learn import open_stages
from streamrec.roles.learning.oversee import oversee
from streamrec.roles.learning.stage import Stage
from streamrec.roles.warm import warm_up
from streamrec.settings.sections import Settings
from streamrec.transport.redis.store import Store


class Learning:
    """Both stages, running; `failed` is what ended one of them."""

    def __init__(self, settings: Settings) -> None:
        _compile()
        self.settings = settings
        self.metrics = Metrics(CollectorRegistry())
        self.stages: list[Stage] = open_stages(settings, self.metrics)
        self.store = Store(settings.redis)
        self.stop = threading.Event()
        self._threads = [
            threading.Thread(target=stage.run, args=(self.stop,), daemon=True)
            for stage in self.stages
        ]
        overseen = (self.stages, settings, self.stop)
        self._threads.append(threading.Thread(target=oversee, args=overseen, daemon=True))
        for thread in self._threads:
            thread.start()

    @property
    def failed(self) -> BaseException | None:
        return next((stage.failed for stage in self.stages if stage.failed), None)

    def offset(self, shard: str) -> int:
        """Return where a shard stands in Redis; -1 before its first commit or without an answer."""
        try:
            return int(self.store.meta(shard).get(b"offset", -1))
        except StoreError:
            return -1

    def until(self, happened: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until it happened; a stage that ended is an error."""
        deadline = time.monotonic() + seconds
        while not happened():
            if self.failed:
                raise self.failed
            assert time.monotonic() < deadline, f"not within {seconds} s"
            time.sleep(0.02)

    def fails(self, seconds: float = 60.0) -> BaseException:
        """Wait until a stage has ended, and return why."""
        assert self.stop.wait(seconds), f"no stage ended within {seconds} s"
        assert self.failed is not None
        return self.failed

    def value(self, name: str, **labels: str) -> float:
        """Return one sample of a metric, 0 where there is none."""
        return sample(self.metrics.registry, name, labels)

    def close(self) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join(20)
        self.store.close()


@cache
def _compile() -> None:
    """Compile the kernels once, as `learn` does before it begins."""
    warm_up(Settings())


@contextmanager
def learning(settings: Settings) -> Iterator[Learning]:
    """Run `learn` until the block ends."""
    running = Learning(settings)
    try:
        yield running
    finally:
        running.close()
