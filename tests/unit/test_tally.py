"""Metrics of places, and a tally of nothing."""

import math

import numpy as np
import pytest
from oracle import NAMES

from streamrec.evaluation.tally import Tally, metrics


def test_metrics_of_places() -> None:
    found = metrics(np.array([0.0, 9.5, 10.0, 19.0, 20.0, np.inf], np.float32))
    assert found["recall@10"] == pytest.approx(2 / 6)
    assert found["recall@20"] == pytest.approx(4 / 6)
    assert found["mrr@20"] == pytest.approx((1 + 1 / 10.5 + 1 / 11 + 1 / 20) / 6)
    assert found["ndcg@10"] == pytest.approx((1 + 1 / math.log2(11.5)) / 6)
    assert metrics(np.zeros(0)) == {}


def test_an_empty_tally() -> None:
    found = Tally(NAMES, ["peer:x"]).summary(0)
    assert found["scored"] == 0 and found["sources"] == {"blend": {}}
    assert found["windows"] == found["comparisons"] == [] and found["slices"] == {}
