"""What sequences of tokens tell: entropies, transitions that never happened, cycles."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from dalib.metrics.base import STATE, Evaluation, Metric
from dalib.metrics.transport import counts, wasserstein_cells

LONGEST_PERIOD = 1000


def conditional_entropies(tokens: np.ndarray, longest: int) -> np.ndarray:
    """Entropy of a token given the m before it, m = 1 ... `longest`, from frequencies, in nats.

        h_m = H(k_1 ... k_m+1) - H(k_1 ... k_m),   H = -Σ p log p

    (case, time) -> (longest,). No block reaches from one case into the next; the contexts counted
    are those that a token follows. Frequencies underestimate an entropy where many blocks were seen
    once.

    Range: 0 to the logarithm of the vocabulary; that of the truth is right.
    Source: Shannon 1948.
    """
    if tokens.shape[1] <= longest:
        raise ValueError(
            f"entropies of order {longest} need series of more than {longest} tokens, got "
            f"{tokens.shape[1]}"
        )
    size = int(tokens.max()) + 1
    context, entropies = tokens.astype(np.int64), []
    for m in range(1, longest + 1):
        block = context[:, :-1] * size + tokens[:, m:]
        entropies.append(_entropy(block) - _entropy(context[:, :-1]))
        if m < longest:  # numbered anew, so that numbers never exceed blocks times vocabulary
            context = np.unique(block, return_inverse=True)[1].reshape(block.shape)
    return np.array(entropies)


def _entropy(numbers: np.ndarray) -> float:
    frequency = np.unique(numbers, return_counts=True)[1] / numbers.size
    return float(-(frequency * np.log(frequency)).sum())


def words(tokens: np.ndarray, vocabulary: int, length: int = 2) -> np.ndarray:
    """(case, time) -> (word,), numbers of the stretches of `length` tokens that occur."""
    return np.unique(_numbers(tokens, vocabulary, length))


def unseen_share(tokens: np.ndarray, seen: np.ndarray, vocabulary: int, length: int = 2) -> float:
    """Share of the stretches of `length` tokens of (case, time) that are not among `seen` words.

        #{ t : (k_t ... k_{t+length-1}) not in S } / #{ t }

    Range: 0 to 1; that of another true run is the floor.
    """
    return float((~np.isin(_numbers(tokens, vocabulary, length), seen)).mean())


def unseen_by_chance(visits: np.ndarray, seen: np.ndarray) -> float:
    """Share of unseen pairs among tokens drawn one by one with the frequencies of (token,) visits.

    1 - Σ p_i p_j over the pairs (i, j) among `seen` words of two
    """
    share = visits / visits.sum()
    return float(1 - (share[seen // len(share)] * share[seen % len(share)]).sum())


def _numbers(tokens: np.ndarray, vocabulary: int, length: int) -> np.ndarray:
    """(case, time) -> (case, time - length + 1), none from one case into the next."""
    if vocabulary**length >= 2**63:
        raise ValueError(f"stretches of {length} among {vocabulary} tokens are too many to number")
    end = tokens.shape[1] - length + 1
    numbers = np.zeros((len(tokens), end), dtype=np.int64)
    for i in range(length):
        numbers = numbers * vocabulary + tokens[:, i : i + end]
    return numbers


def period(tokens: np.ndarray, tail: int, longest: int = LONGEST_PERIOD) -> int:
    """Smallest p ≤ `longest` with k_t = k_{t-p} in all of the last `tail` of (time,); 0 for none.

        min { p : k_t = k_{t-p} for the last `tail` times t }

    Only periods that the series has room for are tried: it must hold tail + p tokens.

    Range: 0 to `longest`; 0 is right for a chaotic system.
    """
    if tail < 1:
        raise ValueError(f"a cycle is looked for in at least 1 token, got a tail of {tail}")
    end = len(tokens)
    for p in range(1, min(longest, end - tail) + 1):
        if np.array_equal(tokens[end - tail :], tokens[end - tail - p : end - p]):
            return p
    return 0


def _of_runs(function: Callable, *tokens: xr.DataArray, worst: float = np.nan, adds=()):
    """A function of arrays (case, time) for each run; `worst` where a token is not finite."""

    def of_run(*arrays: np.ndarray) -> np.ndarray:
        if not all(np.isfinite(one).all() for one in arrays):
            return np.full([size for _, size in adds], worst)
        return function(*(one.astype(np.int64) for one in arrays))

    return xr.apply_ufunc(
        of_run,
        *tokens,
        input_core_dims=[["case", "time"]] * len(tokens),
        output_core_dims=[[dim for dim, _ in adds]],
        exclude_dims={"case", "time"},
        vectorize=True,
    )


# -- entries of the registry ---------------------------------------------------------------------


@dataclass(frozen=True)
class TokenDistance(Metric):
    """`wasserstein_cells` of the visits of free runs and of true runs to the cells."""

    asks = frozenset({"tokens", "true_tokens", "centres"})
    function = staticmethod(wasserstein_cells)
    units = STATE
    long_name = "first Wasserstein distance to the true visits of cells"
    scored = "tokens"
    over = ("case", "time")

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        centres = evaluation.centres.transpose("token", "state").values
        size = len(centres)
        return _of_runs(
            lambda run, true: wasserstein_cells(counts(run, size), counts(true, size), centres),
            evaluation.tokens,
            evaluation.true_tokens,
            worst=np.inf,
        )


@dataclass(frozen=True)
class UnseenShare(Metric):
    """`unseen_share` of the stretches of free runs, among those of true runs."""

    length: int = 2

    asks = frozenset({"tokens", "true_tokens", "centres"})
    function = staticmethod(unseen_share)
    long_name = "share of transitions that no true run has"
    worst = 1.0
    scored = "tokens"
    over = ("case", "time")

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        size, length = evaluation.centres.sizes["token"], self.length
        return _of_runs(
            lambda run, true: unseen_share(run, words(true, size, length), size, length),
            evaluation.tokens,
            evaluation.true_tokens,
            worst=1.0,
        )


@dataclass(frozen=True)
class ConditionalEntropies(Metric):
    """`conditional_entropies` of free runs up to an order."""

    longest: int = 4

    asks = frozenset({"tokens"})
    function = staticmethod(conditional_entropies)
    units = "nat"
    long_name = "entropy of a token given those before it"
    worst = np.nan
    scored = "tokens"
    over = ("case", "time")
    adds = ("order",)

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        found = _of_runs(
            lambda run: conditional_entropies(run, self.longest),
            evaluation.tokens,
            adds=[("order", self.longest)],
        )
        return found.assign_coords(order=np.arange(1, self.longest + 1))


@dataclass(frozen=True)
class CycleShare(Metric):
    """Share of the free runs of all cases that end in a cycle, by their `period`."""

    tail: int = 1000
    longest: int = LONGEST_PERIOD

    asks = frozenset({"tokens"})
    function = staticmethod(period)
    long_name = "share of free runs that end in a cycle"
    worst = 1.0
    scored = "tokens"
    over = ("case", "time")

    def of(self, evaluation: Evaluation) -> xr.DataArray:
        tail = min(self.tail, evaluation.tokens.sizes["time"] // 2)

        def share(run: np.ndarray) -> float:
            return float(np.mean([period(one, tail, self.longest) > 0 for one in run]))

        return _of_runs(share, evaluation.tokens, worst=1.0)
