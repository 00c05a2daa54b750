"""Deep Kalman filter: a latent state-space model and the network that infers its states."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import silu, softplus

from dalib import limits
from dalib.nets.batched import GRU, Linear, per_repeat
from dalib.nets.mlp import MLP
from dalib.nets.scaling import Scaling
from dalib.streams import Generator, normal

SMALLEST_STD = 1e-3  # of latent distributions, which live on standardised scales


class Moments(NamedTuple):
    """Mean and standard deviation of a diagonal Gaussian."""

    mean: Tensor
    std: Tensor


class LatentPath(NamedTuple):
    """(repeat, time, case, latent) each: a sample of q and the moments that belong to it."""

    z: Tensor
    prior_mean: Tensor  # of p(z_t | z_{t-1})
    mean: Tensor  # of q(z_t | z_{t-1}, y)
    std: Tensor


class LatentState(NamedTuple):
    """The filter's state: moments of z, (repeat, ..., latent), and memory (repeat, ..., hidden).

    `age` counts predictions: before the first there is no z to move.
    """

    mean: Tensor
    std: Tensor
    memory: Tensor
    age: int = 0


def kl_divergence(q: Moments, p: Moments) -> Tensor:
    """KL(q ‖ p) of diagonal Gaussians, summed over the last axis, in nats.

    Σ_i log(s_p/s_q) + (s_q² + (m_q - m_p)²) / (2 s_p²) - ½
    """
    ratio = q.std / p.std
    distance = (q.mean - p.mean) / p.std
    return 0.5 * (ratio.square() + distance.square() - 1 - 2 * ratio.log()).sum(-1)


class DeepKalman(nn.Module):
    """Deep Kalman filter (Krishnan, Shalit & Sontag 2015, 2017) with a residual transition.

    Generative model, on standardised observations y:

        z_1 ~ N(μ_1, s_1²)
        z_t ~ N(z_{t-1} + g(z_{t-1}), s(z_{t-1})²)
        y_t ~ N(A z_t + f(z_t), r²)

    Inference, h_t a GRU over y_1 ... y_t (over y_T ... y_t if `backward`, Krishnan's smoother):

        p_t = z_{t-1} + g(z_{t-1}),  p_1 = μ_1
        e_t = ½ (tanh(W p_t + b) + h_t)
        (c, l, γ) = MLP(e_t)
        q(z_t | z_{t-1}, y) = N((1 - σ(γ)) p_t + σ(γ) c, (softplus(l - 1) + 10⁻³)²)

    The gate σ(γ) plays the Kalman gain. True states never enter. The latent coordinates are free
    up to a diffeomorphism: compare emissions, never z.

    Every parameter has a leading `repeat` axis; data are (repeat, case, time, obs) in their own
    units, latent states (repeat, ..., latent), everything in float32 but the scaling.

    Args:
        scaling: moments of the training observations.
        latent: number of latent variables.
        hidden: width of all hidden layers (the transition's std has half of it).
        backward: let h_t see y_t ... y_T: a smoother.
        first_beta: weight of the KL at the first training step.
        anneal: fraction of the training over which that weight rises linearly to 1; with 0 it is
            1 from the first step on.
        generator: draws the first weights; without it they are 0, to be filled with stored ones.
    """

    def __init__(
        self,
        scaling: Scaling,
        latent: int = 6,
        hidden: int = 64,
        backward: bool = False,
        first_beta: float = 0.1,
        anneal: float = 0.27,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        limits.at_least(1, latent=latent, hidden=hidden)
        limits.at_least(0, first_beta=first_beta, anneal=anneal)
        limits.at_most(1, anneal=anneal)
        R, size = scaling.repeats, scaling.size
        self.scaling = scaling
        self.latent, self.hidden, self.backward = latent, hidden, backward
        self.first_beta, self.anneal = first_beta, anneal

        self.first_mean = nn.Parameter(torch.zeros(R, 1, latent))
        self.first_log_std = nn.Parameter(torch.zeros(R, 1, latent))
        self.drift = MLP(R, (latent, hidden, hidden, latent), silu, generator)
        self.drift.layers[-1].fill(0, 0)  # the untrained model stands still, and stays finite
        self.spread = MLP(R, (latent, hidden // 2, latent), silu, generator)
        nn.init.constant_(self.spread.layers[-1].bias, -2)
        self.linear = Linear(R, latent, size, generator)
        self.curved = MLP(R, (latent, hidden, size), silu, generator)
        self.log_error = nn.Parameter(torch.full((R, 1, size), -1.0))

        self.memory = GRU(R, size, hidden, generator)
        self.expectation = Linear(R, latent, hidden, generator)
        self.inference = MLP(R, (hidden, hidden, 3 * latent), torch.tanh, generator)

    # the generative model

    def first(self) -> Moments:
        """(repeat, 1, latent), the distribution of z_1."""
        return Moments(self.first_mean, self.first_log_std.exp())

    def transition_mean(self, z: Tensor) -> Tensor:
        """(repeat, ..., latent) -> the same, z + g(z)."""
        return z + self.drift(z)

    def transition_std(self, z: Tensor) -> Tensor:
        """(repeat, ..., latent) -> the same, s(z)."""
        return softplus(self.spread(z)) + SMALLEST_STD

    def emission(self, z: Tensor) -> Tensor:
        """(repeat, ..., latent) -> (repeat, ..., obs), A z + f(z), standardised."""
        return self.linear(z) + self.curved(z)

    def error_std(self) -> Tensor:
        """(repeat, obs), the learned observation error r in the units of the observations."""
        return self.scaling.spread(self.log_error.detach().squeeze(1).exp())

    # inference

    def posterior(self, p: Tensor, h: Tensor) -> Moments:
        """q(z_t | z_{t-1}, y) from its prior mean and memory; (repeat, ..., latent and hidden)."""
        e = 0.5 * (torch.tanh(self.expectation(p)) + h)
        c, l, gate = self.inference(e).chunk(3, -1)  # noqa: E741
        return Moments(torch.lerp(p, c, torch.sigmoid(gate)), softplus(l - 1) + SMALLEST_STD)

    def remember(self, y: Tensor) -> Tensor:
        """(repeat, time, case, obs), standardised -> h, (repeat, time, case, hidden)."""
        return self.memory(y.flip(1)).flip(1) if self.backward else self.memory(y)

    def sample_path(self, h: Tensor, noise: Tensor) -> LatentPath:
        """Reparametrised sample of q along time; only what the recursion needs is computed.

        h (repeat, time, case, hidden), noise (repeat, time, case, latent).
        """
        p = self.first_mean.expand(noise[:, 0].shape)
        steps = []
        for h_t, noise_t in zip(h.unbind(1), noise.unbind(1), strict=True):
            mean, std = self.posterior(p, h_t)
            z = torch.addcmul(mean, std, noise_t)
            steps.append((z, p, mean, std))
            p = self.transition_mean(z)
        return LatentPath(*(torch.stack(series, 1) for series in zip(*steps, strict=True)))

    # training

    def terms(self, y: Tensor, generator: Generator | None) -> tuple[Tensor, Tensor]:
        """Both terms of the -ELBO per step, (repeat,) each: -log p(y | z) and KL(q ‖ p).

        y (repeat, case, time, obs), in its own units; one sample of z per sequence.
        """
        y = self.scaling(y).transpose(1, 2)
        noise = normal((*y.shape[:-1], self.latent), generator, torch.float32).to(y.device)
        path = self.sample_path(self.remember(y), noise)

        first_std = self.first().std.unsqueeze(1).expand_as(path.std[:, :1])
        prior_std = torch.cat([first_std, self.transition_std(path.z[:, :-1])], 1)
        kl = kl_divergence(Moments(path.mean, path.std), Moments(path.prior_mean, prior_std))

        log_r = self.log_error.unsqueeze(1)
        residual = (y - self.emission(path.z)) * (-log_r).exp()
        surprise = (0.5 * residual.square() + log_r + 0.5 * math.log(2 * math.pi)).sum(-1)
        return surprise.mean((1, 2)), kl.mean((1, 2))

    def loss(self, y: Tensor, fraction: float, generator: Generator | None) -> Tensor:
        """(repeat,), -log p(y | z) + β KL per step, β rising from `first_beta` to 1.

        `fraction` is the part of the training that is done.
        """
        risen = min(1.0, fraction / self.anneal) if self.anneal else 1.0
        beta = self.first_beta + (1 - self.first_beta) * risen
        surprise, kl = self.terms(y, generator)
        return surprise + beta * kl

    @torch.no_grad()
    def report(self, y: Tensor, generator: Generator | None) -> dict[str, Tensor]:
        """-ELBO per step (β = 1) and its KL, (repeat,), on scaled observations, in nats.

        And, in the units of the observations, the RMSE of one-step predictions and the learned
        error.
        """
        surprise, kl = self.terms(y, generator)
        return {
            "negative_elbo": surprise + kl,
            "kl": kl,
            "prediction_rmse": self.prediction_rmse(y),
            "error_std": self.error_std(),
        }

    def prediction_rmse(self, y: Tensor) -> Tensor:
        """(repeat,), of each observation but the first given those before; y (repeat, case, time,
        obs). The network runs as a filter, with means in place of samples.
        """
        h = self.remember(self.scaling(y).transpose(1, 2))
        path = self.sample_path(h, h.new_zeros((*h.shape[:-1], self.latent)))
        predicted = self.scaling.invert(self.emission(path.prior_mean[:, 1:]))
        return (y[:, :, 1:].transpose(1, 2) - predicted).square().mean((1, 2, 3)).sqrt()

    # filtering, with means in place of samples

    def begin(self, lead: tuple[int, ...]) -> LatentState:
        """Before the first prediction, for cases of the leading shape `lead`."""
        shape = (self.scaling.repeats, *lead)
        zeros = self.first_mean.new_zeros
        return LatentState(
            zeros(*shape, self.latent), zeros(*shape, self.latent), zeros(*shape, self.hidden)
        )

    def predict(self, state: LatentState) -> LatentState:
        """p(z_t | z_{t-1}) at the mean of z_{t-1}; the first prediction is p(z_1)."""
        if state.age == 0:
            mean, std = (_over(value, state.mean) for value in self.first())
        else:
            mean, std = self.transition_mean(state.mean), self.transition_std(state.mean)
        return LatentState(mean, std, state.memory, state.age + 1)

    def update(self, state: LatentState, y: Tensor, memory: Tensor | None = None) -> LatentState:
        """q(z_t | z_{t-1}, y), y_t (..., obs) in its own units, the same for all repeats.

        A missing value (NaN) is replaced by its prediction; where all are missing the prediction
        stands. Without `memory`, as a smoother has it, the recurrence goes on with y_t.
        """
        known = y.isfinite()
        if memory is None:
            predicted = self.scaling.invert(self.emission(state.mean))
            memory = self.memory.step(self.scaling(torch.where(known, y, predicted)), state.memory)
        q = self.posterior(state.mean, memory)
        any_known = known.any(-1, keepdim=True)
        return LatentState(
            torch.where(any_known, q.mean, state.mean),
            torch.where(any_known, q.std, state.std),
            memory,
            state.age,
        )

    def track(self, y: Tensor) -> Iterator[tuple[LatentState, LatentState]]:
        """(prediction, update) at each time of y (..., time, obs).

        Estimates of a `backward` network know all observations that follow, of a forward one none.
        """
        state = self.begin(y.shape[:-2])
        memories = self._look_ahead(y) if self.backward else [None] * y.shape[-2]
        for y_t, memory in zip(y.unbind(-2), memories, strict=True):
            predicted = self.predict(state)
            state = self.update(predicted, y_t, memory)
            yield predicted, state

    def _look_ahead(self, y: Tensor) -> list[Tensor]:
        """Backward memories h_1 ... h_T of y (..., time, obs); a missing value counts as the mean,
        and where all are missing the memory stays.
        """
        h = self.begin(y.shape[:-2]).memory
        memories = []
        for y_t in reversed(y.unbind(-2)):
            known = y_t.isfinite()
            x = self.scaling(y_t.expand(len(h), *y_t.shape)).nan_to_num(0)
            h = torch.where(known.any(-1, keepdim=True), self.memory.step(x, h), h)
            memories.append(h)
        return memories[::-1]

    def seen(self, mean: Tensor, std: Tensor) -> Moments:
        """Emission of a latent Gaussian, (repeat, ..., obs), in the units of the observations.

        To first order in its std:  mean = A m + f(m),  std² = diag(J s² Jᵀ),  J = A + f'(m).
        """
        inner, outer = self.curved.layers
        a = inner(mean)
        gate = torch.sigmoid(a)
        slope = gate * (1 + a * (1 - gate))  # derivative of SiLU
        J = torch.einsum("rih,r...h,rho->r...oi", inner.weight, slope, outer.weight)
        A = self.linear.weight.mT
        J = J + A.view(len(A), *[1] * (J.ndim - 3), *A.shape[1:])
        emitted_std = (J * std.unsqueeze(-2)).square().sum(-1).sqrt()
        return Moments(self.scaling.invert(self.emission(mean)), self.scaling.spread(emitted_std))


def _over(value: Tensor, like: Tensor) -> Tensor:
    """(repeat, 1, n) -> the shape of `like`, (repeat, ..., n)."""
    return per_repeat(value, like).expand(like.shape)
