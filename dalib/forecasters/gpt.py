"""Generation from a trained GPT, with the keys and values of the past kept."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding, scaled_dot_product_attention

from dalib.codecs.bins import require_tokens
from dalib.forecasters.tokens import drawn, require_temperature
from dalib.nets.gpt import GPT, Affine, Norm, gelu
from dalib.resumable import Resumable, Save
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
        save: Save | None = None,
        resume: dict | None = None,
    ) -> Tensor:
        """(case, time) tokens -> (repeat, case, steps), what follows.

            p = softmax(z / T);   T = 0: argmax, of equal logits the first

        Args:
            context: tokens of the past, of which the last half context counts.
            temperature: one number, or one for each case (case,).
            generator: one, or one stream for each repeat.
            progress: label of the progress bar on stderr; None for none.
            save, resume: whenever the context is full, and after each repeat, see `resumable`;
                what is of another model, context or number of tokens is left aside.
        """
        device, repeats = self.network.tokens.device, len(self.network.tokens)
        temperature = require_temperature(temperature, len(context)).to(device)
        require_tokens(context, self.network.vocabulary)
        past = context[:, -self.network.context :].to(device)
        made = past.new_zeros(repeats, len(past), steps, dtype=torch.int64)
        generation = _Generation(self, past, made, temperature, generator)
        return generation.run(save=save, resume=resume, progress=progress)

    def log_prob(self, tokens: Tensor) -> Tensor:
        """(case, time) -> (repeat, case, time - 1), log p of each next token.

        No more than context + 1 tokens of a case.
        """
        require_tokens(tokens, self.network.vocabulary)
        device = self.network.tokens.device
        tokens = tokens.to(device).expand(len(self.network.tokens), -1, -1)
        return -self.network.costs(tokens).cpu()


class _Generation(Resumable):
    """Tokens under way, one repeat after the other. What was read is read again to go on."""

    what, unit = "another generation", "token"

    def __init__(
        self,
        forecaster: GPTForecaster,
        past: Tensor,
        made: Tensor,
        temperature: Tensor,
        generator: Generator | None,
    ) -> None:
        self.forecaster, self.past, self.temperature = forecaster, past, temperature
        self.made = made  # (repeat, case, step)
        self.repeat = self.time = 0  # the next token
        self.generator, self.streams = generator, _of_repeats(generator, len(made))
        self.steps, self.total = made.shape[-1], len(made) * made.shape[-1]
        self.reader: Reader | None = None

    @property
    def done(self) -> int:
        """How many tokens of a case there are, those of all repeats together."""
        return self.repeat * self.steps + self.time

    def decides(self) -> tuple:
        """Model and contexts, and how many tokens are wanted."""
        return self.forecaster, self.past, self.made.shape

    @torch.inference_mode()
    def advance(self) -> None:
        """Generate until the context is full, or all steps of a repeat are done.

        At first all that is given is read, later the latest half of a context.
        """
        if self.time == self.steps:
            self.repeat, self.time, self.reader = self.repeat + 1, 0, None
        network, made, generator = self._network, self.made[self.repeat], self.streams[self.repeat]
        if self.reader is None:
            self.reader = Reader(network, self.repeat, len(self.past))
        again = max(network.context // 2, 1)  # tokens that are read again when the context is full
        latest = made[:, max(self.time - again, 0) : self.time]
        self.reader.length, fresh = 0, torch.cat([self.past, latest], 1)
        if self.time:
            fresh = fresh[:, -again:]
        while self.time < self.steps and self.reader.length + fresh.shape[1] <= network.context:
            token = drawn(self.reader.read(fresh), self.temperature, generator)
            made[:, self.time], fresh = token, token[:, None]
            self.time += 1

    @property
    def _network(self) -> GPT:
        return self.forecaster.network

    def fixed(self) -> dict[str, Any]:
        """The tokens."""
        return {"made": self.made}

    def changing(self) -> dict[str, Any]:
        """Where the next token is."""
        return {"repeat": self.repeat, "time": self.time}

    def restore(self, state: dict) -> None:
        """Take back the tokens."""
        self.repeat, self.time = state["repeat"], state["time"]
        self.made.copy_(state["made"])

    def finish(self) -> Tensor:
        """(repeat, case, step)."""
        return self.made.cpu()


def _of_repeats(generator: Generator | None, repeats: int) -> tuple[torch.Generator | None, ...]:
    """One for each repeat; a single generator goes on from one to the next."""
    if not isinstance(generator, Streams):
        return (generator,) * repeats
    if len(generator) != repeats:
        raise ValueError(f"{repeats} repeats need as many streams, got {len(generator)}")
    return generator.generators
