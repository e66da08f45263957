"""A Redis Cluster for the laws of the store."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import redis
from servers import Unavailable

from streamrec.errors import StreamrecError
from streamrec.local import servers as embedded
from streamrec.local.child import ChildProcess, accepts, free_port

NODES = 3
SLOTS = 16_384
JOIN_SECONDS = 20.0


class Cluster(NamedTuple):
    """The address of one node; all nodes, and their ports."""

    url: str
    ports: list[int]
    nodes: list[ChildProcess]


@contextmanager
def redis_cluster() -> Iterator[Cluster]:
    """Run three primaries that share the slots. Raises Unavailable."""
    folders = [tempfile.mkdtemp(prefix="streamrec-cluster-") for _ in range(NODES)]
    ports = [free_port() for _ in range(2 * NODES)]
    nodes: list[ChildProcess] = []
    try:
        for n, folder in enumerate(folders):
            command = [embedded._redis_binary(), "--port", str(ports[n]), "--bind", "127.0.0.1"]
            command += ["--cluster-enabled", "yes", "--cluster-port", str(ports[NODES + n])]
            command += ["--dir", folder, "--save", "", "--appendonly", "no"]
            nodes.append(ChildProcess(command, lambda port=ports[n]: accepts(port)))  # type: ignore[misc]
            nodes[-1].start()
        _join(ports)
        yield Cluster(f"redis://127.0.0.1:{ports[0]}", ports[:NODES], nodes)
    except (StreamrecError, redis.RedisError) as reason:
        raise Unavailable(f"no Redis Cluster here: {reason}") from None
    finally:
        for node in nodes:
            node.stop()
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def _join(ports: list[int]) -> None:
    """Share out the slots and introduce the nodes; wait until all of them agree."""
    clients = [redis.Redis(port=port) for port in ports[:NODES]]
    cuts = [SLOTS * n // NODES for n in range(NODES + 1)]
    for n, client in enumerate(clients):
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", cuts[n], cuts[n + 1] - 1)
        client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
    for n in range(1, NODES):
        clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", ports[n], ports[NODES + n])
    deadline = time.monotonic() + JOIN_SECONDS
    signs = (b"cluster_state:ok", b"cluster_slots_ok:16384", b"cluster_known_nodes:3")
    while True:
        states = [client.execute_command("CLUSTER", "INFO") for client in clients]
        if all(sign in state for state in states for sign in signs):
            break
        if time.monotonic() > deadline:
            raise Unavailable(f"the cluster did not come together: {states}")
        time.sleep(0.05)
    for client in clients:
        client.close()
