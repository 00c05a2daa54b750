"""Rows on filters of gridded states and of Lorenz-96 of many sizes: errors and CPU times."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from dalib import io
from dalib.tables import Row, csv, markdown
from papers.lensf.view import read, views

LABELS = {
    "free": "free run",
    "ensf": "EnSF",
    "ensf_ring": "EnSF",
    "ensf_interpolated": "EnSF, interpolated",
    "letkf": "LETKF",
    "letkf_ring": "LETKF",
    "direct": "observation-only decoding",
    "latent_enkf": "Latent-EnKF",
    "latent_letkf": "Latent-LETKF",
    "latent_ensf": "Latent-EnSF",
    "pca_direct": "observation-only decoding, PCA",
    "pca_latent_ensf": "Latent-EnSF, PCA",
}
NTH = {"first": "1", "fifth": "5", "last": "last"}
SPREAD = (" low", " high")  # columns with the range beside the median
LAST = 10  # analyses of a ring whose mean is given
ON_METHODS = (
    "Relative RMSE of the analysis mean in normalised variables at the first, fifth and last time "
    "and in the mean over the late times, in the mean also in physical units; spread and CRPS in "
    "standard deviations, and the coverage of the central 95 % interval of the members (of few: "
    "their range) beside that of a calibrated ensemble, in the mean over the late times: median "
    "[range] over seeds. Sparsity: grid points for each one observed. N: members. An empty cell "
    "has no number; a run that diverged counts as the worst."
)
ON_MITIGATIONS = (
    "Relative RMSE of the analysis mean in normalised variables, mean over the late times: on "
    "validation trajectories, where the one marked is the best, and on those of the test, there "
    "also at the last time: median [range] over trajectories."
)
ON_TIMING = (
    "CPU time of one analysis of the whole ensemble, median over repetitions, measured on "
    "the machine that made this page; with and without the codec's encoding and decoding, and "
    "either over that of Latent-EnSF."
)
ON_RING = (
    "RMSE of the analysis mean and spread in units of the state, coverage of the central 95 % "
    "interval of the members (of few: their range) beside that of a calibrated ensemble: median "
    "[range] over seeds; the last: mean over the last ten analyses, which of a "
    "run of ten are all of them. Published values stand where the case is that of the publication."
)


# -- methods ---------------------------------------------------------------------------------------


def methods(scores: xr.Dataset, discard: int) -> list[Row]:
    """A row for each run: what it is, and medians of its scores with their ranges over seeds.

    Args:
        discard: analyses at the beginning that means leave out.
    """
    return [_method(scores.sel(run=run), discard) for run in scores.run.values]


def _method(run: xr.Dataset, discard: int) -> Row:
    names = run.nth.values.astype(str).tolist()
    late = run.isel(time=slice(discard, None))
    nth = {word: run.at_analysis.isel(nth=names.index(n)) for word, n in NTH.items() if n in names}
    values = {
        "first": nth.get("first"),
        "fifth": nth.get("fifth"),
        "mean": run.mean_relative_rmse,
        "last": nth.get("last"),
        "mean, physical units": late.relative_rmse_physical.mean("time", skipna=False),
        "spread": late.spread.mean("time", skipna=False),
        "CRPS": late.crps.mean("time", skipna=False),
        "coverage": late.coverage.mean("time", skipna=False),
    }
    return {
        "run": str(run.run.values),
        "sparsity": f"{int(run.every) ** 2}×",
        "noise": f"{100 * float(run.noise):g} %",
        "N": int(run.members),
        **{k: v for name, found in values.items() for k, v in ranged(name, found).items()},
        "coverage, calibrated": float(f"{float(run.calibrated_coverage):.3g}"),
    }


def ranged(name: str, values: xr.DataArray | None) -> Row:
    """Median over seeds and range under three names; a value that is not finite is the worst."""
    found = np.sort(np.asarray([np.nan] if values is None else values.values, float))
    if np.isnan(found).all():
        return {name: np.nan} | {name + end: np.nan for end in SPREAD}
    found = np.where(np.isnan(found), np.inf, found)
    numbers = float(np.median(found)), float(found.min()), float(found.max())
    median, low, high = (n if np.isfinite(n) else np.nan for n in numbers)
    return {name: median, name + SPREAD[0]: low, name + SPREAD[1]: high}


def mitigations(scores: xr.Dataset, validation: xr.Dataset) -> list[Row]:
    """A row for each run that validation trajectories have too: errors there and on the test."""
    names = scores.nth.values.astype(str).tolist()
    rows = []
    for run in map(str, validation.run.values):
        if run not in scores.run.values:
            continue
        test = scores.sel(run=run)
        values = {
            "validation": validation.mean_relative_rmse.sel(run=run),
            "test": test.mean_relative_rmse,
            "test, last": test.at_analysis.isel(nth=names.index("last")),
        }
        row: Row = {"run": run, "chosen": ""}
        rows.append(row | {k: v for n, one in values.items() for k, v in ranged(n, one).items()})
    finite = [row for row in rows if np.isfinite(row["validation"])]
    if finite:
        min(finite, key=lambda row: row["validation"])["chosen"] = "×"
    return rows


# -- time ------------------------------------------------------------------------------------------


def timing(times: xr.Dataset, reference: str = "latent_ensf") -> list[Row]:
    """A row for each method: milliseconds of an analysis, and ratios to those of the reference.

    Args:
        times: cpu_seconds (method, part, repetition) of parts analysis and codec, the latter
            0 or missing where a method has none.
    """
    median = times.cpu_seconds.median("repetition")
    alone = median.sel(part="analysis")
    whole = alone + median.sel(part="codec").fillna(0.0)
    rows = []
    for method in times["method"].values:
        row: Row = {"method": LABELS.get(str(method), str(method))}
        for name, values in (("analysis", alone), ("with encoding and decoding", whole)):
            own = values.sel({"method": method})
            there = reference in times["method"].values
            base = values.sel({"method": reference}) if there else np.nan
            row[f"{name} (ms)"] = float(f"{1e3 * float(own):.3g}")
            row[f"{name}, ratio"] = float(f"{float(own / base):.3g}")
        rows.append(row)
    return rows


# -- rings -----------------------------------------------------------------------------------------


def rings(scores: Mapping[str, xr.Dataset], about: Mapping[str, Mapping]) -> list[Row]:
    """A row for each run of each case, by the size of the ring.

    Args:
        scores: {case/fields: scores}, with `size`, the components of the state.
        about: of a case, where there is something to say of it: `kind`, and `published`, {method:
            {last, whole: RMSE, size: components}}.
    """
    ordered = sorted(scores.items(), key=lambda item: int(item[1]["size"]))
    return [
        _ring(one.sel(run=run), about.get(name.partition("/")[0], {}))
        for name, one in ordered
        for run in one.run.values
    ]


def _ring(run: xr.Dataset, about: Mapping) -> Row:
    method, late = str(run["method"].values), run.isel(time=slice(-LAST, None))
    said = about.get("published", {}).get(method, {})
    values = {
        "RMSE, whole run": run.rmse,
        "RMSE, last": late.rmse,
        "spread, last": late.spread,
        "coverage, last": late.coverage,
    }
    row: Row = {
        "d": int(run["size"]),
        "truth": about.get("note", ""),
        "run": str(run.run.values),
        "analyses": int(run.rmse.notnull().any("seed").sum()),
    }
    for name, found in values.items():
        row |= ranged(name, found.mean("time", skipna=False))
    row["coverage, calibrated"] = float(f"{float(run.calibrated_coverage):.3g}")
    return row | {
        "published, whole run": said.get("whole", np.nan),
        "published, last": said.get("last", np.nan),
        "published, d": said.get("size", np.nan),
    }


# -- pages -----------------------------------------------------------------------------------------


def page(rows: Sequence[Row], closing: str) -> str:
    """The table with each range behind its median, and a sentence below it."""
    return markdown([brief(row) for row in rows]) + f"\n{closing}\n"


def brief(row: Row) -> Row:
    """The row with `median [low–high]` in the place of three columns."""
    found = {}
    for name, value in row.items():
        if name + SPREAD[0] in row:
            found[name] = together(value, *(row[name + end] for end in SPREAD))
        elif not name.endswith(SPREAD):
            found[name] = value
    return found


def together(median: float, low: float, high: float) -> str:
    """Three digits each; the range is left out where it is nothing, ∞ is a run that was lost."""
    if np.isnan(low):
        return ""
    shown = ["∞" if np.isnan(number) else f"{number:.3g}" for number in (median, low, high)]
    return shown[0] if shown[1] == shown[2] else f"{shown[0]} [{shown[1]}–{shown[2]}]"


def tables(given: Any, config: Mapping) -> dict[str, list[str]]:
    """Errors of all runs, times of an analysis as in Table 1, and Lorenz-96 of many sizes."""
    basin = read(*given.basin)
    errors = methods(basin, config["basin"]["discard"])
    changes = mitigations(basin, read(*given.validation or given.basin[:1]))
    times = timing(io.read(given.timing))
    sizes = rings(views(given.rings), config["rings"])
    return {
        "methods": [page(errors, ON_METHODS), csv(errors)],
        "remedies": [page(changes, ON_MITIGATIONS), csv(changes)],
        "timing": [page(times, ON_TIMING), csv(times)],
        "ring": [page(sizes, ON_RING), csv(sizes)],
    }
