import math

import pytest
import torch

from dalib.filters import Ensemble, Gaussian, kalman
from dalib.filters.enkf import EnKF, denkf_analysis, enkf_analysis
from dalib.filters.ensemble import increments, likelihood
from dalib.filters.etkf import ETKF, etkf_analysis, square_root
from dalib.filters.letkf import LETKF, letkf_analysis
from dalib.filters.rotation import rotation
from dalib.localise import Localisation, Ring
from dalib.observe import MovingSubset, Subset
from dalib.streams import normal, stream, streams


def sample(members, state, obs, seeds=3):
    """An ensemble (seed, member, state), H (obs, state), y (seed, obs), obs_std (obs,)."""
    generator = stream("ensemble", members, state, obs)
    mix = normal((state, state), generator)
    E = normal((seeds, members, state), generator) @ mix + 1
    H, y = normal((obs, state), generator), normal((seeds, obs), generator)
    return E, H, y, 0.5 + normal((obs,), generator).abs()


def kalman_update(E, H, y, obs_std) -> Gaussian:
    """Of the sample moments of E."""
    return kalman.analyse(Gaussian(*_moments(E)), H, torch.diag(obs_std**2), y)


def _moments(E):
    return Ensemble(E).mean, Ensemble(E).cov


@pytest.mark.parametrize(("members", "obs"), [(12, 4), (5, 8), (40, 8), (8, 8)])
def test_the_transform_is_the_kalman_update_of_the_sample_moments(members, obs):
    E, H, y, obs_std = sample(members, 6, obs)
    y[1, 2], y[2] = torch.nan, torch.nan
    mean, cov = _moments(etkf_analysis(E, E @ H.T, y, obs_std))
    expected = kalman_update(E, H, y, obs_std)
    assert torch.allclose(mean, expected.mean, rtol=0, atol=1e-10)
    assert torch.allclose(cov, expected.cov, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("members", "obs"), [(12, 4), (5, 8)])
def test_perturbed_observations_move_the_mean_as_the_kalman_filter(members, obs):
    E, H, y, obs_std = sample(members, 6, obs)
    mean, _ = _moments(enkf_analysis(E, E @ H.T, y, obs_std, stream("perturbations")))
    assert torch.allclose(mean, kalman_update(E, H, y, obs_std).mean, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("members", "obs"), [(12, 4), (5, 8)])
def test_half_the_gain_leaves_a_quarter_of_a_square_too_much_covariance(members, obs):
    """(I - KH/2) P (I - KH/2)ᵀ = (I - KH) P + ¼ KH P (KH)ᵀ."""
    E, H, y, obs_std = sample(members, 6, obs)
    prior, exact = Gaussian(*_moments(E)), kalman_update(E, H, y, obs_std)
    KH = kalman.gain(prior.cov, H, torch.diag(obs_std**2)) @ H
    mean, cov = _moments(denkf_analysis(E, E @ H.T, y, obs_std))
    assert torch.allclose(mean, exact.mean, rtol=0, atol=1e-10)
    assert torch.allclose(cov, exact.cov + KH @ prior.cov @ KH.mT / 4, rtol=0, atol=1e-10)


def test_the_stochastic_filter_tends_to_the_kalman_filter_as_one_over_root_n():
    H, y = torch.eye(3)[:2].double(), torch.ones(2).double()
    prior = Gaussian(torch.zeros(3).double(), torch.eye(3).double() + 0.5)
    exact = kalman.analyse(prior, H, torch.eye(2).double(), y)
    sizes, errors, seeds = (100, 1000, 10000), [], 30
    wide = Gaussian(prior.mean.expand(seeds, 3), prior.cov.expand(seeds, 3, 3))
    for N in sizes:
        generator = streams("convergence", range(seeds), N)
        filter = EnKF(step=None, observe=lambda x: x @ H.T, obs_std=1.0, members=N)
        belief = filter.analyse(filter.start(wide, generator), y.expand(seeds, 2), generator)
        mean_error = (belief.mean - exact.mean).square().mean()
        cov_error = (belief.cov - exact.cov).square().mean()
        errors.append(math.log((mean_error + cov_error).sqrt().item()))
    slope = (errors[-1] - errors[0]) / math.log(sizes[-1] / sizes[0])
    assert slope == pytest.approx(-0.5, abs=0.1)


