"""Several processes train one network: it is what one process makes, and none waits forever."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from needs import needs
from test_network import RULES, SHAPE, clicks, known

from streamrec.errors import ConfigurationError

needs("torch")
from streamrec.neural.refresh import Refresher  # noqa: E402
from streamrec.neural.together import Ranks  # noqa: E402
from streamrec.neural.trained import follow  # noqa: E402
from streamrec.roles.training.ranks import joined  # noqa: E402

TAUGHT = msgspec.structs.replace(RULES, scratch_every=2, passes=1.0)
REFRESHES = 500, 540, 600
"""Samples before each; no last batch is full. More of them amplify what is rounded otherwise."""
TIMEOUT = 8.0
PROGRAM = "import sys; from test_together import rank; rank(*sys.argv[1:])"


def taught(ranks: Ranks | None = None, rounds: int = 1) -> dict[str, np.ndarray]:
    """Return the weights after some clicks, a third of them purchases; a rival is trained too.

    Nobody's past is as long as it may be: one process cuts its batches, ranks must not.
    """
    refresher = Refresher(TAUGHT, SHAPE, ranks=ranks)
    for _ in range(rounds):
        for n, whole in enumerate(clicks(REFRESHES[-1]), 1):
            keys, ages, pairs = whole.past_keys[:4], whole.ages[:4], whole.pairs[:, :4]
            sample = whole._replace(past_keys=keys, ages=ages, pairs=pairs)
            refresher.add(sample._replace(type="purchase") if n % 3 == 0 else sample)
            if n in REFRESHES:
                refresher.refresh(*known())
                print("refreshed", flush=True)
    return refresher.candidate() or {}


def rank(directory: str, rounds: str, units: str = "16") -> None:
    """Be one rank, as the environment says; keep the weights that it ends with."""
    ranks = joined(os.environ, TIMEOUT, f"file://{directory}/meet")
    assert ranks is not None
    if ranks.rank == 0:
        weights = taught(ranks, int(rounds))
        ranks.end()
    else:
        rules = msgspec.structs.replace(TAUGHT, units=int(units))
        weights = follow(ranks, rules, SHAPE)
    ranks.leave()
    np.savez(Path(directory) / f"{ranks.rank}.npz", **weights)


class Pair:
    """Two ranks, each a process."""

    def __init__(self, directory: Path, rounds: int = 1, units: int = 16) -> None:
        path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
        path = os.pathsep.join([path, os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-c", PROGRAM, str(directory), str(rounds), str(units)]
        self.processes = [
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                env=os.environ | {"WORLD_SIZE": "2", "RANK": str(n), "PYTHONPATH": path},
            )
            for n in range(2)
        ]  # fmt: skip

    def __enter__(self) -> "Pair":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()


def test_two_ranks_learn_what_one_process_does(tmp_path: Path) -> None:
    with Pair(tmp_path) as pair:
        for process in pair.processes:
            _, errors = process.communicate(timeout=100)
            assert process.returncode == 0, errors
    alone = taught()
    first, second = (np.load(tmp_path / f"{n}.npz") for n in range(2))
    assert set(first) == set(second) == set(alone)
    for name, weights in alone.items():
        np.testing.assert_array_equal(first[name], second[name])
        off = np.abs(first[name] - weights)  # AdamW's step is 2e-3 however small a gradient is
        assert off.max() < 1e-3 and off.mean() < 1e-4, name
    assert np.abs(alone["heads.weight"]).max() > 0.01, "it has learnt"


@pytest.mark.parametrize(
    ("victim", "number"), [(0, signal.SIGKILL), (1, signal.SIGKILL), (1, signal.SIGSTOP)]
)
def test_a_rank_that_is_gone_ends_the_other(tmp_path: Path, victim: int, number: int) -> None:
    with Pair(tmp_path, rounds=1000) as pair:
        out = pair.processes[0].stdout
        assert out is not None and out.readline() == "refreshed\n"
        pair.processes[victim].send_signal(number)
        other = pair.processes[1 - victim]
        _, errors = other.communicate(timeout=60)
        assert other.returncode == 1
        assert "RankGone: another rank has ended or does not answer" in errors
        assert not list(tmp_path.glob("*.npz"))


def test_a_rank_with_other_settings_is_told(tmp_path: Path) -> None:
    with Pair(tmp_path, units=8) as pair:
        _, errors = pair.processes[1].communicate(timeout=60)
        assert "rank 1 has other settings of [neural]" in errors


def test_one_process_is_alone() -> None:
    assert joined({}) is None
    assert joined({"WORLD_SIZE": "1"}) is None


@pytest.mark.parametrize("said", [{"WORLD_SIZE": "2"}, {"WORLD_SIZE": "2", "RANK": "a"}])
def test_an_environment_that_is_not_whole_is_refused(said: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="torchrun"):
        joined(said)
