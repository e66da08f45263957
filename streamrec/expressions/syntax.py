"""The grammar of filters and boosts: from text to a tree, or an error that points at the place.

    or, and, not     == != < <= > >=     in, not in     contains     is missing, is not missing

docs/filters.md is the language in words, expressions.py what a tree means.
"""

import difflib
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple, NoReturn

import msgspec

Scalar = str | float | bool

MAX_LENGTH = 2000
"""Longest expression, in characters."""
MAX_DEPTH = 32
"""Deepest nesting of parentheses and nots."""
FLAGS = ("available", "seen")
ITEM_FIELDS = ("item", "title", "categories", "text", "age", "popularity", *FLAGS)
USER_FIELDS = ("user.id", "user.events", "user.segment", "user.history")
ALIASES = {"category": "categories", "price": "attributes.price"}
SECONDS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
ORDERS = ("<", "<=", ">", ">=")
RELATIONS = ("==", "!=", *ORDERS, "contains", "missing")
WORDS = frozenset("or and not in contains is missing true false".split())
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_SINGLE = _QUOTED.replace('"', "'")
_TOKEN = re.compile(
    r"\s*(?:(?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?P<unit>\w*)"
    rf"|(?P<name>[^\W\d]\w*(?:\.\w+)*(?:\.{_QUOTED})?)"
    rf"|(?P<text>{_QUOTED}|{_SINGLE})"
    r"|(?P<sign>[=!<>]=|[<>()\[\],])|(?P<end>\Z))",
    re.DOTALL,
)
_MEANT = {"=": '"=="', "&": '"and"', "|": '"or"', "!": '"not"'}
_COMPARISON = "a comparison (== != < <= > >= in contains is)"


class ExpressionError(ValueError):
    """A text is not an expression; the message shows it with a caret under place `at`."""

    def __init__(self, reason: str, text: str, at: int) -> None:
        first = max(0, at - 60)
        lead, line = "..." if first else "", plain(text[first : first + 100])
        super().__init__(f"{reason}\n  {lead}{line}\n  {' ' * (len(lead) + at - first)}^")
        self.reason, self.text, self.at = reason, text, at


class Field(msgspec.Struct, frozen=True):
    """A field by its full name (`attributes.price`), and as it was written (`price`)."""

    name: str
    text: str


class Constant(msgspec.Struct, frozen=True):
    """A literal, or the members of a list of them."""

    values: tuple[Scalar, ...]


class Compare(msgspec.Struct, frozen=True):
    """A relation of two operands; `in` is ==, `not in` is !=, a bare field is == true."""

    left: Field | Constant
    relation: str
    right: Field | Constant
    text: str


class Not(msgspec.Struct, frozen=True):
    """Holds when its part does not."""

    part: "Node"
    text: str


class Group(msgspec.Struct, frozen=True):
    """Two or more parts joined by one word, `and` or `or`."""

    word: str
    parts: tuple["Node", ...]
    text: str


Node = Compare | Not | Group


