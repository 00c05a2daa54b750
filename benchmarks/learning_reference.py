"""AD-EnKF as it was published with `torchEnKF` (Chen, Sanz-Alonso and Willett 2022), written anew.

The ring with its correction network in modules of torch, the tapered covariance of all components,
and a Runge-Kutta step differentiated by the adjoint equation or by plain backpropagation. Where
the published program leaves a choice, the cheaper one is taken: one step between observations in
both directions, and nothing computed that is not used.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.distributions import MultivariateNormal

from dalib.integrate import rk4_step

Draw = Callable[[tuple[int, ...]], Tensor]


class CorrectedRing(nn.Module):
    """Tendency of 18 terms with fixed coefficients, and three convolutions that correct it."""

    def __init__(self, coefficients: Tensor) -> None:
        super().__init__()
        self.coefficients = coefficients
        self.first = nn.Conv1d(1, 72, 5, padding=2, padding_mode="circular")
        self.second = nn.Conv1d(48, 37, 5, padding=2, padding_mode="circular")
        self.third = nn.Conv1d(37, 1, 1)
        self.to(coefficients)

    def forward(self, x: Tensor) -> Tensor:
        """(..., site) -> (..., site)."""
        return self.terms(x) @ self.coefficients + self.correction(x)

    def correction(self, x: Tensor) -> Tensor:
        """(..., site) -> (..., site)."""
        h = torch.relu(self.first(x.reshape(-1, 1, x.shape[-1])))
        a, b, c = h.chunk(3, 1)
        h = torch.relu(self.second(torch.cat([a, b * c], 1)))
        return self.third(h).reshape(x.shape)

    @staticmethod
    def terms(x: Tensor) -> Tensor:
        """(..., site) -> (..., site, 18)."""
        sites = torch.arange(x.shape[-1])
        near = [x.index_select(-1, (sites + k) % len(sites)) for k in (-2, -1, 0, 1, 2)]
        products = [v * v for v in near]
        products += [near[k] * near[k + 1] for k in range(4)]
        products += [near[k] * near[k + 2] for k in range(3)]
        return torch.stack([torch.ones_like(x), *near, *products], -1)


class _Adjoint(torch.autograd.Function):
    """A Runge-Kutta step; its derivative is one step backwards of (x, a, g) with

    dx/dt = f(x)        da/dt = -aᵀ df/dx        dg/dt = -aᵀ df/dθ
    """

    @staticmethod
    def forward(ctx, drift: nn.Module, dt: float, x: Tensor, *parameters: Tensor) -> Tensor:
        x = rk4_step(drift, x, dt)
        ctx.drift, ctx.dt = drift, dt
        ctx.save_for_backward(x, *parameters)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx, slope: Tensor):
        parts = ctx.saved_tensors
        x, *parameters = parts
        sizes = [x.numel(), *(part.numel() for part in parts)]

        def rates(z: Tensor) -> Tensor:
            at, a = (part.view_as(x) for part in z.split(sizes)[:2])
            with torch.enable_grad():
                at = at.detach().requires_grad_()
                f = ctx.drift(at)
            slopes = torch.autograd.grad(f, [at, *parameters], a)
            return torch.cat([f.detach().flatten(), *(-s.flatten() for s in slopes)])

        begin = [x, slope, *(torch.zeros_like(p) for p in parameters)]
        end = rk4_step(rates, torch.cat([part.flatten() for part in begin]), -ctx.dt)
        slopes = zip(end.split(sizes)[1:], parts, strict=True)
        return None, None, *(s.view_as(part) for s, part in slopes)


def adjoint(drift: nn.Module, x: Tensor, dt: float) -> Tensor:
    """(..., state) -> (..., state), a step whose intermediate states are not kept."""
    return _Adjoint.apply(drift, dt, x, *drift.parameters())


def direct(drift: nn.Module, x: Tensor, dt: float) -> Tensor:
    """(..., state) -> (..., state), a step through which backpropagation goes."""
    return rk4_step(drift, x, dt)


def log_likelihood(
    step: Callable[[Tensor], Tensor],
    noise_std: Tensor,
    x: Tensor,
    observations: Iterable[Tensor],
    H: Tensor,
    R: Tensor,
    taper: Tensor,
    draw: Draw,
) -> Tensor:
    """(trajectory,), of observations (trajectory, obs) of successive times.

    Args:
        step: the model between two of them.
        noise_std: (state,).
        x: (trajectory, member, state), the members before the first.
        taper: (state, state).
        draw: standard normal numbers of a shape.
    """
    total = x.new_zeros(len(x))
    for y in observations:
        x = step(x)
        x = x + noise_std * draw(tuple(x.shape))
        mean = x.mean(-2, keepdim=True)
        C = taper * ((x - mean).mT @ (x - mean) / (x.shape[-2] - 1))
        HC = H @ C
        L = torch.linalg.cholesky(HC @ H.T + R)
        foretold = MultivariateNormal((mean @ H.T)[..., 0, :], scale_tril=L, validate_args=False)
        total = total + foretold.log_prob(y)
        predicted = x @ H.T
        perturbed = y[..., None, :] + draw(tuple(predicted.shape)) @ torch.linalg.cholesky(R).T
        x = x + (perturbed - predicted) @ torch.cholesky_inverse(L) @ HC
    return total
