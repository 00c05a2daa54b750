"""A GPT-2 trained on tokens, and generation from it with the keys and values of the past kept."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding, scaled_dot_product_attention

from dalib import train
from dalib.codecs.bins import require_tokens
from dalib.forecasters.tokens import drawn, draws, require_temperature
from dalib.nets.gpt import GPT, Affine, Norm, gelu
from dalib.resumable import Resumable, Save
from dalib.streams import Generator, Streams, purpose

WATCHED = 64  # windows held fixed, on which a training reports


class Reader:
    """A network, reading on: keys and values of what it has read are kept.

    Gains and biases of the norms are made part of the products that follow them,

        (g x + β) W + b = x (g W) + (b + β W)

    and of the last layer only the last token goes on: in reading a token for each of a few cases,
    the number of operations counts, not their size.

    Args:
        network: the trained network, of one repeat.
        cases: sequences read side by side.
    """

    def __init__(self, network: GPT, cases: int) -> None:
        def plain(affine: Affine) -> tuple[Tensor, Tensor]:
            return affine.bias[0, 0], affine.weight[0]

        def folded(norm: Norm, bias: Tensor | float, weight: Tensor) -> tuple[Tensor, Tensor]:
            return bias + norm.bias[0] @ weight, norm.gain[0, :, None] * weight

        self.tokens, self.positions = network.tokens[0], network.positions[0]
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
class GPT2:
    """A GPT-2 (`dalib.nets.gpt`) as a model of tokens, and its training.

    A window of training is as long as the context, and one token longer for what follows. The
    weights that are kept are those of the least validation loss, where there are validation tokens.

    Args:
        layers, width, heads, context, dropout, precision: of the network, see `GPT`.
        steps, batch: updates, and windows in each.
        rate, warmup, flat, last, betas, epsilon, decay, clip, check_every, patience: of the
            training, see `dalib.train.Training`.
    """

    layers: int = 12
    width: int = 768
    heads: int = 12
    context: int = 1024
    dropout: float = 0.0
    precision: str = "float32"
    steps: int = 2000
    batch: int = 8
    rate: float = 0.012
    warmup: int = 50
    flat: float = 0.1
    last: float = 0.03
    betas: tuple[float, float] = (0.9, 0.99)
    epsilon: float = 1e-8
    decay: float = 0.01
    clip: float | None = 1.0
    check_every: int = 200
    patience: int | None = 5

    def fit_each(
        self,
        train_tokens: Tensor,
        valid_tokens: Tensor | None,
        vocabulary: int,
        generator: Streams,
        *,
        save: Save | None = None,
        resume: dict | None = None,
    ) -> list["TrainedGPT2"]:
        """One for each stream, trained at once on tokens (case, time), on the device of these."""
        repeats = len(generator)
        network = GPT(
            vocabulary, repeats, **self._sizes, generator=purpose(generator, "first weights")
        ).to(train_tokens.device)
        named = {"training": train_tokens, "validation": valid_tokens}
        draw = {
            name: train.Windows(tokens, self.context + 1, self.batch, repeats)
            for name, tokens in named.items()
            if tokens is not None
        }
        watched = {
            name: replace(one, batch=WATCHED)(purpose(generator, "watched"))
            for name, one in draw.items()
        }
        history = train.fit(
            network,
            draw["training"],
            self._training("validation" in draw),
            watched=watched,
            progress="GPT-2",
            save=save,
            resume=resume,
            generator=purpose(generator, "training"),
        )
        weights = {name: value.detach().cpu() for name, value in network.state_dict().items()}
        reports = {name: value.detach().cpu() for name, value in history.reports.items()}
        checks = torch.as_tensor(history.checks)
        return [
            TrainedGPT2(
                {name: value[i : i + 1].clone() for name, value in weights.items()},
                self._sizes,
                vocabulary,
                {"checks": checks, **{name: value[i] for name, value in reports.items()}},
            )
            for i in range(repeats)
        ]

    @property
    def _sizes(self) -> dict[str, Any]:
        names = ("layers", "width", "heads", "context", "dropout", "precision")
        return {name: getattr(self, name) for name in names}

    def _training(self, validated: bool) -> train.Training:
        names = ("steps", "rate", "warmup", "flat", "last", "clip", "epsilon", "decay")
        return train.Training(
            **{name: getattr(self, name) for name in names},
            betas=tuple(self.betas),
            check_every=self.check_every,
            best_by="validation_loss" if validated else None,
            patience=self.patience if validated else None,
        )


@dataclass(frozen=True)
class TrainedGPT2:
    """A trained network that continues tokens.

    Positions are absolute and learned, so a full cache cannot be shifted: when the context is
    full, its last half is read again as positions 0, 1, ... and generation goes on. Each token is
    thus conditioned on at least half a context, and reading twice costs one token more per token.

    Args:
        weights: of the network, each (1, ...).
        sizes: of the network: layers, width, ...
        vocabulary: tokens there are.
        history: of the training, `checks` (check,), updates done, and losses (check,) in nats.
    """

    weights: Mapping[str, Tensor]
    sizes: Mapping[str, Any]
    vocabulary: int
    history: Mapping[str, Tensor]

    def network(self, device: torch.device | str = "cpu") -> GPT:
        """The network with these weights."""
        network = GPT(self.vocabulary, 1, **self.sizes)
        network.load_state_dict(dict(self.weights))
        return network.to(device).eval()

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
        """(case, time) tokens -> ([temperature,] case, steps), what follows.

            p = softmax(z / T);   T = 0: argmax, of equal logits the first

        Args:
            context: tokens of the past, of which the last context of the network counts.
            temperature: one number, or several (temperature,) that share their random numbers.
            generator: one, or one stream for each case.
            progress: label of the progress bar on stderr; None for none.
            save, resume: whenever the context is full, see `resumable`; what is of another model,
                past or number of tokens is left aside.
        """
        require_tokens(context, self.vocabulary)
        T = require_temperature(temperature)
        generation = _Generation(self.network(context.device), context, steps, T, generator)
        made = generation.run(save=save, resume=resume, progress=progress)
        return made if isinstance(temperature, Tensor) and temperature.ndim else made[0]

    @torch.no_grad()
    def log_prob(self, tokens: Tensor) -> Tensor:
        """(case, time) -> (case, time - 1), log p of each next token.

        No more than context + 1 tokens of a case.
        """
        require_tokens(tokens, self.vocabulary)
        return -self.network(tokens.device).costs(tokens[None])[0].cpu()


class _Generation(Resumable):
    """Tokens under way. What was read is read again to go on."""

    what, unit = "another generation", "token"

    def __init__(
        self,
        network: GPT,
        past: Tensor,
        steps: int,
        temperature: Tensor,
        generator: Generator | None,
    ) -> None:
        self.network, self.temperature, self.cases = network, temperature, len(past)
        self.past = past[:, -network.context :].repeat(len(temperature), 1)
        self.of_row = temperature.repeat_interleave(self.cases).to(past.device)
        self.made = past.new_zeros(len(self.past), steps, dtype=torch.int64)
        self.generator, self.done, self.total = generator, 0, steps  # done: the next token
        self.reader: Reader | None = None

    def decides(self) -> tuple:
        """Model, contexts and temperatures, and how many tokens are wanted."""
        return self.network, self.past, self.temperature, self.made.shape

    @torch.inference_mode()
    def advance(self) -> None:
        """Generate until the context is full, or all is done.

        At first all that is given is read, later the latest half of a context.
        """
        context = self.network.context
        if self.reader is None:
            self.reader = Reader(self.network, len(self.past))
        again = max(context // 2, 1)  # tokens that are read again when the context is full
        latest = self.made[:, max(self.done - again, 0) : self.done]
        self.reader.length, fresh = 0, torch.cat([self.past, latest], 1)
        if self.done:
            fresh = fresh[:, -again:]
        while self.done < self.total and self.reader.length + fresh.shape[1] <= context:
            logits = self.reader.read(fresh)
            u = draws(self.temperature, self.cases, self.generator, torch.float32).flatten()
            token = drawn(logits, self.of_row, u)
            self.made[:, self.done], fresh = token, token[:, None]
            self.done += 1

    def fixed(self) -> dict[str, Any]:
        """The tokens."""
        return {"made": self.made}

    def changing(self) -> dict[str, Any]:
        """Where the next token is."""
        return {"done": self.done}

    def restore(self, state: dict) -> None:
        """Take back the tokens."""
        self.done = state["done"]
        self.made.copy_(state["made"])

    def finish(self) -> Tensor:
        """(temperature, case, step)."""
        return self.made.cpu().unflatten(0, (len(self.temperature), self.cases))
