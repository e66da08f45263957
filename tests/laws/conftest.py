"""Fixtures: `client`, each Kafka client; `make_spine`, both stages over a Kafka of lists; `place`,
each kind of Redis."""

import contextlib
from collections.abc import Callable, Iterator

import pytest
from laws.members import CLIENTS
from laws.redis_kinds import Cluster, redis_cluster
from laws.spine import Spine
from needs import needs, needs_server
from redis.cluster import RedisCluster
from servers import RedisServer

from streamrec.settings.sections import RedisSettings, Settings


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    if request.param == "confluent":
        needs("confluent_kafka")
    return str(request.param)


@pytest.fixture
def make_spine(clean_redis: RedisServer) -> Iterator[Callable[[Settings, int], Spine]]:
    """Make any number of them on the same Redis; all are closed after the test."""
    made: list[Spine] = []

    def make_one(settings: Settings, parts: int = 2) -> Spine:
        made.append(Spine(settings, clean_redis.url, parts))
        return made[-1]

    yield make_one
    for spine in made:
        spine.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A real Redis Cluster."""
    with contextlib.ExitStack() as stack:
        yield needs_server(lambda: stack.enter_context(redis_cluster()))


@pytest.fixture(params=["server", "resp3", "cluster"])
def place(request: pytest.FixtureRequest) -> RedisSettings:
    """An empty Redis: one server by either protocol, and a Cluster of three."""
    if request.param == "cluster":
        settings = RedisSettings(url=request.getfixturevalue("cluster").url, cluster=True)
        RedisCluster.from_url(settings.url).flushall()
        return settings
    url = request.getfixturevalue("clean_redis").url
    return RedisSettings(url=f"{url}?protocol=3" if request.param == "resp3" else url)
