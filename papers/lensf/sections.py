"""Sections of this paper beside those of all papers; see dalib/experiments/sections.py."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from dalib import limits
from dalib.experiments import sections
from dalib.experiments.sections import Choice, Observations, Optimisation, Prior, Truth

Hours = Literal[1, 2, 3, 4, 6, 8, 12, 24]
Span = tuple[int | str, int | str]  # the first and the last year or date, both included


@dataclass(frozen=True, kw_only=True)
class Region:
    """A part of the globe.

    Attributes:
        lat: south and north in degrees.
        lon: west and east in degrees.
    """

    lat: tuple[float, float]
    lon: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """Travelling waves in place of a reanalysis.

    Attributes:
        grid: latitudes and longitudes.
        seed: of the waves.
    """

    grid: tuple[int, int]
    seed: int

    def __post_init__(self) -> None:
        limits.at_least(4, grid=self.grid)


@dataclass(frozen=True, kw_only=True)
class Reanalysis:
    """Where the truth is a reanalysis, in place of the trajectories of a system.

    Attributes:
        path: a NetCDF file, a folder of era5_YYYY.nc, a glob, or a Zarr store, also in a public
            bucket; null for a stand-in of travelling waves.
        channels: such as t2m, or z500 on 500 hPa, in the order of the state.
        step_hours: hours between two training fields; what the forecast model steps.
        analysis_hours: hours between two analyses, a multiple of the step.
        train: the first and the last year or date that is learned from, both included.
        valid: the same of what a training is checked with.
        test: the same of what methods are scored on.
        seeds: windows of the test span, from different dates.
        days: length of a window.
        crop: a region; null for all of the grid.
        multiple: what both sides of the grid are made multiples of, in points.
        stand_in: the stand-in, where there is no path.
        units: units of variables whose source states none or a wrong one.
    """

    path: str | None
    channels: list[str]
    step_hours: Hours
    analysis_hours: Hours
    train: Span
    valid: Span
    test: Span
    seeds: int
    days: int
    crop: Region | None
    multiple: int
    stand_in: StandIn
    units: Mapping[str, str] = None

    def __post_init__(self) -> None:
        limits.some(channels=self.channels)
        limits.at_least(1, seeds=self.seeds, days=self.days, multiple=self.multiple)


@dataclass(frozen=True, kw_only=True)
class StationNetwork:
    """The coupled autoencoder of the demonstration.

    Attributes:
        latent: latent variables.
        latent_map: rows and columns of their map.
        width: channels of the first layer.
    """

    latent: int
    latent_map: tuple[int, int]
    width: int

    def __post_init__(self) -> None:
        limits.at_least(1, latent=self.latent, latent_map=self.latent_map, width=self.width)


@dataclass(frozen=True, kw_only=True)
class OnCodes:
    """A filter on codes; errors of the score filter are in units of its diffusion.

    Attributes:
        weight: of the decoded analysis beside the forecast.
        scale: standard deviation of the diffusion in units of the codes.
        likelihood_std: error of the observations in units of the diffusion.
        steps: steps of pseudo-time.
        radius: of the taper in points of the map.
        obs_std: error of the codes of observations.
        inflation: factor on the spread of the forecast.
    """

    weight: float
    scale: float = None
    likelihood_std: float = None
    steps: int = None
    radius: float = None
    obs_std: float = None
    inflation: float = None

    def __post_init__(self) -> None:
        limits.at_least(0, weight=self.weight)
        limits.at_most(1, weight=self.weight)
        limits.more_than(0, scale=self.scale, likelihood_std=self.likelihood_std)
        limits.more_than(0, radius=self.radius, obs_std=self.obs_std, inflation=self.inflation)
        limits.at_least(1, steps=self.steps)


@dataclass(frozen=True, kw_only=True)
class ScoreFilterOnCodes(OnCodes):
    """The ensemble score filter on codes."""

    scale: float
    likelihood_std: float


@dataclass(frozen=True, kw_only=True)
class LETKFOnCodes(OnCodes):
    """The LETKF on codes."""

    radius: float
    obs_std: float


@dataclass(frozen=True, kw_only=True)
class Interpolation:
    """Optimal interpolation.

    Attributes:
        error_std: standard deviation of the errors of the stations, as it assumes.
    """

    error_std: float

    def __post_init__(self) -> None:
        limits.more_than(0, error_std=self.error_std)


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """Settings that the validation span chooses, each with a list of values; all combinations are
    tried.

    Attributes:
        latent_ensf, latent_letkf, interpolation: of the filter of this name.
    """

    latent_ensf: Mapping[str, list[float]] = None
    latent_letkf: Mapping[str, list[float]] = None
    interpolation: Mapping[str, list[float]] = None


@dataclass(frozen=True, kw_only=True)
class StationTraining(Optimisation):
    """How long and how fast the autoencoder is trained."""

    steps: int
    batch: int
    rate: float


@dataclass(frozen=True, kw_only=True)
class Stations:
    """Demonstration with sparse stations in hourly fields of one channel.

    Attributes:
        path: a NetCDF file of hourly fields; null for a stand-in.
        channel: which quantity.
        every: distance of the stations, in points along either side.
        error_std: standard deviation of their errors in the unit of the channel.
        train: the first and the last year or date that is learned from, both included.
        valid: the same of what settings are chosen by.
        test: the same of what filters are scored on.
        seed: of observation errors, first weights and filters.
        network: the coupled autoencoder.
        mixed: anomalies that are mixed in a training state.
        training: how long and how fast.
        members: members of both filters.
        ensf: the score filter on codes.
        letkf: the LETKF on codes.
        interpolation: optimal interpolation.
        tuned: settings that the validation span chooses.
        shown: the test time whose maps are kept, counted from 0.
    """

    path: str | None
    channel: str
    every: int
    error_std: float
    train: Span
    valid: Span
    test: Span
    seed: int
    network: StationNetwork
    mixed: int
    training: StationTraining
    members: int
    ensf: ScoreFilterOnCodes
    letkf: LETKFOnCodes
    interpolation: Interpolation
    tuned: Tuned
    shown: int

    def __post_init__(self) -> None:
        limits.at_least(2, every=self.every, members=self.members)
        limits.more_than(0, error_std=self.error_std)
        limits.at_least(1, mixed=self.mixed)
        limits.at_least(0, shown=self.shown)


@dataclass(frozen=True, kw_only=True)
class Case(sections.Case):
    """A case of this paper.

    Attributes:
        era5: where the truth is a reanalysis.
        stations: demonstration with sparse stations.
        dynamics: the model that forecasts, where it is a network and not a system.
    """

    system: Choice = None
    integrator: Choice = None
    truth: Truth = None
    observations: Observations = None
    prior: Prior = None
    era5: Reanalysis = None
    stations: Stations = None
    dynamics: Choice = None

    def __post_init__(self) -> None:
        if self.era5 is None and self.stations is None:
            lacking = [n for n in ("system", "integrator", "truth") if getattr(self, n) is None]
            if lacking:
                raise ValueError(f'"{lacking[0]}" is missing')


@dataclass(frozen=True, kw_only=True)
class Ring:
    """What figures and tables say of a case of Lorenz 1996, beside its size.

    Attributes:
        note: what is special about it.
        published: errors by filter, of the whole run and of its last analyses, and the components
            of its state.
    """

    note: str = None
    published: Mapping[str, Mapping[str, float]] = None


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Runs whose states a figure shows.

    Attributes:
        times: analyses, counted from 1.
        runs: names of runs, in their order; those that a scale has not are left out.
        film: the run of a film.
        score: the run whose score is shown.
    """

    times: list[int]
    runs: list[str]
    film: str = None
    score: str = None

    def __post_init__(self) -> None:
        limits.at_least(1, times=self.times)
        limits.some(times=self.times, runs=self.runs)


@dataclass(frozen=True, kw_only=True)
class Plot(sections.Plot):
    """What figures and tables show.

    Attributes:
        shown: on the basin.
        weather: in the reanalysis.
    """

    open: ClassVar[bool] = False

    shown: Shown
    weather: Shown


@dataclass(frozen=True, kw_only=True)
class Paper(sections.Paper):
    """The section of this paper.

    Attributes:
        rings: what figures and tables say of cases of Lorenz 1996.
    """

    cases: Mapping[str, Case]
    plot: Plot
    rings: Mapping[str, Ring] = None
