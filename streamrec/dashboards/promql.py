"""PromQL that is right with any number of processes: rates are summed, then divided."""

WINDOW = "$__rate_interval"


def rate(metric: str, by: str = "", where: str = "", window: str = WINDOW) -> str:
    """Return the rate of a counter, summed over the processes, for each value of `by`."""
    return f"{_sum(by)} (rate(streamrec_{metric}{_where(where)}[{window}]))"


def increase(metric: str, by: str = "", where: str = "", window: str = "5m") -> str:
    """Return by how much a counter rose, summed over the processes."""
    return f"{_sum(by)} (increase(streamrec_{metric}{_where(where)}[{window}]))"


def quantile(q: float, histogram: str, by: str = "", where: str = "", window: str = WINDOW) -> str:
    """Return a quantile of a histogram over all processes."""
    buckets = rate(f"{histogram}_bucket", f"le, {by}" if by else "le", where, window)
    return f"histogram_quantile({q}, {buckets})"


def median_and_tail(histogram: str, by: str = "") -> dict[str, str]:
    """Return the queries of a histogram's median and 99 %, by what their series are called."""
    of = f"{{{{{by}}}}} " if by else ""
    return {f"{of}median": quantile(0.5, histogram, by), f"{of}99 %": quantile(0.99, histogram, by)}


def most_and_median(expression: str) -> dict[str, str]:
    """Return the queries of the largest and the middle value: whether it is one process or all."""
    return {"most": f"max({expression})", "median": f"quantile(0.5, {expression})"}


def ratio(part: str, whole: str, by: str = "") -> str:
    """Return one rate over another, which has no labels where `part` has the labels `by`."""
    return f"{part} / ignoring({by}) group_left {whole}" if by else f"{part} / {whole}"


def late(window: str, bound: str = "2.0") -> str:
    """Return the share of lists that came later than `bound` seconds after the click."""
    within = rate("click_to_list_seconds_bucket", "", f'le="{bound}"', window)
    return f"1 - {within} / {rate('click_to_list_seconds_count', window=window)}"


def _sum(by: str) -> str:
    return f"sum by ({by})" if by else "sum"


def _where(labels: str) -> str:
    return f"{{{labels}}}" if labels else ""
