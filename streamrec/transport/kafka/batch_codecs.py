"""Decompression with a bound: a batch of 1 MB can hold gigabytes."""

import zlib

from streamrec.errors import LogError

MOST_BATCH_BYTES = 32 * 1024 * 1024
"""Longest batch read: 4 times our own longest record, and 32 times a batch of a default topic."""

CODECS = {1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
"""Kafka's numbers of them."""
PACKAGES = {"gzip": "zlib", "snappy": "cramjam", "lz4": "lz4", "zstd": "zstandard"}
"""Python package of each; the base install brings them all."""
MOST_STREAMS = 100
"""Of gzip in one batch. Producers write one; 8 MiB can be 400,000 empty ones, and behind each the
rest is copied: that would take half a minute."""
_XERIAL = b"\x82SNAPPY\x00"
_PIECE = 1024 * 1024


class CodecMissing(LogError):
    """The package of a codec is not installed: every batch of it would fail."""


class TooLong(ValueError):
    """A batch decompresses to more than MOST_BATCH_BYTES."""

    def __init__(self) -> None:
        super().__init__(f"it decompresses to more than {MOST_BATCH_BYTES} bytes")


def decompress(codec: int, packed: bytes) -> bytearray:
    """Return what a batch holds; raises TooLong, CodecMissing, or the codec's own error."""
    name = CODECS[codec]
    try:
        return _BY_NAME[name](packed)
    except ImportError:
        raise CodecMissing(
            f"a producer compresses with {name}, and its package is not installed here: "
            f"pip install {PACKAGES[name]}"
        ) from None


def _gzip(packed: bytes) -> bytearray:
    out, left, streams = bytearray(), packed, 0
    while left:
        if streams == MOST_STREAMS:
            raise ValueError(f"it is more than {MOST_STREAMS} gzip streams")
        streams += 1
        member = zlib.decompressobj(31)
        out += member.decompress(left, MOST_BATCH_BYTES + 1 - len(out))
        if len(out) > MOST_BATCH_BYTES:
            raise TooLong
        if not member.eof:
            raise ValueError("its gzip stream is cut off")
        left = member.unused_data
    return out


def _snappy(packed: bytes) -> bytearray:
    """Plain, or in the blocks of Java's library, each after its length."""
    out = bytearray()
    for block in _snappy_blocks(packed):
        if len(out) + _snappy_length(block) > MOST_BATCH_BYTES:
            raise TooLong
        out += _raw_snappy(block)
    return out


def _raw_snappy(block: bytes) -> bytes:
    from cramjam import snappy

    return bytes(snappy.decompress_raw(block))


def _snappy_blocks(packed: bytes) -> list[bytes]:
    if not packed.startswith(_XERIAL):
        return [packed]
    blocks, at = [], 16
    while at < len(packed):
        end = at + 4 + int.from_bytes(packed[at : at + 4])
        blocks.append(packed[at + 4 : end])
        at = end
    return blocks


def _snappy_length(block: bytes) -> int:
    """Return the length that a block says it has: 7 bits a byte, the lowest first."""
    length = 0
    for n, byte in enumerate(block[:5]):
        length |= (byte & 127) << 7 * n
        if byte < 128:
            return length
    raise ValueError("its snappy block has no length")


def _lz4(packed: bytes) -> bytearray:
    from lz4.frame import LZ4FrameDecompressor  # type: ignore[import-untyped]

    frame = LZ4FrameDecompressor()
    out = bytearray(frame.decompress(packed, max_length=MOST_BATCH_BYTES + 1))
    if len(out) > MOST_BATCH_BYTES:
        raise TooLong
    if not frame.eof:
        raise ValueError("its lz4 frame is cut off")
    return out


def _zstd(packed: bytes) -> bytearray:
    import zstandard

    out = bytearray()
    with zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as reader:
        while piece := reader.read(_PIECE):
            out += piece
            if len(out) > MOST_BATCH_BYTES:
                raise TooLong
    return out


_BY_NAME = {"gzip": _gzip, "snappy": _snappy, "lz4": _lz4, "zstd": _zstd}
