"""The Kalman filter on a square root of the covariance, which keeps twice the digits."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dalib.filters.base import Ensemble, Gaussian, Likelihood
from dalib.filters.kalman import Kalman, apply, without_missing
from dalib.filters.linalg import check_covariance, cholesky, known, like, matrix_function
from dalib.streams import Generator


class GaussianRoot(NamedTuple):
    """N(mean, S Sᵀ): mean (..., state), root S (..., state, state), lower triangular."""

    mean: Tensor
    root: Tensor

    @property
    def cov(self) -> Tensor:
        """(..., state, state)."""
        return self.root @ self.root.mT

    @property
    def std(self) -> Tensor:
        """(..., state)."""
        return self.root.square().sum(-1).sqrt().expand_as(self.mean)


@dataclass(frozen=True, kw_only=True)
class SquareRootKalman(Kalman):
    """The Kalman filter in square-root form (Anderson and Moore 1979, ch. 6.5).

    With P = S Sᵀ, Q = G Gᵀ, R = D Dᵀ and orthogonal Θ that make what is left lower triangular,

        [F S  G] Θ = [S'  0]        [D  H S]     [B   0 ]
                                    [0   S ] Θ = [K̄   S']        m <- m + K̄ B⁻¹ (y - H m)

    No covariance is formed: S has the square root of the condition of P, so that float32 holds
    variances that are 1e14 times smaller than others, and P = S Sᵀ is never indefinite.
    """

    def start(self, prior: Gaussian | Ensemble, generator: Generator | None = None) -> GaussianRoot:
        """The prior's mean, and the Cholesky factor of its covariance."""
        cov = check_covariance(prior.cov, "the prior covariance")
        return GaussianRoot(prior.mean, cholesky(cov))

    def forecast(self, belief: GaussianRoot, generator: Generator | None = None) -> GaussianRoot:
        """One sampling interval."""
        F, Q = (like(value, belief.mean) for value in (self.matrix, self.noise_cov))
        FS = F @ belief.root
        G = semidefinite_root(Q).expand(*FS.shape[:-2], *Q.shape[-2:])
        return GaussianRoot(apply(F, belief.mean), triangular(torch.cat([FS, G], -1)))

    def analyse(
        self, belief: GaussianRoot, y: Tensor, generator: Generator | None = None
    ) -> GaussianRoot:
        """(..., obs) observed."""
        B, K, S, d = self._whitened(belief, y)
        step = apply(K, torch.linalg.solve_triangular(B, d[..., None], upper=False)[..., 0])
        return GaussianRoot(belief.mean + step.to(belief.mean), S.to(belief.mean))

    def likelihood(self, forecast: GaussianRoot, y: Tensor) -> Likelihood:
        """Of y (..., obs) under the forecast, of covariance B Bᵀ."""
        B, _, _, d = self._whitened(forecast, y)
        whitened = torch.linalg.solve_triangular(B, d[..., None], upper=False)[..., 0]
        log_det = 2 * B.diagonal(dim1=-2, dim2=-1).abs().log().sum(-1)
        lost = forecast.mean.isnan().any(-1)
        misfit = whitened.square().sum(-1).masked_fill(lost, float("nan"))
        return Likelihood(log_det.expand_as(misfit).to(y), misfit.to(y), (~y.isnan()).sum(-1))

    def _whitened(self, belief: GaussianRoot, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """B, K̄, S' and y - h(m), in float64."""
        d, H, R, seen = self.innovation(belief, y)
        d, H, R = without_missing(d, H, R, seen)
        D, S, H = R.double().sqrt(), belief.root.double(), H.double()
        HS = H @ S
        shape, obs = HS.shape[:-2], HS.shape[-2]
        D = D.expand(*shape, obs, obs)
        S = S.expand(*shape, *S.shape[-2:])
        upper, lower = torch.cat([D, HS], -1), torch.cat([torch.zeros_like(HS).mT, S], -1)
        array = triangular(torch.cat([upper, lower], -2))
        return array[..., :obs, :obs], array[..., obs:, :obs], array[..., obs:, obs:], d.double()


def triangular(A: Tensor) -> Tensor:
    """(..., n, m) -> (..., n, n), lower triangular T with T Tᵀ = A Aᵀ, m >= n."""
    return torch.linalg.qr(A.mT, mode="reduced").R.mT


def semidefinite_root(Q: Tensor) -> Tensor:
    """(..., n, n), G with G Gᵀ = Q: the Cholesky factor, or the symmetric root of a singular Q."""
    L, info = torch.linalg.cholesky_ex(Q)
    if known((info == 0).all()):
        return L
    return matrix_function(Q, torch.sqrt, _slope, _curve)


def _slope(a: Tensor, b: Tensor) -> Tensor:
    """Divided difference of the square root."""
    return 1 / (a.sqrt() + b.sqrt())


def _curve(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The second one."""
    a, b, c = a.sqrt(), b.sqrt(), c.sqrt()
    return -1 / ((a + b) * (b + c) * (c + a))
