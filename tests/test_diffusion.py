"""Samplers given the exact score of a Gaussian, where every step can be followed by hand."""

import copy
import math
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from dalib.diffusion import AnnealedLangevin, ProbabilityFlow, ReverseSDE, ladder
from dalib.nets.scaling import Scaling
from dalib.nets.score import Score
from dalib.streams import normal, stream, streams

MEAN = torch.tensor([0.5, -1.0])
VARIANCES = torch.tensor([1.5, 0.3])  # along the axes of ROTATION
ANGLE = 0.6
ROTATION = torch.tensor([[math.cos(ANGLE), -math.sin(ANGLE)], [math.sin(ANGLE), math.cos(ANGLE)]])
COUNT = 40_000


@dataclass(frozen=True)
class GaussianScore:
    """-(C + σ²)⁻¹ (x - m), C = U diag(v) Uᵀ."""

    repeats: int = 2
    size: int = 2
    sigma_min: float = 0.02
    sigma_max: float = 3.0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        return -(((x - MEAN) @ ROTATION) / (VARIANCES + sigma**2)) @ ROTATION.T


def followed(sampler) -> tuple[Tensor, Tensor]:
    """Mean and variances along the axes of the exact law of what the sampler returns.

    Each step is linear, x <- a x + b w about the mean: m <- a m and v <- a² v + b².
    """
    score = GaussianScore()
    m = -(MEAN @ ROTATION).double()

    if isinstance(sampler, AnnealedLangevin):
        sigmas = ladder(score, sampler.levels).double()
        v = sigmas[0].square() * torch.ones(2).double()
        drifts = [
            (0.5 * tau, tau, sigma)
            for sigma in sigmas
            for tau in [sampler._step_size(sigma, sigmas[-1])]
            for _ in range(sampler.steps)
        ]
    else:
        sigmas = ladder(score, sampler.steps + 1).double()
        v = (1 + sigmas[0].square()) * torch.ones(2).double()
        steps = zip(sigmas[:-1], -sigmas.square().diff(), strict=True)
        half = isinstance(sampler, ProbabilityFlow)
        drifts = [(0.5 * d, 0 * d, s) if half else (d, d, s) for s, d in steps]
    for drift, diffusion, sigma in (*drifts, (sigmas[-1].square(), 0, sigmas[-1])):
        a = 1 - drift / (VARIANCES + sigma.square())
        m, v = a * m, a * a * v + diffusion
    return ROTATION.double() @ m + MEAN, v


SAMPLERS = [
    AnnealedLangevin(),
    AnnealedLangevin(levels=10, steps=100, epsilon=2e-5),
    ReverseSDE(),
    ProbabilityFlow(),
]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_samplers_have_exactly_the_law_of_their_linear_steps(sampler):
    """Mean and covariance within five standard errors of the law followed by hand."""
    x = sampler.sample(GaussianScore(), COUNT, streams("gauss", (0, 1), "samples")).states
    mean, variances = followed(sampler)
    for states in x.double():
        aligned = (states - mean) @ ROTATION.double()
        assert ((aligned.mean(0)).abs() < 5 * (variances / COUNT).sqrt()).all()
        torch.testing.assert_close(
            aligned.T.cov().diag(), variances, rtol=5 * math.sqrt(2 / COUNT), atol=0
        )
        correlation = aligned.T.corrcoef()[0, 1]
        assert abs(correlation) < 5 / math.sqrt(COUNT)


@pytest.mark.parametrize(
    "sampler",
    [AnnealedLangevin(levels=10, steps=2000, step_factor=0.2), ReverseSDE(steps=4000)],
    ids=str,
)
def test_the_law_of_fine_steps_is_the_gaussian(sampler):
    """Langevin's variance is too large by about step_factor² σ²/(2 (v + σ²)) where it freezes: 2 %.

    The reverse SDE starts at 0, and keeps v/(v + σ_max²) of that offset along each axis.
    """
    mean, variances = followed(sampler)
    kept = 0 if isinstance(sampler, AnnealedLangevin) else VARIANCES / (VARIANCES + 9)
    expected = ROTATION @ ((1 - kept) * (MEAN @ ROTATION))
    torch.testing.assert_close(mean, expected.double(), atol=1e-3, rtol=0)
    torch.testing.assert_close(variances, VARIANCES.double(), rtol=0.02, atol=0)


