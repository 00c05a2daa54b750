"""Chains of counted transitions between cells: Ulam's method."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dalib.codecs.bins import require_tokens
from dalib.forecasters.tokens import draws, require_temperature
from dalib.resumable import Save
from dalib.streams import Generator, each


@dataclass(frozen=True)
class Successors:
    """What followed each context of one length, and how often.

    keys: (context,), numbers of the contexts that occur, ascending.
    first: (context + 1,), where the successors of a context begin.
    token, count: (successor,), the tokens that followed and how often, ascending in token.
    """

    keys: Tensor
    first: Tensor
    token: Tensor
    count: Tensor


@dataclass(frozen=True)
class Markov:
    """The Markov chain whose transition probabilities are the frequencies in training.

        p(l | k_1 ... k_m) = n(k_1 ... k_m l) / Σ_l' n(k_1 ... k_m l')

    A context that has no successor in training is answered by the shorter one, in the end by the
    frequencies of single tokens (Ulam 1960, ch. VI.4, for the partition of a space).

    Args:
        order: tokens in a context.
    """

    order: int = 1

    def __post_init__(self) -> None:
        if self.order < 1:
            raise ValueError(f"a Markov chain has an order of at least 1, got {self.order}")

    def fit(self, tokens: Tensor, vocabulary: int) -> "Chain":
        """Count the transitions of tokens (case, time); none leads from one case to the next."""
        if tokens.shape[-1] <= self.order:
            raise ValueError(
                f"order {self.order} needs series of more than {self.order} tokens, got "
                f"{tokens.shape[-1]}"
            )
        if vocabulary ** (self.order + 1) >= 2**63:
            raise ValueError(f"contexts of {self.order} among {vocabulary} tokens are too many")
        tokens = tokens.long()  # what small integers hold, their contexts' numbers do not
        require_tokens(tokens, vocabulary)
        return Chain(
            tuple(successors(tokens, m, vocabulary) for m in range(self.order + 1)), vocabulary
        )

    def fit_each(
        self,
        train: Tensor,
        valid: Tensor | None,
        vocabulary: int,
        generator: Generator | None,
        *,
        save: Save | None = None,
        resume: dict | None = None,
    ) -> list["Chain"]:
        """The chain of tokens (case, time), once for each stream: nothing is drawn.

        save, resume: not needed, a chain is counted in a moment.
        """
        return [self.fit(train.cpu(), vocabulary)] * max(1, len(each(generator)))


def successors(tokens: Tensor, order: int, vocabulary: int) -> Successors:
    """Successors of all contexts of `order` tokens in (case, time)."""
    key = numbers(tokens[:, :-1], order, vocabulary) if order else torch.zeros_like(tokens)
    following = tokens[:, order:]
    pair, count = (key * vocabulary + following).flatten().unique(return_counts=True)
    context, token = pair // vocabulary, pair % vocabulary
    keys, sizes = context.unique_consecutive(return_counts=True)
    first = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    return Successors(keys, first, token, count)


def numbers(tokens: Tensor, order: int, vocabulary: int) -> Tensor:
    """(case, time) -> (case, time - order + 1), one number for each `order` tokens in a row."""
    number = torch.zeros_like(tokens[:, order - 1 :])
    for i in range(order):
        number = number * vocabulary + tokens[:, i : tokens.shape[-1] - order + 1 + i]
    return number


@dataclass(frozen=True)
class Chain:
    """A fitted chain.

    Args:
        tables: successors of contexts of 0, 1, ... tokens.
        vocabulary: tokens there are.
    """

    tables: tuple[Successors, ...]
    vocabulary: int

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
        """(case, time) -> ([temperature,] case, steps), with probabilities n^(1/T).

        T = 0 takes the most frequent token, of equally frequent ones the lowest. Temperatures
        (temperature,) share their random numbers. It is quick: nothing is saved to continue.
        """
        T = require_temperature(temperature)
        require_tokens(context, self.vocabulary)
        laws = [self._laws(value) for value in T.tolist()]
        length, order = context.shape[-1], len(self.tables) - 1
        tokens = torch.empty(len(T), len(context), length + steps, dtype=torch.int64)
        tokens[..., :length] = context
        for t in range(length, length + steps):
            u = draws(T, len(context), generator, torch.float64)
            for made, own, law in zip(tokens, u, laws, strict=True):
                made[:, t] = self._next(made[:, max(t - order, 0) : t], own, law)
        made = tokens[..., length:]
        return made if isinstance(temperature, Tensor) and temperature.ndim else made[0]

    def _laws(self, temperature: float) -> list[Tensor]:
        """Of each table the cumulative weights of all successors, one context after the other."""
        return [_cumulative(table, temperature) for table in self.tables]

    def _next(self, past: Tensor, u: Tensor, laws: list[Tensor]) -> Tensor:
        """(case, time), (case,) -> (case,), the longest context that is known decides."""
        token = torch.full((len(past),), -1)
        for m in range(min(len(laws) - 1, past.shape[-1]), -1, -1):
            table, law = self.tables[m], laws[m]
            if m:
                key = numbers(past[:, past.shape[-1] - m :], m, self.vocabulary)[:, 0]
            else:
                key = torch.zeros(len(past), dtype=torch.int64)
            row = torch.searchsorted(table.keys, key).clamp(max=len(table.keys) - 1)
            known = (table.keys[row] == key) & (token < 0)
            low, high = table.first[row], table.first[row + 1]
            # cumulative weights rise by 1 with every context: context c holds (c, c + 1]
            found = torch.searchsorted(law, row + u, right=True)
            token = torch.where(known, table.token[found.clamp(low, high - 1)], token)
        return token


def _cumulative(table: Successors, temperature: float) -> Tensor:
    """(successor,), cumulative probabilities within a context plus the context's number."""
    sizes = table.first.diff()
    row = torch.arange(len(sizes)).repeat_interleave(sizes)
    most = torch.zeros(len(sizes), dtype=torch.int64).scatter_reduce(
        0, row, table.count, "amax", include_self=False
    )
    share = table.count.double() / most[row]
    if temperature:
        weight = share ** (1 / temperature)
    else:  # the first of the most frequent ones alone
        top = (share == 1).nonzero().flatten()
        first = top[torch.searchsorted(row[top], torch.arange(len(sizes)))]
        weight = torch.zeros_like(share).index_fill_(0, first, 1.0)
    total = weight.cumsum(0)
    before = torch.cat([total.new_zeros(1), total])[table.first]
    norm = before.diff()
    return row + ((total - before[:-1][row]) / norm[row]).clamp(max=1.0)
