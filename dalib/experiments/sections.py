"""The sections of the configuration: a dataclass each, its fields are the keys. No torch here.

Types and limits are checked, and docs/configuration.md and the schemas for editors are made, from
the source of these classes. A field without default has to be given; one whose default is None may
be left out, and null may be written where its type says so. What several keys have to do with each
other is refused by `__post_init__` alone, once each key is right by itself.

A paper with keys of its own has classes `Paper` and `Case` in papers/<paper>/sections.py that
inherit from those here. In a section that is `open` further keys may stand, which others check.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from dalib import limits
from dalib.experiments.spec import Analyses, Forecasts, Samples, Timing

Device = Literal["cpu", "cuda", "auto"]


@dataclass(frozen=True)
class Choice:
    """A choice of code, with settings of the class that it names.

    Attributes:
        kind: a name of dalib/registry.py, or a class of your own as "package.module:Class".
    """

    kind: str


# -- what all experiments share ------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Devices:
    """The device of single stages, where it is not the one of all.

    Attributes:
        tune, train, fit, sample, assimilate, forecast: of the stage of this name.
    """

    tune: Device = None
    train: Device = None
    fit: Device = None
    sample: Device = None
    assimilate: Device = None
    forecast: Device = None


@dataclass(frozen=True, kw_only=True)
class Batches:
    """How much one job carries; it never changes a value.

    Attributes:
        seeds: test seeds in one job.
        repeats: repeats of a training in one job.
        runs: runs of a method of a study in one job.
    """

    seeds: int
    repeats: int
    runs: int

    def __post_init__(self) -> None:
        limits.at_least(1, seeds=self.seeds, repeats=self.repeats)
        limits.at_least(1, runs=self.runs)


@dataclass(frozen=True, kw_only=True)
class Cache:
    """The store from which results are reused by content.

    Attributes:
        dir: folder of the store, relative to where snakemake runs; may be shared.
        keep_gb: size in GB above which unused objects are dropped.
    """

    dir: str
    keep_gb: float

    def __post_init__(self) -> None:
        limits.at_least(0, keep_gb=self.keep_gb)


@dataclass(frozen=True, kw_only=True)
class Code:
    """What counts as a change of code.

    Attributes:
        strict_versions: whether another major.minor version of an imported package makes results
            stale.
    """

    strict_versions: bool


@dataclass(frozen=True, kw_only=True)
class Resource:
    """What the first attempt of a job asks for; doubled with every further one.

    Attributes:
        mem_mb: memory in MB.
        runtime: time limit in minutes.
    """

    mem_mb: int
    runtime: int

    def __post_init__(self) -> None:
        limits.at_least(1, mem_mb=self.mem_mb, runtime=self.runtime)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What jobs ask for, by stage.

    Attributes:
        default: stages that have no entry of their own.
        era5, simulate, observe, encode, tune, train, fit, sample: of the stage of this name.
        assimilate, forecast, evaluate, time, judge: of the stage of this name.
        figures: of every figure.
        tables: of every table.
    """

    default: Resource
    era5: Resource = None
    simulate: Resource = None
    observe: Resource = None
    encode: Resource = None
    tune: Resource = None
    train: Resource = None
    fit: Resource = None
    sample: Resource = None
    assimilate: Resource = None
    forecast: Resource = None
    evaluate: Resource = None
    time: Resource = None
    judge: Resource = None
    figures: Resource = None
    tables: Resource = None


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The top of the configuration; every other key there with `cases` is a paper.

    Attributes:
        papers: whose figures and tables are made; each has a folder papers/<paper>.
        scale: which `scales` of config.yaml and of the papers is laid over them; part of every
            path of results.
        device: where networks and filters run; each job on cuda asks for one GPU, and auto means
            cuda where the graph is built on a host with a GPU.
        devices: the device of single stages.
        seed: base of every stream of random numbers.
        seeds: a number replaces the test seeds of every case with observations; null leaves them.
        batches: how much one job carries.
        cache: the store from which results are reused by content.
        code: what counts as a change of code.
        resources: what the first attempt of a job asks for, by stage.
    """

    papers: list[str]
    scale: str
    device: Device
    devices: Devices
    seed: int
    seeds: int | None
    batches: Batches
    cache: Cache
    code: Code
    resources: Resources

    def __post_init__(self) -> None:
        limits.at_least(1, seeds=self.seeds)


# -- a case: what is simulated and observed --------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """States near one point, each component by itself: normal (`std`) or uniform (`half_width`).

    Attributes:
        mean: a point near the attractor; one number stands for all components.
        std: standard deviation of each component.
        half_width: instead of it, half the width of a box in which states are uniform.
        positive: whether states are taken without their signs, as amounts.
    """

    mean: float | list[float]
    std: float = None
    half_width: float = None
    positive: bool = False

    def __post_init__(self) -> None:
        limits.at_least(0, std=self.std, half_width=self.half_width)
        if (self.std is None) == (self.half_width is None):
            raise ValueError("one of std (normal) and half_width (uniform) is needed")


Start = Distribution | Choice


@dataclass(frozen=True, kw_only=True)
class Split:
    """One part of the trajectories.

    Attributes:
        seeds: trajectories.
        samples: sampling intervals of each.
        start: where this part starts otherwise than the others.
    """

    seeds: int
    samples: int
    start: Start = None

    def __post_init__(self) -> None:
        limits.at_least(1, seeds=self.seeds, samples=self.samples)


@dataclass(frozen=True, kw_only=True)
class Shock:
    """What strikes components of the truth after each step of the integrator.

    Attributes:
        size: standard deviation, as a share of the component.
        probability: of a strike.
    """

    size: float
    probability: float

    def __post_init__(self) -> None:
        limits.at_least(0, size=self.size, probability=self.probability)
        limits.at_most(1, probability=self.probability)


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The true trajectories.

    Attributes:
        start: distribution of the first states, before the spin-up.
        spinup: time that is integrated and thrown away.
        model_noise_std: standard deviation of the noise that is added after each sampling interval.
        train: what is learned from.
        valid: what a training or a reference is checked with.
        test: what methods are scored on.
        shocks: what strikes components after each step.
    """

    start: Start
    spinup: float
    model_noise_std: float
    train: Split
    valid: Split
    test: Split
    shocks: list[Shock] = None

    def __post_init__(self) -> None:
        limits.at_least(0, spinup=self.spinup, model_noise_std=self.model_noise_std)


