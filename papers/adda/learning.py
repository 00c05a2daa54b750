"""Filters whose dynamics, noise and covariances are learned from observations alone.

A model of this kind is an experiment: several filters, each learned at several points (of what
is varied) in several repeats. A run is one filter at one point. Runs whose tensors have the same
shapes are learned at once.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import xarray as xr
from torch import Tensor

from dalib import arrays, build
from dalib.cases.checkpoint import FORGOTTEN, Checkpoint
from dalib.filters.base import Gaussian
from dalib.learn import Learnable, Learning, learn
from dalib.learn.fields import FIELDS
from dalib.learn.follow import follow
from dalib.localise import Localisation
from dalib.observe import Identity, MovingSubset, evenly, randomly
from dalib.points import COORDINATES, Group, base_point, groups_of, runs_of, training_of
from dalib.resumable import one_by_one
from dalib.streams import Streams, normal, stream

LONG_NAMES = {
    "start_variance": "variance of the first models",
    "obs_variance": "variance of the observation errors",
    "observed": "share of the components that is observed",
    "members": "members of the ensemble",
    "rank": "rank of the covariance",
    "samples": "observation times",
    "scale": "inflation",
    "radius": "taper radius",
    "weight": "weight of the ensemble",
}


def described(name: str) -> dict[str, str]:
    """Attributes of a coordinate."""
    return {"units": "1", "long_name": LONG_NAMES[name]}


def learned(
    sections: Mapping,
    training: xr.Dataset,
    held_out: xr.Dataset,
    *,
    batch: Mapping,
    experiment: str,
    device: str,
    checkpoint: Checkpoint = FORGOTTEN,
    rates: Mapping[str, xr.Dataset] | None = None,
) -> tuple[xr.Dataset, xr.Dataset]:
    """What is learned in the runs of one job, and how.

    Args:
        sections: `case` (system, integrator, observations, prior) and `model`.
        training: y ([error,] seed, time, obs); successive seeds are the trajectories of a repeat.
        batch: `index` of the job.
        rates: of the experiment, by its name, with `rate` (run, repeat, group), where they were
            tuned; without, those of `training` count.
    """
    section = sections["model"]
    groups = groups_of(section)[batch["index"] :: section["jobs"]]
    chosen = [chosen_rates(section, group, rates) if rates else None for group in groups]
    experiments = [
        Experiment(sections, group, experiment, device, rates=own)
        for group, own in zip(groups, chosen, strict=True)
    ]
    done = in_turn([one.learn for one in experiments], training, checkpoint)
    parts = [one.datasets(result) for one, result in zip(experiments, done, strict=True)]
    return concatenated([w for w, _ in parts]), concatenated([h for _, h in parts])


def chosen_rates(
    section: Mapping, group: Group, tuned: Mapping[str, xr.Dataset]
) -> dict[str, Tensor]:
    """Rates (run,) of each group of parameters, from what the tuning of the experiment chose."""
    (found,) = tuned.values()
    shared = section["tune"]["per"] == "experiment"
    base, training = base_point(section, group.filter), training_of(section, group.filter)
    rows = []
    for point in [base] * len(group.points) if shared else group.points:
        which = _of(found, group.filter, point).values.nonzero()[0]
        if not len(which):
            raise ValueError(
                f"no learning rates were tuned for {group.filter!r} at {dict(point)}; delete the "
                "files of rates of this experiment and run again"
            )
        rate = arrays.to_tensor(found.rate[which[0]].transpose("repeat", "group"))
        rows.append(rate[:1].expand(training["repeats"], -1) if shared else rate)
    names = map(str, found["group"].values)
    return dict(zip(names, torch.cat(rows).unbind(1), strict=True))


def filtered(
    sections: Mapping,
    inputs: Mapping[str, xr.Dataset],
    *,
    batch: Mapping,
    experiment: str,
    device: str,
    checkpoint: Checkpoint = FORGOTTEN,
) -> xr.Dataset:
    """Analyses of test observations by the filters with what they learned.

    x (run, repeat, trajectory, time, state), analysis means; log_det and misfit (run, repeat,
    trajectory, time), the two parts of the log-likelihood of each observation given those before;
    restarts (run, repeat, trajectory); seen (run, time, state), what is observed. `x_by_<name>`
    of the base point, with one learned number replaced by each of `grids`.
    """
    observations, weights = inputs["observations"], inputs["model"]
    section, parts = sections["model"], []
    for group in groups_of(section):
        if _of(weights, group.filter, group.points[0]).any():
            one = Experiment(sections, group, experiment, device)
            parts.append(one.followed(observations, _values(weights, group)))
    found = concatenated(parts)
    reference = section.get("reference")
    if reference and _holds_base(section, weights):
        found = concatenated([found, _reference(sections, observations, experiment, device)])
    return found.merge(_grids(sections, observations, weights, experiment, device))


class Experiment:
    """A group of runs: what they share, and how they are learned and followed.

    rates: (run,) of each group of parameters, where they are not those of `training`.
    """

    def __init__(
        self,
        sections: Mapping,
        group: Group,
        experiment: str,
        device: str,
        rates: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.case, self.section, self.group = sections["case"], sections["model"], group
        self.training = training_of(self.section, group.filter)
        self.experiment, self.device, self.rates = experiment, device, rates
        self.repeats = self.training["repeats"]
        self.labels = [(p, r) for p in range(len(group.points)) for r in range(self.repeats)]
        self.map = build.make("map", self.section["map"])
        self.size = build.system(self.case).size
        self.dtype = getattr(torch, self.section["dtype"])
        self.fixed, self.first = self._first_models()

    def learn(
        self,
        training: xr.Dataset,
        save: Callable | None,
        resume: dict | None,
        held_out: xr.Dataset | None = None,
    ) -> dict:
        """Learned values and history, as plain mappings of tensors."""
        y = self.observations(training, self.training["trajectories"])
        made = learn(
            self.make(y.shape[-2]),
            self.learnables(y.shape[-1]),
            self.prior(self.training["trajectories"], "first state"),
            y,
            self.settings(),
            loss=self.section["losses"].get(self.group.filter, "likelihood"),
            held_out=None if held_out is None else self.judged_on(held_out),
            keep=tuple(f"map.{name}" for name in self.first) + self._scalars(),
            progress=f"{self.experiment} {self.group.filter}",
            save=save,
            resume=resume,
            generator=self.generator("learning"),
        )
        return {"values": dict(made.values), "history": made.history._asdict()}

    def judged_on(self, held_out: xr.Dataset) -> tuple[Gaussian, Tensor]:
        """Prior and observations (run, trajectory, time, obs) that nothing is learned from."""
        trajectories = self.training["test_trajectories"]
        y = self.observations(held_out, trajectories)
        return self.prior(trajectories, "first held-out state"), y

    def settings(self) -> Learning:
        """How long and how fast."""
        own = ("repeats", "trajectories", "test_trajectories")
        given = build.without(self.training, *own, "schedule")
        if self.rates is not None:
            given |= {"rates": self.rates}
        return Learning(**given, schedule=build.make("schedule", self.training["schedule"]))

    def learnables(self, observed: int) -> dict:
        """First values of the map's parameters and of those of the filter, by name."""
        found = {
            f"map.{name}": Learnable(value.to(self.dtype), transform, "map")
            for name, (value, transform) in self.first.items()
        }
        for name, field in self.fields().items():
            start = field.learnable(len(self.labels), self.size, observed)
            found[name] = Learnable(start.start.to(self.dtype), start.transform, start.group)
        return found

    def parameter_groups(self) -> set[str]:
        """Groups that have any parameters."""
        observed = self.operator(1)(torch.zeros(1, self.size)).shape[-1]
        return {learnable.group for learnable in self.learnables(observed).values()}

    def fields(self) -> dict[str, Any]:
        """What of the filter is learned, by name."""
        point = self.group.shared
        extra = {
            "background": {"rank": int(point["rank"])} if "rank" in point else {},
            "gain": {"index": getattr(self.operator(1), "index", ())},
            "radius": {"size": self.size},
        }
        return {
            name: FIELDS[name](**settings, **extra.get(name, {}))
            for name, settings in self.section["learned"].get(self.group.filter, {}).items()
        }

    def make(self, times: int) -> Callable[[Mapping[str, Tensor]], Any]:
        """From learned values (run, ...) to the filter."""
        method = self.section["filters"][self.group.filter]
        fields, operator = self.fields(), self.operator(times)
        std = torch.tensor([p["obs_variance"] ** 0.5 for p in self.group.points])
        obs_std = std.repeat_interleave(self.repeats).to(self.device, self.dtype)[:, None, None]
        given = {"observe": operator, "obs_std": obs_std}
        if "members" in self.group.shared:
            given["members"] = int(self.group.shared["members"])
        given |= self.localisation()

        def make(values: Mapping[str, Tensor]):
            own = {n.removeprefix("map."): v for n, v in values.items() if n.startswith("map.")}
            parts = {"step": self.map.flow({**self.fixed, **own}), **given}
            for name, field in fields.items():
                parts |= field.field(values[name])
            return build.filter(self.case, method, **parts)

        return make

    def localisation(self) -> dict[str, Localisation]:
        """That of the filter, as one matrix of weights, as derivatives want it; none without."""
        method = self.section["filters"][self.group.filter]
        if "localisation" not in method:
            return {}
        taper = build.localisation(method["localisation"], self.size).taper()
        return {"localisation": Localisation(matrix=taper.to(self.device, self.dtype))}

    def operator(self, times: int):
        """What is seen of the state: a part of what was observed."""
        base = build.operator(self.case, self.size)
        share = self.group.shared.get("observed")
        if share is None:
            return base
        if not isinstance(base, Identity):
            raise ValueError(
                "`observed` is a share of all components; the operator of the case is then "
                f"identity, not {type(base).__name__}"
            )
        if self.section["seen"].get(self.group.filter, self.section["seen"]["default"]) == "even":
            return evenly(self.size, share)
        generator = stream(self.experiment.rsplit("/", 1)[0], "seen components")
        return randomly(self.size, share, times, generator)

    def observations(self, dataset: xr.Dataset, trajectories: int) -> Tensor:
        """(run, trajectory, time, obs) of the runs."""
        parts = []
        for point in self.group.points:
            y = dataset.y
            if "error" in y.dims:
                y = y.sel(error=point["obs_variance"] ** 0.5, method="nearest", tolerance=1e-6)
            elif abs(float(dataset.obs_std[0]) - point["obs_variance"] ** 0.5) > 1e-6:
                raise ValueError(
                    f"the observations have errors of {float(dataset.obs_std[0]):g}, the point "
                    f"wants {point['obs_variance'] ** 0.5:g}; add it to observations.error_std"
                )
            values = arrays.to_tensor(y, self.dtype)
            if "samples" in point:
                values = values[:, : int(point["samples"])]
            needed = self.repeats * trajectories
            if len(values) < needed:
                raise ValueError(
                    f"{self.repeats} repeats of {trajectories} trajectories need {needed} seeds, "
                    f"the truth has {len(values)}; set truth.*.seeds accordingly"
                )
            parts.append(values[:needed].unflatten(0, (self.repeats, trajectories)))
        y = torch.cat(parts)
        operator = self.operator(y.shape[-2])
        if "observed" in self.group.shared:
            y = operator(y)
        return y.to(self.device)

    def prior(self, trajectories: int, purpose: str) -> Gaussian:
        """Mean (run, trajectory, state) and covariance at time 0; a single state is drawn."""
        settings = self.case["prior"] | self.section["priors"].get(self.group.filter, {})
        mean = torch.as_tensor(settings["mean"], dtype=self.dtype).expand(self.size)
        mean = mean.expand(len(self.labels), trajectories, self.size)
        if settings.get("drawn"):
            drawn = normal(tuple(mean.shape), self.generator(purpose), self.dtype)
            mean = mean + settings["std"] * drawn
        cov = settings["std"] ** 2 * torch.eye(self.size, dtype=self.dtype)
        return Gaussian(mean.to(self.device), cov.to(self.device))

    def generator(self, purpose: str) -> Streams:
        """One stream for each run, the same at all points of a repeat."""
        name = f"{self.experiment}/{self.group.filter}"
        return Streams(tuple(stream(name, repeat, purpose) for _, repeat in self.labels))

    def followed(self, observations: xr.Dataset, values: Mapping[str, Tensor]) -> xr.Dataset:
        """Analyses of the test observations with learned values."""
        trajectories = self.training["test_trajectories"]
        y = self.observations(observations, trajectories)
        values = {name: value.to(self.device, self.dtype) for name, value in values.items()}
        made = follow(
            self.make(y.shape[-2])(values),
            self.prior(trajectories, "first test state"),
            y,
            limit=self.training.get("limit"),
            restart_beyond=self.training.get("restart_beyond", 1e3),
            progress=f"{self.experiment} {self.group.filter}",
            generator=self.generator("test"),
        )
        axes = ("run", "repeat", "trajectory")
        shape = (len(self.group.points), self.repeats)
        names = build.system(self.case).names

        def variable(dims: tuple[str, ...], value: Tensor, text: str) -> xr.Variable:
            return arrays.labelled(dims, value.unflatten(0, shape), "1", text)

        return self.labelled(
            {
                "x": variable((*axes, "time", "state"), made.mean.float(), "analysis mean"),
                "log_det": variable((*axes, "time"), made.log_det, "log det S"),
                "misfit": variable(
                    (*axes, "time"), made.misfit, "squared innovation in units of S"
                ),
                "restarts": variable(axes, made.restarts, "restarts of the trajectory"),
                "seen": self.seen(y.shape[-2]),
            }
        ).assign_coords(
            state=("state", list(names)), time=observations.time[: y.shape[-2]].variable
        )

    def datasets(self, result: Mapping) -> tuple[xr.Dataset, xr.Dataset]:
        """Learned values, and the history of the learning, by run and repeat."""
        shape = (len(self.group.points), self.repeats)
        weights, history = {}, {}
        for name, value in result["values"].items():
            weights[name] = _padded(name, value.unflatten(0, shape), self)
        for name, value in self.fixed.items():
            weights[f"fixed.{name}"] = _own_dims(f"fixed.{name}", value.unflatten(0, shape))
        for name, value in result["history"].items():
            if isinstance(value, Mapping):
                for kept, values in value.items():
                    history[kept] = _own_dims(kept, values.unflatten(0, shape), "update")
            elif value is not None:
                history[name] = _own_dims(name, value.unflatten(0, shape), "epoch")
        for name, rate in (self.rates or {}).items():
            history[f"rate_{name}"] = _own_dims(f"rate_{name}", rate.unflatten(0, shape))
        return self.labelled(weights), self.labelled(history)

    def seen(self, times: int) -> xr.Variable:
        """(run, time, state), 1 where a component is observed."""
        operator = self.operator(times)
        seen = torch.zeros(times, self.size, dtype=torch.int8)
        for k in range(times):
            now = operator.at(k) if isinstance(operator, MovingSubset) else operator
            seen[k, now.selected(self.size)] = 1
        seen = seen.expand(len(self.group.points), -1, -1)
        text = "1 where the component is observed"
        return arrays.labelled(("run", "time", "state"), seen, "1", text)

    def labelled(self, variables: Mapping[str, xr.Variable]) -> xr.Dataset:
        """Variables (run, ...) with what says which run is which."""
        points, count = self.group.points, len(self.group.points)
        coords: dict[str, Any] = {
            "filter": ("run", [self.group.filter] * count),
            "repeat": ("repeat", list(range(self.repeats))),
        }
        for name in COORDINATES:
            values = [float(point.get(name, float("nan"))) for point in points]
            coords[name] = ("run", values, described(name))
        return xr.Dataset(dict(variables), coords)

    def _first_models(self) -> tuple[dict[str, Tensor], dict]:
        """Fixed and learned parameters of the map, (run, ...), the same for every filter."""
        points = self.group.points
        variance = torch.tensor([points[p]["start_variance"] for p, _ in self.labels])
        name = self.experiment.rsplit("/", 1)[0]
        streams = Streams(tuple(stream(name, r, "first model") for _, r in self.labels))
        start = self.map.start(variance.double(), streams)
        fixed = {n: v.to(self.device, self.dtype) for n, v in start.fixed.items()}
        return fixed, start.learnable

    def _scalars(self) -> tuple[str, ...]:
        return tuple(n for n in self.fields() if n not in ("background", "gain"))


