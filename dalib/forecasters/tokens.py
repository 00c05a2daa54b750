"""Models of sequences of tokens, and the forecasters of states that they make with a codec."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from dalib.forecasters.base import TrainingData, complete
from dalib.streams import Generator, Streams, uniform

BLOCK = 64  # tokens summed at once in a draw
LOG2_E = 1.4426950408889634
ALMOST_ONE = 1 - 2**-24  # the largest uniform number


class TokenModel(Protocol):
    """What continues sequences of tokens; with `log_prob`, also what finds them likely."""

    def generate(
        self, context: Tensor, steps: int, temperature: float | Tensor, generator: Generator | None
    ) -> Tensor:
        """(case, time) -> ([repeat,] case, steps)."""
        ...


@dataclass(frozen=True)
class Tokenised:
    """A forecaster of states: encode the past, continue the tokens, decode.

    Args:
        codec: with `encode` and `decode`.
        model: continues tokens.
        temperature: 1 draws from the model's law, 0 takes the most likely token.
    """

    codec: Any
    model: TokenModel
    temperature: float = 1.0

    def forecast(self, context: Tensor, horizon: int, generator: Generator | None) -> Tensor:
        """(case, time, state) -> ([repeat,] member = 1, case, horizon, state)."""
        tokens = self.codec.encode(complete(context, "the context"))
        ahead = self.model.generate(tokens, horizon, self.temperature, generator)
        return self.codec.decode(ahead).unsqueeze(-4)


@dataclass(frozen=True)
class TokenForecaster:
    """States as tokens, and a model of sequences of tokens.

    Args:
        codec: settings with `fit(states)`, such as `dalib.codecs.bins.Bins`.
        forecaster: settings with `fit(tokens, vocabulary)`, such as `Markov`.
        temperature: 1 draws from the model's law, 0 takes the most likely token.
    """

    codec: Any
    forecaster: Any
    temperature: float = 1.0
    needs: ClassVar[frozenset[str]] = frozenset({"states"})

    def fit(self, data: TrainingData, generator: Generator | None = None) -> Tokenised:
        states = complete(data.train, "the training data")
        codec = self.codec.fit(states)
        model = self.forecaster.fit(codec.encode(states), codec.size)
        return Tokenised(codec, model, self.temperature)


def require_temperature(temperature: float | Tensor, cases: int) -> Tensor:
    """(case,) in float32; none may be negative."""
    values = torch.as_tensor(temperature, dtype=torch.float32).expand(cases)
    if not (values >= 0).all():
        raise ValueError(
            f"a temperature is 0 (the most likely token) or positive, got {values.min():g}"
        )
    return values


def drawn(logits: Tensor, temperature: Tensor, generator: Generator | None) -> Tensor:
    """(repeat, case, token), (case,) -> (repeat, case): one draw of softmax(logits / T) each.

    By inversion: the first token whose cumulative probability exceeds a uniform number, which is
    looked for among sums of blocks of tokens and then within one block. At T = 0 the first of the
    largest logits.
    """
    if generator is None:
        if (temperature > 0).any():
            raise ValueError("a positive temperature needs a generator to draw with")
        return logits.argmax(-1)
    T = temperature.clamp(min=1e-30).view(-1, 1)  # leaves the largest alone at T = 0
    largest = logits.amax(-1, keepdim=True)
    *shape, tokens = logits.shape
    weights = logits.new_zeros(*shape, -(-tokens // BLOCK) * BLOCK)
    relative = weights[..., :tokens]
    torch.sub(logits, largest, out=relative)
    relative.mul_(LOG2_E / T).exp2_()  # on common CPUs faster than exp
    draws = uniform(tuple(shape), _of_repeats(generator, len(logits)), torch.float32)
    u = torch.where(temperature > 0, draws.to(logits), 0.0)
    weights = weights.unflatten(-1, (-1, BLOCK))
    block, u = _position(weights.sum(-1), u)
    inside = weights.gather(-2, block[..., None, None].expand(*shape, 1, BLOCK)).squeeze(-2)
    return block * BLOCK + _position(inside, u)[0]


def _position(weights: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """(..., n), (...) in [0, 1) -> where the cumulative weight exceeds u of it; u within there."""
    cumulative = weights.cumsum(-1)
    wanted = u.unsqueeze(-1) * cumulative[..., -1:]  # less than all, in float32 too
    index = torch.searchsorted(cumulative, wanted, right=True)
    width = weights.gather(-1, index)
    left = (wanted - cumulative.gather(-1, index) + width) / width
    return index.squeeze(-1), left.squeeze(-1).clamp(0, ALMOST_ONE)


def _of_repeats(generator: Generator, repeats: int) -> Generator:
    if isinstance(generator, Streams) and len(generator) != repeats:
        raise ValueError(f"{repeats} repeats need as many streams, got {len(generator)}")
    return generator
