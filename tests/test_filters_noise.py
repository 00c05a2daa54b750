"""Model errors with a matrix Q, by a factor, and as the square root of an ensemble."""

import dataclasses

import pytest
import torch

from dalib.filters import Ensemble, Gaussian, assimilate
from dalib.filters.ekf import EKF
from dalib.filters.enkf import DEnKF, EnKF
from dalib.filters.etkf import ETKF
from dalib.filters.kalman import Kalman
from dalib.filters.noise import square_root_noise
from dalib.filters.particle import BootstrapParticle
from dalib.observe import Linear
from dalib.streams import normal, stream

SIZE, OBS, TIMES = 4, 3, 8


def drawn(*shape: int) -> torch.Tensor:
    return normal(shape, stream("noise", *shape))


F = 0.9 * torch.linalg.qr(drawn(SIZE, SIZE))[0]
B = drawn(SIZE, 2)
Q = B @ B.T  # singular
H = drawn(OBS, SIZE)
PRIOR = Gaussian(torch.zeros(SIZE).double(), torch.eye(SIZE).double())
GIVEN = {"observe": Linear(H), "obs_std": 0.5}
Y = drawn(TIMES, OBS)


def step(x):
    return x @ F.T


def close(a, b, tolerance):
    return all(torch.allclose(x, y, atol=tolerance) for x, y in zip(a[:4], b[:4], strict=True))


KALMAN = assimilate(Kalman(matrix=F, noise_cov=Q, **GIVEN), PRIOR, Y, None)


@pytest.mark.parametrize("how", [{"model_error_cov": Q}, {"model_error_factor": B}])
def test_the_extended_filter_with_a_matrix_is_the_kalman_filter(how):
    assert close(assimilate(EKF(step=step, **how, **GIVEN), PRIOR, Y, None), KALMAN, 1e-11)


@pytest.mark.parametrize("how", [{"model_error_cov": Q}, {"model_error_factor": B}])
@pytest.mark.parametrize("kind", [EnKF, BootstrapParticle])
def test_large_ensembles_with_sampled_noise_are_the_kalman_filter(kind, how):
    given = {"observe": Linear(H), "obs_std": 2.0}  # particles of precise ones degenerate
    filter = kind(step=step, members=50_000, **how, **given)
    exact = assimilate(Kalman(matrix=F, noise_cov=Q, **given), PRIOR, Y, None)
    assert close(assimilate(filter, PRIOR, Y, stream("large")), exact, 0.05)


def test_the_square_root_is_exact_for_a_deterministic_filter():
    """An ensemble with the exact moments of the prior keeps those of the Kalman filter."""
    N = 12
    X = drawn(N, SIZE)
    X = X - X.mean(0)
    X = X @ torch.linalg.inv(torch.linalg.cholesky(X.T @ X / (N - 1))).T
    filter = ETKF(step=step, members=N, model_error_factor=B, model_noise="square_root", **GIVEN)
    assert close(assimilate(filter, Ensemble(X), Y, stream("x")), KALMAN, 1e-10)


@pytest.mark.parametrize("members", [3, 4, 9])
def test_covariances_add_inside_the_span_of_the_members(members):
    """X⁺ X is the projection on the span; what is outside is sampled, so it is taken off here."""
    E = drawn(2, members, SIZE)
    X = E - E.mean(-2, keepdim=True)
    onto = torch.linalg.pinv(X) @ X
    inside = onto @ B
    found = Ensemble(square_root_noise(E, inside, stream("x")))
    assert torch.allclose(found.mean, E.mean(-2), atol=1e-12)
    assert torch.allclose(found.cov, Ensemble(E).cov + inside @ inside.mT, atol=1e-11)


def test_what_is_outside_the_span_is_sampled():
    E, C = drawn(3, SIZE), torch.eye(SIZE).double()
    E = E.expand(40_000, 3, SIZE)
    X = E - E.mean(-2, keepdim=True)
    found = square_root_noise(E, C, stream("x"))
    out = C - torch.linalg.pinv(X[0]) @ X[0]
    outside = (found - E) @ out
    flat = outside.flatten(0, 1)
    assert torch.allclose(flat.T @ flat / len(flat), out, atol=0.02)


def test_the_square_root_has_first_and_second_derivatives():
    E = drawn(5, 3).requires_grad_()
    B = drawn(3, 2).requires_grad_()
    root = lambda E, B: square_root_noise(E, B, stream("x"))  # noqa: E731
    assert torch.autograd.gradcheck(root, (E, B))
    assert torch.autograd.gradgradcheck(root, (E, B))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model_error_cov": Q, "model_error_std": 0.1}, "given more than once"),
        ({"model_error_cov": Q, "model_error_factor": B}, "given more than once"),
        ({"model_error_cov": Q - torch.eye(SIZE)}, "model_error_cov is no covariance"),
        ({"model_error_cov": Q.triu()}, "model_error_cov is not symmetric"),
        ({"model_error_cov": torch.eye(3).double()}, r"give \(4, 4\)"),
        ({"model_error_factor": B[:3]}, r"give \(4, rank\)"),
        ({"model_error_std": Q}, "a matrix Q is given as model_error_cov"),
    ],
)
def test_what_is_no_covariance_of_model_errors_is_refused(given, said):
    filter = dataclasses.replace(DEnKF(step=step, members=6, **GIVEN), **given)
    with pytest.raises(ValueError, match=said):
        assimilate(filter, PRIOR, Y, stream("x"))


def test_another_name_of_noise_is_refused():
    with pytest.raises(ValueError, match="unknown model_noise 'sqrt'; known: sampled, square_root"):
        ETKF(step=step, model_noise="sqrt", **GIVEN)
