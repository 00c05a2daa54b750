"""Training of the models of a case."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import xarray as xr
from torch import Tensor, nn

from dalib import arrays, build, train
from dalib.cases.checkpoint import FORGOTTEN, Checkpoint
from dalib.nets.scaling import Scaling
from dalib.streams import Streams, stream

WATCHED = 256  # windows or states of a batch held fixed, on which a training reports


def on_series(
    sections: Mapping,
    training: xr.Dataset,
    held_out: xr.Dataset,
    *,
    batch: Mapping,
    experiment: str,
    device: str,
    checkpoint: Checkpoint = FORGOTTEN,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Weights ([point,] repeat, ...) and history of one batch of training repeats.

    Args:
        sections: `model` with `network`, `data`, `training` and, for a sweep, `points`.
        training, held_out: datasets with the variable that the model learns from.
        batch: `index` and `size` of the batch of repeats.
        checkpoint: from which the training continues, as if it had not been interrupted.
    """
    section = sections["model"]
    settings, name = section["training"], {"observations": "y", "truth": "x"}[section["data"]]
    noise = section.get("points", {}).get("noise_std")
    repeats = repeats_of(settings, batch)
    runs = [(point, repeat) for point in noise or [None] for repeat in repeats]
    data = [arrays.to_tensor(dataset[name]).to(device) for dataset in (training, held_out)]
    scaling = Scaling.fit(data[0], len(runs))
    std = torch.tensor([point or 0.0 for point, _ in runs])
    network, history = fitted(
        section,
        {"scaling": lambda: scaling},
        [_draws(values, settings, std) for values in data],
        watched=WATCHED,
        runs=runs,
        experiment=experiment,
        device=device,
        checkpoint=checkpoint,
    )
    axes = {"repeat": list(repeats)} | ({"noise_std": noise} if noise else {})
    weights = arrays.weights_dataset(network.state_dict(), axes)
    quantity = training[name].dims[-1]
    return (
        weights.assign_coords(quantity=("quantity", training[quantity].values)),
        arrays.history_dataset(history, axes),
    )


def repeats_of(settings: Mapping, batch: Mapping) -> range:
    """The repeats of a training that one batch carries."""
    first = batch["index"] * batch["size"]
    return range(first, min(first + batch["size"], settings["repeats"]))


def fitted(
    section: Mapping,
    supplies: Mapping[str, Callable[[], Any]],
    draws: Sequence[train.Windows | train.Draws],
    *,
    watched: int,
    runs: Sequence[tuple],
    experiment: str,
    device: str,
    checkpoint: Checkpoint,
) -> tuple[nn.Module, train.History]:
    """A network after its training, and what happened.

    Args:
        section: `network` and `training` of a model.
        supplies: makers of what the network needs beside settings.
        draws: batches of the training data, and of held-out data.
        watched: how many windows or states of each are held fixed, for reports.
        runs: names of the streams of each training done at once.
    """

    def generator(purpose: str) -> Streams:
        return Streams(tuple(stream(experiment, *run, purpose) for run in runs))

    network = build.make(
        "network",
        section["network"],
        {**supplies, "generator": lambda: generator("first weights")},
    ).to(device)
    fixed = [replace(draw, batch=watched)(generator("watched")) for draw in draws]
    history = train.fit(
        network,
        draws[0],
        build.training(section["training"]),
        watched=dict(zip(("training", "held_out"), fixed, strict=True)),
        progress=experiment,
        save=checkpoint.save,
        resume=checkpoint.load(),
        generator=generator("training"),
    )
    return network, history


def _draws(values: Tensor, settings: Mapping, noise_std: Tensor):
    """Batches of windows of a series where the training has a window, else of noisy states."""
    if "window" in settings:
        return train.Windows(values, settings["window"], settings["batch"], len(noise_std))
    return train.Draws(values.flatten(0, -2), settings["batch"], noise_std)
