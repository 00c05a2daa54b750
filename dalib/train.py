"""The one training loop: batches, learning rate, loss, history. It knows no architecture.

A model is a `torch.nn.Module` whose parameters all have a leading `repeat` axis, with

    loss(batch, fraction, generator) -> (repeat,)      fraction of the training that is done
    report(batch, generator) -> {name: (repeat, ...)}   what to watch on data held fixed

Repeats are trained at once but never meet: their losses are added, their gradients clipped apart.
An ordinary module, without that axis, is trained by `dalib.replicates`.
"""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dalib.resumable import Resumable, Save
from dalib.streams import Generator, Streams, each, integers, normal

Batch = Callable[[Generator | None], Tensor]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Windows:
    """Batches of windows of successive samples, case and start uniform, with replacement.

    Args:
        series: (case, time, size), complete; or whole numbers (case, time), such as tokens.
        length: samples in a window.
        batch: windows in a batch, for each repeat.
        repeats: trainings that draw independently.
    """

    series: Tensor
    length: int
    batch: int
    repeats: int

    def __post_init__(self) -> None:
        time = self.series.shape[1]
        if time < self.length:
            raise ValueError(
                f"windows of {self.length} samples (a context and what follows it) need series at "
                f"least that long, got {time}; simulate more samples or shorten the context"
            )
        missing = int((~self.series.isfinite()).sum())
        if missing:
            raise ValueError(
                f"training needs complete series, but {missing} of {self.series.numel()} values "
                f"are missing or infinite"
            )

    def __call__(self, generator: Generator | None) -> Tensor:
        """(repeat, batch, length, size); of whole numbers (repeat, batch, length) int64."""
        cases, time = self.series.shape[:2]
        starts = time - self.length + 1
        chosen = integers(cases * starts, (self.repeats, self.batch), generator)
        chosen = chosen.to(self.series.device).unsqueeze(-1)
        when = chosen % starts + torch.arange(self.length, device=self.series.device)
        windows = self.series[chosen // starts, when]
        return windows if windows.is_floating_point() else windows.long()


@dataclass(frozen=True)
class Draws:
    """Batches of single states, uniform with replacement, blurred by fresh noise.

    Args:
        states: (sample, size).
        batch: states in a batch, for each repeat.
        noise_std: (repeat,), standard deviation of the noise in the units of the states.
    """

    states: Tensor
    batch: int
    noise_std: Tensor

    def __call__(self, generator: Generator | None) -> Tensor:
        """(repeat, batch, size)."""
        shape = (len(self.noise_std), self.batch)
        drawn = self.states[integers(len(self.states), shape, generator).to(self.states.device)]
        noise = normal(drawn.shape, generator, drawn.dtype).to(drawn.device)
        return drawn + self.noise_std.to(drawn)[:, None, None] * noise


@dataclass(frozen=True)
class Training:
    """How long and how fast: AdamW (Adam without `decay`), gradients clipped by norm.

    The rate rises linearly over `warmup` steps, stays until the fraction `flat` of all steps, and
    falls as a half cosine to `last` times its height.

    Args:
        steps: number of updates.
        rate: largest learning rate.
        warmup: steps of linear rise.
        flat: fraction of the steps after which the rate falls.
        last: what is left of the rate at the end, as a fraction.
        clip: largest norm of one repeat's gradient; None for no limit.
        betas, epsilon, decay: of AdamW.
        average: the final weights are exponential averages with this memory per step, of the
            weights after each update alone, whatever the number of steps; None for the last
            weights themselves.
        check_every: steps between two reports.
        best_by: name of a report, such as held_out_loss: each repeat ends with the weights of the
            check where it was least; None for the last weights.
        patience: checks in a row without a new least value, after which a repeat is as if it were
            not trained on: a later value does not count. The training stops when all are so far;
            None for never.
    """

    steps: int
    rate: float
    warmup: int = 0
    flat: float = 0.5
    last: float = 0.01
    clip: float | None = None
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    decay: float = 0.0
    average: float | None = None
    check_every: int = 50
    best_by: str | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        if self.best_by is not None and self.average is not None:
            raise ValueError(
                "reports are on the weights of a step, not on their average: set `best_by` or "
                "`average`, not both"
            )
        if self.patience is not None and self.best_by is None:
            raise ValueError("patience needs `best_by`, the report that is waited for")

    def rate_at(self, step: int) -> float:
        """Learning rate of step 0 ... steps - 1."""
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        start = max(self.flat * self.steps, self.warmup)
        if step <= start:
            return self.rate
        left = 0.5 * (1 + math.cos(math.pi * (step - start) / max(self.steps - 1 - start, 1)))
        return self.rate * (self.last + (1 - self.last) * left)

    def weight_at(self, step: int) -> float:
        """Of the weights after update 0 ... steps - 1 in their average, with β = `average`:

            a_k = (1 - β) / (1 - β^{k+1}),   m <- m + a_k (w - m)

        so that m = Σ β^{k-i} w_i / Σ β^{k-i}, in which the first weights have no part.
        """
        return (1 - self.average) / (1 - self.average ** (step + 1))


class History(NamedTuple):
    """What happened during a training.

    loss: (repeat, step), of each batch until the training ended.
    checks: (check,), number of updates done when the model was reported on.
    reports: {"<watched>_<name>": (repeat, check, ...)}.
    """

    loss: Tensor
    checks: Tensor
    reports: dict[str, Tensor]


def fit(
    model: nn.Module,
    draw: Batch,
    training: Training,
    *,
    watched: Mapping[str, Tensor] | None = None,
    progress: str | None = None,
    save: Save | None = None,
    resume: dict | None = None,
    generator: Generator,
) -> History:
    """Train `model` in place; returns the history.

    Args:
        model: as described at the top of this module.
        draw: gives a batch from the generator.
        watched: named batches held fixed, e.g. training and held-out windows, on which the model
            reports before the first update, every `check_every` and after the last, with the
            weights of that step and not their average. Reports draw from copies of the
            generators, so that watching changes nothing.
        progress: label of the progress bar on stderr; None for none.
        save, resume: after every step, see `resumable`; what is of other data, settings or a model
            of another shape is left aside.
        generator: draws batches and the noise of the loss.
    """
    run = _Fit(model, draw, training, watched or {}, generator)
    return run.run(save=save, resume=resume, progress=progress)


class _Fit(Resumable):
    """A training under way."""

    what, unit = "another training", "step"

    def __init__(
        self,
        model: nn.Module,
        draw: Batch,
        training: Training,
        watched: Mapping[str, Tensor],
        generator: Generator,
    ) -> None:
        self.model, self.training, self.generator = model, training, generator
        self.draw, self.watched = draw, watched
        self.parameters = list(model.parameters())
        self.optimiser = torch.optim.AdamW(
            self.parameters,
            lr=training.rate,
            betas=training.betas,
            eps=training.epsilon,
            weight_decay=training.decay,
            fused=True,
        )
        averaged = self.parameters if training.average is not None else []
        self.average = [p.detach().clone() for p in averaged]
        # (step, repeat), at once: a small tensor a step, kept among large ones that come and go,
        # would pin the memory between them
        first = self.parameters[0]
        self.losses = torch.empty(training.steps, len(first), dtype=first.dtype)
        self.done, self.total = 0, training.steps
        self.checks: list[int] = []
        self.reports: list[dict[str, Tensor]] = []
        kept = self.parameters if training.best_by is not None else []
        self.best = [p.detach().clone() for p in kept]

    @property
    def finished(self) -> bool:
        """Also when every repeat has waited long enough for a new least value."""
        patience = self.training.patience
        if super().finished or patience is None or not self.checks:
            return super().finished
        return bool((len(self.checks) - 1 - self._best() >= patience).all())

    @property
    def since(self) -> int:
        """The step of the latest check at which a repeat had its least value."""
        return self.checks[int(self._best().max())]

    def _best(self) -> Tensor:
        """(repeat,), the first check of least value, up to where the repeat waited long enough.

        What comes after does not count, so that no repeat depends on how long others go on.
        """
        values = torch.stack([report[self.training.best_by] for report in self.reports])
        best = torch.zeros(values.shape[1], dtype=torch.int64)
        for i in range(1, len(values)):
            waits = i - 1 - best < (self.training.patience or len(values))
            least = values.gather(0, best[None])[0]
            best = torch.where(waits & (values[i] < least), i, best)
        return best

    def decides(self) -> tuple:
        """The kind of the model, what it learns from, and how."""
        parts = getattr(self.model, "parts", ())  # what the name of the class does not say
        return type(self.model).__qualname__, *parts, self.draw, self.training

    def advance(self) -> None:
        """One step of the optimiser, and a report where it is time."""
        if not self.checks:
            self._check()
        self._update(self.draw(self.generator))
        if self.done % self.training.check_every == 0:
            self._check()

    def note(self) -> str:
        """The latest loss."""
        return f"loss {self.losses[self.done - 1].mean():.3f}"

    def _update(self, batch: Tensor) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.training.rate_at(self.done)
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.model.loss(batch, self.done / self.training.steps, self.generator)
        loss.sum().backward()
        if self.training.clip is not None:
            clip_gradients(self.parameters, self.training.clip)
        self.optimiser.step()
        if self.average:
            latest = [p.detach() for p in self.parameters]
            torch._foreach_lerp_(self.average, latest, self.training.weight_at(self.done))
        self.losses[self.done] = loss.detach()
        self.done += 1

    def _check(self) -> None:
        """Report on the watched batches, once for each number of steps."""
        self._require_finite()
        if self.done in self.checks:
            return
        self.checks.append(self.done)
        self.reports.append(
            {
                f"{name}_{quantity}": value.cpu()
                for name, batch in self.watched.items()
                for quantity, value in self.model.report(batch, _copy(self.generator)).items()
            }
        )
        if self.best:
            self._keep_best()

    def _keep_best(self) -> None:
        if self.training.best_by not in self.reports[-1]:
            raise ValueError(
                f"best_by is {self.training.best_by!r}, but the reports are "
                f"{', '.join(self.reports[-1])}"
            )
        new = self._best() == len(self.reports) - 1
        for kept, parameter in zip(self.best, self.parameters, strict=True):
            kept[new] = parameter.detach()[new]

    def fixed(self) -> dict[str, Any]:
        """All weights."""
        return {"model": self.model.state_dict(), "average": self.average, "best": self.best}

    def changing(self) -> dict[str, Any]:
        """The optimiser, and what happened so far."""
        return {
            "optimiser": self.optimiser.state_dict(),
            "losses": self.losses[: self.done].clone(),
            "checks": self.checks,
            "reports": {
                name: torch.stack([report[name] for report in self.reports])
                for name in self.reports[0]
            },
        }

    def restore(self, state: dict) -> None:
        """Take back weights, optimiser and what happened."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average, self.best = (
            [
                value.to(parameter.device, copy=True)
                for value, parameter in zip(state[name], self.parameters, strict=False)
            ]
            for name in ("average", "best")
        )
        self.done, self.checks = len(state["losses"]), list(state["checks"])
        self.losses[: self.done] = state["losses"]
        self.reports = [
            {name: values[i] for name, values in state["reports"].items()}
            for i in range(len(self.checks))
        ]

    def finish(self) -> History:
        """Put averaged or best weights into the model; what happened."""
        if not super().finished:
            logger.info("stops: no better `%s` since step %d", self.training.best_by, self.since)
        self._check()
        with torch.no_grad():
            for parameter, value in zip(self.parameters, self.average or self.best, strict=False):
                parameter.copy_(value)
        return History(
            loss=self.losses[: self.done].T.contiguous(),
            checks=torch.tensor(self.checks),
            reports={
                name: torch.stack([report[name] for report in self.reports], 1)
                for name in self.reports[0]
            },
        )

    def _require_finite(self) -> None:
        latest = self.losses[max(self.done - 1, 0)]
        if self.done and not latest.isfinite().all():
            lost = (~latest.isfinite()).nonzero().flatten().tolist()
            raise FloatingPointError(
                f"the loss of repeat {', '.join(map(str, lost))} is {latest[lost[0]]} "
                f"after {self.done} steps; lower `rate` or `clip`"
            )


def clip_gradients(parameters: list[nn.Parameter], limit: float) -> Tensor:
    """Scale each repeat's gradient to a norm of at most `limit`; returns the norms, (repeat,)."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norms = [torch.linalg.vector_norm(g.flatten(1), dim=1) for g in gradients]
    norm = torch.linalg.vector_norm(torch.stack(norms), dim=0)
    factor = (limit / norm).clamp(max=1)
    for g in gradients:
        g.mul_(factor.view(-1, *[1] * (g.ndim - 1)))
    return norm


def _copy(generator: Generator) -> Generator:
    copies = tuple(one.clone_state() for one in each(generator))
    return Streams(copies) if isinstance(generator, Streams) else copies[0]