def in_turn(
    learners: Sequence[Callable], training: xr.Dataset, checkpoint: Checkpoint
) -> list[dict]:
    """The results of all learners, one after the other; what was finished is not done again."""
    works = [partial(learner, training) for learner in learners]
    return one_by_one(works, save=checkpoint.save, resume=checkpoint.load())


def _own_dims(name: str, values: Tensor, first: str | None = None) -> xr.Variable:
    own = [f"{name}_{axis}" for axis in range(values.ndim - 2)]
    if first is not None:
        own[0] = first
    return arrays.labelled(("run", "repeat", *own), values, "1", name)


def _padded(name: str, values: Tensor, one: Experiment) -> xr.Variable:
    """Columns of B up to the size of the state with zeros, of K with NaN where nothing is seen."""
    if name == "background":
        missing = one.size - values.shape[-1]
        values = torch.nn.functional.pad(values, (0, missing))
    if name == "gain":
        index = one.operator(1).selected(one.size)
        whole = values.new_full((*values.shape[:-1], one.size), float("nan"))
        whole[..., index] = values
        values = whole
    return _own_dims(name, values)


def concatenated(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """All runs, with NaN for what some of them do not have."""
    return xr.concat(
        parts, "run", data_vars="all", coords="different", compat="equals", join="outer"
    )


def _of(weights: xr.Dataset, name: str, point: Mapping[str, float]):
    """(run,) bool: the runs of one filter at one point."""
    found = weights["filter"] == name
    for coordinate in COORDINATES:
        values = weights[coordinate]
        if coordinate in point:
            found = found & (abs(values - point[coordinate]) < 1e-9)
        else:
            found = found & values.isnull()
    return found


def _values(weights: xr.Dataset, group: Group) -> dict[str, Tensor]:
    """Learned values (run, ...) of a group, all repeats of the first point first."""
    found = {}
    which = [int(_of(weights, group.filter, p).values.nonzero()[0][0]) for p in group.points]
    for name, array in weights.isel(run=which).data_vars.items():
        values = arrays.to_tensor(array).flatten(0, 1)
        if name.startswith("fixed.") or values.isnan().all():
            continue
        if name == "gain":
            values = values[..., ~values.isnan().all(0).all(0)]
        if name == "background" and "rank" in group.shared:
            values = values[..., : int(group.shared["rank"])]
        found[str(name)] = values
    return found


def _holds_base(section: Mapping, weights: xr.Dataset) -> bool:
    first = runs_of(section)[0]
    return bool(_of(weights, *first).any())


def _reference(
    sections: Mapping, observations: xr.Dataset, experiment: str, device: str
) -> xr.Dataset:
    """The filter that knows the true equations, at the base point."""
    section, case = sections["model"], sections["case"]
    point = runs_of(section)[0].point
    one = Experiment(sections, Group(section["reference"], (point,)), experiment, device)
    true = build.filter(
        case,
        section["filters"][section["reference"]],
        obs_std=torch.full((1,), point["obs_variance"] ** 0.5, dtype=one.dtype, device=device),
        **one.localisation(),
    )
    one.make = lambda times: lambda values: true
    return one.followed(observations, {})


def _grids(
    sections: Mapping, observations: xr.Dataset, weights: xr.Dataset, experiment: str, device: str
) -> xr.Dataset:
    """x_by_<grid> (one axis for each number that is varied, repeat, trajectory, time, state)."""
    section, found = sections["model"], {}
    for name, grid in section.get("grids", {}).items():
        point = base_point(section, grid["filter"]) | grid.get("base", {})
        if not _of(weights, grid["filter"], point).any():
            continue
        axes = {n: torch.tensor(v, dtype=torch.float64) for n, v in grid["vary"].items()}
        cells = torch.cartesian_prod(*axes.values()).reshape(-1, len(axes))
        chosen = sections | {"model": _fewer_repeats(section, grid.get("repeats"))}
        one = Experiment(chosen, Group(grid["filter"], (point,) * len(cells)), experiment, device)
        learned_values = _values(
            weights.isel(repeat=slice(one.repeats)), Group(grid["filter"], (point,))
        )
        values = {n: v.repeat(len(cells), *[1] * (v.ndim - 1)) for n, v in learned_values.items()}
        for column, varied in enumerate(axes):
            values[varied] = cells[:, column].repeat_interleave(one.repeats)
        x = one.followed(observations, values).x
        sizes = [len(v) for v in axes.values()]
        labels = {n: name if len(axes) == 1 else f"{name}_{n}" for n in axes}
        own = (f"repeat_{name}", "trajectory", f"time_{name}", "state")
        dims = (*labels.values(), *own)
        data = x.values.reshape(*sizes, *x.shape[1:])
        found[f"x_by_{name}"] = xr.Variable(dims, data, x.attrs)
        found |= {labels[n]: (labels[n], v.numpy(), described(n)) for n, v in axes.items()}
        found[f"repeat_{name}"] = (f"repeat_{name}", list(range(one.repeats)))
        found[f"time_{name}"] = (f"time_{name}", x.time.values, x.time.attrs)
    return xr.Dataset({n: v for n, v in found.items() if n.startswith("x_by_")}).assign_coords(
        {n: v for n, v in found.items() if not n.startswith("x_by_")}
    )


def _fewer_repeats(section: Mapping, repeats: int | None) -> Mapping:
    if repeats is None:
        return section
    training = section["training"]
    fewer = training | {"repeats": min(repeats, training["repeats"])}
    return section | {"training": fewer}
