"""GPT-2: a decoder-only transformer over tokens (Radford et al. 2019)."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import (
    cross_entropy,
    dropout,
    layer_norm,
    scaled_dot_product_attention,
)

from dalib import limits
from dalib.streams import Generator, each, integers, normal

LOGITS = 2**24  # at most so many at once where no gradient is needed: 64 MB
TRAINED = {"cpu": 2**19, "cuda": 2**26}  # at once in training: what a cache holds
PART = 256  # rows at once on a CPU, at most
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class GPT(nn.Module):
    """The next token's distribution, given those before; the defaults of the published library.

        h = E[k_t] + P[t]                                         token and position embeddings
        h <- h + W_o MHA(LN(h)),   h <- h + W_2 gelu(W_1 LN(h) + b_1) + b_2         each layer
        z = LN(h) Eᵀ                                              logits, weights tied to E
        L = -1/(B C) Σ_b Σ_t log softmax(z_t)[k_{t+1}]            in nats, every position counts

    Heads of size width / heads, softmax(q kᵀ / √size) over the past, GELU in its tanh form, layer
    norm before each part with ε = 1e-5. Every parameter has a leading axis `repeat`; weights start
    as N(0, 0.02²), W_o and W_2 smaller by √(2 layers), biases at 0.

    Args:
        vocabulary: tokens.
        repeats: trainings at once.
        layers, width, heads: of the decoder; the inner width is four times `width`.
        context: longest window that it sees.
        dropout: of embeddings, attention and residuals, in training.
        precision: of the products in training, float32 or bfloat16; weights, sums and everything
            outside training are float32. On a CPU with instructions for it, bfloat16 is twice as
            fast, elsewhere ten times slower.
        generator: draws the first weights; without it they are 0, to be filled with stored ones.
    """

    def __init__(
        self,
        vocabulary: int,
        repeats: int = 1,
        layers: int = 12,
        width: int = 768,
        heads: int = 12,
        context: int = 1024,
        dropout: float = 0.0,
        precision: Literal["auto", "float32", "bfloat16"] = "float32",
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        limits.at_least(1, vocabulary=vocabulary, layers=layers, width=width)
        limits.at_least(1, heads=heads, context=context)
        limits.at_least(0, dropout=dropout)
        limits.less_than(1, dropout=dropout)
        if precision not in PRECISIONS:
            known = ", ".join(PRECISIONS)
            raise ValueError(f"unknown precision {precision!r}; known: {known}")
        if width % heads:
            raise ValueError(f"width {width} cannot be shared by {heads} heads")
        self.vocabulary, self.repeats, self.heads = vocabulary, repeats, heads
        self.width, self.context, self.dropout = width, context, dropout
        self.precision = PRECISIONS[precision]

        def weight(*shape: int, std: float = 0.02) -> nn.Parameter:
            if generator is None:
                return nn.Parameter(torch.zeros(repeats, *shape))
            return nn.Parameter(std * normal((repeats, *shape), generator, torch.float32))

        self.tokens = weight(vocabulary, width)
        self.positions = weight(context, width)
        self.blocks = nn.ModuleList(Block(weight, repeats, width, layers) for _ in range(layers))
        self.last = Norm(repeats, width)

    def forward(self, tokens: Tensor, rate: float = 0.0) -> Tensor:
        """(repeat, batch, time) -> (repeat, batch, time, width), states before the head.

        rate: of dropout.
        """
        time = tokens.shape[-1]
        if time > self.context:
            raise ValueError(
                f"the network sees {self.context} tokens at most, got {time}; use shorter "
                "windows, or give the network a longer `context`"
            )
        h = dropped(self._embedded(tokens) + self.positions[:, None, :time], rate)
        for block in self.blocks:
            h = block(h, self.heads, rate)
        return self.last(h)

    def logits(self, h: Tensor) -> Tensor:
        """(repeat, ..., width) -> (repeat, ..., vocabulary)."""
        return _linear(h, self.tokens.transpose(1, 2))

    def loss(self, batch: Tensor, fraction: float, generator: Generator | None) -> Tensor:
        """(repeat, batch, time + 1) tokens -> (repeat,), mean cross-entropy in nats."""
        low = self.precision is not torch.float32
        with (
            seeded(generator, self.dropout > 0),
            torch.autocast(batch.device.type, torch.bfloat16, enabled=low),
        ):
            h = self(batch[..., :-1], rate=self.dropout).flatten(1, -2)
        targets = batch[..., 1:].flatten(1)
        each_repeat = zip(h, self.tokens, targets, strict=True)
        return torch.stack([TiedLoss.apply(*one, self.precision) for one in each_repeat])

    @torch.no_grad()
    def costs(self, tokens: Tensor) -> Tensor:
        """(repeat, batch, time + 1) -> (repeat, batch, time), -log p of each next token."""
        windows = max(1, LOGITS // (tokens.shape[0] * (tokens.shape[-1] - 1) * self.vocabulary))
        parts = [self._costs(self(p[..., :-1]), p[..., 1:]) for p in tokens.split(windows, 1)]
        return torch.cat(parts, 1)

    @torch.no_grad()
    def report(self, batch: Tensor, generator: Generator | None) -> dict[str, Tensor]:
        """(repeat,) each: the loss, and that of the second half of the window."""
        costs = self.costs(batch)
        late = costs[..., costs.shape[-1] // 2 :]
        return {"loss": costs.mean((1, 2)), "late_loss": late.mean((1, 2))}

    def _embedded(self, tokens: Tensor) -> Tensor:
        if len(self.tokens) == 1:
            return nn.functional.embedding(tokens[0], self.tokens[0]).unsqueeze(0)
        repeat = torch.arange(len(self.tokens), device=tokens.device).view(-1, 1, 1)
        return self.tokens[repeat, tokens]

    def _costs(self, h: Tensor, targets: Tensor) -> Tensor:
        z = self.logits(h).flatten(0, -2)
        return cross_entropy(z, targets.flatten(), reduction="none").view(targets.shape)


def causal(q: Tensor, k: Tensor, v: Tensor, rate: float) -> Tensor:
    """Attention of each token to itself and those before; (repeat, batch, head, time, size)."""
    flat = (x.flatten(0, 1) for x in (q, k, v))  # the fused kernels take four axes
    with torch.autocast(q.device.type, enabled=False):
        mixed = scaled_dot_product_attention(*flat, is_causal=True, dropout_p=rate)
    return mixed.unflatten(0, q.shape[:2])


class TiedLoss(torch.autograd.Function):
    """Mean cross-entropy of softmax(h Eᵀ), with the gradient worked out on the way.

        p = softmax(h Eᵀ),   L = -1/n Σ log p[k],   dL/dz = (p - 1[k]) / n,   dL/dh = dL/dz E,
        dL/dE = dL/dzᵀ h

    All logits of a batch would fill hundreds of megabytes, and most time went into reading and
    writing them; a few rows at a time stay in the cache, and none is kept.
    """

    @staticmethod
    def forward(ctx, h: Tensor, E: Tensor, targets: Tensor, precision: torch.dtype) -> Tensor:
        """(row, width), (token, width), (row,) -> (); products in `precision`."""
        low, table = h.detach().to(precision), E.detach().to(precision)
        most = PART if h.device.type == "cpu" else len(h)
        rows = min(max(TRAINED[h.device.type] // len(E), 64), most)
        dh, dE = torch.empty_like(h, dtype=torch.float32), None
        total = torch.zeros((), device=h.device)
        parts = zip(low.split(rows), targets.split(rows), dh.split(rows), strict=True)
        for part, k, own in parts:
            p = torch.softmax(part @ table.T, 1, dtype=torch.float32)
            here = torch.arange(len(k), device=k.device)
            likelihood = p[here, k]
            total -= likelihood.clamp_min(1e-30).log().sum()
            p[here, k] = likelihood - 1
            dz = p.to(precision)
            own.copy_(dz @ table)
            dET = part.T @ dz
            dE = dET.float() if dE is None else dE.add_(dET)
        ctx.save_for_backward(dh.div_(len(h)), dE.T.div_(len(h)))
        ctx.dtype = h.dtype
        return total / len(h)

    @staticmethod
    def backward(ctx, outer: Tensor) -> tuple[Tensor, Tensor, None, None]:
        _first_derivative_only()
        dh, dE = ctx.saved_tensors
        return (outer * dh).to(ctx.dtype), outer * dE, None, None


class Block(nn.Module):
    """One layer: attention, then a network of two layers, each added to what it was given."""

    def __init__(self, weight: Callable, repeats: int, width: int, layers: int) -> None:
        super().__init__()
        small = 0.02 / math.sqrt(2 * layers)
        self.norm, self.norm2 = Norm(repeats, width), Norm(repeats, width)
        self.qkv = Affine(weight(width, 3 * width))
        self.out = Affine(weight(width, width, std=small))
        self.up = Affine(weight(width, 4 * width))
        self.down = Affine(weight(4 * width, width, std=small))

    def forward(self, h: Tensor, heads: int, rate: float) -> Tensor:
        qkv = self.qkv(self.norm(h))
        if qkv.device.type == "cpu":  # where attention in bfloat16 is slower, at best as fast
            qkv = qkv.float()
        qkv = qkv.unflatten(-1, (3, heads, -1))
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5)  # (repeat, batch, head, time, size) each
        mixed = causal(q, k, v, rate).transpose(2, 3).flatten(-2)
        h = h + dropped(self.out(mixed), rate)
        inner = gelu(self.up(self.norm2(h)))
        return h + dropped(self.down(inner), rate)


def dropped(x: Tensor, rate: float) -> Tensor:
    """x, with a share `rate` of it set to 0 and the rest scaled up."""
    return dropout(x, rate) if rate else x


def gelu(x: Tensor) -> Tensor:
    """x Φ(x) in its tanh form: ½ x (1 + tanh u) = x σ(2u),   u = √(2/π) (x + 0.044715 x³)."""
    if x.device.type == "cpu" and torch.is_grad_enabled():
        return Gelu.apply(x)
    return nn.functional.gelu(x, approximate="tanh")


class Gelu(torch.autograd.Function):
    """`gelu` by the logistic function: on a CPU without AVX2 five times as fast, else as fast."""

    SLOPE = 2 * math.sqrt(2 / math.pi)
    CUBIC = 0.044715 * SLOPE

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        wide = x.float()
        square = wide * wide
        s = (square * Gelu.CUBIC).add_(Gelu.SLOPE).mul_(wide).sigmoid_()
        y = wide * s
        if ctx.needs_input_grad[0]:  # σ + x σ (1 - σ) d(2u)/dx
            slope = square.mul_(3 * Gelu.CUBIC).add_(Gelu.SLOPE).mul_(y)
            ctx.save_for_backward(slope.addcmul_(slope, s, value=-1).add_(s).to(x.dtype))
        return y.to(x.dtype)

    @staticmethod
    def backward(ctx, outer: Tensor) -> Tensor:
        _first_derivative_only()
        (slope,) = ctx.saved_tensors
        return outer * slope


def _first_derivative_only() -> None:
    """What backward takes from saved values is a constant to autograd; 0 would be wrong."""
    if torch.is_grad_enabled():  # under create_graph=True
        raise RuntimeError(
            "the GPT has first derivatives only, got create_graph=True; take finite differences of "
            "the gradient, or logits() and cross_entropy for its last layer"
        )


class Norm(nn.Module):
    """Layer norm over the width, with a gain and a bias for each repeat."""

    def __init__(self, repeats: int, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(repeats, width))
        self.bias = nn.Parameter(torch.zeros(repeats, width))

    def forward(self, h: Tensor) -> Tensor:
        size = h.shape[-1:]
        if len(self.gain) == 1:
            return layer_norm(h, size, self.gain[0], self.bias[0])
        shape = (-1, *[1] * (h.ndim - 2), *size)
        return layer_norm(h, size) * self.gain.view(shape) + self.bias.view(shape)


class Affine(nn.Module):
    """x W + b for each repeat, b = 0 at first: (repeat, ..., inputs) -> (repeat, ..., outputs)."""

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight
        self.bias = nn.Parameter(torch.zeros(len(weight), 1, weight.shape[-1]))

    def forward(self, x: Tensor) -> Tensor:
        return _linear(x, self.weight, self.bias)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if len(weight) == 1:  # one plain product is faster than a batch of one
        rows = x.reshape(-1, x.shape[-1])
        y = rows @ weight[0] if bias is None else torch.addmm(bias[0], rows, weight[0])
        return y.view(*x.shape[:-1], -1)
    rows = x.flatten(1, -2)
    y = torch.bmm(rows, weight) if bias is None else torch.baddbmm(bias, rows, weight)
    return y.unflatten(1, x.shape[1:-1])


@contextmanager
def seeded(generator: Generator | None, needed: bool) -> Iterator[None]:
    """Global random numbers that follow from the generator, and are put back afterwards."""
    if not needed:
        yield
        return
    shape = (len(each(generator)),) if generator is not None else (1,)
    with torch.random.fork_rng():
        torch.manual_seed(int(integers(2**31, shape, generator)[0]))
        yield
