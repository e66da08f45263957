"""A source from outside the package: one file in tests/, one line of settings, and all has it."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from laws.spine import Spine
from laws.world import event, small
from typer.testing import CliRunner

from streamrec.cli import app
from streamrec.errors import ConfigurationError
from streamrec.inspection.explain import explained
from streamrec.settings.load import load
from streamrec.settings.sections import Settings, settings_type
from streamrec.sources.registry import names_of
from tools import reference

ROOT = Path(__file__).resolve().parents[2]
EXTRA = "first_letter:FirstLetter"
FLAGS = {"extra_sources": f'["{EXTRA}"]'}
TITLES = ("apple", "avocado", "almond", "banana", "beet", "cabbage", "carrot", "celery")


def test_the_example_of_the_docs_is_the_one_that_is_tested() -> None:
    code = (ROOT / "tests" / "first_letter.py").read_text()
    assert f"```python\n{code}```" in (ROOT / "docs" / "sources.md").read_text()


def test_its_settings_are_a_section_as_any_other() -> None:
    settings = load(None, {}, {**FLAGS, "first_letter.items": "2"})
    assert settings.first_letter.items == 2
    page = reference.configuration_page((EXTRA,))
    assert "## [first_letter]" in page and "first_letter" not in reference.configuration_page()
    with pytest.raises(ConfigurationError, match="first_letter.items cannot be '0'"):
        load(None, {}, {**FLAGS, "first_letter.items": "0"})
    with pytest.raises(ConfigurationError, match="did you mean first_letter.items"):
        load(None, {}, {**FLAGS, "first_letter.itemz": "2"})


def test_the_name_of_an_entry_point_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "alphabet-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: alphabet\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(f"[streamrec.sources]\nalphabet = {EXTRA}\n")
    monkeypatch.syspath_prepend(tmp_path)
    settings = load(None, {}, {"extra_sources": '["alphabet"]', "first_letter.items": "2"})
    assert settings.first_letter.items == 2
    assert names_of(settings)[-1] == "first_letter"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nowhere:Nothing", "No module named 'nowhere'"),
        ("first_letter:Nothing", "has no attribute"),
        ("pathlib:Path", "is no class of a Source"),
        ("not_installed", "entry point"),
    ],
)
def test_one_that_cannot_be_had_is_named(name: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        load(None, {}, {"extra_sources": f'["{name}"]'})


def test_it_is_in_the_tables_of_evaluate(tmp_path: Path) -> None:
    items, events, out = tmp_path / "items.csv", tmp_path / "events.csv", tmp_path / "out.json"
    rows = [f"i{n},{title} number {n}" for n, title in enumerate(TITLES)]
    items.write_text("item_id,title\n" + "\n".join(rows) + "\n")
    lines = [
        f"u{n % 5},i{n * 3 % 8 if n % 7 else n % 3},{1_700_000_000_000 + 1000 * n}"
        for n in range(200)
    ]
    events.write_text("user,item,ts\n" + "\n".join(lines) + "\n")
    arguments = ["--set", f"extra_sources={FLAGS['extra_sources']}", "evaluate", str(events)]
    arguments += ["--items", str(items), "--profile", "general", "--exclude", "none"]
    result = CliRunner().invoke(app, [*arguments, "--json", str(out)])
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())
    assert found["sources"]["first_letter"]["recall@10"] > 0
    assert any("first_letter" in window["weights"] for window in found["windows"])


def test_it_is_in_a_live_list_with_its_reason_in_metrics_and_in_explain(
    make_spine: Callable[[Settings, int], Spine],
) -> None:
    given = msgspec.to_builtins(small(lists={"length": 4}, content={"size": 0}))
    given |= {"extra_sources": [EXTRA], "first_letter": {"items": 1}}
    given["blend"] |= {"kind": "weighted", "weights": {"first_letter": 1.0}}
    spine = make_spine(msgspec.convert(given, settings_type((EXTRA,))), 2)
    for n, title in enumerate(TITLES):
        spine.describe(item=f"i{n}", title=title)
    spine.learn([event("other", f"i{n}", ts=n) for n in range(8)])
    spine.learn([event("u1", "i0", ts=20)])
    spine.score()
    listed = spine.served("u1")["items"]
    assert {entry["item"] for entry in listed} == {"i1", "i2"}
    assert all((e["source"], e["because"]) == ("first_letter", ["i0"]) for e in listed)
    spine.learn([event("u1", "i1", ts=21)])
    assert spine.value("prequential_hits_total", source="first_letter", k="20") == 1.0
    answer = explained(spine.settings, spine.store, "u1", "i2")
    assert answer.listed and list(answer.past) == ["i1"]  # the newest item alone
    assert list(answer.ranks) == ["first_letter"]


def test_it_is_in_the_generated_docs() -> None:
    mine = [line for line in reference.sources_table((EXTRA,)) if "first_letter" in line]
    words = "What begins with the same letter as the user's latest items."
    assert mine == [f"| `first_letter` | `[first_letter]` | share | 0.1 | {words} |"]
    assert reference.sources_table() == reference.sources_table((EXTRA,))[:-1]
    assert "\n".join(reference.sources_table()) in (ROOT / "docs" / "sources.md").read_text()
