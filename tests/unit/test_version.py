"""Versions of the neural ranker at rest: whole, or refused."""

import hashlib
import struct
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from needs import needs

from streamrec.errors import RefusedVersion
from streamrec.neural import version
from streamrec.neural.reading import Shape
from streamrec.neural.version import MAGIC, Manifest, arrays_of, pack, unpack
from streamrec.settings.neural import NeuralSettings
from streamrec.state.sealed import DIGEST, LENGTH, from_safetensors, seal, to_safetensors

RULES = NeuralSettings(units=4, hidden=6)
SHAPE = Shape(20, 6, ("similarity", "factors"), ("similarity",), 8)
MANIFEST = Manifest.of(SHAPE, RULES)


def arrays(seed: int = 1) -> version.Arrays:
    rng = np.random.default_rng(seed)
    wanted = arrays_of(MANIFEST).items()
    return {name: rng.standard_normal(size).astype(np.float32) for name, size in wanted}


BLOB = pack(MANIFEST, arrays())
START = len(MAGIC) + DIGEST


def told(blob: bytes) -> tuple[bytes, bytes]:
    """Return manifest and arrays of a version."""
    end = START + LENGTH.size + LENGTH.unpack_from(blob, START)[0]
    return blob[START + LENGTH.size : end], blob[end:]


def signed(manifest: bytes, tensors: bytes) -> bytes:
    """Return a version whose outer digest fits, as a program with a fault would write it."""
    return b"".join(seal(MAGIC, msgspec.Raw(manifest), [tensors]))


def made(change: Callable[[version.Arrays], None] = lambda a: None, **manifest: object) -> bytes:
    mine = arrays()
    change(mine)
    return pack(msgspec.structs.replace(MANIFEST, **manifest), mine)


def with_tensors(change: Callable[[bytes], bytes]) -> bytes:
    """Return a version whose digests all fit, around arrays that were changed."""
    tensors = change(told(BLOB)[1])
    manifest = msgspec.structs.replace(MANIFEST, sha256=hashlib.sha256(tensors).hexdigest())
    return signed(msgspec.json.encode(manifest), tensors)


def flipped(at: int) -> bytes:
    return BLOB[:at] + bytes([BLOB[at] ^ 1]) + BLOB[at + 1 :]


def put(name: str, value: float) -> Callable[[version.Arrays], None]:
    def change(mine: version.Arrays) -> None:
        mine[name].flat[0] = value

    return change


DAMAGED = {
    "nothing": b"",
    "another magic": b"XXXX" + BLOB[4:],
    "only the head": BLOB[:START],
    "the first half": BLOB[: len(BLOB) // 2],
    "the last byte gone": BLOB[:-1],
    "a byte too many": BLOB + b"\0",
    "a bit in the digest": flipped(len(MAGIC)),
    "a bit in the length": flipped(START),
    "a bit in the manifest": flipped(START + 20),
    "a bit in the arrays": flipped(len(BLOB) - 9),
    "too long": BLOB + bytes(version.MOST_BYTES),
    "a manifest that is no JSON": signed(b"{" + told(BLOB)[0], told(BLOB)[1]),
    "a manifest without sizes": signed(b"{}", told(BLOB)[1]),
    "arrays of another version": signed(told(BLOB)[0], told(pack(MANIFEST, arrays(2)))[1]),
    "an array missing": made(lambda a: a.pop("unit.bias")),
    "an array too many": made(lambda a: a.update(more=np.zeros(3, np.float32))),
    "an array of another shape": made(lambda a: a.update({"unit.bias": np.zeros(5, np.float32)})),
    "NaN": made(put("inward.weight", np.nan)),
    "infinity": made(put("mean", np.inf)),
    "another number of candidates": made(candidates=21),
    "another history": made(history=7),
    "other sources": made(sources=("similarity", "content")),
    "other channels": made(channels=("factors",)),
    "other texts": made(text=9),
    "other units than its arrays": made(units=5),
    "arrays that are cut off": with_tensors(lambda t: t[:-8]),
    "arrays with more behind them": with_tensors(lambda t: t + bytes(8)),
    "a header that is no JSON": with_tensors(lambda t: t[:8] + b"[" + t[9:]),
    "a header longer than the file": with_tensors(lambda t: struct.pack("<Q", 1 << 40) + t[8:]),
    "no header": with_tensors(lambda t: b"abc"),
    "numbers of an unknown kind": with_tensors(lambda t: t.replace(b"F32", b"X32", 1)),
    "doubles": with_tensors(lambda t: t.replace(b"F32", b"F64", 1)),
    "whole numbers": with_tensors(lambda t: t.replace(b"F32", b"I32", 1)),
}


def test_a_version_survives_its_bytes() -> None:
    found = unpack(BLOB, SHAPE)
    assert found.manifest.shape == SHAPE and found.manifest.tasks == RULES.tasks
    assert found.arrays.keys() == arrays().keys()
    for name, array in arrays().items():
        np.testing.assert_array_equal(found.arrays[name], array)


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_version_is_refused(damage: str) -> None:
    with pytest.raises(RefusedVersion) as refusal:
        unpack(DAMAGED[damage], SHAPE)
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) > 10


def test_any_bit_flipped_is_refused() -> None:
    for at in range(0, len(BLOB), max(1, len(BLOB) // 400)):
        with pytest.raises(RefusedVersion):
            unpack(flipped(at), SHAPE)


def test_a_refusal_says_what_differs() -> None:
    with pytest.raises(RefusedVersion, match="made for history = 7, here it is 6"):
        unpack(made(history=7), SHAPE)


def test_the_usual_sizes_take_little() -> None:
    sources = ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")
    manifest = Manifest.of(Shape(80, 24, sources, sources[:6], 64), NeuralSettings())
    some = {name: np.zeros(size, np.float32) for name, size in arrays_of(manifest).items()}
    assert len(pack(manifest, some)) < 90_000


def test_the_arrays_are_a_safetensors_file() -> None:
    theirs = needs("safetensors.numpy")
    mine = arrays()
    for name, array in theirs.load(b"".join(to_safetensors(mine))).items():
        np.testing.assert_array_equal(array, mine[name])
    for name, array in from_safetensors(theirs.save(mine)).items():
        np.testing.assert_array_equal(array, mine[name])


@pytest.mark.parametrize("text", [0, 8, 100])
def test_the_network_in_torch_has_these_arrays(text: int) -> None:
    needs("torch")
    from streamrec.neural.network import PairNetwork

    shape = SHAPE._replace(text=text)
    weights = PairNetwork(shape, RULES).weights()
    wanted = arrays_of(Manifest.of(shape, RULES))
    assert {name: array.shape for name, array in weights.items()} == wanted
    assert unpack(pack(Manifest.of(shape, RULES), weights), shape)
