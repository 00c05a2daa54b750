"""Transforms between latent numbers and values, and what cannot be a start."""

import math

import pytest
import torch

from dalib.learn import TRANSFORMS, Learnable


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_latent_numbers_of_a_start_give_it_back(transform):
    start = torch.tensor([[1e-6, 0.0013], [0.5, 0.999]]).double()
    learnable = Learnable(start, transform)
    torch.testing.assert_close(learnable.value(learnable.first("p")), start, rtol=1e-13, atol=0)


def test_softplus_keeps_its_digits_in_single_precision():
    learnable = Learnable(torch.tensor([0.0013, 2.0, 0.1, 1e4]), "softplus")
    latent = learnable.first("rate")[:, 0]
    known = [math.log(math.expm1(v)) for v in (0.0013, 2.0, 0.1)] + [1e4]
    assert latent.tolist() == pytest.approx(known, rel=3e-7)


def test_the_latent_of_one_tenth_under_a_sigmoid_is_minus_the_log_of_nine():
    latent = Learnable(torch.tensor([0.1]).double(), "sigmoid").first("inflation")
    assert latent.item() == pytest.approx(-math.log(9))


@pytest.mark.parametrize(
    "transform, value", [("softplus", -0.1), ("sigmoid", 1.0), ("identity", math.nan)]
)
def test_a_start_out_of_range_is_named(transform, value):
    learnable = Learnable(torch.tensor([0.5, value]), transform)
    with pytest.raises(ValueError, match=f"rate starts from {value:g}.*{transform}.*finite"):
        learnable.first("rate")


def test_an_unknown_transform_and_starts_that_are_no_tensors_are_refused():
    with pytest.raises(ValueError, match="unknown transform 'exp'; known: identity, sigmoid"):
        Learnable(torch.ones(1), "exp")
    with pytest.raises(TypeError, match="floating-point tensor, got torch.int64"):
        Learnable(torch.ones(1, dtype=torch.int64))
    with pytest.raises(TypeError, match="got float"):
        Learnable(1.0)
    with pytest.raises(ValueError, match=r"give \(run, ...\)"):
        Learnable(torch.tensor(1.0))
