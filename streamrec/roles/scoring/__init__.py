"""The parts of `score`: the batch at hand, and each kind of list that is stored."""
