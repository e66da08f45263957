"""A version of the network at rest: what it was made for and from, and its arrays.

Its bytes are those of state/sealed.py: no torch, for scorers have numpy alone.
"""

import hashlib
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.blend.learned import E
from streamrec.errors import RefusedVersion
from streamrec.neural.reading import PAST, PROJECTED, WHITENED, Shape
from streamrec.settings.neural import NeuralSettings
from streamrec.state.sealed import from_safetensors, seal, to_safetensors, unseal

MAGIC = b"SRN1"
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
    extras: int = E
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
            channels=shape.channels, text=shape.text, extras=shape.extras, units=rules.units,
            hidden=rules.hidden, tasks=rules.tasks, settings=msgspec.to_builtins(rules),
        )  # fmt: skip

    @property
    def shape(self) -> Shape:
        """Return the shape of what it reads."""
        return Shape(
            self.candidates, self.history, self.sources, self.channels, self.text, self.extras
        )


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
    packed = {name: np.asarray(array, "<f4") for name, array in sorted(arrays.items())}
    tensors = b"".join(to_safetensors(packed))
    manifest = msgspec.structs.replace(manifest, sha256=hashlib.sha256(tensors).hexdigest())
    return b"".join(seal(MAGIC, manifest, [tensors]))


def unpack(blob: bytes, shape: Shape | None = None) -> Version:
    """Return the version; raises RefusedVersion where it is damaged or made for another shape.

    shape: of what is to be read; None: any.
    """
    if len(blob) > MOST_BYTES:
        raise RefusedVersion(f"it has {len(blob)} bytes, more than {MOST_BYTES}")
    try:
        told, tensors = unseal(MAGIC, blob)
        manifest = msgspec.json.decode(told, type=Manifest)
        if shape is not None and manifest.shape != shape:
            raise RefusedVersion(f"it was made for {_difference(manifest.shape, shape)}")
        if hashlib.sha256(tensors).hexdigest() != manifest.sha256:
            raise RefusedVersion("its arrays are not those of its manifest")
        arrays = from_safetensors(tensors)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedVersion(f"its manifest cannot be read: {error}") from None
    except ValueError as error:
        raise RefusedVersion(str(error)) from None
    if {name: array.shape for name, array in arrays.items()} != arrays_of(manifest):
        raise RefusedVersion("its arrays have other names or shapes than its manifest says")
    for name, array in arrays.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise RefusedVersion(f"{name} is not float32, or not finite")
    return Version(manifest, arrays)


def _difference(made_for: Shape, wanted: Shape) -> str:
    for name, theirs, ours in zip(Shape._fields, made_for, wanted, strict=True):
        if theirs != ours:
            return f"{name} = {theirs}, here it is {ours}"
    return "another shape"
