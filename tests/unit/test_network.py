"""The network: torch and numba agree, it starts as the blend, it learns what is there to learn."""

from functools import lru_cache

import msgspec
import numpy as np
import pytest
from needs import needs

from streamrec.neural.gate import Gate, gains
from streamrec.neural.projected import project
from streamrec.neural.reading import PAIR, Reading, Shape
from streamrec.neural.sample import FACT_STEP, PAIR_STEP, Sample, click, kept
from streamrec.neural.serve import Served
from streamrec.settings.neural import NeuralSettings
from streamrec.text.words import unit

torch = needs("torch")
from streamrec.neural.network import PairNetwork  # noqa: E402
from streamrec.neural.refresh import Refresher, texts_of  # noqa: E402
from streamrec.neural.replay import Replay  # noqa: E402
from streamrec.neural.trained import Trained, compiled  # noqa: E402
from streamrec.roles.training.ranks import device  # noqa: E402

RULES = NeuralSettings(candidates=20, history=6, refresh_samples=500)
SHAPE = Shape(20, 6, ("a", "b", "c"), ("a", "b"), 8)
ITEMS = 200
TEXTS = np.random.default_rng(5).standard_normal((ITEMS, 8)).astype(np.float32)
TEXTS[::7] = 0.0  # items without a text
TEXTS = unit(TEXTS)
KEYS = np.arange(1000, 1000 + ITEMS, dtype=np.uint64)


def known():
    return KEYS[TEXTS.any(1)], TEXTS[TEXTS.any(1)]


def moves(served, reading):
    return served.moves(reading, units_of(served, reading))


def units_of(served, reading):
    short = np.zeros((ITEMS, len(served.middle)), np.float32)
    for text, out in zip(TEXTS, short, strict=True):
        project(text, (served.project, served.middle), out)
    return served.units(reading, short)


def random_reading(rng, candidates=20, past=6):
    rows, old = rng.permutation(ITEMS)[:candidates], rng.permutation(ITEMS)[:past]
    log_p = -np.sort(rng.exponential(2.0, candidates)).astype(np.float32)
    return Reading(
        np.arange(candidates),
        rows.astype(np.int32),
        old.astype(np.int32),
        log_p,
        np.clip(rng.standard_normal((candidates, SHAPE.facts)), -4, 4).astype(np.float32),
        (rng.random((candidates, past, 2)) * PAIR).astype(np.float32)
        * (rng.random((candidates, past, 2)) < 0.5),
        np.sort(rng.random(past) * 9).astype(np.float32),
    )


def network(seed=3, *, trained=False):
    torch.manual_seed(seed)
    net = PairNetwork(SHAPE, RULES)
    net.set_texts(TEXTS[TEXTS.any(1)])
    if trained:
        net.load(served())
    elif seed:
        with torch.no_grad():
            for p in net.parameters():
                p.normal_(0.0, 0.3)
    return net


