"""One system for each run: the first axis of its parameters is that of the states."""

from torch import Tensor


def by_run(x: Tensor, runs: int) -> Tensor:
    """(run, ..., state) -> (run, point, state); with one run (..., state) -> (1, point, state).

    Raises:
        ValueError: the first axis of x is not the run.
    """
    _check_runs(x, runs)
    return x.reshape(runs, -1, x.shape[-1])


def columns_by_run(x: Tensor, runs: int) -> Tensor:
    """(run, ..., member, state) -> (run, point, state, member), never a copy.

    What is computed from columns has members next to each other in memory. Small matrices and sums
    over members are then several times faster. States (run, state) are of one member each.

    Raises:
        ValueError: the first axis of x is not the run.
    """
    _check_runs(x, runs)
    members = x.shape[-2] if x.ndim > 2 else 1
    return x.reshape(runs, -1, members, x.shape[-1]).mT


def _check_runs(x: Tensor, runs: int) -> None:
    if runs > 1 and (x.ndim < 2 or len(x) != runs):
        raise ValueError(
            f"the parameters are those of {runs} runs; give states of shape ({runs}, ..., state), "
            f"got {tuple(x.shape)}"
        )