def test_probability_flow_scales_its_start_and_converges_at_first_order():
    """x(σ) - m = √((v + σ²)/(v + σ_max²)) (x_0 - m) along each axis; denoised by v/(v + σ_min²)."""
    score = GaussianScore(repeats=1)
    start = math.sqrt(1 + 9) * normal((1, 50, 2), stream("flow"), torch.float32)
    low, high = VARIANCES + score.sigma_min**2, VARIANCES + score.sigma_max**2
    factor = (low / high).sqrt() * VARIANCES / low
    exact = ((start - MEAN) @ ROTATION * factor) @ ROTATION.T + MEAN

    def error(steps):
        states = ProbabilityFlow(steps).sample(score, 50, stream("flow")).states
        return (states - exact).abs().max().item()

    assert error(400) < 0.02
    assert error(100) / error(200) == pytest.approx(2, rel=0.1)
    assert error(200) / error(400) == pytest.approx(2, rel=0.1)


def test_the_last_step_is_the_posterior_mean_of_the_blurred_point():
    """With data N(m, C), E[x | x + σ ε] lies v/(v + σ²) of the way from m along each axis."""
    score = GaussianScore(repeats=1)
    result = ReverseSDE(50, shown=(score.sigma_min,)).sample(score, 100, stream("last"))
    before = ((result.snapshots[:, -1] - MEAN) @ ROTATION).double()
    after = ((result.states - MEAN) @ ROTATION).double()
    shrink = (VARIANCES / (VARIANCES + score.sigma_min**2)).double()
    torch.testing.assert_close(after, before * shrink, atol=1e-6, rtol=1e-5)


def test_snapshots_are_those_of_the_nearest_levels_in_order():
    score = GaussianScore(repeats=2)
    shown = (3.0, 1.1, 0.4, 0.15, 0.05, 0.02)
    sampler = AnnealedLangevin(levels=20, steps=60, shown=shown)
    result = sampler.sample(score, 4000, streams("snap", (0, 1), "x"))
    assert result.snapshots.shape == (2, 6, 4000, 2)
    ratio = 150 ** (1 / 19)
    assert all(
        1 / ratio**0.5 <= level / wanted <= ratio**0.5 * 1.0001
        for level, wanted in zip(result.levels.tolist(), shown, strict=True)
    )
    spread = (result.snapshots - MEAN).square().sum(-1).mean(-1)
    expected = VARIANCES.sum() + 2 * result.levels.square()
    torch.testing.assert_close(spread, expected.expand(2, 6), rtol=0.15, atol=0)


def test_each_repeat_has_its_own_stream():
    together = ReverseSDE(20).sample(GaussianScore(2), 10, streams("s", (5, 6), "x")).states
    for r, seed in enumerate((5, 6)):
        alone = ReverseSDE(20).sample(GaussianScore(1), 10, streams("s", (seed,), "x")).states
        torch.testing.assert_close(together[r : r + 1], alone)


def test_network_and_samplers_fit_together():
    scaling = Scaling(torch.zeros(2, 3), torch.ones(2, 3))
    network = Score(scaling, hidden=8, generator=streams("net", (0, 1), "w"))
    for sampler in (AnnealedLangevin(3, 2), ReverseSDE(5), ProbabilityFlow(5)):
        result = sampler.sample(network, 7, streams("net", (0, 1), "x"))
        assert result.states.shape == (2, 7, 3)
        assert not result.states.requires_grad
        assert result.states.isfinite().all()
        assert result.snapshots.shape == (2, 0, 7, 3)


RESUMED = [
    AnnealedLangevin(6, 3, shown=(3.0, 0.4)),
    ReverseSDE(12, shown=(0.4,)),
    ProbabilityFlow(12),
]


@pytest.mark.parametrize("sampler", RESUMED, ids=str)
@pytest.mark.parametrize("level", [0, 3, -1])
def test_samples_continue_from_any_level_as_if_they_had_not_stopped(sampler, level):
    score, saved = GaussianScore(), []
    whole = sampler.sample(
        score,
        10,
        streams("resume", (0, 1), "x"),
        save=lambda state: saved.append(copy.deepcopy(state())),
    )
    assert [state["level"] for state in saved] == list(range(1, sampler.rungs + 1))
    again = sampler.sample(score, 10, streams("other", (0, 1), "x"), resume=saved[level])
    assert all(torch.equal(a, b) for a, b in zip(whole, again, strict=True))


def test_what_was_saved_of_other_samples_is_left_aside(caplog):
    score, saved = GaussianScore(), []
    ReverseSDE(5).sample(
        score, 10, streams("r", (0, 1), "x"), save=lambda state: saved.append(state())
    )
    found = ReverseSDE(5).sample(score, 11, streams("r", (0, 1), "x"), resume=saved[2])
    assert "of other samples; starts from the beginning" in caplog.text
    alone = ReverseSDE(5).sample(score, 11, streams("r", (0, 1), "x"))
    assert torch.equal(found.states, alone.states)


def test_a_ladder_needs_two_levels():
    with pytest.raises(ValueError, match="at least 2 levels, got 1"):
        AnnealedLangevin(levels=1).sample(GaussianScore(), 1, stream("ladder"))
