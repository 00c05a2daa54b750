"""The univariate forecasting benchmark of 131 chaotic systems (Gilpin 2021, arXiv 2110.05266).

Of each series the first 1000 samples (150 of the coarse ones) are given and the next 199 (29) are
scored by sMAPE on raw values; a row is the median over the systems. Published predictions are
scored again, naive rows made again, and an untrained one put beside them: the context parrot,
which copies what followed the most similar stretch of the context.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr

from benchmarks.anchors.checks import Check, Measured, UnavailableError
from dalib.forecasters.parrot import ContextParrot
from dalib.metrics.pointwise import smape

SOURCE = "Gilpin 2021, arXiv 2110.05266; repository williamgilpin/dysts"
SERIES_COMMIT = "8d48fc217ad233451a2dd0fd3dc3afef69dd2280"
RESULTS_COMMIT = "dc780a381123ff38f9f39c72d56007a626efbbb4"


class Sampling(NamedTuple):
    """One of the two samplings: given and scored samples, published medians, period in samples."""

    given: int
    scored: int
    period: int
    medians: dict[str, float]


SAMPLINGS = {
    100: Sampling(
        1000,
        199,
        100,
        {
            "NBEATSModel": 67.70,
            "RNNModel": 102.03,
            "TransformerModel": 101.43,
            "RandomForest": 105.99,
            "TCNModel": 113.3,
            "LinearRegressionModel": 118.0,
            "FFT": 118.6,
            "ARIMA": 119.3,
            "AutoARIMA": 118.1,
            "NaiveSeasonal": 125.3,
            "NaiveDrift": 125.97,
            "NaiveMean": 148.94,
        },
    ),
    15: Sampling(
        150,
        29,
        15,
        {
            "NBEATSModel": 50.62,
            "RNNModel": 67.80,
            "TransformerModel": 94.00,
            "RandomForest": 89.64,
            "TCNModel": 131.2,
            "LinearRegressionModel": 105.2,
            "FFT": 116.3,
            "ARIMA": 111.4,
            "AutoARIMA": 114.8,
            "NaiveSeasonal": 125.7,
            "NaiveDrift": 128.8,
            "NaiveMean": 153.5,
        },
    ),
}
DELAYS = (5, 10, 20, 30, 50, 70, 100)  # of the parrot; fewer than half of the context
FILES = {
    "test_univariate_{n}.json.gz": (
        SERIES_COMMIT,
        "dysts/data/test_univariate__pts_per_period_{n}__periods_12.json.gz",
    ),
    "results_univariate_{n}.json.gz": (
        RESULTS_COMMIT,
        "benchmarks/results/results_test_univariate__pts_per_period_{n}__periods_12.json",
    ),
}


def checks(folder: Path | None) -> Iterator[Check]:
    """Rows of both samplings."""
    for n, sampling in SAMPLINGS.items():
        for method, median in sampling.medians.items():
            yield _check(
                n,
                f"median sMAPE of {method}",
                median,
                lambda n=n, m=method: _median(_stored_again(folder, n, m), 0.06),
            )
        for method, forecast in NAIVE.items():
            yield _check(
                n,
                f"largest difference from the stored sMAPE, {method} made again",
                0.0,
                lambda n=n, m=method, f=forecast: _naive(folder, n, m, f),
            )
        yield _check(
            n,
            "median sMAPE of linear regression, ours",
            sampling.medians["LinearRegressionModel"],
            lambda n=n: _ours(folder, n, autoregression),
        )
    for n, sampling in SAMPLINGS.items():
        yield _check(
            n,
            "median sMAPE of the parrot, delays chosen on the context (published: N-BEATS)",
            sampling.medians["NBEATSModel"],
            lambda n=n: _ours(folder, n, chosen_parrot),
            cost=20,
        )


def _check(n: int, name: str, published: float, measure: Callable, cost: float = 3.0) -> Check:
    return Check("dysts, univariate", f"{name}, {n} a period", published, SOURCE, measure, cost)


# -- forecasts: (given,), horizon, period -> (horizon,) -------------------------------------------


def naive_mean(past: np.ndarray, horizon: int, period: int) -> np.ndarray:
    """The mean of what was given."""
    return np.full(horizon, past.mean())


def naive_drift(past: np.ndarray, horizon: int, period: int) -> np.ndarray:
    """The line through the first and the last sample."""
    slope = (past[-1] - past[0]) / (len(past) - 1)
    return past[-1] + slope * np.arange(1, horizon + 1)


def naive_seasonal(past: np.ndarray, horizon: int, period: int) -> np.ndarray:
    """The last sample: a season of one, as the published row has it."""
    return np.full(horizon, past[-1])


NAIVE = {"NaiveMean": naive_mean, "NaiveDrift": naive_drift, "NaiveSeasonal": naive_seasonal}


def autoregression(past: np.ndarray, horizon: int, period: int) -> np.ndarray:
    """Least squares on as many lags as fit best on the last fifth of what was given."""
    split = len(past) * 4 // 5
    lags = [p for p in (1, 2, 5, 10, 20, 50) if p < split // 3]
    inner = {
        p: _smape(_autoregressed(past[:split], len(past) - split, p), past[split:]) for p in lags
    }
    return _autoregressed(past, horizon, min(inner, key=inner.get))


def _autoregressed(past: np.ndarray, horizon: int, lags: int) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(past[:-1], lags)
    G = np.concatenate([windows, np.ones((len(windows), 1))], 1)
    weights = np.linalg.lstsq(G, past[lags:], rcond=1e-10)[0]
    values = list(past[-lags:])
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(horizon):
            values.append(float(np.dot(values[-lags:], weights[:-1]) + weights[-1]))
    return np.array(values[lags:])


def parrot(past: np.ndarray, horizon: int, delays: int) -> np.ndarray:
    """What `ContextParrot` says."""
    context = torch.from_numpy(np.ascontiguousarray(past))[None, :, None]
    return ContextParrot(delays).fit().forecast(context, horizon).flatten().numpy()


def chosen_parrot(past: np.ndarray, horizon: int, period: int) -> np.ndarray:
    """The parrot with the delays that forecast best inside the context; nothing later is seen.

    Each D forecasts the same stretches from three earlier times of the context.
    """
    length = min(horizon, len(past) // 5)
    starts = [len(past) - k * length for k in (1, 2, 3)]
    candidates = [D for D in DELAYS if D < min(starts) // 2]
    score = {
        D: sum(_smape(parrot(past[:s], length, D), past[s : s + length]) for s in starts)
        for D in candidates
    }
    return parrot(past, horizon, min(score, key=score.get))


# -- scores --------------------------------------------------------------------------------------


def _smape(forecast: np.ndarray, truth: np.ndarray) -> float:
    return float(
        smape(xr.DataArray(forecast, dims="lead"), xr.DataArray(truth, dims="lead"), "lead")
    )


def _scores(forecasts: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> np.ndarray:
    """(system,), all at once."""
    names = list(truth)
    made = xr.DataArray(np.stack([forecasts[name] for name in names]), dims=("case", "lead"))
    true = xr.DataArray(np.stack([truth[name] for name in names]), dims=("case", "lead"))
    return smape(made, true, "lead").values


def _median(scores: np.ndarray, tolerance: float | None) -> Measured:
    draws = np.random.default_rng(0).integers(len(scores), size=(2000, len(scores)))
    low, high = np.quantile(np.median(scores[draws], axis=1), [0.025, 0.975])
    return Measured(float(np.median(scores)), tolerance, (float(low), float(high)))


def _stored_again(folder: Path | None, n: int, method: str) -> np.ndarray:
    """sMAPE of the stored predictions, by our metric."""
    results, sampling = stored(folder, n), SAMPLINGS[n]
    scored = slice(0, sampling.scored)
    return _scores(
        {s: np.ravel(one[method]["prediction"])[scored] for s, one in results.items()},
        {s: np.ravel(one["values"])[scored] for s, one in results.items()},
    )


def _made(folder: Path | None, n: int, forecast: Callable) -> np.ndarray:
    """sMAPE of forecasts made here, of the systems of the published results."""
    truth, sampling = series(folder, n), SAMPLINGS[n]
    names = [name for name in stored(folder, n) if name in truth]
    ends = sampling.given + sampling.scored
    return _scores(
        {s: forecast(truth[s][: sampling.given], sampling.scored, sampling.period) for s in names},
        {s: truth[s][sampling.given : ends] for s in names},
    )


def _naive(folder: Path | None, n: int, method: str, forecast: Callable) -> Measured:
    results = stored(folder, n)
    known = np.array([results[name][method]["smape"] for name in results])
    return Measured(float(abs(_made(folder, n, forecast) - known).max()), 1e-10)


def _ours(folder: Path | None, n: int, forecast: Callable) -> Measured:
    return _median(_made(folder, n, forecast), None)


# -- files ---------------------------------------------------------------------------------------


@cache
def series(folder: Path | None, n: int) -> dict[str, np.ndarray]:
    """{system: (sample,)} of the test series."""
    found = _read(folder, f"test_univariate_{n}.json.gz")
    return {name: np.ravel(one["values"]) for name, one in found.items()}


@cache
def stored(folder: Path | None, n: int) -> dict[str, dict]:
    """{system: {method: {prediction, smape, ...}, values}} of the published results."""
    return _read(folder, f"results_univariate_{n}.json.gz")


def _read(folder: Path | None, name: str) -> dict:
    if folder is None or not (folder / name).is_file():
        where = "no folder was named" if folder is None else f"{folder} has no {name}"
        raise UnavailableError(
            f"{where}; give --data FOLDER with the files of github.com/williamgilpin/dysts, "
            "or --download"
        )
    with gzip.open(folder / name) as file:
        return json.load(file)