def as_batch(net, reading):
    """Return the batch of one list as it is, without the rounding of what is kept."""
    replay = Replay(SHAPE, RULES.tasks, 1000, 1)
    replay.add(kept(reading, KEYS, 0)._replace(type="click", weight=1.0))
    batch = replay.batch(np.array([0]), texts_of(net, *known()))
    k, h = len(reading.rows), len(reading.past_rows)
    batch["facts"][0, :k] = torch.from_numpy(reading.facts)
    batch["pairs"][0, :k, :h] = torch.from_numpy(reading.pairs)
    batch["blend"][0, :k] = torch.from_numpy(reading.blend)
    ages = torch.from_numpy(reading.ages)
    batch["past"][0, :h, 1] = ages / 5.0 - 1.0
    if h:
        batch["past"][0, : h - 1, 3] = ages.diff()
    return batch


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize(("candidates", "past"), [(20, 6), (20, 0), (3, 1), (2, 5)])
def test_torch_and_numba_say_the_same(trained, candidates, past):
    net = network(trained=trained)
    served = Served.of(net.weights(), RULES.shrinkage)
    for seed in range(5):
        reading = random_reading(np.random.default_rng(seed), candidates, past)
        with torch.no_grad():
            theirs = net(as_batch(net, reading))[0, 0, :candidates].numpy() - reading.blend
        mine = moves(served, reading)
        np.testing.assert_allclose(mine, 0.75 * theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("longest", [0, 1, 4])
def test_a_batch_that_is_cut_says_and_teaches_the_same(longest):
    net, replay = network(), Replay(SHAPE, RULES.tasks, 1000, 1)
    for seed in range(9):
        reading = random_reading(np.random.default_rng(seed), 20, seed % (longest + 1))
        replay.add(kept(reading, KEYS, 0)._replace(type="click", weight=1.0))
    said, moved = [], []
    for cut in False, True:
        batch = replay.batch(np.arange(9), texts_of(net, *known()), cut)
        assert batch["there"].shape[1] == (max(1, longest) if cut else SHAPE.history)
        net.zero_grad()
        net(batch)[:, 0].square().sum().backward()
        said.append(net(batch).detach())
        moved.append([p.grad.clone() for p in net.parameters()])
    torch.testing.assert_close(said[1], said[0])
    torch.testing.assert_close(moved[1], moved[0], rtol=1e-4, atol=1e-3)


def test_it_starts_as_the_blend():
    served = Served.of(network(0).weights(), RULES.shrinkage)
    reading = random_reading(np.random.default_rng(1))
    np.testing.assert_array_equal(moves(served, reading), np.zeros(20, np.float32))


def test_what_it_reads_of_texts_is_their_cosine_at_first():
    net = network(0)
    with torch.no_grad():
        white = net.whitened(torch.from_numpy(TEXTS))
        mine = net._projected(white)
    np.testing.assert_allclose(mine @ mine.T, white @ white.T, atol=1e-5)  # 8 directions, all kept


def test_shares_of_past_items_sum_to_what_the_past_adds():
    served = Served.of(network(trained=True).weights(), RULES.shrinkage)
    for seed in range(10):
        reading = random_reading(np.random.default_rng(seed))
        nobody = reading._replace(
            past_rows=reading.past_rows[:0], ages=reading.ages[:0],
            pairs=reading.pairs[:, :0],
        )  # fmt: skip
        added = moves(served, reading) - moves(served, nobody)
        numbers = np.array([19, 0, 7])
        shares = served.shares(reading, units_of(served, reading), numbers)
        assert shares.shape == (3, 6)
        np.testing.assert_allclose(shares.sum(1), added[numbers], atol=1e-4)
    assert served.shares(nobody, units_of(served, nobody), numbers).shape == (3, 0)


def test_shares_differ_as_scores_without_each_past_item_do():
    served = Served.of(network().weights(), RULES.shrinkage)
    reading = random_reading(np.random.default_rng(2))
    units = units_of(served, reading)
    [shares] = served.shares(reading, units, np.array([4]))
    # d_b by hand: the score without the units of one past item
    from streamrec.neural.serve import _pool

    def said(units):
        return float(served._outward(reading.facts[4:5], _pool(units[None])[:, None])[0, 0])

    whole = said(units[4])
    each = np.array([whole - said(np.delete(units[4], b, 0)) for b in range(6)])
    np.testing.assert_allclose(shares - shares.mean(), each - each.mean(), atol=1e-4)


def clicks(count, seed=1):
    """Yield clicks on the candidate of the largest pair values, which the blend does not know."""
    rng = np.random.default_rng(seed)
    for n in range(count):
        reading = random_reading(rng)
        best = int(reading.pairs[:, :2, 0].sum(1).argmax())
        listed = kept(reading, KEYS, n)
        yield click(listed, int(KEYS[reading.rows[best]]), "click", 1.0, n, n)


@lru_cache
def served(count=1200):
    """Return the weights that serve after so many clicks."""
    return taught(count).serving


def taught(count, rules=RULES, kind="click"):
    refresher = Refresher(rules, SHAPE)
    for n, sample in enumerate(clicks(count)):
        assert refresher.add(sample._replace(type=kind) if n % 3 == 0 else sample)
        if refresher.due(len(refresher.replay.fresh)):
            refresher.refresh(*known())
    return refresher


def test_it_learns_a_pattern_of_pairs_and_the_gate_opens():
    refresher = Refresher(RULES, SHAPE)
    periods = []
    for sample in clicks(3000):
        refresher.add(sample)
        if refresher.due(len(refresher.replay.fresh)):
            periods.append(refresher.refresh(*known()))
    first, last = periods[0], periods[-1]
    assert first.weights is None and first.decision.candidate is None and not first.decision.open
    assert last.decision.open
    assert last.decision.candidate > 1.5 * last.decision.blend
    assert last.losses[0] < 0.7 * first.losses[0]
    assert last.losses[1] == 0.0  # no purchases


def test_drift_makes_a_refresh_due_once_there_is_enough_to_learn():
    refresher = Refresher(RULES, SHAPE)
    samples = [sample._replace(blend=np.sort(sample.blend)[::-1]) for sample in clicks(400)]
    for sample in samples:  # the clicked one comes first
        assert refresher.add(sample)
        assert not refresher.due(len(refresher.replay.fresh))
    refresher.refresh(*known())
    whys = []
    for sample in samples[:200]:  # it comes last
        assert refresher.notice(sample._replace(blend=np.sort(sample.blend)))
        whys.append(refresher.due(len(whys) + 1))
    assert whys.index("drift") == 99 and set(whys) == {"", "drift"}
    for sample in samples[:200]:
        refresher.replay.add(sample)
    refresher.judge(*known())
    assert not refresher.due(499)  # judged and learnt, it is over
    assert refresher.due(500) == "due"


def test_the_gate_judges_what_serves():
    refresher, judged = taught(1500), list(clicks(200, seed=2))
    for sample in judged:
        refresher.add(sample)
    network = Served.of(refresher.serving, RULES.shrinkage)
    found = []
    for sample in judged:
        rows, past = (keys.astype(np.int64) - 1000 for keys in (sample.keys, sample.past_keys))
        reading = Reading(
            np.arange(len(rows)), rows, past, sample.blend.astype(np.float32),
            (sample.facts / FACT_STEP).astype(np.float32),
            (sample.pairs / PAIR_STEP).astype(np.float32), sample.ages.astype(np.float32),
        )  # fmt: skip
        scores = reading.blend + moves(network, reading)
        found.append(gains(scores[None], sample.stands()[None])[0])
    decision = refresher.judge(*known()).decision
    assert decision.serving == pytest.approx(np.mean(found), abs=1e-3)
    assert decision.serving > 1.1 * decision.blend


def test_the_same_samples_give_the_same_weights():
    one, two = served(), taught(1200).serving
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])


