"""The grammar of filters and boosts: from text to a tree, or an error that points at the place.

Python's own parser does the structure. Before it, one pass reads the fields and values, leaves a
name of the same length in the place of each, and writes what Python has for `contains`: so Python
sees nothing else than names, its own words and brackets, and its positions are those of the text.
docs/filters.md is the language in words, expression.py what a tree means.
"""

import ast
import difflib
import re
from typing import NamedTuple, NoReturn, TypeAlias

from streamrec.errors import ConfigurationError

Scalar = str | float | bool

MAX_LENGTH = 2000
"""Longest expression, in characters."""
MAX_DEPTH = 32
"""Deepest nesting of brackets, and most nots in a row."""
FLAGS = ("available", "seen")
ITEM_FIELDS = ("item", "title", "categories", "text", "age", "popularity", *FLAGS)
USER_FIELDS = ("user.id", "user.events", "user.segment", "user.history")
ALIASES = {"category": "categories", "price": "attributes.price"}
SECONDS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_TOKEN = re.compile(
    r"(?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?P<unit>\w*)"
    r"|(?P<word>(?:is\s+not|not\s+in|and|or|not|in|is|contains)(?![\w.])|[=!<>]=|[<>()\[\],])"
    rf"|(?P<name>[^\W\d]\w*(?:\.\w+)*(?:\.{_QUOTED})?)"
    rf"|(?P<text>{_QUOTED}|'(?:[^'\\]|\\.)*')|(?P<odd>\S)",
    re.DOTALL,
)
_MEANT = {"=": '"=="', "&": '"and"', "|": '"or"', "!": '"not"'}
_MEANT |= dict.fromkeys("'\"", "a closing quote")
_RELATIONS: dict[type[ast.AST], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.In: "==", ast.NotIn: "!=", ast.MatMult: "contains",
}  # fmt: skip
_LITERAL = 'a number, a duration, a "text", true or false'
_VALUE = f"a field, {_LITERAL}"
_LIST = "a list in [ ] or a field"
_COMPARISON = "a comparison (== != < <= > >= in contains is)"


class ExpressionError(ConfigurationError):
    """A text is not an expression; the message shows it with a caret under place `at`."""

    def __init__(self, reason: str, text: str, at: int) -> None:
        first = max(0, at - 60)
        lead, line = "..." if first else "", plain(text[first : first + 100])
        super().__init__(f"{reason}\n  {lead}{line}\n  {' ' * (len(lead) + at - first)}^")
        self.reason, self.text, self.at = reason, text, at


class Field(NamedTuple):
    """A field by its full name (`attributes.price`), and as it was written (`price`)."""

    name: str
    text: str


class Constant(NamedTuple):
    """A literal, or the members of a list of them; the word `missing` has none."""

    values: tuple[Scalar, ...]


class Compare(NamedTuple):
    """A relation of two operands; `in` is ==, `not in` is !=, a bare field is == true."""

    left: Field | Constant
    relation: str
    right: Field | Constant
    text: str


class Group(NamedTuple):
    """Parts joined by `and` or `or`, or the one part after `not`."""

    word: str
    parts: "tuple[Node, ...]"
    text: str


Node: TypeAlias = Compare | Group
MISSING = Constant(())
_CONSTANTS = {"true": Constant((True,)), "false": Constant((False,))}
_CONSTANTS |= {"missing": MISSING, "None": MISSING}


