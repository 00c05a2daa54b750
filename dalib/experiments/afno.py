"""A network that forecasts gridded states: trained on steps, then on windows of several."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from dalib import build
from dalib.cases.checkpoint import FORGOTTEN, Checkpoint, Parts
from dalib.nets.afno import AFNO
from dalib.nets.scaling import Scaling, per_channel
from dalib.streams import Streams
from dalib.train import History, Training, Windows, fit

NETWORKS = {AFNO: "afno"}  # classes by which what a job uses is found, and names

WATCHED = 64  # windows held fixed, on which a training reports

Named = Callable[..., torch.Generator]  # the random stream of some names


class SeriesData(NamedTuple):
    """train, valid: (seed, time, state), gridded; shape: (variable, x, y) of a state."""

    train: Tensor
    valid: Tensor
    shape: tuple[int, int, int]


@dataclass(frozen=True)
class FittedAFNO:
    """Weights (1, ...) of an `AFNO` of `settings` on a `grid` (x, y), and what happened.

    history: `loss` (step,), `updates` (check,), and reports (check,).
    """

    settings: Mapping[str, Any]
    grid: tuple[int, int]
    weights: Mapping[str, Tensor]
    history: Mapping[str, Tensor]

    @cached_property
    def network(self) -> Any:
        """The network with its weights."""
        scaling = Scaling(self.weights["scaling.mean"], self.weights["scaling.std"])
        supplies = {"scaling": lambda: scaling, "grid": lambda: self.grid}
        network = build.make("network", self.settings, supplies)
        network.load_state_dict(dict(self.weights))
        return network

    def step(self, x: Tensor) -> Tensor:
        """(..., state) -> (..., state) in physical units, one step later."""
        self.network.to(x.device)
        return self.network.step(x)


@dataclass(frozen=True)
class AFNOForecast:
    """Adaptive Fourier neural operator that learns x(t) -> x(t + step), see `dalib.nets.afno`.

    With `fine_steps`, it goes on with longer windows, in which a step starts from the last
    forecast; these updates and reports follow those before. Channels are standardised by their
    moments over the training states alone.

    Args:
        patch, width, depth, blocks, ratio: sizes of the network.
        window, batch: states in a window, and windows in an update.
        steps, rate, flat, last, clip, check_every: of the training, see `dalib.train.Training`.
        fine_steps, fine_window, fine_rate: what differs afterwards; no steps, nothing follows.
    """

    patch: int = 4
    width: int = 64
    depth: int = 2
    blocks: int = 4
    ratio: int = 2
    window: int = 2
    batch: int = 8
    steps: int = 1500
    rate: float = 2e-3
    flat: float = 0.0
    last: float = 0.02
    clip: float | None = 1.0
    check_every: int = 300
    fine_steps: int = 0
    fine_window: int = 3
    fine_rate: float = 2e-4
    needs: ClassVar[frozenset[str]] = frozenset({"states"})

    @property
    def network(self) -> dict[str, Any]:
        """Settings of the network."""
        names = ("patch", "width", "depth", "blocks", "ratio")
        return {"kind": NETWORKS[AFNO], **{name: getattr(self, name) for name in names}}

    def training(self, **other: Any) -> Training:
        """Settings of the training, some of them others."""
        names = ("steps", "rate", "flat", "last", "clip", "check_every")
        return Training(**{name: getattr(self, name) for name in names} | other)

    def fit(
        self,
        data: SeriesData,
        streams: Named,
        *,
        device: str = "cpu",
        checkpoint: Checkpoint = FORGOTTEN,
    ) -> FittedAFNO:
        """The network after its training."""

        def generator(purpose: str) -> Streams:
            return Streams((streams(0, purpose),))

        parts, grid = Parts(checkpoint), data.shape[1:]
        settings = self.network
        series = [part.to(device) for part in (data.train, data.valid)]
        supplies = {
            "scaling": lambda: per_channel(series[0], data.shape[0]),
            "grid": lambda: grid,
            "generator": lambda: generator("first weights"),
        }
        network = build.make("network", settings, supplies).to(device)
        windows = partial(self._windows, series, generator)
        history = _trained(network, self.training(), *windows(self.window), generator, parts)
        if self.fine_steps:
            fine = self.training(steps=self.fine_steps, rate=self.fine_rate)
            longer = windows(self.fine_window)
            after = _trained(network, fine, *longer, generator, parts, "fine tuning")
            history = _joined(history, after)
        weights = {name: value.detach().cpu() for name, value in network.state_dict().items()}
        return FittedAFNO(settings, tuple(grid), weights, _kept(history))

    def _windows(
        self, series: Sequence[Tensor], generator: Callable[[str], Streams], length: int
    ) -> tuple[Windows, list[Tensor]]:
        """Batches of training windows, and windows of both parts that are held fixed."""
        fixed = [Windows(x, length, WATCHED, 1)(generator("watched")) for x in series]
        return Windows(series[0], length, self.batch, 1), fixed


def _trained(
    network: Any,
    settings: Training,
    draw: Windows,
    fixed: Sequence[Tensor],
    generator: Callable[[str], Streams],
    parts: Parts,
    purpose: str = "training",
) -> History:
    """What happened while a network was trained in place."""
    return fit(
        network,
        draw,
        settings,
        watched=dict(zip(("training", "held_out"), fixed, strict=True)),
        progress=purpose,
        generator=generator(purpose),
        **parts.of(purpose),
    )


def _joined(first: History, second: History) -> History:
    """Both one after the other; the report at the beginning of the second is left out."""
    return History(
        loss=torch.cat([first.loss, second.loss], 1),
        checks=torch.cat([first.checks, second.checks[1:] + first.loss.shape[1]]),
        reports={
            name: torch.cat([values, second.reports[name][:, 1:]], 1)
            for name, values in first.reports.items()
        },
    )


def _kept(history: History) -> dict[str, Tensor]:
    reports = {name: values[0] for name, values in history.reports.items()}
    return {"loss": history.loss[0], "updates": history.checks.double(), **reports}
