"""Which processes train together: torchrun says it in the environment; where it does not, one."""

import os
from collections.abc import Mapping
from datetime import timedelta
from shutil import which

import torch
from torch import distributed

from streamrec.errors import ConfigurationError
from streamrec.neural.together import Ranks, gone

SECONDS = 60.0
"""A rank that does not answer for so long, at the start or amid a refresh, ends all of them."""
IDLE = timedelta(days=365)
"""Between two refreshes the others only wait: samples may come once a week."""


def device() -> str:
    """Return where to train; without the C compiler that it wants nothing is compiled there."""
    if not torch.cuda.is_available():
        return "cpu"
    if not any(map(which, (os.environ.get("CC", ""), "cc", "gcc", "clang"))):
        torch.compiler.set_stance("force_eager")
    return "cuda"


def joined(
    environment: Mapping[str, str], seconds: float = SECONDS, meet: str = "env://"
) -> Ranks | None:
    """Return the ranks once all have met; None where WORLD_SIZE names no others.

    meet: where, as in torch.distributed.init_process_group; by default as torchrun says. Gradients
    go by NCCL on GPUs; all else, and on CPUs everything, by Gloo. Raises RankGone where one is
    missing for so many seconds, ConfigurationError where the environment is not whole.
    """
    try:
        size = int(environment.get("WORLD_SIZE", "1"))
        rank = int(environment["RANK"]) if size > 1 else 0
        local = int(environment.get("LOCAL_RANK", "0"))
    except (KeyError, ValueError) as error:
        raise ConfigurationError(
            f"WORLD_SIZE is set, but not all that torchrun sets with it ({error}): start "
            "`torchrun --nproc-per-node N -m streamrec.cli train`, or unset WORLD_SIZE"
        ) from error
    if size < 2:
        return None
    backend = "gloo"
    if device() == "cuda":
        if local >= torch.cuda.device_count():
            raise ConfigurationError(
                f"rank {rank} has no GPU of its own, there are {torch.cuda.device_count()} here: "
                "give torchrun a smaller --nproc-per-node"
            )
        torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl"
    timeout = timedelta(seconds=seconds)
    with gone():
        distributed.init_process_group(
            backend,
            init_method=meet,
            rank=rank,
            world_size=size,
            timeout=timeout,
        )
        # of each rank its own: rank 0 only tells, the others only wait to be told
        idle = distributed.new_group(backend="gloo", timeout=IDLE if rank else timeout)
        return Ranks(rank, size, idle)
