"""A network that forecasts gridded states: trained on steps, then on windows of several."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from dalib import build, train
from dalib.cases.checkpoint import FORGOTTEN, Checkpoint, Parts
from dalib.nets.scaling import Scaling, per_channel
from dalib.streams import Streams

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

    With `fine_tuning` among the settings of the training, it goes on with longer windows, in which
    a step starts from the last forecast; its updates and reports follow those before. Channels are
    standardised by their moments over the training states alone.

    Args:
        network: settings of the network but for what the data say.
        training: settings of the training, see `dalib.train.Training`, `batch`, `window`, and
            `fine_tuning`, those that differ afterwards.
    """

    network: Mapping[str, Any]
    training: Mapping[str, Any]
    needs: ClassVar[frozenset[str]] = frozenset({"states"})

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
        settings = {"kind": "afno", **self.network}
        series = [part.to(device) for part in (data.train, data.valid)]
        supplies = {
            "scaling": lambda: per_channel(series[0], data.shape[0]),
            "grid": lambda: grid,
            "generator": lambda: generator("first weights"),
        }
        network = build.make("network", settings, supplies).to(device)
        first = build.without(self.training, "fine_tuning")
        history = _trained(network, first, series, generator, "training", parts)
        if "fine_tuning" in self.training:
            fine = {**first, **self.training["fine_tuning"]}
            history = _joined(
                history, _trained(network, fine, series, generator, "fine tuning", parts)
            )
        weights = {name: value.detach().cpu() for name, value in network.state_dict().items()}
        return FittedAFNO(settings, tuple(grid), weights, _kept(history))


def _trained(
    network: Any,
    settings: Mapping,
    series: Sequence[Tensor],
    generator: Callable[[str], Streams],
    purpose: str,
    parts: Parts,
) -> train.History:
    """What happened while a network was trained in place."""
    window = settings["window"]
    draws = [train.Windows(x, window, settings["batch"], 1) for x in series]
    fixed = [train.Windows(x, window, WATCHED, 1)(generator("watched")) for x in series]
    return train.fit(
        network,
        draws[0],
        build.training(settings),
        watched=dict(zip(("training", "held_out"), fixed, strict=True)),
        progress=purpose,
        generator=generator(purpose),
        **parts.of(purpose),
    )


def _joined(first: train.History, second: train.History) -> train.History:
    """Both one after the other; the report at the beginning of the second is left out."""
    return train.History(
        loss=torch.cat([first.loss, second.loss], 1),
        checks=torch.cat([first.checks, second.checks[1:] + first.loss.shape[1]]),
        reports={
            name: torch.cat([values, second.reports[name][:, 1:]], 1)
            for name, values in first.reports.items()
        },
    )


def _kept(history: train.History) -> dict[str, Tensor]:
    reports = {name: values[0] for name, values in history.reports.items()}
    return {"loss": history.loss[0], "updates": history.checks.double(), **reports}
