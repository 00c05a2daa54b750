import pytest
import torch

from dalib.filters import Ensemble, Gaussian, assimilate
from dalib.filters.enkf import EnKF
from dalib.filters.hybrid import Ens3DVar
from dalib.filters.variational import Climatology, OptimalInterpolation, Var3D, cost, minimise
from dalib.localise import Localisation
from dalib.observe import Arctan, Linear, Subset
from dalib.streams import normal, stream

SIZE = 5


def problem(seeds=3, obs=3):
    generator = stream("variational", obs)
    root = normal((SIZE, SIZE), generator)
    background = Gaussian(normal((SIZE,), generator), root @ root.T + 0.1 * torch.eye(SIZE))
    observe = Linear(normal((obs, SIZE), generator))
    y, forecast = normal((seeds, obs), generator), normal((seeds, SIZE), generator)
    return background, observe, y, forecast


def around(mean, cov) -> Gaussian:
    return Gaussian(mean, cov.expand(*mean.shape, mean.shape[-1]))


@pytest.mark.parametrize("obs", [3, 9])
def test_the_minimiser_is_the_gain_form(obs):
    background, observe, y, forecast = problem(obs=obs)
    y[1, 0], y[2] = torch.nan, torch.nan
    settings = {"step": None, "observe": observe, "obs_std": 0.3, "background": background}
    belief = around(forecast, background.cov)
    by_gain = Var3D(**settings).analyse(belief, y)
    by_descent = Var3D(**settings, outer=1).analyse(belief, y)
    assert torch.allclose(by_descent.mean, by_gain.mean, rtol=0, atol=1e-8)
    assert torch.allclose(by_gain.mean[2], forecast[2], atol=1e-12)


def test_the_minimiser_has_no_gradient_of_the_cost():
    """Also for an operator that is not linear, after a few rounds."""
    background, _, _, forecast = problem()
    observe, y = Arctan(0.5, (0, 2)), torch.tensor([[0.3, -0.4], [0.2, torch.nan], [0.0, 0.1]])
    background = around(forecast, background.cov)
    x = minimise(background, y.double(), observe, 0.2, outer=40).requires_grad_(True)
    total = cost(x, background, y.double(), observe, 0.2).sum()
    (slope,) = torch.autograd.grad(total, x)
    assert slope.abs().max() < 1e-6


def test_optimal_interpolation_ignores_model_and_past():
    background, observe, y, forecast = problem()
    settings = {"observe": observe, "obs_std": 0.3, "background": background}
    filter = OptimalInterpolation(**settings)
    belief = filter.forecast(around(forecast, background.cov))
    assert torch.equal(belief.mean, background.mean.expand(3, SIZE))
    from_the_background = Var3D(step=None, **settings).analyse(belief, y)
    assert torch.allclose(filter.analyse(belief, y).mean, from_the_background.mean, atol=1e-14)
    series = y[:, None].repeat(1, 2, 1)
    never = assimilate(Climatology(**settings), around(forecast, background.cov), series, None)
    assert torch.equal(never.mean, background.mean.expand(3, 2, SIZE))
    assert torch.allclose(never.std, background.std.expand(3, 2, SIZE))


def test_seeds_with_gaps_have_gains_of_their_own():
    background, observe, y, forecast = problem()
    settings = {"step": None, "observe": observe, "obs_std": 0.3, "background": background}
    belief, filter = around(forecast, background.cov), Var3D(**settings)
    whole = filter.analyse(belief, y)
    y[1, 0] = torch.nan
    gaps = filter.analyse(belief, y)
    assert torch.allclose(gaps.mean[[0, 2]], whole.mean[[0, 2]], atol=1e-13)
    assert gaps.cov[1].trace() > whole.cov[1].trace()


def ensembles():
    background, observe, y, forecast = problem()
    return background, observe, y, forecast[:, None] + normal((3, 8, SIZE), stream("members"))


def hybrid(background, observe, **settings) -> Ens3DVar:
    return Ens3DVar(
        step=None, observe=observe, obs_std=0.3, members=8, background=background, **settings
    )


