"""Models of sequences of tokens, and the forecasters of states that they make with a codec."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from dalib.forecasters.base import TrainingData, complete
from dalib.resumable import Save, one_by_one
from dalib.streams import Generator, Streams, each, uniform

BLOCK = 64  # tokens summed at once in a draw
LOG2_E = 1.4426950408889634
ALMOST_ONE = 1 - 2**-24  # the largest uniform number


class TokenModel(Protocol):
    """What continues sequences of tokens; with `log_prob`, also what finds them likely."""

    def generate(
        self,
        context: Tensor,
        steps: int,
        temperature: float | Tensor,
        generator: Generator | None,
        *,
        save: Save | None = None,
        resume: dict | None = None,
    ) -> Tensor:
        """(case, time) -> ([temperature,] case, steps).

        Several temperatures share their random numbers: each gives what it gives alone. A long
        generation takes up what it saved, see `dalib.resumable`.
        """
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

    @property
    def history(self) -> Mapping[str, Tensor] | None:
        """Of the training of the model, where it was trained."""
        return getattr(self.model, "history", None)

    def forecast(self, context: Tensor, horizon: int, generator: Generator | None) -> Tensor:
        """(case, time, state) -> (member = 1, case, horizon, state)."""
        return self.forecast_each([self], context, horizon, generator)[0]

    def forecast_each(
        self,
        variants: Sequence["Tokenised"],
        context: Tensor,
        horizon: int,
        generator: Generator | None,
        *,
        save: Save | None = None,
        resume: dict | None = None,
    ) -> list[Tensor]:
        """What variants of other temperatures forecast, side by side: each as it does alone.

        save, resume: of a long generation, see `dalib.resumable`.
        """
        tokens = self.codec.encode(complete(context, "the context").cpu()).to(context.device)
        T = torch.tensor([one.temperature for one in variants])
        ahead = self.model.generate(tokens, horizon, T, generator, save=save, resume=resume)
        return list(self.codec.decode(ahead.cpu()).unsqueeze(1))


@dataclass(frozen=True)
class TokenForecaster:
    """States as tokens, and a model of sequences of tokens.

    Args:
        codec: settings with `fit(states)`, such as `dalib.codecs.bins.Bins`.
        forecaster: settings of a model of tokens, such as `Markov` or `GPT2`.
        temperature: 1 draws from the model's law, 0 takes the most likely token.

    The model of tokens has

        fit_each(train, valid, vocabulary, generator) -> a TokenModel for each stream

    of tokens (case, time); valid is None where there are none.
    """

    codec: Any
    forecaster: Any
    temperature: float = 1.0
    needs: ClassVar[frozenset[str]] = frozenset({"states"})
    after_fit: ClassVar[frozenset[str]] = frozenset({"temperature"})

    def fit(
        self,
        data: TrainingData,
        generator: Generator | None = None,
        *,
        save: Save | None = None,
        resume: dict | None = None,
    ) -> Tokenised:
        streams = Streams(each(generator)) if generator is not None else None
        return self._fitted(data, streams, save, resume)[0]

    def fit_each(
        self,
        data: Sequence[TrainingData],
        generator: Streams,
        *,
        save: Save | None = None,
        resume: dict | None = None,
    ) -> list[Tokenised]:
        """One for each data set and stream; those of the same data are trained at once."""
        groups: dict[int, list[int]] = {}
        for i, one in enumerate(data):
            groups.setdefault(id(one.train), []).append(i)
        works = [
            partial(self._fitted, data[own[0]], Streams(tuple(each(generator)[i] for i in own)))
            for own in groups.values()
        ]
        found: dict[int, Tokenised] = {}
        for own, fitted in zip(
            groups.values(), one_by_one(works, save=save, resume=resume), strict=True
        ):
            found |= dict(zip(own, fitted, strict=True))
        return [found[i] for i in range(len(data))]

    def _fitted(
        self,
        data: TrainingData,
        generator: Streams | None,
        save: Save | None,
        resume: dict | None,
    ) -> list[Tokenised]:
        states, device = complete(data.train, "the training data").cpu(), data.train.device
        codec = self.codec.fit(states)
        train, valid = codec.encode(states).to(device), data.valid
        if valid is not None:
            valid = codec.encode(complete(valid, "the validation data").cpu()).to(device)
        models = self.forecaster.fit_each(
            train, valid, codec.size, generator, save=save, resume=resume
        )
        return [Tokenised(codec, model, self.temperature) for model in models]


def require_temperature(temperature: float | Tensor) -> Tensor:
    """(temperature,) in float32; none may be negative."""
    values = torch.as_tensor(temperature, dtype=torch.float32).reshape(-1)
    if not (values >= 0).all():
        raise ValueError(
            f"a temperature is 0 (the most likely token) or positive, got {values.min():g}"
        )
    return values


def draws(
    temperature: Tensor, cases: int, generator: Generator | None, dtype: torch.dtype
) -> Tensor:
    """(temperature, case), uniform numbers on [0, 1), the same for every temperature; at T = 0, 0.

    With a stream for each case, a case draws from its own.
    """
    if not (temperature > 0).any():
        return torch.zeros(len(temperature), cases, dtype=dtype)
    if generator is None:
        raise ValueError("a positive temperature needs a generator to draw with")
    return uniform((cases,), generator, dtype) * (temperature > 0).to(dtype)[:, None]


def drawn(logits: Tensor, temperature: Tensor, u: Tensor) -> Tensor:
    """(row, token), (row,), (row,) -> (row,): of each row one draw of softmax(logits / T).

    By inversion: the first token whose cumulative probability exceeds the uniform number u, which
    is looked for among sums of blocks of tokens and then within one block. At T = 0, where u is 0,
    the first of the largest logits.
    """
    if not (temperature > 0).any():
        return logits.argmax(-1)
    T = temperature.clamp(min=1e-30).view(-1, 1)  # leaves the largest alone at T = 0
    largest = logits.amax(-1, keepdim=True)
    rows, tokens = logits.shape
    weights = logits.new_zeros(rows, -(-tokens // BLOCK) * BLOCK)
    relative = weights[..., :tokens]
    torch.sub(logits, largest, out=relative)
    relative.mul_(LOG2_E / T).exp2_()  # on common CPUs faster than exp
    weights = weights.unflatten(-1, (-1, BLOCK))
    block, u = _position(weights.sum(-1), u.to(logits))
    inside = weights.gather(-2, block[..., None, None].expand(rows, 1, BLOCK)).squeeze(-2)
    return block * BLOCK + _position(inside, u)[0]


def _position(weights: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """(..., n), (...) in [0, 1) -> where the cumulative weight exceeds u of it; u within there."""
    cumulative = weights.cumsum(-1)
    wanted = u.unsqueeze(-1) * cumulative[..., -1:]  # less than all, in float32 too
    index = torch.searchsorted(cumulative, wanted, right=True)
    width = weights.gather(-1, index)
    left = (wanted - cumulative.gather(-1, index) + width) / width
    return index.squeeze(-1), left.squeeze(-1).clamp(0, ALMOST_ONE)
