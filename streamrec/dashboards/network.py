"""The neural ranker on the board Quality: what serves, what it gains, and what it learns from."""

from streamrec.dashboards.panel import (
    GREEN,
    ORANGE,
    Panel,
    Row,
    above,
    below,
    must_be_zero,
    stat,
)
from streamrec.dashboards.promql import rate

WINDOW = "$window"


def gain(of: str) -> str:
    """Return the mean discounted gain of one order of the last period's samples."""
    return f'max(streamrec_train_gain{{order="{of}"}})'


NOW = (
    stat(
        "Version in use",
        "The version of the network that orders the lists. 0: none yet, or switched off; the "
        "blend's own order is served.",
        "none",
        "max(streamrec_network_version)",
        decimals=0,
    ),
    stat(
        "Latest version trained",
        "One or two above the version in use is normal: the next refresh judges it. Far above: "
        "the gate keeps the new ones out: Gain of both orders.",
        "none",
        "max(streamrec_train_version)",
        decimals=0,
    ),
    stat(
        "Does the network help",
        "The gate. No: of late the network orders no better than the blend, so the blend's order "
        "is served; right at the start, and nothing to do.",
        "bool_yes_no",
        "max(streamrec_train_gate_open)",
        ((None, ORANGE), (1, GREEN)),
    ),
    stat(
        "Network over the blend",
        "Gain on samples that neither had learnt from, of what serves, else of the candidate. "
        "Below 0 % the gate closes by itself.",
        "percentunit",
        f"({gain('serving')} or {gain('candidate')}) / {gain('blend')} - 1",
        below(0, 0.01),
        decimals=1,
    ),
    stat(
        "Samples waiting",
        "New since the last refresh. Rises to neural.refresh_samples, then falls to 0. Only "
        "rising: read the log of `train`.",
        "short",
        "max(streamrec_train_waiting_samples)",
        decimals=0,
    ),
    stat(
        "Versions refused",
        "By a scorer, in the time above: damaged, gone, or of another shape. The one before goes "
        "on; see the runbook.",
        "short",
        f"sum(increase(streamrec_network_refused_total[{WINDOW}]))",
        must_be_zero(),
        decimals=0,
    ),
)

TIME = (
    Panel(
        "Gain of both orders",
        "Mean discounted gain of the last refresh's new samples: 1, the click was on top. What "
        "serves should lie above the blend, the candidate near it.",
        "percentunit",
        {"{{order}}": "max by (order) (streamrec_train_gain)"},
        thick="serving",
    ),
    Panel(
        "Version of each scorer",
        "Newest and oldest on one line, below the latest stored. A scorer that stays behind has "
        "refused a version: its log says why.",
        "none",
        {
            "newest": "max(streamrec_network_version)",
            "oldest": "min(streamrec_network_version)",
            "latest stored": "max(streamrec_train_version)",
        },
        thick="latest stored",
        decimals=0,
    ),
    Panel(
        "Loss by task",
        "Mean of each refresh. Falls, then is steady. A lasting rise: traffic has changed, or "
        "neural.rate is too high.",
        "none",
        {"{{task}}": "max by (task) (streamrec_train_loss)"},
    ),
    Panel(
        "Clicks kept for training",
        "Most are sent. lost: Kafka did not take them in time, or too many waited; outside: the "
        "item was not among the candidates; old: see neural.task_seconds.",
        "ops",
        {"{{result}}": rate("click_samples_total", "result", window=WINDOW)},
    ),
    Panel(
        "Samples that train has read",
        "new follows what is sent. old only after a restart. unfit: made with other sources or "
        "sizes, normal after such a change.",
        "ops",
        {"{{kind}}": rate("train_samples_total", "kind", window=WINDOW)},
    ),
    Panel(
        "Lists kept for training",
        "Share of the lists whose reading is kept, within neural.sample_bytes_per_second. Raise "
        "that if refreshes are too rare.",
        "percentunit",
        {"kept": "avg(streamrec_sample_share)"},
    ),
    Panel(
        "Refreshes, by why",
        "due: enough new samples; drift: lists became worse of late. Many of drift: "
        "look at Events by type.",
        "short",
        {"{{why}}": f"sum by (why) (increase(streamrec_train_refreshes_total[{WINDOW}]))"},
        kind="stack",
    ),
    Panel(
        "Time spent on training",
        "Share of the time that `train` is in a refresh. Near 100 % it falls behind: raise "
        "neural.refresh_samples or neural.threads.",
        "percentunit",
        {"training": rate("train_seconds_total", window=WINDOW)},
        above(0.5, 0.9),
    ),
    Panel(
        "Weight of each task",
        "As set in neural.tasks; the first task orders the lists. Changes only with the settings.",
        "none",
        {"{{task}}": "max by (task) (streamrec_train_lambda)"},
    ),
)

NETWORK = Row("The neural ranker", (*NOW, *TIME))
