"""Sections of this paper beside those of all papers; see dalib/experiments/sections.py."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dalib import limits
from dalib.experiments import sections


@dataclass(frozen=True, kw_only=True)
class Analyses:
    """Filters that run on a case, and how they are scored.

    Attributes:
        methods: filters by name, with settings that differ for this case.
        discard: samples at the beginning that are not scored.
    """

    methods: Mapping[str, Mapping[str, Any]]
    discard: int

    def __post_init__(self) -> None:
        limits.some(methods=self.methods)
        limits.at_least(0, discard=self.discard)


@dataclass(frozen=True, kw_only=True)
class Starts:
    """When forecasts start, in samples.

    Attributes:
        first: the first start.
        every: samples from one start to the next.
    """

    first: int
    every: int

    def __post_init__(self) -> None:
        limits.at_least(1, first=self.first, every=self.every)


@dataclass(frozen=True, kw_only=True)
class FreeRun:
    """A long run of each model by itself.

    Attributes:
        chains: independent runs.
        samples: length of a run.
        discard: samples at its beginning that are thrown away.
    """

    chains: int
    samples: int
    discard: int = None

    def __post_init__(self) -> None:
        limits.at_least(1, chains=self.chains, samples=self.samples)
        limits.at_least(0, discard=self.discard)


@dataclass(frozen=True, kw_only=True)
class Forecasts:
    """Forecasters that run on a case, and how they are scored.

    Attributes:
        methods: forecasters by name.
        starts: when forecasts start.
        context: observed samples before a start that a forecaster is given.
        horizon: samples to forecast.
        free_run: a long run of each model by itself.
        points: states in a Wasserstein distance.
    """

    methods: list[str]
    starts: Starts
    context: int
    horizon: int
    free_run: FreeRun
    points: int = None

    def __post_init__(self) -> None:
        limits.some(methods=self.methods)
        limits.at_least(1, context=self.context, horizon=self.horizon, points=self.points)


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Samplers of the states of a case, and how they are scored.

    Attributes:
        methods: samplers by name.
        count: states that each draws.
        far: distance to the nearest true state from which on a sample is off the attractor.
    """

    methods: list[str]
    count: int
    far: float

    def __post_init__(self) -> None:
        limits.some(methods=self.methods)
        limits.at_least(2, count=self.count)
        limits.more_than(0, far=self.far)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What the stage `time` measures.

    Attributes:
        filters: filters to time.
        samplers: samplers to time.
        models: models they need, and the case that each was trained on.
        seeds: trajectories that a filter runs on.
        samples: samples of each.
        count: states that a sampler draws.
        repetitions: measurements, after one to warm up.
    """

    filters: list[str]
    samplers: list[str]
    models: Mapping[str, str]
    seeds: int
    samples: int
    count: int
    repetitions: int

    def __post_init__(self) -> None:
        limits.at_least(1, seeds=self.seeds, samples=self.samples, count=self.count)
        limits.at_least(1, repetitions=self.repetitions)


@dataclass(frozen=True, kw_only=True)
class Case(sections.Case):
    """A case of this paper.

    Attributes:
        analyses: filters that run on it.
        forecasts: forecasters that run on it.
        samples: samplers of its states.
        timing: what the stage `time` measures.
    """

    analyses: Analyses = None
    forecasts: Forecasts = None
    samples: Samples = None
    timing: Timing = None


@dataclass(frozen=True, kw_only=True)
class Paper(sections.Paper):
    """The section of this paper."""

    cases: Mapping[str, Case]
