"""Scores of tokens: of the truth through its codecs, and of what models of tokens generate."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from dalib import arrays, build
from dalib.lyapunov import lyapunov_spectrum
from dalib.streams import stream
from papers.gpt import datasets
from papers.gpt.metrics.codecs import score_codecs, score_shadows
from papers.gpt.metrics.generations import score_generations
from papers.gpt.metrics.shadows import shadows, spread_of
from papers.gpt.tokens import starts_of, windows_after, windows_before

ALIGNED = AVERAGED = 1000  # samples in the Lyapunov exponent, from each of its starts

Split = dict[str, dict[str, np.ndarray]]


def codecs(sections: Mapping, inputs: Mapping) -> xr.Dataset:
    """What the truth itself gives: the marks that models are held against.

    inputs: truth (of the test part), and by codec `codecs`, `training` and `tokens` (test).
    """
    case, settings = sections["case"], sections["product"]
    exponent = largest_exponent(case, arrays.to_tensor(inputs["truth"].x))
    scores = score_codecs(
        inputs["codecs"],
        _tokens(inputs),
        settings,
        exponent,
        build.interval(case),
        inputs["truth"].x.values,
        _jacobian(case),
        np.random.default_rng(0),
    )
    if "shadows" not in settings:
        return scores
    name = settings["shadows"]["codec"]["name"]
    independent = float(scores.independent.sel(codec=name))
    found = scores.merge(
        _shadow_scores(case, settings["shadows"], exponent, independent, inputs, name)
    )
    return found.assign_coords(shadow_codec=name)


def forecasts(sections: Mapping, inputs: Mapping) -> xr.Dataset:
    """What models of tokens generate, held against the truth.

    inputs: by method `methods`, by codec `training` and `tokens` (test), and `marks`, the scores of
    the codecs. `sections["codecs"]` names the codec of each method.
    """
    case, settings = sections["case"], sections["product"]
    after = {
        name: windows_after(
            test := arrays.to_tensor(dataset.token, torch.int64),
            starts_of(settings, test.shape[-1]),
            settings["horizon"],
        ).numpy()
        for name, dataset in inputs["tokens"].items()
    }
    return score_generations(
        inputs["methods"],
        sections["codecs"],
        _tokens(inputs),
        inputs["marks"],
        settings,
        after,
        _jacobian(case),
        build.interval(case),
        np.random.default_rng(0),
    )


def largest_exponent(case: Mapping, truth: Tensor) -> float:
    """Largest Lyapunov exponent per unit of model time, from stretches all along the truth.

    The first tenth of each trajectory (seed, time, state) is left out.
    """
    spectrum = lyapunov_spectrum(
        build.tangent(case),
        truth[:, truth.shape[1] // 10 :: AVERAGED],
        AVERAGED,
        interval=build.interval(case),
        discard=ALIGNED,
    )
    return float(spectrum[..., 0].mean())


def _tokens(inputs: Mapping) -> Split:
    return {
        name: {"train": inputs["training"][name].token.values, "test": dataset.token.values}
        for name, dataset in inputs["tokens"].items()
    }


def _jacobian(case: Mapping) -> Callable[[np.ndarray], np.ndarray]:
    """The derivative of a map at states (..., state), in arrays."""
    system = build.system(case)
    return lambda states: system.jacobian(torch.as_tensor(states)).numpy()


def _shadow_scores(
    case: Mapping,
    settings: Mapping,
    exponent: float,
    independent: float,
    inputs: Mapping,
    name: str,
) -> xr.Dataset:
    """True trajectories with the same tokens as each window, and how they part from it."""
    codebook = datasets.codebook(inputs["codecs"][name])
    tokens = arrays.to_tensor(inputs["tokens"][name].token, torch.int64)
    truth = arrays.to_tensor(inputs["truth"].x)
    k, interval = settings["context"], build.interval(case)
    starts = starts_of(settings, tokens.shape[-1])
    spread = spread_of(codebook.width, exponent, k * interval, settings["spread"])
    seeds = inputs["truth"].seed.values.tolist()

    def found(starts: Tensor, wanted: int) -> tuple[Tensor, Tensor, Tensor]:
        """(seed, start, ...): tokens of the accepted draws, how many, and of how many."""
        past = windows_before(tokens, starts, k)
        first = truth[:, (starts - k).tolist()]
        names = [(seed, start) for seed in seeds for start in starts.tolist()]
        made = shadows(
            build.step(case),
            codebook.encode,
            first.flatten(0, 1),
            past.flatten(0, 1),
            wanted=wanted,
            most=settings["most"],
            spread=spread,
            horizon=settings["horizon"],
            generators=[stream("shadow", *name) for name in names],
            progress="shadows",
        )
        return tuple(part.unflatten(0, past.shape[:2]) for part in made)

    shadow, accepted, drawn = found(starts[:1], settings["accepted"])
    made = {
        "shadow": shadow[:, 0].numpy(),
        "accepted": accepted[:, 0].numpy(),
        "drawn": drawn[:, 0].numpy(),
    }
    if settings["paired"]:
        made["paired"] = found(starts, 1)[0][:, :, 0].numpy()
    after = windows_after(tokens, starts, settings["horizon"]).numpy()
    return score_shadows(made, after, codebook.centres.numpy(), interval, independent)
