"""The deep Kalman filter as a method that is fitted: it filters, smooths and forecasts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from dalib.estimators.base import Estimate
from dalib.forecasters.base import TrainingData
from dalib.nets.dkf import DeepKalman as Network
from dalib.nets.dkf import LatentState
from dalib.nets.scaling import Scaling
from dalib.replicates import Together
from dalib.resumable import Save
from dalib.streams import Generator, Streams, each, normal
from dalib.train import Training, Windows, fit

WATCHED = 256  # windows held fixed, on which a training reports


@dataclass(frozen=True)
class FittedDeepKalman:
    """A trained network. All estimates and forecasts are of what it observes, in its units.

    weights: (1, ...) each.
    history: of the training, (check,) or (check, obs), see `DeepKalman`.
    """

    weights: Mapping[str, Tensor]
    latent: int
    hidden: int
    backward: bool
    noisy: bool = True
    escape: float = 50.0
    history: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def smooths(self) -> bool:
        """Whether the memory runs backward: estimates know later observations."""
        return self.backward

    @property
    def network(self) -> Network:
        """The network with its weights."""
        scaling = Scaling(self.weights["scaling.mean"], self.weights["scaling.std"])
        network = Network(scaling, self.latent, self.hidden, self.backward)
        network.to(scaling.mean.device).load_state_dict(dict(self.weights))
        return network

    def filter(self, observations: Tensor, generator: Generator | None = None) -> Estimate:
        """(case, time, obs), NaN where missing -> means and std given what was observed so far."""
        if self.backward:
            raise TypeError(
                "this network looks at later observations too and is no filter; take "
                "smooth(observations), or fit with backward: false"
            )
        return self._tracked(observations)

    def smooth(self, observations: Tensor, generator: Generator | None = None) -> Estimate:
        """(case, time, obs) -> means and std given all observations, where the memory runs back."""
        if not self.backward:
            raise TypeError("this network looks back alone; fit with backward: true to smooth")
        return self._tracked(observations)

    @torch.no_grad()
    def _tracked(self, observations: Tensor) -> Estimate:
        network = self.network
        _check_size(network, observations)
        rows = [
            (*network.seen(*updated[:2]), *network.seen(*predicted[:2]))
            for predicted, updated in network.track(observations)
        ]
        series = (torch.stack(values, -2)[0] for values in zip(*rows, strict=True))
        mean, std, forecast_mean, forecast_std = series
        return Estimate(mean, std, None, forecast_mean, forecast_std)

    @torch.no_grad()
    def analysis(self, context: Tensor) -> Tensor:
        """(case, time, obs) -> (case, obs), what forecasts of a context start from."""
        network = self.network
        return _seen(network, _last(network, context).mean)

    @torch.no_grad()
    def forecast(self, context: Tensor, horizon: int, generator: Generator | None = None) -> Tensor:
        """(case, time, obs) -> (member = 1, case, horizon, obs), the transition mean iterated."""
        network, ahead = self.network, []
        state = _last(network, context)
        for _ in range(horizon):
            state = network.predict(state)
            ahead.append(_seen(network, state.mean))
        return torch.stack(ahead, -2).unsqueeze(0)

    @torch.no_grad()
    def free_run(self, context: Tensor, count: int, generator: Generator) -> Tensor:
        """(case, time, obs) -> (case, count, obs), trajectories of the generative model.

            z_0 ~ N(mean, std²) of the last analysis,   z_{k+1} ~ N(z_k + g(z_k), s(z_k)²)

        Without `noisy` the start alone is random and the mean is iterated. A chain whose |z|
        exceeds `escape` has left, and is NaN: the residual transition is not bounded.
        """
        network = self.network
        first = _last(network, context)

        def draw(mean: Tensor, std: Tensor) -> Tensor:
            return mean + std * normal(mean.shape[1:], generator, torch.float32).to(mean)

        z, path = draw(first.mean, first.std), []
        alive = torch.ones_like(z[..., :1], dtype=torch.bool)
        for _ in range(count):
            ahead = network.transition_mean(z)
            ahead = draw(ahead, network.transition_std(z)) if self.noisy else ahead
            alive = alive & (torch.linalg.vector_norm(ahead, dim=-1, keepdim=True) <= self.escape)
            z = torch.where(alive, ahead, z)
            path.append(torch.where(alive, z, torch.nan))
        return _seen(network, torch.stack(path, 2))


@dataclass(frozen=True)
class DeepKalman:
    """A deep Kalman filter learned from observations alone (Krishnan, Shalit & Sontag 2015, 2017).

    The network and its loss are those of `dalib.nets.dkf.DeepKalman`: true states never enter. The
    history of a fit has `checks`, the updates done, and what the network reports on windows of the
    training and of the validation data, `train_negative_elbo` (check,) and so on.

    Args:
        latent, hidden, backward, first_beta, anneal: of the network.
        steps, batch, window, rate, clip, check_every: of the training; windows in samples, the rate
            as in `dalib.train.Training`.
        noisy, escape: of free runs, see `FittedDeepKalman.free_run`.
    """

    latent: int = 6
    hidden: int = 64
    backward: bool = False
    first_beta: float = 0.1
    anneal: float = 0.27
    steps: int = 2000
    batch: int = 64
    window: int = 32
    rate: float = 0.003
    clip: float | None = 5.0
    check_every: int = 50
    noisy: bool = True
    escape: float = 50.0
    needs: ClassVar[frozenset[str]] = frozenset({"observations"})
    after_fit: ClassVar[frozenset[str]] = frozenset({"noisy", "escape"})

    def fit(
        self,
        data: TrainingData,
        generator: Generator,
        *,
        save: Save | None = None,
        resume: dict | None = None,
    ) -> FittedDeepKalman:
        return self.fit_each([data], Streams(each(generator)), save=save, resume=resume)[0]

    def fit_each(
        self,
        sets: Sequence[TrainingData],
        generator: Streams,
        *,
        save: Save | None = None,
        resume: dict | None = None,
    ) -> list[FittedDeepKalman]:
        """One network for each stream, all at once; each learns from its own set."""
        scalings = [Scaling.fit(one.train) for one in sets]
        network = Network(
            Scaling(*(torch.cat([getattr(s, of) for s in scalings]) for of in ("mean", "std"))),
            *(self.latent, self.hidden, self.backward, self.first_beta, self.anneal),
            generator,
        ).to(sets[0].train.device)
        watched = {
            part: self._windows([getattr(one, part) for one in sets], WATCHED)(generator)
            for part in ("train", "valid")
            if all(getattr(one, part) is not None for one in sets)
        }
        history = fit(
            network,
            self._windows([one.train for one in sets], self.batch),
            Training(self.steps, self.rate, clip=self.clip, check_every=self.check_every),
            watched=watched,
            progress="deep Kalman filter",
            save=save,
            resume=resume,
            generator=generator,
        )
        weights = {name: value.detach().clone() for name, value in network.state_dict().items()}
        reports = {name: values.clone() for name, values in history.reports.items()}
        return [
            FittedDeepKalman(
                {name: value[i : i + 1] for name, value in weights.items()},
                *(self.latent, self.hidden, self.backward, self.noisy, self.escape),
                {"checks": history.checks} | {name: one[i] for name, one in reports.items()},
            )
            for i in range(len(sets))
        ]

    def _windows(self, series: Sequence[Tensor], batch: int) -> Together:
        """Batches of windows, of each series its own."""
        return Together(tuple(Windows(one, self.window, batch, 1) for one in series))


def _last(network: Network, context: Tensor) -> LatentState:
    """Where a context leads."""
    _check_size(network, context)
    *_, (_, state) = network.track(context)
    return state


def _check_size(network: Network, y: Tensor) -> None:
    if y.shape[-1] != network.scaling.size:
        raise ValueError(
            f"the observations have {y.shape[-1]} components, but the network was fitted to "
            f"{network.scaling.size}; give (case, time, {network.scaling.size})"
        )


def _seen(network: Network, z: Tensor) -> Tensor:
    """Emission of latent states of the one repeat, (1, ..., latent) -> (..., obs)."""
    return network.scaling.invert(network.emission(z))[0]
