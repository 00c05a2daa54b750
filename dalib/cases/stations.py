"""Sparse stations in a real field: what filters in a latent space make of them, hour by hour.

Everything is learned from the weeks before. Of the last one only the stations are given to
`estimates`; the rest of it is known to `demonstration` alone, which scores them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from dalib import build, train
from dalib.era5 import stations, synthetic
from dalib.era5.prepare import trimmed
from dalib.era5.read import read
from dalib.filters.base import Analyses, Ensemble, assimilate
from dalib.filters.ensf import EnSF
from dalib.filters.latent import DirectDecode, LatentFilter
from dalib.filters.letkf import LETKF
from dalib.localise import Grid
from dalib.nets.scaling import per_variable
from dalib.nets.vae import CoupledVAE
from dalib.observe import EveryKth, Identity
from dalib.streams import Generator, Streams, integers, normal, stream

STAND_IN = {"lat": (58.0, 50.25), "lon": (-10.0, 1.75)}  # of the size of the real field
METHODS = {
    "persistence": "last field known",
    "last_day": "last day known",
    "climatology": "diurnal climatology",
    "interpolation": "optimal interpolation",
    "direct": "direct decode",
    "latent_letkf": "Latent-LETKF",
    "latent_ensf": "Latent-EnSF",
}


def scores(sections: Mapping, inputs: Mapping | None = None) -> xr.Dataset:
    """The demonstration of a case, for the stage that scores: settings in `product`."""
    return demonstration(sections["product"], sections["product"]["path"])


def demonstration(section: Mapping, file: str | Path | None) -> xr.Dataset:
    """Errors of all methods in K where no station is, over the test times.

    Args:
        section: `channel`, `every` k (a station at every k-th point both ways, from k // 2),
            `error_std` of the stations in the unit of the channel, spans `train` and `test` of
            dates, both included, `seed`; `network`, `mixed` and `training` of the codec;
            `members`, `ensf` and `letkf` of the filters; `shown`, the test time whose maps are
            kept.
        file: of hourly fields on a region, as `era5.read` takes it; None for the stand-in.

    Returns:
        rmse (method) and hourly_rmse (method, time) at points without station; spread (method) of
        the ensembles there, NaN without one; share (method), rmse over that of the climatology; and
        maps of one time: truth_shown, observed_shown (NaN off the stations) and mean_shown.
    """
    fields = _fields(section, file)
    known, truth = (fields.sel(time=slice(*map(str, section[n]))) for n in ("train", "test"))
    if not known.sizes["time"] or not truth.sizes["time"]:
        there = fields["time"].values[[0, -1]].astype("datetime64[h]")
        raise ValueError(
            f"train {section['train']} and test {section['test']} have to lie in the data, from "
            f"{there[0]} to {there[1]}"
        )
    if not truth["time"][0] > known["time"][-1]:
        raise ValueError(f"the test, {section['test']}, has to follow the training")
    grid = (truth.sizes["lat"], truth.sizes["lon"])
    places = stations.every(grid, section["every"])
    y = stations.observed(truth, places, section["error_std"], section["seed"])
    found = estimates(section, known, y)
    return _scored(found, truth, y, places, section["shown"])


@dataclass(frozen=True)
class Estimate:
    """mean (time, place); std (time, place) of an ensemble, None without one."""

    mean: np.ndarray
    std: np.ndarray | None = None


def estimates(section: Mapping, known: xr.DataArray, y: xr.DataArray) -> dict[str, Estimate]:
    """What each of `METHODS` says of the field at the times of y.

    Args:
        section: as for `demonstration`.
        known: (time, lat, lon), the weeks before.
        y: (time, station), all that is given of the last one.
    """
    background = stations.Diurnal.fit(known)
    places, times = y["station"].values, y["time"]
    mean = background.at(times)
    made = {
        "persistence": stations.persistence(known, times),
        "last_day": stations.persistence(known, times, len(background.hours)),
        "climatology": mean,
        "interpolation": stations.interpolated(background, y, places, section["error_std"]),
    }
    found = {name: Estimate(values) for name, values in made.items()}

    anomalies = torch.from_numpy(background.anomalies)
    shape = (1, known.sizes["lat"], known.sizes["lon"])
    seen = torch.from_numpy(y.values - mean[:, places])
    codec = trained(section, anomalies, shape)
    for name, filter in _filters(section, codec, anomalies, shape).items():
        generator = stream("stations", section["seed"], name)
        prior = Ensemble(anomalies[-1].expand(section["members"], -1).clone())
        analyses: Analyses = assimilate(filter, prior, seen, generator)
        std = analyses.std.numpy() if name != "direct" else None
        found[name] = Estimate(analyses.mean.numpy() + mean, std)
    return found


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


def _filters(
    section: Mapping, codec: CoupledVAE, anomalies: Tensor, shape: tuple[int, int, int]
) -> dict[str, Any]:
    """By name; both latent filters see codes of stations as codes of states with errors."""
    observe, size = EveryKth(shape, section["every"]), codec.latent
    ensf, letkf = section["ensf"], section["letkf"]
    common = {"step": _same, "observe": Identity(size), "members": section["members"]}
    component = torch.arange(size)
    inner = {
        "latent_letkf": LETKF(
            **common,
            **build.without(letkf, "radius", "weight"),
            taper=Grid(codec.latent_map, letkf["radius"])(component, component, size),
        ),
        "latent_ensf": EnSF(
            **common,
            **build.without(ensf, "likelihood_std", "weight"),
            obs_std=ensf["likelihood_std"] / ensf["scale"],
        ),
    }
    latent = {
        name: LatentFilter(inner=one, codec=codec, observe=observe, weight=settings["weight"])
        for (name, one), settings in zip(inner.items(), (letkf, ensf), strict=True)
    }
    return {
        "direct": DirectDecode(codec=codec, observe=observe),
        **{name: Persisting.fit(filter, anomalies) for name, filter in latent.items()},
    }


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
            "time": truth["time"].values,
            "shown_time": truth["time"].values[shown],
            "x": ("x", truth["lat"].values, {"units": "degrees_north", "long_name": "latitude"}),
            "y": ("y", truth["lon"].values, {"units": "degrees_east", "long_name": "longitude"}),
        },
    )


def _rms(values: np.ndarray, axis: int | None = None):
    return np.sqrt(np.square(values).mean(axis))
