"""A network in training: AdamW, the running mean of its weights, one step at a time."""

from collections.abc import Callable
from itertools import chain
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from streamrec.neural.network import PairNetwork, Weights
from streamrec.neural.reading import WHITENED, Shape
from streamrec.neural.replay import Replay
from streamrec.neural.together import Ranks
from streamrec.settings.neural import NeuralSettings

Loss = Callable[[dict[str, Tensor], Tensor, Tensor], Tensor]
"""PairNetwork.loss of a network."""
BATCH = 64
BETAS, DECAY, CLIP = (0.9, 0.99), 1e-5, 5.0
MEAN, EARLY, EARLY_STEPS = 0.99, 0.5, 20
"""Memory of the running mean, a step; that of the first steps."""


class Trained:
    """The network, its optimiser and the running mean of its weights."""

    def __init__(self, rules: NeuralSettings, shape: Shape, seed: int, device: str) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = PairNetwork(shape, rules).to(device)
        self._loss = compiled(self.network.loss, device)
        self._device = device
        self._parameters = list(self.network.parameters())
        self._mean = [p.detach().clone() for p in self._parameters]
        self._steps = 0
        self._optimizer = torch.optim.AdamW(
            self._parameters, lr=rules.rate, betas=BETAS, weight_decay=DECAY
        )

    def step(
        self,
        batch: dict[str, Tensor],
        lambdas: Tensor,
        ranks: Ranks | None = None,
    ) -> Tensor:
        """Take one step; return the losses [tasks].

        ranks: all take a part of the batch of rank 0, and make this step together.
        """
        if ranks is not None:
            batch = ranks.part(batch, BATCH)
        batch = {name: tensor.to(self._device) for name, tensor in batch.items()}
        totals = batch["weights"].sum(0)
        if ranks is not None:
            ranks.add([totals])
        with torch.autocast(self._device, torch.bfloat16, enabled=self._device != "cpu"):
            losses = self._loss(batch, batch["weights"], totals)
        self._optimizer.zero_grad()
        torch.autograd.backward((losses * lambdas.to(self._device)).sum())
        losses = losses.detach()
        if ranks is not None:
            ranks.add([losses, *(p.grad for p in self._parameters if p.grad is not None)])
        torch.nn.utils.clip_grad_norm_(self._parameters, CLIP)
        self._optimizer.step()
        keep = EARLY if self._steps < EARLY_STEPS else MEAN
        torch._foreach_lerp_(self._mean, [p.data for p in self._parameters], 1.0 - keep)
        self._steps += 1
        return losses.float().cpu()

    def alike(self, ranks: Ranks) -> None:
        """Make all that the next steps depend on that of rank 0."""
        moments = [self._moments(p) for p in self._parameters]
        steps = torch.tensor(float(self._steps))
        ranks.alike([*self.network.state().values(), *self._mean, *chain(*moments), steps])
        self._steps = int(steps)

    def _moments(self, parameter: Tensor) -> list[Tensor]:
        """Return what AdamW keeps of a parameter: before the first step zeros, as it would."""
        state = self._optimizer.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        return [state[name] for name in ("step", "exp_avg", "exp_avg_sq")]

    def start(self, weights: Weights) -> None:
        """Begin with weights, and with them as the running mean."""
        self.network.load(weights)
        self._mean = [p.detach().clone() for p in self._parameters]
        self._steps = EARLY_STEPS

    def mean_weights(self) -> Weights:
        """Return the running mean of the weights."""
        names = [name for name, _ in self.network.named_parameters()]
        means = {n: m.cpu().numpy().copy() for n, m in zip(names, self._mean, strict=True)}
        return {**self.network.weights(), **means}


def compiled(loss: Loss, device: str, backend: str = "inductor") -> Loss:
    """Return a loss as torch.compile makes it on a GPU; on a CPU it is faster as it is.

    Where torch cannot compile it, it runs as it is. One compilation does for all networks of a
    shape.
    """
    if device == "cpu":
        return loss
    from torch._dynamo import config  # some seconds

    config.suppress_errors = True
    return torch.compile(loss, backend=backend)


def mark_of(rules: NeuralSettings, shape: Shape) -> int:
    """Return a number that differs where other settings would train another network."""
    return crc32(repr((rules, shape)).encode())


def follow(ranks: Ranks, rules: NeuralSettings, shape: Shape, device: str = "cpu") -> Weights:
    """Learn with rank 0 until it ends; return the running mean of the weights, equal to its own."""
    torch.set_num_threads(rules.threads)
    trained, mark = Trained(rules, shape, rules.seed, device), mark_of(rules, shape)
    whitened = min(WHITENED, shape.text)
    nothing = Replay(shape, rules.tasks, 1, rules.seed).batch(
        np.zeros(1, np.int64), lambda keys: np.zeros((*keys.shape, whitened), np.float32)
    )
    lambdas = torch.tensor(list(rules.tasks.values()))
    while (steps := ranks.told(mark)) is not None:
        trained.alike(ranks)
        for _ in range(steps):
            trained.step(nothing, lambdas, ranks)
    return trained.mean_weights()
