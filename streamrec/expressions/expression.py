"""Expressions over an item and a user: one line of text, parsed once, becomes a test.

docs/filters.md is the language in words, syntax.py its grammar. What a comparison means is here:
both sides are values, a field may have none (missing), one or several (a list), and a relation
holds when any pair of values of one kind (text, number, boolean) is in it.
"""

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from streamrec.expressions.syntax import (
    ORDERS,
    SECONDS,
    Compare,
    Constant,
    ExpressionError,
    Field,
    Group,
    Node,
    Not,
    Scalar,
    parse_tree,
    plain,
)

__all__ = ["Expression", "ExpressionError", "Fields", "Test", "parse"]

Fields = Mapping[str, Any]
Test = Callable[[Fields], bool]
Known = Mapping[type, frozenset[Scalar]]
"""Values by their type: int and float share one set, bool and str have their own."""
Related = Callable[[Any], bool]
SHOWN = 40
"""Most characters of a text that `why` quotes."""
SHOWN_MEMBERS = 3
"""Most members of a list that `why` shows."""
LARGEST = 1e300
"""Largest number that `why` shows."""


class Expression:
    """A parsed text.

    Item and user are mappings. An item has the item fields of docs/filters.md by name, and a
    mapping `attributes`; a user has `id`, `events`, `segment` and `history`.
    """

    def __init__(self, text: str, root: Node) -> None:
        self.text = text
        self.root = root
        self.fields = frozenset(field.name for field in _fields(root))
        """Full names of what it reads, such as `attributes.price` and `user.segment`."""
        of_user = any(name.startswith("user.") for name in self.fields)
        self._test = None if of_user else _compile(root, {})

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"parse({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def holds(self, item: Fields, user: Fields) -> bool:
        """Tell whether it is true of the item for the user. Never raises, whatever the values.

        >>> parse("price < 20 and not seen").holds({"attributes": {"price": 5}, "seen": False}, {})
        True
        """
        return self.for_user(user)(item)

    def for_user(self, user: Fields) -> Test:
        """Return `holds` for one user and many items: the user's fields are read now, once."""
        return self._test or _compile(self.root, user)

    def why(self, item: Fields, user: Fields) -> str:
        """Return one line: the first part that decided the outcome, and the values it read.

        >>> parse("not seen and price < 20").why({"attributes": {"price": 35.0}}, {})
        'price < 20 is false: price = 35.0'
        """
        node = _decider(self.root, item, user)
        outcome = "true" if _compile(node, user)(item) else "false"
        read = {f.text: _shown(f, _reader(f, user)(item)) for f in _fields(node)}
        values = f": {', '.join(read.values())}" if read else ""
        return f"{plain(node.text)} is {outcome}{values}"


def parse(text: str) -> Expression:
    """Return the expression that a text is. Raises ExpressionError.

    >>> sorted(parse("price < 20 and attributes.brand == user.segment").fields)
    ['attributes.brand', 'attributes.price', 'user.segment']
    """
    return Expression(text, parse_tree(text))


def _compile(node: Node, user: Fields) -> Test:
    """Return the test of one user's items."""
    if isinstance(node, Compare):
        return _comparison(node, user)
    if isinstance(node, Not):
        part = _compile(node.part, user)
        return lambda item: not part(item)
    decisive = node.word == "or"
    tests = [_compile(part, user) for part in node.parts]

    def first_decides(item: Fields) -> bool:
        for test in tests:
            if test(item) is decisive:
                return decisive
        return not decisive

    return first_decides


def _comparison(node: Compare, user: Fields) -> Test:
    relate = _RELATIONS[node.relation]
    left, right = _reader(node.left, user), _reader(node.right, user)
    if isinstance(node.right, Field) and not node.right.name.startswith("user."):
        return lambda item: relate(_by_kind(right(item)))(left(item))
    related = relate(_by_kind(right({})))
    return lambda item: related(left(item))


def _reader(operand: Field | Constant, user: Fields) -> Callable[[Fields], Any]:
    """Return what reads the operand of an item; of user fields and constants it is known now."""
    if isinstance(operand, Constant):
        values = operand.values
        constant = values[0] if len(values) == 1 else values
        return lambda item: constant
    where, _, name = operand.name.partition(".")
    if where == "user":
        value = user.get(name)
        return lambda item: value
    if where != "attributes":
        return operator.methodcaller("get", where)

    def attribute(item: Fields) -> Any:
        attributes = item.get("attributes")
        if type(attributes) is dict or isinstance(attributes, Mapping):
            return attributes.get(name)
        return None

    return attribute


