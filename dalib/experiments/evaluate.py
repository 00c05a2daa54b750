"""The stage evaluate: one loop over runs and metrics, and one tidy file.

Every metric is a variable along `run`, which has the coordinates method, replicate, is_base and one
for each axis, dots of its name as underscores. What a metric says of the truth alone (`of_truth`)
stands beside them once, without `run`, for the base. `<metric>_floor` is what an independent true
trajectory scores in the place of a free run: the best that a perfect method could reach.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import xarray as xr

from dalib import arrays, build
from dalib.experiments import data, runs
from dalib.experiments.fit import fit_of
from dalib.experiments.spec import Analyses, Forecasts, over
from dalib.fingerprint import fingerprint
from dalib.fitted import from_dataset, to_dataset
from dalib.forecasters.base import OneStepMap
from dalib.metrics.base import Coded, Dynamics, Evaluation
from dalib.scores import at_times

FREE = frozenset({"free_run", "climate"})  # what a metric of free runs asks for
OF_FITS = frozenset({"parameters", "exponent", "history", "codec", "fitted", "coded"})
CHOSEN = "chosen"  # settings that validation has chosen, as JSON, and what was tried
TRIED = ("tried_", "on_edge")


@dataclass(frozen=True)
class Given:
    """What the runs of a study are compared with, by the numbers that their entries name.

    Args:
        truth, training: the test and the training part of the truth.
        reference: its validation part; none where no metric asks for it.
        observations: of the test part.
        fits: files of the stage fit.
        codecs: of methods that work in their latent space.
        timing: CPU times of methods; none where no metric asks for them.
    """

    truth: Sequence[xr.Dataset]
    training: Sequence[xr.Dataset]
    reference: Sequence[xr.Dataset] = ()
    observations: Sequence[xr.Dataset] = ()
    fits: Sequence[xr.Dataset] = ()
    codecs: Sequence[xr.Dataset] = ()
    timing: Sequence[xr.Dataset] = ()


def scores(
    task: str,
    sections: Mapping,
    metrics: Mapping[str, Mapping],
    entries: Sequence[Mapping],
    results: Sequence[xr.Dataset],
    given: Given,
    *,
    role: str = "forecaster",
    experiment: str = "",
) -> xr.Dataset:
    """The scores of every run.

    Args:
        sections: `case`; beside it method.<method> and shared.<method>, of their `role`, where
            metrics ask for what was fitted.
        metrics: `kind` and settings by the name of the scores; a metric that gives several scores
            names them itself.
        entries: the runs of all files in their order, with `data` and `observations`, the numbers
            of their truth and of what is observed of it.
        results: what the stage of the task has made.
        experiment: first name of the random streams that metrics draw from.
    """
    case = sections["case"]
    measures = {name: build.make("metric", one) for name, one in metrics.items()}
    asked = frozenset().union(*(metric.asks | takes(metric) for metric in measures.values()))
    known = _exponents(case, asked, entries, given.training)
    codecs = [from_dataset(one) for one in given.codecs]
    found: dict[str, list[xr.DataArray]] = {}
    scored: set[str] = set()
    shared = _Shared(given)
    once: dict[str, xr.DataArray] = {}
    for entry, one, exponent in zip(entries, _each(results), known, strict=True):
        evaluation = TASKS[task](one, runs.case_at(case, entry["values"]), entry, given)
        evaluation = replace(
            evaluation,
            lyapunov=exponent,
            period=_period(case),
            values=entry["values"],
            experiment=experiment,
        )
        if asked & OF_FITS and given.fits and "fit" in entry:
            evaluation = _with_fit(evaluation, asked, entry, given, role, sections)
        if asked & OF_FITS and "codec" in entry:
            codec = codecs[entry["codec"]]
            evaluation = replace(evaluation, codec=codec, history=history_dataset(codec.history))
        if asked & {"coded", "dynamics"}:
            own = runs.case_at(case, entry["values"])
            evaluation = shared.beside(evaluation, asked, entry["data"], own)
        if given.timing:
            evaluation = _with_times(evaluation, entry, given.timing[0])
        for name, metric in measures.items():
            if all(getattr(evaluation, ask) is not None for ask in metric.asks):
                scored.add(name)
                if not getattr(metric, "of_truth", False):
                    for key, values in _by_name(name, metric, metric(evaluation), one).items():
                        found.setdefault(key, []).append(values)
                elif entry["is_base"] and name not in once:
                    once[name] = _alone(metric(evaluation))
    unscored = [name for name in measures if name not in scored]
    if unscored:
        raise ValueError(
            f"no run has what {', '.join(unscored)} ask for; take them out of the study's metrics, "
            "or give the case's forecasts a climate"
        )
    values = {n: _put(own, len(entries)) for n, own in found.items()}
    if known[0] is not None:
        attrs = {"units": "1", "long_name": "largest Lyapunov exponent, per unit of model time"}
        values["lyapunov"] = xr.DataArray(known, dims="run", attrs=attrs)
    floors = _floors(measures, case, results[0], given) if task == "forecast" else {}
    made = xr.Dataset(
        {**values, **once, **floors, **_carried(results), **_sections(entries, results)}
    )
    return _described(made.assign_coords(runs.labels(entries)), results[0])


def _carried(results: Sequence[xr.Dataset]) -> dict[str, xr.DataArray]:
    """What was tried on validation trajectories, (run, ...); NaN of runs that are not tuned."""
    names = {str(name) for file in results for name in file if str(name).startswith(TRIED)}
    whole = [
        xr.Dataset(
            {n: file[n] for n in sorted(names) if n in file},
            {"run": np.arange(file.sizes["run"])},
        ).drop_vars(["run", *runs_of(file)], errors="ignore")
        for file in results
    ]
    numbered = [
        one.assign_coords({d: np.arange(n) for d, n in one.sizes.items() if d != "run"})
        for one in whole
    ]
    if not names:
        return {}
    counts = [file.sizes["run"] for file in results]
    found = {}
    for name in sorted(names):
        parts = [
            one[name] if name in one else xr.DataArray(np.full(count, np.nan), dims="run")
            for one, count in zip(numbered, counts, strict=True)
        ]
        joined = xr.concat(xr.align(*_alike(parts), join="outer", exclude="run"), "run")
        attrs = next(file[name].attrs for file in results if name in file)
        found[name] = (
            joined.drop_vars(list(joined.coords)).transpose("run", ...).assign_attrs(attrs)
        )
    return found


def _alike(parts: Sequence[xr.DataArray]) -> list[xr.DataArray]:
    """Arrays with the dimensions of all of them."""
    dims = {d: part[d] for part in parts for d in part.dims if d != "run"}
    return [
        part.expand_dims({d: c for d, c in dims.items() if d not in part.dims}) for part in parts
    ]


def runs_of(file: xr.Dataset) -> list[str]:
    """Coordinates along the runs of a file."""
    return [str(name) for name in file.coords if file[name].dims == ("run",)]


def _sections(entries: Sequence[Mapping], results: Sequence[xr.Dataset]) -> dict[str, xr.DataArray]:
    """section (run): the settings of every method as JSON, where results say what was chosen.

    `tuned` in it names those that were chosen, `given` is what is known of observations and prior.
    """
    if not all(CHOSEN in file for file in results):
        return {}
    chosen = [json.loads(text) for file in results for text in file[CHOSEN].values]
    texts = [
        json.dumps(
            {
                **runs.with_values(entry["section"], own),
                "tuned": sorted(own),
                "given": entry["given"],
            }
        )
        for entry, own in zip(entries, chosen, strict=True)
    ]
    attrs = {"units": "1", "long_name": "settings of the method"}
    return {"section": xr.DataArray(texts, dims="run", attrs=attrs)}


def takes(metric: Any) -> frozenset[str]:
    """Fields that a metric uses where they are given."""
    return getattr(metric, "takes", frozenset())


def _by_name(
    name: str, metric: Any, values: xr.DataArray | xr.Dataset, result: xr.Dataset
) -> dict[str, xr.DataArray]:
    """{name: scores (run, ...)} of what a metric gave for one run."""
    if isinstance(values, xr.DataArray):
        return {name: _named(metric, values, result)}
    of = values if "run" in values.dims else values.expand_dims("run")
    return {str(key): one for key, one in of.assign_coords(run=result.run.values).items()}


def _named(metric: Any, values: xr.DataArray, result: xr.Dataset) -> xr.DataArray:
    """Scores of a run along `case`, the starts, or `chain`, the free runs of a metric of these."""
    if "run" in result.coords and "run" in values.dims:
        values = values.assign_coords(run=result.run.values)
    free = metric.asks & FREE and "case" in values.dims and "chain" in result.dims
    return values.rename(case="chain") if free else values


def _alone(values: xr.DataArray) -> xr.DataArray:
    """Scores of the truth without the dimension of runs, and without what stands along it."""
    values = values.isel(run=0) if "run" in values.dims else values
    return values.drop_vars([name for name in values.coords if name not in values.dims])


def _each(results: Sequence[xr.Dataset]) -> Iterator[xr.Dataset]:
    """The runs of all files one by one; each keeps a dimension `run`."""
    place = 0
    for file in results:
        names = [name for name in file.coords if file[name].dims == ("run",)]
        for i in range(file.sizes["run"]):
            yield file.isel(run=[i]).drop_vars(names).assign_coords(run=[place])
            place += 1


def _put(values: Sequence[xr.DataArray], count: int) -> xr.DataArray:
    """Scores of single runs along all of them; NaN where a run has none."""
    whole = xr.concat(values, "run", join="outer", coords="minimal", compat="override")
    return whole.reindex(run=np.arange(count)).drop_vars("run").assign_attrs(values[0].attrs)


# -- what is compared, by task -------------------------------------------------------------------


def of_forecasts(result: xr.Dataset, case: Mapping, entry: Mapping, given: Given) -> Evaluation:
    """A forecast with what it is compared with."""
    truth, training = given.truth[entry["data"]], given.training[entry["data"]]
    found = compared(result, Forecasts(**case["forecast"]), truth, training)
    reference = given.reference[entry["data"]] if given.reference else None
    return replace(
        found,
        reference=None if reference is None else reference.x.rename(seed="case"),
        start=result.analysis if "analysis" in result else None,
        step=true_map(case),
        starts=_starts(truth, result),
    )


def _starts(truth: xr.Dataset, result: xr.Dataset) -> list[int]:
    """How many states of a trajectory come before each of its starts."""
    return list(dict.fromkeys(_after(truth, result.start).tolist()))


def compared(
    forecast: xr.Dataset,
    settings: Forecasts,
    truth: xr.Dataset,
    training: xr.Dataset,
    exponent: float | None = None,
) -> Evaluation:
    """Forecasts and free runs with the truth that follows their starts."""
    members = forecast.forecast
    free = "free_run" in forecast
    climate = _of_another(true_climate(truth, settings, forecast)) if free else None
    return Evaluation(
        estimate=members.mean("member", skipna=False).assign_attrs(members.attrs),
        members=members,
        spread=members.std("member", ddof=1) if members.sizes["member"] > 1 else None,
        truth=true_windows(truth, members),
        free_run=forecast.free_run.rename(chain="case").drop_vars("time") if free else None,
        climate=climate,
        training=training.x.rename(seed="case"),
        interval=float(training.time[1] - training.time[0]),
        lyapunov=exponent,
    )


def of_analyses(result: xr.Dataset, case: Mapping, entry: Mapping, given: Given) -> Evaluation:
    """Analyses at the times that count: from the first after `discard` to the last observed."""
    if "sampled" in result.dims:
        return of_gridded(result, case, entry, given)
    observed = given.observations[entry["observations"]]
    truth, training = given.truth[entry["data"]], given.training[entry["data"]]
    scored = scored_times(observed.y, Analyses(**case.get("assimilate", {})).discard)
    late = at_times(result, scored)
    x = at_times(truth.x.rename(seed="case"), scored)
    fields = {"spread": "std", "background": "forecast_mean", "background_spread": "forecast_std"}
    return Evaluation(
        estimate=late["mean"],
        members=late.get("members"),
        truth=x.sel(state=late.state),
        observations=at_times(observed.y.rename(seed="case"), scored),
        obs_std=observed.obs_std,
        training=training.x.rename(seed="case"),
        interval=float(training.time[1] - training.time[0]),
        step=true_map(case),
        **{field: late.get(name) for field, name in fields.items()},
    )


def of_gridded(result: xr.Dataset, case: Mapping, entry: Mapping, given: Given) -> Evaluation:
    """Analyses of gridded states at all times; `members` and `spread` as the stage keeps them."""
    truth, training = given.truth[entry["data"]], given.training[entry["data"]]
    observed, members = given.observations[entry["observations"]], result.get("members")
    if members is not None and members.isnull().all():  # of a method without, beside others
        members = None
    return Evaluation(
        estimate=result["mean"],
        background=result.forecast_mean,
        members=members,
        spread=result.spread,
        truth=at_times(truth.x.rename(seed="case"), result.time),
        observed=observed,
        discard=Analyses(**case["assimilate"]).discard,
        training=training.x.rename(seed="case"),
        interval=float(training.time[1] - training.time[0]),
    )


def of_samples(result: xr.Dataset, case: Mapping, entry: Mapping, given: Given) -> Evaluation:
    """Samples in the place of a free run, with true states of the test part."""
    truth, training = given.truth[entry["data"]], given.training[entry["data"]]
    reference = given.reference[entry["data"]] if given.reference else None
    return Evaluation(
        free_run=result.samples.rename(sample="time").expand_dims(case=[0], axis=1),
        climate=truth.x.rename(seed="case"),
        reference=None if reference is None else reference.x.rename(seed="case"),
        training=training.x.rename(seed="case"),
        interval=float(training.time[1] - training.time[0]),
        step=true_map(case),
    )


TASKS: dict[str, Callable[..., Evaluation]] = {
    "forecast": of_forecasts,
    "assimilate": of_analyses,
    "sample": of_samples,
}


def scored_times(y: xr.DataArray, discard: int) -> xr.DataArray:
    """(seed, time, obs) -> times from the first one after `discard` to the last observed one."""
    observed = y.notnull().any([d for d in y.dims if d != "time"])
    last = int(observed.values.nonzero()[0].max(initial=-1))
    if last < discard:
        raise ValueError(f"discard={discard} leaves none of {last + 1} observed times to score")
    return y.time.isel(time=slice(discard, last + 1))


def true_map(case: Mapping) -> Callable[[np.ndarray], np.ndarray] | None:
    """(..., state) -> (..., state), one sampling interval later; None without equations."""
    if "system" not in case:
        return None
    return lambda x: build.step(case)(torch.from_numpy(x)).numpy()


def _period(case: Mapping) -> float | None:
    """The period of the system of a case, where its class has one."""
    return getattr(build.system(case), "period", None) if "system" in case else None


def _described(scores: xr.Dataset, like: xr.Dataset) -> xr.Dataset:
    """The scores with units and meaning of their coordinates, as results have them."""
    for name in scores.coords:
        if "units" not in scores[name].attrs and name in like.coords:
            scores[name].attrs.update(like[name].attrs)
    return scores


def true_windows(truth: xr.Dataset, like: xr.DataArray) -> xr.DataArray:
    """(case, lead, state), what follows every start."""
    x, first = truth.x.transpose("seed", "time", "state").values, _after(truth, like.start)
    rows = np.searchsorted(truth.seed.values, like.trajectory.values)
    ahead = first[:, None] + np.arange(like.sizes["lead"])
    coords = {name: like[name] for name in ("case", "lead", "state")}
    return xr.DataArray(
        x[rows[:, None], ahead], coords, ("case", "lead", "state"), attrs=truth.x.attrs
    )


def true_climate(truth: xr.Dataset, settings: Forecasts, like: xr.Dataset) -> xr.DataArray:
    """(case, time, state), what follows the first start of every test trajectory."""
    first = int(_after(truth, like.start).min())
    x = truth.x.isel(time=slice(first + settings.discard, first + settings.climate))
    return x.rename(seed="case").drop_vars("time")


def _after(truth: xr.Dataset, start: xr.DataArray) -> np.ndarray:
    """Numbers of the times of the truth that come after those of `start`."""
    return np.abs(truth.time.values - start.values[:, None]).argmin(1) + 1


def _of_another(climate: xr.DataArray) -> xr.DataArray:
    """Of every test trajectory the next one, which is independent of forecasts from the first."""
    return climate.roll(case=-1, roll_coords=False)


def _floors(
    metrics: Mapping[str, Any], case: Mapping, result: xr.Dataset, given: Given
) -> dict[str, xr.DataArray]:
    """{metric_floor: scores of another true trajectory}, of metrics of free runs."""
    settings, truth, training = Forecasts(**case["forecast"]), given.truth[0], given.training[0]
    if not settings.climate or truth.sizes["seed"] < 2:
        return {}
    climate = true_climate(truth, settings, result)
    evaluation = Evaluation(
        free_run=climate.expand_dims(run=[0]),
        climate=_of_another(climate),
        training=training.x.rename(seed="case"),
        interval=float(training.time[1] - training.time[0]),
    )
    known = {"free_run", "climate", "training", "interval"}
    return {
        f"{name}_floor": _named(metric, metric(evaluation), result).isel(run=0, drop=True)
        for name, metric in metrics.items()
        if metric.asks & FREE and metric.asks <= known and not getattr(metric, "of_truth", False)
    }


# -- what is known of systems and methods --------------------------------------------------------


def _exponents(
    case: Mapping, asked: frozenset[str], entries: Sequence[Mapping], training: Sequence[xr.Dataset]
) -> list[float | None]:
    """The largest exponent of the system of every run, where a metric asks for it."""
    if "lyapunov" not in asked:
        return [None] * len(entries)
    found: dict[str, float] = {}
    keys = []
    for entry in entries:
        own = runs.case_at(case, entry["values"])
        keys.append(f"{own['system']} {own['integrator']}")
        if keys[-1] not in found:
            found[keys[-1]] = data.largest_exponent(own, training[entry["data"]].x)
    return [found[key] for key in keys]


def _with_fit(
    evaluation: Evaluation,
    asked: frozenset[str],
    entry: Mapping,
    given: Given,
    role: str,
    sections: Mapping,
) -> Evaluation:
    """What was fitted: how many numbers, what the fit reports, the exponent of its own map."""
    section = over(*(sections.get(f"{of}.{entry['method']}", {}) for of in ("shared", "method")))
    settings = runs.method_at(section, entry["values"])
    own = runs.case_at(sections["case"], entry["values"])
    fitted = fit_of(entry, given.fits, role, settings, own)
    history = getattr(fitted, "history", None)
    exponent = None
    if "exponent" in asked and isinstance(fitted, OneStepMap):
        exponent = _of_run(_own_exponent(fitted, given.training[entry["data"]]))
    return replace(
        evaluation,
        fitted=fitted,
        parameters=_of_run(_count(fitted)),
        history=history_dataset(history) if history else None,
        exponent=exponent,
    )


class _Shared:
    """The equations, and the truth through codecs: the same objects to all runs that share them."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.dynamics: dict[str, Dynamics] = {}
        self.coded: dict[str, Coded] = {}

    def beside(
        self, evaluation: Evaluation, asked: frozenset[str], data: int, case: Mapping
    ) -> Evaluation:
        """The evaluation with them."""
        codec = getattr(evaluation.fitted, "codec", None)
        coded = "coded" in asked and codec is not None
        return replace(
            evaluation,
            dynamics=self._dynamics(case) if "dynamics" in asked else None,
            coded=self._coded(codec, data) if coded else None,
        )

    def _dynamics(self, case: Mapping) -> Dynamics:
        key = f"{case['system']} {case['integrator']}"
        if key not in self.dynamics:
            self.dynamics[key] = Dynamics(
                build.system(case), build.step(case), build.tangent(case), build.interval(case)
            )
        return self.dynamics[key]

    def _coded(self, codec: Any, data: int) -> Coded:
        key = f"{fingerprint(codec)} {data}"
        if key not in self.coded:
            dims = ("seed", "time", "state")
            states, train = (
                part[data].x.transpose(*dims).values
                for part in (self.given.truth, self.given.training)
            )

            def encode(x: np.ndarray) -> np.ndarray:
                return codec.encode(torch.as_tensor(np.ascontiguousarray(x))).numpy()

            self.coded[key] = Coded(
                codec, encode, codec.centres.numpy(), states, encode(train), encode(states)
            )
        return self.coded[key]


