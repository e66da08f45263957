"""Tuning an encoder of texts for real: a small model, ten steps, what is kept and what is not."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from logs import Click, written
from needs import needs
from tiny_model import tiny_model
from typer.testing import CliRunner, Result
from waiting import wait_until

from streamrec.cli import app
from streamrec.errors import ConfigurationError
from streamrec.text.encoder import open_encoder
from streamrec.text.words import WIDTH, unit

pytestmark = pytest.mark.usefixtures("nothing_configured")

GROUPS, MEMBERS = 8, 4
TITLES = [f"thing{n} made{n}" for n in range(GROUPS * MEMBERS)]  # no two share a word
NOW, MINUTE = 1_700_000_000_000, 60_000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny", TITLES)


def log(count: int = 2000, turned_from: float = 1.0) -> str:
    """Write takes, three of a group in a session; from a share of them on, of three groups."""
    rng, events = np.random.default_rng(7), list[Click]()
    for session in range(count // 3):
        first = NOW + session * 5 * MINUTE
        group, members = int(rng.integers(GROUPS)), rng.permutation(MEMBERS)[:3].tolist()
        for n, member in enumerate(members):
            away = 3 * n if session >= turned_from * count / 3 else 0
            item = (group + away) % GROUPS * MEMBERS + member
            events.append(Click(f"u{session % 40}", f"i{item}", first + n * MINUTE))
    return written(events, "events.csv")


def titles(rows: list[str] = TITLES) -> str:
    lines = ["item_id,title", *(f"i{n},{title}" for n, title in enumerate(rows))]
    Path("items.csv").write_text("\n".join(lines) + "\n")
    return "items.csv"


def tune(model: str, events: str, *options: str) -> Result:
    return CliRunner().invoke(
        app, ["--set", f"text.model={model}", "items", "tune", events, "--items", titles(),
              "--out", "tuned", "--json", "out.json", *options],
    )  # fmt: skip


def figures() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("out.json").read_text())
    return found


def batches(seed: int = 3, steps: int = 10) -> Iterator[Any]:
    """Yield 64 pairs of neighbours a step."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        first = rng.integers(0, len(TITLES), 64)
        yield np.stack([first, first // MEMBERS * MEMBERS + (first + 1) % MEMBERS], 1)


def test_ten_steps_move_the_last_layers_alone_and_the_loss_falls(model: str) -> None:
    torch, library = needs("torch", "sentence_transformers")
    from streamrec.text.tuning import Tuning, tune

    how = Tuning(steps=10, layers=2, rate=2e-3, seed=5)
    losses = tune(model, TITLES, batches(), how, "once")
    assert len(losses) == 10 and np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.5
    before, after = (library.SentenceTransformer(f, device="cpu") for f in (model, "once"))
    old, new = before.state_dict(), after.state_dict()
    moved = {name.split(".layer.")[-1][0] for name in old if not torch.equal(old[name], new[name])}
    assert moved == {"1", "2"}  # of three layers; neither words, the first one nor the pooler
    assert old.keys() == new.keys()


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    torch, library = needs("torch", "sentence_transformers")
    from streamrec.text.tuning import Tuning, tune

    model = tiny_model(tmp_path / "with-dropout", TITLES, dropout=0.1)
    once, again, other = (
        (tune(model, TITLES, batches(), Tuning(seed=seed), name), library.SentenceTransformer(name))
        for name, seed in (("once", 5), ("again", 5), ("other", 6))
    )
    assert once[0] == again[0] != other[0]
    weights, same = once[1].state_dict(), again[1].state_dict()
    assert all(torch.equal(weights[name].cpu(), same[name].cpu()) for name in weights)


def test_the_loss_is_that_of_its_equation_without_false_negatives() -> None:
    torch = needs("torch")
    needs("sentence_transformers")
    from streamrec.text.tuning import contrast

    pairs = np.array([[0, 1], [2, 3], [0, 4], [5, 3], [6, 0]])
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 5, 8)).astype(np.float32)
    scores = unit(a) @ unit(b).T / 0.05
    expected = 0.0
    for i, own in enumerate(pairs):
        for across in (False, True):
            others = []
            for j, other in enumerate(pairs):
                left, right = (other, own) if across else (own, other)
                alike = own[0] == other[0] or own[1] == other[1] or left[0] == right[1]
                if i == j or not alike:
                    others.append(scores[j, i] if across else scores[i, j])
            expected += np.log(np.exp(np.array(others) - scores[i, i]).sum()) / 10
    found = contrast(torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(pairs))
    assert float(found) == pytest.approx(float(expected), rel=1e-4)


def test_more_layers_than_there_are(model: str) -> None:
    from streamrec.text.tuning import Tuning, tune

    with pytest.raises(ConfigurationError, match="--layers 4: the model of text.model has 3"):
        tune(model, TITLES, batches(), Tuning(layers=4), "none")
    assert not Path("none").exists()


