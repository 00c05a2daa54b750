"""States as tokens: their codec, the training of models of tokens, and what these generate."""

from collections.abc import Mapping

import torch
import xarray as xr
from torch import Tensor

from dalib import arrays, build, train
from dalib.cases.checkpoint import FORGOTTEN, Checkpoint, Parts
from dalib.cases.training import fitted, repeats_of
from dalib.codecs.bins import Codebook, require_tokens
from dalib.streams import Streams, stream
from papers.gpt import datasets

WATCHED = 64  # windows held fixed, on which a training reports


def encoded(
    section: Mapping, truth: Mapping[str, xr.Dataset]
) -> tuple[xr.Dataset, dict[str, xr.Dataset]]:
    """A codec fitted to the training part of the truth alone, and the tokens of every part."""
    codebook: Codebook = build.make("codec", section).fit(arrays.to_tensor(truth["train"].x))
    tokens, notes = {}, {}
    for split, dataset in truth.items():
        x = arrays.to_tensor(dataset.x)
        notes |= {f"clipped_{split}": codebook.outside(x), f"unseen_{split}": codebook.unseen(x)}
        tokens[split] = datasets.tokens_dataset(
            codebook.encode(x), seed=dataset.seed, time=dataset.time, vocabulary=codebook.size
        )
    return datasets.codec_dataset(codebook, truth["train"].state.values, **notes), tokens


