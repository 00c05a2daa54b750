"""Learning rates of filters that learn: those that fit held-out observations best.

All combinations of candidates are tried at once: they are further runs, with the first models and
the noise of the learning that they are for.
"""

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from itertools import product

import torch
import xarray as xr
from torch import Tensor

from dalib import arrays
from dalib.cases.checkpoint import FORGOTTEN, Checkpoint
from dalib.points import Group, groups_of
from papers.adda.learning import Experiment, concatenated, in_turn


def tuned(
    sections: Mapping,
    training: xr.Dataset,
    held_out: xr.Dataset,
    *,
    batch: Mapping,
    experiment: str,
    device: str,
    checkpoint: Checkpoint = FORGOTTEN,
) -> xr.Dataset:
    """Learning rates for the runs of one job, each from its own held-out loss or from a shared one.

    rate (run, repeat, group), what was chosen, NaN where the filter has no parameters of a group;
    held_out (run, repeat, candidate), mean held-out loss of the last epochs, NaN where that is not
    finite; candidate_rate (candidate, group).

    Args:
        sections: `case`, `model` with `tune`, `training`, and `training_of_<filter>` where the
            training of a filter differs.
        training, held_out: y ([error,] seed, time, obs); successive seeds are the trajectories of
            a repeat.
        batch: `index` of the job.
    """
    section = tuning_section(sections)
    groups = groups_of(section)[batch["index"] :: section["jobs"]]
    whole = {"case": sections["case"], "model": section}
    tunings = [Tuning(whole, group, held_out, experiment, device) for group in groups]
    done = in_turn([one.learn for one in tunings], training, checkpoint)
    parts = [one.dataset(result) for one, result in zip(tunings, done, strict=True)]
    return concatenated(parts).assign(
        candidate_rate=arrays.labelled(
            ("candidate", "group"), candidates_of(section["tune"]), "1", "learning rate"
        )
    )


def tuning_section(sections: Mapping) -> dict:
    """The experiment as it is tuned: its own number of epochs, and of repeats and points."""
    model, tune = sections["model"], sections["model"]["tune"]
    if tune["last"] > tune["epochs"]:
        raise ValueError(
            f"tune.last asks for the loss of the last {tune['last']} epochs, but tune.epochs is "
            f"{tune['epochs']}; give no more than these"
        )
    own: dict = {"epochs": tune["epochs"]}
    if tune["per"] == "experiment":
        model, own = model | {"sweeps": {}}, own | {"repeats": tune.get("repeats", 1)}
    prefix = "training_of_"
    differing = {
        name.removeprefix(prefix): training | own
        for name, training in sections.items()
        if name.startswith(prefix)
    }
    return model | {"training": sections["training"] | own, "training_of": differing}


def candidates_of(tune: Mapping) -> Tensor:
    """(candidate, group), every combination of the rates given for each group of parameters."""
    return torch.tensor(list(product(*tune["candidates"].values())), dtype=torch.float64)


def best(held_out: Tensor, *, shared: bool) -> Tensor:
    """The candidate of the least loss (point, repeat, candidate), (point, repeat) int.

    One that is not finite loses. A shared candidate has the least mean over the repeats.
    """
    score = held_out.mean(1, keepdim=True).expand_as(held_out) if shared else held_out
    return torch.where(score.isfinite(), score, math.inf).argmin(-1)


class Tuning:
    """All candidates for one group of runs, as further runs."""

    def __init__(
        self, sections: Mapping, group: Group, held_out: xr.Dataset, experiment: str, device: str
    ) -> None:
        self.sections, self.group, self.held_out = sections, group, held_out
        self.experiment, self.device = experiment, device
        self.alone = Experiment(sections, group, experiment, device)
        self.tune = sections["model"]["tune"]
        self.groups, self.candidates = list(self.tune["candidates"]), candidates_of(self.tune)

    @cached_property
    def owned(self) -> list[bool]:
        """Of each group of parameters, whether the filter has any."""
        return [name in self.alone.parameter_groups() for name in self.groups]

    def learn(self, training: xr.Dataset, save: Callable | None, resume: dict | None) -> dict:
        """held_out (point, repeat, candidate); candidates that differ in nothing run once."""
        own = [tuple(row[self.owned].tolist()) for row in self.candidates]
        tried = list(dict.fromkeys(own))
        points, repeats = len(self.group.points), self.alone.repeats
        columns = self.candidates[[own.index(row) for row in tried]].unbind(1)
        runs = Experiment(
            self.sections,
            Group(self.group.filter, self.group.points * len(tried)),
            self.experiment,
            self.device,
            rates={
                name: rate.repeat_interleave(points * repeats)
                for name, rate in zip(self.groups, columns, strict=True)
            },
        )
        made = runs.learn(training, save, resume, held_out=self.held_out)
        score = made["history"]["held_out"][:, -self.tune["last"] :].mean(1)
        score = score.unflatten(0, (len(tried), points, repeats))
        return {"held_out": score[[tried.index(row) for row in own]].movedim(0, -1)}

    def dataset(self, result: Mapping[str, Tensor]) -> xr.Dataset:
        """What was chosen, and why."""
        held_out = result["held_out"]
        shared = self.tune["per"] == "experiment"
        self._check_some_learned(held_out.mean(1, keepdim=True) if shared else held_out, shared)
        rate = self.candidates[best(held_out, shared=shared)]
        rate[..., ~torch.tensor(self.owned)] = torch.nan
        held_out = torch.where(held_out.isfinite(), held_out, torch.nan)
        axes = ("run", "repeat")
        return self.alone.labelled(
            {
                "rate": arrays.labelled((*axes, "group"), rate, "1", "learning rate"),
                "held_out": arrays.labelled((*axes, "candidate"), held_out, "1", "held-out loss"),
            }
        ).assign_coords(group=self.groups)

    def _check_some_learned(self, scores: Tensor, shared: bool) -> None:
        lost = ~scores.isfinite().any(-1)
        if lost.any():
            point, repeat = lost.nonzero()[0].tolist()
            who = "over all repeats" if shared else f"in repeat {repeat}"
            candidates = self.tune["candidates"].items()
            least = ", ".join(f"{name} {min(rates):g}" for name, rates in candidates)
            raise ValueError(
                f"no candidate of learning rates gives {self.group.filter!r} a finite held-out "
                f"loss {who} at the point {dict(self.group.points[point])} ({int(lost.sum())} of "
                f"{lost.numel()} choices fail so); the smallest candidates are {least}: give "
                "smaller ones in tune.candidates"
            )
