"""Expressions over an item and a user: one line of text, parsed once, becomes a test.

docs/filters.md is the language in words, syntax.py its grammar. What a comparison means is here:
both sides are values, a field may have none (missing), one or several (a list), and a relation
holds when any pair of values of one kind (text, number, boolean) is in it.
"""

import operator
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from streamrec.expressions.syntax import (
    SECONDS,
    Compare,
    Constant,
    Field,
    Node,
    Scalar,
    parse_tree,
    plain,
)

Fields = Mapping[str, Any]
Test = Callable[[Fields], bool]
Known = Mapping[type, set[Scalar]]
"""Values by their type: int and float share one set, bool and str have their own."""
Related = Callable[[Any], bool]
SHOWN = 40
"""Most characters of a text that `why` quotes."""
SHOWN_MEMBERS = 3
"""Most members of a list that `why` shows."""


class Expression:
    """A parsed text. Raises ExpressionError.

    Item and user are mappings of texts, numbers, booleans, None and lists of them. An item has the
    item fields of docs/filters.md by name, and a dict `attributes`; a user has `id`, `events`,
    `segment` and `history`. A value of any other type is as good as missing.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.root = parse_tree(text)
        """Its tree."""
        self.fields = frozenset(field.name for field in fields_of(self.root))
        """Full names of what it reads, such as `attributes.price` and `user.segment`."""
        of_user = any(name.startswith("user.") for name in self.fields)
        self._test = None if of_user else compiled(self.root, {})

    def holds(self, item: Fields, user: Fields) -> bool:
        """Tell whether it is true of the item for the user. Never raises.

        >>> Expression("price < 20 or seen").holds({"attributes": {"price": 5}}, {})
        True
        """
        return self.for_user(user)(item)

    def for_user(self, user: Fields) -> Test:
        """Return `holds` for one user and many items: the user's fields are read now, once."""
        return self._test or compiled(self.root, user)

    def why(self, item: Fields, user: Fields) -> str:
        """Return one line: the first part that decided the outcome, and the values it read.

        >>> Expression("not seen and price < 20").why({"attributes": {"price": 35.0}}, {})
        'price < 20 is false: price = 35.0'
        """
        node = _decider(self.root, item, user)
        outcome = "true" if compiled(node, user)(item) else "false"
        read = {f.text: _shown(f, reader(f, user)(item)) for f in fields_of(node)}
        values = f": {', '.join(read.values())}" if read else ""
        return f"{plain(node.text)} is {outcome}{values}"


def compiled(node: Node, user: Fields) -> Test:
    """Return the test of one user's items."""
    if isinstance(node, Compare):
        relate, left = _RELATIONS[node.relation], reader(node.left, user)
        right = reader(node.right, user)
        if isinstance(node.right, Field) and not node.right.name.startswith("user."):
            return lambda item: relate(by_kind(right(item)))(left(item))
        related = relate(by_kind(right({})))
        return lambda item: related(left(item))
    first, *_ = tests = [compiled(part, user) for part in node.parts]
    if node.word == "not":
        return lambda item: not first(item)
    decisive = node.word == "or"

    def first_decides(item: Fields) -> bool:
        for test in tests:
            if test(item) is decisive:
                return decisive
        return not decisive

    return first_decides


def reader(operand: Field | Constant, user: Fields) -> Callable[[Fields], Any]:
    """Return what reads the operand of an item; of user fields and constants it is known now."""
    if isinstance(operand, Constant):
        constant = operand.values if len(operand.values) > 1 else next(iter(operand.values), None)
        return lambda item: constant
    where, _, name = operand.name.partition(".")
    if where == "user":
        value = user.get(name)
        return lambda item: value
    if where != "attributes":
        return operator.methodcaller("get", where)

    def attribute(item: Fields) -> Any:
        attributes = item.get("attributes")
        return attributes.get(name) if isinstance(attributes, dict) else None

    return attribute


