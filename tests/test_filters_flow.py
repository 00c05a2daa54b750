"""The flow filter and the conditional Gaussian filters: closed forms, limits, what is refused."""

import math

import pytest
import torch

from dalib.filters import Ensemble, Gaussian, assimilate
from dalib.filters.enff import EnFF, Flowing, velocity
from dalib.filters.gaussian_gain import CGEnKF, NSEnKF, Scores
from dalib.filters.kalman import analyse
from dalib.observe import Arctan, Identity, Subset
from dalib.streams import normal, stream, streams


def still(kind, **settings):
    return kind(step=lambda x: x, **{"observe": Identity(2), "obs_std": 0.5} | settings)


# flow


def test_the_velocity_is_that_of_the_mixture_it_moves():
    """Of one member: straight to it from where it was, or from noise along a shrinking cloud."""
    x, start = torch.tensor([[2.0, -1.0]]).double(), torch.tensor([[0.5, 0.5]]).double()
    z = normal((3, 2), stream("z"))
    torch.testing.assert_close(velocity(z, x, start, 0.3, 0.1), (x - start).expand(3, 2))
    t, least = 0.4, 0.1
    std = 1 - (1 - least) * t
    expected = (least - 1) / std * (z - t * x) + x
    torch.testing.assert_close(velocity(z, x, None, t, least), expected)


def test_without_observations_to_speak_of_the_flow_arrives_at_the_forecast():
    """Continuity: from N(0, I) to a mixture around the members, and from members to forecasts."""
    E = 2 * normal((300, 2), stream("E")) + 1
    y = torch.zeros(2).double()
    far = still(EnFF, obs_std=1e6, members=300, path="transport", steps=200, least_std=0.2)
    found = far.analyse(Flowing(E, E), y, stream("noise")).members
    assert (found.mean(0) - E.mean(0)).abs().max() < 0.3
    assert (found.std(0) - E.std(0)).abs().max() < 0.3
    before = E / 2 - 1
    near = still(EnFF, obs_std=1e6, members=300, steps=100, least_std=0.01)
    found = near.analyse(Flowing(E, before), y, stream("noise")).members
    assert (found - E).abs().median() < 0.05


