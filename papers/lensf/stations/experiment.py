"""Sparse stations in a real field: what filters in a latent space make of them, hour by hour.

Everything is learned from the weeks before: what methods learn from the first days, and their
settings from the days that follow. Of the last week only the stations are given to `estimates`; the
rest of it is known to `demonstration` alone, which scores them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from dalib import build, train
from dalib.era5 import synthetic
from dalib.era5.prepare import trimmed
from dalib.era5.read import read
from dalib.experiments import tuning
from dalib.filters import Ensemble, assimilate
from dalib.filters.ensf import EnSF
from dalib.filters.latent import DirectDecode, LatentFilter
from dalib.filters.letkf import LETKF
from dalib.localise import Grid, Localisation
from dalib.nets.scaling import per_variable
from dalib.nets.vae import CoupledVAE
from dalib.observe import EveryKth, Identity
from dalib.streams import Generator, Streams, integers, normal, stream
from papers.lensf.stations import baselines as stations

STAND_IN = {"lat": (58.0, 50.25), "lon": (-10.0, 1.75)}  # of the size of the real field
METHODS = {
    "persistence": "last field known",
    "last_day": "last day known",
    "climatology": "diurnal climatology",
    "interpolation": "optimal interpolation",
    "direct": "observation-only decoding",
    "latent_letkf": "Latent-LETKF",
    "latent_ensf": "Latent-EnSF",
}


def demonstration(section: Mapping, file: str | Path | None) -> xr.Dataset:
    """Errors of all methods in K where no station is, over the test times.

    Args:
        section: `channel`, `every` k (a station at every k-th point both ways, from k // 2),
            `error_std` of the stations in the unit of the channel, spans `train`, `valid` and
            `test` of dates, both included, `seed`; `network`, `mixed` and `training` of the codec;
            `members`, `ensf` and `letkf` of the filters; `tuned`, {method: {setting: values}}, of
            which those are taken that are best in `valid`; `shown`, the test time whose maps are
            kept.
        file: of hourly fields on a region, as `era5.read` takes it; None for the stand-in.

    Returns:
        rmse (method) and hourly_rmse (method, time) at points without station; spread (method) of
        the ensembles there, NaN without one; share (method), rmse over that of the climatology;
        settings (method), those that were chosen, on_edge (method), how many of them lie on the
        edge of what was tried, NaN where none is; and
        maps of one time: truth_shown, observed_shown (NaN off the stations) and mean_shown.
    """
    fields = _fields(section, file)
    known, valid, truth = (
        fields.sel(time=slice(*map(str, section[n]))) for n in ("train", "valid", "test")
    )
    if not min(part.sizes["time"] for part in (known, valid, truth)):
        there = fields["time"].values[[0, -1]].astype("datetime64[h]")
        raise ValueError(
            f"train {section['train']}, valid {section['valid']} and test {section['test']} have "
            f"to lie in the data, from {there[0]} to {there[1]}"
        )
    if not known["time"][-1] < valid["time"][0] <= valid["time"][-1] < truth["time"][0]:
        raise ValueError(
            f"the test, {section['test']}, has to follow the validation, and that the training"
        )
    grid = (truth.sizes["lat"], truth.sizes["lon"])
    places = stations.every(grid, section["every"])
    seen = [
        stations.observed(part, places, section["error_std"], section["seed"] + i)
        for i, part in enumerate((truth, valid))
    ]
    learned = Learned.of(section, known)
    chosen = tuned(section, learned, valid, seen[1])
    latest = xr.concat([known, valid], "time")
    found = estimates(chosen.section, learned, latest, seen[0])
    return _scored(found, truth, seen[0], places, section["shown"], chosen)


@dataclass(frozen=True)
class Learned:
    """What the first days say: the usual field of each hour, its anomalies, and their codec."""

    background: stations.Diurnal
    codec: CoupledVAE
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, section: Mapping, known: xr.DataArray) -> "Learned":
        background = stations.Diurnal.fit(known)
        shape = (1, known.sizes["lat"], known.sizes["lon"])
        return cls(
            background, trained(section, torch.from_numpy(background.anomalies), shape), shape
        )

    @property
    def anomalies(self) -> Tensor:
        """(time, place)."""
        return torch.from_numpy(self.background.anomalies)


@dataclass(frozen=True)
class Estimate:
    """mean (time, place); std (time, place) of an ensemble, None without one."""

    mean: np.ndarray
    std: np.ndarray | None = None


def estimates(
    section: Mapping, learned: Learned, known: xr.DataArray, y: xr.DataArray
) -> dict[str, Estimate]:
    """What each of `METHODS` says of the field at the times of y.

    Args:
        section: as for `demonstration`, with `ensf`, `letkf` and `interpolation` as they are used.
        known: (time, lat, lon), all that came before.
        y: (time, station), all that is given of the last week.
    """
    background, times = learned.background, y["time"]
    made = {
        "persistence": stations.persistence(known, times),
        "last_day": stations.persistence(known, times, len(background.hours)),
        "climatology": background.at(times),
    }
    return {name: Estimate(values) for name, values in made.items()} | {
        name: estimate(section, name, learned, y)
        for name in ("interpolation", "direct", "latent_letkf", "latent_ensf")
    }


def estimate(section: Mapping, name: str, learned: Learned, y: xr.DataArray) -> Estimate:
    """What one of the methods that see stations says at the times of y."""
    background, places = learned.background, y["station"].values
    if name == "interpolation":
        std = section["interpolation"]["error_std"]
        return Estimate(stations.interpolated(background, y, places, std))
    mean, anomalies = background.at(y["time"]), learned.anomalies
    filter = _filter(section, name, learned)
    prior = Ensemble(anomalies[-1].expand(section["members"], -1).clone())
    seen = torch.from_numpy(y.values - mean[:, places])
    analyses = assimilate(filter, prior, seen, stream("stations", section["seed"], name))
    std = analyses.std.numpy() if name != "direct" else None
    return Estimate(analyses.mean.numpy() + mean, std)


# --- settings ----------------------------------------------------------------------------------

SECTIONS = {"latent_ensf": "ensf", "latent_letkf": "letkf", "interpolation": "interpolation"}


class Chosen(NamedTuple):
    """The section with the settings that were best in `valid`.

    values: {method: {setting: value}}; on_edge: {method: settings on the edge of what was tried}.
    """

    section: Mapping
    values: Mapping[str, Mapping[str, float]]
    on_edge: Mapping[str, int]


def tuned(section: Mapping, learned: Learned, valid: xr.DataArray, y: xr.DataArray) -> Chosen:
    """Of all combinations under `tuned` those with the least error where no station is."""
    x = valid.values.reshape(len(valid), -1).astype(float)
    unseen = np.setdiff1d(np.arange(x.shape[1]), y["station"].values)
    values, edges, whole = {}, {}, dict(section)
    for name, given in section["tuned"].items():
        grid = {f"{SECTIONS[name]}.{key}": tried for key, tried in given.items()}

        def error_of(candidate: Mapping, name: str = name) -> np.ndarray:
            found = estimate(candidate, name, learned, y)
            return np.array([_rms(found.mean[:, unseen] - x[:, unseen])])

        best = tuning.tuned(whole, grid, error_of)
        whole, edges[name] = dict(best.settings), int(best.table.on_edge)
        values[name] = {key: whole[SECTIONS[name]][key] for key in given}
    return Chosen(whole, values, edges)


# --- the codec ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mixtures:
    """Batches of states x = Σ_i w_i a_i, the weights w uniform on the unit sphere.

    A few weeks of hourly fields are too much alike for a network with many weights. Mixtures of
    `count` of them have the covariance of the anomalies a, and there is no end of them.

    Args:
        states: (sample, size), anomalies, of mean 0.
        batch: states in a batch, for each repeat.
        count: of anomalies in a state; with 1 they are taken with either sign.
    """

    states: Tensor
    batch: int
    count: int

    def __call__(self, generator: Generator | None) -> Tensor:
        """(1, batch, size)."""
        shape = (1, self.batch, self.count)
        w = normal(shape, generator, self.states.dtype)
        w = w / w.norm(dim=-1, keepdim=True)
        chosen = self.states[integers(len(self.states), shape, generator)]
        return torch.einsum("rbk,rbks->rbs", w, chosen)


def trained(section: Mapping, anomalies: Tensor, shape: tuple[int, int, int]) -> CoupledVAE:
    """The coupled VAE of anomalies (time, place) and of stations that see them with errors."""
    settings = section["training"]
    generator = Streams((stream("stations", section["seed"], "codec"),))
    codec = CoupledVAE(
        per_variable(anomalies, 1),
        shape,
        section["every"],
        **section["network"],
        observe=EveryKth(shape, section["every"]),
        obs_std=section["error_std"],
        generator=generator,
    )
    draw = Mixtures(anomalies, settings["batch"], section["mixed"])
    train.fit(codec, draw, build.training(settings), generator=generator)
    return codec


# --- the filters -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Persisting:
    """A filter of anomalies whose forecast is persistence, with errors that have been seen before.

        a <- ρ a + e,        e one of the training data's a(t + 1) - ρ a(t), for each member its own

    Attributes:
        filter: with an `Ensemble` as its belief.
        memory: ρ, the correlation of anomalies an hour apart.
        errors: (sample, state).
    """

    filter: LatentFilter
    memory: float
    errors: Tensor

    @classmethod
    def fit(cls, filter: LatentFilter, anomalies: Tensor) -> "Persisting":
        """ρ = Σ a(t + 1) a(t) / Σ a(t)², of training anomalies (time, state)."""
        now, later = anomalies[:-1], anomalies[1:]
        memory = float((later * now).sum() / now.square().sum())
        return cls(filter, memory, later - memory * now)

    @property
    def observe(self) -> Callable[[Tensor], Tensor]:
        return self.filter.observe

    def start(self, prior: Ensemble, generator: Generator) -> Ensemble:
        return self.filter.start(prior, generator)

    def forecast(self, belief: Ensemble, generator: Generator) -> Ensemble:
        E = belief.members
        drawn = integers(len(self.errors), tuple(E.shape[:-1]), generator)
        return Ensemble(self.memory * E + self.errors[drawn])

    def analyse(self, belief: Ensemble, y: Tensor, generator: Generator) -> Ensemble:
        return self.filter.analyse(belief, y, generator)


def _filter(section: Mapping, name: str, learned: Learned) -> Any:
    """By name; both latent filters see codes of stations as codes of states with errors."""
    codec, size = learned.codec, learned.codec.latent
    observe = EveryKth(learned.shape, section["every"])
    if name == "direct":
        return DirectDecode(codec=codec, observe=observe)
    settings = section[SECTIONS[name]]
    common = {"step": _same, "observe": Identity(size), "members": section["members"]}
    if name == "latent_letkf":
        inner = LETKF(
            **common,
            **build.without(settings, "radius", "weight"),
            localisation=Localisation(
                matrix=Grid(codec.latent_map, settings["radius"]).on(size).taper()
            ),
        )
    else:
        inner = EnSF(
            **common,
            **build.without(settings, "likelihood_std", "weight"),
            obs_std=settings["likelihood_std"] / settings["scale"],
        )
    latent = LatentFilter(inner=inner, codec=codec, observe=observe, weight=settings["weight"])
    return Persisting.fit(latent, learned.anomalies)


def _same(x: Tensor) -> Tensor:
    return x


# --- fields and scores -------------------------------------------------------------------------


def _fields(section: Mapping, file: str | Path | None) -> xr.DataArray:
    """(time, lat, lon), hourly, of a grid that the sensors divide."""
    if file is not None:
        fields = read(file, [section["channel"]], hours=1)
        return trimmed(fields, section["every"]).isel(channel=0)
    if section["channel"] != "t2m":
        raise ValueError(f"the stand-in has no hourly {section['channel']!r}, only 't2m'")
    first, last = (np.datetime64(day) for day in (section["train"][0], section["test"][1]))
    times = np.arange(first, last + 1, np.timedelta64(1, "h"), dtype="datetime64[ns]")
    lat, lon = (np.linspace(*STAND_IN[n], size) for n, size in (("lat", 32), ("lon", 48)))
    return synthetic.t2m(times, lat, lon, section["seed"])


def _scored(
    found: Mapping[str, Estimate],
    truth: xr.DataArray,
    y: xr.DataArray,
    places: np.ndarray,
    shown: int,
    chosen: Chosen,
) -> xr.Dataset:
    grid = (truth.sizes["lat"], truth.sizes["lon"])
    x = truth.values.reshape(len(truth), -1).astype(float)
    unseen = np.setdiff1d(np.arange(x.shape[1]), places)
    hourly = np.stack([_rms(e.mean[:, unseen] - x[:, unseen], 1) for e in found.values()])
    rmse = _rms(hourly, 1)
    spread = [math.nan if e.std is None else _rms(e.std[:, unseen]) for e in found.values()]
    observed = np.full(x.shape[1], np.nan)
    observed[places] = y.values[shown]
    unit = truth.attrs.get("units", "K")
    edges = [float(chosen.on_edge.get(name, np.nan)) for name in found]
    said = [
        ", ".join(f"{k} {v:g}" for k, v in chosen.values.get(name, {}).items()) for name in found
    ]
    mean = np.stack([e.mean[shown] for e in found.values()]).reshape(-1, *grid)
    where = "at points without station"
    variables = {
        "rmse": (("method",), rmse, unit, f"RMSE {where}"),
        "hourly_rmse": (("method", "time"), hourly, unit, f"RMSE {where}"),
        "spread": (("method",), np.array(spread), unit, f"spread of the ensemble {where}"),
        "share": (
            ("method",),
            rmse / rmse[list(found).index("climatology")],
            "1",
            "RMSE over that of the climatology",
        ),
        "on_edge": (("method",), np.array(edges), "1", "chosen settings on the edge of the tried"),
        "truth_shown": (("x", "y"), x[shown].reshape(grid), unit, "true field"),
        "observed_shown": (("x", "y"), observed.reshape(grid), unit, "observed"),
        "mean_shown": (("method", "x", "y"), mean, unit, "estimate"),
    }
    return xr.Dataset(
        {
            name: (dims, values, {"units": units, "long_name": text})
            for name, (dims, values, units, text) in variables.items()
        },
        {
            "method": list(found),
            "label": ("method", [METHODS[name] for name in found]),
            "settings": ("method", said),
            "time": truth["time"].values,
            "shown_time": truth["time"].values[shown],
            "x": ("x", truth["lat"].values, {"units": "degrees_north", "long_name": "latitude"}),
            "y": ("y", truth["lon"].values, {"units": "degrees_east", "long_name": "longitude"}),
        },
    )


def _rms(values: np.ndarray, axis: int | None = None):
    return np.sqrt(np.square(values).mean(axis))
