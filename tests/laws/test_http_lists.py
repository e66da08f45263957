"""Lists over HTTP while Redis answers, is silent, or is a Cluster with a frozen node."""

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator, Sequence

import httpx
import redis
from laws.redis_door import Door
from laws.redis_kinds import Cluster, redis_cluster
from needs import needs_server
from redis.crc import key_slot
from servers import RedisServer
from waiting import wait_until

from streamrec.http.made_now import MadeNow
from streamrec.http.readers import Readers, redis_of
from streamrec.http.routes import application
from streamrec.http.sender import Sender
from streamrec.monitoring.metrics import Metrics
from streamrec.settings.sections import RedisSettings, Settings
from streamrec.settings.serve import ServeSettings

USERS = [f"u{n}" for n in range(60)]
SILENT_SECONDS = 120.0
"""Other commands wait so long for Redis."""


def settings(url: str, *, cluster: bool = False) -> Settings:
    """Return settings under which a request waits 5 s at most."""
    redis = RedisSettings(url=url, cluster=cluster, timeout_seconds=SILENT_SECONDS)
    return Settings(redis=redis, serve=ServeSettings(read_seconds=5.0))


def fill(client: "redis.Redis | redis.RedisCluster") -> None:
    """Publish a list for each user, with one item that is named after the user."""
    for user in (*USERS, "~popular"):
        entry = {"item": f"of {user}", "score": 1.0}
        published = {"user": user, "at": 5, "model": "m", "offset": 1, "items": [entry]}
        client.set(f"rec:{user}", json.dumps(published))


class Shop:
    """Asks for the lists of users, all at once."""

    def __init__(self, settings: Settings) -> None:
        self._sender = Sender(settings)
        readers = Readers(redis_of(settings))
        self._app = application(settings, readers, self._sender, Metrics(), MadeNow(settings))
        self._loop = asyncio.new_event_loop()

    def ask(self, users: Sequence[str]) -> tuple[list[httpx.Response], float]:
        """Return the answers, and how long the slowest took."""
        return self._loop.run_until_complete(self._ask(users))

    async def _ask(self, users: Sequence[str]) -> tuple[list[httpx.Response], float]:
        began = time.monotonic()
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            asked = (client.get(f"/v1/users/{user}/lists/home") for user in users)
            return await asyncio.gather(*asked), time.monotonic() - began

    def until_all_are_served(self, seconds: float) -> None:
        wait_until(lambda: {answer.status_code for answer in self.ask(USERS)[0]} == {200}, seconds)

    def close(self) -> None:
        self._sender.close()
        self._loop.close()


@contextlib.contextmanager
def shop(settings: Settings) -> Iterator[Shop]:
    found = Shop(settings)
    try:
        yield found
    finally:
        found.close()


def item_of(answer: httpx.Response) -> str:
    [entry] = answer.json()["items"]
    return str(entry["item"])


def test_who_asks_together_gets_their_own(clean_redis: RedisServer) -> None:
    fill(clean_redis.client())
    clean_redis.client().set("rec:broken", b"{")
    asked = [*USERS, "broken", "nobody", *USERS]
    with shop(settings(clean_redis.url)) as asking:
        for _ in range(3):
            answers, _ = asking.ask(asked)
            for user, answer in zip(asked, answers, strict=True):
                if user == "broken":
                    assert answer.status_code == 500
                else:
                    assert answer.json()["user"] == user
                    assert item_of(answer) == f"of {'~popular' if user == 'nobody' else user}"


def test_a_silent_redis_is_said_in_time_and_found_again(clean_redis: RedisServer) -> None:
    fill(clean_redis.client())
    door = Door(int(clean_redis.url.rpartition(":")[2].partition("/")[0]))
    port = door.to
    with shop(settings(door.url)) as asking:
        asking.until_all_are_served(60)
        door.to = b""
        clean_redis.client().client_kill_filter(_type="normal", skipme=True)
        for _ in range(3):
            answers, seconds = asking.ask(USERS)
            assert {answer.status_code for answer in answers} == {503}
            assert all(answer.headers["retry-after"] for answer in answers)
            assert seconds < SILENT_SECONDS / 2
        door.to = port
        asking.until_all_are_served(60)
    door.close()


def test_a_frozen_node_of_a_cluster_is_no_hang() -> None:
    """No answer and no reset; nothing takes its place here, so that its users get 503."""
    with contextlib.ExitStack() as stack:
        cluster: Cluster = needs_server(lambda: stack.enter_context(redis_cluster()))
        fill(redis.RedisCluster.from_url(cluster.url))
        asking = stack.enter_context(shop(settings(cluster.url, cluster=True)))
        asking.until_all_are_served(60)
        victim = cluster.nodes[2].pid
        assert victim is not None
        os.kill(victim, signal.SIGSTOP)
        try:
            for _ in range(3):
                answers, seconds = asking.ask(USERS)
                assert seconds < SILENT_SECONDS / 2
                found = {u: a.status_code for u, a in zip(USERS, answers, strict=True)}
                assert {s for u, s in found.items() if node_of(u) == 2} == {503}
                assert {s for u, s in found.items() if node_of(u) != 2} == {200}
        finally:
            os.kill(victim, signal.SIGCONT)
        asking.until_all_are_served(20)


def node_of(user: str) -> int:
    return key_slot(f"rec:{user}".encode()) * 3 // 16_384
