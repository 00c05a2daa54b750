"""Linear codec: principal components of states, and ridge regression of codes on observations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from dalib import limits
from dalib.nets.scaling import per_variable, spread
from dalib.nets.vae import Code
from dalib.streams import Generator, normal, normal_like

OVERSAMPLING, ITERATIONS = 20, 4  # of the search for leading directions


@dataclass(frozen=True)
class LinearCodec:
    """States and observations to codes and back, all of them linear; see `PCA`.

        E(x) = V (x - m) / (w s)        D(z) = m + w s Vᵀ z        E_obs(y) = B (y - b) / v

    Args:
        mean, std: m, w (state,), in the units of the states.
        basis: V (latent, state), orthonormal rows.
        scale: s (), of the codes.
        obs_mean, obs_std: b, v (obs,), in the units of y.
        regression: B (latent, obs).
        obs_log_var: (latent,), log variance of what the regression leaves of the training codes.
    """

    mean: Tensor
    std: Tensor
    basis: Tensor
    scale: Tensor
    obs_mean: Tensor
    obs_std: Tensor
    regression: Tensor
    obs_log_var: Tensor
    errors: Mapping[str, float] = field(default_factory=dict)  # of codes, estimated elsewhere

    @property
    def latent(self) -> int:
        """Number of components of a code."""
        return len(self.basis)

    def to(self, device: str) -> "LinearCodec":
        """The same on a device."""
        moved = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **moved)

    def encode(self, x: Tensor) -> Code:
        """(..., state) -> (..., latent); without doubt, log variance -inf."""
        _require(x, self.mean, "states")
        z = ((x.to(self.mean) - self.mean) / self.std) @ self.basis.T / self.scale
        return Code(z, torch.full_like(z, -torch.inf))

    def encode_observations(self, y: Tensor) -> Code:
        """(..., obs) -> (..., latent)."""
        _require(y, self.obs_mean, "observations")
        z = ((y.to(self.obs_mean) - self.obs_mean) / self.obs_std) @ self.regression.T
        return Code(z, self.obs_log_var.expand_as(z))

    def decode(self, z: Tensor) -> Tensor:
        """(..., latent) -> (..., state), in the units of the states."""
        _require(z, self.obs_log_var, "codes")
        return self.mean + self.std * (self.scale * z.to(self.mean) @ self.basis)


@dataclass(frozen=True)
class PCA:
    """Principal components of states, and codes regressed on observations.

    Each variable of states and observations is divided by its standard deviation. V are the leading
    eigenvectors of the covariance of the states, and one number scales the codes to a mean variance
    of 1, so that distances between codes are those of the standardised states they stand for. On
    noisy observations Y = h(X) + N(0, obs_std²) of the training states, and their codes Z,

        B = Zᵀ Y (YᵀY + n λ)⁻¹        n states, Y less its mean and standardised

    Args:
        components: r, of a code.
        variables: fields that a state consists of, of equal size.
        ridge: λ, in variances of the observations.
    """

    components: int
    variables: int = 3
    ridge: float = 1e-3

    restored = LinearCodec  # of its stored tensors

    def __post_init__(self) -> None:
        limits.at_least(1, components=self.components, variables=self.variables)
        limits.at_least(0, ridge=self.ridge)

    def fit(
        self,
        states: Tensor,
        observe: Callable[[Tensor], Tensor],
        obs_std: Tensor | float,
        generator: Generator,
    ) -> LinearCodec:
        """The codec of training states (sample, state).

        Args:
            observe: h, (..., state) -> (..., obs), the same number of components of each variable.
            obs_std: of the errors, a number or (obs,), in the units of y.
            generator: draws the errors, and the start of the search for the components.
        """
        n, size = states.shape
        if not 1 <= self.components <= min(n - 1, size):
            raise ValueError(
                f"{n} states of {size} values have at most {min(n - 1, size)} principal "
                f"components, got components: {self.components}"
            )
        if self.ridge <= 0:
            raise ValueError(f"ridge is {self.ridge}; it has to be positive")
        std, mean = spread(states, self.variables).to(states), states.mean(0)
        per_variable(states, self.variables)  # refuses a variable that never changes
        X = (states - mean) / std
        V = leading_directions(X, self.components, generator)
        Z = X @ V.T
        scale = Z.square().mean().sqrt()
        Z = Z / scale

        y = observe(states)
        y = y + torch.as_tensor(obs_std, dtype=y.dtype, device=y.device) * normal_like(y, generator)
        obs_std, obs_mean = spread(y, self.variables).to(y), y.mean(0)
        Y = (y - obs_mean) / obs_std
        B = ridge_regression(Y, Z, self.ridge)
        left = (Z - Y @ B.T).square().mean(0)
        tiny = torch.finfo(left.dtype).tiny
        return LinearCodec(mean, std, V, scale, obs_mean, obs_std, B, left.clamp(min=tiny).log())


def leading_directions(X: Tensor, count: int, generator: Generator) -> Tensor:
    """(sample, state) -> (count, state), right singular vectors of the largest singular values.

    By subspace iteration from a random start (Halko et al. 2011, alg. 4.4 and 5.1); exact where
    count + 20 reaches the smaller side of X. In each row the largest entry is positive.
    """
    width = min(count + OVERSAMPLING, *X.shape)
    Q = torch.linalg.qr(X.T @ normal((len(X), width), generator, X.dtype).to(X.device)).Q
    for _ in range(ITERATIONS):
        Q = torch.linalg.qr(X.T @ torch.linalg.qr(X @ Q).Q).Q
    V = torch.linalg.svd(X @ Q, full_matrices=False).Vh[:count] @ Q.T
    largest = V.gather(1, V.abs().argmax(1, keepdim=True))
    return V * largest.sign()


def ridge_regression(Y: Tensor, Z: Tensor, ridge: float) -> Tensor:
    """B (b, a) of Z ≈ Y Bᵀ for Y (n, a), Z (n, b): argmin |Z - Y Bᵀ|² / n + λ |B|².

    Bᵀ = (YᵀY + n λ)⁻¹ Yᵀ Z = Yᵀ (Y Yᵀ + n λ)⁻¹ Z, in the smaller of the two spaces.
    """
    n, size = Y.shape
    A = Y.T @ Y if size <= n else Y @ Y.T
    A.diagonal().add_(n * ridge)
    L = torch.linalg.cholesky(A)
    if size <= n:
        return torch.cholesky_solve(Y.T @ Z, L).T
    return torch.cholesky_solve(Z, L).T @ Y


def _require(x: Tensor, like: Tensor, what: str) -> None:
    if x.shape[-1] != len(like):
        raise ValueError(
            f"the codec was fitted with {what} of {len(like)} components, got shape "
            f"{tuple(x.shape)}"
        )
