"""An update of parameters that are learned through a filter, in turns on one thread.

    python -m benchmarks.learning

AD-EnKF on Lorenz-96 with a correction network of 9,387 weights, as in Chen, Sanz-Alonso and Willett
(2022): d = 40, all observed with unit variance, N = 50, taper radius 5, an update after 20 times of
4 trajectories, in float32. Against it the algorithm of their `torchEnKF`, written anew, in both its
forms and without inflation, from the same members with the same noise; first the gradients are
compared. The network alone is evaluated as often; its middle convolution is nearly all of the work.

Clohessy-Wiltshire, N = 25, 8 trajectories of 100 times, in float64: an epoch of 320 replicas at
once, against one alone.

Ratios are of CPU time, taken within a turn.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial

import torch
from torch import Tensor
from torch.nn.functional import conv1d, softplus

from benchmarks.learning_reference import CorrectedRing, adjoint, direct, log_likelihood
from dalib.filters import Ensemble, Gaussian
from dalib.filters.local_enkf import LocalEnKF
from dalib.integrate import trajectory
from dalib.learn import Learnable, Learning, learn
from dalib.learn.fields import Noise, Scale
from dalib.learn.parameters import softplus_inverse
from dalib.learn.segment import Series
from dalib.localise import Localisation, gaspari_cohn, ring_distance
from dalib.maps import OrbitMap, RingMap
from dalib.maps.ring import NETWORK
from dalib.memory import keep_freed_memory
from dalib.nets.ring import RingNetwork
from dalib.observe import Identity, Subset
from dalib.streams import normal, stream, streams

ADJOINT_TARGET, DIRECT_TARGET, REPLICA_TARGET = 1.4, 1.0, 12.0
CLOSE = 1e-6  # what gradients may differ by in float64, relative to their norm
SIZE, MEMBERS, TRAJECTORIES, TIMES, RADIUS = 40, 50, 4, 20, 5
RATES = {"map": 1e-3, "noise": 0.1, "filter": 0.01}
REPLICAS = 320

Sides = Mapping[str, Callable[[], object]]


class Ring:
    """Lorenz-96 with a network: data, model and both sides in one dtype."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype, self.map = dtype, RingMap(SIZE, correction="network")
        begun = self.map.start(torch.ones(1), streams("bench", [0], "model"))
        self.beta = begun.fixed["beta"].to(dtype)
        self.weights = {name: value.to(dtype) for name, (value, _) in begun.learnable.items()}
        self.variance = torch.full((1, SIZE), 2.0, dtype=dtype)
        x = trajectory(self.map.truth(), 8 + normal((TRAJECTORIES, SIZE), stream("truth")), 400)
        truth = trajectory(self.map.truth(), x[:, -1], TIMES)[:, 1:]
        self.y = (truth + normal(truth.shape, stream("errors"))).to(dtype)
        self.members = 5 * normal((TRAJECTORIES, MEMBERS, SIZE), stream("members"), dtype)
        sites = torch.arange(SIZE).double()
        apart = ring_distance(sites[:, None], sites, SIZE)
        self.taper = gaspari_cohn(apart / RADIUS).to(dtype)

    def filter(self, values: Mapping[str, Tensor]) -> LocalEnKF:
        """Ours, as published: noise not centred, nothing inflated."""
        return LocalEnKF(
            step=self.map.flow({"beta": self.beta, **values}),
            observe=Identity(SIZE),
            obs_std=1.0,
            members=MEMBERS,
            localisation=Localisation(matrix=self.taper),
            centred=False,
            **Noise(2.0).field(values["variance"]),
        )

    def learn(self, updates: int) -> None:
        """Our updates."""
        learnables = {name: Learnable(value) for name, value in self.weights.items()}
        learnables["variance"] = Learnable(self.variance, "softplus", "noise")
        prior, settings = Ensemble(self.members[None]), Learning(updates, RATES)
        noise = streams("bench", [0], "noise")
        learn(self.filter, learnables, prior, self.y[None], settings, generator=noise)

    def learn_as_published(self, step: Callable, updates: int) -> None:
        """Theirs, with `adjoint` or `direct` steps."""
        drift, noise = self.reference, stream("bench", 0, "noise")
        latent = softplus_inverse(self.variance[0].sqrt()).requires_grad_()
        weights = {"params": drift.parameters(), "lr": RATES["map"]}
        optimiser = torch.optim.Adam([weights, {"params": [latent], "lr": RATES["noise"]}])
        for _ in range(updates):
            optimiser.zero_grad()
            self.loss_as_published(drift, step, softplus(latent), noise).backward()
            optimiser.step()

    def loss_as_published(
        self, drift: CorrectedRing, step: Callable, std: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Mean negative log-likelihood of the trajectories."""
        one = torch.eye(SIZE, dtype=self.dtype)
        found = log_likelihood(
            step=lambda x: step(drift, x, self.map.dt),
            noise_std=std,
            x=self.members,
            observations=self.y.unbind(1),
            H=one,
            R=one,
            localisation=Localisation(matrix=self.taper),
            draw=lambda shape: normal(shape, generator, self.dtype),
        )
        return -found.mean()

    @property
    def reference(self) -> CorrectedRing:
        """Their model with our weights."""
        model = CorrectedRing(self.beta[0])
        layers = enumerate((model.first, model.second, model.third), start=1)
        with torch.no_grad():
            for number, layer in layers:
                layer.weight.copy_(self.weights[f"{NETWORK}weight{number}"][0])
                layer.bias.copy_(self.weights[f"{NETWORK}bias{number}"][0])
        return model

    def gradient(self) -> Tensor:
        """(9,427,), of our loss by weights and standard deviations of the noise."""
        weights = {name: value.clone().requires_grad_() for name, value in self.weights.items()}
        std = self.variance.sqrt().requires_grad_()
        noise, first = streams("bench", [0], "noise"), Ensemble(self.members[None])
        series = Series(first, self.y[None], "likelihood", limit=None, furthest=1e3)
        filter = self.filter(weights | {"variance": std.square()})
        passed = series.through(filter, first, range(TIMES), noise)
        assert not passed.lost.any()
        return _flat(torch.autograd.grad(passed.scores.sum(0).mean(), [*weights.values(), std]))

    def gradient_as_published(self, step: Callable) -> Tensor:
        """(9,427,), the same of theirs."""
        drift, std = self.reference, self.variance[0].sqrt().requires_grad_()
        loss = self.loss_as_published(drift, step, std, stream("bench", 0, "noise"))
        return _flat(torch.autograd.grad(loss, [*drift.parameters(), std]))

    def evaluate_network(self, updates: int) -> None:
        """Forwards and backwards as often as in our updates."""
        network = RingNetwork(*(value.clone().requires_grad_() for value in self.weights.values()))
        self._passed(network, [*network], self.members[None], updates)

    def convolve(self, updates: int) -> None:
        """The middle layer as often, of as many sites, without its bias."""
        weight = self.weights[f"{NETWORK}weight2"][0].clone().requires_grad_()
        shape = (TRAJECTORIES * MEMBERS, weight.shape[1], SIZE + weight.shape[2] - 1)
        h = normal(shape, stream("channels"), self.dtype)
        self._passed(partial(conv1d, weight=weight), [weight], h, updates)

    @staticmethod
    def _passed(layer: Callable, weights: list[Tensor], x: Tensor, updates: int) -> None:
        x = x.clone().requires_grad_()
        for _ in range(updates):
            values = [layer(x) for _ in range(4 * TIMES)]  # in stages of Runge-Kutta
            torch.autograd.grad(values, [x, *weights], [value.detach() for value in values])


class Orbit:
    """Clohessy-Wiltshire with a rate to be learned: one epoch of many replicas."""

    times, members, trajectories = 100, 25, 8
    start = (1.0, 0.5, 1.0, -0.001375, -0.000275, -0.001375)
    obs_std = 0.1**0.5

    def __init__(self, replicas: int) -> None:
        self.map, self.replicas = OrbitMap(), range(replicas)
        x0 = torch.tensor(self.start).double()
        truth = trajectory(self.map.truth(), x0, self.times)[1:, :3]
        shape = (replicas, self.trajectories, *truth.shape)
        self.y = truth + self.obs_std * normal(shape, streams("bench", self.replicas, "errors"))
        self.prior = Gaussian(x0, 5 * torch.eye(6).double())

    @cached_property
    def learnables(self) -> dict[str, Learnable]:
        variance = torch.full((len(self.replicas),), 0.03)
        begun = self.map.start(variance, streams("bench", self.replicas, "model"))
        found = {name: Learnable(*value) for name, value in begun.learnable.items()}
        for name, field in (("noise", Noise(0.1)), ("scale", Scale(0.1))):
            own = field.learnable(len(self.replicas), 6, 3)
            found[name] = Learnable(own.start.double(), own.transform, own.group)
        return found

    def filter(self, values: Mapping[str, Tensor]) -> LocalEnKF:
        return LocalEnKF(
            step=self.map.flow(values),
            observe=Subset((0, 1, 2)),
            obs_std=self.obs_std,
            members=self.members,
            **Noise(0.1).field(values["noise"]),
            **Scale(0.1).field(values["scale"]),
        )

    def learn(self, epochs: int) -> None:
        settings = Learning(epochs, RATES)
        generator = streams("bench", self.replicas, "noise")
        learn(self.filter, self.learnables, self.prior, self.y, settings, generator=generator)


def _flat(parts: Iterable[Tensor]) -> Tensor:
    return torch.cat([part.flatten() for part in parts])


def seconds(run: Callable[[], object]) -> float:
    begin = time.process_time()
    run()
    return time.process_time() - begin


def timed(sides: Sides, pairs: int) -> dict[str, list[float]]:
    """CPU seconds of every side in each turn; the first turn warms up."""
    turns = [{name: seconds(run) for name, run in sides.items()} for _ in range(pairs + 1)]
    return {name: [turn[name] for turn in turns[1:]] for name in sides}


def row(name: str, cost: float, ratios: list[float], target: float | None = None) -> bool:
    """Print a line; True when the median of the ratios reaches the target."""
    ratio = statistics.median(ratios)
    print(
        f"| {name} | {cost:.4f} | {ratio:.2f} ({min(ratios):.2f} ... {max(ratios):.2f}) | "
        f"{target or '-'} |",
        flush=True,
    )
    return target is None or ratio >= target


def same_gradient() -> bool:
    """Print how far gradients are apart; True when ours is that of the direct form."""
    print("| gradient | float64, relative difference | float32 |\n| --- | --- | --- |")
    apart: dict[str, list[float]] = {"ours, theirs direct": [], "theirs adjoint, direct": []}
    for dtype in (torch.float64, torch.float32):
        ring = Ring(dtype)
        exact = ring.gradient_as_published(direct)
        others = (ring.gradient(), ring.gradient_as_published(adjoint))
        for found, other in zip(apart.values(), others, strict=True):
            found.append(((other - exact).norm() / exact.norm()).item())
    for name, found in apart.items():
        print(f"| {name} | {found[0]:.1e} | {found[1]:.1e} |", flush=True)
    return apart["ours, theirs direct"][0] < CLOSE


def updates_compared(pairs: int, updates: int) -> bool:
    """Ours against both forms of the published algorithm, and against the network alone."""
    ring = Ring(torch.float32)
    published = {"theirs, adjoint": adjoint, "theirs, direct": direct}
    sides = {
        **{n: partial(ring.learn_as_published, step, updates) for n, step in published.items()},
        "ours": partial(ring.learn, updates),
        "the network alone": partial(ring.evaluate_network, updates),
        "its middle convolution alone": partial(ring.convolve, updates),
    }
    targets = {"theirs, adjoint": ADJOINT_TARGET, "theirs, direct": DIRECT_TARGET}
    found = timed(sides, pairs)
    print("\n| an update | CPU s | over ours | target |\n| --- | --- | --- | --- |")
    passed = []
    for name, times in found.items():
        ratios = [a / b for a, b in zip(times, found["ours"], strict=True)]
        passed.append(row(name, statistics.median(times) / updates, ratios, targets.get(name)))
    return all(passed)


def replicas_compared(pairs: int) -> bool:
    """An epoch of many replicas at once against epochs of one."""
    alone, together, epochs = Orbit(1), Orbit(REPLICAS), 4
    names = "one replica alone", f"each of {REPLICAS} at once"
    found = timed(
        {names[0]: lambda: alone.learn(epochs), names[1]: lambda: together.learn(1)}, pairs
    )
    one = [seconds / epochs for seconds in found[names[0]]]
    each = [seconds / REPLICAS for seconds in found[names[1]]]
    ratios = [a / b for a, b in zip(one, each, strict=True)]
    print("\n| an epoch | CPU s | over each at once | target |\n| --- | --- | --- | --- |")
    passed = row(names[0], statistics.median(one), ratios, REPLICA_TARGET)
    return row(names[1], statistics.median(each), [1.0]) and passed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="turns; the median ratio counts")
    parser.add_argument("--updates", type=int, default=2, help="how many in a turn")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    passed = [
        same_gradient(),
        updates_compared(arguments.pairs, arguments.updates),
        replicas_compared(arguments.pairs),
    ]
    print("\nall targets reached" if all(passed) else "\na target is missed")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
