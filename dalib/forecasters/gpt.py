"""Generation from a trained GPT, with the keys and values of the past kept."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding, scaled_dot_product_attention
from tqdm import tqdm

from dalib.forecasters.tokens import drawn, require_temperature
from dalib.nets.gpt import GPT, Affine, Norm, gelu
from dalib.streams import Generator, Streams


class Reader:
    """One repeat of a network, reading on: keys and values of what it has read are kept.

    Gains and biases of the norms are made part of the products that follow them,

        (g x + β) W + b = x (g W) + (b + β W)

    and of the last layer only the last token goes on: in reading a token for each of a few cases,
    the number of operations counts, not their size.

    Args:
        network: the trained network.
        repeat: which of its trainings.
        cases: sequences read side by side.
    """

    def __init__(self, network: GPT, repeat: int, cases: int) -> None:
        def plain(affine: Affine) -> tuple[Tensor, Tensor]:
            return affine.bias[repeat, 0], affine.weight[repeat]

        def folded(norm: Norm, bias: Tensor | float, weight: Tensor) -> tuple[Tensor, Tensor]:
            return bias + norm.bias[repeat] @ weight, norm.gain[repeat, :, None] * weight

        self.tokens, self.positions = network.tokens[repeat], network.positions[repeat]
        self.layers = [
            (
                folded(block.norm, *plain(block.qkv)),
                plain(block.out),
                folded(block.norm2, *plain(block.up)),
                plain(block.down),
            )
            for block in network.blocks
        ]
        self.head = folded(network.last, 0.0, self.tokens.T)
        self.heads, self.context = network.heads, network.context
        shape = (2, cases, self.heads, self.context, network.width // self.heads)
        self.past = [self.tokens.new_empty(shape) for _ in self.layers]
        self.length = 0

    def read(self, tokens: Tensor) -> Tensor:
        """(case, time) -> (case, token), logits of what follows; several tokens only at first."""
        (cases, time), size = tokens.shape, self.tokens.shape[1:]
        begin, self.length = self.length, self.length + time
        h = embedding(tokens, self.tokens) + self.positions[begin : self.length]
        for past, (qkv, out, up, down) in zip(self.past, self.layers, strict=True):
            last = past is self.past[-1]
            new = _affine(torch.layer_norm(h, size), qkv).view(cases, time, 3, self.heads, -1)
            new = new.permute(2, 0, 3, 1, 4)  # (3, case, head, time, size)
            past = past[..., : self.length, :]
            past[..., begin:, :] = new[1:]
            q, h = (new[0, ..., -1:, :], h[:, -1:]) if last else (new[0], h)
            mixed = scaled_dot_product_attention(q, *past, is_causal=time > 1 and not last)
            h = h + _affine(mixed.transpose(1, 2).flatten(2), out)
            h = h + _affine(gelu(_affine(torch.layer_norm(h, size), up)), down)
        return _affine(torch.layer_norm(h, size), self.head)[:, -1]


def _affine(x: Tensor, weights: tuple[Tensor, Tensor]) -> Tensor:
    bias, weight = weights
    return torch.addmm(bias, x.reshape(-1, len(weight)), weight).view(*x.shape[:-1], -1)


@dataclass(frozen=True)
class GPTForecaster:
    """A trained network that continues tokens.

    Positions are absolute and learned, so a full cache cannot be shifted: when the context is
    full, its last half is read again as positions 0, 1, ... and generation goes on. Each token is
    thus conditioned on at least half a context, and reading twice costs one token more per token.

    Args:
        network: the trained network; its dropout plays no part here.
    """

    network: GPT

    def generate(
        self,
        context: Tensor,
        steps: int,
        temperature: float | Tensor,
        generator: Generator | None,
        *,
        progress: str | None = None,
    ) -> Tensor:
        """(case, time) tokens -> (repeat, case, steps), what follows.

            p = softmax(z / T);   T = 0: argmax, of equal logits the first

        Args:
            context: tokens of the past, of which the last half context counts.
            temperature: one number, or one for each case (case,).
            generator: one, or one stream for each repeat.
            progress: label of the progress bar on stderr; None for none.
        """
        device, repeats = self.network.tokens.device, len(self.network.tokens)
        temperature = require_temperature(temperature, len(context)).to(device)
        context = context.to(device)
        made = torch.empty(repeats, len(context), steps, dtype=torch.int64)
        streams = _of_repeats(generator, repeats)
        bar = tqdm(total=repeats * steps, desc=progress, disable=progress is None)
        with bar, torch.inference_mode():
            for r in range(repeats):
                reader = Reader(self.network, r, len(context))
                made[r] = self._continued(reader, context, steps, temperature, streams[r], bar)
        return made

    def _continued(
        self,
        reader: Reader,
        context: Tensor,
        steps: int,
        temperature: Tensor,
        generator: torch.Generator | None,
        bar: tqdm,
    ) -> Tensor:
        """(case, time) -> (case, steps), by one repeat."""
        keep = max(self.network.context // 2, 1)
        past = context[:, -keep:]
        length = past.shape[1]
        tokens = past.new_empty(len(past), length + steps)
        tokens[:, :length] = past
        fresh = past  # what has not been read yet
        for t in range(length, length + steps):
            if reader.length + fresh.shape[1] > self.network.context:
                reader.length, fresh = 0, tokens[:, t - keep : t]
            tokens[:, t] = drawn(reader.read(fresh), temperature, generator)
            fresh = tokens[:, t : t + 1]
            bar.update()
        return tokens[:, length:]

    def log_prob(self, tokens: Tensor) -> Tensor:
        """(case, time) -> (repeat, case, time - 1), log p of each next token.

        No more than context + 1 tokens of a case.
        """
        device = self.network.tokens.device
        tokens = tokens.to(device).expand(len(self.network.tokens), -1, -1)
        return -self.network.costs(tokens).cpu()


def _of_repeats(generator: Generator | None, repeats: int) -> tuple[torch.Generator | None, ...]:
    """One for each repeat; a single generator goes on from one to the next."""
    if not isinstance(generator, Streams):
        return (generator,) * repeats
    if len(generator) != repeats:
        raise ValueError(f"{repeats} repeats need as many streams, got {len(generator)}")
    return generator.generators
