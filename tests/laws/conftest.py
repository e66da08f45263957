"""The fixture `make_spine`: both stages over a Kafka of lists and the session's Redis."""

from collections.abc import Callable, Iterator

import pytest
from laws.spine import Spine
from servers import RedisServer

from streamrec.settings.sections import Settings


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
