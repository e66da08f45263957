"""A version of the network at rest: what it was made for and from, and its arrays.

    magic | sha256 of the rest | length of the manifest u32 | manifest, JSON | arrays, safetensors

The arrays are a whole file of the safetensors format: length of a header u64, header (JSON: dtype,
shape and place of each), float32s. It is read and written here, for scorers have numpy alone.
"""

import hashlib
import struct
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.errors import RefusedVersion
from streamrec.neural.reading import PAST, PROJECTED, WHITENED, Shape
from streamrec.settings.neural import NeuralSettings

MAGIC = b"SRN1"
DIGEST = 32
LENGTH = struct.Struct("<I")
HEADER = struct.Struct("<Q")
MOST_BYTES = 4 * 1024 * 1024
"""Longest version that is read; 300,000 weights take a quarter of it."""
Arrays = dict[str, NDArray[np.float32]]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a version was made for, and from."""

    sha256: str = ""  # of the arrays
    candidates: int
    history: int
    sources: tuple[str, ...]
    channels: tuple[str, ...]
    text: int
    units: int
    hidden: int
    tasks: dict[str, float]
    settings: dict[str, Any] = {}
    refresh: int = 0  # its number in the trainer's life
    samples: int = 0  # taken in until then
    clicked_from: int = 0  # epoch ms, of the new samples it learnt from
    clicked_to: int = 0
    losses: dict[str, float] = {}  # while it was trained, by task
    offsets: dict[str, int] = {}  # of the samples topic: next, by partition
    gate: tuple[float, ...] = ()  # what the gate remembers
    made_at: int = 0  # epoch ms

    @classmethod
    def of(cls, shape: Shape, rules: NeuralSettings) -> "Manifest":
        """Return what can be said before anything is learnt."""
        return cls(
            candidates=shape.candidates, history=shape.history, sources=shape.sources,
            channels=shape.channels, text=shape.text, units=rules.units, hidden=rules.hidden,
            tasks=rules.tasks, settings=msgspec.to_builtins(rules),
        )  # fmt: skip

    @property
    def shape(self) -> Shape:
        """Return the shape of what it reads."""
        return Shape(self.candidates, self.history, self.sources, self.channels, self.text)


class Version(NamedTuple):
    """A version that was found whole."""

    manifest: Manifest
    arrays: Arrays


def arrays_of(manifest: Manifest) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays that a network of the manifest's sizes has, by name."""
    units, hidden, text = manifest.units, manifest.hidden, manifest.text
    whitened = min(WHITENED, text)
    out: dict[str, tuple[int, ...]] = {
        "alpha": (),
        "pair.weight": (units, len(manifest.channels) + (text > 0)),
        "pair.bias": (units,),
        "past.weight": (units, PAST),
        "unit.weight": (units, units),
        "unit.bias": (units,),
        "inward.weight": (hidden, manifest.shape.facts + 2 * units),
        "inward.bias": (hidden,),
        "again.weight": (hidden, hidden),
        "again.bias": (hidden,),
        "heads.weight": (len(manifest.tasks), hidden),
        "whiten": (whitened, text),
        "mean": (text,),
    }
    if text:
        out["project.weight"] = (PROJECTED, whitened)
    return out


def pack(manifest: Manifest, arrays: Arrays) -> bytes:
    """Return the bytes of a version."""
    tensors = to_safetensors(arrays)
    manifest = msgspec.structs.replace(manifest, sha256=hashlib.sha256(tensors).hexdigest())
    told = msgspec.json.encode(manifest)
    rest = LENGTH.pack(len(told)) + told + tensors
    return MAGIC + hashlib.sha256(rest).digest() + rest


def unpack(blob: bytes, shape: Shape | None = None) -> Version:
    """Return the version; raises RefusedVersion where it is damaged or made for another shape.

    shape: of what is to be read; None: any.
    """
    start = len(MAGIC) + DIGEST
    if blob[: len(MAGIC)] != MAGIC or len(blob) < start + LENGTH.size:
        raise RefusedVersion("it is no version of this format")
    if len(blob) > MOST_BYTES:
        raise RefusedVersion(f"it has {len(blob)} bytes, more than {MOST_BYTES}")
    if hashlib.sha256(blob[start:]).digest() != blob[len(MAGIC) : start]:
        raise RefusedVersion("its bytes are damaged: the sha256 differs")
    end = start + LENGTH.size + LENGTH.unpack_from(blob, start)[0]
    try:
        manifest = msgspec.json.decode(blob[start + LENGTH.size : end], type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedVersion(f"its manifest cannot be read: {error}") from None
    if shape is not None and manifest.shape != shape:
        raise RefusedVersion(f"it was made for {_difference(manifest.shape, shape)}")
    if hashlib.sha256(blob[end:]).hexdigest() != manifest.sha256:
        raise RefusedVersion("its arrays are not those of its manifest")
    arrays = from_safetensors(blob[end:])
    wanted = arrays_of(manifest)
    if {name: array.shape for name, array in arrays.items()} != wanted:
        raise RefusedVersion("its arrays have other names or shapes than its manifest says")
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise RefusedVersion(f"{name} is not finite")
    return Version(manifest, arrays)


def to_safetensors(arrays: Arrays) -> bytes:
    """Return a file of float32 arrays."""
    header, parts, at = {}, [], 0
    for name in sorted(arrays):
        part = np.ascontiguousarray(arrays[name], "<f4").tobytes()
        shape = list(arrays[name].shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + len(part)]}
        parts.append(part)
        at += len(part)
    told = msgspec.json.encode(header)
    told += b" " * (-len(told) % 8)
    return HEADER.pack(len(told)) + told + b"".join(parts)


class _Tensor(msgspec.Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def from_safetensors(blob: bytes) -> Arrays:
    """Return the arrays; raises RefusedVersion unless they are float32 and fill the file."""
    if len(blob) < HEADER.size:
        raise RefusedVersion("its arrays are cut off")
    start = HEADER.size + HEADER.unpack_from(blob)[0]
    try:
        header = msgspec.json.decode(blob[HEADER.size : start], type=dict[str, _Tensor])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedVersion(f"the header of its arrays cannot be read: {error}") from None
    arrays, end = {}, 0
    for name, (first, last), one in sorted(
        ((name, one.data_offsets, one) for name, one in header.items()), key=lambda x: x[1]
    ):
        count = int(np.prod(one.shape, dtype=np.int64))
        fits = one.dtype == "F32" and min(one.shape, default=0) >= 0
        if not fits or first != end or last - first != 4 * count or start + last > len(blob):
            raise RefusedVersion(f"{name} is not float32, or not whole")
        arrays[name] = np.frombuffer(blob, "<f4", count, start + first).reshape(one.shape)
        end = last
    if start + end != len(blob):
        raise RefusedVersion("there are bytes beyond its arrays")
    return arrays


def _difference(made_for: Shape, wanted: Shape) -> str:
    for name, theirs, ours in zip(Shape._fields, made_for, wanted, strict=True):
        if theirs != ours:
            return f"{name} = {theirs}, here it is {ours}"
    return "another shape"
