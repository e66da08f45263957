"""Notices that the lists have become worse, before the next refresh is due."""

from typing import Any

from river.drift import ADWIN


class Drift:
    """ADWIN (Bifet and Gavaldà 2007), as river has it, over the gains of lists; of it the falls.

    It keeps a window that it cuts where two parts of it have means that chance alone would part so
    far once in 500 windows; what is left are the newer ones. Bound: some 60 buckets.
    """

    def __init__(self) -> None:
        self._window: Any = ADWIN()  # type: ignore[no-untyped-call]

    def seen(self, gain: float) -> bool:
        """Take in one gain, 0..1; say whether their mean has fallen. It then goes by the newer."""
        before = self._window.estimation
        self._window.update(gain)
        return bool(self._window.drift_detected and self._window.estimation < before)
