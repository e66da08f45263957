"""The versions of the neural ranker in Redis, and which of them serves."""

import msgspec

from streamrec.errors import RefusedVersion
from streamrec.transport.redis.store import Store

SERVING = "sr:{network}:serving"
VERSIONS = "sr:{network}:versions"
DECISIONS = "sr:{network}:decisions"
NUMBER = "sr:{network}:number"
KEPT = 10
"""Latest versions that are kept, besides the one that serves and the one before it."""

MOVE = """
local now = redis.call('GET', KEYS[1])
if (now or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


class Serving(msgspec.Struct, frozen=True):
    """The pointer that scorers follow."""

    version: int = 0  # 0: none
    open: bool = False  # whether it serves; else the blend alone
    held: bool = False  # by a person: the gate then moves nothing
    before: tuple[int, ...] = ()  # versions that served before, the last one last
    at: int = 0  # epoch ms of the last change

    @property
    def number(self) -> int:
        """Return which version orders the lists, 0 for none."""
        return self.version if self.open else 0

    def moved(self, version: int, *, open: bool, held: bool, at: int) -> "Serving":
        """Return the pointer to another version, or another state of the same."""
        before = self.before
        if self.version and version != self.version:
            before = (*(n for n in before if n != version), self.version)[-KEPT:]
        return Serving(version, open, held, before, at)


class Versions:
    """Versions by number; each is stored whole, in one act, before anything names it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def pointer(self) -> bytes:
        """Return the pointer as it is stored, b"" before the first."""
        return self._store.run([("GET", SERVING)])[0] or b""

    def serving(self) -> Serving:
        """Return what serves."""
        return decoded(self.pointer())

    def move(self, before: bytes, to: Serving) -> bool:
        """Store the pointer unless it is no longer what it was; say whether it did."""
        blob = msgspec.json.encode(to)
        return bool(self._store.run([("EVAL", MOVE, 1, SERVING, before, blob)])[0])

    def add(self, blob: bytes) -> int:
        """Store a version and return its number; drop what is no longer kept."""
        number = int(self._store.run([("INCR", NUMBER)])[0])
        self._store.run([("HSET", VERSIONS, number, blob)])
        serving = self.serving()
        wanted = {*self.numbers()[-KEPT:], serving.version, *serving.before[-1:]}
        gone = [n for n in self.numbers() if n not in wanted]
        if gone:
            self._store.run([("HDEL", name, *gone) for name in (VERSIONS, DECISIONS)])
        return number

    def get(self, number: int) -> bytes:
        """Return a version's bytes; raises RefusedVersion where it is not kept."""
        blob: bytes | None = self._store.run([("HGET", VERSIONS, number)])[0]
        if blob is None:
            raise RefusedVersion("it is not in Redis")
        return blob

    def numbers(self) -> list[int]:
        """Return the numbers of the versions that are kept, the latest last."""
        return sorted(int(n) for n in self._store.run([("HKEYS", VERSIONS)])[0])

    def decide(self, number: int, decision: bytes) -> None:
        """Keep the gate's decision on a version, JSON."""
        self._store.run([("HSET", DECISIONS, number, decision)])

    def decision(self, number: int) -> bytes | None:
        """Return the gate's decision on a version, if there was one yet."""
        blob: bytes | None = self._store.run([("HGET", DECISIONS, number)])[0]
        return blob


def decoded(pointer: bytes) -> Serving:
    """Return the pointer; raises RefusedVersion for one that is damaged."""
    if not pointer:
        return Serving()
    try:
        return msgspec.json.decode(pointer, type=Serving)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedVersion(
            f"{SERVING} in Redis is damaged ({error}): delete it; `streamrec model promote N` "
            "names a version again"
        ) from None
