"""Shadows: trajectories of the true equations whose tokens are a given past.

For evaluation only. How fast the continuations of one tokenised past part from one another is what
any model of tokens can be measured with (Shalova and Oseledets 2020, sec. IV).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

BLOCK = 5  # samples between two rejections
DRAWS = 256  # of a window at once, at first


class Shadows(NamedTuple):
    """Accepted draws of each window.

    tokens: (window, wanted, horizon), what follows the given past; -1 where none was found.
    accepted, drawn: (window,), how many were accepted, and drawn.
    """

    tokens: Tensor
    accepted: Tensor
    drawn: Tensor


def spread_of(width: Tensor, exponent: float, time: float, share: float) -> float:
    """Standard deviation of the starts, `share` ½ ‖w‖₂ exp(-λ k τ), in state units.

    Half a cell of `width` (state,), as far back as `time` = k τ lets it grow with `exponent` λ.
    """
    return float(share * 0.5 * width.norm() * torch.exp(torch.tensor(-exponent * time)))


def shadows(
    step: Callable[[Tensor], Tensor],
    encode: Callable[[Tensor], Tensor],
    starts: Tensor,
    past: Tensor,
    *,
    wanted: int,
    most: int,
    spread: float,
    horizon: int,
    generators: Sequence[torch.Generator],
    progress: str | None = None,
) -> Shadows:
    """Simulate from x ~ N(x_0, spread² I) and keep what has the tokens of the past.

    Of each window the first `wanted` accepted draws count, among at most `most`. A draw is thrown
    away as soon as one of its tokens differs.

    Args:
        step: the true map (..., state) -> (..., state) over one sampling interval.
        encode: (..., state) -> (...) tokens.
        starts: (window, state), the true states at the first token of each past.
        past: (window, k), the given tokens.
        generators: one for each window, so that windows do not depend on one another.
    """
    windows, k = past.shape
    tokens = torch.full((windows, wanted, horizon), -1)
    accepted, drawn = (
        torch.zeros(windows, dtype=torch.int64),
        torch.zeros(windows, dtype=torch.int64),
    )
    bar = tqdm(total=windows * wanted, desc=progress, disable=progress is None)
    ends, of_window, place = [starts[:0]], [accepted[:0]], [accepted[:0]]  # of what is accepted
    draws = DRAWS
    while len(open_ := ((accepted < wanted) & (drawn < most)).nonzero().flatten()):
        counts = (most - drawn[open_]).clamp(max=draws)
        window = open_.repeat_interleave(counts)
        x0 = torch.cat(
            [
                _starts(starts[w], n, spread, generators[w])
                for w, n in zip(open_.tolist(), counts.tolist(), strict=True)
            ]
        )
        x, window, order = _with_past(step, encode, x0, window, past)
        drawn[open_] += counts
        for w in open_.tolist():
            mine = (window == w).nonzero().flatten()
            mine = mine[order[mine].argsort()][: wanted - int(accepted[w])]
            ends.append(x[mine])
            of_window.append(window[mine])
            place.append(accepted[w] + torch.arange(len(mine)))
            accepted[w] += len(mine)
            bar.update(len(mine))
        draws = min(2 * draws, 4096)
    bar.close()
    # all at once: a step costs as much for one state as for hundreds
    tokens[torch.cat(of_window), torch.cat(place)] = _continued(
        step, encode, torch.cat(ends), horizon
    )
    return Shadows(tokens, accepted, drawn)


def _starts(x0: Tensor, count: int, spread: float, generator: torch.Generator) -> Tensor:
    noise = torch.randn(count, len(x0), dtype=x0.dtype, generator=generator)
    return x0 + spread * noise


def _with_past(
    step: Callable, encode: Callable, x: Tensor, window: Tensor, past: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """States (draw, state) at the end of the past, of the draws with its tokens; their windows
    and their places in the order of drawing.
    """
    order = torch.arange(len(x))
    alive = torch.ones(len(x), dtype=torch.bool)
    for t in range(past.shape[-1]):
        if t:
            x = step(x)
        alive &= encode(x) == past[window, t]
        if t % BLOCK == 0 or t == past.shape[-1] - 1:
            x, window, order = x[alive], window[alive], order[alive]
            alive = alive[alive]
    return x, window, order


def _continued(step: Callable, encode: Callable, x: Tensor, horizon: int) -> Tensor:
    """(draw, state) -> (draw, horizon), tokens of the states that follow."""
    states = []
    for _ in range(horizon):
        x = step(x)
        states.append(x)
    return encode(torch.stack(states, 1))
