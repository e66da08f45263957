"""Notices that the lists have become worse, before the next refresh is due."""


class Drift:
    """The Page-Hinkley test for a fall of a mean (Page 1954, Hinkley 1971).

    With m the mean of the gains so far, S = sum (m - gain - SLACK) and its least value, a fall is
    seen when S - min S > THRESHOLD. Gains lie in 0..1 and spread by .3 or so: a fall by .1 takes
    some 400 samples, and chance alone passes the threshold once in e^13 samples.
    """

    SLACK, THRESHOLD = 0.02, 30.0

    def __init__(self) -> None:
        self._count = 0
        self._mean = self._sum = self._least = 0.0

    def seen(self, gain: float) -> bool:
        """Take in one gain; say whether their mean has fallen. It then starts anew."""
        self._count += 1
        self._mean += (gain - self._mean) / self._count
        self._sum += self._mean - gain - self.SLACK
        self._least = min(self._least, self._sum)
        fallen = self._sum - self._least > self.THRESHOLD
        if fallen:
            self.__init__()  # type: ignore[misc]
        return fallen