@dataclass(frozen=True, kw_only=True)
class Observed:
    """How many trajectories of a part are observed; all of a part without it.

    Attributes:
        train: training trajectories.
        valid: validation trajectories.
        test: test trajectories, at least one.
    """

    train: int = None
    valid: int = None
    test: int = None

    def __post_init__(self) -> None:
        limits.at_least(0, train=self.train, valid=self.valid)
        limits.at_least(1, test=self.test)


@dataclass(frozen=True, kw_only=True)
class Observations:
    """What is observed of the truth; one of the keys that say with which errors.

    Attributes:
        operator: which function of the state is observed.
        obs_std: in studies, standard deviation of the errors, in units of what is observed.
        obs_std_relative: in studies, a share of the standard deviation of each observed quantity
            over training states.
        error_std: standard deviation of the errors; several give the same errors in several sizes.
        stride: distance of the sensors, in points along either side of gridded states.
        interval: times from one observation to the next.
        from_start: whether the first state of a trajectory is observed too.
        centred: whether errors of gridded states are relative to departures from the mean of each
            variable, not to the variable itself.
        trajectories: how many trajectories of a part are observed.
        until: time after which test observations are missing; null for never.
    """

    operator: Choice
    obs_std: float = None
    obs_std_relative: float = None
    error_std: float | list[float] = None
    stride: int = None
    interval: int = None
    from_start: bool = None
    centred: bool = None
    trajectories: Observed = None
    until: float | None = None

    def __post_init__(self) -> None:
        limits.at_least(0, obs_std=self.obs_std, obs_std_relative=self.obs_std_relative)
        limits.at_least(1, stride=self.stride, interval=self.interval)
        limits.more_than(0, error_std=self.error_std, until=self.until)
        limits.some(error_std=self.error_std)


