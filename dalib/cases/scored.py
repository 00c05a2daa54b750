"""Scores of the products of a case, all methods in one dataset: one function for each product.

Each takes the `sections` that the stage uses (`case` with system and integrator, `product` with the
settings of the product) and its inputs by name, among them `methods`: what each method made.
"""

from collections.abc import Mapping

import numpy as np
import torch
import xarray as xr

from dalib import arrays, build
from dalib.forecasters.equations import perfect_model_forecast
from dalib.scores.analyses import score_analyses
from dalib.scores.forecasts import score_forecasts
from dalib.scores.models import score_models
from dalib.scores.samples import score_samples
from dalib.streams import streams


def analyses(sections: Mapping, inputs: Mapping) -> xr.Dataset:
    """RMSE and the like of all filters; what the training of their models did stands beside it.

    Beside `methods`: truth, observations and, where there are any, histories of trainings.
    """
    discard = sections["product"]["discard"]
    found = score_analyses(inputs["methods"], inputs["truth"], inputs["observations"], discard)
    histories = inputs.get("histories")
    return found.merge(score_models(histories)) if histories else found


def forecasts(sections: Mapping, inputs: Mapping) -> xr.Dataset:
    """Errors of forecasts and free runs, beside `equations`: those of the true equations, started
    from the truth with an error of the size of the first method's analyses.

    Beside `methods`: truth, the scores of the analyses and trajectories of the climate.
    """
    methods = inputs["methods"]
    first = next(iter(methods))
    rmse = inputs["analyses"].rmse.sel({"method": first})
    reference = _reference(sections["case"], methods[first], inputs["truth"], rmse)
    found = _forecast_scores({**methods, "equations": reference}, sections, inputs)
    without_noise = {
        name: made.drop_vars("free_run").rename(free_run_noiseless="free_run")
        for name, made in methods.items()
    }
    noiseless = _forecast_scores(without_noise, sections, inputs)[["w1", "sign_changes"]]
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


def _reference(
    case: Mapping, forecasts: xr.Dataset, truth: xr.Dataset, rmse: xr.DataArray
) -> xr.Dataset:
    interval = build.interval(case)
    starts = (forecasts.start.values / interval).round().astype(int)
    forecast = perfect_model_forecast(
        build.step(case),
        arrays.to_tensor(truth.x),
        torch.tensor(starts),
        forecasts.sizes["lead"],
        arrays.to_tensor((rmse**2).mean("seed") ** 0.5),
        streams("reference", truth.seed.values.tolist(), "start errors"),
    )
    return arrays.forecasts_dataset(
        forecast,
        seed=truth.seed,
        start=forecasts.start,
        interval=interval,
        names=truth.state.values,
    ).assign_coords({"repeat": forecasts["repeat"]})


def samples(sections: Mapping, inputs: Mapping) -> xr.Dataset:
    """Distances of samples to true states, and to the true distribution.

    Beside `methods`: truth, states that were trained on and reference states.
    """
    return score_samples(
        inputs["methods"],
        inputs["training"],
        inputs["reference"],
        inputs["truth"],
        far=sections["product"]["far"],
        generator=np.random.default_rng(0),
    )
