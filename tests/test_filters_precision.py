"""Single precision against double: precise observations, large means, states far from 0."""

import dataclasses

import pytest
import torch

from dalib import build
from dalib.filters import Ensemble, Gaussian, Weighted, assimilate
from dalib.filters.enkf import DEnKF, EnKF
from dalib.filters.etkf import ETKF, _by_singular_values, _extreme, square_root, transform
from dalib.filters.letkf import LETKF
from dalib.localise import Localisation, Ring
from dalib.observe import Identity, Subset
from dalib.registry import FILTERS
from dalib.streams import normal, stream, streams

SIZE, MEMBERS, SEEDS = 12, 20, 4
RING = Ring(2.0).on(SIZE)
OTHERS = {
    *("deep_kalman", "deep_kalman_smoother", "latent", "direct_decode"),  # of networks
    *("climatology", "free_run", "fixed_gain"),  # whose analysis has no matrix to solve
    *("particle", "likelihood_particle", "optimal_particle", "auxiliary_particle"),
    "local_particle",  # whose particles all lose their weights
    *("ensf", "enff"),  # which make no matrices, and refuse such errors or warn of them
    "ns_enkf",  # whose ranks change by rounding
    "cg_enkf",  # to which values that outnumber members leave no spread to measure by
}
SETTINGS = {
    "ens3dvar": {"weight": 0.5},
}
OPERATORS = {
    "few": Subset((0, 3, 6, 9)),
    "all": Subset(tuple(range(SIZE))),
    "twice": lambda x: torch.cat([x, x], -1),
}


def same(x):
    return x


def made(kind, observe, obs_std):
    one = torch.eye(SIZE, dtype=torch.float64)
    supplies = {
        "step": same,
        "tangent": None,
        "observe": observe,
        "obs_std": obs_std,
        "background": Gaussian(torch.zeros(SIZE).double(), RING.taper()),
        "localisation": RING if kind.startswith("local_") else Localisation(matrix=RING.taper()),
        "matrix": one,
        "noise_cov": 0.1 * one,
        "members": MEMBERS,
    }
    section = {"kind": kind, **SETTINGS.get(kind, {})}
    return build.make("filter", section, {k: lambda v=v: v for k, v in supplies.items()})


def sample(observe, mean=0.0, spread=1.0, size=SIZE):
    """Members and y that float32 holds exactly."""
    E = normal((SEEDS, MEMBERS, size), streams("precise", range(SEEDS), "E"))
    E = (mean + spread * (E + 0.7 * E.roll(1, -1))).float().double()
    y = observe(E.mean(-2))
    return E, (y + spread / 2 * normal(y.shape, stream("precise", "y"))).float().double()


def analysed(filter, E, y, dtype):
    prior = Gaussian(E.mean(-2), RING.taper().expand(SEEDS, SIZE, SIZE))
    prior = Ensemble(E) if hasattr(filter, "members") else prior
    prior = type(prior)(*(value.to(dtype) for value in prior))
    generator = streams("precise", range(SEEDS), "filter")
    return filter.analyse(filter.start(prior, generator), y.to(dtype), generator)


def in_posterior_std(filter, E, y):
    """(..., state), what float32 changes of the mean."""
    single, double = (analysed(filter, E, y, t) for t in (torch.float32, torch.float64))
    return (single.mean.double() - double.mean).abs() / double.std


@pytest.mark.parametrize("ratio", [1e3, 1e4])
@pytest.mark.parametrize("seen", OPERATORS)
@pytest.mark.parametrize("kind", sorted(set(FILTERS) - OTHERS))
def test_single_precision_is_enough_for_precise_observations(kind, seen, ratio):
    """An analysis in float32 is rounded by 6e-8 of the spread: `ratio` times that, and some."""
    E, y = sample(OPERATORS[seen])
    error = in_posterior_std(made(kind, OPERATORS[seen], 1 / ratio), E, y)
    assert error.median() < 1e-7 * ratio
    assert error.max() < 1e-6 * ratio


@pytest.mark.parametrize("ratio", [1e3, 1e4])
@pytest.mark.parametrize("outer", [1, 3])
def test_single_precision_is_enough_for_the_minimiser(outer, ratio):
    E, y = sample(OPERATORS["few"])
    filter = dataclasses.replace(made("var3d", OPERATORS["few"], 1 / ratio), outer=outer)
    error = in_posterior_std(filter, E, y)
    assert error.median() < 1e-7 * ratio
    assert error.max() < 1e-6 * ratio


