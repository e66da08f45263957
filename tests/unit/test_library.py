"""`import streamrec`: evaluate and its result, from frames of any kind."""

import doctest
import importlib
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from logs import clicks, figures, written
from needs import needs
from report_page import check

import streamrec
from streamrec.errors import ConfigurationError
from streamrec.library.given import MOST_KEPT

pytestmark = pytest.mark.usefixtures("nothing_configured")
LOG = clicks(300)
DICTS = [click._asdict() for click in LOG]
COLUMNS = {
    "user_id": [c.user for c in LOG], "item_id": [c.item for c in LOG],
    "event_type": [c.type for c in LOG], "ts": [c.ts for c in LOG],
}  # fmt: skip
MODULES = sorted((Path(streamrec.__file__).parent / "library").glob("*.py"))


def same_figures(found: dict[str, Any]) -> dict[str, Any]:
    """Return what does not depend on the machine or the name of the log."""
    left = {k: v for k, v in found.items() if k != "events_per_second"}
    return left | {"protocol": {k: v for k, v in found["protocol"].items() if k != "file"}}


def loaded(code: str) -> set[str]:
    """Return the modules that a program has loaded at its end."""
    program = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_nothing_is_loaded_before_it_is_named() -> None:
    slow = {"numpy", "numba", "msgspec", "streamrec.library.recommender", "narwhals", "pyarrow"}
    assert not loaded("import streamrec; dir(streamrec)") & slow
    assert "streamrec.library.recommender" in loaded("from streamrec import Recommender")
    assert not loaded("import streamrec.cli") & (slow - {"msgspec"})
    assert set(streamrec.__all__) <= set(dir(streamrec))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = streamrec.nothing


def test_what_serves_loads_no_torch() -> None:
    serves = "streamrec.roles.learn, streamrec.roles.score, streamrec.flow, streamrec.neural.serve"
    assert "torch" not in loaded(f"import {serves}")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_examples_in_docstrings_run(path: Path) -> None:
    name = "" if path.stem == "__init__" else f".{path.stem}"
    found = doctest.testmod(importlib.import_module(f"streamrec.library{name}"))
    assert found.failed == 0


def test_every_public_method_has_an_example_that_runs() -> None:
    public = [streamrec.evaluate, streamrec.Recommender]
    public += [m for n, m in vars(streamrec.Recommender).items() if n[0] != "_" and callable(m)]
    for one in public:
        assert ">>> " in (one.__doc__ or ""), one.__name__


def pandas() -> Any:
    return needs("pandas").DataFrame(COLUMNS)


def polars() -> Any:
    return needs("polars").DataFrame(COLUMNS)


def pyarrow() -> Any:
    return needs("pyarrow").table(COLUMNS)


@pytest.mark.parametrize("make", [pandas, polars, pyarrow])
def test_a_frame_of_any_kind_is_the_file(make: Callable[[], Any]) -> None:
    frame = make()
    found = streamrec.evaluate(frame, profile="shop")
    assert same_figures(found.figures) == same_figures(figures(LOG, "--profile", "shop"))
    assert type(found.table) is type(frame), "a table of the caller's kind"
    assert list(found.table["list"])[0] == "blend" or found.table["list"][0].as_py() == "blend"


def test_dicts_and_a_path_are_the_file() -> None:
    expected = same_figures(figures(LOG, "--profile", "shop"))
    of_path = streamrec.evaluate(written(LOG), profile="shop")
    of_dicts = streamrec.evaluate(iter(DICTS), profile="shop")
    assert same_figures(of_path.figures) == same_figures(of_dicts.figures) == expected
    assert of_dicts.table[0]["list"] == "blend"
    assert of_dicts.table[0]["recall@20"] == expected["sources"]["blend"]["recall@20"]


def test_the_profile_is_chosen_as_the_command_chooses_it() -> None:
    found = streamrec.evaluate(DICTS)
    assert same_figures(found.figures) == same_figures(figures(LOG))


