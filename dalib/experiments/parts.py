"""Learned parts of methods and models of gridded states: codecs, and networks that forecast.

They learn from true states of the training part alone, once for all methods and studies that use
them.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import xarray as xr
from torch import Tensor

from dalib import arrays, build, fitted
from dalib.cases.checkpoint import FORGOTTEN, Checkpoint
from dalib.experiments.afno import SeriesData
from dalib.experiments.codecs import CodecData
from dalib.nets.scaling import spread
from dalib.observe import sensors
from dalib.streams import stream


def codec(
    section: Mapping,
    case: Mapping,
    train: xr.Dataset,
    valid: xr.Dataset,
    experiment: str,
    device: str = "cpu",
    checkpoint: Checkpoint = FORGOTTEN,
) -> xr.Dataset:
    """A codec of states and of observations of them, fitted; as `dalib.fitted` saves it.

    Args:
        section: `kind` and settings, `stride` and `obs_std_relative` among them.
        case: `observations` with the operator.
        train, valid: the truth.
        experiment: first name of the streams, with the codec's name in it.
    """
    method = build.make("codec", section)
    states, others = (states_of(part).flatten(0, 1) for part in (train, valid))
    shape = arrays.shape_of(train, states.shape[-1])
    operator = sensors(build.operator(case, states.shape[-1]), shape, method.stride)
    obs_std = method.obs_std_relative * spread(operator(states), shape[0])
    data = CodecData(states, others, shape, operator, obs_std)
    streams = partial(stream, experiment)
    return fitted.to_dataset(method.fit(data, streams, device=device, checkpoint=checkpoint))


def dynamics(
    section: Mapping,
    train: xr.Dataset,
    valid: xr.Dataset,
    experiment: str,
    device: str = "cpu",
    checkpoint: Checkpoint = FORGOTTEN,
) -> xr.Dataset:
    """A network that forecasts the states of a case, fitted; as `dalib.fitted` saves it."""
    method = build.make("dynamics", section)
    x, held_out = states_of(train), states_of(valid)
    data = SeriesData(x, held_out, arrays.shape_of(train, x.shape[-1]))
    streams = partial(stream, experiment)
    return fitted.to_dataset(method.fit(data, streams, device=device, checkpoint=checkpoint))


def ready(dataset: xr.Dataset | None, device: str = "cpu") -> Any:
    """A codec as filters take it; None for none."""
    return None if dataset is None else fitted.from_dataset(dataset).ready().to(device)


def states_of(truth: xr.Dataset) -> Tensor:
    """(seed, time, state), in the precision in which they are stored."""
    return arrays.to_tensor(truth.x, None)


def step_of(dataset: xr.Dataset, steps: int) -> Any:
    """(..., state) -> (..., state), so many steps of a learned forecast."""
    one = fitted.from_dataset(dataset)

    @torch.no_grad()
    def step(x: Tensor) -> Tensor:
        for _ in range(steps):
            x = one.step(x)
        return x

    return step
