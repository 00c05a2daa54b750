"""A network that forecasts the weather: trained on steps, then on windows of several."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import xarray as xr
from torch import Tensor

from dalib import arrays, build, train
from dalib.cases.checkpoint import FORGOTTEN, Checkpoint, Parts
from dalib.cases.training import fitted, repeats_of
from dalib.nets.scaling import per_channel
from dalib.streams import Streams, stream

WATCHED = 64  # windows held fixed, on which a training reports


def forecaster(
    sections: Mapping,
    training: xr.Dataset,
    held_out: xr.Dataset,
    *,
    batch: Mapping,
    experiment: str,
    device: str,
    checkpoint: Checkpoint = FORGOTTEN,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Weights (repeat, ...) and history of a network that learns x(t) -> x(t + step).

    With `fine_tuning` among the settings of the training, it goes on with longer windows, in which
    a step starts from the last forecast; its updates and reports follow those before. Channels are
    standardised by their moments over the training states alone.

    Args:
        sections: `model` with `network` and `training`.
        training, held_out: x (seed, time, state) as `truths` gives it, with its layout.
        batch: `index` and `size` of the batch of repeats.
        checkpoint: from which the training continues, as if it had not been interrupted.
    """
    section = sections["model"]
    settings = section["training"]
    repeats = repeats_of(settings, batch)
    data = [arrays.to_tensor(dataset.x, None).to(device) for dataset in (training, held_out)]
    shape = tuple(training.sizes[name] for name in ("variable", *arrays.GRID))
    parts = Parts(checkpoint)

    def windows(window: int) -> list[train.Windows]:
        return [train.Windows(x, window, settings["batch"], len(repeats)) for x in data]

    network, history = fitted(
        {**section, "training": build.without(settings, "fine_tuning")},
        {
            "scaling": lambda: per_channel(data[0], shape[0], len(repeats)),
            "grid": lambda: shape[1:],
        },
        windows(settings["window"]),
        watched=WATCHED,
        runs=[(repeat,) for repeat in repeats],
        experiment=experiment,
        device=device,
        checkpoint=_Part(parts, "training"),
    )
    if "fine_tuning" in settings:
        fine = {**build.without(settings, "fine_tuning"), **settings["fine_tuning"]}
        draws, part = windows(fine["window"]), parts.of("fine tuning")
        tuned = _tuned(network, fine, draws, repeats, experiment, part)
        history = _joined(history, tuned)
    axes = {"repeat": list(repeats)}
    weights = arrays.weights_dataset(network.state_dict(), axes)
    layout = arrays.layout_of(training)
    return weights.assign_coords(layout), arrays.history_dataset(history, axes)


def forecast_step(section: Mapping, weights: xr.Dataset, steps: int = 1) -> Callable:
    """(..., state) -> (..., state) in physical units, `steps` steps of the network later.

    Args:
        section: of the model, with `network`.
        weights: as `forecaster` gives them; of several repeats the first counts.
        steps: from one analysis to the next, see `steps_of`.
    """
    grid = [weights.sizes["grid_x"], weights.sizes["grid_y"]]
    network = {"network": {**section["network"], "grid": grid}}
    return Forecast(build.network(network, weights.isel(repeat=slice(1))), steps)


class Forecast(NamedTuple):
    """The map of a filter: so many steps of a network, on whatever device the states are."""

    network: Any
    steps: int

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """(..., state) -> (..., state)."""
        self.network.to(x.device)
        for _ in range(self.steps):
            x = self.network.step(x)
        return x


class _Part(NamedTuple):
    """One of the computations that share a checkpoint, as a checkpoint of its own."""

    parts: Parts
    name: str

    def load(self) -> dict | None:
        return self.parts.of(self.name)["resume"]

    def save(self, state: Callable[[], dict]) -> None:
        self.parts.of(self.name)["save"](state)


def _tuned(
    network, settings: Mapping, draws: Sequence, repeats: Sequence, experiment: str, parts: Mapping
) -> train.History:
    """What happened while a trained network went on with other windows."""

    def generator(purpose: str) -> Streams:
        return Streams(tuple(stream(experiment, repeat, purpose) for repeat in repeats))

    fixed = [
        train.Windows(draw.series, draw.length, WATCHED, draw.repeats)(generator("watched"))
        for draw in draws
    ]
    return train.fit(
        network,
        draws[0],
        build.training(settings),
        watched=dict(zip(("training", "held_out"), fixed, strict=True)),
        progress=experiment,
        generator=generator("fine tuning"),
        **parts,
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
