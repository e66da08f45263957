"""The metrics of items' lists and of places, which a scorer exports."""

from streamrec.monitoring.families import Families

WAIT_SECONDS = (0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 21_600.0)


class ItemListMetrics:
    """Made with all others, by Metrics."""

    def __init__(self, families: Families) -> None:
        of = families.of("score")
        self.published = of.counter("item_lists_published", "Lists of items written.")
        self.due = of.gauge(
            "item_lists_due",
            "Items whose list rests on counts that have changed since, of them all.",
        )
        self.wait_seconds = of.histogram(
            "item_list_wait_seconds",
            "From the change of an item's counts until its list was made again.",
            WAIT_SECONDS,
        )
        self.popular_published = of.counter(
            "popular_lists_published", "Lists for strangers of a category or segment written."
        )
        self.popular_age_seconds = of.gauge(
            "popular_list_age_seconds",
            "Since the category or segment was looked at that waits longest; take the max.",
        )
        self.place_lists = of.counter(
            "place_lists", "Lists of users stored, by place; home among them.", "place"
        )
