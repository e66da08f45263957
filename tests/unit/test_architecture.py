"""Who may import whom, what core code may not touch, and how long a file may be."""

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ROOT = REPOSITORY / "streamrec"
FILES = sorted(ROOT.rglob("*.py"))
MAX_LINES = 300
MAX_TOP_FILES = 6  # __init__.py among them
MAX_POSITIONAL = 8
"""Arguments of a call that have no name: more are told apart by counting them."""
LEAVES = {"settings.types", "state.keys", "state.schema", "files.event_table"}
"""Files that every room may import; of ours they import errors alone."""

# Core code does no IO and has no clock and no chance of its own.
CORE = {"expressions", "sources", "blend", "state", "growth", "neural", "ranking", "flow"}
CORE |= {"evaluation"}
NOT_IN_CORE = {
    "asyncio",
    "confluent_kafka",
    "datetime",
    "http",
    "io",
    "kafka",
    "logging",
    "os",
    "pathlib",
    "prometheus_client",
    "random",
    "redis",
    "secrets",
    "shutil",
    "socket",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
    "urllib",
    "uuid",
}
CALLS_NOT_IN_CORE = {"open", "print", "input"}
GLOBAL_CHANCE = ("np.random.", "numpy.random.")
MAY_CREATE_CHANCE = {"Generator", "default_rng", "PCG64", "Philox", "SeedSequence"}


def may_import() -> dict[str, set[str]]:
    """Return the table of docs/architecture.md: room -> the rooms that it may import."""
    page = (REPOSITORY / "docs" / "architecture.md").read_text()
    _, _, section = page.partition("## Who may import whom")
    table: dict[str, set[str]] = {}
    for room, allowed in re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|$", section, re.MULTILINE):
        above = set(table) if "all of the above" in allowed else set()
        table[room] = above | set(re.findall(r"`(\w+)`", allowed))
    return table


MAY_IMPORT = may_import()


def room(path: Path) -> str:
    """Return the folder below streamrec/ that the file lies in, or its own name at the top."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted names a file imports, wherever in the file; relative ones made absolute."""
    package = ["streamrec", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            yield from (f"{module}.{alias.name}" for alias in node.names)


def module_of(name: str) -> str:
    """Return the module of ours that an imported dotted name lies in, without `streamrec.`."""
    parts = name.split(".")[1:]
    while parts and not (ROOT.joinpath(*parts).with_suffix(".py")).is_file():
        parts.pop()
    return ".".join(parts)


def ours(path: Path) -> set[str]:
    """Return the modules of ours that a file imports."""
    names = {module_of(n) for n in imports(path) if n.split(".")[0] == "streamrec"}
    return {name for name in names if name}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_room_is_in_the_table_and_none_else() -> None:
    assert set(MAY_IMPORT) | {"__init__", "flow"} == {room(path) for path in FILES} | {"flow"}


def test_the_table_has_no_circle() -> None:
    list(TopologicalSorter(MAY_IMPORT).static_order())


@pytest.mark.parametrize("path", [f for f in FILES if room(f) != "__init__"], ids=name_of)
def test_a_file_imports_only_what_its_room_may(path: Path) -> None:
    allowed = MAY_IMPORT[room(path)] | {room(path), "errors"}
    if ".".join(path.relative_to(ROOT).with_suffix("").parts) in LEAVES:
        allowed = {"errors"}
    wrong = {name for name in ours(path) - LEAVES if name.split(".")[0] not in allowed}
    assert not wrong


TRAINS = {
    "evaluation/peers/transformer.py",
    "neural/network.py",
    "neural/refresh.py",
    "neural/replay.py",
    "neural/together.py",
    "neural/trained.py",
    "roles/training/ranks.py",
    "text/tuning.py",
}


def test_only_what_trains_imports_torch() -> None:
    found = {name_of(f) for f in FILES if "torch" in {n.split(".")[0] for n in imports(f)}}
    assert found == TRAINS


def test_no_files_import_each_other_in_a_circle() -> None:
    graph = {".".join(f.relative_to(ROOT).with_suffix("").parts): ours(f) for f in FILES}
    list(TopologicalSorter(graph).static_order())


def test_few_files_lie_at_the_top() -> None:
    assert len(list(ROOT.glob("*.py"))) <= MAX_TOP_FILES


@pytest.mark.parametrize("path", [f for f in FILES if room(f) in CORE], ids=name_of)
def test_core_does_no_io_and_has_no_clock_and_no_chance(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & NOT_IN_CORE
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in CALLS_NOT_IN_CORE, f"line {node.lineno}"
            if called.startswith(GLOBAL_CHANCE):
                assert called.rsplit(".", 1)[1] in MAY_CREATE_CHANCE, f"line {node.lineno}"
                assert node.args or node.keywords, f"line {node.lineno}: a generator needs a seed"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_file_is_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_call_has_many_arguments_without_a_name(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            call = f"line {node.lineno}: {ast.unparse(node.func)}"
            assert len(node.args) <= MAX_POSITIONAL, call


SHAPES = re.compile(r"\b(u?int|float)\d*\b|\bbool\b|\b(as|of|a|:) [A-Z]\w+|\([A-Z]\w+\)")
"""A type, or the name of what holds arrays, where their shapes are written."""


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_compiled_function_says_what_it_takes(path: Path) -> None:
    """mypy sees nothing of it: the docstring is the only type that it can have."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            if any("njit" in ast.unparse(decorator) for decorator in node.decorator_list):
                assert SHAPES.search(ast.get_docstring(node) or ""), node.name


@pytest.mark.parametrize("path", [f for f in FILES if f.name != "cli.py"], ids=name_of)
def test_nothing_runs_at_import(path: Path) -> None:
    """Only definitions and constants stand at the top of a module; cli.py registers commands."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Expr):
            assert isinstance(node.value, ast.Constant), f"line {node.lineno}: {ast.unparse(node)}"
        assert not isinstance(node, ast.For | ast.While | ast.With), f"line {node.lineno}"


BANNED = {
    "manager",
    "helper",
    "util",
    "utils",
    "handler",
    "processor",
    "engine",
    "service",
    "data",
    "info",
    "misc",
}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_name_is_empty_of_meaning(path: Path) -> None:
    names = [path.stem]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.append(node.name)
    for name in names:
        snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
        assert not set(snake.split("_")) & BANNED, name
