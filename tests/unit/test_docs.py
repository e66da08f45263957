"""README and docs: links lead somewhere, and what they name exists and behaves as they say."""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
import typer

from streamrec.cli import app
from streamrec.events.checks import Reason
from streamrec.events.event import Event, EventDecoder, Item, Rejected, decode_item
from streamrec.monitoring.metrics import Metrics
from streamrec.ranking.item_lists import ItemList
from streamrec.ranking.published import ContextList, PublishedList
from streamrec.settings.load import all_settings, default_of, load
from streamrec.settings.sections import EventSettings, Section, Settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
EVENTS = ROOT / "docs" / "events.md"
NOW = 1_732_300_000_000
FENCE = re.compile(r"^ *```(\w*) ?(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`([^`]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
COMMAND = re.compile(r"(?:^|[`/ ])streamrec((?: --\w+ \S+)*) ([a-z]+)(?: ([a-z]+))?", re.MULTILINE)


class Block(NamedTuple):
    """One fenced block: language, the word after it, text."""

    language: str
    word: str
    text: str


def pages(*names: str) -> list[Path]:
    return [page for page in PAGES if not names or page.name in names]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in FENCE.findall(page.read_text())]


def prose(page: Path) -> str:
    """Return the page without fenced and indented blocks."""
    text = FENCE.sub("", page.read_text())
    return "\n".join(line for line in text.splitlines() if not line.startswith("    "))


def code(page: Path) -> Iterator[str]:
    """Yield every code span and every line of a block."""
    for span in SPAN.findall(prose(page)):
        yield " ".join(span.split())
    text = page.read_text()
    yield from (line.strip() for line in text.splitlines() if line.startswith("    "))
    for block in blocks(page):
        yield from block.text.splitlines()


def anchors(page: Path) -> set[str]:
    """Return what GitHub makes of the headings."""
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(prose(page)))
    return {text.strip().replace(" ", "-") for text in kept}


def test_there_are_pages() -> None:
    names = {page.name for page in PAGES}
    assert {"README.md", "architecture.md", "guarantees.md", "events.md", "redis.md"} <= names


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leaves the repository"
        if anchor:
            assert anchor in anchors(target), f"{link}: there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_named_files_exist(page: Path) -> None:
    for span in code(page):
        if re.fullmatch(r"(streamrec|tests|docs|deploy|benchmarks)/[\w/.-]+", span):
            assert (ROOT / span).exists(), f"there is no {span}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_named_commands_exist(page: Path) -> None:
    group = typer.main.get_command(app)
    commands = group.commands  # type: ignore[attr-defined]
    for text in code(page):
        for _, name, below in COMMAND.findall(text):
            assert name in commands, f"there is no command streamrec {name}: {text}"
            if hasattr(commands[name], "commands") and below:
                assert below in commands[name].commands, f"there is no streamrec {name} {below}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_named_settings_exist(page: Path) -> None:
    known = all_settings()
    sections = {field.name for field in msgspec.structs.fields(Settings)}
    files = {"py", "md", "toml", "json", "yml"}
    for span in SPAN.findall(prose(page)):
        name = re.match(r"([a-z_]+)\.([a-z_.]+)(?= =|$)", span)
        if name and name[1] in sections and name[2].rpartition(".")[2] not in files:
            assert _is_setting(span.partition(" ")[0], known), f"there is no setting {span}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_defaults_in_parentheses_are_right(page: Path) -> None:
    for name, told in re.findall(r"`([a-z_]+\.[a-z_.]+)`\s\((\d[\d,]*)", prose(page)):
        assert default_of(name) == int(told.replace(",", "")), name


def _is_setting(name: str, known: dict[str, object]) -> bool:
    """Whether the name is a setting, a section, or an entry of a table of names."""
    entries = ("events.weights.", "blend.weights.")
    return name in known or name.startswith(entries) or _is_section(name)


