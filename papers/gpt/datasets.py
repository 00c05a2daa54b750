"""Codecs, tokens and their continuations as labelled arrays."""

from collections.abc import Sequence

import torch
import xarray as xr
from torch import Tensor

from dalib import arrays
from dalib.arrays import labelled
from dalib.codecs.bins import Codebook, smallest_integer


def codec_dataset(codebook, names: Sequence[str], **notes: int) -> xr.Dataset:
    """A `Codebook`, and numbers of states by name (`clipped_test`, `unseen_test`, ...)."""
    variables = {
        "lower": (("state",), codebook.lower, "lower edge of the box"),
        "upper": (("state",), codebook.upper, "upper edge of the box"),
        "cells": ((), torch.tensor(codebook.cells), "cells in each dimension"),
        "cell_number": (("token",), codebook.numbers, "number of the cell of a token"),
        "visits": (("token",), codebook.visits, "training states in the cell"),
        "centre": (("token", "state"), codebook.centres, "centre of the cell"),
    }
    for name, count in notes.items():
        kind, split = name.split("_")
        meaning = {"clipped": "outside the box", "unseen": "in cells without token"}[kind]
        variables[name] = ((), torch.tensor(count), f"{split} states {meaning}")
    return xr.Dataset(
        {name: labelled(dims, value, "1", text) for name, (dims, value, text) in variables.items()},
        arrays.states_of(names),
    )


def codebook(dataset: xr.Dataset):
    """The `Codebook` that `codec_dataset` was given."""
    return Codebook(
        lower=arrays.to_tensor(dataset.lower),
        upper=arrays.to_tensor(dataset.upper),
        cells=int(dataset.cells),
        numbers=arrays.to_tensor(dataset.cell_number, torch.int64),
        visits=arrays.to_tensor(dataset.visits, torch.int64),
    )


def tokens_dataset(
    tokens: Tensor, *, seed: xr.DataArray, time: xr.DataArray, vocabulary: int
) -> xr.Dataset:
    """token (seed, time), in the smallest integers that hold the vocabulary."""
    token = labelled(("seed", "time"), tokens, "1", "token of the true state")
    token.values = token.values.astype(smallest_integer(vocabulary))
    return xr.Dataset({"token": token}, {"seed": seed.variable, "time": time.variable})


def token_forecasts_dataset(
    forecast: Tensor,
    free_run: Tensor,
    codec: xr.Dataset,
    *,
    temperatures: Sequence[float],
    repeats: Sequence[int] | None,
    seed: xr.DataArray,
    start: xr.DataArray,
    interval: float,
    log_loss: Tensor | None = None,
) -> xr.Dataset:
    """Continuations by a model of tokens, with the cells that the tokens stand for.

    forecast (temperature, [repeat,] seed, start, lead), of pasts that end at the times `start`;
    free_run (temperature, [repeat,] chain, time); log_loss ([repeat,] window, position), -log p of
    the next token of true windows. `repeats` are the labels of the trainings, None without any.
    """
    runs = () if repeats is None else ("repeat",)
    kind = smallest_integer(codec.sizes["token"])
    variables = {
        "forecast": (("temperature", *runs, "seed", "start", "lead"), forecast, "forecast token"),
        "free_run": (("temperature", *runs, "chain", "time"), free_run, "token of a free run"),
    }
    made = {
        name: labelled(dims, value, "1", text) for name, (dims, value, text) in variables.items()
    }
    for variable in made.values():
        variable.values = variable.values.astype(kind)
    if log_loss is not None:
        dims = (*runs, "window", "position")
        made["log_loss"] = labelled(dims, log_loss, "1", "-log p of the next token, in nats")
    leads = interval * torch.arange(1, forecast.shape[-1] + 1, dtype=torch.float64)
    coords = {
        "temperature": xr.Variable(
            "temperature", list(temperatures), {"units": "1", "long_name": "temperature"}
        ),
        "seed": seed.variable,
        "start": xr.Variable("start", start.values, arrays.TIME),
        "lead": xr.Variable("lead", leads.numpy(), {"units": "1", "long_name": "lead time"}),
        "state": codec.state.variable,
        **arrays.times_of(free_run.shape[-1], interval, interval),
    }
    if repeats is not None:
        coords["repeat"] = xr.Variable("repeat", list(repeats), arrays.REPEAT)
    return xr.Dataset({**made, "centre": codec.centre, "cell_number": codec.cell_number}, coords)
