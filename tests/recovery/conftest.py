"""The fixture `site`: topics, an empty Redis, a configuration file and a fleet, for one test."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from recovery.installation import Site
from servers import RedisServer

from streamrec.roles.warm import warm_up
from streamrec.settings.sections import KafkaSettings, Settings


@pytest.fixture(scope="session")
def compiled() -> None:
    """Compile the kernels once, as a first start of a fresh checkout does: that takes a while."""
    warm_up(Settings())


@pytest.fixture
def site(
    compiled: None, topics: KafkaSettings, clean_redis: RedisServer, tmp_path: Path
) -> Iterator[Site]:
    """Yield an installation with no process started."""
    short = msgspec.structs.replace(topics, session_timeout_seconds=1.5)
    site = Site(short, clean_redis.url, tmp_path)
    with site.fleet:
        yield site
