"""A user at scoring: what the table knows of the stored row, newest first."""

import pytest
from oracle import SEGMENT, settings, table, user

from streamrec.ranking.shoppers import shopper_of
from streamrec.state.keys import key_of
from streamrec.state.user_rows import no_user


@pytest.mark.parametrize(("exclude", "left_out"), [("user", 3), ("session", 1), ("none", 0)])
def test_a_row_as_sources_see_it(exclude: str, left_out: int) -> None:
    mine = table(20)
    row = user(4, 5_000, 7, 2, minutes=(99, 98, 97, 1), takes=(3, 1, 2, 1), segment=SEGMENT)
    who = shopper_of(settings(lists={"exclude": exclude}), mine, row, "u1", {})
    assert (who.name, who.row) == ("u1", row)
    assert who.history.tolist() == [2, 7, 4]  # a5000 is no item of the table
    assert (who.takes.tolist(), who.in_session.tolist()) == ([1, 2, 3], [True, False, False])
    assert who.excluded.tolist() == [2, 7, 4][:left_out]
    assert [mine.ids[j] for j in who.segment] == [SEGMENT]


def test_a_stranger_has_nothing() -> None:
    who = shopper_of(settings(), table(3), no_user(), "", {})
    assert not any(map(len, who[:6])) and who.shown == {}


def test_what_was_shown_is_found_by_row() -> None:
    mine, shown = table(5), {key_of("a4"): 3, key_of("evicted"): 2}
    assert shopper_of(settings(), mine, no_user(), "", shown).shown[mine.row_of["a4"]] == 3
