"""Scores of studies as figures and tables take them: runs with short names, maps, codecs.

`run` are labels for readers: the method, and what differs from the base. Beside it stand `every`,
`noise`, `interval`, `start` and `errors`, under which a method ran, the numbers of NUMBERS, the
codec's name `model` and its number of latents, and `altered`, the settings in which the run differs
from the method's base. base_<name> is the base of the study.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from dalib import arrays, io
from dalib.filters.ensf import likelihood_score
from dalib.observe import EveryKth
from dalib.scores import at_times

CONDITIONS = {  # {short name: coordinate of a study, and its name among what is given}
    "every": ("observations_stride", "stride"),
    "noise": ("observations_obs_std_relative", "obs_std_relative"),
    "error": ("observations_obs_std", "obs_std"),
    "start": ("prior_start", "start"),
    "interval": ("observations_interval", "interval"),
}
NUMBERS = ("scale", "eps_beta", "obs_std", "inflation", "weight", "radius")
VARIED = "settings"  # the axis whose labels are settings laid over those of a method
PER_CODEC = ("updates", "state_error", "observation_error", "mismatch", "code_state", "code_obs")


def read(*paths: Any) -> xr.Dataset:
    """The scores of one study, or of several beside each other, named from the first one's base.

    Runs of later studies come last; of their scores those count that the first has too.
    """
    files = [_numbered(io.read(path)) for path in paths]
    base = base_of(files[0])
    first, *others = [view(file, base) for file in files]
    if not others:
        return first
    bases = {n: v for n, v in first.coords.items() if str(n).startswith("base_")}
    alone = [n for n in first if "run" not in first[n].dims]
    names = list(dict.fromkeys(n for part in (first, *others) for n in _along_runs(part)))
    parts = []
    for part in (first, *others):
        kept = part[[n for n in part if n in first and n not in alone]]
        kept = kept.drop_vars([n for n in kept.coords if str(n).startswith("base_")])
        parts.append(kept.assign_coords({n: _values(part, n, bases) for n in names}))
    whole = xr.concat(
        parts, "run", join="outer", data_vars="all", coords="minimal", compat="override"
    )
    return whole.assign_coords(bases).merge(first[alone])


def _along_runs(one: xr.Dataset) -> list[str]:
    return [str(n) for n, c in one.coords.items() if c.dims == ("run",) and n != "run"]


def _values(part: xr.Dataset, name: str, bases: Mapping[str, Any]) -> xr.Variable:
    """Values of a coordinate along runs; those of the base in a study that has no such axis."""
    if name in part.coords:
        return part[name].variable
    otherwise = bases[f"base_{name}"].item() if f"base_{name}" in bases else np.nan
    return _variable(name, [otherwise] * part.sizes["run"])


def _numbered(scores: xr.Dataset) -> xr.Dataset:
    """With numbers along dimensions of which studies may have more or less."""
    there = [d for d in ("candidate", "tried_seed") if d in scores.dims]
    return scores.assign_coords({d: np.arange(scores.sizes[d]) for d in there})


def base_of(scores: xr.Dataset) -> dict[str, Any]:
    """{coordinate: its value at the base} of a study."""
    there = np.flatnonzero(scores.is_base.values == 1)
    found: dict[str, Any] = {}
    for name in _axes(scores):
        values = [v for v in scores[name].values[there].tolist() if not _none(v)]
        found |= {name: values[0]} if values else {}
    return found


def views(paths: Sequence[Any]) -> dict[str, xr.Dataset]:
    """{study: view of its scores}."""
    return {name: view(one) for name, one in io.read_scores(paths).items()}


def view(scores: xr.Dataset, base: Mapping[str, Any] | None = None) -> xr.Dataset:
    """Scores of a study with labels and short names, see above.

    base: {coordinate: value} from which labels say what differs; that of the study by default.
    """
    base = base_of(scores) if base is None else base
    sections = [json.loads(text) for text in scores["section"].values]
    scores = scores.drop_vars("section")
    names = {n: scores[n] for n in scores.coords if scores[n].dims == ("run",)}
    found = scores.drop_vars([n for n in names if n not in ("method", "is_base", "replicate")])
    found = found.rename({d: "seed" for d in ("case",) if d in found.dims})
    columns = list(_rows(scores, sections, base))
    keys = dict.fromkeys(key for row in columns for key in row)
    coords = {key: _variable(key, [row.get(key) for row in columns]) for key in keys}
    if "run" in found.coords:
        found = found.drop_vars("run")
    found = found.assign_coords(coords)
    bases = {n: found[n].values[scores.is_base.values == 1] for n in CONDITIONS if n in coords}
    bases["errors"] = np.array(["given"])
    found = found.assign_coords(
        {f"base_{n}": _number(v[0], f"{n} of the base") for n, v in bases.items() if len(v)}
    )
    return _with_codecs(found.drop_vars(["is_base", "replicate"]), sections)


def _number(value: Any, long_name: str) -> xr.Variable:
    return xr.Variable((), value, {"units": "1", "long_name": long_name})


def _variable(name: str, values: list) -> xr.Variable:
    """A coordinate along runs; of fractions with a meaning."""
    column = _column(values)
    attrs = {"units": "1", "long_name": name.replace("_", " ")} if column.dtype.kind == "f" else {}
    return xr.Variable("run", column, attrs)


def _column(values: list) -> np.ndarray:
    """Numbers with NaN for none, or texts with "" for none."""
    if any(isinstance(v, str) for v in values):
        return np.array(["" if v is None else str(v) for v in values])
    if any(v is None or isinstance(v, float) for v in values):
        return np.array([np.nan if v is None else float(v) for v in values])
    return np.array(values)


def _rows(
    scores: xr.Dataset, sections: Sequence[Mapping], base: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Coordinates of each run."""
    methods, at_base = scores["method"].values, scores.is_base.values == 1
    first = {m: s for m, s, b in zip(methods, sections, at_base, strict=True) if b}
    for i, (method, section) in enumerate(zip(methods, sections, strict=True)):
        own = first.get(method, section)
        yield {
            "run": label(scores, i, base, section),
            **_conditions(scores, i, section),
            **_settings(section),
            "altered": " ".join(_altered(section, own)),
        }


