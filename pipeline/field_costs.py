"""How much work a job on fields is: multiplications, from its configuration.

A core does some 1e10 of them in a second; what is not of that kind counts for as many as take as
long. The numbers below were measured with 50 x 50 to 150 x 150 points and 1e3 to 1e6 sites.
"""

import math
from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

from dalib.field_runs import FieldRun, jobs_of, runs_of, tried

JOB = 4e10  # of a job beside its work: imports, first calls, small files
READ, WRITTEN = 1500.0, 3000.0  # of a number of a file: unpacked and hashed, or packed
PASS = 0.25  # of a product in a network that is not narrow
LEARNED = 5.0  # passes that an update is worth: forward, backward, and all that they keep
UPDATE = 1.2e8  # of an update of a network at least, however small
FILE = 1.5e4  # numbers
WATCHED, CODED = 2 * 64, 50 * 100  # states of a report; observations encoded after a training
SHALLOW_WATER, LORENZ96 = 20.0, 160.0  # of a component in a step
SAMPLER, SAMPLER_CALL = 60.0, 1e6  # of a component and of all in a step of pseudo-time
AT_ONCE = 4  # steps that all of them at once are worth
COLUMN = 12.5  # of a column of a local filter, times N³
CODED_FILTERS = {"latent_ensf", "latent_letkf"}  # of the stations
STATISTICS = 60.0  # of a component of a member: means and deviations, before and after
SEARCH = 20.0  # passes over the training states for principal components, in double precision


class Shape(NamedTuple):
    """Of a state."""

    variables: int
    rows: int
    columns: int

    @property
    def points(self) -> int:
        return self.rows * self.columns

    @property
    def size(self) -> int:
        return self.variables * self.points


# --- what a job has to do with -------------------------------------------------------------------


def on_fields(case: Mapping[str, Any]) -> bool:
    return bool({"fields", "stations"} & case.keys())


def sections(paper: Mapping[str, Any], wildcards: Mapping[str, str], points: int) -> dict[str, Any]:
    """The configuration of a job, by the names under which `as_run` finds it in a spec.

    Args:
        points: of filters, in one job.
    """
    case, models = paper["cases"][wildcards["case"]], paper.get("models", {})
    product = case.get("fields", {})
    names = list(product.get("methods", {}))
    if "filter" in wildcards:
        names = jobs_of(product)[wildcards["filter"]]
    dynamics = case.get("dynamics", {}).get("model")
    return {
        "case": case,
        "models": models,
        "model": models.get(wildcards.get("model"), {}),
        "dynamics": models.get(dynamics, {}),
        "base": product.get("base", {}),
        "filters": {name: paper["filters"][name] for name in names},
        "methods": {name: product["methods"][name] for name in names},
        "tuning": product.get("tuning", {}),
        "batch": {"index": int(wildcards.get("batch", 0)), "size": points},
    }


