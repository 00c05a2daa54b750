"""Rows on methods: their errors, and properties with a mark from the number beside it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from dalib import io
from dalib.metrics.measures import Median
from dalib.scores import by_method
from dalib.tables import NO, OPEN, YES, Row, csv, mark, markdown, text


def filters(scores: Mapping[str, xr.Dataset], labels: Mapping[str, str]) -> list[Row]:
    """RMSE of every filter in every study: median and range over trajectories (and trainings).

    A filter that estimates some components only, and is scored on these, says which.

    Args:
        scores: {study: score dataset}, in the order of the table.
        labels: what distinguishes a study; one without a label goes by its name.
    """
    return [
        _filter_row(one, labels.get(study, study), str(method))
        for study, one in scores.items()
        for method in dict.fromkeys(one["method"].values.tolist())
    ]


def _filter_row(scores: xr.Dataset, description: str, method: str) -> Row:
    own = scores.isel(run=(scores["method"] == method).values)
    components = own.state.values[(own.estimated.isel(run=0) > 0).values]
    part = "" if len(components) == own.sizes["state"] else f" (only {', '.join(components)})"
    return {
        "case": description,
        "filter": method + part,
        "trajectories": own.sizes["case"],
        "RMSE, median": float(own.rmse.median(skipna=False)),
        "min": float(own.rmse.min(skipna=False)),
        "max": float(own.rmse.max(skipna=False)),
        "one-step forecast": float(own.forecast_rmse.median(skipna=False)),
        "spread": float(own.spread.median(skipna=False)),
        "RMSE of observations": float(scores.obs_rmse.median()),
        "share diverged": float(own.diverged.mean()),
    }


def property_row(
    name: str,
    method: str,
    *,
    holds: bool | None,
    value: float | None,
    meaning: str,
    published: str,
    interval: tuple[float, float] | None = None,
) -> Row:
    """One mark with the number it comes from, beside the mark that was published.

    Without `holds` a number decides nothing; without a number there is nothing to measure, and no
    mark of ours.
    """
    unknown = "" if value is None else OPEN
    low, high = interval or (None, None)
    return {
        "property": name,
        "method": method,
        "published": published,
        "ours": unknown if holds is None else mark(holds),
        "number": value,
        "low": low,
        "high": high,
        "meaning": meaning,
    }


def speed(
    timing: xr.Dataset, methods: Mapping[str, str], published: Mapping[str, str], limit: float
) -> list[Row]:
    """✓ where a predicted state costs less than `limit` seconds of CPU time.

    The mark is `undecided` where the 95 % interval of the time holds the limit.

    Args:
        timing: cpu_seconds_per_state (method, repetition).
        methods: {column of the table: method that stands for it}.
        published: {column: mark}.
    """
    times = {
        c: Median()(timing.cpu_seconds_per_state.sel({"method": m})) for c, m in methods.items()
    }
    return [
        property_row(
            "predictive speed",
            column,
            holds=None if found.low <= limit <= found.high else found.value < limit,
            value=1e3 * found.value,
            interval=(1e3 * found.low, 1e3 * found.high),
            meaning=f"CPU milliseconds for a state, median [95 % interval], {YES} below "
            f"{1e3 * limit:g}, {OPEN} where the interval holds this limit",
            published=published[column],
        )
        for column, found in times.items()
    ]


def generalisation(
    ratios: Mapping[str, float | None], published: Mapping[str, str], tolerance: float
) -> list[Row]:
    """✓ for a method that needs no equations and does as well on new data as in training.

    Args:
        ratios: {column: score on new data over score in training}; None where a method is given
            the equations, so that it has no training.
    """
    return [
        property_row(
            "generalisation",
            column,
            holds=ratio is not None and abs(ratio - 1) <= tolerance,
            value=ratio,
            meaning=f"{NO} without number: is given the equations"
            if ratio is None
            else f"number: error on new data over error on training data, {YES} within "
            f"{tolerance:.0%} of 1",
            published=published[column],
        )
        for column, ratio in ratios.items()
    ]


def physics_informed(
    needs_equations: Mapping[str, bool], published: Mapping[str, str]
) -> list[Row]:
    """✓ for a method that is given the equations."""
    return [
        property_row(
            "physics informed",
            column,
            holds=needs,
            value=None,
            meaning=f"{YES} is given the equations" if needs else f"{NO} learns from data alone",
            published=published[column],
        )
        for column, needs in needs_equations.items()
    ]


def ideal(rows: Sequence[Row], published: str) -> list[Row]:
    """One more row for each property: the mark that the ideal method has in the paper."""
    return [
        property_row(name, "ideal", holds=None, value=None, meaning="", published=published)
        for name in dict.fromkeys(row["property"] for row in rows)
    ]


def ratio(score: xr.DataArray, reference: xr.DataArray) -> float:
    """Ratio of medians."""
    return float(score.median(skipna=False) / reference.median(skipna=False))


def wide(rows: Sequence[Row]) -> list[Row]:
    """One row for each property and one column for each method: `ours, number (published mark)`."""
    properties = dict.fromkeys(row["property"] for row in rows)
    return [
        {"property": name} | {r["method"]: _cell(r) for r in rows if r["property"] == name}
        for name in properties
    ]


def _cell(row: Row) -> str:
    number = text(row["number"])
    if row["low"] is not None and not math.isnan(row["low"]):
        number += f" [{row['low']:.3g}, {row['high']:.3g}]"
    return " ".join(filter(None, [row["ours"], number, f"(paper: {row['published']})"]))


def page(rows: Sequence[Row], closing: str = "") -> str:
    """The wide table, and below it what its numbers mean and where more is to be found."""
    return markdown(wide(rows)) + notes(rows) + (f"\n{closing}\n" if closing else "")


def notes(rows: Sequence[Row]) -> str:
    """What the numbers of `wide` mean, a line for each property."""
    meanings: dict[str, list[str]] = {}
    for row in rows:
        known = meanings.setdefault(row["property"], [])
        if row["meaning"] and row["meaning"] not in known:
            known.append(row["meaning"])
    return "".join(f"\n{name}: {'; '.join(texts)}.\n" for name, texts in meanings.items())


def tables(given: Any, config: Mapping) -> dict[str, list[str]]:
    """Table 1 with the numbers behind its marks, CPU times apart; and the RMSE of all filters."""
    methods = {"Kalman filter": "ekf", "DKF": "dkf", "diffusion": "langevin"}
    model = by_method(io.read(given.clean)).sel({"method": "dkf"})
    samples = by_method(io.read(given.samples)).sel({"method": "langevin"})
    samples = samples.sel(method_noise_std=0.0)
    ratios = {
        "Kalman filter": None,
        "DKF": ratio(model.valid_prediction_rmse, model.train_prediction_rmse),
        "diffusion": ratio(samples.w1, samples.w1_training),
    }
    properties = [
        *generalisation(
            ratios,
            published={"Kalman filter": NO, "DKF": YES, "diffusion": YES},
            tolerance=0.2,
        ),
        *physics_informed(
            {"Kalman filter": True, "DKF": False, "diffusion": False},
            published={"Kalman filter": YES, "DKF": NO, "diffusion": NO},
        ),
    ]
    times = speed(
        io.read(given.timing),
        methods,
        published={"Kalman filter": YES, "DKF": YES, "diffusion": NO},
        limit=1e-3,
    )
    properties = [*properties, *ideal(properties, published=YES)]
    times = [*times, *ideal(times, published=YES)]
    errors = filters(io.read_scores(given.analyses), config["plot"]["labels"])
    closing = "Predictive speed is a measured time: it stands in timing_table1."
    return {
        "table1": [page(properties, closing), csv(properties)],
        "filters": [markdown(errors), csv(errors)],
        "timing": [page(times), csv(times)],
    }