def test_the_pull_towards_y_has_the_closed_form_of_its_steps():
    """One member at its forecast: d z = λ (y - z) / σ² Δ, so many times."""
    x = torch.tensor([[1.0, -2.0], [1.0, -2.0]]).double()
    y = torch.tensor([0.0, torch.nan]).double()
    filter = still(EnFF, members=2, guidance=0.2, steps=25, least_std=1e-6)
    found = filter.analyse(Flowing(x, x), y, stream("n")).members
    kept = (1 - 0.2 / 0.25 / 25) ** 25
    torch.testing.assert_close(found[:, 0], torch.full((2,), kept).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(found[:, 1], x[:, 1], atol=1e-5, rtol=0)


def test_the_flow_filter_tracks_and_a_nonlinear_operator_does_as_well():
    turn = torch.tensor([[0.96, -0.28], [0.28, 0.96]]).double()
    x, truth = torch.tensor([1.0, 0.0]).double(), []
    for _ in range(40):
        x = turn @ x
        truth.append(x)
    truth = torch.stack(truth)
    prior = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
    for operator, off in ((Identity(2), 0.15), (Arctan(2), 0.25)):
        y = operator(truth) + 0.1 * normal((4, 40, 2), streams("flow", range(4), "y"))
        filter = EnFF(
            step=lambda x: x @ turn.T,
            observe=operator,
            obs_std=0.1,
            members=30,
            guidance=0.005,
            least_std=0.05,
        )
        found = assimilate(filter, prior, y, streams("flow", range(4), "f"))
        assert (found.mean - truth)[:, 20:].square().mean().sqrt() < off


def test_a_flow_of_too_few_steps_and_an_unknown_path_are_refused():
    filter = still(EnFF, members=5, obs_std=0.1, steps=10)
    E = normal((5, 2), stream("E"))
    with pytest.raises(ValueError, match="give more than 50 steps, or a guidance below 0.2"):
        filter.analyse(Flowing(E, E), torch.zeros(2).double(), stream("n"))
    with pytest.raises(ValueError, match="known: predictive, transport"):
        still(EnFF, path="straight")


# conditional Gaussian


@pytest.mark.parametrize("kind", [CGEnKF, NSEnKF])
def test_many_members_tend_to_the_kalman_update(kind):
    N, prior = 20_000, torch.tensor([[1.0, 0.6], [0.6, 2.0]]).double()
    E = normal((N, 2), stream("prior")) @ torch.linalg.cholesky(prior).T + 1
    y = torch.tensor([0.2]).double()
    filter = still(kind, members=N, observe=Subset((0,)))
    found = filter.analyse(Ensemble(E), y, stream("errors"))
    H = torch.tensor([[1.0, 0.0]]).double()
    R = torch.tensor([[0.25]]).double()
    exact = analyse(Gaussian(torch.ones(2).double(), prior), H, R, y)
    assert (found.mean - exact.mean).abs().max() < 0.05
    assert (found.cov - exact.cov).abs().max() < 0.08


def test_errors_that_multiply_are_taken_as_they_are():
    """y = x (1 + 0.5 e): the joint moments, hence the gain, in closed form."""
    N = 40_000
    E = 2 + normal((N, 1), stream("x"))

    def perturb(predicted, generator):
        noise = normal(tuple(predicted.shape), generator, predicted.dtype)
        return predicted * (1 + 0.5 * noise)

    filter = still(CGEnKF, members=N, observe=Identity(1), perturb=perturb)
    found = filter.analyse(Ensemble(E), torch.tensor([5.0]).double(), stream("e"))
    variance_y = 1 + 0.25 * (1 + 4)  # var x + 0.25 E x²
    gain = 1 / variance_y
    assert found.mean.item() == pytest.approx(2 + gain * 3, abs=0.05)
    assert found.cov.item() == pytest.approx(1 - gain, abs=0.05)


def test_normal_scores_keep_a_skewed_state_positive_where_moments_do_not():
    """Lognormal states and errors: in logarithms all is linear and Gaussian."""
    N = 4000
    log_x = normal((N, 1), stream("log x"))

    def perturb(predicted, generator):
        return predicted * (0.5 * normal(tuple(predicted.shape), generator)).exp()

    found = {}
    for kind in (CGEnKF, NSEnKF):
        filter = still(kind, members=N, observe=Identity(1), perturb=perturb)
        y = torch.tensor([0.2]).double()
        found[kind] = filter.analyse(Ensemble(log_x.exp()), y, stream("e")).members
    assert (found[CGEnKF] < 0).any()
    assert (found[NSEnKF] > 0).all()
    logs = found[NSEnKF].log()
    assert logs.mean().item() == pytest.approx(math.log(0.2) / 1.25, abs=0.05)
    assert logs.std().item() == pytest.approx(math.sqrt(0.25 / 1.25), abs=0.05)


def test_scores_are_inverse_to_values_and_go_on_outside():
    members = normal((2, 9, 3), stream("members")) ** 3
    table = Scores(members)
    z = table.of_members()
    torch.testing.assert_close(table.scores(members), z)
    torch.testing.assert_close(table.values(z), members)
    x = torch.linspace(-30, 30, 50).double()[:, None].expand(2, 50, 3)
    torch.testing.assert_close(table.values(table.scores(x)), x)


def test_a_perturbation_of_another_shape_is_refused():
    filter = still(CGEnKF, members=5, perturb=lambda h, g: h.mean(-2))
    with pytest.raises(ValueError, match="perturb.. turns .* it has to keep it"):
        filter.analyse(Ensemble(normal((5, 2), stream("E"))), torch.zeros(2).double(), stream("n"))