def _scalars(value: Any) -> list[Scalar]:
    """Return the values in a field; empty for a missing one: null, NaN, "", []."""
    members = value if type(value) in _LISTS else (value,)
    return [v for v in members if type(v) in _KINDS and v == v and v != ""]


def by_kind(value: Any) -> Known:
    """Return the values in a field by their kinds; numbers, of both types, are one."""
    numbers: set[Scalar] = set()
    kinds: dict[type, set[Scalar]] = {float: numbers, int: numbers, str: set(), bool: set()}
    for v in _scalars(value):
        kinds[type(v)].add(v)
    return kinds


def _equals(known: Known) -> Related:
    def equals(value: Any) -> bool:
        among = known.get(type(value))
        if among is not None:
            return value in among
        for v in value if type(value) in _LISTS else ():
            if v in known.get(type(v), ()):
                return True
        return False

    return equals


def _differs(known: Known) -> Related:
    """Relate what has a value of one kind with a known one, and none equal to a known one."""
    equals = _equals(known)
    return lambda value: not equals(value) and any([known[type(v)] for v in _scalars(value)])


def _contains(known: Known) -> Related:
    """Relate texts that have a known text in them, in any case, and lists of a known value."""
    parts = [str(part).casefold() for part in known[str]]
    has_member = _equals(known)

    def contains(value: Any) -> bool:
        if not isinstance(value, str):
            return has_member(value)
        folded = value.casefold()
        return any([part in folded for part in parts])

    return contains


def _ordered(before: Callable[..., bool], extreme: Callable[..., Any], known: Known) -> Related:
    """Relate what stands before any known value of its kind; booleans have no order."""
    bounds = {kind: extreme(values) for kind, values in known.items() if values}
    bounds.pop(bool, None)

    def ordered(value: Any) -> bool:
        if type(value) is float:
            return float in bounds and before(value, bounds[float])
        return any([type(v) in bounds and before(v, bounds[type(v)]) for v in _scalars(value)])

    return ordered


_KINDS = (float, str, int, bool)
_LISTS = (list, tuple)
_RELATIONS: Mapping[str, Callable[[Known], Related]] = {
    "==": _equals,
    "!=": _differs,
    "contains": _contains,
    "missing": lambda known: lambda value: not _scalars(value),
    "<": partial(_ordered, operator.lt, max),
    "<=": partial(_ordered, operator.le, max),
    ">": partial(_ordered, operator.gt, min),
    ">=": partial(_ordered, operator.ge, min),
}


def _decider(node: Node, item: Fields, user: Fields) -> Node:
    """Return the smallest part that alone decides the outcome, the first where there are more."""
    if isinstance(node, Compare) or (node.word == "not" and isinstance(node.parts[0], Compare)):
        return node
    for part in node.parts:
        if node.word == "not" or compiled(part, user)(item) is (node.word == "or"):
            return _decider(part, item, user)
    return node


def fields_of(node: Node) -> Iterator[Field]:
    """Yield the fields that a tree reads, those of items and of the user."""
    if isinstance(node, Compare):
        yield from (side for side in (node.left, node.right) if isinstance(side, Field))
    else:
        for part in node.parts:
            yield from fields_of(part)


def _shown(field: Field, value: Any) -> str:
    """Return `price = 35.0` or `price is missing`."""
    name, values = plain(field.text), _scalars(value)
    if not values:
        return f"{name} is missing"
    members = [_literal(v, is_age=field.name == "age") for v in values[:SHOWN_MEMBERS]]
    members += ["..."] * (len(values) > SHOWN_MEMBERS)
    shown = ", ".join(members)
    return f"{name} = [{shown}]" if type(value) in _LISTS else f"{name} = {shown}"


def _literal(value: Scalar, *, is_age: bool) -> str:
    """Return a value as an expression would write it; long texts are cut."""
    if isinstance(value, str):
        return f'"{plain(value[:SHOWN])}{"..." if len(value) > SHOWN else ""}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_age:
        unit = next((u for u, seconds in SECONDS.items() if abs(value) >= seconds), "s")
        return f"{value / SECONDS[unit]:.3g}{unit}"
    return repr(value)