@dataclass(frozen=True, kw_only=True)
class Prior:
    """What a filter knows at time 0: the truth with an error, a normal law, or an ensemble.

    Attributes:
        error_std: standard deviation of its error in each component; it is the truth with such an
            error.
        mean: instead of that, its mean for all trajectories.
        std: and its standard deviation in each component.
        members: or ensembles, of how many members.
        starts: and how they are drawn, by name.
        start: in studies, which of `starts` filters start from.
    """

    error_std: float = None
    mean: float | list[float] = None
    std: float = None
    members: int = None
    starts: Mapping[str, Start] = None
    start: str = None

    def __post_init__(self) -> None:
        limits.more_than(0, error_std=self.error_std, std=self.std)
        limits.at_least(2, members=self.members)
        limits.some(mean=self.mean, starts=self.starts)


@dataclass(frozen=True, kw_only=True)
class Case:
    """An experiment: a system, its true trajectories, what is observed of them, and a prior.

    Attributes:
        system: the equations.
        integrator: how they are stepped; one sampling interval is dt times steps.
        truth: the true trajectories.
        observations: what is observed of the truth.
        prior: what a filter knows at time 0.
        dtype: precision of states and filters; float64 without it.
        forecast: what studies forecast.
        assimilate: what counts of the analyses of studies.
        sample: what studies draw.
    """

    system: Choice
    integrator: Choice
    truth: Truth
    observations: Observations = None
    prior: Prior = None
    dtype: Literal["float32", "float64"] = None
    forecast: Forecasts = None
    assimilate: Analyses = None
    sample: Samples = None


# -- a paper ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Study:
    """Methods at all combinations of what is varied; `experiments.spec` knows every key.

    Attributes:
        case: what is simulated and observed.
        task: what methods do with it.
        methods: by name, with settings that differ here from those of the method.
        metrics: names of scores, or `kind` and settings of each.
        vary: values by the dotted name of a key of the case, or of a method as `method.*`; all
            combinations of several.
        vary_each: likewise, but each leaves its base while all others stand at theirs.
        of: methods that an axis varies, by its name; all without it.
        base: the value of each that is kept while others vary.
        split: the part of the truth that methods are scored on; test without it.
        replicates: how often every method is run anew, or some of them by name.
        timing: what of the study is timed.
    """

    open: ClassVar[bool] = True

    case: str
    task: str
    methods: Mapping[str, Any]
    metrics: list
    vary: Mapping[str, Any] = None
    vary_each: Mapping[str, Any] = None
    of: Mapping[str, list[str] | None] = None
    base: Mapping[str, Any] = None
    split: Literal["test", "valid"] = None
    replicates: int | Mapping[str, int] = 1
    timing: Timing = None

    def __post_init__(self) -> None:
        limits.at_least(1, replicates=self.replicates)


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """How long and how fast the parameters of a network are updated.

    Attributes:
        steps: updates of the parameters.
        batch: windows or states in an update.
        window: length of a window in samples; without it the model learns from single states.
        rate: largest learning rate.
        warmup: steps over which the rate rises.
        flat: fraction of the steps after which the rate falls.
        last: rate at the end as a fraction of the largest.
        clip: largest norm of a gradient; null for no limit.
        betas: memories of AdamW.
        epsilon: smallest denominator of AdamW.
        decay: weight decay of AdamW.
        average: memory per step of the averaged weights that are kept; null keeps the last.
        check_every: steps between two reports.
        best_by: report whose least value decides which weights are kept, held_out_loss for
            example; null for the last weights.
        patience: checks in a row without a better one after which a training stops; null for never.
    """

    steps: int = None
    batch: int = None
    window: int = None
    rate: float = None
    warmup: int = None
    flat: float = None
    last: float = None
    clip: float | None = None
    betas: tuple[float, float] = None
    epsilon: float = None
    decay: float = None
    average: float | None = None
    check_every: int = None
    best_by: str | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        limits.at_least(1, steps=self.steps, batch=self.batch)
        limits.at_least(1, check_every=self.check_every, patience=self.patience)
        limits.at_least(2, window=self.window)
        limits.more_than(0, rate=self.rate, clip=self.clip, epsilon=self.epsilon)
        limits.at_least(0, warmup=self.warmup, flat=self.flat, last=self.last)
        limits.at_most(1, flat=self.flat, last=self.last)
        limits.at_least(0, betas=self.betas, decay=self.decay, average=self.average)
        limits.less_than(1, betas=self.betas, average=self.average)


