"""Sections of this paper beside those of all papers; see dalib/experiments/sections.py."""

from collections.abc import Mapping
from dataclasses import dataclass

from dalib import limits
from dalib.experiments import sections


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
        start: the sample of the test trajectories where the past begins that a run continues.
    """

    chains: int
    samples: int
    discard: int = None
    start: int = None

    def __post_init__(self) -> None:
        limits.at_least(1, chains=self.chains, samples=self.samples)
        limits.at_least(0, discard=self.discard, start=self.start)


@dataclass(frozen=True, kw_only=True)
class Forecasts:
    """Models of tokens that generate, and how they are scored.

    Attributes:
        methods: forecasters by name.
        starts: when forecasts start.
        context: observed samples before a start that a forecaster is given.
        horizon: samples to forecast.
        free_run: a long run of each model by itself.
        temperatures: of the draws; 0 takes the most likely token.
        windows: windows of test tokens on which models are scored.
        sets: groups of true trajectories that generated tokens are compared with.
        pair_points: pairs of states in a Wasserstein distance of pairs.
    """

    methods: list[str]
    starts: Starts
    context: int
    horizon: int
    free_run: FreeRun
    temperatures: list[float] = None
    windows: int = None
    sets: int = None
    pair_points: int = None

    def __post_init__(self) -> None:
        limits.some(methods=self.methods, temperatures=self.temperatures)
        limits.at_least(1, context=self.context, horizon=self.horizon)
        limits.at_least(1, windows=self.windows, sets=self.sets)
        limits.at_least(2, pair_points=self.pair_points)
        limits.at_least(0, temperatures=self.temperatures)


@dataclass(frozen=True, kw_only=True)
class Lyapunov:
    """The Lyapunov exponent of a map, extrapolated from short stretches.

    Attributes:
        longest: steps of the longest stretch.
    """

    longest: int

    def __post_init__(self) -> None:
        limits.at_least(5, longest=self.longest)


@dataclass(frozen=True, kw_only=True)
class Shadows:
    """True trajectories whose tokens are a given past.

    Attributes:
        codec: whose tokens.
        accepted: accepted draws for the first window of each test trajectory.
        most: draws for a window at most.
        spread: standard deviation of the starts as a fraction of the published one.
        paired: whether every window gets one accepted draw.
        starts: as in `forecasts`.
        context: as in `forecasts`.
        horizon: as in `forecasts`.
    """

    codec: str
    accepted: int
    most: int
    spread: float
    paired: bool
    starts: Starts
    context: int
    horizon: int

    def __post_init__(self) -> None:
        limits.at_least(1, accepted=self.accepted, most=self.most)
        limits.at_least(1, context=self.context, horizon=self.horizon)
        limits.more_than(0, spread=self.spread)


@dataclass(frozen=True, kw_only=True)
class Codecs:
    """Codecs of the states of a case, and what the truth gives through them.

    Attributes:
        methods: codecs by name.
        discard: samples at the beginning of a trajectory, not yet on the attractor, that no
            distance counts.
        pairs: pairs of disjoint groups of true trajectories that are compared.
        sets: groups that are compared with all training states.
        pair_points: pairs of states in a Wasserstein distance of pairs.
        lyapunov: the Lyapunov exponent of a map.
        shadows: true trajectories whose tokens are a given past.
    """

    methods: list[str]
    discard: int
    pairs: int
    sets: int
    pair_points: int
    lyapunov: Lyapunov = None
    shadows: Shadows = None

    def __post_init__(self) -> None:
        limits.some(methods=self.methods)
        limits.at_least(0, discard=self.discard)
        limits.at_least(1, pairs=self.pairs, sets=self.sets)
        limits.at_least(2, pair_points=self.pair_points)


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the paper's table.

    Attributes:
        label: what readers call it.
        case: the case.
        cells: the codec.
        network: the model that is trained.
        generated: the forecaster with this model.
        chain: the forecaster that counts transitions.
        published: what the paper prints.
    """

    label: str
    case: str
    cells: str
    network: str = None
    generated: str = None
    chain: str = None
    published: Mapping[str, float] = None


@dataclass(frozen=True, kw_only=True)
class Case(sections.Case):
    """A case of this paper.

    Attributes:
        forecasts: models of tokens that generate.
        codecs: codecs of its states.
    """

    forecasts: Forecasts = None
    codecs: Codecs = None


@dataclass(frozen=True, kw_only=True)
class Paper(sections.Paper):
    """The section of this paper.

    Attributes:
        columns: columns of its table, by name.
        table: the columns in their order.
        shown: the column that figures show of a case.
    """

    cases: Mapping[str, Case]
    columns: Mapping[str, Column] = None
    table: list[str] = None
    shown: Mapping[str, str] = None
