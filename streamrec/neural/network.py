"""The network, in torch: it reads what the live sources say of pairs and moves the blend's scores.

For candidate j and past item b, p_jb being what the sources say of the pair, z = P e the projected
text of unit length (e: whitened, of unit length), and q_b the facts of the past item:

    u_jb = phi(W2 phi(W1 [p_jb, 2 z_j.z_b] + Wq q_b + b1) + b2)
    a_j  = [sum_b u_jb / sqrt(h), max_b u_jb]
    y_j  = phi(V1 [x_j, a_j] + c1);  y_j += phi(V2 y_j + c2)
    s_jk = alpha log p_j + v_k.y_j

phi is leaky (.1), x_j are the facts of the candidate, p_j is the blend's softmax. One head v_k a
task k; alpha starts at 1 and v at 0, so it starts as the blend and can only move away by learning.
What serves is a part of the move, s_j - log p_j (serve.py).
P starts as the identity, so z_j.z_b starts as the cosine of the whitened texts.
Loss: L = sum_k lambda_k L_k, L_k = -log softmax(s_k)_clicked over the clicked candidate and 31 of
the other 79: the blend's best and some that are drawn. Each of these stands for c candidates, and
adds log c to its score: so the loss is, in the mean, of the softmax over all (Jean et al. 2015).

DIN (Zhou et al. 2018) reads pairs of candidate and past item by embeddings of its own; here what
is read is live, and no embedding is trained, which is what overfits (Zhang et al. 2022).
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from streamrec.neural.reading import PAST, PROJECTED, WHITENED, Shape
from streamrec.settings.neural import NeuralSettings
from streamrec.text.whiten import Whitening

LEAK = 0.1
NOWHERE = -1e4
"""Score of a candidate that is not there."""
Weights = dict[str, np.ndarray[Any, np.dtype[np.float32]]]
"""Arrays by name, as in a version."""


class PairNetwork(nn.Module):
    """The network; `batch` of all methods is as from Replay.batch."""

    whiten: Tensor
    mean: Tensor

    def __init__(self, shape: Shape, rules: NeuralSettings) -> None:
        super().__init__()
        units, hidden, with_text = rules.units, rules.hidden, shape.text > 0
        self.alpha = nn.Parameter(torch.ones(()))
        self.pair = nn.Linear(len(shape.channels) + with_text, units)
        self.past = nn.Linear(PAST, units, bias=False)
        self.unit = nn.Linear(units, units)
        self.inward = nn.Linear(shape.facts + 2 * units, hidden)
        self.again = nn.Linear(hidden, hidden)
        self.heads = nn.Linear(hidden, len(rules.tasks), bias=False)
        nn.init.zeros_(self.heads.weight)
        whitened = min(WHITENED, shape.text)
        self.project: nn.Linear | None = None
        if with_text:
            self.project = nn.Linear(whitened, PROJECTED, bias=False)
            nn.init.eye_(self.project.weight)
        self.register_buffer("whiten", torch.zeros(whitened, shape.text))
        self.register_buffer("mean", torch.zeros(shape.text))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the scores [B, tasks, n]."""
        pairs = [batch["pairs"]]
        if self.project is not None:
            mine, past = self._projected(batch["texts"]), self._projected(batch["past_texts"])
            pairs.append(2.0 * (mine @ past.transpose(1, 2))[..., None])
        units = self.pair(torch.cat(pairs, 3)) + self.past(batch["past"])[:, None]
        units = functional.leaky_relu(self.unit(functional.leaky_relu(units, LEAK)), LEAK)
        there = batch["there"]  # [B, h]: past items that are
        count = there.sum(1).clamp(min=1).sqrt()[:, None, None]
        units = units * there[:, None, :, None]
        away = NOWHERE * (1.0 - there)[:, None, :, None]
        most = (units + away).max(2).values * (there.sum(1) > 0)[:, None, None]
        facts = torch.cat([batch["facts"], units.sum(2) / count, most], 2)
        y = functional.leaky_relu(self.inward(facts), LEAK)
        y = y + functional.leaky_relu(self.again(y), LEAK)
        scores: Tensor = self.alpha * batch["blend"][:, None] + self.heads(y).transpose(1, 2)
        out: Tensor = scores.masked_fill(batch["stands"][:, None] == 0.0, NOWHERE)
        return out

    def _projected(self, texts: Tensor) -> Tensor:
        """Return float32[..., PROJECTED] of unit length, zero where there is no text."""
        assert self.project is not None
        there: Tensor = texts.any(-1, keepdim=True)
        return functional.normalize(self.project(texts), dim=-1) * there

    def loss(self, batch: dict[str, Tensor], weights: Tensor, totals: Tensor) -> Tensor:
        """Return the mean losses [tasks] of samples whose first candidate was clicked.

        weights: [B, tasks], 0 where a sample is none of a task; totals: [tasks], their sums over
        all samples of which these are a part or all.
        """
        shifts = torch.log(batch["stands"].clamp(min=1.0))[:, None]
        each = -functional.log_softmax(self.forward(batch) + shifts, 2)[..., 0]
        return (each * weights).sum(0) / totals.clamp(min=1e-6)

    def set_texts(self, vectors: np.ndarray[Any, Any]) -> None:
        """Whiten texts, half, by the statistics of float32[n, D], those that are known now."""
        if self.project is None or len(vectors) < 2:
            return
        mean, matrix = Whitening.of(vectors, len(self.whiten))
        self.mean.copy_(torch.from_numpy(mean))
        self.whiten.copy_(torch.from_numpy(matrix.T.copy()))

    def whitened(self, vectors: Tensor) -> Tensor:
        """Return float32[n, WHITENED] of unit length, what `batch` holds of unit texts [n, D]."""
        return functional.normalize((vectors - self.mean) @ self.whiten.T, dim=-1)

    def weights(self) -> Weights:
        """Return copies of all arrays."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.state().items()}

    def load(self, weights: Weights) -> None:
        """Take arrays over."""
        for name, value in self.state().items():
            value.data.copy_(torch.from_numpy(np.array(weights[name], np.float32)))

    def state(self) -> dict[str, Tensor]:
        """Return all that a version holds, by name."""
        return {**dict(self.named_parameters()), **dict(self.named_buffers())}
