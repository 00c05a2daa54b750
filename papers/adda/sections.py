"""Sections of this paper beside those of all papers; see dalib/experiments/sections.py."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dalib import limits
from dalib.experiments import sections
from dalib.experiments.sections import Choice


@dataclass(frozen=True, kw_only=True)
class Point:
    """Values of what can be varied.

    Attributes:
        start_variance: variance of the first models around the true one.
        obs_variance: variance of the observation errors.
        observed: share of the components that is observed.
        members: members of an ensemble.
        rank: columns of the factor of a fixed covariance.
        samples: observation times.
    """

    start_variance: float = None
    obs_variance: float = None
    observed: float = None
    members: int = None
    rank: int = None
    samples: int = None

    def __post_init__(self) -> None:
        limits.at_least(0, start_variance=self.start_variance)
        limits.more_than(0, obs_variance=self.obs_variance, observed=self.observed)
        limits.at_most(1, observed=self.observed)
        limits.at_least(2, members=self.members)
        limits.at_least(1, rank=self.rank, samples=self.samples)


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Operations and memory of a gradient update, counted.

    Attributes:
        segments: lengths of a segment, in samples, for which memory is counted at the base point.
    """

    segments: list[int]

    def __post_init__(self) -> None:
        limits.some(segments=self.segments)
        limits.at_least(1, segments=self.segments)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The repeat, and the point, that figures of trajectories show.

    Attributes:
        repeat: number of the repeat.
        point: where it differs from the base point.
    """

    repeat: int = None
    point: Point = None

    def __post_init__(self) -> None:
        limits.at_least(0, repeat=self.repeat)


@dataclass(frozen=True, kw_only=True)
class Learning:
    """Experiments with parameter learning on a case, and how they are scored.

    Attributes:
        methods: entries of the paper's `learning`; the first one is the case's own.
        measure: the measure of the learned dynamics that counts.
        states: states of the attractor on which forecasts are compared.
        last: epochs at the end over which the measure is averaged.
        spinup: samples at the beginning that late scores leave out.
        counted: operations and memory of a gradient update.
        interactions: species whose true interactions are shown.
        parts: components of the state that are scored by themselves.
        shown: the repeat, and the point, that figures of trajectories show.
    """

    methods: list[str]
    measure: str
    states: int
    last: int
    spinup: int
    counted: Counted = None
    interactions: int = None
    parts: Mapping[str, list[int]] = None
    shown: Shown = None

    def __post_init__(self) -> None:
        limits.some(methods=self.methods)
        limits.at_least(1, states=self.states, last=self.last)
        limits.at_least(0, spinup=self.spinup, parts=self.parts)
        limits.at_least(4, interactions=self.interactions)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What the stage `time` measures: experiments with parameter learning.

    Attributes:
        experiments: entries of the paper's `learning`; the first one is the case's own.
        updates: gradient updates in a measurement.
        repetitions: measurements, after one to warm up.
        cases: the case that an experiment runs on where it is another.
        fixed: by experiment, what its filters learn, and settings with which they are timed also
            without learning it.
    """

    experiments: list[str]
    updates: int
    repetitions: int
    cases: Mapping[str, str] = None
    fixed: Mapping[str, Mapping[str, Mapping[str, Any]]] = None

    def __post_init__(self) -> None:
        limits.some(experiments=self.experiments)
        limits.at_least(1, updates=self.updates, repetitions=self.repetitions)


@dataclass(frozen=True, kw_only=True)
class Learned:
    """Something of a filter that is learned.

    Attributes:
        start: its first value.
        fixed: of a background, the variance that is always added.
    """

    start: float
    fixed: float = None

    def __post_init__(self) -> None:
        limits.at_least(0, fixed=self.fixed)


@dataclass(frozen=True, kw_only=True)
class OfFilter:
    """What of a filter is learned beside the map.

    Attributes:
        noise: variances of the model noise.
        scale: inflation of a covariance by 1 + this.
        weight: weight of the ensemble in a hybrid covariance.
        inflation: factor on the anomalies.
        background: factor B of a fixed covariance; the start is on its diagonal.
        gain: the gain; the start is at the observed components.
        radius: half the support of the taper in sites.
    """

    noise: Learned = None
    scale: Learned = None
    weight: Learned = None
    inflation: Learned = None
    background: Learned = None
    gain: Learned = None
    radius: Learned = None


