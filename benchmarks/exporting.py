"""`streamrec lists export`, the whole command by the clock, of lists in a real Redis."""

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.figures import Sample
from benchmarks.servers import start_redis, version_of
from benchmarks.stored_lists import made_lists, store_lists
from streamrec.settings.sections import RedisSettings

DIFFERENT, ITEMS = 1_000, 5_000


class Exporting:
    """One Parquet file of all users' lists; 1,000 of the lists differ but for the user."""

    def __init__(self, users: int, repeats: int) -> None:
        self.repeats, self._users = repeats, users
        self._open = ExitStack()
        try:
            self._redis = start_redis(appendonly=False)
            self._open.callback(self._redis.stop)
            folder = self._open.enter_context(tempfile.TemporaryDirectory())
            self._out = Path(folder) / "lists.parquet"
            lists = made_lists(min(users, DIFFERENT), ITEMS)
            self._rows = sum(len(lists[n % len(lists)].items) for n in range(users))
            store_lists(RedisSettings(url=self._redis.url), lists, users, ITEMS)
        except BaseException:
            self.close()
            raise

    def once(self) -> Sample:
        """Return lists a second from the command's start to its end."""
        command = [sys.executable, "-m", "streamrec.cli", "--redis", self._redis.url]
        command += ["lists", "export", "--out", str(self._out)]
        start = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds = time.monotonic() - start
        told = f"{self._users:,} lists, {self._rows:,} rows, to "
        assert done.stdout.startswith(told), done.stdout
        return {
            "exported_lists_per_second": self._users / seconds,
            "exported_bytes_per_list": self._out.stat().st_size / self._users,
        }

    def notes(self) -> dict[str, object]:
        """Return what was exported."""
        return {"redis": version_of(self._redis), "lists": self._users, "rows": self._rows}

    def close(self) -> None:
        """End Redis, delete the file."""
        self._open.close()