def test_a_model_that_learns_what_is_taken_together_is_kept_and_opens(model: str) -> None:
    result = tune(model, log(), "--steps", "60", "--rate", "1e-3")
    assert result.exit_code == 0, result.output
    found = figures()
    assert found["kept"] and found["losses"]["last"] < found["losses"]["first"] - 1.0
    assert found["judging"] == found["judged"] >= 100 and found["texts"] == len(TITLES)
    for reading in found["verdicts"].values():
        assert reading["mrr"]["low"] > 0.0 and reading["mrr"]["tuned"] > 0.5
    where = str(Path("tuned").resolve())
    assert f"Set text.model to {where}" in result.stdout and "encoded again" in result.stdout
    assert sorted(one.name for one in Path().iterdir()) == [
        "events.csv", "items.csv", "out.json", "tuned",
    ]  # fmt: skip
    frozen, tuned = open_encoder(model), open_encoder("tuned")
    assert frozen is not None and tuned is not None and frozen.number != tuned.number
    vectors = tuned.encode(TITLES)
    assert vectors.shape == (len(TITLES), WIDTH) and vectors.dtype == np.int8
    cosines = unit(vectors) @ unit(vectors[:1])[0]
    assert cosines[1:MEMBERS].min() > cosines[MEMBERS:].max()

    again = tune(model, "no such file")
    assert again.exit_code == 78 and "--out tuned is there already" in again.stderr


def test_what_does_not_hold_later_is_not_kept(model: str) -> None:
    result = tune(model, log(turned_from=0.9), "--steps", "60", "--rate", "1e-3")
    assert result.exit_code == 1, result.output
    assert result.stderr.splitlines()[-1].startswith("streamrec: the tuned model is not better")
    assert not figures()["kept"] and "mrr" in result.stdout
    assert sorted(one.name for one in Path().iterdir()) == ["events.csv", "items.csv", "out.json"]


def test_what_happens_later_teaches_nothing(model: str) -> None:
    """A leak would show in the losses: the last 10 % of the two logs are of other pairs."""
    losses, judged = [], []
    for out, turned_from in (("one", 1.0), ("other", 0.9)):
        events = log(turned_from=turned_from)
        result = tune(model, events, "--steps", "5", "--rate", "3e-3", "--out", out)
        assert result.exit_code in (0, 1), result.output
        losses.append(figures()["losses"])
        judged.append(figures()["verdicts"])
    assert losses[0] == losses[1] and judged[0] != judged[1]


@pytest.mark.parametrize("name", ["hashed", "minilm", "onnx"])
def test_what_cannot_be_tuned_is_told_what_can(name: str) -> None:
    Path("onnx").mkdir()
    result = tune(name, "no such file")
    assert result.exit_code == 78 and result.stderr.count("\n") == 1
    for words in (f"text.model '{name}'", "sentence-transformers/all-MiniLM", "streamrec[tune]"):
        assert words in result.stderr


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = util.find_spec
    lacks = "sentence_transformers"
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == lacks else found(name))
    result = tune("some/model", "no such file")
    assert result.exit_code == 78 and "pip install 'streamrec[tune]'" in result.stderr


def test_a_folder_that_cannot_be_written_is_refused_before_any_work() -> None:
    for out, said in (("no/tuned", "there is no folder no"), (".", "is there already")):
        result = tune("some/model", "no such file", "--out", out)
        assert result.exit_code == 78 and said in result.stderr


def test_sigterm_leaves_no_half_model_behind(model: str) -> None:
    needs("torch", "sentence_transformers")
    asked = ["items", "tune", log(), "--items", titles(), "--out", "tuned", "--steps", "1000000"]
    given = [sys.executable, "-m", "streamrec.cli", "--set", f"text.model={model}", *asked]
    with subprocess.Popen(given, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        wait_until(lambda: any(Path().glob(".tuned-*")), 120.0)
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, said.decode()[-500:]
    assert not any(Path().glob("*tuned*"))


def test_logs_that_teach_nothing(model: str) -> None:
    needs("torch", "sentence_transformers")
    result = tune(model, log(300))
    assert result.exit_code == 78 and "last 10 %" in result.stderr
    ignored = [Click("u", f"i{n % 60}", NOW + n * MINUTE, "impression") for n in range(300)]
    result = tune(model, written(ignored, "events.csv"))
    assert result.exit_code == 78 and "have 0 pairs" in result.stderr
    Path("bare.csv").write_text("item_id,price\ni1,3\n")
    result = tune(model, "events.csv", "--items", "bare.csv")
    assert result.exit_code == 78 and "nothing to encode" in result.stderr
    assert not Path("tuned").exists() and not Path("out.json").exists()


def test_a_model_that_cannot_be_opened_is_named() -> None:
    needs("sentence_transformers")
    Path("broken").mkdir()
    Path("broken/modules.json").write_text("{}")
    result = tune("broken", log())
    assert result.exit_code == 78 and "no model that sentence-transformers can open" in (
        result.stderr
    )
