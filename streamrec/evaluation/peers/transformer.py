"""A sequence model alone: a transformer over each user's items that is refreshed along the log.

In the form of eSASRec (Tikhonovich et al. 2025): the shifted sequences of SASRec (Kang and McAuley
2018), gated blocks (LiGR: Borisyuk et al. 2025), a sampled softmax. Needs torch.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

SIZE, HEADS, BLOCKS, DROPOUT = 64, 2, 2, 0.1
LENGTH = 50
"""Newest items of a user that are read."""
FIRST, SHARE, EVERY = 500, 0.25, 2500
"""Events of the first refresh; share of all events that make a later one, up to EVERY."""
PASSES, OLDER = 4, 0.5
"""Over who has new events; who is drawn beside them, as a share of these."""
BATCH, NEGATIVES, RATE, CLIP = 16, 256, 1e-3, 5.0
ROOM = 1024
"""Items there is room for at first; it doubles."""


class Transformer:
    """Score = hidden state after the user's newest item . vector of the item + its bias."""

    name = "transformer"

    def __init__(self, seed: int) -> None:
        torch.set_num_threads(1)  # its products are small
        self._dice, self._chance = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        self._histories: dict[int, list[int]] = {}  # positive events, oldest first
        self._fresh: dict[int, int] = {}  # user -> events that no refresh has learnt from
        self._events = self._waiting = self._items = self._trained = 0
        self._network = _Network(ROOM, self._chance)
        self._optimizer = _optimizer(self._network)

    def scores(self, user: int, now_ms: int, items: int) -> NDArray[np.float32]:
        """Return float32[items]: NaN of items since the last refresh, and for users without any."""
        out = np.full(items, np.nan, np.float32)
        read = [x for x in self._histories.get(user, ())[-LENGTH:] if x < self._trained]
        if read:
            network, n = self._network.eval(), min(items, self._trained)
            with torch.no_grad():
                last = network(torch.tensor([read]))[0, -1]
                out[:n] = (network.items.weight[:n] @ last + network.bias[:n]).numpy()
        return out

    def learn(self, user: int, item: int, weight: float, ts_ms: int, session: int) -> None:
        """Add the item to the user's; every so many events learn from who has new ones."""
        if weight <= 0:
            return
        self._items = max(self._items, item + 1)
        self._histories.setdefault(user, []).append(item)
        self._fresh[user] = self._fresh.get(user, 0) + 1
        self._waiting += 1
        self._events += 1
        if self._waiting >= min(EVERY, max(FIRST, SHARE * self._events)):
            self._refresh()

    def _refresh(self) -> None:
        if self._items > len(self._network.bias) - 1:
            self._room(max(2 * len(self._network.bias), self._items + 1))
        self._network.train()
        users = list(self._histories)
        for _ in range(PASSES):
            older = self._dice.choice(users, int(OLDER * len(self._fresh)))
            windows = [w for u, fresh in self._fresh.items() for w in self._windows(u, fresh)]
            windows += [w for u in older.tolist() for w in self._windows(u, 1)]
            order = self._dice.permutation(len(windows)).tolist()
            for x in range(0, len(order), BATCH):
                self._step([windows[n] for n in order[x : x + BATCH]])
        self._trained, self._fresh, self._waiting = self._items, {}, 0

    def _windows(self, user: int, fresh: int) -> list[list[int]]:
        """Return what holds a user's newest `fresh` events: parts of at most LENGTH + 1 items."""
        history, out = self._histories[user], []
        end = len(history)
        while end > 1 and end > len(history) - fresh:
            out.append(history[max(0, end - LENGTH - 1) : end])
            end -= LENGTH
        return out

    def _step(self, windows: list[list[int]]) -> None:
        """Learn the next item at each place of the windows."""
        longest, none = max(map(len, windows)) - 1, len(self._network.bias) - 1
        before = np.full((len(windows), longest), none)
        after = np.full((len(windows), longest), none)
        for row, window in enumerate(windows):
            before[row, longest - len(window) + 1 :] = window[:-1]
            after[row, longest - len(window) + 1 :] = window[1:]
        others = torch.from_numpy(self._dice.integers(self._items, size=NEGATIVES))
        network, wanted = self._network, torch.from_numpy(after)
        real = wanted != none
        hidden, wanted = network(torch.from_numpy(before))[real], wanted[real]
        right = (hidden * network.items(wanted)).sum(-1) + network.bias[wanted]
        wrong = hidden @ network.items(others).T + network.bias[others]
        wrong = wrong.masked_fill(others[None] == wanted[:, None], -1e9)
        wrong = wrong + math.log(max(1.0, self._items / NEGATIVES))  # all items, not those drawn
        loss = F.cross_entropy(torch.cat([right[:, None], wrong], 1), torch.zeros_like(wanted))
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        self._optimizer.step()

    def _room(self, items: int) -> None:
        """Have room for items, the last of which stands for none; what was learnt is kept."""
        network, n = _Network(items, self._chance), self._trained
        if n:
            kept = self._network.state_dict()
            with torch.no_grad():
                for name, tensor in network.state_dict().items():
                    rows = n if name in ("items.weight", "bias") else len(tensor)
                    tensor[:rows] = kept[name][:rows]
        self._network, self._optimizer = network, _optimizer(network)


