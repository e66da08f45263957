"""What an expression says of all items at once: column by column, not item by item.

A comparison of a field with what is no field of an item is worked out once for each value that the
field has, and an item's answer is that of its value: of 1,000,000 items in 40 categories, 40 are
compared. Where a field has too many values, or an item is compared with itself, the answers are
kept for each item. Both are worked out again only for items that changed.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamrec.expressions.expression import Fields, Test, by_kind, compiled, fields_of, reader
from streamrec.expressions.syntax import Compare, Field, Group, Node, Scalar
from streamrec.state.keys import grow

Array = NDArray[Any]
Mask = NDArray[np.bool_]
MOST_VALUES = 65_536
"""Values of a field that are told apart; of one with more, each item is looked at."""
MOST_ANSWERS = 128
"""Comparisons of a field whose answers are kept; the latest."""
MOVING = frozenset(("age", "popularity"))
"""Fields that change with time, without any change of the item."""
OF_USER = frozenset(("seen",))
"""Fields of an item that depend on the user."""
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "contains": "=="}
"""What a number's relation is from the other side."""


class Columns(Protocol):
    """The fields of all items, as `mask` asks for them; n items, by number."""

    @property
    def size(self) -> int:
        """How many items."""

    def coded(self, name: str) -> "Coded | None":
        """Return a field that an item keeps, by its values; None where it has too many."""

    def answers(self, key: Hashable, test: Test, names: frozenset[str]) -> Mask:
        """Return bool[n], the answers of a test that reads only fields that an item keeps."""

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return float64[n] of a field of MOVING; NaN is missing."""

    def seen(self) -> Mask:
        """Return bool[n]: the user had it before."""

    def called(self, name: str) -> int:
        """Return the number of the item of an id; -1 for none."""

    def item(self, number: int, names: frozenset[str]) -> Fields:
        """Return these fields of one item, as an Expression reads them; but for `seen`."""


def mask(node: Node, user: Fields, columns: Columns, among: Mask | None = None) -> Mask:
    """Return bool[n], which items a tree holds for; items not `among` may have any answer."""
    if isinstance(node, Compare):
        return _compared(node, user, columns, among)
    if node.word == "not":
        return ~mask(node.parts[0], user, columns, among)
    decisive = node.word == "or"
    out: Mask | None = None
    for part in sorted(node.parts, key=_is_slow):
        left = among
        if out is not None and _is_slow(part):  # the first ones decided
            left = out != decisive if among is None else (out != decisive) & among
        found = mask(part, user, columns, left)
        out = found if out is None else (out | found if decisive else out & found)
    assert out is not None, "a group has parts"
    return out


def of_item(name: str) -> bool:
    """Say whether a field's full name is of the item, not of the user."""
    return not name.startswith("user.")


def conjuncts(node: Node) -> Iterator[Node]:
    """Yield what must hold, all of it, for the tree to hold."""
    if isinstance(node, Group) and node.word == "and":
        for part in node.parts:
            yield from conjuncts(part)
    else:
        yield node


def is_personal(node: Node) -> bool:
    """Say whether what a tree says depends on the user."""
    return any(not of_item(f.name) or f.name in OF_USER for f in fields_of(node))


def _is_slow(node: Node) -> bool:
    """Say whether a tree has a comparison that looks at items one by one, each time."""
    if isinstance(node, Group):
        return any(map(_is_slow, node.parts))
    sides = [f.name for f in fields_of(node) if of_item(f.name)]
    return len(sides) > 1 and not MOVING.isdisjoint(sides)


def _compared(leaf: Compare, user: Fields, columns: Columns, among: Mask | None) -> Mask:
    """Return bool[n], which items a comparison holds for."""
    test, sides = compiled(leaf, user), [f.name for f in fields_of(leaf) if of_item(f.name)]
    names = frozenset(sides)
    if not sides:
        return np.full(columns.size, test({}))
    if _is_slow(leaf):
        return _one_by_one(test, names, columns, among)
    if not MOVING.isdisjoint(names):
        return _numbers(leaf, user, columns.numbers(sides[0]))
    key = leaf, *_read(leaf, user)
    if not OF_USER.isdisjoint(names):
        kept, seen = names - OF_USER, columns.seen()
        each = [_of_seen(test, key, was, kept, columns) for was in (True, False)]
        return np.where(seen, *each)
    if names == {"item"} and len(sides) == 1 and leaf.relation in ("==", "!="):
        return _of_ids(leaf, user, columns)
    coded = columns.coded(sides[0]) if len(names) == 1 else None
    return columns.answers(key, test, names) if coded is None else coded.holds(key, test)


def _of_seen(
    test: Test, key: Hashable, was: bool, names: frozenset[str], columns: Columns
) -> Mask | bool:
    """Return what a test says of items where all, or none, are seen."""
    if not names:
        return test({"seen": was})
    return columns.answers((key, was), lambda item: test({**item, "seen": was}), names)


def _of_ids(leaf: Compare, user: Fields, columns: Columns) -> Mask:
    """Return bool[n] of a comparison of ids with texts."""
    other = leaf.right if isinstance(leaf.left, Field) and of_item(leaf.left.name) else leaf.left
    texts = by_kind(reader(other, user)({}))[str]
    rows = [columns.called(str(text)) for text in texts]
    out = np.zeros(columns.size, np.bool_)
    out[[row for row in rows if row >= 0]] = True
    if leaf.relation == "!=":
        has_id: Test = lambda item: bool(item["item"])  # noqa: E731
        return columns.answers("has an id", has_id, frozenset(["item"])) & ~out & bool(texts)
    return out


