"""The neural ranker live: list, click, sample, trainer, version, swap; on a real Redis."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import pytest
import typer
from laws.spine import SAMPLES, Scored, Spine
from laws.world import event, small
from make import context
from memory_log import MemoryLog
from needs import needs

from streamrec.commands import model
from streamrec.errors import ConfigurationError, RefusedVersion
from streamrec.inspection.explain import explained
from streamrec.inspection.lists_now import StateReader, list_of
from streamrec.neural.sample import Sample, click, kept, unpacked
from streamrec.neural.version import Manifest, arrays_of, pack, unpack
from streamrec.roles.score import Scorer
from streamrec.settings.neural import TRAINS_WITH
from streamrec.settings.sections import Settings
from streamrec.state.keys import key_of
from streamrec.transport.redis.keys import reading_key
from streamrec.transport.redis.readings import settle_readings
from streamrec.transport.redis.versions import KEPT, SERVING, VERSIONS, Serving, Versions

Make = Callable[[Settings, int], Spine]
ITEMS = 29
NEURAL = {
    "sample_bytes_per_second": 1e9, "candidates": 20, "history": 4, "units": 4, "hidden": 6,
    "refresh_samples": 100, "scratch_every": 0,
}  # fmt: skip


def settings(**neural: Any) -> Settings:
    blend = {"sample": 1.0, "hidden": 3}
    return small(blend=blend, lists={"length": 5}, neural=NEURAL | neural)


class Live(Scored):
    """Lists of some people who click on them, readings of which are kept."""

    def __init__(self, spine: Spine) -> None:
        super().__init__(spine, 60)
        self.versions = Versions(spine.store)
        spine.learn([event(f"u{n % 4}", f"i{n * 7 % ITEMS}", ts=n) for n in range(60)], batch=10)
        self.score()
        self.click("u0", self.listed("u0")[0])  # the first click that the blend learns from
        self.score()
        for user in ("u0", "u1", "u2", "u3"):
            self.click(user, "i1", "impression")
            self.click(user, f"i{ITEMS - 1}")
        self.score()

    def reading(self, user: str) -> Sample:
        [blob] = self.spine.store.values([reading_key(user)])
        found = unpacked(blob or b"")
        assert found is not None
        return found

    def samples(self) -> list[Sample]:
        found = [Sample.from_bytes(blob) for blob in self.spine.samples()]
        assert all(found)
        return [one for one in found if one]

    def play(self, count: int) -> None:
        """Let users click on their lists until there are so many samples more."""
        wanted, n = len(self.spine.samples()) + count, 0
        while len(self.spine.samples()) < wanted:
            batch = []
            for user in (f"u{n % 40 + k}" for k in range(20)):
                n, self.ts = n + 1, self.ts + 1
                listed = self.listed(user) or self.listed("~popular")
                batch.append(event(user, listed[n * 7 % len(listed)], ts=self.ts))
            self.spine.learn(batch)
            self.score()

    def network(self, number: int | None = None) -> None:
        """Store a version that moves the scores, and name it."""
        manifest = Manifest.of(self.scorer._lists.reader.shape, self.spine.settings.neural)
        rng = np.random.default_rng(len(self.versions.numbers()))
        arrays = {
            name: rng.normal(0.0, 0.3, size).astype(np.float32)
            for name, size in arrays_of(manifest).items()
        }
        made = self.versions.add(pack(manifest, arrays))
        model.promote(context(self.spine.settings), made)

    def trainer(self) -> Any:
        needs("torch")
        from streamrec.roles.train import Trainer

        log = MemoryLog(self.spine.broker)
        spine = self.spine
        made = Trainer(spine.settings, log, spine.store, spine.shards, spine.metrics)
        made.start()
        log.give(SAMPLES)
        made.step()
        return made


@pytest.fixture
def live(make_spine: Make) -> Live:
    return Live(make_spine(settings(), 2))


def test_lists_made_now_are_ordered_by_the_network_that_serves(live: Live) -> None:
    live.network()
    live.click("u1", live.listed("u1")[0])
    live.score()
    spine, served = live.spine, live.served("u1")
    assert served["model"].endswith("+n1")
    made, _ = list_of(StateReader(spine.settings, spine.store).now("u1"))
    assert [one.item for one in made] == live.listed("u1")
    found = explained(spine.settings, spine.store, "u1", made[2].item)
    assert found.rank == 3 and found.parts["neural"]
    assert found.score == pytest.approx(served["items"][2]["score"], abs=2e-4)
    model.off(context(spine.settings))
    assert "neural" not in explained(spine.settings, spine.store, "u1", made[2].item).parts
    spine.store.run([("SET", SERVING, b"damaged")])
    assert list_of(StateReader(spine.settings, spine.store).now("u1"))[0]


def test_a_click_on_a_list_becomes_a_sample_of_what_the_list_knew(live: Live) -> None:
    item, listed, before = live.listed("u1")[2], live.reading("u1"), len(live.samples())
    live.ts += 1
    wanted = event("u1", item, "purchase", live.ts)
    live.spine.learn([wanted])
    sample = live.samples()[-1]
    assert len(live.samples()) == before + 1
    assert (sample.type, sample.weight) == ("purchase", 1.0)
    assert sample.made_at == live.served("u1")["at"]
    seed = (key_of(item) ^ wanted["ts"]) % 2**63
    again = click(listed, key_of(item), "purchase", 1.0, sample.clicked_at, seed)
    assert again is not None and sample.to_bytes() == again.to_bytes()
    assert b"u1" not in live.spine.samples()[-1]


def test_a_sample_made_after_the_click_was_learnt_would_show_it(live: Live) -> None:
    """The reading is stored with the list: taken when the click comes, it would know the click."""
    spine, user = live.spine, "u1"
    item = live.listed(user)[0]
    listed, number = live.reading(user), len(live.samples())
    live.click(user, item)  # learnt by both stages
    [honest] = live.samples()[number:]
    live.score()  # what the network would read now
    late = live.reading(user)
    assert key_of(item) == honest.keys[0] and key_of(item) not in honest.past_keys
    assert key_of(item) in late.past_keys and late.past_keys[0] == key_of(item)
    chosen = listed.keys.tolist().index(key_of(item))
    np.testing.assert_array_equal(honest.facts[0], listed.facts[chosen])
    assert live.scorer._feed.table.blend is not None
    # the popularity of the clicked item has risen since: the same facts cannot come out again
    table = live.scorer._feed.table
    stranger = live.scorer._lists.shopper(_row(spine, user, without=item), table)
    [ranked] = live.scorer._lists.rank([stranger], table)
    now = live.scorer._lists.reading_of(ranked, table)
    assert now is not None
    leaky = click(kept(now, table.keys, 0), key_of(item), "click", 1.0, 0, 1)
    assert leaky is not None and (leaky.facts[0] != honest.facts[0]).any()


def _row(spine: Spine, user: str, without: str) -> Any:
    """Return a user's row as it was before a click, in a world that has learnt it."""
    from streamrec.state.user_rows import decode_user

    row = decode_user(spine.store.all_rows("u0", "users")[user.encode()])
    stay = row.keys != np.uint64(key_of(without))
    return row._replace(keys=row.keys[stay], ts=row.ts[stay], takes=row.takes[stay])