def test_a_compiled_loss_teaches_the_same_and_is_compiled_once_for_all_networks(monkeypatch):
    from torch._dynamo import config
    from torch._dynamo.testing import CompileCounterWithBackend

    counter = CompileCounterWithBackend("aot_eager")
    monkeypatch.setattr(config, "suppress_errors", False)  # put back after the test
    replay, lambdas = Replay(SHAPE, RULES.tasks, 1000, 1), torch.tensor([1.0, 0.5])
    for sample in clicks(150):
        replay.add(sample)

    def taught(seed, by):
        with monkeypatch.context() as patched:
            patched.setattr("streamrec.neural.trained.compiled", by)
            trained = Trained(RULES, SHAPE, seed, "cpu")
        trained.network.set_texts(known()[1])
        texts = texts_of(trained.network, *known())
        for of in np.arange(64), np.arange(64, 128), np.arange(128, 150):
            trained.step(replay.batch(of, texts), lambdas)
        return trained.mean_weights()

    for seed in range(3):
        plain = taught(seed, compiled)
        fast = taught(seed, lambda loss, device: compiled(loss, "cuda", counter))
        for name, weights in plain.items():
            np.testing.assert_array_equal(fast[name], weights)
    assert counter.frame_count == 2  # of full batches, and of others
    assert config.suppress_errors


def test_where_there_is_no_c_compiler_nothing_is_compiled(monkeypatch):
    from torch._dynamo.testing import CompileCounter

    for there, compilations in (None, 0), ("clang", 1):
        counter = CompileCounter()
        with torch.compiler.set_stance("default"):
            with monkeypatch.context() as patched:
                patched.setattr(torch.cuda, "is_available", lambda: True)
                patched.setattr(
                    "streamrec.roles.training.ranks.which", lambda name, there=there: name == there
                )
                assert device() == "cuda"
            twice = compiled(lambda batch, weights, totals: 2.0 * weights, "cuda", counter)
            assert twice({}, torch.ones(3), torch.ones(3)).sum() == 6.0
        assert counter.frame_count == compilations