def _scalars(value: Any) -> tuple[Scalar, ...]:
    """Return the values in a field; empty for a missing one: null, NaN, "", []."""
    if type(value) in _KINDS:
        return (value,) if value == value and value != "" else ()
    if isinstance(value, np.generic):
        plainer = value.item()
        return _scalars(plainer) if type(plainer) in _KINDS else ()
    if isinstance(value, np.ndarray):
        value = value.ravel().tolist()
    if isinstance(value, (list, tuple, set, frozenset)):
        return tuple([v for v in value if type(v) in _KINDS and v == v and v != ""])
    return ()


def _by_kind(value: Any) -> Known:
    kinds: dict[type, set[Scalar]] = {str: set(), bool: set(), float: set()}
    for v in _scalars(value):
        kinds[float if type(v) is int else type(v)].add(v)
    numbers = frozenset(kinds[float])
    return {
        str: frozenset(kinds[str]), bool: frozenset(kinds[bool]), float: numbers, int: numbers
    }  # fmt: skip


def _equals(known: Known) -> Related:
    def equals(value: Any) -> bool:
        among = known.get(type(value))
        if among is not None:
            return value in among
        for v in value if type(value) in (tuple, list) else _scalars(value):
            if type(v) in _KINDS and v in known[type(v)]:
                return True
        return False

    return equals


def _differs(known: Known) -> Related:
    """Relate what has a value of one kind with a known one, and none equal to a known one."""
    equals = _equals(known)

    def differs(value: Any) -> bool:
        return not equals(value) and any([known[type(v)] for v in _scalars(value)])

    return differs


def _contains(known: Known) -> Related:
    """Relate texts that have a known text in them, in any case, and lists of a known value."""
    parts = [str(part).casefold() for part in known[str]]
    has_member = _equals(known)

    def contains(value: Any) -> bool:
        if not isinstance(value, str):
            return has_member(value)
        folded = value.casefold()
        return any(part in folded for part in parts)

    return contains


def _missing(known: Known) -> Related:
    return lambda value: not _scalars(value)


def _in_order(sign: str) -> Callable[[Known], Related]:
    """Return the relation <, <=, > or >=; booleans have no order."""
    before = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}[sign]
    extreme: Callable[..., Any] = max if sign in ("<", "<=") else min  # any known value will do

    def relate(known: Known) -> Related:
        bounds = {t: extreme(v) for t, v in known.items() if v and t is not bool}

        def ordered(value: Any) -> bool:
            if type(value) is float:
                return float in bounds and before(value, bounds[float])
            return any(type(v) in bounds and before(v, bounds[type(v)]) for v in _scalars(value))

        return ordered

    return relate


_KINDS = (float, str, int, bool)
_RELATIONS: Mapping[str, Callable[[Known], Related]] = {
    "==": _equals,
    "!=": _differs,
    "contains": _contains,
    "missing": _missing,
    **{sign: _in_order(sign) for sign in ORDERS},
}


def _decider(node: Node, item: Fields, user: Fields) -> Node:
    """Return the smallest part that alone decides the outcome, the first where there are more."""
    if isinstance(node, Not) and not isinstance(node.part, Compare):
        return _decider(node.part, item, user)
    if isinstance(node, Group):
        for part in node.parts:
            if _compile(part, user)(item) is (node.word == "or"):
                return _decider(part, item, user)
    return node


def _fields(node: Node) -> Iterator[Field]:
    if isinstance(node, Compare):
        yield from (side for side in (node.left, node.right) if isinstance(side, Field))
    else:
        for part in (node.part,) if isinstance(node, Not) else node.parts:
            yield from _fields(part)


def _shown(field: Field, value: Any) -> str:
    """Return `price = 35.0` or `price is missing`."""
    name, values = plain(field.text), _scalars(value)
    if not values:
        return f"{name} is missing"
    members = [_literal(v, is_age=field.name == "age") for v in values[:SHOWN_MEMBERS]]
    members += ["..."] * (len(values) > SHOWN_MEMBERS)
    is_list = len(values) > 1 or type(value) in (list, tuple, set, frozenset)
    shown = ", ".join(members)
    return f"{name} = [{shown}]" if is_list else f"{name} = {shown}"


def _literal(value: Scalar, *, is_age: bool) -> str:
    """Return a value as an expression would write it; long texts are cut."""
    if isinstance(value, str):
        return f'"{plain(value[:SHOWN])}{"..." if len(value) > SHOWN else ""}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if abs(value) > LARGEST:
        return "beyond 1e300"  # an int may be too long for float() and even for str()
    if is_age:
        unit = next((u for u, seconds in SECONDS.items() if abs(value) >= seconds), "s")
        return f"{value / SECONDS[unit]:.3g}{unit}"
    return repr(value)
