"""streamrec / Quality: for who owns the product. Are the lists good, and for whom."""

from streamrec.dashboards.network import NETWORK
from streamrec.dashboards.panel import Board, Panel, Row, above, below, stat
from streamrec.dashboards.promql import quantile, rate, ratio

WINDOW = "$window"
JUDGED = rate("prequential_events_total", window=WINDOW)
BLEND = 'source="blend"'


def recall(k: int, where: str = "") -> str:
    """Return recall@k of every source: of the clicks judged, the share found in its list."""
    return a_click("prequential_hits_total", f'k="{k}"' + (f", {where}" if where else ""))


def a_click(metric: str, where: str = "") -> str:
    """Return what each source has of a counter for each click judged."""
    return ratio(rate(metric, "source", where, WINDOW), JUDGED, "source")


def of_blend(k: int) -> str:
    """Return recall@k of the lists that are served."""
    hits = rate("prequential_hits_total", where=f'k="{k}", {BLEND}', window=WINDOW)
    return ratio(hits, JUDGED)


def gain(over: str) -> str:
    """Return by what share the lists find more clicks than the best of some sources."""
    best = f"max({recall(20, over)})"
    return f"({of_blend(20)}) / ({best} > 0.001) - 1 or vector(0)"


def by_list(kind: str) -> str:
    """Return the share of clicks that were judged by a list of this kind."""
    part = rate("prequential_events_total", where=f'list="{kind}"', window=WINDOW)
    return ratio(part, JUDGED)


def shorter(items: str) -> str:
    """Return the share of lists with at most so many items."""
    short = rate("list_length_items_bucket", where=f'le="{items}"', window=WINDOW)
    return ratio(short, rate("list_length_items_count", window=WINDOW))


GOOD = Row(
    "Are the lists good?",
    (
        stat(
            "Clicks found in the list",
            "recall@20: of the clicks that came, the share that was in the list being served. "
            "Compare with last week, not with other sites.",
            "percentunit",
            of_blend(20),
            decimals=1,
        ),
        stat(
            "In its first half",
            "recall@10: the same, of the first ten places.",
            "percentunit",
            of_blend(10),
            decimals=1,
        ),
        stat(
            "Better than popularity",
            "How many more clicks the lists find than the best list of popular items would. "
            "Below 0 %: too little is learnt yet, or the profile does not fit (`evaluate`).",
            "percentunit",
            gain('source=~"popularity.*"'),
            below(0, 0.2),
            decimals=0,
        ),
        stat(
            "Better than any source",
            "Below -2 % the blend costs quality: pin the source (blend.weights), see `streamrec "
            "weights`.",
            "percentunit",
            gain('source!="blend"'),
            below(-0.02, 0),
            decimals=1,
        ),
        stat(
            "A click shows after",
            "Half of the clicks are in the user's list sooner. Under a second.",
            "s",
            quantile(0.5, "click_to_list_seconds", window=WINDOW),
            above(1, 2),
            decimals=2,
        ),
        stat(
            "Clicks judged",
            "Clicks behind these figures. Below a thousand they swing by chance: choose a longer "
            "time above.",
            "short",
            f"sum(increase(streamrec_prequential_events_total[{WINDOW}]))",
            below(100, 1000),
            decimals=0,
        ),
    ),
)

TIME = Row(
    "Over time",
    (
        Panel(
            "Clicks found in the first 20, by source",
            "The blend (thick) should lie above every source. One that comes near is what your "
            "users follow now.",
            "percentunit",
            {"{{source}}": recall(20)},
            width=12,
            height=10,
            thick="blend",
        ),
        Panel(
            "NDCG of the first 20, by source",
            "As recall, but a hit near the top counts more. Falls when the order is bad though "
            "the items are right.",
            "percentunit",
            {"{{source}}": a_click("prequential_ndcg_total")},
            width=12,
            height=10,
            thick="blend",
        ),
        Panel(
            "Clicks found now, longest first",
            "The blend on top is right; another on top: see Better than any source.",
            "percentunit",
            {"{{source}}": f"sort_desc({recall(20)})"},
            kind="bars",
            width=12,
            height=10,
            decimals=1,
        ),
        Panel(
            "Mean reciprocal rank, by source",
            "1 for a click on the first place, 1/2 on the second; 0 beyond the twentieth.",
            "percentunit",
            {"{{source}}": a_click("prequential_reciprocal_rank_total")},
            width=12,
            height=10,
            thick="blend",
        ),
    ),
)

