"""Tuning an encoder of sentence-transformers: its last layers learn which texts go together.

Of a batch of n pairs (a_i, b_i), u_i and v_i being the vectors of a_i and b_i of unit length:

    s_ij = u_i.v_j / 0.05
    L = -1/(2n) sum_i [log softmax_j(s_ij)_i + log softmax_j(s_ji)_i]

So each b_j is a negative of a_i, but where a_j = a_i, b_j = b_i or b_j = a_i: those are none.
In-batch softmax: Henderson et al. 2017; InfoNCE: van den Oord et al. 2018; two towers of one
network, mean of the tokens: Reimers and Gurevych 2019. Needs torch and sentence-transformers.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from streamrec.errors import ConfigurationError
from streamrec.text.encoder import open_sentences

TEMPERATURE = 0.05
DECAY, CLIP = 0.01, 1.0
WARM_UP = 0.1
"""Share of the steps in which the rate rises to its full height."""


class Tuning(NamedTuple):
    """How an encoder is tuned."""

    steps: int = 500
    layers: int = 2  # the last so many learn, the others and all else stay frozen
    rate: float = 2e-5
    batch: int = 64  # pairs a step
    seed: int = 0


def device_of_tuning() -> str:
    """Return where it is tuned: on a GPU if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def tune(
    model: str,
    texts: Sequence[str],
    batches: Iterable[NDArray[np.int64]],
    how: Tuning,
    folder: str,
) -> list[float]:
    """Save a tuned model in a folder, and return the loss of each step.

    batches: int64[n, 2], rows of texts that go together, one batch a step. On a CPU the same
    arguments give the same weights. Raises ConfigurationError where the model cannot be opened or
    has no such layers.
    """
    device = device_of_tuning()
    network = open_sentences(model, device).float()  # in half precision small steps round to none
    learning = _only_last(network, how.layers)
    optimizer = torch.optim.AdamW(learning, lr=how.rate, weight_decay=DECAY)
    warm, losses = max(1.0, WARM_UP * how.steps), []
    with torch.random.fork_rng():
        torch.manual_seed(how.seed)  # of what dropout leaves out
        network.train()
        for step, pairs in enumerate(batches, 1):
            for group in optimizer.param_groups:
                group["lr"] = how.rate * min(1.0, step / warm)
            sides = [texts[row] for row in pairs.T.ravel().tolist()]
            with torch.autocast(device, torch.bfloat16, enabled=device != "cpu"):
                vectors = _vectors(network, sides, device).float()
            a, b = vectors.chunk(2)
            loss = contrast(a, b, torch.from_numpy(pairs).to(device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(learning, CLIP)
            optimizer.step()
            losses.append(float(loss.detach()))
    network.save(folder, create_model_card=False)
    return losses


def contrast(a: Tensor, b: Tensor, pairs: Tensor) -> Tensor:
    """Return the loss L of vectors float[n, d] of both sides; pairs: int64[n, 2], their rows."""
    scores = functional.normalize(a, dim=1) @ functional.normalize(b, dim=1).T / TEMPERATURE
    first, second = pairs[:, 0], pairs[:, 1]
    alike = (first[:, None] == first) | (second[:, None] == second) | (first[:, None] == second)
    alike.fill_diagonal_(False)
    scores = scores.masked_fill(alike, -torch.inf)
    own = torch.arange(len(pairs), device=pairs.device)
    return (functional.cross_entropy(scores, own) + functional.cross_entropy(scores.T, own)) / 2.0


def _only_last(network: nn.Module, layers: int) -> list[nn.Parameter]:
    """Freeze all but the last layers of a network; return the parameters of these."""
    stacks = [list(module) for module in network.modules() if isinstance(module, nn.ModuleList)]
    stack = max(stacks, key=len, default=[])
    if layers > len(stack):
        raise ConfigurationError(f"--layers {layers}: the model of text.model has {len(stack)}")
    network.requires_grad_(False)
    last = stack[len(stack) - layers :]
    for layer in last:
        layer.requires_grad_(True)
    return list(chain.from_iterable(layer.parameters() for layer in last))


def _vectors(network: Any, texts: list[str], device: str) -> Tensor:
    """Return float[n, d] of texts, with gradients; read as `encode` of the library reads them."""
    prompt = network.prompts.get(network.default_prompt_name or "")
    features = network.preprocess(texts, prompt=prompt)
    moved = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in features.items()}
    out: Tensor = network(moved)["sentence_embedding"]
    return out