class _Network(nn.Module):
    def __init__(self, items: int, chance: torch.Generator) -> None:
        super().__init__()
        self.items = nn.Embedding(items, SIZE, _weight=_normal(items, 0.05, chance))
        self.places = nn.Embedding(LENGTH, SIZE, _weight=_normal(LENGTH, 0.02, chance))
        self.bias = nn.Parameter(torch.zeros(items))
        self.blocks = nn.ModuleList([_Block(chance) for _ in range(BLOCKS)])
        self.norm, self.dropout = nn.LayerNorm(SIZE), _Dropout(chance)

    def forward(self, read: Tensor) -> Tensor:
        """Return the hidden states float32[B, T, d] of items int64[B, T], the newest last."""
        count, none = read.shape[1], len(self.bias) - 1
        places = torch.arange(count - 1, -1, -1)
        x = self.dropout(self.items(read) * (0.2 * math.sqrt(SIZE)) + self.places(places))
        past = torch.ones(count, count, dtype=torch.bool).tril()
        sees = (past & (read != none)[:, None]) | torch.eye(count, dtype=torch.bool)
        for block in self.blocks:
            x = block(x, sees[:, None])
        out: Tensor = self.norm(x)
        return out


class _Block(nn.Module):
    """x + sigmoid(G x) * attention(norm x), and the same with a gated layer of 2d units."""

    def __init__(self, chance: torch.Generator) -> None:
        super().__init__()
        d = SIZE
        self.first, self.second = nn.LayerNorm(d), nn.LayerNorm(d)
        self.asks, self.mixed = _linear(d, 3 * d, chance), _linear(d, d, chance)
        self.wide, self.gate = _linear(d, 2 * d, chance), _linear(d, 2 * d, chance)
        self.narrow = _linear(2 * d, d, chance)
        self.opens, self.opens_too = _linear(d, d, chance), _linear(d, d, chance)
        self.dropout = _Dropout(chance)

    def forward(self, x: Tensor, sees: Tensor) -> Tensor:
        """Return float32[B, T, d]; sees: bool[B, 1, T, T], which places each place looks at."""
        query, key, value = (
            part.unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for part in self.asks(self.first(x)).chunk(3, -1)
        )
        read = F.scaled_dot_product_attention(query, key, value, attn_mask=sees)
        read = self.mixed(read.transpose(1, 2).flatten(2))
        x = x + torch.sigmoid(self.opens(x)) * self.dropout(read)
        y = self.second(x)
        y = self.narrow(F.silu(self.wide(y)) * self.gate(y))
        out: Tensor = x + torch.sigmoid(self.opens_too(x)) * self.dropout(y)
        return out


class _Dropout(nn.Module):
    """Dropout by chance of its own: torch's is one for all threads of a process."""

    def __init__(self, chance: torch.Generator) -> None:
        super().__init__()
        self._chance = chance

    def forward(self, x: Tensor) -> Tensor:
        """Return x, in training with a share of DROPOUT set to 0."""
        if not self.training:
            return x
        return x * (torch.rand(x.shape, generator=self._chance) >= DROPOUT) / (1.0 - DROPOUT)


def _optimizer(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(network.parameters(), RATE, betas=(0.9, 0.98))


def _normal(rows: int, scale: float, chance: torch.Generator) -> Tensor:
    return scale * torch.randn(rows, SIZE, generator=chance)


def _linear(inward: int, outward: int, chance: torch.Generator) -> nn.Linear:
    """Return a layer drawn as nn.Linear draws it: uniform within 1 / sqrt(inward)."""
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inward, outward)  # type: ignore[no-untyped-call]
    bound = 1.0 / math.sqrt(inward)
    with torch.no_grad():
        for each in layer.parameters():
            each.uniform_(-bound, bound, generator=chance)
    return layer
