"""One system for each run: the first axis of its parameters is that of the states."""

from torch import Tensor


def by_run(x: Tensor, runs: int) -> Tensor:
    """(run, ..., state) -> (run, point, state); with one run (..., state) -> (1, point, state).

    Raises:
        ValueError: the first axis of x is not the run.
    """
    if runs > 1 and (x.ndim < 2 or len(x) != runs):
        raise ValueError(
            f"the parameters are those of {runs} runs; give states of shape ({runs}, ..., state), "
            f"got {tuple(x.shape)}"
        )
    return x.reshape(runs, -1, x.shape[-1])
