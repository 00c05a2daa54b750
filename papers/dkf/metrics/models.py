"""What training did, from its history."""

import xarray as xr

from dalib.scores import Products, describe, stack_methods


def score_models(histories: Products) -> xr.Dataset:
    """What training did, from the histories that `train` wrote.

    Each history reports on fixed data at every check: training_<q> and held_out_<q> (repeat,
    check, ...) for quantities q, as `negative_elbo` (-ELBO per step of a sequence, in nats).

    Returns for each q: <q>_first and <q>_last on the training data, <q>_fall = first - last,
    <q>_held_out at the end, <q>_held_out_fall, and <q>_gap = held_out - last (model, repeat, ...).
    """
    scores = stack_methods({m: _model_scores(h) for m, h in histories.items()}, "model")
    history = next(iter(histories.values()))
    meanings = {
        "first": "before training",
        "last": "after training",
        "fall": "fall during training of",
        "held_out": "held out, after training",
        "held_out_fall": "held out, fall during training of",
        "gap": "held-out minus training",
    }
    described = {
        f"{q}_{suffix}": (
            history[f"training_{q}"].attrs["units"],
            f"{meaning}: {history[f'training_{q}'].attrs['long_name']}",
        )
        for q in quantities(history)
        for suffix, meaning in meanings.items()
    }
    return describe(scores, **described)


def quantities(history: xr.Dataset) -> list[str]:
    """What a history reports on, training and held out."""
    prefix = "training_"
    reported = [str(name).removeprefix(prefix) for name in history if str(name).startswith(prefix)]
    return [q for q in reported if f"held_out_{q}" in history]


def _model_scores(history: xr.Dataset) -> xr.Dataset:
    scores = {}
    for q in quantities(history):
        training, held_out = history[f"training_{q}"], history[f"held_out_{q}"]
        first, last = training.isel(check=0, drop=True), training.isel(check=-1, drop=True)
        before, end = held_out.isel(check=0, drop=True), held_out.isel(check=-1, drop=True)
        scores |= {
            f"{q}_first": first,
            f"{q}_last": last,
            f"{q}_fall": first - last,
            f"{q}_held_out": end,
            f"{q}_held_out_fall": before - end,
            f"{q}_gap": end - last,
        }
    return xr.Dataset(scores)
