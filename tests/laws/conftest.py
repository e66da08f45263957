"""Fixtures: `client`, each Kafka client; `make_spine`, both stages over a Kafka of lists."""

from collections.abc import Callable, Iterator

import pytest
from laws.members import CLIENTS
from laws.spine import Spine
from needs import needs
from servers import RedisServer

from streamrec.settings.sections import Settings


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