def _is_section(name: str) -> bool:
    value: object = Settings()
    for part in name.split("."):
        value = getattr(value, part, None)
    return isinstance(value, Section)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_named_variables_exist(page: Path) -> None:
    other = {"STREAMREC_KAFKA", "STREAMREC_REDIS", "STREAMREC_CONFIG", "STREAMREC_TEST_KAFKA"}
    known = {f"STREAMREC_{name.replace('.', '_').upper()}" for name in all_settings()}
    for variable in re.findall(r"\bSTREAMREC_[A-Z_]*[A-Z]\b", page.read_text()):
        if variable not in {"STREAMREC_TEST"}:  # a prefix, STREAMREC_TEST_
            assert variable in known | other, f"there is no variable {variable}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_named_metrics_exist(page: Path) -> None:
    known = {described.name: described.kind for described in Metrics().described}
    for name in re.findall(r"\bstreamrec_[a-z0-9_]+", page.read_text()):
        if name in known:
            continue
        base, _, part = name.rpartition("_")
        assert known.get(base) == "histogram", f"there is no metric {name}"
        assert part in ("bucket", "sum", "count"), f"there is no metric {name}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_parse(page: Path) -> None:
    for language, _, text in blocks(page):
        if language == "json":
            json.loads(text)
        elif language == "toml":
            tomllib.loads(text)
        elif language == "python":
            ast.parse(text)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_toml_is_a_configuration(page: Path, tmp_path: Path) -> None:
    for block in blocks(page):
        if block.language == "toml":
            file = tmp_path / "streamrec.toml"
            file.write_text(block.text)
            load(file, {}, {})


def test_example_events_are_accepted() -> None:
    decoder = EventDecoder(EventSettings())
    plain = [b for b in blocks(EVENTS) if b.language == "json" and not b.word]
    assert len(plain) >= 2
    for block in plain:
        event = decoder.decode(block.text.encode(), NOW)
        assert isinstance(event, Event), event


def test_mapped_example_is_accepted_under_its_configuration(tmp_path: Path) -> None:
    (configuration,) = [b.text for b in blocks(EVENTS) if b.language == "toml"]
    (message,) = [b.text for b in blocks(EVENTS) if b.word == "mapped"]
    file = tmp_path / "streamrec.toml"
    file.write_text(configuration)
    event = EventDecoder(load(file, {}, {}).events).decode(message.encode(), NOW)
    assert isinstance(event, Event), event
    assert (event.user, event.item, event.type) == ("7", "A-113", "add_to_basket")


def test_example_item_is_accepted() -> None:
    (message,) = [b.text for b in blocks(EVENTS) if b.word == "item"]
    item = decode_item(b"i9", message.encode())
    assert isinstance(item, Item) and item.title == "Blue teapot"


def table_rows(page: Path, columns: str) -> list[list[str]]:
    """Return the cells of the table that has these heads."""
    lines = page.read_text().split(f"\n{columns}\n")[1].splitlines()[1:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_bad_input_table() -> None:
    decoder = EventDecoder(EventSettings())
    named = set()
    tried = 0
    for message, reason in table_rows(EVENTS, "| message | reason |"):
        reason = reason.strip("`")
        named.add(reason)
        for span in SPAN.findall(message):
            if span.startswith(("{", "[", "not ")):
                result = decoder.decode(span.encode(), NOW)
                assert isinstance(result, Rejected) and result.reason == reason, span
                tried += 1
    assert tried >= 18
    assert named == set(Reason.__args__)  # type: ignore[attr-defined]


def test_odd_input_table() -> None:
    decoder = EventDecoder(EventSettings())
    for message, taken in table_rows(EVENTS, "| message | taken as |"):
        event = decoder.decode(message.strip("`").encode(), NOW)
        assert isinstance(event, Event), message
        if user := re.fullmatch(r'user `"(\w+)"`', taken):
            assert event.user == user[1]


def test_types_table_has_the_default_weights() -> None:
    rows = table_rows(EVENTS, "| type | weight by default | does |")
    found = {name.strip("`"): float(weight) for name, weight, _ in rows}
    assert found == EventSettings().weights


def test_example_lists_are_published_lists() -> None:
    examples = [b.text for b in blocks(ROOT / "docs" / "redis.md") if b.language == "json"]
    assert len(examples) == 4
    at_place = msgspec.json.decode(examples[-1], type=ContextList)
    assert json.loads(examples.pop()) == json.loads(msgspec.json.encode(at_place))
    similar = msgspec.json.decode(examples.pop(), type=ItemList)
    assert similar.follows and similar.like
    for text in examples:
        found = msgspec.json.decode(text, type=PublishedList)
        assert json.loads(text) == json.loads(msgspec.json.encode(found))
        assert found.items


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_path_of_a_machine(page: Path) -> None:
    assert not re.search(r"(?<![\w.])/(work|home|root|tmp|Users)/", page.read_text())
