"""Who may import whom, what core code may not touch, and how long a file may be."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "streamrec"
FILES = sorted(ROOT.rglob("*.py"))
MAX_LINES = 300

# Folder -> what of ours it may import, besides itself. Folders not named here may import anything.
MAY_IMPORT = {
    "learners": {"config"},
    "shards": {"learners", "config", "errors", "events"},
    "ranking": {"learners", "shards", "config"},
    "evaluation": {"learners", "ranking", "shards", "config", "events", "profiles"},
}
# Core code does no IO and has no clock and no chance of its own.
CORE = {"learners", "shards", "ranking", "evaluation"}
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


def room(path: Path) -> str:
    """Return the folder below streamrec/ that the file lies in, or "" at the top."""
    parts = path.relative_to(ROOT).parts
    return parts[0] if len(parts) > 1 else ""


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


def ours(path: Path) -> set[str]:
    """Return the rooms (or top-level modules) of ours that a file imports."""
    names = [name.split(".") for name in imports(path)]
    return {name[1] for name in names if name[0] == "streamrec" and len(name) > 1}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [f for f in FILES if room(f) in MAY_IMPORT], ids=name_of)
def test_core_imports_only_what_it_may(path: Path) -> None:
    allowed = MAY_IMPORT[room(path)] | {room(path)}
    assert ours(path) <= allowed


@pytest.mark.parametrize("path", [f for f in FILES if room(f) == "transport"], ids=name_of)
def test_transport_knows_no_roles(path: Path) -> None:
    assert not ours(path) & {"roles", "cli"}


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