@dataclass(frozen=True, kw_only=True)
class FilterPrior:
    """Where a filter starts otherwise than the case says.

    Attributes:
        mean: for all trajectories.
        std: standard deviation.
        drawn: whether the mean itself is drawn, for filters of one state.
    """

    mean: float | list[float] = None
    std: float = None
    drawn: bool = None

    def __post_init__(self) -> None:
        limits.some(mean=self.mean)
        limits.more_than(0, std=self.std)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What is varied.

    Attributes:
        vary: values; all combinations where there are several names.
        base: where the rest differs from the base point.
        filters: filters that take part; all without it.
    """

    vary: Mapping[str, list[float]]
    base: Point = None
    filters: list[str] = None

    def __post_init__(self) -> None:
        limits.some(vary=self.vary, filters=self.filters)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Test runs with a learned number replaced by others.

    Attributes:
        filter: the filter.
        vary: values by the name of what is learned.
        base: the point.
        repeats: repeats that run.
    """

    filter: str
    vary: Mapping[str, list[float]]
    base: Point = None
    repeats: int = None

    def __post_init__(self) -> None:
        limits.some(vary=self.vary)
        limits.at_least(1, repeats=self.repeats)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Learning rates.

    Attributes:
        map: of the forecast map.
        noise: of the model noise.
        filter: of what belongs to the filter.
    """

    map: float = None
    noise: float = None
    filter: float = None

    def __post_init__(self) -> None:
        limits.at_least(0, map=self.map, noise=self.noise, filter=self.filter)


@dataclass(frozen=True, kw_only=True)
class FilterTraining:
    """Where the training of a filter differs.

    Attributes:
        repeats: independent repeats.
        trajectories: training trajectories in each.
        test_trajectories: test trajectories in each.
        epochs: passes through the observations.
        segment: observation times between updates.
        rates: learning rates of the map, the noise and the filter.
        clip: largest norm of the gradient of a group.
        schedule: how the rates fall.
        limit: forecast states are kept within plus and minus this.
        restart_beyond: standard deviations of an innovation beyond which a trajectory starts again.
    """

    repeats: int = None
    trajectories: int = None
    test_trajectories: int = None
    epochs: int = None
    segment: int = None
    rates: Rates = None
    clip: float = None
    schedule: Choice = None
    limit: float = None
    restart_beyond: float = None

    def __post_init__(self) -> None:
        limits.at_least(1, repeats=self.repeats, trajectories=self.trajectories)
        limits.at_least(1, test_trajectories=self.test_trajectories, epochs=self.epochs)
        limits.at_least(1, segment=self.segment)
        limits.more_than(0, clip=self.clip, limit=self.limit, restart_beyond=self.restart_beyond)


@dataclass(frozen=True, kw_only=True)
class Training(FilterTraining):
    """How long and how fast filters learn."""

    repeats: int
    trajectories: int
    test_trajectories: int
    epochs: int
    segment: int
    rates: Rates
    clip: float
    schedule: Choice


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Learning rates of each group; all their combinations are tried, at once.

    Attributes:
        map: of the forecast map.
        noise: of the model noise.
        filter: of what belongs to the filter.
    """

    map: list[float]
    noise: list[float]
    filter: list[float]

    def __post_init__(self) -> None:
        limits.some(map=self.map, noise=self.noise, filter=self.filter)
        limits.more_than(0, map=self.map, noise=self.noise, filter=self.filter)


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Choice of the learning rates by the loss on validation observations, in place of `rates`.

    Attributes:
        candidates: rates of each group.
        epochs: passes through the observations with each.
        last: epochs at the end over which the validation loss is averaged.
        per: the best of each repeat at each point, or one of a filter for all, chosen at its base
            point.
        repeats: repeats that choose together one of a filter for all; 1 without it.
    """

    candidates: Candidates
    epochs: int
    last: int
    per: Literal["repeat", "experiment"]
    repeats: int = None

    def __post_init__(self) -> None:
        limits.at_least(1, epochs=self.epochs, last=self.last, repeats=self.repeats)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Filters that learn from observations alone, each at several points, in several repeats.

    Attributes:
        map: the forecast map and what of it is learned.
        dtype: precision.
        filters: by name.
        learned: what of each filter is learned beside the map.
        losses: filters that learn by another loss than the likelihood.
        priors: filters that start otherwise than the case says.
        seen: which components a share means, by filter and `default`.
        base: the base point.
        base_of: where the base point of a filter differs.
        sweeps: what is varied, by name.
        grids: test runs with a learned number replaced by others, by name.
        training: how long and how fast.
        training_of: where the training of a filter differs.
        jobs: jobs over which the runs are spread.
        reference: the filter that is given the true equations.
        tune: choice of the learning rates; null for `rates`.
    """

    map: Choice
    dtype: Literal["float32", "float64"]
    filters: Mapping[str, Choice]
    learned: Mapping[str, OfFilter]
    losses: Mapping[str, Literal["likelihood", "misfit"]]
    priors: Mapping[str, FilterPrior]
    seen: Mapping[str, Literal["even", "random"]]
    base: Point
    base_of: Mapping[str, Point]
    sweeps: Mapping[str, Sweep]
    grids: Mapping[str, Grid]
    training: Training
    training_of: Mapping[str, FilterTraining]
    jobs: int
    reference: str = None
    tune: Tuning | None = None

    def __post_init__(self) -> None:
        limits.some(filters=self.filters, learned=self.learned)
        limits.at_least(1, jobs=self.jobs)
        if "default" not in self.seen:
            raise ValueError('"default" is missing in `seen`: which components a share means')


@dataclass(frozen=True, kw_only=True)
class Case(sections.Case):
    """A case of this paper.

    Attributes:
        learning: experiments with parameter learning.
        timing: what the stage `time` measures.
    """

    learning: Learning = None
    timing: Timing = None


@dataclass(frozen=True, kw_only=True)
class Paper(sections.Paper):
    """The section of this paper.

    Attributes:
        learning: experiments by name, for `learning.methods` of a case.
        roles: the case, or the cases of several sizes, that figures show as an example.
    """

    cases: Mapping[str, Case]
    learning: Mapping[str, Experiment] = None
    roles: Mapping[str, str | list[str]] = None
