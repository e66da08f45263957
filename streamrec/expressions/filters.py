"""Filters and boosts over the candidates of one list: what may be shown, and what gains.

Filters remove, boosts add: s'_j = s_j + sum_b w_b [boost b holds for j]. Scores are log-like, so a
weight of 0.7 doubles what the blend thinks of an item and -0.7 halves it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.expressions.expression import Expression, Fields
from streamrec.expressions.syntax import ExpressionError


class Rules(NamedTuple):
    """An item is shown if all filters hold; each boost that holds adds its weight."""

    filters: tuple[Expression, ...] = ()
    boosts: tuple[tuple[Expression, float], ...] = ()

    @property
    def fields(self) -> frozenset[str]:
        """Full names of all fields that the rules read."""
        expressions = [*self.filters, *(boost for boost, _ in self.boosts)]
        return frozenset().union(*(expression.fields for expression in expressions))


def make_rules(filters: Sequence[str], boosts: Mapping[str, float]) -> Rules:
    """Return the rules that these texts are. Raises ExpressionError."""
    for text, weight in boosts.items():
        if not math.isfinite(weight):
            raise ExpressionError(
                f"the weight of a boost is {weight}, not a finite number", text, 0
            )
    return Rules(
        tuple(Expression(text) for text in filters),
        tuple((Expression(text), float(weight)) for text, weight in boosts.items()),
    )


def boosted(
    rules: Rules, items: Sequence[Fields], user: Fields, scores: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return float64[items], all scores with what they gained.

    Items and user are as in Expression; the given scores stay as they are.
    """
    for expression, weight in rules.boosts:
        holds = expression.for_user(user)
        scores = scores + weight * np.array([holds(item) for item in items], np.float64)
    return scores


def trace(rules: Rules, item: Mapping[str, Any], user: Fields) -> list[str]:
    """Return one line for each filter that removes the item, then for each boost it has.

    >>> trace(make_rules(["available", "price < 20"], {}), {"available": True}, {})
    ['removed by filter 2: price < 20 is false: price is missing']
    """
    lines = [
        f"removed by filter {n}{_because(expression, item, user)}"
        for n, expression in enumerate(rules.filters, 1)
        if not expression.holds(item, user)
    ]
    lines += [
        f"boost {n} adds {weight:+g}{_because(expression, item, user)}"
        for n, (expression, weight) in enumerate(rules.boosts, 1)
        if expression.holds(item, user)
    ]
    return lines


def _because(expression: Expression, item: Fields, user: Fields) -> str:
    """Return why, after the whole text where the deciding part is less than that."""
    why = expression.why(item, user)
    whole = " ".join(expression.text.split())
    return f": {why}" if why.startswith(f"{whole} is ") else f", {whole}: {why}"