def test_the_hybrid_of_weight_zero_is_3dvar():
    background, observe, y, E = ensembles()
    y[1, 0] = torch.nan
    var3d = Var3D(
        step=None, observe=observe, obs_std=0.3, background=background, background_scale=0.4
    )
    filter = hybrid(background, observe, weight=0.0, background_scale=0.4)
    analysis = filter.analyse(Ensemble(E), y, stream(1))
    expected = var3d.analyse(around(E.mean(1), background.cov), y)
    assert torch.allclose(analysis.mean, expected.mean, rtol=0, atol=1e-10)


def test_the_hybrid_of_weight_one_is_the_stochastic_ensemble_filter():
    background, observe, y, E = ensembles()
    y[1, 0] = torch.nan
    enkf = EnKF(step=None, observe=observe, obs_std=0.3, members=8)
    analysis = hybrid(background, observe, weight=1.0).analyse(Ensemble(E), y, stream(1))
    expected = enkf.analyse(Ensemble(E), y, stream(1))
    assert torch.allclose(analysis.members, expected.members, rtol=0, atol=1e-10)
    likelihood = hybrid(background, observe, weight=1.0).log_likelihood(Ensemble(E), y)
    assert torch.allclose(likelihood, enkf.log_likelihood(Ensemble(E), y), rtol=0, atol=1e-10)


def test_a_taper_localises_the_ensemble_covariance():
    background, _, y, E = ensembles()
    filter = hybrid(
        background,
        Subset((0,)),
        weight=1.0,
        localisation=Localisation(matrix=torch.eye(SIZE).double()),
    )
    moved = (filter.analyse(Ensemble(E), y[:, :1], stream(1)).members - E).abs().amax((0, 1))
    assert moved[0] > 0
    assert (moved[1:] == 0).all()


def test_a_background_that_is_no_covariance_is_named():
    background, observe, *_ = problem()
    bad = Gaussian(background.mean, -background.cov)
    prior = Gaussian(background.mean, background.cov)
    for filter in (
        Var3D(step=None, observe=observe, obs_std=1.0, background=bad),
        OptimalInterpolation(observe=observe, obs_std=1.0, background=bad),
        Ens3DVar(step=None, observe=observe, obs_std=1.0, background=bad),
    ):
        with pytest.raises(ValueError, match="background covariance is not positive definite"):
            filter.start(prior, stream(0))


@pytest.mark.parametrize(
    ("observe", "start", "y"),
    [(lambda x: x**3, 0.1, 1.0), (lambda x: torch.atan(5 * x), 0.0, 1.2), (torch.exp, -4.0, 3.0)],
)
def test_no_round_of_the_minimiser_raises_the_cost(observe, start, y):
    background = Gaussian(torch.full((1,), start).double(), torch.eye(1).double())
    y = torch.full((1,), y).double()
    rounds = [minimise(background, y, observe, 0.05, outer) for outer in range(13)]
    costs = torch.stack([cost(x, background, y, observe, 0.05) for x in rounds])
    assert (costs.diff() <= 1e-9 * costs[:-1]).all()
    grid = torch.linspace(-5, 5, 100_001).double()[:, None]
    assert costs[-1] <= cost(grid, background, y, observe, 0.05).amin() + 1e-6


def test_each_series_has_a_step_of_its_own():
    start = torch.tensor([[0.1], [0.9]]).double()
    background = Gaussian(start, torch.eye(1).double())
    y = torch.ones(2, 1).double()
    both = minimise(background, y, lambda x: x**3, 0.05, 3)
    for k in range(2):
        alone = Gaussian(start[k], torch.eye(1).double())
        assert torch.equal(both[k], minimise(alone, y[k], lambda x: x**3, 0.05, 3))


@pytest.mark.parametrize("outer", [1, 3])
def test_slopes_of_cost_and_minimiser_are_those_without_the_missing_value(outer):
    background, observe, y, forecast = problem(seeds=1)
    y[0, 1] = torch.nan
    kept = [0, 2]
    part = Linear(observe.matrix[kept])
    slopes = []
    for given, h in ((y, observe), (y[:, kept], part)):
        std = torch.tensor(0.3).double().requires_grad_()
        x = minimise(background, given, h, std, outer)
        value = cost(forecast, background, given, h, std).sum() + x.square().sum()
        slopes.append(torch.autograd.grad(value, std)[0])
    assert slopes[0].isfinite()
    torch.testing.assert_close(*slopes, rtol=1e-8, atol=0)