def as_run(found: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """`sections` with what the spec of a job says of them."""
    config = spec["config"]
    found = {**found, **{name: config[name] for name in ("model", "filters") if name in config}}
    if isinstance(config.get("case"), Mapping):
        found["case"] = {**found["case"], **config["case"]}
    if "dynamics" in found["case"] and isinstance(found["case"]["dynamics"]["model"], Mapping):
        found["dynamics"] = found["case"]["dynamics"]["model"]
    product = config.get("fields", config.get("product", {}))
    methods = config.get("methods", product.get("methods"))
    if methods is not None:
        found |= {"methods": methods, "base": product["base"]}
        found["tuning"] = product.get("tuning", {})
    return found | {name: spec[name] for name in ("batch",) if name in spec}


def runs(stage: str, found: Mapping[str, Any]) -> list[FieldRun]:
    """All runs that a job makes, scores or times."""
    product = {"base": found["base"], "methods": found["methods"]}
    names = [name for name in found["filters"] if name in found["methods"]]
    if stage == "time":
        names = [name for name in names if name in found["case"]["timing"]["methods"]]
    made = [runs_of(product, name, found["filters"][name]) for name in names]
    if stage == "time":
        return [one[0] for one in made]
    every = [run for one in made for run in one]
    if stage != "assimilate":
        return every
    first = found["batch"]["index"] * found["batch"]["size"]
    return every[first : first + found["batch"]["size"]]


# --- the work of a stage -------------------------------------------------------------------------


def work(stage: str, found: Mapping[str, Any]) -> float:
    """Multiplications of a job."""
    case = found["case"]
    match stage:
        case "simulate":
            made = sum(seeds * (times + _spinup(case)) for seeds, times in _splits(case).values())
            own = made * shape_of(case).size * _step(found) + WRITTEN * _numbers(case)
        case "era5":
            own = WRITTEN * _numbers(case)
        case "observe":
            own = READ * _numbers(case) + WRITTEN * volume(stage, found)
        case "train":
            own = _training(found)
        case "assimilate":
            given = READ * (_of_test(case) + _members(case))
            own = given + sum(_filtering(found, run) for run in runs(stage, found))
            own += sum(_trying(found, run) for run in runs(stage, found) if run.tuned)
            own += WRITTEN * volume(stage, found)
        case "evaluate":
            own = _scoring(found) if "fields" in case else _stations(case["stations"])
        case "time":
            one = {**found, "case": _of_one_time(case)}
            repetitions = 1 + case["timing"]["repetitions"]
            own = sum(_filtering(one, run) for run in runs(stage, found)) * repetitions
        case _:
            own = 0.0
    return JOB + own


def volume(stage: str, found: Mapping[str, Any]) -> float:
    """Numbers that a job writes, roughly, and as many as an empty file is worth."""
    case, own = found["case"], 0.0
    match stage:
        case "simulate" | "era5":
            own = _numbers(case)
        case "observe":
            errors = case["observations"].get("relative_error", [0.0])
            own = len(errors) * _of_test(case) + _members(case)
        case "train":
            own = _weights(found)
        case "assimilate":
            own = 2 * len(runs(stage, found)) * _of_test(case)
        case "evaluate" if "shown" in case.get("fields", {}):
            own = _maps(case)
    return FILE + own


def kinds(stage: str, found: Mapping[str, Any]) -> list[list[str]]:
    """What makes jobs of a stage alike, the closest kinship first."""
    case = found["case"]
    system = case.get("system", {}).get("kind", "reanalysis")
    if stage == "train":
        parts = found["model"].get("network", found["model"].get("codec", {}))
        numbers = [f"{parts.get(name)}" for name in ("width", "latent_map", "every")]
        return [[parts["kind"], *numbers], [parts["kind"], numbers[0]], [parts["kind"]]]
    if stage in ("assimilate", "time"):
        own = {run.settings["kind"] + _inner(run).get("kind", "") for run in runs(stage, found)}
        return [[system, *sorted(own)], sorted(own)]
    return [[system, *sorted({"fields", "stations"} & case.keys())]]


# --- states --------------------------------------------------------------------------------------


def shape_of(case: Mapping[str, Any]) -> Shape:
    """Of the states of a case; of a reanalysis as if its files had the grid of the stand-in."""
    if "era5" in case:
        return Shape(len(case["era5"]["channels"]), *case["era5"]["stand_in"]["grid"])
    system = case["system"]
    if "points" in system:
        return Shape(3, system["points"], system["points"])
    return Shape(1, system["size"], 1)


def _splits(case: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """{split: (trajectories, times of each)}."""
    if "era5" not in case:
        parts = {name: case["truth"][name] for name in ("train", "valid", "test")}
        return {name: (part["seeds"], part["samples"]) for name, part in parts.items()}
    section = case["era5"]
    series = {n: (1, _days(section[n]) * 24 // section["step_hours"]) for n in ("train", "valid")}
    return series | {"test": (section["seeds"], section["days"] * 24 // section["analysis_hours"])}


def _days(span: list[int | str]) -> int:
    """Of a span of years or dates, both included."""
    first, last = (str(end) for end in span)
    first, last = (f"{first}-01-01"[:10], last if len(last) > 4 else f"{last}-12-31")
    return (date.fromisoformat(last[:10]) - date.fromisoformat(first)).days + 1


def _spinup(case: Mapping[str, Any]) -> int:
    """Samples before the first."""
    interval = case["integrator"].get("dt", math.inf) * case["integrator"].get("steps", 1)
    return round(case["truth"]["spinup"] / interval)


def _numbers(case: Mapping[str, Any]) -> float:
    """Of all truths."""
    return sum(seeds * times for seeds, times in _splits(case).values()) * shape_of(case).size


def _of_test(case: Mapping[str, Any]) -> float:
    """Numbers of the test truth."""
    return math.prod(_splits(case)["test"]) * shape_of(case).size


def _members(case: Mapping[str, Any]) -> float:
    """Numbers of all ensembles to start with."""
    prior, seeds = case["prior"], _splits(case)["test"][0]
    return len(prior["starts"]) * seeds * prior["members"] * shape_of(case).size


def _maps(case: Mapping[str, Any]) -> float:
    """Numbers of the maps that are shown, and of a film of one variable."""
    shape, shown = shape_of(case), case["fields"]["shown"]
    maps = (1 + 2 * len(shown["runs"])) * len(shown["times"]) * shape.size
    return maps + ("film" in shown) * 2 * _splits(case)["test"][1] * shape.points


def _of_one_time(case: Mapping[str, Any]) -> dict[str, Any]:
    """The case with one test trajectory of one analysis."""
    if "era5" in case:
        one = {"seeds": 1, "days": 1, "analysis_hours": 24}
        return {**case, "era5": {**case["era5"], **one}}
    return {**case, "truth": {**case["truth"], "test": {"seeds": 1, "samples": 1}}}


def _step(found: Mapping[str, Any]) -> float:
    """Of a component, from one observation to the next."""
    case = found["case"]
    if "era5" in case:
        steps = case["era5"]["analysis_hours"] // case["era5"]["step_hours"]
        return (
            PASS * steps * afno(found["dynamics"]["network"], shape_of(case)) / shape_of(case).size
        )
    each = SHALLOW_WATER if "points" in case["system"] else LORENZ96
    return each * case["integrator"].get("steps", 1)


# --- networks ------------------------------------------------------------------------------------


class Coded(NamedTuple):
    """Of one state: its encoder, that of its observations, the decoder."""

    encoder: float
    observations: float
    decoder: float


def coupled_vae(network: Mapping[str, Any], shape: Shape) -> Coded:
    """Of the convolutions on the full grid, on the sensors, and on the latent map.

    Those between, on coarse grids with few channels, are some tenth of them and not counted.
    """
    v, h = shape.variables, network.get("width", 16)
    rows, columns = network.get("latent_map", (5, 5))
    on_map, c = rows * columns, network.get("latent", 400) / (rows * columns)
    window = 25 if shape.rows > 20 * rows else 9
    encoded = 9 * on_map * (32 + 64) * h**2 + 18 * on_map * 8 * h * c
    decoded = 9 * on_map * (32 + 64) * h**2 + 9 * on_map * 8 * h * c
    sensors = shape.points / network["every"] ** 2
    return Coded(
        encoder=shape.points * window * v * h + encoded,
        observations=sensors * 9 * (v * h + 2 * h**2) + encoded,
        decoder=shape.points * 9 * (2 * h**2 + v * h) + decoded,
    )


def afno(network: Mapping[str, Any], shape: Shape) -> float:
    """Of one state, one step: blocks in Fourier space, perceptron, patches in and out, transforms.

    tokens · [depth (4 n²/blocks + 2 ratio n² + 10 n log₂ tokens) + 2 n p² variables]
    """
    n, p = network["width"], network["patch"]
    tokens = shape.points / p**2
    layer = 4 * n**2 / network["blocks"] + 2 * network.get("ratio", 4) * n**2
    layer += 10 * n * math.log2(tokens)
    return tokens * (network["depth"] * layer + 2 * n * p**2 * shape.variables)


def _training(found: Mapping[str, Any]) -> float:
    """Of all updates and reports of a training, and of reading what it learns from."""
    case, model = found["case"], found["model"]
    shape, training = shape_of(case), model["training"]
    read = READ * _numbers(case)
    if "codec" in model:
        states = math.prod(_splits(case)["train"])
        return read + SEARCH * states * shape.size * model["codec"]["components"]
    network = model["network"]
    if network["kind"] == "afno":
        parts = [training, {**training, **training.get("fine_tuning", {"steps": 0})}]
        each = afno(network, shape)
        return read + sum(_updates(part, (part["window"] - 1) * each) for part in parts)
    of = coupled_vae(network, shape)
    each = of.encoder + of.observations + 2 * of.decoder
    return read + _updates(training, each) + CODED * PASS * of.observations


def _updates(training: Mapping[str, Any], each: float) -> float:
    """Of all updates, with reports; `each`: of one state."""
    updates = training["steps"] * (UPDATE + PASS * LEARNED * training["batch"] * each)
    reports = 1 + training["steps"] / training["check_every"]
    return updates + reports * 2 * WATCHED * PASS * each


def _weights(found: Mapping[str, Any]) -> float:
    """Numbers of a codec or network."""
    model, shape = found["model"], shape_of(found["case"])
    if "codec" in model:
        return model["codec"]["components"] * shape.size
    network = model["network"]
    if network["kind"] == "afno":
        n, depth = network["width"], network["depth"]
        return depth * (4 / network["blocks"] + 2 * network.get("ratio", 4)) * n**2
    return 9 * 300 * network.get("width", 16) ** 2


# --- filters -------------------------------------------------------------------------------------


def _inner(run: FieldRun) -> Mapping[str, Any]:
    """The filter of codes, empty for one of full space."""
    return run.settings.get("filter", {})


def _filtering(found: Mapping[str, Any], run: FieldRun) -> float:
    """Of all forecasts and analyses of one run."""
    case, settings = found["case"], run.settings
    shape, (seeds, times) = shape_of(case), _splits(case)["test"]
    analyses = seeds * (times // run.conditions["interval"])
    codec = _codec(found, run, shape)
    if settings["kind"] == "direct_decode":
        return analyses * PASS * (codec.observations + codec.decoder)
    members = (_inner(run) or settings).get("members", 1)
    followed = seeds * times * members * shape.size * (_step(found) + STATISTICS)
    if "filter" not in settings:
        stepped = _stepped(case, run)
        return followed + analyses * _analysis(settings, shape, seeds, stepped)
    # of codes: their map as that of one variable more for each channel
    size = _latent(found, run)
    rows, columns = _section(found, run).get("network", {}).get("latent_map", (5, 5))
    codes = Shape(max(1, size // (rows * columns)), rows, columns)
    coded = members * (codec.encoder + codec.decoder) + codec.observations
    return followed + analyses * (PASS * coded + _analysis(settings["filter"], codes, seeds))


def _trying(found: Mapping[str, Any], run: FieldRun) -> float:
    """Of all combinations of the settings that are tuned, on validation trajectories."""
    case, tuning = found["case"], found["tuning"]
    own = {"test": {"seeds": tuning["seeds"], "samples": tuning["analyses"]}}
    some = {**found, "case": {**case, "truth": {**case["truth"], **own}}}
    return sum(_filtering(some, candidate) for _, candidate in tried(run))


def _stepped(case: Mapping[str, Any], run: FieldRun) -> float:
    """The share of components that a score filter takes step by step: what is not seen as it is."""
    if not run.settings.get("composed", True) or run.settings.get("prior") == "mixture":
        return 1.0
    if case["observations"]["operator"]["kind"] == "identity":
        return 0.0
    return 1.0 if run.settings.get("interpolated") else run.conditions["every"] ** -2


def _analysis(settings: Mapping[str, Any], shape: Shape, seeds: int, stepped: float = 1.0) -> float:
    """Of one analysis of one trajectory; all trajectories share the calls.

    stepped: the share of components that take their steps of pseudo-time one by one.
    """
    N = settings.get("members", 20)
    match settings["kind"]:
        case "ensf":
            blocks = math.ceil(shape.size * stepped / settings.get("block", 4096))
            each = N * shape.size * stepped * SAMPLER + blocks * SAMPLER_CALL / seeds
            return settings.get("steps", 100) * each + AT_ONCE * N * shape.size * SAMPLER
        case "local_letkf":
            return shape.points * COLUMN * N**3
        case "enkf":
            return shape.size**3 / 3 + 3 * shape.size**2 * N
        case _:
            return 0.0


def _section(found: Mapping[str, Any], run: FieldRun) -> Mapping[str, Any]:
    """Of the model of a run."""
    return run.model if isinstance(run.model, Mapping) else found["models"].get(run.model, {})


def _codec(found: Mapping[str, Any], run: FieldRun, shape: Shape) -> Coded:
    model = _section(found, run)
    if "codec" in model:
        each = float(model["codec"]["components"] * shape.size)
        return Coded(each, each / model["every"] ** 2, each)
    return coupled_vae(model["network"], shape) if "network" in model else Coded(0.0, 0.0, 0.0)


def _latent(found: Mapping[str, Any], run: FieldRun) -> int:
    """Size of a code."""
    model = _section(found, run)
    return model.get("codec", {}).get("components") or model.get("network", {}).get("latent", 400)


def _scoring(found: Mapping[str, Any]) -> float:
    """Of reading all runs of a case and comparing them with the truth."""
    case = found["case"]
    return (1 + 2 * len(runs("evaluate", found))) * _of_test(case) * READ


def _stations(section: Mapping[str, Any]) -> float:
    """Of the codec of a region, about as large as the stand-in, and of its filters' hours."""
    shape = Shape(1, 32, 48)
    of = coupled_vae({**section["network"], "every": section["every"]}, shape)
    each = of.encoder + of.observations + 2 * of.decoder
    coded = section["members"] * (of.encoder + of.decoder)
    sampled = section["ensf"].get("steps", 100) * SAMPLER_CALL
    grids = section.get("tuned", {})
    tries = sum(math.prod(map(len, grids[name].values())) for name in CODED_FILTERS & grids.keys())
    hours = 24 * (2 * _days(section["test"]) + tries * _days(section["valid"]))
    return _updates(section["training"], each) + hours * (PASS * coded + sampled)
