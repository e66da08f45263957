"""Content vectors: hashed TF-IDF against the formula, and what they are for."""

import math
from types import SimpleNamespace
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.settings.load import load
from streamrec.sources import content
from streamrec.sources.content import Content, Words
from streamrec.text.words import WIDTH

TEXTS = st.lists(
    st.tuples(
        st.lists(st.sampled_from("red blue teapot cup cups schön".split()), max_size=6),
        st.lists(st.sampled_from(["Kitchen", "Garden"]), unique=True, max_size=2),
    ),
    min_size=1,
    max_size=6,
)


def cosine(one: np.ndarray, two: np.ndarray) -> float:
    return float(one @ two)


@given(TEXTS)
def test_a_vector_is_the_documented_one(items: list[tuple[list[str], list[str]]]) -> None:
    words, size, frequency = Words(16), 16, dict[int, int]()
    for n, (text, categories) in enumerate(items):
        half = len(text) // 2
        vector = words.vector(n, " ".join(text[:half]), categories, " ".join(text[half:]).upper())
        counts = {crc32(w.encode()): float(text.count(w)) for w in text}
        counts |= {crc32(b"\0" + c.lower().encode()): 4.0 for c in categories}  # weight 2
        for code in counts:
            frequency[code] = frequency.get(code, 0) + 1
        expected = np.zeros(size)
        for code, count in counts.items():
            idf = math.log(1 + (n + 1) / (1 + frequency[code]))
            expected[(code >> 1) % size] += (1 if code & 1 else -1) * math.sqrt(count) * idf
        length = np.linalg.norm(expected)
        assert vector == pytest.approx(expected / length if length else expected, abs=1e-5)
        assert vector.dtype == np.float32


def test_similar_texts_are_near_and_rare_words_say_more() -> None:
    words = Words(256)
    for n in range(50):
        words.vector(n, f"the film number{n}", ["Drama"], "")
    one = words.vector(50, "the zeppelin heist", ["Drama"], "")
    two = words.vector(51, "the zeppelin pilot", ["Drama"], "")
    other = words.vector(52, "the film quux", ["Drama"], "")
    assert cosine(one, two) > 0.3 > cosine(one, other) + 0.1
    assert cosine(one, one) == pytest.approx(1.0, abs=1e-5)


def test_an_item_without_words_is_at_zero_and_sizes_are_kept() -> None:
    assert not Words(8).vector(0, "", [], " - ").any()
    assert Words(8).vector(0, "a b c", [], "").shape == (8,)


def test_an_item_counts_once_however_often_it_is_described() -> None:
    words, fresh = Words(64), Words(64)
    for _ in range(20):
        words.vector(0, "red teapot", [], "")
        words.vector(1, "blue teapot", [], "")
    fresh.vector(0, "red teapot", [], "")
    fresh.vector(1, "blue teapot", [], "")
    mine, theirs = (w.vector(2, "teapot cup", [], "") for w in (words, fresh))
    assert (mine == theirs).all()


def test_directions_are_sought_when_texts_are_known_and_have_doubled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []
    whitening = content.Whitening.of

    def counted(vectors: np.ndarray, *sizes: int, plain: bool) -> content.Whitening:
        made.append(int(vectors.any(axis=1).sum()))
        return whitening(vectors, *sizes, plain=plain)

    monkeypatch.setattr(content.Whitening, "of", counted)
    source = Content(load(None, {}, {"text.model": "minilm"}))
    arrays = SimpleNamespace(
        text=np.zeros((9, WIDTH), np.int8),
        text_by=np.zeros(9, np.uint64),
        content=np.zeros((9, 64), np.float32),
    )
    rng = np.random.default_rng(1)
    for row in range(9):
        if row >= 2:  # of the first two no text comes
            arrays.text[row], arrays.text_by[row] = rng.integers(-9, 9, WIDTH), 1
        source.follow(arrays, np.array([row]), None, np.array([0]))
    assert made == [1, 2, 4]
    assert arrays.content.any(axis=1).tolist() == [False] * 2 + [True] * 7


def test_long_texts_and_many_words_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MOST_KNOWN", 10)
    words = Words(32)
    long = " ".join(f"w{n}" for n in range(1000))
    cut = " ".join(f"w{n}" for n in range(content.MOST_WORDS))
    assert (words.vector(0, long, [], "") == Words(32).vector(0, cut, [], "")).all()
    words.vector(1, "some more words", [], "")
    assert len(words._items) == 10
