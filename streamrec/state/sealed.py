"""Arrays by name and what is told of them, as bytes that are whole or refused.

    magic | sha256 of the rest | length of the manifest u32 | manifest, JSON | arrays, safetensors

The arrays are a whole file of the safetensors format: length of a header u64, header (JSON: dtype,
shape and place of each), numbers. No pickle. What cannot be read raises ValueError, in words.
"""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Bytes = bytes | memoryview
DIGEST = 32
LENGTH, HEADER = struct.Struct("<I"), struct.Struct("<Q")
DTYPES = {"BOOL": "?", "F16": "<f2", "F32": "<f4", "F64": "<f8"} | {
    f"{kind.upper()}{8 * size}": f"<{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)
}
NAMES = {np.dtype(form): name for name, form in DTYPES.items()}


class _Tensor(msgspec.Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def seal(magic: bytes, manifest: Any, tensors: Sequence[Bytes]) -> list[Bytes]:
    """Return the bytes in parts; tensors: as `to_safetensors` returns them."""
    told, digest = msgspec.json.encode(manifest), hashlib.sha256()
    parts = [LENGTH.pack(len(told)), told, *tensors]
    for part in parts:
        digest.update(part)
    return [magic, digest.digest(), *parts]


def unseal(magic: bytes, blob: bytes) -> tuple[memoryview, memoryview]:
    """Return the bytes of the manifest and of the arrays."""
    start, rest = len(magic) + DIGEST, memoryview(blob)[len(magic) + DIGEST :]
    if blob[: len(magic)] != magic or len(rest) < LENGTH.size:
        raise ValueError("it is no version of this format")
    if hashlib.sha256(rest).digest() != blob[len(magic) : start]:
        raise ValueError("its bytes are damaged: the sha256 differs")
    end = LENGTH.size + LENGTH.unpack_from(rest)[0]
    return rest[LENGTH.size : end], rest[end:]


def to_safetensors(arrays: Mapping[str, Array]) -> list[Bytes]:
    """Return a file of arrays in parts, without a copy of them."""
    header, parts, at = {}, list[Bytes](), 0
    for name, array in arrays.items():
        shape, end = list(array.shape), at + array.nbytes
        header[name] = _Tensor(NAMES[array.dtype], shape, (at, end))
        if array.size:
            parts.append(np.asarray(array, order="C").data.cast("B"))
        at = end
    told = msgspec.json.encode(header)
    told += b" " * (-len(told) % 8)
    return [HEADER.pack(len(told)), told, *parts]


def from_safetensors(blob: Bytes) -> dict[str, Array]:
    """Return the arrays in the order of their bytes, which they must fill."""
    view = memoryview(blob)
    if len(view) < HEADER.size:
        raise ValueError("its arrays are cut off")
    start = HEADER.size + HEADER.unpack_from(view)[0]
    try:
        header = msgspec.json.decode(view[HEADER.size : start], type=dict[str, _Tensor])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"the header of its arrays cannot be read: {error}") from None
    arrays, end = dict[str, Array](), 0
    for name, one in sorted(header.items(), key=lambda each: each[1].data_offsets):
        (first, last), count = one.data_offsets, int(np.prod(one.shape, dtype=np.int64))
        dtype = np.dtype(DTYPES.get(one.dtype, "V0"))
        fits = dtype.itemsize and min(one.shape, default=0) >= 0 and start + last <= len(view)
        if not fits or first != end or last - first != dtype.itemsize * count:
            raise ValueError(f"{name} is of an unknown kind, or not whole")
        arrays[name] = np.frombuffer(view, dtype, count, start + first).reshape(one.shape)
        end = last
    if start + end != len(view):
        raise ValueError("there are bytes beyond its arrays")
    return arrays
