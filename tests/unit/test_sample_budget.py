"""The share of lists that are kept for training, and the test that notices a fall."""

import numpy as np
import pytest

from streamrec.neural.budget import HELD_SECONDS, SampleBudget
from streamrec.neural.drift import Drift


@pytest.mark.parametrize(("lists", "share"), [(2.0, 1.0), (40.0, 0.25), (1000.0, 0.01)])
def test_lists_beyond_the_budget_are_kept_in_part(lists: float, share: float) -> None:
    """10 lists a second of 1000 bytes each fit."""
    rng, budget, spent, late = np.random.default_rng(1), SampleBudget(10_000.0), 0, 0
    seconds = 600
    for n in range(int(seconds * lists)):
        now = n / lists
        if rng.random() < budget.share(now):
            budget.spend(1000)
            spent += 1000
            late += now >= seconds / 2
    assert spent <= 10_000.0 * (seconds + HELD_SECONDS)
    # the level settles where share x lists x bytes = budget; few lists keep it nearly full
    expected = share if share < 1.0 else 10_000 / (10_000 + lists * 1000 / HELD_SECONDS)
    assert late / (lists * seconds / 2) == pytest.approx(expected, rel=0.15)


def test_a_burst_takes_what_was_saved_and_no_more() -> None:
    rng, budget, spent = np.random.default_rng(1), SampleBudget(10_000.0), 0
    for _ in range(100_000):
        if rng.random() < budget.share(5.0):
            budget.spend(1000)
            spent += 1000
    assert spent <= 10_000.0 * HELD_SECONDS + 1000


@pytest.mark.parametrize("scorers", [1, 3])
def test_buckets_that_settle_are_one(scorers: int) -> None:
    """Lists of 1000 bytes, 40 a second of each scorer; the third starts late, and full."""
    rng, budgets = np.random.default_rng(1), [SampleBudget(10_000.0) for _ in range(scorers)]
    held, at, spent = budgets[0].most, 0.0, np.zeros(scorers)
    for tick in range(200_000):
        now = tick / 1000
        for n, budget in enumerate(budgets):
            if n == 2 and now < 100:
                continue
            if tick % 1000 == 300 * n:
                held = min(budget.most, held + budget.rate * (now - at)) - budget.spent
                at = now
                budget.settle(held, now)
            if rng.random() < 0.04 * budget.share(now):
                budget.spend(1000)
                spent[n] += 1000 * (now >= 120)
    assert spent.sum() / 80 == pytest.approx(10_000, rel=0.1)
    assert spent.min() > 0.7 * spent.max()


def test_no_budget_keeps_nothing() -> None:
    assert SampleBudget(0.0).share(1.0) == 0.0


def test_a_fall_of_the_gain_is_noticed_and_chance_is_not() -> None:
    rng, drift = np.random.default_rng(1), Drift()
    before = [drift.seen(g) for g in np.clip(rng.normal(0.3, 0.3, 20_000), 0, 1)]
    assert not any(before)
    after = [drift.seen(g) for g in np.clip(rng.normal(0.12, 0.3, 2000), 0, 1)]
    assert 50 < after.index(True) < 400
    rise = [drift.seen(g) for g in np.clip(rng.normal(0.5, 0.3, 5000), 0, 1)]
    assert not any(rise)


def test_a_fall_by_a_fifth_is_noticed() -> None:
    rng, drift = np.random.default_rng(2), Drift()
    gains = np.where(rng.random(40_000) < 0.6, 1 / np.log2(1 + rng.integers(1, 32, 40_000)), 0.0)
    gains[20_000:] *= rng.random(20_000) < 0.8
    seen = [drift.seen(g) for g in gains.tolist()]
    assert not any(seen[:20_000])
    assert any(seen[20_000:22_000])
