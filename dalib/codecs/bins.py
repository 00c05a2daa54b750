"""States to tokens and back: a grid over the training data, and the cells of it they visit."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

CHUNK = 65536  # states encoded together: the work arrays stay in cache
DISTANCES = 2**22  # squared distances held at once in the search for a nearest cell


@dataclass(frozen=True)
class Codebook:
    """A box divided into equal cells, and the vocabulary: the cells that training data visit.

    A token is the index into `numbers`. Lengths are in the units of the state.

    Args:
        lower, upper: (state,), the box.
        cells: n, cells along each component.
        numbers: (token,) int64, the cell numbers that occur, sorted.
        visits: (token,) int64, how many training states each cell holds.
    """

    lower: Tensor
    upper: Tensor
    cells: int
    numbers: Tensor
    visits: Tensor

    @property
    def size(self) -> int:
        """Number of tokens."""
        return len(self.numbers)

    @property
    def width(self) -> Tensor:
        """(state,), w = (upper - lower) / n."""
        return (self.upper - self.lower) / self.cells

    @property
    def centres(self) -> Tensor:
        """(token, state), lower + (i + 1/2) w."""
        return self.lower + (self._indices(self.numbers) + 0.5) * self.width

    def encode(self, x: Tensor) -> Tensor:
        """(..., state) -> (...) int64, the tokens of states.

        A state outside the box belongs to the cell at its edge. A cell that is not in the
        vocabulary becomes the nearest one that is, centre to centre in widths of a cell; of those
        equally near, the one of the lowest number.
        """
        tokens = [self._tokens(numbers) for numbers in self._numbers_of(x)]
        return _joined(tokens).reshape(x.shape[:-1])

    def decode(self, tokens: Tensor) -> Tensor:
        """(...) -> (..., state), the centres of the cells."""
        require_tokens(tokens, self.size)
        return self.centres[tokens.long()]

    def outside(self, x: Tensor) -> int:
        """How many of the states x (..., state) lie outside the box."""
        rows = _rows(x, self.lower)
        return sum(
            int(((part < self.lower) | (part > self.upper)).any(-1).sum())
            for part in rows.split(CHUNK)
        )

    def unseen(self, x: Tensor) -> int:
        """How many of the states x (..., state) lie in cells that are not in the vocabulary."""
        return sum(int((~self._find(numbers)[1]).sum()) for numbers in self._numbers_of(x))

    def _indices(self, numbers: Tensor) -> Tensor:
        """(...) -> (..., state) int64, the indices along each component of numbered cells."""
        powers = self.cells ** torch.arange(len(self.lower) - 1, -1, -1)
        return numbers[..., None] // powers % self.cells

    def _numbers_of(self, x: Tensor) -> Iterator[Tensor]:
        return cell_numbers(_rows(x, self.lower), self.lower, self.width, self.cells)

    def _find(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Where cell numbers stand in the vocabulary, and whether they do."""
        tokens = torch.searchsorted(self.numbers, numbers).clamp_(max=self.size - 1)
        return tokens, self.numbers[tokens] == numbers

    def _tokens(self, numbers: Tensor) -> Tensor:
        tokens, known = self._find(numbers)
        if not known.all():
            strange, which = numbers[~known].unique(return_inverse=True)
            tokens[~known] = self._nearest(strange)[which]
        return tokens

    def _nearest(self, numbers: Tensor) -> Tensor:
        """(cell,) -> (cell,), tokens; distances of indices are whole numbers, exact in float64."""
        known = self._indices(self.numbers).double()
        nearest = []
        for part in numbers.split(max(1, DISTANCES // self.size)):
            indices = self._indices(part).double()
            # |a - b|^2 less |a|^2, which is the same for all b; argmin takes the first of equals
            nearest.append((known.square().sum(-1) - 2 * indices @ known.T).argmin(-1))
        return _joined(nearest)


@dataclass(frozen=True)
class Bins:
    """A uniform grid of `cells` per component over the box of the training data.

        lo = min x    hi = max x    w = (hi - lo) / n
        i_d = clip(floor((x_d - lo_d) / w_d), 0, n - 1)
        k = sum_d i_d n^(D-1-d)                          cell number, the last component fastest

    The vocabulary is the set of cells visited: a cell that never occurs in training is never a
    target, so that leaving it out is the same model with that logit at minus infinity.

    Attributes:
        cells: n, of the grid in each dimension.
    """

    cells: int

    def __post_init__(self) -> None:
        if self.cells < 1:
            raise ValueError(f"a grid needs at least 1 cell per component, got {self.cells}")

    def fit(self, train: Tensor) -> Codebook:
        """The codebook of training states (..., state); they alone decide box and vocabulary."""
        size = train.shape[-1]
        if self.cells**size >= 2**63:
            raise ValueError(
                f"{self.cells} cells for each of {size} components have no 64-bit numbers; use "
                "fewer cells"
            )
        rows = train.reshape(-1, size)
        if len(rows) == 0:
            raise ValueError(f"a grid needs training states, got shape {tuple(train.shape)}")
        _require_finite(rows, "training")
        lower, upper = rows.amin(0).double(), rows.amax(0).double()
        flat = (lower == upper).nonzero().flatten().tolist()
        if flat:
            raise ValueError(
                f"a grid needs components that vary, but component {', '.join(map(str, flat))} "
                f"(counted from 0) never changes in {len(rows)} training states"
            )
        width = (upper - lower) / self.cells
        numbers, visits = _counts(cell_numbers(rows, lower, width, self.cells))
        if len(numbers) == 1:
            raise ValueError(
                f"all {len(rows)} training states lie in one cell, so that there is nothing to "
                f"predict; use more than {self.cells} cells per component"
            )
        return Codebook(lower, upper, self.cells, numbers, visits)


def cell_numbers(x: Tensor, lower: Tensor, width: Tensor, cells: int) -> Iterator[Tensor]:
    """(sample, state) -> (sample,) int64, a chunk at a time: numbers of the cells of states."""
    for part in x.split(CHUNK):
        numbers = torch.zeros(len(part), dtype=torch.int64)
        for d in range(part.shape[-1]):
            index = part[:, d].double().sub(lower[d]).div_(width[d]).floor_().clamp_(0, cells - 1)
            numbers.mul_(cells).add_(index.long())
        yield numbers


def smallest_integer(vocabulary: int) -> type[np.signedinteger]:
    """The type in which tokens of so large a vocabulary are stored."""
    return np.int16 if vocabulary < 2**15 else np.int32


def require_tokens(tokens: Tensor, vocabulary: int) -> None:
    """Refuse what is no token of a vocabulary, before it becomes an error of an index."""
    if not tokens.numel():
        return
    low, high = (int(end) for end in tokens.aminmax())
    if low < 0 or high >= vocabulary:
        raise ValueError(
            f"a vocabulary of {vocabulary} has the tokens 0 to {vocabulary - 1}, got "
            f"{low if low < 0 else high}; encode with the codec whose tokens the model was trained "
            "on, or train it on these"
        )


def _counts(parts: Iterator[Tensor]) -> tuple[Tensor, Tensor]:
    """Distinct numbers, sorted, and how often each occurs; parts are counted before they meet."""
    counted = [part.unique(return_counts=True) for part in parts]
    numbers, where = torch.cat([n for n, _ in counted]).unique(return_inverse=True)
    counts = torch.zeros_like(numbers)
    return numbers, counts.index_add_(0, where, torch.cat([c for _, c in counted]))


def _rows(x: Tensor, lower: Tensor) -> Tensor:
    """(..., state) -> (sample, state), refused if it cannot be encoded."""
    if x.shape[-1] != len(lower):
        raise ValueError(
            f"the codec was fitted on states of {len(lower)} components, got states of "
            f"{x.shape[-1]}, shape {tuple(x.shape)}"
        )
    rows = x.reshape(-1, len(lower))
    _require_finite(rows, "encoded")
    return rows


def _require_finite(rows: Tensor, which: str) -> None:
    bad = sum(int((~part.isfinite().all(-1)).sum()) for part in rows.split(CHUNK))
    if bad:
        raise ValueError(
            f"cells hold finite states only, but of the {which} states {bad} of {len(rows)} are not"
        )


def _joined(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.int64)
