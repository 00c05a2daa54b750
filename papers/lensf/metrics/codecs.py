"""Metrics of the codecs of methods: what their training reported, and latents of the truth."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import xarray as xr

from dalib import arrays
from dalib.metrics.base import Evaluation, require
from dalib.nets.scaling import spread
from dalib.observe import EveryKth
from dalib.streams import normal_like, stream

LATENTS = 8  # components of latents that are shown
REPORTS = {
    "state_error": "relative error of decoded states, validation",
    "observation_error": "relative error of decoded observations, validation",
    "mismatch": "relative discrepancy of the latents, validation",
}


@dataclass(frozen=True)
class Report:
    """A report of the training of a codec on validation states, (run, check).

    Args:
        of: "state_error", "observation_error", "mismatch", or "updates", those done until then.
        final: the last alone, (run).
    """

    of: str
    final: bool = False
    asks: ClassVar[frozenset[str]] = frozenset({"history", "codec"})

    def __call__(self, evaluation: Evaluation) -> xr.DataArray:
        require(evaluation, self.asks, type(self).__name__)
        history = evaluation.history
        values = history[self.of] if self.of in history else history["check"].expand_dims("run")
        text = REPORTS.get(self.of, "updates done")
        dims = ("run", "check")
        values = values.transpose(*dims).values.astype(float)
        attrs = {"units": "1", "long_name": text}
        run = evaluation.estimate["run"] if evaluation.estimate is not None else [0]
        coords = {"run": run, "check": range(values.shape[1])}
        if self.final:
            return xr.DataArray(values[:, -1], {"run": run}, ("run",), attrs=attrs)
        return xr.DataArray(values, coords, dims, attrs=attrs)


@dataclass(frozen=True)
class Latents:
    """The first latents of the true states, or of observations of them, (run, case, time, code).

    Args:
        of: "state" or "observation".
    """

    of: str
    asks: ClassVar[frozenset[str]] = frozenset({"codec", "truth", "observed", "estimate"})

    def __call__(self, evaluation: Evaluation) -> xr.DataArray:
        require(evaluation, self.asks, type(self).__name__)
        state, observation = _latents(evaluation)
        values = state if self.of == "state" else observation
        text = f"latent of the {'true state' if self.of == 'state' else 'observation'}"
        attrs = {"units": "1", "long_name": text}
        like = evaluation.estimate
        coords = {name: like[name] for name in ("run", "case", "time")}
        return xr.DataArray(values[None], coords, ("run", "case", "time", "code"), attrs=attrs)


def _latents(evaluation: Evaluation) -> tuple[Any, Any]:
    """(case, time, code) of states and of observations of them; found once for each codec."""
    fitted = evaluation.codec
    if "_latents" not in fitted.__dict__:
        truth = evaluation.truth.transpose("case", "time", "state")
        x = arrays.to_tensor(truth, torch.float32)
        shape = arrays.shape_of(evaluation.observed, x.shape[-1])
        operator, codec = EveryKth(shape, fitted.stride), fitted.ready()
        y = operator(x)
        noise = fitted.obs_std_relative * spread(y.flatten(0, 1), shape[0])
        y = y + noise.to(y) * normal_like(y, stream("codecs shown"))
        with torch.no_grad():
            both = codec.encode(x)[0], codec.encode_observations(y)[0]
        fitted.__dict__["_latents"] = tuple(z[..., :LATENTS].numpy() for z in both)
    return fitted.__dict__["_latents"]