@pytest.mark.parametrize("analysis", [enkf_analysis, denkf_analysis])
def test_where_the_whole_state_is_seen_the_short_form_is_the_general_one(analysis):
    """D Sᵀ (S Sᵀ + N-1)⁻¹ X with X = σ S."""
    E, _, y, obs_std = sample(12, 6, 6)
    noise = [stream("short")] if analysis is enkf_analysis else []
    short = analysis(E, E, y, obs_std, *noise)
    noise = [stream("short")] if analysis is enkf_analysis else []
    general = analysis(E, E.clone(), y, obs_std, *noise)
    assert torch.allclose(short, general, rtol=0, atol=1e-12)
    assert not torch.allclose(short, E, atol=1e-3)


@pytest.mark.parametrize("obs", [4, 12])
def test_both_spaces_give_the_same_increments_andsquare_root(obs):
    """Against the formula in the space of the observations, whichever is smaller."""
    N = 8
    generator = stream("spaces", obs)
    S = normal((2, N, obs), generator)
    S = S - S.mean(-2, keepdim=True)
    D, X = normal((2, N, obs), generator), normal((2, N, 5), generator)
    C = S.mT @ S + (N - 1) * torch.eye(obs)
    assert torch.allclose(increments(D, S, X), D @ torch.linalg.solve(C, S.mT @ X), atol=1e-12)
    W = square_root(S)
    A = (S @ S.mT + (N - 1) * torch.eye(N)) / (N - 1)
    assert torch.allclose(W @ W @ A, torch.eye(N).double().expand(2, N, N), atol=1e-12)
    assert torch.allclose(W, W.mT, atol=1e-14)
    assert (torch.linalg.eigvalsh(W) > 0).all()


