"""The cosine's scores against the documented sum; its lists are those of test_similarity.py."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_similarity import HISTORY, ITEMS, ROWS, listed, supported

from streamrec.sources import cosine


@settings(deadline=None)
@given(ROWS, HISTORY, st.lists(st.integers(0, 9), min_size=ITEMS, max_size=ITEMS))
def test_score_is_the_sum_over_the_history_of_normalised_counts(
    rows: dict[int, dict[int, float]], history: np.ndarray, events: list[int]
) -> None:
    lists = *listed(rows), np.array(events, np.uint32)
    scores, touched = np.zeros(ITEMS), np.full(ITEMS + 1, -1, np.int32)
    found, total = cosine.score(lists, history, scores, touched)
    n = np.maximum(events, 1)
    expected = np.zeros(ITEMS)
    for b, h in enumerate(history, 1):
        for j, weight in rows.get(h, {}).items():
            if j >= 0:
                expected[j] += weight / (b * np.sqrt(n[h] * n[j]))
    assert scores == pytest.approx(expected, rel=1e-5)
    assert total == pytest.approx(expected.sum())
    assert sorted(touched[:found].tolist()) == np.flatnonzero(expected).tolist()
    assert supported(cosine.support, lists, history) == pytest.approx(expected, rel=1e-5)