def parse_tree(text: str) -> Node:
    """Return the tree of a text. Raises ExpressionError."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"longer than {MAX_LENGTH} characters", text, MAX_LENGTH)
    return _Parser(text.strip()).tree()


def plain(text: str) -> str:
    """Return the text on one line, blanks for what cannot be shown."""
    return "".join(c if c.isprintable() else " " for c in text)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.operands: dict[int, Field | Constant] = {}  # by the place where they start

    def tree(self) -> Node:
        line = self.translated()
        try:
            return self.node(ast.parse(line, mode="eval").body)
        except SyntaxError as error:
            reason = error.msg.replace("invalid syntax", f"expected {_VALUE}")
            raise ExpressionError(reason, self.text, (error.offset or 1) - 1) from None

    def translated(self) -> str:
        """Return the text in Python, each word at its old place.

        What is a value and what may follow one take turns; brackets are left to Python.
        """
        line, wants_value, depth, nots = "", True, 0, 0
        for token in _TOKEN.finditer(self.text):
            word, at = token["word"], token.start()
            if token["odd"]:
                self.expected(_MEANT.get(token[0], "a name or value"), at, at + 1)
            if wants_value != (word in (None, "not", "(", "[")):
                in_list = line.rfind("[") > line.rfind("]")
                after = '"," or "]"' if in_list else f'{_COMPARISON}, "and", "or" or the end'
                self.expected(_VALUE if wants_value else after, at, token.end())
            wants_value = word not in (None, ")", "]")
            depth += (word in ("(", "[")) - (word in (")", "]"))
            nots = nots + 1 if word == "not" else 0
            if max(depth, nots) > MAX_DEPTH:
                raise ExpressionError(f"nested deeper than {MAX_DEPTH}", self.text, at)
            if word is None:
                self.operands[at] = self.operand(token)
            mark = " ".join(word.split()) if word else "x" * len(token[0])
            line = line.ljust(at) + mark.replace("contains", "@")
        if wants_value:
            self.expected(_VALUE, len(self.text))
        return line

    def operand(self, token: re.Match[str]) -> Field | Constant:
        written, unit, at = token["number"], token["unit"], token.start()
        if written:
            if unit and unit not in SECONDS:
                self.expected("a unit s, m, h, d or w after a number", token.start("unit"))
            number = int(written) if written.lstrip("-").isdigit() else float(written)
            return Constant((number * SECONDS[unit or "s"],))
        if token["name"]:
            return _CONSTANTS.get(token[0]) or self.field(token[0], at)
        value = _unquoted(token[0])
        if not value:
            raise ExpressionError('nothing equals "": write "is missing"', self.text, at)
        return Constant((value,))

    def field(self, written: str, at: int) -> Field:
        name = written.removeprefix("item.")
        name = ALIASES.get(name, name)
        key = name.removeprefix("attributes.")
        if key != name and (key[0] == '"' or '"' not in key):
            return Field("attributes." + (_unquoted(key) if key[0] == '"' else key), written)
        if name in ITEM_FIELDS or written in USER_FIELDS:
            return Field(name, written)
        known = USER_FIELDS if name.startswith("user.") else (*ITEM_FIELDS, *ALIASES)
        near = difflib.get_close_matches(name, known, 1, 0.6)
        reason = f'unknown field "{plain(written)}": '
        reason += f'nearest is "{near[0]}"' if near else f"known are {', '.join(known)}"
        if "." not in name:
            reason += f'; an attribute is written attributes.{name}, a text "{name}"'
        raise ExpressionError(reason, self.text, at)

    def node(self, found: ast.expr) -> Node:
        text = self.text[found.col_offset : found.end_col_offset]
        match found:
            case ast.BoolOp(op, values):
                word = "and" if isinstance(op, ast.And) else "or"
                return Group(word, tuple([self.node(value) for value in values]), text)
            case ast.UnaryOp(_, part):
                return Group("not", (self.node(part),), text)
            case ast.BinOp(left, sign, right):
                return self.comparison(left, sign, right, text)
            case ast.Compare(first, ops, rest):
                trios = zip((first, *rest), ops, rest, strict=False)
                parts = tuple([self.comparison(*trio, text) for trio in trios])
                return parts[0] if len(parts) == 1 else Group("and", parts, text)
        value = self.value(found, _COMPARISON)
        if isinstance(value, Field):
            stands_alone = value.name in FLAGS or "attributes." in value.text
        else:
            stands_alone = isinstance(value.values[0], bool)
        if not stands_alone:
            self.refuse(f"{_COMPARISON} with what is not true or false", found)
        return Compare(value, "==", _CONSTANTS["true"], text)

    def comparison(self, left: ast.expr, sign: ast.AST, right: ast.expr, text: str) -> Node:
        value = self.value(left)
        if isinstance(sign, ast.Is | ast.IsNot):
            if not isinstance(value, Field):
                raise ExpressionError("only a field can be missing", self.text, left.col_offset)
            if self.operands.get(right.col_offset) is not MISSING:
                self.refuse('"missing"', right)
            node = Compare(value, "missing", MISSING, text)
            return node if isinstance(sign, ast.Is) else Group("not", (node,), text)
        other = self.members(right) if isinstance(sign, ast.In | ast.NotIn) else self.value(right)
        return Compare(value, _RELATIONS[type(sign)], other, text)

    def members(self, found: ast.expr) -> Field | Constant:
        """Return what stands after `in`."""
        if not isinstance(found, ast.List):
            value = self.value(found, _LIST)
            return value if isinstance(value, Field) else self.refuse(_LIST, found)
        values: list[Scalar] = []
        for each in found.elts:
            value = self.value(each, _LITERAL)
            values += value.values if isinstance(value, Constant) else self.refuse(_LITERAL, each)
        return Constant(tuple(values))

    def value(self, found: ast.expr, wanted: str = _VALUE) -> Field | Constant:
        value = self.operands.get(found.col_offset) if isinstance(found, ast.Name) else None
        return value if value and value is not MISSING else self.refuse(wanted, found)

    def refuse(self, wanted: str, found: ast.expr) -> NoReturn:
        self.expected(wanted, found.col_offset, found.end_col_offset)

    def expected(self, wanted: str, at: int, end: int | None = None) -> NoReturn:
        found = f'"{plain(self.text[at:end])}"' if at < len(self.text) else "the end"
        raise ExpressionError(f"expected {wanted}, found {found}", self.text, at)


def _unquoted(written: str) -> str:
    """Return what stands between the quotes; a backslash takes the next character as it is."""
    return re.sub(r"\\(.)", r"\1", written[1:-1], flags=re.DOTALL)
