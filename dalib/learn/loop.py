"""The learning of parameters through a filter: truncated backpropagation, many runs at once.

Runs (repeats, candidates of learning rates, values of a sweep) lie along the first axis of all
tensors and never meet: their losses are added; rates, clipping, skipping and restarts are each
run's own.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dalib.filters import Ensemble, Gaussian
from dalib.filters.checks import explain
from dalib.learn.adam import Adam
from dalib.learn.checks import check_filter, check_given, check_observed, check_parts, expanded
from dalib.learn.parameters import Learnable
from dalib.learn.schedule import Constant, Decay, Plateau
from dalib.learn.segment import LOSSES, Series
from dalib.resumable import Resumable, Save
from dalib.streams import Generator, Streams, continue_from, positions
from dalib.train import clip_gradients

Values = dict[str, Tensor]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Learning:
    """How long, how fast, and what happens to trajectories and gradients that go astray.

    Args:
        epochs: passes through all observations.
        rates: of each group of parameters, a number or (run,).
        segment: observation times between two updates, through which gradients go back.
        schedule: of the rates over the epochs.
        clip: largest norm of one run's gradient of one group.
        limit: forecast states are clamped to ± this; None for no limit.
        restart_beyond: a trajectory whose innovation is more standard deviations away, or that is
            not finite, starts again from its belief at time 0; its loss at that time is left out.
    """

    epochs: int
    rates: Mapping[str, float | Tensor]
    segment: int = 20
    schedule: Constant | Decay | Plateau = field(default_factory=Constant)
    clip: float = 10.0
    limit: float | None = None
    restart_beyond: float = 1e3

    def __post_init__(self) -> None:
        for name in ("epochs", "segment"):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= 1):
                raise ValueError(f"{name} is {value!r}; give a whole number, 1 or more")
        for name in ("clip", "limit", "restart_beyond"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value!r}; it has to be positive")


class History(NamedTuple):
    """What happened during a learning, by epoch.

    loss: (run, epoch), mean over times and trajectories that were not lost; NaN where all were.
        The negative log-likelihood is without its constant ½ p log 2π.
    held_out: (run, epoch), that loss of the parameters after the epoch on other observations, or
        None.
    factor: (run, epoch), of the learning rates.
    skipped, restarts, clamped: (run, epoch) int64, updates, trajectories, members.
    values: {name: (run, epoch + 1, ...)} of the parameters to be kept, from the start on.
    """

    loss: Tensor
    held_out: Tensor | None
    factor: Tensor
    skipped: Tensor
    restarts: Tensor
    clamped: Tensor
    values: Values


class Learned(NamedTuple):
    """values: {name: (run, ...)} after the last update; NaN in runs whose loss never was finite."""

    values: Values
    history: History


def learn(
    make: Callable[[Values], object],
    learnables: Mapping[str, Learnable],
    prior: Gaussian | Ensemble,
    observations: Tensor,
    settings: Learning,
    *,
    loss: str = "likelihood",
    held_out: tuple[Gaussian | Ensemble, Tensor] | None = None,
    keep: Sequence[str] = (),
    progress: str | None = None,
    save: Save | None = None,
    resume: dict | None = None,
    generator: Generator,
) -> Learned:
    """Parameters under which `observations` are likely, as a filter sees them.

    In every epoch the filter starts from the same belief, drawn once. It passes the observations
    in segments; after each, one Adam update follows the gradient of the segment's loss with
    respect to all that happened since the segment began.

        likelihood: ½ Σ_t [log det S_t + d_tᵀ S_t⁻¹ d_t]      d_t, S_t: innovation, its covariance
        misfit:     mean over t of |d_t|²
        crps:       mean over t of the ranked probability score of each value of y_t
        energy:     mean over t of the energy score of y_t, of ensembles

    each averaged over trajectories. The last two are proper (`dalib.learn.scores`): they tune
    inflation, radius, hybrid weight, errors of the observations and of the model so that the
    forecast of y is sharp and reliable, also where it is not Gaussian.

    Args:
        make: {name: (run, ...)} -> the filter with these values, built anew for every segment. The
            filter sees beliefs (run, trajectory, [member,] state) and y (run, trajectory, obs).
        learnables: named parameters.
        prior: at time 0; its leading axes broadcast to (run, trajectory).
        observations: (run, trajectory, time, obs), NaN where missing.
        loss: "likelihood", "misfit", "crps" or "energy".
        held_out: a prior and observations on which the parameters are judged after each epoch,
            with the same noise every time.
        keep: names of the parameters whose values after each epoch the history has.
        progress: label of the progress bar on stderr; None for none.
        save, resume: after every update, see `resumable`.
        generator: `Streams`, one for each run; for a single run also one generator.
    """
    if loss not in LOSSES:
        raise ValueError(f"unknown loss {loss!r}; known: {', '.join(sorted(LOSSES))}")
    check_given(learnables, observations, settings.rates, held_out, keep, generator)
    run = _Learn(make, learnables, prior, observations, settings, loss, held_out, keep, generator)
    return run.run(save=save, resume=resume, progress=progress)


class _Learn(Resumable):
    """A learning under way."""

    what, unit = "another learning", "update"

    def __init__(
        self, make, learnables, prior, observations, settings, loss, held_out, keep, generator
    ) -> None:
        self.make, self.learnables, self.settings, self.keep = make, learnables, settings, keep
        self.given = (learnables, prior, observations, settings, loss, held_out, keep)
        self.runs = len(observations)
        streams = generator if isinstance(generator, Streams) else Streams((generator,))
        self.generator, self.held_generator = streams, _copy(streams)
        self.latents = {
            name: learnable.first(name).requires_grad_() for name, learnable in learnables.items()
        }
        self.adam = Adam(self.latents)
        self.groups: dict[str, list[Tensor]] = {}
        for name, latent in self.latents.items():
            self.groups.setdefault(learnables[name].group, []).append(latent)
        self.rates = {
            group: torch.as_tensor(settings.rates[group], dtype=torch.float64).expand(self.runs)
            for group in self.groups
        }
        guards = (loss, settings.limit, settings.restart_beyond)
        with torch.no_grad():
            filter = _made(make, self.values())
            self.series = _started(filter, prior, observations, guards, self.generator)
            self.held_out = held_out and _started(filter, *held_out, guards, self.held_generator)
        self.held_from = positions(self.held_generator)
        self.segments = self.series.segments(settings.segment)
        self.total, self.done = settings.epochs * len(self.segments), 0
        self.cautious, self.held_cautious = False, False
        self.belief, self.tally = self.series.first, _Tally(self.runs)
        self.epochs: list[Values] = []
        self.factor = self._factor()
        self.kept = {name: [self._value(name)] for name in keep}

    def values(self) -> Values:
        """{name: (run, ...)}, functions of the latent numbers."""
        return {name: one.value(self.latents[name]) for name, one in self.learnables.items()}

    def decides(self) -> tuple:
        """Learnables, observations and settings."""
        return self.given

    def note(self) -> str:
        """The loss of the latest epoch."""
        return f"loss {self.epochs[-1]['loss'].mean():.3f}" if self.epochs else ""

    def advance(self) -> None:
        """One segment and one step of Adam; after the last segment, the end of the epoch."""
        times = self.segments[self.done % len(self.segments)]
        filter, belief = _made(self.make, self.values()), detached(self.belief)
        try:
            passed = self.series.through(
                filter, belief, times, self.generator, cautious=self.cautious
            )
        except Exception as error:
            if not self.done:
                explain(filter, belief, error)
            raise
        objective = passed.scores.sum(0).mean(-1)
        if self.series.loss != "likelihood":
            objective = objective / len(times)
        skipped = self._step(self._gradients(objective))
        self.belief = detached(passed.belief)
        self.tally.add(passed, skipped)
        self.cautious = bool(passed.lost.any())
        self.done += 1
        if self.done % len(self.segments) == 0:
            self._end_epoch()

    def _gradients(self, objective: Tensor) -> Values:
        for latent in self.latents.values():
            latent.grad = None
        if objective.requires_grad:
            objective.sum().backward()
        lonely = [name for name, latent in self.latents.items() if latent.grad is None]
        if lonely and not self.done:
            raise ValueError(
                f"{', '.join(lonely)} does not reach the loss of the first segment, of "
                f"{len(self.segments[0])} times: use it in make() without detaching it, leave it "
                "out, or give longer segments if it acts on later times only"
            )
        for name in lonely:
            self.latents[name].grad = torch.zeros_like(self.latents[name])
        flat = [name for name, latent in self.latents.items() if not latent.grad.any()]
        if flat and not self.done:
            logger.warning(
                "the loss of the first segment, of %d times, has slope 0 in %s: does step() or "
                "observe() round, count or cut off?",
                *(len(self.segments[0]), ", ".join(flat)),
            )
        return {name: latent.grad for name, latent in self.latents.items()}

    def _step(self, gradients: Values) -> Tensor:
        """One step of Adam; (run,) bool, which runs skipped it."""
        for group in self.groups.values():
            clip_gradients(group, self.settings.clip)
        rates = {n: self.factor * self.rates[one.group] for n, one in self.learnables.items()}
        return self.adam.update(gradients, rates)

    def _factor(self) -> Tensor:
        """(run,), of the rates in the present epoch."""
        none = torch.empty(self.runs, 0, dtype=torch.float64)
        losses = [epoch["loss"] for epoch in self.epochs]
        return self.settings.schedule.at(torch.stack(losses, 1) if losses else none)

    def _end_epoch(self) -> None:
        epoch = self.tally.epoch() | {"factor": self.factor}
        if self.held_out is not None:
            epoch["held_out"] = self._judged()
        self.epochs.append(epoch)
        self.factor = self._factor()
        for name, values in self.kept.items():
            values.append(self._value(name))
        self.belief, self.tally = self.series.first, _Tally(self.runs)

    @torch.no_grad()
    def _judged(self) -> Tensor:
        """(run,), loss of the present parameters on the held-out observations."""
        continue_from(self.held_from, self.held_generator)
        filter, tally = _made(self.make, self.values()), _Tally(self.runs)
        belief = self.held_out.first
        for times in self.held_out.segments(self.settings.segment):
            passed = self.held_out.through(
                filter, belief, times, self.held_generator, cautious=self.held_cautious
            )
            tally.add(passed)
            belief, self.held_cautious = passed.belief, bool(passed.lost.any())
        return tally.epoch()["loss"]

    @torch.no_grad()
    def _value(self, name: str) -> Tensor:
        return self.learnables[name].value(self.latents[name]).clone()

    def fixed(self) -> dict[str, Any]:
        """Latent numbers, and the first beliefs."""
        return {
            "latents": {name: latent.detach().clone() for name, latent in self.latents.items()},
            "first": [*self.series.first],
            "held_first": [] if self.held_out is None else [*self.held_out.first],
        }

    def changing(self) -> dict[str, Any]:
        """Optimiser, belief, and what happened so far."""
        return {
            "done": self.done,
            "adam": self.adam.state(),
            "belief": [*self.belief],
            "held_from": self.held_from,
            "tally": {name: value.clone() for name, value in vars(self.tally).items()},
            "epochs": [dict(epoch) for epoch in self.epochs],
            "kept": {name: list(values) for name, values in self.kept.items()},
        }

    def restore(self, state: dict) -> None:
        """Take back latent numbers, optimiser, beliefs and what happened."""
        with torch.no_grad():
            for name, latent in self.latents.items():
                latent.copy_(state["latents"][name])
        self.adam.restore(state["adam"])
        for own, saved in ((self.series, "first"), (self.held_out, "held_first")):
            for value, other in zip(own.first if own else (), state[saved], strict=True):
                value.copy_(other)
        self.belief = type(self.belief)(
            *(saved.to(own) for saved, own in zip(state["belief"], self.belief, strict=True))
        )
        self.held_from = state["held_from"]
        self.done = state["done"]
        for name, value in state["tally"].items():
            getattr(self.tally, name).copy_(value)
        self.epochs = [dict(epoch) for epoch in state["epochs"]]
        self.factor = self._factor()
        self.kept = {name: list(values) for name, values in state["kept"].items()}

    def finish(self) -> Learned:
        """The values, and what happened."""

        def series(name: str) -> Tensor:
            return torch.stack([epoch[name] for epoch in self.epochs], 1)

        never = ~series("loss").isfinite().any(1)
        values = {name: self._value(name) for name in self.latents}
        for value in values.values():
            value[never] = torch.nan
        return Learned(
            values,
            History(
                loss=series("loss"),
                held_out=None if self.held_out is None else series("held_out"),
                factor=series("factor"),
                skipped=series("skipped"),
                restarts=series("restarts"),
                clamped=series("clamped"),
                values={name: torch.stack(kept, 1) for name, kept in self.kept.items()},
            ),
        )


class _Tally:
    """What is counted during an epoch, all (run,)."""

    def __init__(self, runs: int) -> None:
        self.score = torch.zeros(runs, dtype=torch.float64)
        self.seen, self.restarts, self.clamped, self.skipped = torch.zeros(
            4, runs, dtype=torch.int64
        )

    def add(self, passed, skipped: Tensor | None = None) -> None:
        """One passage, and which runs skipped the update after it."""
        self.score += passed.scores.detach().double().sum((0, 2)).cpu()
        self.seen += (~passed.lost).sum((0, 2)).cpu()
        self.restarts += passed.lost.sum((0, 2)).cpu()
        self.clamped += passed.clamped.cpu()
        if skipped is not None:
            self.skipped += skipped.cpu()

    def epoch(self) -> Values:
        """Mean loss where there was any, and the counts."""
        counts = {name: getattr(self, name) for name in ("restarts", "clamped", "skipped")}
        return {"loss": self.score / self.seen} | counts  # 0 / 0 is NaN


def detached(belief):
    """The belief as a constant."""
    return type(belief)(*(value.detach() for value in belief))


def _made(make, values: Values):
    filter = make(values)
    check_filter(filter)
    return filter


def _started(filter, prior, observations: Tensor, guards: tuple, generator: Streams) -> Series:
    """The observations and the belief before them, drawn by the filter."""
    prior = expanded(prior, tuple(observations.shape[:2]))
    check_parts(filter, prior, observations, generator)
    first = filter.start(prior, generator)
    first = type(first)(*(value.detach().clone() for value in first))
    check_observed(filter, first.mean, observations)
    return Series(first, observations.to(first[0]), *guards)


def _copy(streams: Streams) -> Streams:
    return Streams(tuple(one.clone_state() for one in streams.generators))
