"""The trainer is killed at random and learns nothing twice; versions are swapped under load."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import redis
from kafka import KafkaProducer
from needs import needs
from recovery.installation import PARTITIONS, Site
from servers import KafkaServer, RedisServer
from waiting import wait_until

from streamrec.neural.reading import Reader, Shape
from streamrec.neural.sample import FACT_STEP, PAIR_STEP, Sample
from streamrec.neural.version import Manifest, arrays_of, pack, unpack
from streamrec.settings.load import load
from streamrec.settings.sections import Settings
from streamrec.settings.text import resolved
from streamrec.sources.registry import sources_of
from streamrec.transport.redis.store import Store
from streamrec.transport.redis.versions import Versions

NEURAL = """
[neural]
candidates = 20
history = 4
units = 4
hidden = 8
refresh_samples = 400
scratch_every = 3
"""
SWAP_SECONDS = 5.0


def configured(site: Site) -> Settings:
    path = site.directory / "streamrec.toml"
    path.write_text(path.read_text() + NEURAL)
    return resolved(load(path, {}, {}))


def shape_of(settings: Settings) -> Shape:
    return Reader(settings, sources_of(settings)).shape


def sample(shape: Shape, rng: np.random.Generator) -> bytes:
    """Return a click on a list; what is clicked has more of the first channel than the others."""
    n, h = shape.candidates, shape.history
    pairs = rng.random((n, h, len(shape.channels))) * (rng.random((n, h, 1)) < 0.3)
    pairs[0, :, 0] += rng.random(h)
    made = int(time.time() * 1000)
    return Sample(
        keys=rng.integers(1, 2**60, n).astype("<u8"),
        past_keys=rng.integers(1, 2**60, h).astype("<u8"),
        blend=np.full(n, -np.log(n), "<f2"),
        ages=np.sort(rng.random(h)).astype("<f2"),
        facts=np.rint(rng.normal(0.0, 1.0, (n, shape.facts)).clip(-2, 2) * FACT_STEP).astype("i1"),
        pairs=np.rint(pairs.clip(0, 2) * PAIR_STEP).astype("i1"),
        type="click", weight=1.0, made_at=made, clicked_at=made,
    ).to_bytes()  # fmt: skip


class Clicks:
    """Samples sent to a site, and the versions that its trainer makes of them."""

    def __init__(self, site: Site, producer: KafkaProducer, store: Store, shape: Shape) -> None:
        self.ends: dict[str, int] = {}
        self.versions, self.shape = Versions(store), shape
        self._site, self._producer = site, producer
        self._rng = np.random.default_rng(3)

    def send(self, count: int) -> None:
        topic = self._site.kafka.samples_topic
        waiting = [
            self._producer.send(topic, sample(self.shape, self._rng), partition=n % PARTITIONS)
            for n in range(count)
        ]
        for future in waiting:
            done = future.get(timeout=60)
            self.ends[f"{done.topic}/{done.partition}"] = done.offset + 1

    def refreshed(self, count: int) -> None:
        """Send so many, and wait for a version that is made after that."""
        before = max(self.versions.numbers(), default=0)
        self.send(count)
        self._site.fleet.wait_until(
            lambda: max(self.versions.numbers(), default=0) > before, 90, "a version"
        )

    def each_once(self) -> None:
        """Learn what is left; all versions are whole, and each sample counts once."""
        self.send(50)
        done = self._site.fleet.run("train", "--once")
        assert done.returncode == 0, done.stderr
        manifests = whole(self.versions, self.shape)
        assert manifests[-1].offsets == self.ends
        assert manifests[-1].samples == sum(self.ends.values()), "each sample counts once"
        assert [m.samples for m in manifests] == sorted(m.samples for m in manifests)


@contextmanager
def clicks(site: Site) -> Iterator[Clicks]:
    settings = configured(site)
    store = Store(settings.redis)
    store.declare(PARTITIONS, PARTITIONS, PARTITIONS, settings.factors.size)
    producer = KafkaProducer(bootstrap_servers=site.kafka.brokers, acks="all", linger_ms=20)
    try:
        yield Clicks(site, producer, store, shape_of(settings))
    finally:
        producer.close()
        store.close()


@pytest.mark.parametrize(
    "kills", [3, pytest.param(10, marks=[pytest.mark.long, pytest.mark.timeout(600)])]
)
def test_a_killed_trainer_learns_each_sample_once(site: Site, kills: int) -> None:
    needs("torch")
    with clicks(site) as made:
        trainer = site.fleet.add("train")
        for _ in range(kills):
            made.refreshed(site.random.randrange(600, 1500))
            assert trainer.pid and os.getpriority(os.PRIO_PROCESS, trainer.pid) == 19
            made.send(500)  # a refresh may be under way when it dies
            time.sleep(site.random.uniform(0.0, 1.5))
            trainer.kill()
            whole(made.versions, made.shape)
            trainer.start()
        site.fleet.wait_until(
            lambda: trainer.output().count("read again") > kills, 60, "it is back"
        )
        trainer.kill()
        made.each_once()


def test_two_ranks_train_under_torchrun(site: Site) -> None:
    """They store versions of all samples, one process goes on from them; SIGTERM ends both."""
    needs("torch")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", "streamrec.cli", "--config", str(site.directory / "streamrec.toml"), "train",
    ]  # fmt: skip
    with clicks(site) as made:
        made.send(700)
        once = subprocess.run([*command, "--once"], capture_output=True, text=True, timeout=150)
        assert once.returncode == 0, once.stderr
        manifests = whole(made.versions, made.shape)
        assert manifests and manifests[-1].offsets == made.ends and manifests[-1].samples == 700
        made.each_once()
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as ranks:
            try:
                made.refreshed(1500)
            finally:
                ranks.send_signal(signal.SIGTERM)  # torchrun tells both
                _, printed = ranks.communicate(timeout=60)
        assert printed.count("training with rank 0") == 1
        assert printed.count("rank 0 has ended the training") == 1, printed
        made.each_once()


def test_redis_and_the_broker_restart_under_training(
    site: Site, kafka: KafkaServer, clean_redis: RedisServer
) -> None:
    """The trainer lives, goes on by itself, and learns each sample once."""
    needs("torch")
    if not (kafka.can_restart and kafka.keeps_topics):
        pytest.skip(f"the {kafka.kind} broker cannot be restarted with its topics")
    with clicks(site) as made:
        trainer = site.fleet.add("train")
        for server in (clean_redis, kafka, clean_redis):
            made.refreshed(site.random.randrange(600, 1500))
            made.send(500)  # a refresh may be under way when the server goes
            time.sleep(site.random.uniform(0.0, 0.5))
            server.kill()
            time.sleep(site.random.uniform(0.5, 2.0))
            server.start()
        made.refreshed(1000)
        trainer.kill()
        made.each_once()


def whole(versions: Versions, shape: Shape) -> list[Manifest]:
    """Return the manifests of all versions; each is whole, and the pointer names one of them."""
    found = [unpack(versions.get(n), shape).manifest for n in versions.numbers()]
    serving = versions.serving()
    assert serving.version in (0, *versions.numbers())
    return found


def test_versions_are_swapped_under_load(site: Site) -> None:
    """No list fails or is empty, none is missing, and lists carry the version within seconds."""
    settings = configured(site)
    shape = shape_of(settings)
    site.fleet.add("learn")
    scorers = [site.fleet.add("score") for _ in range(2)]
    feeder = site.feed(30_000, 500)
    site.warm()
    store = Store(settings.redis)
    versions, client = Versions(store), redis.Redis.from_url(site.redis_url)
    manifest = Manifest.of(shape, settings.neural)
    rng = np.random.default_rng(4)
    for _ in range(2):
        sizes = arrays_of(manifest).items()
        drawn = {name: rng.normal(0, 0.3, size).astype(np.float32) for name, size in sizes}
        versions.add(pack(manifest, drawn))

    def lists() -> dict[bytes, dict[str, Any]]:
        keys = [key for key in client.scan_iter("rec:*", count=1000) if b"~" not in key]
        return {
            key: json.loads(found)
            for key, found in zip(keys, client.mget(keys) if keys else [], strict=True)
            if found is not None
        }

    had: set[bytes] = set()
    wait_until(lambda: len(lists()) > 50, 60, "lists")
    commands = ("promote", "1"), ("promote", "2"), ("rollback",), ("off",), ("promote", "2")
    for command, wanted in zip(commands, (1, 2, 1, 0, 2), strict=True):  # 0: the blend alone
        done = site.fleet.run("model", *command)
        assert done.returncode == 0, done.stderr
        assert versions.serving().number == wanted
        moved = int(time.time() * 1000)
        ending = f"n{wanted}" if wanted else ""

        def swapped(moved: int = moved, ending: str = ending) -> bool:
            found = lists()
            had.update(found)
            assert had <= found.keys(), "a list is gone"
            assert all(one["items"] for one in found.values()), "a list is empty"
            newer = [one for one in found.values() if one["at"] > moved + SWAP_SECONDS * 1000]
            assert {one["model"].partition("+")[2] for one in newer} <= {ending}
            return len(newer) >= 10

        site.fleet.wait_until(swapped, 60, f"lists of version {wanted}")
    feeder.hurry()
    site.drain(feeder.finish())
    for scorer in scorers:
        assert "could not be made" not in scorer.output()
        assert "lists are ordered by another version" in scorer.output()
    audit = site.fleet.run("audit", "--wait", "30", seconds=90)
    assert audit.returncode == 0, audit.stdout + audit.stderr
    store.close()
