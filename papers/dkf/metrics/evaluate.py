"""Scores of the products of a case, all methods in one dataset: one function for each product.

Each takes the `sections` that the stage uses (`case` with system and integrator, `product` with the
settings of the product) and its inputs by name, among them `methods`: what each method made.
"""

from collections.abc import Mapping

import numpy as np
import torch
import xarray as xr

from dalib import arrays, build
from dalib.forecasters.equations import follow
from papers.dkf.metrics.analyses import score_analyses
from papers.dkf.metrics.forecasts import score_forecasts
from papers.dkf.metrics.models import score_models
from papers.dkf.metrics.samples import score_samples


def analyses(sections: Mapping, inputs: Mapping) -> xr.Dataset:
    """RMSE and the like of all filters; what the training of their models did stands beside it.

    Beside `methods`: truth, observations and, where there are any, histories of trainings.
    """
    discard = sections["product"]["discard"]
    found = score_analyses(inputs["methods"], inputs["truth"], inputs["observations"], discard)
    histories = inputs.get("histories")
    return found.merge(score_models(histories)) if histories else found


def forecasts(sections: Mapping, inputs: Mapping) -> xr.Dataset:
    """Errors of forecasts and free runs, and of two other forecasts from the same analyses.

    `equations` are the true equations and `persistence` the analysis itself, both started from the
    analyses of the first method: what they are worse or better by is its forecasting alone. (From
    the truth with random errors of the same size the true equations would seem better by half:
    analyses err along the unstable directions.)

    Beside `methods`: truth and trajectories of the climate.
    """
    methods = inputs["methods"]
    others = _from_analyses(sections["case"], next(iter(methods.values())))
    found = _forecast_scores(methods | others, sections, inputs)
    without_noise = {
        name: made.drop_vars("free_run").rename(free_run_noiseless="free_run")
        for name, made in methods.items()
    }
    noiseless = _forecast_scores(without_noise, sections, inputs)[["w1", "lobe_changes"]]
    names = {name: f"{name}_noiseless" for name in noiseless}
    return found.merge(noiseless.rename(names).reindex({"method": found.method.values}))


def _forecast_scores(methods: Mapping, sections: Mapping, inputs: Mapping) -> xr.Dataset:
    return score_forecasts(
        methods,
        inputs["truth"],
        inputs["climate"],
        points=sections["product"]["points"],
        generator=np.random.default_rng(0),
    )


def _from_analyses(case: Mapping, forecasts: xr.Dataset) -> dict[str, xr.Dataset]:
    """The true equations and persistence, from the analyses that forecasts start from."""
    like = forecasts.forecast
    step, start = build.step(case), arrays.to_tensor(forecasts.analysis.astype(float))
    ahead = follow(step, start, like.sizes["lead"])
    still = forecasts.analysis.expand_dims(lead=like.lead).transpose(*like.dims)
    return {
        "equations": like.copy(data=ahead.numpy()).to_dataset(name="forecast"),
        "persistence": still.to_dataset(name="forecast"),
    }


def samples(sections: Mapping, inputs: Mapping) -> xr.Dataset:
    """Distances of samples to true states, and to the true distribution.

    Beside `methods`: truth, states that were trained on and reference states.
    """
    return score_samples(
        inputs["methods"],
        inputs["training"],
        inputs["reference"],
        inputs["truth"],
        step=lambda x: build.step(sections["case"])(torch.from_numpy(x)).numpy(),
        far=sections["product"]["far"],
        generator=np.random.default_rng(0),
    )