def label(scores: xr.Dataset, i: int, base: Mapping[str, Any], section: Mapping) -> str:
    """`ensf every=1`: the method, and what differs from the base."""
    words, short = [str(scores["method"].values[i])], {n: s for s, (n, _) in CONDITIONS.items()}
    for name in _axes(scores):
        value = scores[name].values[i]
        if not _none(value) and value != base.get(name):
            said = short.get(name, name.removeprefix("method_").removeprefix("filter_"))
            value = section.get(said, value)  # a whole number, though others have none there
            words.append(str(value) if name in (VARIED, "method_codec") else f"{said}={value}")
    return " ".join(words)


def _axes(scores: xr.Dataset) -> list[str]:
    known = ("method", "replicate", "is_base", "section", "run")
    return [n for n in scores.coords if scores[n].dims == ("run",) and n not in known]


def _none(value: Any) -> bool:
    """Whether a method has no such setting."""
    return value == "" or (isinstance(value, float) and np.isnan(value))


def _conditions(scores: xr.Dataset, i: int, section: Mapping) -> dict[str, Any]:
    found = {"errors": section.get("errors", "given")}
    for short, (name, given) in CONDITIONS.items():
        if name in scores.coords:
            found[short] = scores[name].values[i].item()
        elif given in section["given"]:
            found[short] = section["given"][given]
    return found


def _settings(section: Mapping) -> dict[str, Any]:
    merged = {**section, **section.get("filter", {})}
    codec = section.get("codec", {})
    numbers = {
        n: float(v) if isinstance(v := merged.get(n), (int, float)) else None for n in NUMBERS
    }
    return {
        "model": _codec_name(codec),
        "latent": codec.get("latent", codec.get("components", 0)),
        "members": merged.get("members", 0),
        "prior": merged.get("prior", "paired") if merged["kind"] == "ensf" else "",
        **numbers,
    }


