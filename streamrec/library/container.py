"""Arrays and a header in one file: whole or not at all, with a version and a checksum.

    magic | sha256 of the rest | length of the header u64 | header, JSON | arrays, one after another

The header says of each array its name, type and shape. No pickle: numbers and text alone.
"""

import hashlib
import os
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.errors import ConfigurationError, DamagedState

Array = NDArray[Any]
MAGIC = b"SRL1"
DIGEST = 32
LENGTH = struct.Struct("<Q")
KINDS = "biuf"
"""Arrays hold truth values and numbers."""


class _Array(msgspec.Struct):
    name: str
    dtype: str
    shape: list[int]


class _Header(msgspec.Struct):
    arrays: list[_Array]
    told: msgspec.Raw


def write(file: Path, told: Any, arrays: Mapping[str, Array]) -> None:
    """Write what is told, JSON, and arrays; a file that is there is replaced when all is written.

    Raises ConfigurationError where that cannot be done; what was there is then still there.
    """
    packed = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    named = [_Array(name, a.dtype.str, list(a.shape)) for name, a in packed.items()]
    header = msgspec.json.encode(_Header(named, msgspec.Raw(msgspec.json.encode(told))))
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=file.parent, prefix=f".{file.name}.", delete=False
        ) as out:
            temporary = Path(out.name)
            digest = hashlib.sha256()
            out.write(MAGIC + bytes(DIGEST))
            for part in (LENGTH.pack(len(header)), header, *map(_bytes, packed.values())):
                digest.update(part)
                out.write(part)
            out.seek(len(MAGIC))
            out.write(digest.digest())
            out.flush()
            os.fsync(out.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, file)
        temporary = None
    except OSError as error:
        raise ConfigurationError(f"Cannot write {file}: {error.strerror}.") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def read(file: Path, kind: type[Any]) -> tuple[Any, dict[str, Array]]:
    """Return what was told, as `kind`, and the arrays by name.

    Raises DamagedState unless all of the file is as it was written, ConfigurationError where there
    is none.
    """
    try:
        blob = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"Cannot read {file}: {error.strerror}.") from None
    start = len(MAGIC) + DIGEST
    if blob[: len(MAGIC)] != MAGIC:
        raise DamagedState(f"{file} is not a file that Recommender.save of this release wrote.")
    if hashlib.sha256(memoryview(blob)[start:]).digest() != blob[len(MAGIC) : start]:
        raise DamagedState(f"{file} is damaged or cut off: its sha256 differs.")
    try:
        at = start + LENGTH.size + LENGTH.unpack_from(blob, start)[0]
        header = msgspec.json.decode(blob[start + LENGTH.size : at], type=_Header)
        arrays = {}
        for one in header.arrays:
            dtype, count = np.dtype(one.dtype), int(np.prod(one.shape, dtype=np.int64))
            if dtype.kind not in KINDS or min(one.shape, default=0) < 0:
                raise ValueError(one.name)
            arrays[one.name] = np.frombuffer(blob, dtype, count, at).reshape(one.shape)
            at += count * dtype.itemsize
        return msgspec.json.decode(header.told, type=kind), arrays
    except (ValueError, TypeError, struct.error, msgspec.MsgspecError) as error:
        raise DamagedState(f"{file} holds no state that this release reads: {error}.") from None


def _bytes(array: Array) -> Any:
    """Return the bytes of an array without a copy; of an empty one there are none."""
    return array.data.cast("B") if array.size else b""


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
