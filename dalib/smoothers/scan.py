"""All partial products of an associative operation in a logarithmic number of calls."""

from collections.abc import Callable

import torch
from torch import Tensor

Elements = tuple[Tensor, ...]


def scan(combine: Callable[[Elements, Elements], Elements], elements: Elements) -> Elements:
    """a_1, a_1 ∘ a_2, a_1 ∘ a_2 ∘ a_3, ... along the first axis (Ladner and Fischer 1980).

        b_i = a_{2i-1} ∘ a_{2i}, whose partial products are the even ones; the odd ones need one
        more ∘ each

    At most 2n operations in 2 log2 n calls, each of many at once.

    Args:
        combine: (earlier, later) -> earlier ∘ later, for tensors (n, ...).
        elements: the parts of a_1 ... a_n, each (n, ...).
    """
    n = len(elements[0])
    if n < 2:
        return elements
    pairs = combine(_part(elements, slice(0, n - 1, 2)), _part(elements, slice(1, n, 2)))
    even = scan(combine, pairs)
    if n > 2:
        before = _part(even, slice(0, (n - 1) // 2))
        odd = combine(before, _part(elements, slice(2, n, 2)))
        odd = tuple(torch.cat([a[:1], b]) for a, b in zip(elements, odd, strict=True))
    else:
        odd = _part(elements, slice(0, 1))
    return tuple(_woven(a, b) for a, b in zip(odd, even, strict=True))


def _part(elements: Elements, which: slice) -> Elements:
    return tuple(value[which] for value in elements)


def _woven(odd: Tensor, even: Tensor) -> Tensor:
    """The first, third, ... from odd, the others from even."""
    n = len(even)
    pairs = torch.stack([odd[:n], even], 1).flatten(0, 1)
    return torch.cat([pairs, odd[n:]])