@pytest.mark.parametrize(("members", "obs"), [(12, 4), (5, 8)])
def test_the_log_likelihood_is_that_of_the_sample_moments(members, obs):
    E, H, y, obs_std = sample(members, 6, obs)
    y[1, 2] = torch.nan
    mean, cov = _moments(E @ H.T)
    expected = torch.stack(
        [
            torch.distributions.MultivariateNormal(
                m[seen], (P + torch.diag(obs_std**2))[seen][:, seen]
            ).log_prob(value[seen])
            for m, P, value in zip(mean, cov, y, strict=True)
            for seen in [~value.isnan()]
        ]
    )
    assert torch.allclose(likelihood(E @ H.T, y, obs_std).log_density, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("members", [4, 9])
def test_local_analyses_with_taper_one_are_the_global_one(members):
    E, H, y, obs_std = sample(members, 6, 5)
    y[0, 1] = torch.nan
    everywhere = letkf_analysis(E, E @ H.T, y, obs_std, torch.ones(6, 5).double())
    assert torch.allclose(everywhere, etkf_analysis(E, E @ H.T, y, obs_std), rtol=0, atol=1e-10)


def test_a_component_far_from_all_observations_does_not_move():
    E, _, y, _ = sample(6, 40, 2)
    sites = torch.arange(40)
    filter = LETKF(
        step=lambda x: x,
        observe=Subset((0, 5)),
        obs_std=1.0,
        members=6,
        localisation=Ring(2.0).on(40),
    )
    moved = (filter.analyse(Ensemble(E), y, None).members - E).abs().amax((0, 1))
    far = (sites > 5 + 2 * 3.64) & (sites < 40 - 2 * 3.64)
    assert (moved[far] < 1e-13).all()
    assert (moved[~far] > 1e-13).all()


def test_local_analyses_follow_an_operator_that_moves():
    E, _, y, _ = sample(6, 40, 2)
    moving = MovingSubset(((0, 5), (20, 25)))
    filter = LETKF(
        step=lambda x: x,
        observe=moving.at(1),
        obs_std=1.0,
        members=6,
        localisation=Ring(2.0).on(40),
    )
    moved = (filter.analyse(Ensemble(E), y, None).members - E).abs().amax((0, 1))
    assert moved[22] > 1e-13
    assert moved[2] < 1e-13


def test_a_taper_of_another_shape_is_refused():
    E, H, y, obs_std = sample(6, 4, 4)
    filter = LETKF(
        step=lambda x: x,
        observe=lambda x: x,
        obs_std=1.0,
        members=6,
        localisation=Localisation(matrix=torch.ones(4, 2)),
    )
    with pytest.raises(ValueError, match=r"between state components, \(4, 4\); got \(4, 2\)"):
        filter.analyse(Ensemble(E), y, None)


def test_local_analyses_without_a_taper_say_what_they_need():
    with pytest.raises(ValueError, match="LETKF needs a localisation"):
        LETKF(step=None, observe=None, obs_std=1.0, members=6)


def test_a_rotation_is_orthogonal_and_keeps_mean_and_covariance():
    N = 7
    Q = rotation((3, N), streams("rotation", range(3), "filter"))
    one = torch.eye(N).double()
    assert torch.allclose(Q @ Q.mT, one.expand(3, N, N), atol=1e-12)
    assert torch.allclose(Q.sum(-1), torch.ones(3, N).double(), atol=1e-12)
    assert not torch.allclose(Q[0], Q[1])
    E, H, y, obs_std = sample(N, 4, 3)
    plain, rotated = (
        ETKF(step=None, observe=lambda x: x @ H.T, obs_std=obs_std, members=N, rotate=rotate)
        for rotate in (False, True)
    )
    a = plain.analyse(Ensemble(E), y, stream(0))
    b = rotated.analyse(Ensemble(E), y, stream(0))
    assert torch.allclose(a.mean, b.mean, atol=1e-12)
    assert torch.allclose(a.cov, b.cov, atol=1e-12)
    assert not torch.allclose(a.members, b.members)


def test_inflation_multiplies_the_anomalies_where_something_was_observed():
    E, H, y, obs_std = sample(8, 4, 3)
    y[1] = torch.nan
    plain, inflated = (
        ETKF(step=None, observe=lambda x: x @ H.T, obs_std=obs_std, members=8, inflation=factor)
        for factor in (1.0, 1.5)
    )
    before = plain.analyse(Ensemble(E), y, None)
    after = inflated.analyse(Ensemble(E), y, None)
    ratio = (after.std / before.std).mean(-1)
    assert torch.allclose(ratio, torch.tensor([1.5, 1.0, 1.5]).double())
    assert torch.allclose(after.mean, before.mean)
    assert torch.allclose(after.members[1], E[1])  # no observation, no analysis


@pytest.mark.parametrize(("members", "obs"), [(6, 3), (4, 6)])
def test_the_derivative_of_the_transform_is_right_where_eigenvalues_coincide(members, obs):
    """N-1 anomalies leave at least one eigenvalue 0; a missing observation makes them coincide."""
    E, H, y, obs_std = sample(members, 3, obs, seeds=1)
    y[0, 0], y[0, 1] = torch.nan, torch.nan

    def analysis(E):
        return etkf_analysis(E, E @ H.T, y, obs_std)

    assert torch.autograd.gradcheck(analysis, E.clone().requires_grad_(True), atol=1e-7)


def test_an_ensemble_of_one_is_refused():
    with pytest.raises(ValueError, match="at least 2 members, got 1"):
        EnKF(step=None, observe=None, obs_std=1.0, members=1)


def test_a_prior_of_another_size_is_refused():
    filter = EnKF(step=None, observe=None, obs_std=1.0, members=10)
    with pytest.raises(ValueError, match="the prior has 8 members, the filter members=10"):
        filter.start(Ensemble(torch.zeros(8, 3).double()), None)


def test_a_covariance_that_all_series_share_is_factored_once(monkeypatch):
    shapes = []

    def counted(A, **options):
        shapes.append(A.shape)
        return cholesky(A, **options)

    cholesky = torch.linalg.cholesky
    monkeypatch.setattr(torch.linalg, "cholesky", counted)
    cov = torch.eye(4).double() + 0.2
    mean = normal((50, 4), stream("shared"))
    filter = EnKF(step=lambda x: x, observe=lambda x: x, obs_std=1.0, members=6)
    found = filter.start(Gaussian(mean, cov.expand(50, 4, 4)), stream("members"))
    assert sum(math.prod(shape[:-2]) for shape in shapes) == 1
    own = filter.start(Gaussian(mean, cov.repeat(50, 1, 1)), stream("members"))
    torch.testing.assert_close(found.members, own.members, rtol=0, atol=1e-12)
