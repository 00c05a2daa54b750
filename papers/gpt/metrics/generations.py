"""Generated tokens held against true ones."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr

from dalib.metrics.transport import counts, wasserstein_cells
from dalib.scores import describe
from papers.gpt.metrics import symbolic
from papers.gpt.metrics.tokens import (
    LAGS,
    Jacobian,
    Tokens,
    agreement,
    group,
    growth_rates,
    labels,
    number_of_trajectories,
    pair_distances,
    parting,
    places,
    stacked,
    without_transients,
)

TAIL = 1000  # tokens at the end of a run in which a cycle is looked for, at most half of it


def score_generations(
    methods: Mapping[str, xr.Dataset],
    codec_of: Mapping[str, str],
    tokens: Mapping[str, Tokens],
    marks: xr.Dataset,
    settings: Mapping,
    windows: Mapping[str, np.ndarray],
    jacobian: Jacobian | None,
    interval: float,
    generator: np.random.Generator,
) -> xr.Dataset:
    """Generated tokens held against true ones, each method with its codec.

    Groups are as many trajectories as the test part has, without the first `discard` samples that
    the marks are without. NaN stands where a method has no such
    score: no probabilities, no shadows in its codec.

    Args:
        methods: as `datasets.token_forecasts_dataset` makes them.
        codec_of: codec of each method.
        tokens: by codec and split ("train", "test"), (seed, time).
        marks: what `score_codecs` and `score_shadows` gave, the latter for `shadow_codec`.
        settings: `sets`, true groups that each run is held against: the test part, then random
            groups of training trajectories; `pair_points`, pairs of states of a run and of the test
            part, between whose laws the distance is taken.
        windows: by codec, (seed, start, lead), the true continuations.
        jacobian: of the map, where `marks` have growth rates.
        interval: between two samples, in model time.
        generator: of the groups, then of the pairs of states; the same serve every run.
    """
    train = number_of_trajectories(part["train"] for part in tokens.values())
    size = number_of_trajectories(part["test"] for part in tokens.values())
    groups = [group(train, size, generator) for _ in range(settings["sets"] - 1)]
    where = places(settings["pair_points"], generator)
    discard = int(marks.discard)
    centres = {codec_of[name]: made.centre.values for name, made in methods.items()}
    truths = {name: _truth(tokens[name], discard, centres[name], groups, where) for name in centres}
    longest = marks.sizes.get("steps")

    def scored(name: str, made: xr.Dataset) -> xr.Dataset:
        codec = codec_of[name]
        truth = truths[codec]
        independent = float(marks.independent.sel(codec=codec))
        # which codec the shadows were drawn in is a label of the marks
        shadows = marks.shadow.values if marks.get("shadow_codec", "") == codec else None
        return xr.merge(
            [
                over_runs(made.free_run, lambda run: _run_scores(run, truth, longest, jacobian)),
                over_runs(
                    made.forecast,
                    lambda made: _window_scores(
                        made, windows[codec], truth, shadows, interval, independent
                    ),
                ).assign_coords(lead=made.lead),
                _loss_scores(made),
                _reference(marks.sel(codec=codec, drop=True)),
            ]
        )

    found = [scored(name, made) for name, made in methods.items()]
    scores = stacked(found, xr.DataArray(list(methods), dims="method", name="method")).transpose(
        "method", "temperature", "repeat", ..., missing_dims="ignore"
    )
    scores["entropy_rate"] = marks.entropy_rate
    scores["w1_ratio"] = scores.w1.median("set") / scores.w1_reference
    return describe(
        scores,
        w1=("1", "Wasserstein distance of a free run to a group of true trajectories"),
        w1_training=("1", "Wasserstein distance of a free run to all training states"),
        w1_pairs=("1", "Wasserstein distance between laws of two states a lag apart"),
        w1_reference=("1", "median distance of two true groups"),
        w1_reference_95=("1", "95 % quantile of the distance of two true groups"),
        w1_ratio=("1", "median distance to the truth over that of two true groups"),
        cells_visited=("1", "cells that the free runs visit"),
        true_cells_visited=("1", "cells that the test trajectories visit"),
        unseen_bigram_share=("1", "share of generated transitions that training never shows"),
        unseen_triple_share=("1", "share of generated triples of cells that training never shows"),
        period=("1", f"period of the last {TAIL} tokens of a free run, 0: none"),
        periodic_share=("1", f"share of free runs whose last {TAIL} tokens are a cycle"),
        growth=("1", "mean growth rate of tangents at generated cells, per step"),
        lyapunov_fit=("1", "growth rates extrapolated to long stretches, per step"),
        divergence=("1", "model time that a generation agrees with an accepted draw"),
        match_median=("1", "median model time that accepted draws agree with a generation"),
        match_longest=("1", "longest such time of a trajectory's draws, mean over trajectories"),
        difference=("1", "mean distance of the truth to a generation with the same past"),
        late_difference=("1", "that distance in the last quarter of the windows"),
        parting_time=("1", "model time until it is a tenth of that of independent states"),
        growth_rate=("1", "growth rate of its logarithm, per unit of model time"),
        test_loss=("1", "mean -log p of the next token on test windows, in nats"),
        test_loss_late=("1", "the same in the second half of the windows, in nats"),
        entropy_order1=("1", "conditional entropy of the next token given one, in nats"),
        entropy_rate=("1", "largest Lyapunov exponent times the sampling interval, in nats"),
    )


class _Truth(NamedTuple):
    """True tokens of one codec, and what each run is held against.

    test: (seed, time), without transients; visits: (set, cell), of the test part and of the random
    groups; everything: (cell,), of all of training; pairs, triples: of tokens in a row in
    training, transients included; places: of the pairs of states.
    """

    test: np.ndarray
    centres: np.ndarray
    visits: np.ndarray
    everything: np.ndarray
    pairs: np.ndarray
    triples: np.ndarray
    places: np.ndarray


def _truth(
    tokens: Tokens,
    discard: int,
    centres: np.ndarray,
    groups: list[np.ndarray],
    where: np.ndarray,
) -> _Truth:
    late, size = without_transients(tokens, discard), len(centres)
    train, test = late["train"], late["test"]
    return _Truth(
        test=test,
        centres=centres,
        visits=np.stack([counts(part, size) for part in (test, *(train[g] for g in groups))]),
        everything=counts(train, size),
        pairs=symbolic.words(tokens["train"], size),
        triples=symbolic.words(tokens["train"], size, 3),
        places=where,
    )


def over_runs(array: xr.DataArray, score: Callable[[np.ndarray], xr.Dataset]) -> xr.Dataset:
    """`score` of the values of every temperature and repeat, stacked along these dimensions."""
    for dim in ("temperature", "repeat"):
        if dim in array.dims:
            parts = [over_runs(array.isel({dim: i}), score) for i in range(array.sizes[dim])]
            return xr.concat(parts, xr.DataArray(array[dim].variable, name=dim))
    return score(array.values)


def _run_scores(
    run: np.ndarray, truth: _Truth, longest: int | None, jacobian: Jacobian | None
) -> xr.Dataset:
    """Of free runs (chain, time)."""
    size, centres = len(truth.centres), truth.centres
    visits = counts(run, size)
    tail = min(TAIL, run.shape[1] // 2)
    periods = np.array([symbolic.period(chain, tail) for chain in run])
    scores = {
        "w1": (("set",), [wasserstein_cells(visits, v, centres) for v in truth.visits]),
        "w1_training": ((), wasserstein_cells(visits, truth.everything, centres)),
        "w1_pairs": (("lag",), pair_distances(run, truth.test, centres, truth.places)),
        "lag": labels("lag", LAGS, "lag in samples"),
        "cells_visited": ((), np.count_nonzero(visits)),
        "true_cells_visited": ((), np.count_nonzero(truth.visits[0])),
        "unseen_bigram_share": ((), symbolic.unseen_share(run, truth.pairs, size)),
        "unseen_triple_share": ((), symbolic.unseen_share(run, truth.triples, size, 3)),
        "period": (("chain",), periods),
        "periodic_share": ((), (periods > 0).mean()),
    }
    if longest is not None:
        scores |= growth_rates(centres[run], jacobian, longest)
    return xr.Dataset(scores)


def _window_scores(
    made: np.ndarray,
    true: np.ndarray,
    truth: _Truth,
    shadows: np.ndarray | None,
    interval: float,
    independent: float,
) -> xr.Dataset:
    """Of continuations (seed, start, lead): distance to the truth, agreement with its shadows."""
    scores = parting(true, made, truth.centres, interval, independent)
    if shadows is not None:
        scores |= agreement(made[:, 0], shadows, interval)
    return xr.Dataset(scores)


def _loss_scores(made: xr.Dataset) -> xr.Dataset:
    if "log_loss" not in made:
        return xr.Dataset()
    loss = made.log_loss
    late = loss.isel(position=slice(loss.sizes["position"] // 2, None))
    return xr.Dataset(
        {
            "test_loss": loss.mean(("window", "position")),
            "test_loss_late": late.mean(("window", "position")),
        }
    )


def _reference(marks: xr.Dataset) -> xr.Dataset:
    return xr.Dataset(
        {
            "w1_reference": marks.w1.median("pair"),
            "w1_reference_95": marks.w1.quantile(0.95, "pair").drop_vars("quantile"),
            "entropy_order1": marks.entropy.sel(order=1, drop=True),
        }
    ).drop_vars("shadow_codec", errors="ignore")
