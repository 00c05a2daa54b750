"""Models and operators that are not written in torch."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor


def from_numpy(function: Callable, *, each: bool = False) -> Callable:
    """A function of arrays as one of tensors, for `step` and `observe`; without derivatives.

    Args:
        function: (..., n) -> (..., m); it may take `time`, `interval` and `generator`, which is
            given as a `numpy.random.Generator` seeded by the filter's.
        each: whether it takes one state (n,) at a time, as a user's executable does; it is then
            called for one after the other.
    """

    @functools.wraps(function)
    def wrapped(x: Tensor, **given: Any) -> Tensor:
        if given.get("generator") is not None:
            given["generator"] = _generator(given["generator"])
        call = functools.partial(function, **given)
        return _Outside.apply(x, functools.partial(_one_by_one, call) if each else call)

    return wrapped


def _one_by_one(function: Callable, x: np.ndarray) -> np.ndarray:
    rows = [np.asarray(function(row)) for row in x.reshape(-1, x.shape[-1])]
    return np.stack(rows).reshape(*x.shape[:-1], -1)


def _generator(generator: Any) -> np.random.Generator:
    """Numbers that follow from the state of the torch generators, which go on by one draw."""
    from dalib.streams import each

    seeds = [int(torch.randint(2**62, (), generator=one)) for one in each(generator)]
    return np.random.default_rng(seeds)


class _Outside(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, function: Callable) -> Tensor:
        return torch.as_tensor(np.asarray(function(x.detach().cpu().numpy().copy()))).to(x)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        raise RuntimeError(
            "a function of numpy has no derivative; write it in torch, or take a method without"
        )