def _codec_name(codec: Mapping) -> str:
    return codec.get("name", "")


def _altered(section: Mapping, own: Mapping) -> list[str]:
    """Names of settings that differ from those of the base, `model` for the codec's."""
    tuned = {name.rpartition(".")[2] for name in section.get("tuned", ())}
    leaves, there = dict(_leaves(section)), dict(_leaves(own))
    unlike = [k for k in sorted(leaves.keys() | there.keys()) if leaves.get(k) != there.get(k)]
    names = [
        "model" if k[0] == "codec" else k[-1] for k in unlike if k[0] not in ("tuned", "given")
    ]
    return list(dict.fromkeys(n for n in names if n not in tuned and n != "errors"))


def _leaves(tree: Mapping, above: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key), value


# -- codecs ----------------------------------------------------------------------------------------


def _with_codecs(found: xr.Dataset, sections: Sequence[Mapping]) -> xr.Dataset:
    """What is of codecs along `codec`, each once."""
    of = {}
    for i, section in enumerate(sections):
        if "codec" in section:
            of.setdefault(_codec_name(section["codec"]), (i, section["codec"]))
    there = [n for n in PER_CODEC if n in found]
    if not of or not there:
        return found
    names, rows = list(of), [i for i, _ in of.values()]
    own = (
        found[there]
        .isel(run=rows)
        .drop_vars([n for n, c in found.coords.items() if "run" in c.dims])
    )
    own = own.rename(run="codec").assign_coords(codec=names)
    codecs = [codec for _, codec in of.values()]
    text = "noise of the observations that a codec learned from"
    own = own.assign_coords(
        codec_every=("codec", [c["stride"] for c in codecs]),
        codec_latent=("codec", [_settings({"kind": "", "codec": c})["latent"] for c in codecs]),
        codec_matched=(
            "codec",
            [int(c.get("matching", 0.1) > 0) for c in codecs],
        ),
        codec_linear=("codec", [int("components" in c) for c in codecs]),
        codec_noise=(
            "codec",
            [float(c["obs_std_relative"]) for c in codecs],
            {"units": "1", "long_name": text},
        ),
    )
    return found.drop_vars(there).merge(own)


# -- maps ------------------------------------------------------------------------------------------


def with_maps(
    scores: xr.Dataset,
    analyses: Sequence[Path],
    truth: xr.Dataset,
    observations: Sequence[xr.Dataset],
    shown: Mapping,
) -> xr.Dataset:
    """The scores with maps of the first trajectory, and all of one variable for an animation.

    truth_shown (shown_time, variable, x, y), mean_shown, observed_shown (shown_run, ...) of the
    runs of `shown`; film_truth, film (time, x, y); likelihood_score (variable, x, y).

    Args:
        scores: a view.
        analyses: files of the stage assimilate; of each only the runs wanted are read.
        observations: of the test part, with every setup that the study varies.
        shown: `times`, numbers of analyses; `runs`, their labels; `film` and `score`, of which run.
    """
    truth, layout = truth.isel(seed=0), observations[0]
    shape = arrays.shape_of(layout, truth.sizes["state"])
    wanted = [*shown["runs"], shown.get("film"), shown.get("score")]
    runs = {run: one for run, one in _analyses(scores, analyses) if run in wanted}
    labels = [run for run in shown["runs"] if run in runs]
    time = layout.time.isel(time=[n - 1 for n in shown["times"]])
    axes = ("shown_time", "variable", "x", "y")

    def maps(values: xr.DataArray) -> np.ndarray:
        return at_times(values, time).values.reshape(-1, *shape)

    seen = [_observed_by(scores.sel(run=run), observations) for run in labels]
    variables = {
        "truth_shown": (axes, maps(truth.x), "true field"),
        "mean_shown": (
            ("shown_run", *axes),
            np.stack([maps(runs[run]["mean"]) for run in labels]),
            "analysis mean",
        ),
        "observed_shown": (
            ("shown_run", *axes),
            np.stack([_sensors(one, shape, shown["times"]) for one in seen]),
            "observation, at the sensors",
        ),
    }
    if shown.get("film") in runs:
        film = runs[shown["film"]]["mean"]
        true = at_times(truth.x, film.time).values.reshape(-1, *shape)[:, -1]
        variables["film_truth"] = (("time", "x", "y"), true, "true field, last variable")
        made = film.values.reshape(-1, *shape)[:, -1]
        variables["film"] = (("time", "x", "y"), made, "analysis mean, last variable")
    if shown.get("score") in runs:
        given = _observed_by(scores.sel(run=shown["score"]), observations)
        values = _score(given, runs[shown["score"]], shape).reshape(shape)
        variables["likelihood_score"] = (axes[1:], values, "gradient of the log likelihood")
    found = {
        n: xr.Variable(dims, v, {"units": "1", "long_name": text})
        for n, (dims, v, text) in variables.items()
    }
    coords = {"shown_time": ("shown_time", time.values, time.attrs), "shown_run": labels}
    return scores.merge(xr.Dataset(found, coords)).assign_coords(_layout(layout))


