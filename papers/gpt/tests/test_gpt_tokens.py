"""What the stages do with tokens, and what they refuse, on a network of a few units."""

import copy

import pytest
import torch
import xarray as xr

from dalib.cases import truth
from papers.gpt import tokens

HENON = {"kind": "henon", "a": 1.4, "b": 0.3}
CASE = {
    "system": HENON,
    "integrator": {"kind": "iterate", "steps": 1},
    "truth": {
        "start": {"mean": [-0.95, 0.35], "half_width": 0.05},
        "spinup": 0.0,
        "model_noise_std": 0.0,
        "train": {"seeds": 4, "samples": 150},
        "valid": {"seeds": 2, "samples": 150},
        "test": {"seeds": 2, "samples": 150},
    },
    "forecasts": {
        "temperatures": [1.0, 0.0],
        "starts": {"first": 60, "every": 40},
        "context": 20,
        "horizon": 30,
        "free_run": {"chains": 3, "samples": 50, "start": 10},
        "windows": 4,
    },
}
CODEC = {"kind": "bins", "cells": 12}
MODEL = {
    "network": {"kind": "gpt", "layers": 1, "width": 8, "heads": 2, "context": 24},
    "training": {"repeats": 1, "steps": 4, "batch": 4, "rate": 0.01, "check_every": 2},
}


class Kept:
    """A checkpoint in memory."""

    def __init__(self, state=None):
        self.state, self.all = state, []

    def load(self):
        return self.state

    def save(self, state):
        self.all.append(copy.deepcopy(state()))


@pytest.fixture(scope="module")
def states():
    return {split: truth.truth(CASE, split, "t") for split in ("train", "valid", "test")}


@pytest.fixture(scope="module")
def encoded(states):
    return tokens.encoded(CODEC, states)


def trained(series, model=MODEL, **more):
    both = {"batch": {"index": 0, "size": 8}, "experiment": "t", "device": "cpu"}
    sections = {"model": model}
    return tokens.trained(sections, series["train"], series["valid"], **both, **more)


@pytest.fixture(scope="module")
def weights(encoded):
    return trained(encoded[1])[0]


def forecasts(encoded, weights, settings=(), **more):
    codec, series = encoded
    case = CASE | {"forecasts": CASE["forecasts"] | dict(settings)}
    inputs = {"tokens": series["test"], "codec": codec, "model": weights}
    return tokens.forecasts(case, {"kind": "gpt", "model": MODEL}, inputs, "t", "cpu", **more)


def test_the_width_of_the_stored_integers_changes_no_bit(encoded, weights):
    series = encoded[1]
    assert series["train"].token.dtype == "int16"
    wide = {split: ds.assign(token=ds.token.astype("int64")) for split, ds in series.items()}
    xr.testing.assert_identical(trained(wide)[0], weights)


@pytest.mark.parametrize("valid", [None, {"seeds": 3, "samples": 40}], ids=["alike", "shorter"])
def test_splits_simulated_together_are_those_simulated_alone(valid):
    case = CASE | {"truth": CASE["truth"] | ({"valid": valid} if valid else {})}
    together = truth.truths(case, "t")
    assert sorted(together) == ["test", "train", "valid"]
    for split, found in together.items():
        xr.testing.assert_identical(found, truth.truth(case, split, "t"))


# -- what is refused -----------------------------------------------------------------------------


def test_a_trajectory_that_escapes_is_named_before_anything_is_encoded():
    start = CASE["truth"] | {"start": {"mean": [3.0, 3.0], "half_width": 0.05}}
    with pytest.raises(ValueError, match="bounded trajectories, but 4 of 4 .* a start nearer"):
        truth.truth(CASE | {"truth": start}, "train", "t")