def trained(
    sections: Mapping,
    training: xr.Dataset,
    held_out: xr.Dataset,
    *,
    batch: Mapping,
    experiment: str,
    device: str,
    checkpoint: Checkpoint = FORGOTTEN,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Weights (repeat, ...) and history of one batch of training repeats, from token (seed, time).

    Every window is as long as the network's context, and one token longer for what follows.
    """
    section = sections["model"]
    repeats = repeats_of(section["training"], batch)
    vocabulary = int(training.token.max()) + 1  # every token occurs in training
    length = section["network"]["context"] + 1

    def windows(dataset: xr.Dataset) -> train.Windows:
        series = arrays.to_tensor(dataset.token, None).to(device)  # small; batches are int64
        require_tokens(series, vocabulary)
        return train.Windows(series, length, section["training"]["batch"], len(repeats))

    network, history = fitted(
        section,
        {"vocabulary": lambda: vocabulary, "repeats": lambda: len(repeats)},
        [windows(training), windows(held_out)],
        watched=WATCHED,
        runs=[(repeat,) for repeat in repeats],
        experiment=experiment,
        device=device,
        checkpoint=checkpoint,
    )
    axes = {"repeat": list(repeats)}
    weights = arrays.weights_dataset(network.state_dict(), axes)
    return weights.assign_coords(vocabulary=vocabulary), arrays.history_dataset(history, axes)


def forecasts(
    case: Mapping,
    method: Mapping,
    inputs: Mapping[str, xr.Dataset],
    experiment: str,
    device: str,
    checkpoint: Checkpoint = FORGOTTEN,
) -> xr.Dataset:
    """Continuations of windows of test tokens, and free runs, at every temperature.

    Args:
        inputs: `tokens` of the test part and `codec`; the weights (`model`) of a trained network,
            or the tokens for `training` of a method that is fitted here.
        checkpoint: from which a network continues, as if it had not been interrupted.
    """
    settings = case["forecasts"]
    tokens, codec = arrays.to_tensor(inputs["tokens"].token, torch.int64), inputs["codec"]
    weights = inputs.get("model")
    repeats = None if weights is None else weights["repeat"].values.tolist()
    model = _token_model(method, inputs, device)
    starts = starts_of(settings, tokens.shape[-1])
    _require_context(method, settings["context"])
    run = settings["free_run"]
    if run["start"] + settings["context"] > tokens.shape[-1]:
        raise ValueError(
            f"free runs start after {run['start']} + {settings['context']} samples, but the test "
            f"trajectories have {tokens.shape[-1]}; set free_run.start or context accordingly"
        )
    chains = torch.arange(run["chains"]) % len(tokens)
    first = tokens[chains, run["start"] : run["start"] + settings["context"]]

    parts = Parts(checkpoint)

    def generated(past: Tensor, steps: int, purpose: str) -> Tensor:
        """(case, time) -> (temperature, [repeat,] case, steps)."""
        temperatures = torch.tensor(settings["temperatures"])
        generator, watched = stream(experiment, purpose), {}
        if repeats is not None:
            generator = Streams(tuple(stream(experiment, r, purpose) for r in repeats))
            watched = {"progress": f"{experiment} {purpose}", **parts.of(purpose)}
        made = model.generate(
            past.repeat(len(temperatures), 1),
            steps,
            temperatures.repeat_interleave(len(past)),
            generator,
            **watched,
        )
        return made.unflatten(-2, (len(temperatures), len(past))).movedim(-3, 0)

    past = windows_before(tokens, starts, settings["context"])
    forecast = generated(past.flatten(0, 1), settings["horizon"], "forecast")
    return datasets.token_forecasts_dataset(
        forecast.unflatten(-2, past.shape[:2]),
        generated(first, run["samples"], "free run"),
        codec,
        temperatures=settings["temperatures"],
        repeats=repeats,
        seed=inputs["tokens"].seed,
        start=inputs["tokens"].time[(starts - 1).tolist()],
        interval=float(inputs["tokens"].time[1]),
        log_loss=_test_loss(model, method, settings, tokens, experiment),
    )


def _token_model(method: Mapping, inputs: Mapping[str, xr.Dataset], device: str):
    """The model of tokens that a forecaster's section stands for."""
    section = build.without(method, "codec")
    if "model" in inputs:
        network = build.network(method["model"], inputs["model"]).to(device)
        return build.make("forecaster", section, {"network": lambda: network})
    training = arrays.to_tensor(inputs["training"].token, torch.int64)
    return build.make("forecaster", section).fit(training, inputs["codec"].sizes["token"])


def _require_context(method: Mapping, given: int) -> None:
    """All tokens that are given must be seen: they say where in its cell a state is."""
    seen = method.get("model", {}).get("network", {}).get("context", given)
    if seen < given:
        raise ValueError(
            f"forecasts.context gives {given} tokens, but the network sees {seen}; give it a "
            "`context` as long at least, or let forecasts.context be shorter"
        )


def _test_loss(
    model, method: Mapping, settings: Mapping, tokens: Tensor, experiment: str
) -> Tensor | None:
    """-log p of each next token in random windows of the test trajectories, where there is a p."""
    if not hasattr(model, "log_prob"):
        return None
    length = method["model"]["network"]["context"] + 1
    windows = train.Windows(tokens, length, settings["windows"], 1)
    return -model.log_prob(windows(stream(experiment, "test windows"))[0])


def starts_of(settings: Mapping, samples: int) -> Tensor:
    """(start,): how many samples of a series have been seen when a forecast starts."""
    first, every = settings["starts"]["first"], settings["starts"]["every"]
    last = samples - settings["horizon"]
    if not settings["context"] <= first <= last:
        raise ValueError(
            f"forecasts start at samples {first} to {last} and need {settings['context']} samples "
            "before; set starts.first, context or horizon accordingly"
        )
    return torch.arange(first, last + 1, every)


def windows_before(tokens: Tensor, starts: Tensor, length: int) -> Tensor:
    """(seed, time) -> (seed, start, length), the last samples before each start."""
    return torch.stack([tokens[:, start - length : start] for start in starts.tolist()], 1)


def windows_after(tokens: Tensor, starts: Tensor, length: int) -> Tensor:
    """(seed, time) -> (seed, start, length), the first samples from each start on."""
    return torch.stack([tokens[:, start : start + length] for start in starts.tolist()], 1)