PEOPLE = Row(
    "People and items",
    (
        Panel(
            "Whose list was judged",
            "Own: the user had a list. Popular: the one for strangers, for a first click. None: "
            "nothing was served yet; should be 0 soon after a start.",
            "percentunit",
            {kind: by_list(kind) for kind in ("own", "popular", "none")},
            kind="stack",
        ),
        Panel(
            "Share of items shown",
            "Different items in the latest 1,000 lists of a scorer. Low: all see the same; "
            "lists.diversity and blend.weights change it.",
            "percentunit",
            {"shown": "max(streamrec_listed_items) / clamp_min(max(streamrec_servable_items), 1)"},
        ),
        Panel(
            "New users and items",
            "Rows made a second. Many new users: expect a larger share of popular lists.",
            "ops",
            {"{{table}}": rate("rows_added_total", "table", window=WINDOW)},
        ),
        Panel(
            "Events by type",
            "What people do, as it was accepted. A type that ends: its producer.",
            "eps",
            {"{{type}}": f"{rate('events_accepted_total', 'type', window=WINDOW)} > 0"},
            kind="stack",
        ),
        Panel(
            "Age of the list at a click",
            "How old it was when its user clicked again: how often people come back.",
            "s",
            {
                "median": quantile(0.5, "list_age_seconds", window=WINDOW),
                "90 %": quantile(0.9, "list_age_seconds", window=WINDOW),
            },
        ),
        Panel(
            "Lists that are short",
            "Share of lists with nothing in them, and with at most 5 items: filters leave too "
            "little, or the catalogue is small.",
            "percentunit",
            {"empty": shorter("0.0"), "5 items or fewer": shorter("5.0")},
            above(0.01, 0.05),
        ),
    ),
)

MADE_OF = Row(
    "What lists are made of",
    (
        Panel(
            "Items by the source that speaks for them",
            "One source alone: the others know nothing yet, or blend.weights pins it.",
            "percentunit",
            {
                "{{source}}": ratio(
                    rate("list_items_total", "source", window=WINDOW),
                    rate("list_items_total", window=WINDOW),
                    "source",
                )
            },
            kind="stack",
            width=12,
            height=10,
        ),
        Panel(
            "What the blend would lose without a source",
            "Learnt from clicks. Near 0: the source adds nothing here, switching it off "
            "(blend.off) saves its cost.",
            "none",
            {"{{source}}": "max by (source) (streamrec_blend_importance)"},
            width=12,
            height=10,
        ),
        Panel(
            "Weights, 5 and more items",
            "As learnt, or as set. They move slowly; a jump follows a change of traffic.",
            "none",
            {"{{source}}": 'max by (source) (streamrec_blend_weight{history="5+"})'},
            width=12,
            height=10,
        ),
        Panel(
            "Weights without a history",
            "Popularity should lead: nothing is known of them.",
            "none",
            {"{{source}}": 'max by (source) (streamrec_blend_weight{history="0"})'},
            width=12,
            height=10,
        ),
        Panel(
            "Clicks that teach the blend",
            "Above 0 while clicks come. 0: no list keeps its features (blend.sample, blend.kind).",
            "ops",
            {"samples": rate("blend_samples_total", window=WINDOW)},
            width=24,
            height=6,
        ),
    ),
)

BOARD = Board(
    "streamrec-quality",
    "streamrec / Quality",
    "For who owns the product. Every click is looked up in the list that was being served, before "
    "it is learnt.",
    (GOOD, TIME, PEOPLE, MADE_OF, NETWORK),
    ("5m", "1h", "6h", "1d"),
)
