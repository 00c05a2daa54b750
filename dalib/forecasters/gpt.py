"""Generation from a trained GPT, with the keys and values of the past kept."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from tqdm import trange

from dalib.forecasters.tokens import drawn, require_temperature
from dalib.nets.gpt import GPT
from dalib.streams import Generator


class Cache:
    """Keys and values of each layer, (repeat * batch, head, context, size), filled in order."""

    def __init__(self, network: GPT, batch: int) -> None:
        size = network.width // network.heads
        shape = (2, len(network.tokens) * batch, network.heads, network.context, size)
        self.pairs = [network.tokens.new_empty(shape) for _ in network.blocks]
        self.length = 0

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention of new tokens to all before; `length` moves on with the last layer."""
        end = self.length + q.shape[-2]
        keys, values = self.pairs[layer][..., :end, :]
        keys[..., self.length :, :] = k.flatten(0, 1)
        values[..., self.length :, :] = v.flatten(0, 1)
        several = q.shape[-2] > 1  # only a prompt, which starts at position 0, has several
        mixed = scaled_dot_product_attention(q.flatten(0, 1), keys, values, is_causal=several)
        if layer == len(self.pairs) - 1:
            self.length = end
        return mixed.unflatten(0, q.shape[:2])


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

    @torch.no_grad()
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
        network, keep = self.network, max(self.network.context // 2, 1)
        device = network.tokens.device
        temperature = require_temperature(temperature, len(context)).to(device)
        repeats = len(network.tokens)
        past = context[:, -keep:].to(device).expand(repeats, -1, -1)
        length = past.shape[-1]
        tokens = torch.empty(
            repeats, len(context), length + steps, dtype=torch.int64, device=device
        )
        tokens[..., :length] = past
        cache = Cache(network, len(context))
        fresh = past  # what the network has not read yet
        for t in trange(length, length + steps, desc=progress, disable=progress is None):
            if cache.length + fresh.shape[-1] > network.context:
                cache.length, fresh = 0, tokens[..., t - keep : t]
            h = network(fresh, start=cache.length, attend=cache.attend)[..., -1, :]
            tokens[..., t] = drawn(network.logits(h), temperature, generator)
            fresh = tokens[..., t : t + 1]
        return tokens[..., length:].cpu()

    def log_prob(self, tokens: Tensor) -> Tensor:
        """(case, time) -> (repeat, case, time - 1), log p of each next token.

        No more than context + 1 tokens of a case.
        """
        device = self.network.tokens.device
        tokens = tokens.to(device).expand(len(self.network.tokens), -1, -1)
        return -self.network.costs(tokens).cpu()