def test_what_teaches_nothing_is_counted_or_passed_over(live: Live, clean_redis: Any) -> None:
    spine, number = live.spine, len(live.samples())
    before = spine.value("click_samples_total", result="outside")
    live.click("u1", "of no list")
    assert spine.value("click_samples_total", result="outside") == before + 1
    live.click("u2", live.listed("u2")[0], "dislike")
    [shown] = spine.store.shown(["u3"])
    assert shown is not None
    at = int.from_bytes(shown[4:12], "little") + 1
    newer = shown[:4] + at.to_bytes(8, "little") + shown[12:]
    clean_redis.client().set("sr:shown:u3", newer)  # a list of which nothing was kept
    live.click("u3", live.listed("u3")[0])
    clean_redis.client().set(reading_key("u0"), b"damaged")
    live.click("u0", live.listed("u0")[0])
    assert spine.value("click_samples_total", result="damaged") == 1
    assert len(live.samples()) == number
    assert 0 < clean_redis.client().ttl(reading_key("u1")) <= 86_400


def test_what_was_kept_of_a_list_goes_with_the_list(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It teaches nothing any more; of many lists it would lie in Redis for neural.task_seconds."""
    assert live.spine.store.values([reading_key("u1")]) != [None]
    monkeypatch.setattr(live.scorer._kept._budget, "share", lambda now: 0.0)
    live.click("u1", live.listed("u1")[0])
    live.score()
    assert live.spine.store.values([reading_key("u1")]) == [None]
    assert live.spine.store.values([reading_key("u2")]) != [None]


def test_an_old_list_teaches_nothing(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    spine, number = live.spine, len(live.samples())
    later = live.served("u1")["at"] + 86_400_001
    monkeypatch.setattr(time, "time", lambda: later / 1000)
    spine.broker.now_ms = later
    live.click("u1", live.listed("u1")[0])
    assert spine.value("click_samples_total", result="old") == 1
    assert len(live.samples()) == number


@pytest.mark.parametrize("neural", [{"on": False}, {"sample_bytes_per_second": 0.0}])
def test_nothing_is_kept_where_nothing_is_wanted(make_spine: Make, neural: Any) -> None:
    live = Live(make_spine(settings(**neural), 2))
    live.click("u1", live.listed("u1")[0])
    assert live.spine.store.values([reading_key("u1")]) == [None]
    assert live.spine.samples() == []


def test_what_is_kept_is_spent(make_spine: Make) -> None:
    """The first list takes more than the 20 bytes that may be spent at once: no other is kept."""
    live = Live(make_spine(settings(sample_bytes_per_second=1.0), 2))
    assert live.spine.value("sample_share") == 0.0
    assert live.listed("u1") and live.spine.store.values([reading_key("u1")]) == [None]


def test_scorers_share_the_budget_of_readings(
    make_spine: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one of them has spent the other does not spend again; one that comes late neither."""
    monkeypatch.setattr("random.random", lambda: 1.0)  # no list is chosen: only told ones spend
    spine = make_spine(settings(sample_bytes_per_second=300.0), 2)  # at most 6 kB at once
    live = Live(spine)

    def share(scorer: Scorer) -> float:
        spine.learn([event("u1", "i3", ts=live.ts + 1)])
        live.now += 1000.0
        scorer.step(live.now)
        return spine.value("sample_share")

    assert share(live.scorer) == 1.0
    assert settle_readings(spine.store, 300.0, 6000.0, 5500) < 3000.0
    late = spine.scorer()
    assert max(share(live.scorer), share(late)) < 0.5
    kept_of_both = [one._kept._budget for one in (live.scorer, late)]
    began, before = time.monotonic(), settle_readings(spine.store, 1e-9, 6000.0, 0)
    for one in kept_of_both:
        one.spend(100)
    for one in (live.scorer, late):
        live.now += 1000.0
        one._kept.look(live.now)
    after = settle_readings(spine.store, 1e-9, 6000.0, 0)
    filled = 300.0 * (time.monotonic() - began)  # at most, since
    assert before - 201 <= after <= before - 199 + filled


def test_training_stores_versions_and_the_scorers_follow_the_gate(live: Live) -> None:
    live.play(120)
    trainer = live.trainer()
    while trainer.step():
        pass
    trainer.refresh("once") if not live.versions.numbers() else None
    [first] = live.versions.numbers()
    assert live.versions.serving() == Serving() and live.versions.decision(first) is None
    for _ in range(2):
        live.play(100)
        while trainer.step():
            pass
    assert live.versions.numbers() == [1, 2, 3]
    told = json.loads(live.versions.decision(1) or b"")
    assert told["promoted"] and told["samples"] >= 100
    serving = live.versions.serving()
    assert serving.version in (1, 2) and not serving.held
    live.click("u1", live.listed("u1")[0])
    live.score()
    wanted = f"+n{serving.version}" if serving.open else ""
    assert live.served("u1")["model"] == f"online-{live.spine.shards.epoch}{wanted}"
    for name in ("blend", "candidate"):
        assert live.spine.value("train_gain", order=name) > 0
    assert live.spine.value("train_loss", task="any") > 0
    assert live.spine.value("train_lambda", task="purchase") == 0.5
    assert live.spine.value("train_samples_total", kind="new") == len(live.samples()) - 1


def test_a_trainer_goes_on_where_the_last_one_was(live: Live) -> None:
    live.play(120)
    first = live.trainer()
    while first.step():
        pass
    [number] = live.versions.numbers()
    stored = unpack(live.versions.get(number))
    learnt = stored.manifest.offsets["samples/0"]
    live.play(30)
    second = live.trainer()
    while second.step():
        pass
    replay = second.refresher.replay
    assert len(replay) == len(live.samples())
    assert len(replay.fresh) == len(live.samples()) - learnt
    resumed = second.refresher.candidate()
    for name, array in stored.arrays.items():
        np.testing.assert_array_equal(resumed[name], array)
    assert second.refresher.number == stored.manifest.refresh == 1
    assert second.refresher.seen == len(live.samples())


def test_a_trainer_refreshes_early_where_lists_get_worse(make_spine: Make) -> None:
    live = Live(make_spine(settings(refresh_samples=5000), 2))
    trainer, sample = live.trainer(), live.samples()[0]
    better = sample._replace(blend=np.sort(sample.blend)[::-1]).to_bytes()  # what is clicked first
    worse = sample._replace(blend=np.sort(sample.blend)).to_bytes()
    for blob in [better] * 500 + [worse] * 200:
        live.spine.broker.append(SAMPLES, blob)
    while trainer.step():
        pass
    value = live.spine.value
    assert value("train_refreshes_total", why="drift") == 1
    assert value("train_refreshes_total", why="due") == 0
    assert live.versions.numbers() == [1]


def test_damaged_samples_are_counted(live: Live) -> None:
    trainer = live.trainer()
    for blob in (b"", b"no sample", live.spine.samples()[0][:50]):
        live.spine.broker.append(SAMPLES, blob)
    trainer.step()
    assert live.spine.value("train_samples_total", kind="unfit") == 3


def test_a_person_chooses_and_the_gate_waits(
    live: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    ctx = context(live.spine.settings)
    model.list_(ctx)
    assert "no version yet" in capsys.readouterr().out
    with pytest.raises(ConfigurationError, match="no earlier version is kept"):
        model.rollback(ctx)

    def of_list() -> str:
        live.click("u1", live.listed("u1")[0])
        live.score()
        assert live.listed("u1")
        return str(live.served("u1")["model"]).partition("+")[2]

    live.network()
    live.network()
    assert of_list() == "n2"
    for command, wanted in ((model.rollback, "n1"), (model.off, ""), (model.on, "n1")):
        command(ctx)
        assert of_list() == wanted
    assert not live.versions.serving().held
    model.promote(ctx, 2)
    assert of_list() == "n2" and live.versions.serving().held
    capsys.readouterr()
    model.show(ctx, 2)
    told = json.loads(capsys.readouterr().out)
    assert told["serves"] and told["decision"] is None and told["units"] == 4
    model.list_(ctx)
    assert "Version 2 orders the lists, by decision of a person." in capsys.readouterr().out
    with pytest.raises(ConfigurationError, match="version 7 is not kept; there are: 1, 2"):
        model.promote(ctx, 7)


def test_a_refused_version_leaves_the_one_that_serves(live: Live, clean_redis: Any) -> None:
    live.network()
    live.score()
    serving = live.scorer._lists.network
    assert serving is not None
    blob = bytearray(live.versions.get(1))
    blob[-3] ^= 1
    client = clean_redis.client()
    client.hset(VERSIONS, 2, bytes(blob))
    for number, refused in ((2, 1), (3, 2)):  # damaged, gone
        pointer = live.versions.serving().moved(number, open=True, held=True, at=number)
        client.set(SERVING, msgspec.json.encode(pointer))
        for _ in range(3):
            live.score()
        assert live.scorer._lists.network is serving
        assert live.spine.value("network_refused_total") == refused  # tried once
        live.click("u1", live.listed("u1")[0])
        live.score()
        assert live.served("u1")["model"].endswith("+n1") and live.listed("u1")
    client.set(SERVING, b"{damaged")
    live.score()
    assert live.scorer._lists.network is serving
    with pytest.raises(RefusedVersion):
        model.promote(context(live.spine.settings), 2)
    client.flushall()
    with suppress(Exception):
        live.score()


def test_the_last_ten_and_what_serves_are_kept(live: Live) -> None:
    for _ in range(3):
        live.network()
    manifest = Manifest.of(live.scorer._lists.reader.shape, live.spine.settings.neural)
    sizes = arrays_of(manifest).items()
    blob = pack(manifest, {name: np.zeros(size, np.float32) for name, size in sizes})
    for _ in range(KEPT + 5):
        live.versions.add(blob)
    assert live.versions.numbers() == [2, 3, *range(9, 19)]
    model.rollback(context(live.spine.settings))
    assert live.versions.serving().version == 2


def test_two_that_move_the_pointer_do_not_undo_each_other(live: Live) -> None:
    before = live.versions.pointer()
    assert live.versions.move(before, Serving(1, True))
    assert not live.versions.move(before, Serving(2, True))
    assert live.versions.serving().version == 1


@pytest.mark.parametrize("lacking", TRAINS_WITH)
def test_train_says_which_library_to_install(
    live: Live, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    from streamrec.commands import roles

    monkeypatch.setattr(roles, "find_spec", lambda name: None if name == lacking else name)
    said = rf"{lacking}, .*pip install 'streamrec\[neural\]"
    with pytest.raises((ConfigurationError, typer.Exit), match=said):
        roles.train(context(live.spine.settings))


def test_a_samples_topic_made_anew_is_learnt_from_its_start(live: Live) -> None:
    live.play(20)
    manifest = Manifest.of(live.scorer._lists.reader.shape, live.spine.settings.neural)
    sizes = arrays_of(manifest).items()
    arrays = {name: np.zeros(size, np.float32) for name, size in sizes}
    ahead = msgspec.structs.replace(manifest, offsets={"samples/0": 10_000})
    live.versions.add(pack(ahead, arrays))
    trainer = live.trainer()
    while trainer.step():
        pass
    assert live.spine.value("train_samples_total", kind="old") == 0
    assert live.spine.value("train_samples_total", kind="new") == len(live.samples())
