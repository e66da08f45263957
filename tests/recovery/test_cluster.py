"""On a Redis Cluster of three nodes, with a shard's keys in one slot, kills change nothing."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest
import redis
from recovery.drive import kill_at_random
from recovery.installation import Site
from waiting import wait_until

from streamrec.local.child import ChildProcess, accepts, free_port
from streamrec.local.servers import _redis_binary
from streamrec.settings.sections import KafkaSettings

NODES, SLOTS = 3, 16_384


@pytest.fixture
def cluster() -> Iterator[list[redis.Redis]]:
    """Yield clients of the nodes of a cluster."""
    with ExitStack() as servers:
        nodes = [servers.enter_context(_node()) for _ in range(NODES)]
        for number, node in enumerate(nodes):
            first, end = SLOTS * number // NODES, SLOTS * (number + 1) // NODES
            node.execute_command("CLUSTER ADDSLOTSRANGE", first, end - 1)
            port = node.connection_pool.connection_kwargs["port"]
            bus = node.config_get("cluster-port")["cluster-port"]
            nodes[0].execute_command("CLUSTER MEET", "127.0.0.1", port, bus)
        wait_until(lambda: all(map(_is_ready, nodes)), 20, "the cluster is ready")
        yield nodes


def test_kills_on_a_redis_cluster(
    compiled: None, topics: KafkaSettings, cluster: list[redis.Redis], tmp_path: Path
) -> None:
    kafka = msgspec.structs.replace(topics, session_timeout_seconds=1.5)
    port = cluster[0].connection_pool.connection_kwargs["port"]
    site = Site(kafka, f"redis://127.0.0.1:{port}", tmp_path, cluster=True)
    with site.fleet:
        learners = [site.fleet.add("learn"), site.fleet.add("learn")]
        site.fleet.add("score")
        feeder = site.feed(2_000, 300)
        site.warm()
        kill_at_random(site.fleet, learners, 3, 2_000, site.learnt, site.random)
        site.check(feeder.finish())
    assert all(node.dbsize() > 0 for node in cluster)


@contextmanager
def _node() -> Iterator[redis.Redis]:
    """Yield a client of one node on free ports, which ends with the block."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="streamrec-cluster-") as folder:
        settings = {
            "--port": port,
            "--cluster-port": free_port(),
            "--bind": "127.0.0.1",
            "--dir": folder,
            "--cluster-enabled": "yes",
            "--save": "",
            "--appendonly": "yes",
        }
        command = [_redis_binary(), *(str(word) for pair in settings.items() for word in pair)]
        server = ChildProcess(command, lambda: accepts(port))
        server.start()
        try:
            yield redis.Redis(port=port)
        finally:
            server.kill()


def _is_ready(node: redis.Redis) -> bool:
    state = node.execute_command("CLUSTER INFO")
    return state["cluster_state"] == "ok" and int(state["cluster_known_nodes"]) == NODES
