"""The cosine's scores against the documented sum; its lists are those of test_similarity.py."""

from types import SimpleNamespace

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_similarity import HISTORY, ITEMS, ROWS, listed, scored, supported

from streamrec.sources.cosine import Cosine


@given(ROWS, HISTORY, st.lists(st.integers(0, 9), min_size=ITEMS, max_size=ITEMS))
def test_score_is_the_sum_over_the_history_of_normalised_counts(
    rows: dict[int, dict[int, float]], history: np.ndarray, events: list[int]
) -> None:
    neighbours, weights, sizes = listed(rows)
    arrays = SimpleNamespace(
        cosine_keys=neighbours, cosine_weights=weights, cosine_size=sizes,
        events=np.array(events, np.uint32),
    )  # fmt: skip
    source = Cosine(oracle.settings())
    scores, touched, said = scored(source, arrays, history)
    n = np.maximum(events, 1)
    expected = np.zeros(ITEMS)
    for b, h in enumerate(history, 1):
        for j, weight in rows.get(h, {}).items():
            if j >= 0:
                expected[j] += weight / (b * np.sqrt(n[h] * n[j]))
    assert scores == pytest.approx(expected, rel=1e-5)
    assert said.total == pytest.approx(expected.sum())
    assert touched == np.flatnonzero(expected).tolist()
    assert supported(source, arrays, history) == pytest.approx(expected, rel=1e-5)
    alone = source.pairs(arrays, history, np.arange(ITEMS), np.zeros(ITEMS, np.int32))
    for b, h in enumerate(history):
        cosines = [rows.get(h, {}).get(j, 0.0) / np.sqrt(n[h] * n[j]) for j in range(ITEMS)]
        assert alone[:, b] == pytest.approx(cosines, rel=1e-5)