def test_a_task_that_is_off_leaves_the_others_as_they_are():
    off = taught(1200, msgspec.structs.replace(RULES, tasks={"any": 1.0, "purchase": 0.0}))
    on = served()  # there are no purchases
    np.testing.assert_array_equal(off.serving["pair.weight"], on["pair.weight"])


def test_samples_of_a_task_that_is_off_teach_the_others_as_before():
    """A task of weight 0 loses nothing: the same weights as where it has no sample at all."""
    off = msgspec.structs.replace(RULES, tasks={"any": 1.0, "purchase": 0.0})
    bought, clicked = taught(1200, off, "purchase"), taught(1200, off)
    for name, weights in clicked.serving.items():
        np.testing.assert_array_equal(bought.serving[name], weights)
    both = taught(1200, kind="purchase")  # and it would have changed them
    assert (both.serving["pair.weight"] != clicked.serving["pair.weight"]).any()


def test_another_task_costs_the_first_one_nothing():
    def gain(tasks):
        refresher = taught(2500, msgspec.structs.replace(RULES, tasks=tasks), "purchase")
        for sample in clicks(500, seed=2):
            refresher.add(sample)
        decision = refresher.judge(*known()).decision
        return decision.candidate / decision.blend

    alone = gain({"any": 1.0, "purchase": 0.0})
    assert alone > 1.5
    assert gain({"any": 1.0, "purchase": 0.5}) > 0.95 * alone


def test_a_network_from_nothing_takes_the_place_of_none_that_is_better():
    every = msgspec.structs.replace(RULES, scratch_every=2)
    never = msgspec.structs.replace(RULES, scratch_every=0)
    checked, unchecked = taught(1500, every), taught(1500, never)  # the check is not over
    assert checked.number == unchecked.number == 3
    for name, weights in unchecked.candidate().items():
        np.testing.assert_array_equal(checked.candidate()[name], weights)


def test_a_network_from_nothing_takes_the_place_of_one_that_went_astray():
    def gain(every):
        refresher = taught(500, msgspec.structs.replace(RULES, scratch_every=every))
        astray = refresher.candidate()
        astray["heads.weight"] *= -100.0  # the opposite of what it learnt
        refresher.resume(astray, 1, 500, ())
        restarted = []
        for sample in list(clicks(1500))[500:]:
            refresher.add(sample)
            if refresher.due(len(refresher.replay.fresh)):
                decision = refresher.refresh(*known()).decision
                restarted.append(decision.restarted)
        assert any(restarted) == bool(every)
        return decision.candidate / decision.blend

    assert gain(every=1) > 1.1 > 0.9 > gain(every=0)


@pytest.mark.parametrize(("errors", "restarted"), [(-3.0, False), (1.9, False), (2.1, True)])
def test_a_network_from_nothing_is_gone_on_with_if_it_is_better_by_two_errors(errors, restarted):
    rng = np.random.default_rng(7)
    noise = rng.normal(0.0, 0.3, 900)
    noise -= noise.mean()
    mine = rng.random(900)
    theirs = mine + noise + errors * noise.std() / 30.0
    decision = Gate(4).judge(mine, mine, mine, theirs)
    assert decision.restarted == restarted
    assert decision.scratch.gain == pytest.approx(errors * decision.scratch.error)
    assert decision.told()["scratch"] == decision.scratch._asdict()
    unchecked = Gate(4).judge(mine, mine, mine)
    assert (unchecked.scratch, unchecked.restarted) == (None, False)
    assert decision._replace(scratch=None, restarted=False) == unchecked


