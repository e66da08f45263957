"""Arrays and what is told of them in one file (state/sealed.py): whole or not at all."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from streamrec.errors import ConfigurationError, DamagedState
from streamrec.files.writing import replacing
from streamrec.state.sealed import Array, from_safetensors, seal, to_safetensors, unseal

MAGIC = b"SRL2"


def write(file: Path, told: Any, arrays: Mapping[str, Array]) -> None:
    """Write what is told, JSON, and arrays; a file that is there is replaced when all is written.

    Raises ConfigurationError where that cannot be done; what was there is then still there.
    """
    parts = seal(MAGIC, told, to_safetensors(arrays))
    try:
        with replacing(file) as part, part.open("wb") as out:
            out.writelines(parts)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise ConfigurationError(f"Cannot write {file}: {error.strerror}.") from None


def read(file: Path, kind: type[Any]) -> tuple[Any, dict[str, Array]]:
    """Return what was told, as `kind`, and the arrays by name.

    Raises DamagedState unless all of the file is as it was written, ConfigurationError where there
    is none.
    """
    try:
        blob = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"Cannot read {file}: {error.strerror}.") from None
    if blob[: len(MAGIC)] != MAGIC:
        raise DamagedState(f"{file} is not a file that Recommender.save of this release wrote.")
    try:
        told, tensors = unseal(MAGIC, blob)
    except ValueError:
        raise DamagedState(f"{file} is damaged or cut off: its sha256 differs.") from None
    try:
        return msgspec.json.decode(told, type=kind), from_safetensors(tensors)
    except (ValueError, msgspec.MsgspecError) as error:
        raise DamagedState(f"{file} holds no state that this release reads: {error}.") from None