def _numbers(leaf: Compare, user: Fields, column: NDArray[np.float64]) -> Mask:
    """Return bool[n] of a comparison of a column of numbers, NaN missing, with what is known."""
    mine_left = isinstance(leaf.left, Field) and of_item(leaf.left.name)
    relation = leaf.relation
    if not mine_left:
        relation = _TURNED.get(relation, relation)
    if relation == "missing":
        return np.isnan(column)
    known: set[Scalar] = by_kind(reader(leaf.right if mine_left else leaf.left, user)({}))[float]
    if not known:
        return np.zeros(len(column), np.bool_)
    bounds = [float(each) for each in known]
    if relation in ("<", "<="):
        return column < max(bounds) if relation == "<" else column <= max(bounds)
    if relation in (">", ">="):
        return column > min(bounds) if relation == ">" else column >= min(bounds)
    equal: Mask = np.isin(column, bounds)
    return ~equal & ~np.isnan(column) if relation == "!=" else equal


def _one_by_one(test: Test, names: frozenset[str], columns: Columns, among: Mask | None) -> Mask:
    """Return bool[n], the answers of a test for items that count, False for the others."""
    out = np.zeros(columns.size, np.bool_)
    numbers = range(columns.size) if among is None else np.flatnonzero(among).tolist()
    seen = columns.seen().tolist() if "seen" in names else None
    for n in numbers:
        item = columns.item(n, names)
        out[n] = test(item if seen is None else {**item, "seen": seen[n]})
    return out


def _read(leaf: Compare, user: Fields) -> Iterator[Hashable]:
    """Yield what a comparison reads of the user, in a form to compare with."""
    for field in fields_of(leaf):
        if not of_item(field.name):
            value = user.get(field.name.removeprefix("user."))
            members = tuple(value) if isinstance(value, list | tuple) else (value,)
            yield tuple([(type(each).__name__, each) for each in members])


class Coded:
    """One field of all items: a number for each value that it has. Bound: MOST_VALUES."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._attribute = name.removeprefix("attributes.")
        self._values: list[Any] = []
        self._code_of: dict[Any, int] = {}
        self._codes: Array = np.zeros(0, np.int32)
        self._size = 0
        self._answers: OrderedDict[Hashable, Mask] = OrderedDict()

    def take(self, size: int, numbers: Array, read: Callable[[str, int], Any]) -> bool:
        """Read the field of some items, of `size` in all; say whether its values are few."""
        if not self._values:
            self._code(None)  # of items that are not there yet
        self._codes, self._size = grow(self._codes, size), size
        name, code = self.name, self._code
        self._codes[numbers] = [code(read(name, n)) for n in numbers.tolist()]
        return len(self._values) <= MOST_VALUES

    @property
    def count(self) -> int:
        """How many values it has, or had."""
        return len(self._values)

    def holds(self, key: Hashable, test: Test) -> Mask:
        """Return bool[n], the answers of a test of this field; `key` says what the test is."""
        answers = self._answers.pop(key, np.zeros(0, np.bool_))
        if len(answers) < len(self._values):
            more = [test(self._item(value)) for value in self._values[len(answers) :]]
            answers = np.concatenate([answers, np.array(more, np.bool_)])
        self._answers[key] = answers
        if len(self._answers) > MOST_ANSWERS:
            self._answers.popitem(last=False)
        found: Mask = _spread(answers, self._codes[: self._size])
        return found

    def _item(self, value: Any) -> Fields:
        return {"attributes": {self._attribute: value}, self.name: value}

    def _code(self, value: Any) -> int:
        """Return the number of a value, a new one if it is new."""
        value = tuple(value) if isinstance(value, list) else value
        if value != value:  # NaN
            value = None
        key = (bool, value) if isinstance(value, bool) else value  # True == 1
        code = self._code_of.setdefault(key, len(self._values))
        if code == len(self._values):
            self._values.append(value)
        return code


class Kept:
    """The answers of tests for each item. Bound: `most` tests, the latest, a byte an item each."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._answers: OrderedDict[Hashable, tuple[Test, frozenset[str], Mask]] = OrderedDict()

    def of(self, key: Hashable, test: Test, names: frozenset[str], columns: Columns) -> Mask:
        """Return bool[n]; the first time, all items are looked at."""
        found = self._answers.pop(key, None)
        before = np.zeros(0, np.bool_) if found is None else found[2]
        if found is None or len(before) < columns.size:
            found = test, names, grow(before, columns.size)
            self._look(found, np.arange(len(before), columns.size), columns)
        self._answers[key] = found
        if len(self._answers) > self._most:
            self._answers.popitem(last=False)
        return found[2][: columns.size]

    def take(self, numbers: Array, columns: Columns) -> None:
        """Look at some items again."""
        for found in self._answers.values():
            self._look(found, numbers[numbers < len(found[2])], columns)

    def _look(
        self, found: tuple[Test, frozenset[str], Mask], numbers: Array, columns: Columns
    ) -> None:
        test, names, answers = found
        answers[numbers] = [test(columns.item(n, names)) for n in numbers.tolist()]


@njit(cache=True, nogil=True)
def _spread(answers, codes):  # type: ignore[no-untyped-def]
    """Return bool[n]: answers bool[values] of each of codes int32[n]."""
    out = np.empty(len(codes), np.bool_)
    for n in range(len(codes)):
        out[n] = answers[codes[n]]
    return out