@pytest.mark.parametrize("every", [1, 3, 4])
def test_a_network_from_nothing_learns_once_from_each_sample_and_is_judged_once(every, monkeypatch):
    """A part at each refresh: none takes much longer than the others."""
    refresher = taught(500, msgspec.structs.replace(RULES, scratch_every=every))
    learnt, judged = [], []
    learn, gains_of = Refresher._learn, Refresher._gains

    def learns(self, trained, which, *known):
        if trained is not self._trained and trained is self._rival:
            learnt.append((trained, which))
        return learn(self, trained, which, *known)

    def judges(self, weights, *rest):
        rival = self._rival and self._rival.mean_weights()["pair.weight"]
        if weights is not None and np.array_equal(weights["pair.weight"], rival):
            judged.append(self._rival)
        return gains_of(self, weights, *rest)

    monkeypatch.setattr(Refresher, "_learn", learns)
    monkeypatch.setattr(Refresher, "_gains", judges)
    refresher.number = every - 1  # the next refresh begins one

    def refresh():
        refresher.replay.fresh = list(range(0, 500, 5))
        refresher.refresh(*known())

    for _ in range(every):
        refresh()
    kept, first = len(refresher.replay), learnt[0][0]
    parts = [which for trained, which in learnt if trained is first]
    assert len(parts) == every and first not in judged
    assert sorted(np.concatenate(parts)) == list(range(kept))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    refresh()
    assert judged[-1] is first and judged.count(first) == 1 and learnt[-1][0] is not first


@pytest.mark.parametrize("periods", [1, 2, 4])
def test_the_gate_closes_once_the_last_periods_lost(periods):
    gate, blend = Gate(periods), np.full(100, 0.5)
    for _ in range(6):
        assert gate.judge(blend, None, blend + 0.1).open
    closed = [not gate.judge(blend, blend - 0.11, None).open for _ in range(periods)]
    assert closed.index(True) == (periods - 1) // 2  # where what was lost outweighs what was gained
    assert len(gate.recent) == periods
    assert Gate(periods, tuple(gate.recent) * 2).recent == gate.recent


def test_clicks_of_another_type_are_no_samples_of_a_task():
    replay = Replay(SHAPE, {"purchase": 1.0}, 1000, 1)
    [sample] = clicks(1)
    assert not replay.fits(sample)
    assert replay.fits(sample._replace(type="purchase"))


def test_a_full_replay_keeps_the_new_ones():
    replay = Replay(SHAPE, RULES.tasks, 100, 1)
    for sample in clicks(150):
        replay.add(sample)
        if len(replay.fresh) == 50:
            replay.aged()
    assert len(replay) == 100
    for sample in clicks(30, seed=2):
        replay.add(sample)
    assert len(set(replay.fresh)) == 30
    assert not set(replay.older(1000).tolist()) & set(replay.fresh)


def test_samples_of_another_shape_are_refused():
    replay = Replay(SHAPE._replace(channels=("a",)), RULES.tasks, 100, 1)
    [sample] = clicks(1)
    assert not replay.fits(sample)
    refresher = Refresher(RULES, replay.shape)
    for fresh in True, False:
        assert not refresher.add(sample, fresh)
    assert refresher.seen == len(refresher.replay) == 0


def test_a_sample_survives_its_bytes():
    for sample in clicks(5):
        again = Sample.from_bytes(sample.to_bytes())
        assert again.type == "click"
        for mine, theirs in zip(sample, again, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_damaged_samples_are_refused():
    [sample] = clicks(1)
    blob = sample.to_bytes()
    assert Sample.from_bytes(b"") is None
    assert Sample.from_bytes(blob[:40]) is None
    assert Sample.from_bytes(bytes([9]) + blob[1:]) is None
    bad = sample._replace(blend=np.full(len(sample.blend), np.nan, np.float16))
    assert Sample.from_bytes(bad.to_bytes()) is None


def test_a_click_outside_the_candidates_is_no_sample():
    reading = random_reading(np.random.default_rng(1))
    assert click(kept(reading, KEYS, 0), 5, "click", 1.0, 0, 1) is None


def test_what_is_kept_of_a_click_is_at_most_8_kb():
    rng = np.random.default_rng(1)
    k, h, c = 80, 50, 9
    listed = Sample(
        np.arange(k, dtype=np.uint64), np.arange(h, dtype=np.uint64), np.zeros(k, np.float16),
        np.zeros(h, np.float16), np.zeros((k, 60), np.int8),
        rng.integers(0, 99, (k, h, c)).astype(np.int8),
    )  # fmt: skip
    sample = click(listed, 79, "click", 1.0, 0, 1)
    assert len(sample.to_bytes()) <= 8192
    assert sample.keys[0] == 79 and 2 < len(sample.keys) < 32
    np.testing.assert_array_equal(sample.pairs[0], listed.pairs[79])