def test_test_states_outside_the_box_are_clipped_and_counted(states):
    far = states["test"].copy(deep=True)
    far.x[0, 3] = [9.0, -9.0]
    codec, series = tokens.encoded(CODEC, states | {"test": far})
    plain, before = tokens.encoded(CODEC, states)
    assert int(codec.clipped_test) == int(plain.clipped_test) + 1
    changed = series["test"].token != before["test"].token
    assert changed.sum() == 1 and changed[0, 3]
    assert 0 <= int(series["test"].token.min()) and int(series["test"].token.max()) < len(
        codec.token
    )


def test_a_vocabulary_of_one_cell_is_refused(states):
    with pytest.raises(ValueError, match="lie in one cell, .* use more than 1 cells"):
        tokens.encoded(CODEC | {"cells": 1}, states)


def test_a_held_out_token_that_training_does_not_have_is_named(encoded):
    series = dict(encoded[1])
    size = int(series["train"].token.max()) + 1
    series["valid"] = series["valid"].copy(deep=True)
    series["valid"].token[1, 5] = size + 3
    with pytest.raises(
        ValueError, match=f"of {size} has the tokens 0 to {size - 1}, got {size + 3}"
    ):
        trained(series)


def test_test_tokens_of_another_codec_are_named(encoded, weights, states):
    other = tokens.encoded(CODEC | {"cells": 40}, states)
    with pytest.raises(ValueError, match="encode with the codec whose tokens the model was"):
        forecasts(other, weights)


def test_a_context_longer_than_the_data_is_refused(encoded, weights):
    long = MODEL | {"network": MODEL["network"] | {"context": 200}}
    with pytest.raises(ValueError, match="windows of 201 samples .* got 151; .* the context"):
        trained(encoded[1], long)
    with pytest.raises(ValueError, match="samples 60 to 121 and need 70 samples before"):
        forecasts(encoded, weights, {"context": 70})
    run = {"chains": 3, "samples": 50, "start": 140}
    with pytest.raises(ValueError, match="start after 140 [+] 20 samples, but the test traj"):
        forecasts(encoded, weights, {"free_run": run})


def test_a_temperature_below_zero_is_refused(encoded, weights):
    with pytest.raises(ValueError, match="a temperature is 0 .* or positive, got -0.5"):
        forecasts(encoded, weights, {"temperatures": [1.0, -0.5]})


# -- checkpoints ---------------------------------------------------------------------------------


def test_a_checkpoint_of_another_shape_is_left_aside(encoded, weights, caplog):
    wide, kept = MODEL | {"network": MODEL["network"] | {"width": 16}}, Kept()
    trained(encoded[1], wide, checkpoint=kept)
    found = trained(encoded[1], checkpoint=Kept(kept.all[1]))[0]
    assert "of another training; starts from the beginning" in caplog.text
    xr.testing.assert_identical(found, weights)


def test_forecasts_continue_from_any_state_as_if_they_had_not_stopped(encoded, weights):
    """In the midst of the forecasts, at their end, and within the free runs."""
    kept = Kept()
    whole = forecasts(encoded, weights, checkpoint=kept)
    assert [set(state) for state in kept.all[:1] + kept.all[-1:]] == [
        {"forecast"},
        {"forecast", "free run"},
    ]
    for state in kept.all:
        again = forecasts(encoded, weights, checkpoint=Kept(state))
        xr.testing.assert_identical(again, whole)


def test_forecasts_of_a_checkpoint_of_another_shape_start_from_the_beginning(
    encoded, weights, caplog
):
    kept = Kept()
    forecasts(encoded, weights, {"horizon": 20}, checkpoint=kept)
    found = forecasts(encoded, weights, checkpoint=Kept(kept.all[0]))
    assert "of another generation; starts from the beginning" in caplog.text
    xr.testing.assert_identical(found, forecasts(encoded, weights))
    assert torch.is_tensor(kept.all[0]["forecast"]["made"])


def test_tokens_that_the_network_cannot_see_are_not_given(encoded, weights):
    with pytest.raises(ValueError, match="gives 25 tokens, but the network sees 24"):
        forecasts(encoded, weights, {"context": 25})