@pytest.mark.parametrize("every", [1, 4])
@pytest.mark.parametrize("kind", ["enkf", "denkf", "etkf", "letkf", "local_letkf", "local_enkf"])
@pytest.mark.parametrize(
    ("mean", "spread", "obs_std"),
    [(280.0, 2.0, 0.5), (54_000.0, 300.0, 100.0), (1e5, 500.0, 100.0)],
)
def test_single_precision_is_enough_far_from_zero(kind, every, mean, spread, obs_std):
    """Temperature, geopotential and pressure: the mean may not come into the gain."""
    observe = Subset(tuple(range(0, SIZE, every)))
    E, y = sample(observe, mean, spread)
    error = in_posterior_std(made(kind, observe, obs_std), E, y)
    assert error.median() < 1e-4
    assert error.max() < 1e-3


@pytest.mark.parametrize("method", [EnKF, DEnKF, ETKF])
@pytest.mark.parametrize(("obs", "obs_std"), [(100_000, 0.1), (30_000, 0.01)])
def test_single_precision_is_enough_for_many_observations(method, obs, obs_std):
    E, filter = (
        normal((10, obs), stream("many")),
        method(step=same, observe=same, obs_std=obs_std, members=10),
    )
    single, double = (
        assimilate(filter, Ensemble(E.to(t)), torch.zeros(1, obs), stream("noise"))
        for t in (torch.float32, torch.float64)
    )
    assert not single.diverged
    assert (single.mean - double.mean).abs().max() < 1e-4


@pytest.mark.parametrize("ratio", [1e6, 1e7, 1e8, 1e9])
def test_errors_far_below_the_spread_leave_the_analysis_where_it_was(ratio):
    """In double precision too: with almost exact observations nothing depends on their errors."""
    observe = Subset((0, 5))
    E, y = sample(observe)
    for settings in ({}, {"localisation": Ring(2.0).on(SIZE)}):
        method = LETKF if settings else ETKF
        given = {"step": same, "observe": observe, "members": MEMBERS, **settings}
        expected = method(obs_std=1e-5, **given).analyse(Ensemble(E), y, None).members
        found = method(obs_std=1 / ratio, **given).analyse(Ensemble(E), y, None).members
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_two_sensors_at_one_place_are_one_that_is_better(dtype):
    E, error = sample(Identity(SIZE))[0][0].to(dtype), 1e-7
    twice = ETKF(step=same, observe=lambda x: x[..., [0, 0]], obs_std=error, members=MEMBERS)
    once = ETKF(step=same, observe=Subset((0,)), obs_std=error / 2**0.5, members=MEMBERS)
    found, expected = (
        filter.analyse(Ensemble(E), torch.zeros(n, dtype=dtype), None).members
        for filter, n in ((twice, 2), (once, 1))
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("obs", [3, 8, 30])
def test_weights_by_singular_values_are_those_by_eigenvalues(obs):
    """At errors of 1e-4 of the spread, where both are right."""
    S = normal((5, 8, obs), stream("weights", obs))
    S, d = 1e4 * (S - S.mean(1, keepdim=True)), 1e4 * normal((5, 1, obs), stream("d", obs))
    W = square_root(S)
    expected = d @ S.mT @ W @ W / 7 + W
    torch.testing.assert_close(_by_singular_values(S, d), expected, rtol=0, atol=1e-6)
    assert not _extreme(S / 1e3)
    assert _extreme(1e3 * S)
    S[2, 3, 1] = torch.nan
    assert transform(S, d).isnan().flatten(1).any(1).tolist() == [i == 2 for i in range(5)]


@pytest.mark.parametrize(("mean", "spread"), [(280.0, 2.0), (1e5, 100.0)])
def test_single_precision_is_enough_for_weighted_means_far_from_zero(mean, spread):
    members = (mean + spread * normal((1000, SIZE), stream("weighted"))).float()
    weights = normal((1000,), stream("weights")).log_softmax(-1)
    single = Weighted(members, weights.float()).mean
    double = Weighted(members.double(), weights).mean
    assert (single - double).abs().max() <= 1e-7 * mean
