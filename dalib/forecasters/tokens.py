"""Models of sequences of tokens, and the forecasters of states that they make with a codec."""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from dalib.streams import Generator, Streams, uniform


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
        tokens = self.codec.encode(context)
        ahead = self.model.generate(tokens, horizon, self.temperature, generator)
        return self.codec.decode(ahead).unsqueeze(-4)


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

    By inversion: the first token whose cumulative probability exceeds a uniform number. At T = 0
    the first of the largest logits.
    """
    best = logits.argmax(-1)
    if generator is None:
        if (temperature > 0).any():
            raise ValueError("a positive temperature needs a generator to draw with")
        return best
    T = torch.where(temperature > 0, temperature, 1.0).to(logits).unsqueeze(-1)
    cumulative = torch.softmax(logits / T, -1).cumsum(-1)
    u = uniform(best.shape, _of_repeats(generator, len(best)), torch.float32).to(logits)
    token = torch.searchsorted(cumulative, u.unsqueeze(-1) * cumulative[..., -1:], right=True)
    token = token.squeeze(-1).clamp(max=logits.shape[-1] - 1)
    return torch.where(temperature > 0, token, best)


def _of_repeats(generator: Generator, repeats: int) -> Generator:
    if isinstance(generator, Streams) and len(generator) != repeats:
        raise ValueError(f"{repeats} repeats need as many streams, got {len(generator)}")
    return generator
