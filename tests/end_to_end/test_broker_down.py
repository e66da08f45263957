"""No broker, or one that says nothing: one sentence of ours, and a role ends when it is told to."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from servers import RedisServer

from streamrec.local.child import free_port

COMMANDS = [
    "learn",
    "topics check",
    "topics create --partitions 1",
    "send u1 i1",
    "replay events.parquet",
    "items load items.parquet",
]
RUN = """
import sys
from streamrec.transport.kafka import client_settings  # before who takes them from it
client_settings.CONNECT_SECONDS, client_settings.DELIVERY_SECONDS = {connect}, {delivery}
from streamrec.roles import leave
leave.LEAVE_SECONDS = 1000.0
from streamrec.cli import main
for words in {commands!r}:
    sys.argv = ["streamrec", *words.split()]
    try:
        main()
    except SystemExit as end:
        print("===", words, end.code, file=sys.stderr, flush=True)
"""


def environment(address: str, redis: RedisServer, **more: str) -> dict[str, str]:
    own = {name: v for name, v in os.environ.items() if not name.startswith("STREAMREC_")}
    return own | {"STREAMREC_KAFKA": address, "STREAMREC_REDIS": redis.url, **more}


@pytest.mark.timeout(600)  # it may be the first to compile
@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_only_our_own_sentence_says_that_there_is_no_broker(
    client: str, clean_redis: RedisServer, tmp_path: Path
) -> None:
    """At level info; the client's lines were 30 of them, errors, before ours."""
    table = pa.table({"user": ["u1"], "item": ["i1"], "ts": [1_700_000_000_000]})
    pq.write_table(table, tmp_path / "events.parquet")
    pq.write_table(pa.table({"item": ["i1"], "title": ["a"]}), tmp_path / "items.parquet")
    address = f"127.0.0.1:{free_port()}"
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(connect=2.0, delivery=4.0, commands=COMMANDS)],
        env=environment(address, clean_redis, STREAMREC_KAFKA_CLIENT=client),
        cwd=tmp_path, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    lines = done.stderr.splitlines()
    assert [line for line in lines if "===" in line] == [f"=== {c} 69" for c in COMMANDS]
    ours = (f"No Kafka broker answers at {address}", f"Kafka at {address} did not acknowledge")
    assert sum(map(done.stderr.count, ours)) == len(COMMANDS)
    theirs = [line for line in lines if " kafka." in line or "%3|" in line or "rdkafka" in line]
    assert theirs == [], theirs[:3]


@pytest.fixture
def silent() -> Iterator[str]:
    """Something that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as hole:
        yield f"127.0.0.1:{hole.getsockname()[1]}"


def test_serve_ends_while_a_client_waits_for_its_first_answer(
    silent: str, clean_redis: RedisServer
) -> None:
    """Its constructor may take minutes here: nobody waits for it."""
    port = free_port()
    ports = {"STREAMREC_SERVE_PORT": str(port), "STREAMREC_METRICS_PORT": str(free_port())}
    code = RUN.format(connect=500.0, delivery=30.0, commands=["serve"])
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment(silent, clean_redis, STREAMREC_SERVE_WRITE_SECONDS="2", **ports),
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        for line in process.stderr:
            if "ready" in line:
                break
        event = json.dumps({"user": "u1", "item": "i1", "type": "click"}).encode()
        asked = urllib.request.Request(f"http://127.0.0.1:{port}/v1/events", event)
        asked.add_header("Content-Type", "application/json")
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(asked, timeout=120)
        last = threading.Thread(target=_ask, args=(asked,))  # and one that waits at the end
        last.start()
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(120) == 0
        finally:
            process.kill()
        last.join()


def _ask(asked: urllib.request.Request) -> None:
    with suppress(OSError):
        urllib.request.urlopen(asked, timeout=120).close()
