"""Programs of a user as functions of parameters: numpy in and out, one run for each member."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor


class RunError(RuntimeError):
    """Raised by a run of the user's program that gives no result; its member is left out."""


def black_box(
    run: Callable[[np.ndarray], Any],
    *,
    mapped: Callable[[Callable, Iterable], Iterable] = map,
) -> Callable[[Tensor], Tensor]:
    """A forward model (..., parameter) -> (..., obs) of a numpy function of one member.

    Nothing is differentiated. A run that raises `RunError`, or gives values that are not finite,
    is a row of NaN, which `invert` leaves out.

    Args:
        run: (parameter,) -> (obs,), such as one that writes a file of input, starts an executable
            by `subprocess.run` and reads what it wrote.
        mapped: in the place of `map`, so that runs go side by side:
            `concurrent.futures.ThreadPoolExecutor(8).map` for executables, or that of processes.
    """

    def one(x: np.ndarray) -> np.ndarray | None:
        try:
            found = np.asarray(run(x), dtype=float)
        except RunError:
            return None
        if found.ndim != 1:
            raise ValueError(
                f"run() gave an array of shape {found.shape} for parameters of shape {x.shape}; "
                "give one value for each observation, (obs,)"
            )
        return found

    def forward(x: Tensor) -> Tensor:
        rows = x.detach().cpu().double().reshape(-1, x.shape[-1]).numpy()
        found = list(mapped(one, [row.copy() for row in rows]))
        sizes = {len(row) for row in found if row is not None}
        if not sizes:
            raise ValueError(f"all {len(found)} runs failed; what does run() say of one of them?")
        if len(sizes) > 1:
            raise ValueError(
                f"run() gave {', '.join(map(str, sorted(sizes)))} values for different members; "
                "give the same observations for all"
            )
        missing = np.full(sizes.pop(), np.nan)
        values = np.stack([missing if row is None else row for row in found])
        return torch.from_numpy(values).to(x).reshape(*x.shape[:-1], -1)

    return forward
