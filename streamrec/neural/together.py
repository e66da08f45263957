"""Several processes that train one network: ranks, of which the first has the samples.

Each step's samples are dealt out to all ranks, and the sums over ranks are those of one process:
first the weights [tasks] that the losses are divided by, then the gradients, in one buffer. All
ranks then take the same step from the same state, and keep equal weights (synchronous data
parallelism, Goyal et al. 2017, with the exact mean in place of the mean of the ranks' means).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch import distributed as ranks

from streamrec.errors import ConfigurationError, RankGone

END, LEARN = 0, 1


class Ranks:
    """The collective calls of a training; each rank makes the same ones in the same order.

    All raise RankGone where another rank has ended, or does not answer in time.
    """

    def __init__(self, rank: int, size: int, idle: Any) -> None:
        """Begin once all have met; idle: a group of all that waits for as long as there is no work.

        The calls of a refresh go by the default group, whose timeout they have.
        """
        self.rank, self.size, self._idle = rank, size, idle

    def begin(self, steps: int, mark: int) -> None:
        """Tell the others, as rank 0, that so many steps follow; mark: of what is trained."""
        with gone():
            ranks.broadcast(torch.tensor([LEARN, steps, mark]), 0, self._idle)

    def told(self, mark: int) -> int | None:
        """Wait for what rank 0 tells; return the steps that follow, None at the end.

        Raises ConfigurationError where rank 0 trains another network than `mark` says.
        """
        word = torch.zeros(3, dtype=torch.int64)
        with gone():
            ranks.broadcast(word, 0, self._idle)
        what, steps, theirs = word.tolist()
        if what == END:
            return None
        if theirs != mark:
            raise ConfigurationError(
                f"rank {self.rank} has other settings of [neural] or of the sources than rank 0: "
                "give all ranks the same file"
            )
        return int(steps)

    def end(self) -> None:
        """Tell the others, as rank 0, that the training is over."""
        with gone():
            ranks.broadcast(torch.tensor([END, 0, 0]), 0, self._idle)

    def leave(self) -> None:
        """Close all connections."""
        ranks.destroy_process_group()

    def alike(self, values: Sequence[Tensor]) -> None:
        """Overwrite float tensors by those of rank 0."""
        flat = torch.cat([value.detach().float().cpu().reshape(-1) for value in values])
        with gone():
            ranks.broadcast(flat, 0)
        _fill(values, flat)

    def part(self, batch: dict[str, Tensor], most: int) -> dict[str, Tensor]:
        """Return this rank's samples of the batch [at most `most`] of rank 0, ceil(most / ranks).

        The last ones are repeated, with weight 0, where there are fewer. `batch` of other ranks
        is only looked at for names, types and shapes of one sample.
        """
        each = -(-most // self.size)
        return {name: self._part(name, batch[name], each) for name in sorted(batch)}

    def _part(self, name: str, values: Tensor, each: int) -> Tensor:
        out = torch.empty((each, *values.shape[1:]), dtype=values.dtype)
        parts = None
        if self.rank == 0:
            more = values[-1:].expand(each * self.size - len(values), *values.shape[1:])
            more = torch.zeros_like(more) if name == "weights" else more
            parts = list(torch.cat([values, more]).chunk(self.size))
        with gone():
            ranks.scatter(out, parts, 0)
        return out

    def add(self, values: Sequence[Tensor]) -> None:
        """Overwrite tensors by their sums over all ranks, equal on all to the bit."""
        flat = torch.cat([value.detach().float().reshape(-1) for value in values])
        with gone():
            ranks.all_reduce(flat)
        _fill(values, flat)


def _fill(values: Sequence[Tensor], flat: Tensor) -> None:
    """Copy one buffer back into the tensors that it was made of."""
    with torch.no_grad():
        for value, part in zip(values, torch.split(flat, [v.numel() for v in values]), strict=True):
            value.copy_(part.view_as(value))


@contextmanager
def gone() -> Iterator[None]:
    """Raise RankGone, one line, where a call of torch.distributed fails."""
    try:
        yield
    except RuntimeError as error:  # all that torch.distributed raises
        cause = (str(error).strip() or "no answer").splitlines()[0].partition(". ")[0]
        raise RankGone(
            f"another rank has ended or does not answer ({cause[:200]}): start all of them "
            "again; training goes on from the last version"
        ) from error