def _of_run(value: float) -> xr.DataArray:
    return xr.DataArray([value], dims="run")


def _count(fitted: Any) -> int:
    """How many numbers were fitted; what a fit reports is none of them."""
    found = to_dataset(fitted)
    return sum(found[name].size for name in found if not str(name).startswith("history"))


def history_dataset(history: Mapping) -> xr.Dataset:
    """What a fit reports, (run = 1, check[, state]); `checks` becomes a coordinate."""
    dims = ("check", "state")
    attrs = {"units": "1", "long_name": "updates done"}
    variables = {
        name: (("run", *dims[: values.ndim]), values.numpy()[None])
        for name, values in history.items()
        if name != "checks"
    }
    return xr.Dataset(variables, {"check": ("check", history["checks"].numpy(), attrs)})


def _own_exponent(fitted: OneStepMap, training: xr.Dataset, context: int = 100) -> float:
    """The largest exponent of a method's own map, from states of the training part."""
    x = arrays.to_tensor(training.x)
    interval = float(training.time[1] - training.time[0])
    return data.exponent_of(
        lambda z: (fitted.step(z), torch.func.vmap(torch.func.jacrev(fitted.step))(z)),
        fitted.start(windows(x, min(context, x.shape[1]))),
        interval,
    )


def windows(x: torch.Tensor, length: int) -> torch.Tensor:
    """(case, time, state) -> some stretches (case, length, state), one after the other."""
    count = x.shape[1] // length
    parts = x[:, : count * length].reshape(-1, length, x.shape[-1])
    return parts[:: max(1, len(parts) // data.ORBITS)][: data.ORBITS]


def _with_times(evaluation: Evaluation, entry: Mapping, timing: xr.Dataset) -> Evaluation:
    """CPU time of one state of a method, where it was measured."""
    if entry["method"] not in timing["method"].values:
        return evaluation
    seconds = timing.cpu_seconds_per_state.sel({"method": entry["method"]}).median()
    return replace(evaluation, forecast_seconds=_of_run(float(seconds)))