def test_options_are_those_of_the_command() -> None:
    own = {"lists.exclude": "none", "blend.off": ["factors"], "events.weights.click": 2.0}
    found = streamrec.evaluate(
        DICTS, profile="shop", settings=own, seed=3, limit=100, warm_up=0.0, lag=10,
        peers=["popularity_7d"], compare=["vote"], staleness=True, ablation=True,
    )  # fmt: skip
    sets = [x for k in ("lists.exclude=none", 'blend.off=["factors"]', "events.weights.click=2")
            for x in ("--set", k)]  # fmt: skip
    expected = figures(
        LOG, "--profile", "shop", "--seed", "3", "--limit", "100", "--warm-up", "0", "--lag", "10",
        "--peers", "popularity_7d", "--compare", "vote", "--staleness", "--ablation", before=sets,
    )  # fmt: skip
    assert same_figures(found.figures) == same_figures(expected)
    assert found.interval("blend", "popularity_7d") == found.interval("blend", "peer:popularity_7d")
    [told] = [o for o in expected["comparisons"] if o["b"] == "peer:popularity_7d"]
    assert found.interval("blend", "popularity_7d").low == told["low"]
    assert found.interval("vote", "blend") == found.interval("blend:vote", "blend")


class Newest:
    """A peer that lists the latest items of all."""

    def __init__(self) -> None:
        self.items: list[str] = []

    def recommend(self, user: str, k: int) -> list[str]:
        return self.items[::-1][:k]

    def learn(self, event: dict[str, Any]) -> None:
        self.items = [i for i in self.items if i != event["item"]] + [event["item"]]


class Named(Newest):
    name = "mine"


def test_a_peer_is_any_object_that_learns_and_recommends() -> None:
    found = streamrec.evaluate(DICTS, profile="shop", peers=[Newest(), Named(), "own_recent"])
    assert {"peer:newest", "peer:mine", "peer:own_recent"} <= set(found.figures["sources"])
    assert found.figures["protocol"]["peers"] == ["own_recent", "newest", "mine"]
    assert (found.places["peer:mine"] == found.places["peer:newest"]).all()
    one = streamrec.evaluate(DICTS, profile="shop", peers={"a": Newest()}).interval("blend", "a")
    assert one == found.interval("blend", "mine")
    assert one.low <= one.difference <= one.high


def test_a_recommender_as_a_peer_is_the_blend() -> None:
    own = streamrec.Recommender("shop")
    found = streamrec.evaluate(DICTS, profile="shop", peers={"own": own})
    mine, theirs = found.places["blend"], found.places["peer:own"]
    listed = np.floor(mine) < 20
    assert (mine == theirs)[listed].mean() > 0.98, "but for ties, which are half a place"
    assert not np.isfinite(theirs[~listed]).any()
    assert own.counts()["events"] == len(LOG)


def test_a_result_in_words_and_as_a_page() -> None:
    found = streamrec.evaluate(DICTS, profile="shop")
    assert str(found).startswith("20 suggestions hold the next item ")
    page = check(found.report("page.html").read_text())
    assert {"sources", "over-time", "comparisons", "protocol"} <= set(page.sections)
    with pytest.raises(ConfigurationError, match="Cannot write nowhere/page.html"):
        found.report("nowhere/page.html")
    with pytest.raises(ConfigurationError, match="'guess' is none of blend, "):
        found.interval("blend", "guess")
    with pytest.raises(ConfigurationError, match="metric 'luck' is none of recall@10"):
        found.interval("blend", "factors", "luck")


def test_items_are_a_frame_or_dicts() -> None:
    items = [{"item": f"i{n}", "title": f"Thing {n % 3}"} for n in range(20)]
    of_dicts = streamrec.evaluate(DICTS, profile="catalogue", items=items, limit=150)
    frame = needs("pandas").DataFrame({"sku": [i["item"] for i in items],
                                       "title": [i["title"] for i in items]})  # fmt: skip
    of_frame = streamrec.evaluate(
        DICTS, profile="catalogue", items=frame, item_columns={"item": "sku"}, limit=150
    )
    assert same_figures(of_dicts.figures) == same_figures(of_frame.figures)
    assert "content" in of_dicts.figures["sources"]


def test_a_missing_column_names_those_that_there_are() -> None:
    frame = pandas().rename(columns={"user_id": "who"})
    with pytest.raises(ConfigurationError) as raised:
        streamrec.evaluate(frame)
    assert str(raised.value) == (
        "the frame has no column user_id or user for the user. Columns found: who, item_id, "
        "event_type, ts. Name it: columns={'user': COLUMN}."
    )
    streamrec.evaluate(frame, columns={"user": "who"}, limit=50)