@dataclass(frozen=True, kw_only=True)
class Training(Optimisation):
    """Independent trainings of a network.

    Attributes:
        repeats: independent trainings.
        fine_tuning: settings of a second training of a forecast model, from where the first ended.
    """

    repeats: int
    fine_tuning: Optimisation = None

    def __post_init__(self) -> None:
        super().__post_init__()
        limits.at_least(1, repeats=self.repeats)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep of trainings that are done at once.

    Attributes:
        noise_std: standard deviations of noise on the training states.
    """

    noise_std: list[float] = None

    def __post_init__(self) -> None:
        limits.at_least(0, noise_std=self.noise_std)
        limits.some(noise_std=self.noise_std)


@dataclass(frozen=True, kw_only=True)
class Model:
    """A network that is trained, or a codec that is fitted.

    Attributes:
        data: what it learns from.
        training: how long and how fast.
        network: the architecture.
        codec: whose tokens it learns from; or a codec that is fitted to gridded states.
        operator: of a codec of gridded states, how its observations depend on a state; the state
            itself without it.
        centred: of a codec of gridded states, whether the mean of each variable is subtracted,
            beside division by its std.
        every: of a codec that is no network, distance of the sensors in points.
        noise: of a codec of gridded states, errors of observations as a share of the std of each
            variable.
        points: a sweep, trained at once.
    """

    data: Literal["observations", "truth", "tokens", "fields", "forecast"]
    training: Training
    network: Choice = None
    codec: str | Choice = None
    operator: Choice = None
    centred: bool = None
    every: int = None
    noise: float = None
    points: Sweep = None

    def __post_init__(self) -> None:
        limits.at_least(1, every=self.every)
        limits.at_least(0, noise=self.noise)


@dataclass(frozen=True, kw_only=True)
class EntryPoints:
    """Functions of the paper that stages call, by stage and task.

    Attributes:
        encode, tune, train, sample: "package.module:function" of the stage, by task.
        assimilate, forecast, evaluate, time: "package.module:function" of the stage, by task.
    """

    encode: Mapping[str, str] = None
    tune: Mapping[str, str] = None
    train: Mapping[str, str] = None
    sample: Mapping[str, str] = None
    assimilate: Mapping[str, str] = None
    forecast: Mapping[str, str] = None
    evaluate: Mapping[str, str] = None
    time: Mapping[str, str] = None

    def __post_init__(self) -> None:
        for stage in filter(None, vars(self).values()):
            for name in stage.values():
                if not re.fullmatch(r"[\w.]+:\w+", name):
                    raise ValueError(f'"{name}" names no function; give package.module:function')


@dataclass(frozen=True, kw_only=True)
class Plot:
    """What figures and tables show; any other key is for a figure or table of the paper.

    Attributes:
        labels: what they call a method, a study or a case.
    """

    open: ClassVar[bool] = True

    labels: Mapping[str, str] = None


@dataclass(frozen=True, kw_only=True)
class Paper:
    """What is computed for one paper: any key at the top of the configuration with `cases`.

    Attributes:
        title: title of the paper.
        authors: its authors.
        source: where it appeared.
        cases: experiments by name.
        studies: methods at all combinations of what is varied, by name.
        active: the cases that this scale computes; needed where there are no studies.
        plot: what figures and tables show.
        labels: what tables and figures call a case; one without a label goes by its name.
        entry_points: functions of the paper that stages call.
        filters: by name.
        estimators: other methods that estimate states from observations, by name.
        forecasters: by name.
        generators: methods that draw states, by name.
        codecs: by name.
        models: networks to be trained, by name.
    """

    title: str
    authors: str
    source: str
    cases: Mapping[str, Case]
    studies: Mapping[str, Study | None] = None
    active: list[str] = None
    plot: Plot = None
    labels: Mapping[str, str] = None
    entry_points: EntryPoints = None
    filters: Mapping[str, Choice] = None
    estimators: Mapping[str, Choice] = None
    forecasters: Mapping[str, Choice] = None
    generators: Mapping[str, Choice] = None
    codecs: Mapping[str, Choice] = None
    models: Mapping[str, Model] = None

    def __post_init__(self) -> None:
        limits.some(cases=self.cases, active=self.active)
        if self.studies is None and self.active is None:
            raise ValueError('"active" is missing: the cases that this scale computes')