def parse_tree(text: str) -> Node:
    """Return the tree of a text. Raises ExpressionError."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"longer than {MAX_LENGTH} characters", text, MAX_LENGTH)
    return _Parser(text).whole()


def plain(text: str) -> str:
    """Return the text on one line, blanks for what cannot be shown."""
    return "".join(c if c.isprintable() else " " for c in text)


class _Token(NamedTuple):
    kind: str  # number, name, word, text, sign or end
    text: str
    start: int
    end: int
    value: Scalar = ""


def _tokens(text: str) -> Iterator[_Token]:
    at, kind = 0, ""
    while kind != "end":
        found = _TOKEN.match(text, at)
        if found is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            meant = _MEANT.get(text[at], "a closing quote" if text[at] in "'\"" else "")
            reason = f"expected {meant or 'a name or value'}, found {plain(text[at])!r}"
            raise ExpressionError(reason, text, at)
        kind = found.lastgroup or ""
        kind = "number" if kind == "unit" else kind
        written, start, at = found[kind], found.start(kind), found.end()
        value: Scalar = ""
        if kind == "number":
            unit = found["unit"]
            if unit and unit not in SECONDS:
                reason = f'expected a unit s, m, h, d or w after a number, found "{unit}"'
                raise ExpressionError(reason, text, found.start("unit"))
            number = int(written) if written.lstrip("-").isdigit() else float(written)
            value = number * SECONDS[unit] if unit else number
        elif kind == "text":
            value = _unquoted(written)
            if not value:
                raise ExpressionError('nothing equals "": write "is missing"', text, start)
        elif written in WORDS:
            kind, value = "word", written == "true"
        yield _Token(kind, written, start, at, value)


def _unquoted(written: str) -> str:
    """Return what stands between the quotes; a backslash takes the next character as it is."""
    return re.sub(r"\\(.)", r"\1", written[1:-1], flags=re.DOTALL)


class _Parser:
    """Recursive descent, one method a level: or, and, not, comparison, operand."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(_tokens(text))
        self.at = 0
        self.depth = 0

    @property
    def next(self) -> _Token:
        return self.tokens[self.at]

    def whole(self) -> Node:
        root = self.any_of()
        if self.next.kind != "end":
            self.expected('"and", "or" or the end')
        return root

    def any_of(self) -> Node:
        return self.group("or", lambda: self.group("and", self.negation))

    def group(self, word: str, inner: Callable[[], Node]) -> Node:
        start = self.at
        parts = [inner()]
        while self.take(word):
            parts.append(inner())
        return parts[0] if len(parts) == 1 else Group(word, tuple(parts), self.since(start))

    def negation(self) -> Node:
        start = self.at
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ExpressionError(f"nested deeper than {MAX_DEPTH}", self.text, self.next.start)
        if self.take("not"):
            node: Node = Not(self.negation(), self.since(start))
        elif self.take("("):
            node = self.any_of()
            if not self.take(")"):
                self.expected('"and", "or" or ")"')
        else:
            node = self.comparison()
        self.depth -= 1
        return node

    def comparison(self) -> Node:
        start, first = self.at, self.next
        left = self.operand()
        if self.take("is"):
            negated = self.take("not")
            if not isinstance(left, Field):
                raise ExpressionError("only a field can be missing", self.text, first.start)
            if not self.take("missing"):
                self.expected('"missing"' if negated else '"missing" or "not missing"')
            node = Compare(left, "missing", Constant(()), self.since(start))
            return Not(node, node.text) if negated else node
        sign = self.next.text
        if (self.next.kind == "sign" and sign in RELATIONS) or sign == "contains":
            self.at += 1
            return Compare(left, sign, self.operand(), self.since(start))
        relation = "!=" if self.take("not") else "=="
        if self.take("in"):
            return Compare(left, relation, self.members(), self.since(start))
        if relation == "!=":
            self.expected('"in"')
        if first.kind != "word" and isinstance(left, Constant):
            self.expected(_COMPARISON)
        if isinstance(left, Field) and left.name not in FLAGS and "attributes." not in left.text:
            self.expected(f"{_COMPARISON}, as {left.text} is not true or false")
        return Compare(left, "==", Constant((True,)), self.since(start))

    def members(self) -> Field | Constant:
        if self.next.kind == "name":
            return self.operand()
        if not self.take("["):
            self.expected("a list in [ ] or a field")
        values = [self.literal()]
        while self.take(","):
            values.append(self.literal())
        if not self.take("]"):
            self.expected('"," or "]"')
        return Constant(tuple(values))

    def operand(self) -> Field | Constant:
        token = self.next
        if token.kind != "name":
            return Constant((self.literal(" or a field"),))
        self.at += 1
        return Field(self.full_name(token), token.text)

    def literal(self, otherwise: str = "") -> Scalar:
        token = self.next
        if token.kind not in ("number", "text") and token.text not in ("true", "false"):
            self.expected(f'a number, a duration, a "text", true, false{otherwise}')
        self.at += 1
        return token.value

    def full_name(self, token: _Token) -> str:
        name = token.text.removeprefix("item.")
        name = ALIASES.get(name, name)
        key = name.removeprefix("attributes.")
        if key != name and (key[0] == '"' or '"' not in key):
            return "attributes." + (_unquoted(key) if key[0] == '"' else key)
        if name in ITEM_FIELDS or token.text in USER_FIELDS:
            return name
        known = USER_FIELDS if name.startswith("user.") else (*ITEM_FIELDS, *ALIASES)
        near = difflib.get_close_matches(name, known, 1, 0.6)
        reason = f'unknown field "{plain(token.text)}": '
        reason += f'nearest is "{near[0]}"' if near else f"known are {', '.join(known)}"
        if "." not in name:
            reason += f'; an attribute is written attributes.{name}, a text "{name}"'
        raise ExpressionError(reason, self.text, token.start)

    def take(self, text: str) -> bool:
        """Step over the next token if it is this word or sign."""
        taken = self.next.text == text and self.next.kind in ("word", "sign")
        self.at += taken
        return taken

    def since(self, start: int) -> str:
        return self.text[self.tokens[start].start : self.tokens[self.at - 1].end]

    def expected(self, what: str) -> NoReturn:
        found = f'"{plain(self.next.text)}"' if self.next.text else "the end"
        raise ExpressionError(f"expected {what}, found {found}", self.text, self.next.start)
