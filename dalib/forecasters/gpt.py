"""Generation from a trained GPT, with the keys and values of the past kept."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding, scaled_dot_product_attention
from tqdm import tqdm

from dalib.codecs.bins import require_tokens
from dalib.fingerprint import fingerprint
from dalib.forecasters.tokens import drawn, require_temperature
from dalib.nets.gpt import GPT, Affine, Norm, gelu
from dalib.streams import Generator, Streams, continue_from, positions

logger = logging.getLogger(__name__)


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
        save: Callable[[Callable[[], dict]], None] | None = None,
        resume: dict | None = None,
    ) -> Tensor:
        """(case, time) tokens -> (repeat, case, steps), what follows.

            p = softmax(z / T);   T = 0: argmax, of equal logits the first

        Args:
            context: tokens of the past, of which the last half context counts.
            temperature: one number, or one for each case (case,).
            generator: one, or one stream for each repeat.
            progress: label of the progress bar on stderr; None for none.
            save: called whenever the context is full, and after each repeat, with a function that
                gives all that is needed to continue, so that whoever saves decides how often.
            resume: what that function gave: goes on as if it had never stopped. What is of another
                model, context or number of tokens is left aside, with a warning.
        """
        device, repeats = self.network.tokens.device, len(self.network.tokens)
        temperature = require_temperature(temperature, len(context)).to(device)
        require_tokens(context, self.network.vocabulary)
        past = context[:, -self.network.context :].to(device)
        made = past.new_zeros(repeats, len(past), steps, dtype=torch.int64)
        run = _Run(made, fingerprint(self, past), generator)
        if resume is not None and run.accepts(resume):
            run.restore(resume)
            logger.info("continues from token %d of %d", run.done, repeats * steps)
        bar = tqdm(None, progress, repeats * steps, initial=run.done, disable=progress is None)
        with bar, torch.inference_mode():
            while run.repeat < repeats:
                reader = Reader(self.network, run.repeat, len(past))
                while run.time < steps:
                    self._fill(reader, run, past, temperature, bar)
                    if save is not None:
                        save(run.state)
                run.repeat, run.time = run.repeat + 1, 0
        return run.made.cpu()

    @property
    def _kept(self) -> int:
        """How many tokens are read again when the context is full."""
        return max(self.network.context // 2, 1)

    def _fill(self, reader: Reader, run: "_Run", past: Tensor, T: Tensor, bar: tqdm) -> None:
        """Generate until the context is full, or all steps are done.

        At first all that is given is read, later the latest half of a context.
        """
        made, generator = run.made[run.repeat], run.streams[run.repeat]
        latest = made[:, max(run.time - self._kept, 0) : run.time]
        reader.length, fresh = 0, torch.cat([past, latest], 1)
        if run.time:
            fresh = fresh[:, -self._kept :]
        while run.time < made.shape[1] and reader.length + fresh.shape[1] <= reader.context:
            token = drawn(reader.read(fresh), T, generator)
            made[:, run.time], fresh = token, token[:, None]
            run.time += 1
            bar.update()

    def log_prob(self, tokens: Tensor) -> Tensor:
        """(case, time) -> (repeat, case, time - 1), log p of each next token.

        No more than context + 1 tokens of a case.
        """
        require_tokens(tokens, self.network.vocabulary)
        device = self.network.tokens.device
        tokens = tokens.to(device).expand(len(self.network.tokens), -1, -1)
        return -self.network.costs(tokens).cpu()


class _Run:
    """A generation under way: the tokens so far. What was read is read again to go on."""

    def __init__(self, made: Tensor, of: str, generator: Generator | None) -> None:
        self.made, self.of = made, of  # (repeat, case, step); fingerprint of model and contexts
        self.repeat = self.time = 0  # the next token
        self.generator, self.streams = generator, _of_repeats(generator, len(made))

    @property
    def done(self) -> int:
        """How many tokens of a case there are, those of all repeats together."""
        return self.repeat * self.made.shape[-1] + self.time

    def state(self) -> dict:
        """All that is needed to continue; `restore` takes it."""
        return {
            "of": self.of,
            "repeat": self.repeat,
            "time": self.time,
            "made": self.made,
            "generators": positions(self.generator),
        }

    def accepts(self, state: dict) -> bool:
        """Whether `state` is one of this model, these contexts and so many tokens."""
        fits = (
            {"of", "repeat", "time", "made", "generators"} == state.keys()
            and state["of"] == self.of
            and state["made"].shape == self.made.shape
            and len(state["generators"]) == len(positions(self.generator))
        )
        if not fits:
            logger.warning("what was saved is of another generation; starts from the beginning")
        return fits

    def restore(self, state: dict) -> None:
        """Continue from what `state` gave."""
        self.repeat, self.time = state["repeat"], state["time"]
        self.made.copy_(state["made"])
        continue_from(state["generators"], self.generator)


def _of_repeats(generator: Generator | None, repeats: int) -> tuple[torch.Generator | None, ...]:
    """One for each repeat; a single generator goes on from one to the next."""
    if not isinstance(generator, Streams):
        return (generator,) * repeats
    if len(generator) != repeats:
        raise ValueError(f"{repeats} repeats need as many streams, got {len(generator)}")
    return generator.generators
