"""Which candidates of a list a click keeps, and what they stand for."""

import struct

import numpy as np
import pytest

from streamrec.neural.gate import gains
from streamrec.neural.sample import BEST, OTHERS, Sample, click

LIST = 80


def listed(count=LIST, past=3, channels=2):
    """Return a list of keys 0, 1, .., the blend's best first."""
    log_p = -np.arange(count) / 15.0
    log_p -= np.log(np.exp(log_p).sum())
    return Sample(
        np.arange(count, dtype="<u8"), np.arange(past, dtype="<u8"), log_p.astype("<f2"),
        np.zeros(past, "<f2"), np.zeros((count, 4), np.int8),
        np.zeros((count, past, channels), np.int8),
    )  # fmt: skip


def clicked(key, seed=1, **shape):
    sample = click(listed(**shape), key, "click", 1.0, 0, seed)
    assert sample is not None
    return sample


@pytest.mark.parametrize("key", [0, 7, BEST, LIST - 1])
def test_it_keeps_the_clicked_one_the_best_and_some_that_stand_for_the_rest(key):
    sample = clicked(key)
    first, *others = sample.keys.tolist()
    best, drawn = others[:BEST], others[BEST:]
    assert first == key and len(others) == OTHERS == len(set(others) - {key})
    assert best == [k for k in range(LIST) if k != key][:BEST]
    assert min(drawn) > max(best)
    assert clicked(key, seed=2).keys.tolist() != sample.keys.tolist()
    stands = sample.stands()
    assert (stands[: 1 + BEST] == 1.0).all() and len(set(stands[1 + BEST :])) == 1
    assert stands[1:].sum() == pytest.approx(LIST - 1)


@pytest.mark.parametrize("count", [2, BEST, BEST + 1, OTHERS, OTHERS + 1])
def test_all_of_a_short_list_stand_for_themselves(count):
    sample = clicked(1, count=count)
    assert sorted(sample.keys) == list(range(count))
    assert (sample.stands() == 1.0).all()


@pytest.mark.parametrize("past", [150, 400, 900])
def test_a_sample_that_would_be_too_long_keeps_fewer_and_they_stand_for_more(past):
    sample = clicked(40, past=past, channels=4)
    assert 2 <= len(sample.keys) <= OTHERS and sample.stands()[1:].sum() == pytest.approx(LIST - 1)
    assert sample.best <= BEST * len(sample.keys) / OTHERS


def test_a_rank_among_the_best_is_exact_and_others_are_so_in_the_mean():
    def gain_of(key):
        samples = [clicked(key, seed) for seed in range(400)]
        scores = np.array([sample.blend for sample in samples], np.float32)
        return gains(scores, np.array([sample.stands() for sample in samples]))

    for rank in (0, 3, BEST - 1, BEST):
        np.testing.assert_allclose(gain_of(rank), 1.0 / np.log2(rank + 2.0))
    for rank in (BEST + 1, BEST + 4):
        assert gain_of(rank).mean() == pytest.approx(1.0 / np.log2(rank + 2.0), rel=0.02)
    assert (gain_of(LIST - 1) == 0.0).all()


def test_the_softmax_over_what_is_kept_is_in_the_mean_that_over_all():
    """The same number of others drawn from all of them would be further off."""
    p = np.exp(listed().blend.astype(float))
    kept, even, rng = [], [], np.random.default_rng(1)
    for seed in range(400):
        sample = clicked(30, seed)
        kept.append((np.exp(sample.blend.astype(float)) * sample.stands())[1:].sum())
        others = rng.choice(np.delete(np.arange(LIST), 30), OTHERS, replace=False)
        even.append(p[others].sum() * (LIST - 1) / OTHERS)
    wanted = p.sum() - p[30]
    assert np.mean(kept) == pytest.approx(wanted, abs=4 * np.std(kept) / 20)
    assert np.std(kept) < 0.8 * np.std(even)


@pytest.mark.parametrize(
    ("at", "form", "value"),
    [(10, "<H", 32), (10, "<H", 65535), (12, "<f", 0.5), (12, "<f", np.nan), (12, "<f", np.inf)],
)
def test_what_it_stands_for_comes_back_or_is_refused(at, form, value):
    sample = clicked(30)
    blob = sample.to_bytes()
    back = Sample.from_bytes(blob)
    assert back is not None and back.best == BEST
    np.testing.assert_array_equal(back.stands(), sample.stands())
    damaged = blob[:at] + struct.pack(form, value) + blob[at + struct.calcsize(form) :]
    assert Sample.from_bytes(damaged) is None