def test_refused_rows_are_counted_and_can_be_read() -> None:
    frame = pandas()
    frame.loc[3, "ts"] = -5
    frame.loc[7, "event_type"] = "wave"
    with pytest.warns(UserWarning, match="2 of 300 events are refused: 1 schema, 1 unknown_type"):
        found = streamrec.evaluate(frame, profile="shop")
    assert [(one.row, one.reason) for one in found.refused] == [(4, "schema"), (8, "unknown_type")]
    assert "no weight in" in found.refused[1].detail
    wrong = [*DICTS, {"user_id": "u1", "item": "i1", "ts": 1}, "nothing", {"user": object()}]
    with pytest.warns(UserWarning, match=r"3 of 303 .* \(row 301: user is missing; the event has"):
        found = streamrec.evaluate(wrong, profile="shop")
    assert [one.reason for one in found.refused] == ["schema", "schema", "malformed"]
    with pytest.warns(UserWarning):
        found = streamrec.evaluate(DICTS + [{}] * (MOST_KEPT + 5), profile="shop", limit=50)
    assert len(found.refused) == MOST_KEPT


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"profile": "bookshop"}, "profile cannot be 'bookshop'"),
        ({"settings": {"lists.lenght": 5}}, "did you mean lists.length"),
        ({"settings": {"lists.length": "5"}}, "lists.length cannot be '5'"),
        ({"limit": 1}, "limit is 1: at least 2"),
        ({"warm_up": 1.0}, "warm_up is 1.0: from 0 to 0.99"),
        ({"lag": "soon"}, "neither a number of events nor a time"),
        ({"types": ["wave"]}, "the log has no events of type wave; it has click"),
        ({"peers": ["nobody"]}, "peers: 'nobody' is none of popularity_7d, "),
        ({"peers": [object()]}, "peers: object has no methods recommend"),
        ({"peers": [Named(), Named()]}, "two are called 'mine'"),
        ({"peers": {"isgd": Named()}}, "'isgd' is the name of a built-in peer"),
        ({"compare": ["guess"]}, "compare: 'guess' is none of "),
        ({"columns": {"user": "who"}}, "dicts have keys"),
        ({"neural": True, "settings": {"neural.on": False}}, "neural: neural.on is false"),
    ],
)
def test_arguments_out_of_range_are_named(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        streamrec.evaluate(DICTS, **({"profile": "shop"} | wrong))


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([], "There are 0 events"),
        (3, "int is no frame in memory: give a frame of pandas, polars or pyarrow"),
        ("missing.csv", "Cannot read missing.csv"),
    ],
)
def test_what_is_no_log_is_named(events: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        streamrec.evaluate(events, profile="shop")


def test_no_setting_comes_from_a_file_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("streamrec.toml").write_text('profile = "news"\n')
    monkeypatch.setenv("STREAMREC_LISTS_LENGTH", "7")
    made = streamrec.Recommender("shop")
    assert (made.settings.profile, made.settings.lists.length) == ("shop", 20)


def test_the_notebook_runs_and_is_one() -> None:
    """Cells of jupytext's percent format, in the order that they are run in."""
    needs("pandas", "pyarrow", "narwhals")
    file = Path(streamrec.__file__).parents[1] / "docs" / "notebook.py"
    lines = file.read_text().splitlines()
    assert lines[0] == "# ---" and "#       format_name: percent" in lines
    cells = [line for line in lines if line.startswith("# %%")]
    assert len(cells) > 10 and set(cells) == {"# %%", "# %% [markdown]"}
    for n, line in enumerate(lines):
        if line == "# %% [markdown]":
            end = next(k for k in range(n + 1, len(lines)) if lines[k] in ("# %%", cells[1]))
            assert all(not text or text[0] == "#" for text in lines[n:end]), f"line {n + 1}"
    left = runpy.run_path(str(file))
    assert left["ahead"].low > 0 and len(left["result"].table) == 10
    assert left["before"].tolist() != left["after"].tolist()
    assert all(left["items"].set_index("item").price[list(left["cheap"])] < 15)
    assert (left["again"].recommend("p3", 5).ids == left["shop"].recommend("p3", 5).ids).all()