def _analyses(scores: xr.Dataset, files: Sequence[Path]) -> Iterator[tuple[str, xr.Dataset]]:
    """(label, mean and forecast_mean of the first trajectory) of every run, as files have them."""
    labels = iter(scores.run.values.tolist())
    for path in files:
        file = io.read(path)
        for i in range(file.sizes["run"]):
            one = file[["mean", "forecast_mean"]].isel(run=i, case=0).reset_coords(drop=True)
            yield str(next(labels)), one


def _observed_by(run: xr.Dataset, observations: Sequence[xr.Dataset]) -> xr.Dataset:
    """The observations that a run was given."""
    for one in observations:
        relative = float((one.obs_std / one.obs_spread).max())
        alike = (int(one.stride), int(one.interval)) == (int(run.every), int(run.interval))
        if alike and abs(relative - float(run.noise)) < 1e-6:
            return one
    raise ValueError(f"no observations with the setup of {run.run.item()}")


def _sensors(observed: xr.Dataset, shape: tuple, times: Sequence[int]) -> np.ndarray:
    """(time, variable, x, y), NaN where nothing is observed."""
    whole = np.full((len(times), int(np.prod(shape))), np.nan, observed.y.dtype)
    index = EveryKth(shape, int(observed.stride)).selected(whole.shape[-1]).numpy()
    whole[:, index] = observed.y.isel(seed=0, time=[n - 1 for n in times]).values
    return whole.reshape(-1, *shape)


def _score(observed: xr.Dataset, run: xr.Dataset, shape: tuple) -> np.ndarray:
    """(state,), ∇ log p(y | x) of the first observation at the mean of the first forecast."""
    x = arrays.to_tensor(run["forecast_mean"].isel(time=0), None)
    operator = EveryKth(shape, int(observed.stride))
    y, std = (
        arrays.to_tensor(observed.y.isel(seed=0), x.dtype)[0],
        arrays.to_tensor(observed.obs_std),
    )
    if not std.min() > 0:
        raise ValueError(
            "shown: the run under `score` has observations without errors, which give no gradient; "
            "name one with noise"
        )
    return likelihood_score(operator, y, std.to(x), len(x))(x[None])[0].numpy()


def _layout(observations: xr.Dataset) -> dict[str, xr.Variable]:
    """That of the states, with x and y for the points."""
    names = dict(zip(arrays.GRID, ("x", "y"), strict=True))
    return {
        names.get(name, name): xr.Variable([names.get(d, d) for d in v.dims], v.values, v.attrs)
        for name, v in arrays.layout_of(observations).items()
    }
