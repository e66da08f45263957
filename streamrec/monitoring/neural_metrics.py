"""The metrics of the neural ranker, by the role that exports them."""

from streamrec.monitoring.families import Families

SAMPLES = ("sent", "lost", "outside", "old", "too_large", "damaged")
"""What may become of a click on a list of which a reading was kept."""


class NeuralMetrics:
    """Made with all others, by Metrics."""

    def __init__(self, families: Families) -> None:
        self._make_samples(families.of("learn"))
        self._make_serving(families.of("score"))
        self._make_training(families.of("train"))

    def _make_samples(self, of: Families) -> None:
        self.click_samples = of.counter(
            "click_samples",
            "Clicks on lists kept for training: sent to `train`; lost on the way; outside the "
            "candidates; on a list older than neural.task_seconds; too large; damaged.",
            result=SAMPLES,
        )

    def _make_serving(self, of: Families) -> None:
        self.version = of.gauge(
            "network_version", "Version of the neural ranker that orders the lists here; 0: none."
        )
        self.refused = of.counter(
            "network_refused", "Versions that were not taken: damaged, gone, or of another shape."
        )
        self.sample_share = of.gauge(
            "sample_share", "Share of the lists whose reading is kept for training."
        )

    def _make_training(self, of: Families) -> None:
        self.samples = of.counter(
            "train_samples",
            "Samples that `train` has read: new, old (learnt before) or unfit.",
            kind=("new", "old", "unfit"),
        )
        self.learnt = of.counter("train_learnt", "Samples learnt from, with repetition.")
        self.seconds = of.counter("train_seconds", "Time spent on refreshes.")
        self.refreshes = of.counter(
            "train_refreshes", "Refreshes, by why.", why=("due", "drift", "once")
        )
        self.waiting = of.gauge("train_waiting_samples", "New samples since the last refresh.")
        self.loss = of.gauge("train_loss", "Mean loss of the last refresh, by task.", "task")
        self.weight = of.gauge(
            "train_lambda", "Weight of each task in the loss (neural.tasks).", "task"
        )
        self.gain = of.gauge(
            "train_gain",
            "Mean discounted gain on the last period's new samples, before they are learnt.",
            "order",
        )
        self.gate_open = of.gauge(
            "train_gate_open", "Whether lists are better for the network, of late: 1 or 0."
        )
        self.stored = of.gauge("train_version", "Latest version that was stored.")
