"""Lists of some users in a real Redis, as both stages and a scorer leave them."""

from collections.abc import Callable, Mapping

import msgspec
from laws.spine import Spine
from laws.world import event, small

from streamrec.settings.places import PlaceSettings
from streamrec.settings.sections import Settings

ITEMS = 29


def some_state(
    make_spine: Callable[[Settings, int], Spine], places: Mapping[str, PlaceSettings] = {}
) -> Spine:
    """Return the stages after 60 clicks of u0 to u3 on i0 to i28, whose prices are 0 to 28."""
    settings = small(lists={"length": 5}, items={"similar_per_second": 1000.0})
    spine = make_spine(msgspec.structs.replace(settings, places=dict(places)), 2)
    spine.learn([event(f"u{n % 4}", f"i{n * 7 % ITEMS}", ts=n) for n in range(60)], batch=10)
    for n in range(ITEMS):
        spine.describe(item=f"i{n}", attributes={"price": n})
    spine.turn()
    spine.score()
    return spine
