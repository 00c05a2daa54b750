"""Training of the models of a case."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from dalib import build, train
from dalib.cases.checkpoint import Checkpoint
from dalib.streams import Streams, stream


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
