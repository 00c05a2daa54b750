"""Continuations of one past: how generated and simulated ones part from the true one."""

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr

from dalib.metrics.base import Coded, Dynamics, Evaluation, require
from dalib.scores import describe
from dalib.streams import stream
from papers.gpt.metrics.codecs import exponent_of, independent_of
from papers.gpt.metrics.shadows import shadows, spread_of
from papers.gpt.metrics.tokens import agreement, parting


@dataclass(frozen=True)
class Continuations:
    """How continuations part from the true one: those that a method generates, and simulations.

    The latter are true trajectories whose tokens are those of the given past. They are looked for
    by rejection: `accepted` of them for the first window of each test trajectory, and with `paired`
    one for each window.

    Args:
        discard: first samples of a true trajectory, not yet on the attractor.
        context: tokens of the past.
        accepted: simulations that are wanted; 0 for none.
        most: draws, after which no more are looked for.
        spread: of the starts, as a share of half a cell.
        paired: whether there is one for each window.
        cells: of the codec in which simulations are looked for; others go without.
    """

    discard: int
    context: int
    accepted: int = 0
    most: int = 0
    spread: float = 1.0
    paired: bool = False
    cells: int | None = None

    asks = frozenset({"estimate", "truth", "coded", "dynamics", "starts"})

    def __call__(self, evaluation: Evaluation) -> xr.Dataset:
        require(evaluation, self.asks, type(self).__name__)
        coded, lead = evaluation.coded, evaluation.estimate.lead
        made = windows(coded, evaluation.estimate.isel(run=0))
        true = windows(coded, evaluation.truth)
        independent = independent_of(coded, self.discard)
        interval, centres = evaluation.dynamics.interval, coded.centres
        scores = generated_scores(made, true, centres, interval, independent)
        if self.accepted and self.cells in (None, coded.codec.cells):
            simulated = coded.once(f"{self}", lambda: self.simulated(evaluation, true.shape[-1]))
            scores |= agreement(made[:, 0], simulated["shadow"], interval)
            truth = score_shadows(simulated, true, centres, interval, independent)
            scores |= {f"true_{n}" if n in scores else n: v for n, v in truth.variables.items()}
        return _described(xr.Dataset(scores, {"lead": lead.variable}))

    def simulated(self, evaluation: Evaluation, horizon: int) -> dict[str, np.ndarray]:
        """`shadow` (case, draw, lead), `accepted`, `drawn` (case), `paired` (case, start, lead)."""
        coded, dynamics, starts = evaluation.coded, evaluation.dynamics, evaluation.starts
        shadow, accepted, drawn = self._found(coded, dynamics, starts[:1], horizon, self.accepted)
        made = {"shadow": shadow[:, 0], "accepted": accepted[:, 0], "drawn": drawn[:, 0]}
        if self.paired:
            made["paired"] = self._found(coded, dynamics, starts, horizon, 1)[0][:, :, 0]
        return made

    def _found(
        self, coded: Coded, dynamics: Dynamics, starts: list[int], horizon: int, wanted: int
    ) -> tuple[np.ndarray, ...]:
        """(case, start, ...): tokens of the accepted draws, how many, and of how many."""
        k, cases = self.context, range(len(coded.test))
        past = np.stack([coded.test[:, start - k : start] for start in starts], 1)
        first = np.stack([coded.states[:, start - k] for start in starts], 1)
        time, exponent = k * dynamics.interval, exponent_of(dynamics, coded.states)
        made = shadows(
            dynamics.step,
            coded.codec.encode,
            torch.as_tensor(first).flatten(0, 1),
            torch.as_tensor(past).flatten(0, 1),
            wanted=wanted,
            most=self.most,
            spread=spread_of(coded.codec.width, exponent, time, self.spread),
            horizon=horizon,
            generators=[stream("shadow", case, start) for case in cases for start in starts],
            progress="shadows",
        )
        return tuple(part.unflatten(0, past.shape[:2]).numpy() for part in made)


def windows(coded: Coded, states: xr.DataArray) -> np.ndarray:
    """(case, lead, state), the starts of each trajectory in turn -> tokens (case, start, lead)."""
    tokens = coded.encode(states.transpose("case", "lead", "state").values)
    return tokens.reshape(len(coded.test), -1, tokens.shape[-1])


def generated_scores(
    made: np.ndarray, true: np.ndarray, centres: np.ndarray, interval: float, independent: float
) -> dict:
    """Of continuations (case, start, lead): their distance to the truth."""
    return parting(true, made, centres, interval, independent)


def score_shadows(
    shadows: dict[str, np.ndarray],
    tokens: np.ndarray,
    centres: np.ndarray,
    interval: float,
    independent: float,
) -> xr.Dataset:
    """How the true continuations of the windows part from other ones with the same past.

    Args:
        shadows: `shadow` (case, draw, lead), `accepted`, `drawn` (case) of the first window of each
            test trajectory, and where wanted `paired` (case, start, lead), one for each window.
        tokens: (case, start, lead), the true continuations.
        centres: (token, state).
        interval: between two samples, in model time.
        independent: mean distance of two states that know nothing of each other.
    """
    scores = {
        "shadow": (("seed", "draw", "lead"), shadows["shadow"].astype(np.int32)),
        "accepted": (("seed",), shadows["accepted"]),
        "drawn": (("seed",), shadows["drawn"]),
        **agreement(tokens[:, 0], shadows["shadow"], interval),
    }
    if "paired" in shadows:
        paired = shadows["paired"]
        scores["paired"] = (("seed", "start", "lead"), paired.astype(np.int32))
        scores |= parting(tokens, paired, centres, interval, independent, prefix="paired_")
    return _described(xr.Dataset(scores))


def _described(scores: xr.Dataset) -> xr.Dataset:
    return describe(
        scores,
        difference=("1", "mean distance of the truth to a generation with the same past"),
        late_difference=("1", "that distance in the last quarter of the windows"),
        parting_time=("1", "model time until it is a tenth of that of independent states"),
        growth_rate=("1", "growth rate of its logarithm, per unit of model time"),
        divergence=("1", "model time that a continuation agrees with an accepted draw"),
        match_median=("1", "median model time that accepted draws agree with a continuation"),
        match_longest=("1", "longest such time of a trajectory's draws, mean over trajectories"),
        true_divergence=("1", "model time that the truth agrees with an accepted draw"),
        true_match_median=("1", "median model time that accepted draws agree with the truth"),
        true_match_longest=("1", "longest such time of a trajectory's draws, mean of trajectories"),
        shadow=("1", "token of an accepted draw, -1: none"),
        accepted=("1", "accepted draws"),
        drawn=("1", "draws"),
        paired=("1", "token of the first accepted draw, -1: none"),
        paired_difference=("1", "mean distance of the truth to a trajectory with the same past"),
        paired_late_difference=("1", "that distance in the last quarter of the windows"),
        paired_parting_time=("1", "model time until it is a tenth of that of independent states"),
        paired_growth_rate=("1", "growth rate of its logarithm, per unit of model time"),
    )
