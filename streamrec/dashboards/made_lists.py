"""Rows of the operations board: lists beside those of home, and the texts of items."""

from streamrec.dashboards.panel import Panel, Row, above
from streamrec.dashboards.promql import median_and_tail, rate

LISTS = Row(
    "Lists of places, items and strangers",
    (
        Panel(
            "Lists by place",
            "Stored for users, a second. All places rise and fall together; one that is missing "
            "is not in the settings of `score`.",
            "ops",
            {"{{place}}": rate("place_lists_total", "place")},
            kind="stack",
        ),
        Panel(
            "Items waiting for a list",
            "Their neighbours have changed since. Falls to 0 again and again; only rising: raise "
            "items.similar_per_second.",
            "short",
            {"waiting": "max(streamrec_item_lists_due)"},
        ),
        Panel(
            "Wait for an item's list",
            "From the change to the new list. Minutes are well with a large catalogue; lists of "
            "people come first.",
            "s",
            median_and_tail("item_list_wait_seconds"),
            above(600, 3600),
        ),
        Panel(
            "Lists of items and strangers",
            "Written a second, by one scorer, at most items.similar_per_second each. 0 with "
            "traffic: the scorer's log.",
            "ops",
            {
                "items": rate("item_lists_published_total"),
                "categories and segments": rate("popular_lists_published_total"),
            },
        ),
        Panel(
            "Oldest list of a category",
            "How long ago the category or segment was looked at that waits longest. Above a "
            "minute: too many of them for items.similar_per_second.",
            "s",
            {"oldest": "max(streamrec_popular_list_age_seconds)"},
            above(60, 600),
        ),
        Panel(
            "Texts without a vector",
            "Items whose text is not encoded yet: a hill after the catalogue was loaded. Level and "
            "above 0: the log of `learn` says why.",
            "short",
            {"waiting": "sum(streamrec_texts_waiting)"},
        ),
    ),
)
