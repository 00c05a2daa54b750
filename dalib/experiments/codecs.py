"""Codecs of gridded states and of sparse, noisy observations of them: settings, fitted to states.

    codec = CoupledVAECodec(stride=10, obs_std_relative=0.1, network={...}, training={...})
    fitted = codec.fit(data, streams)
    fitted.ready()          encode, encode_observations, decode: see `dalib.filters.latent`

A codec is part of a method that works in its latent space. What it learns from are the states of
the training part and observations of them that are drawn anew.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from dalib import build, train
from dalib.cases.checkpoint import FORGOTTEN, Checkpoint
from dalib.codecs.pca import PCA, LinearCodec
from dalib.filters.latent import latent_noise
from dalib.nets.scaling import Scaling, per_channel, per_variable
from dalib.nets.vae import CoupledVAE
from dalib.observe import EveryKth
from dalib.streams import Streams, normal_like

WATCHED = 64  # states held fixed, on which a training reports
NOISE_STATES = 50  # training states whose latents say how large the errors of latents are
REPORTS = ("state_error", "observation_error", "mismatch")  # of validation states
NETWORKS = {CoupledVAE: "coupled_vae"}  # classes by which what a job uses is found, and names

Named = Callable[..., torch.Generator]  # the random stream of some names


class CodecData(NamedTuple):
    """What a codec learns from.

    train, valid: (sample, state); shape: (variable, x, y) of a state; operator: (..., state) ->
    (..., obs), how states are observed; obs_std: (obs,), of the errors, in the units of y.
    """

    train: Tensor
    valid: Tensor
    shape: tuple[int, int, int]
    operator: Any
    obs_std: Tensor


class Codec(Protocol):
    """A frozen dataclass of settings.

    stride, obs_std_relative: of the observations that it learns to encode: distance of the sensors
    in points, and errors as a share of the std of each variable; None for those of the run.
    """

    stride: int | None
    obs_std_relative: float | None

    def fit(
        self, data: CodecData, streams: Named, *, device: str, checkpoint: Checkpoint
    ) -> "FittedCodec": ...


@dataclass(frozen=True)
class FittedCodec:
    """What a codec has become.

    Attributes:
        codec: a `NetworkCodec` or `LinearCodec`.
        errors: `latent_noise`, the part of latents that comes from the errors of observations, and
            `mismatch`, the standard deviation of μ_obs - μ over validation states.
        history: `checks` (check,), updates done, and the REPORTS (check,) on validation states.
        stride, obs_std_relative: of the observations that it has learned.
        about: `latent`, `matched` (0 or 1) and `linear` (0 or 1).
    """

    codec: Any
    errors: Mapping[str, float]
    history: Mapping[str, Tensor]
    stride: int
    obs_std_relative: float
    about: Mapping[str, int]

    def ready(self) -> Any:
        """With `encode`, `encode_observations` and `decode`, and the `errors`."""
        if isinstance(self.codec, LinearCodec):
            return replace(self.codec, errors=dict(self.errors))
        return self.codec.network(dict(self.errors))


@dataclass(frozen=True)
class NetworkCodec:
    """Weights of a `CoupledVAE` and what it was made with; shape: (variable, x, y) of a state."""

    settings: Mapping[str, Any]
    shape: tuple[int, int, int]
    weights: Mapping[str, Tensor]

    def network(self, errors: Mapping[str, float]) -> Any:
        """The network, its first repeat."""
        values = {name: value[:1] for name, value in self.weights.items()}
        supplies = {
            "scaling": lambda: Scaling(values["scaling.mean"], values["scaling.std"]),
            "shape": lambda: self.shape,
        }
        if "obs_scaling.mean" in values:
            seen = Scaling(values["obs_scaling.mean"], values["obs_scaling.std"])
            supplies["obs_scaling"] = lambda: seen
        shell = build.make("network", self.settings, supplies)
        shell.load_state_dict(values)
        shell.errors = errors
        return shell


@dataclass(frozen=True)
class CoupledVAECodec:
    """A coupled variational autoencoder, see `dalib.nets.vae.CoupledVAE`.

    Args:
        stride, obs_std_relative: as of any `Codec`.
        centred: whether the mean of each variable is subtracted, beside division by its std.
        latent, latent_map, width, periodic: sizes of the network, and whether its maps close.
        matching: weight of the discrepancy of the latents in the loss.
        batch: states in an update.
        steps, rate, flat, last, clip, check_every: of the training, see `dalib.train.Training`.
    """

    stride: int | None = None
    obs_std_relative: float | None = None
    centred: bool = False
    latent: int = 400
    latent_map: tuple[int, int] = (5, 5)
    width: int = 16
    periodic: bool = False
    matching: float = 0.1
    steps: int = 8000
    batch: int = 8
    rate: float = 2e-3
    flat: float = 0.0
    last: float = 0.02
    clip: float | None = 1.0
    check_every: int = 400
    needs: ClassVar[frozenset[str]] = frozenset({"states"})

    @property
    def network(self) -> dict[str, Any]:
        """Settings of the network."""
        names = ("latent", "latent_map", "width", "periodic", "matching")
        own = {name: getattr(self, name) for name in names}
        return {"kind": NETWORKS[CoupledVAE], "every": self.stride, **own}

    @property
    def training(self) -> train.Training:
        """Settings of the training."""
        names = ("steps", "rate", "flat", "last", "clip", "check_every")
        return train.Training(**{name: getattr(self, name) for name in names})

    def fit(
        self,
        data: CodecData,
        streams: Named,
        *,
        device: str = "cpu",
        checkpoint: Checkpoint = FORGOTTEN,
    ) -> FittedCodec:
        """The codec after its training, of the last update."""
        network = self.network
        scaling = per_channel if self.centred else per_variable
        variables = data.shape[0]
        supplies = {
            "scaling": lambda: scaling(data.train, variables),
            "shape": lambda: data.shape,
            "observe": lambda: data.operator,
            "obs_std": lambda: data.obs_std.float(),
        }
        if not isinstance(data.operator, EveryKth):  # observations have other units than states
            supplies["obs_scaling"] = lambda: scaling(data.operator(data.train), variables)
        draws = [
            train.Draws(part.to(device), self.batch, torch.zeros(1))
            for part in (data.train, data.valid)
        ]
        codec, history = _trained(
            network, supplies, draws, self.training, streams, device, checkpoint
        )
        weights = {name: value.detach().cpu() for name, value in codec.state_dict().items()}
        reports = {name: history.reports[f"held_out_{name}"][0] for name in REPORTS}
        matched = int(self.matching > 0)
        return _finished(
            self,
            NetworkCodec(network, data.shape, weights),
            data,
            streams,
            {"checks": history.checks.double(), **reports},
            {"latent": codec.latent, "matched": matched, "linear": 0},
            device,
        )


@dataclass(frozen=True)
class PCACodec:
    """Principal components and ridge regression, see `dalib.codecs.pca.PCA`.

    Args:
        components: of a latent.
        stride, obs_std_relative: as of any `Codec`.
        ridge: in variances of the observations.
    """

    components: int
    stride: int | None = None
    obs_std_relative: float | None = None
    ridge: float = 1e-3
    needs: ClassVar[frozenset[str]] = frozenset({"states"})

    def fit(
        self,
        data: CodecData,
        streams: Named,
        *,
        device: str = "cpu",
        checkpoint: Checkpoint = FORGOTTEN,
    ) -> FittedCodec:
        """The codec of the training states."""
        generator = streams(0, "training")
        linear = PCA(self.components, data.shape[0], self.ridge)
        codec = linear.fit(data.train.double(), data.operator, data.obs_std, generator)
        reports = _linear_reports(codec, data, generator)
        about = {"latent": codec.latent, "matched": 1, "linear": 1}
        history = {"checks": torch.zeros(1, dtype=torch.float64), **reports}
        return _finished(self, codec, data, streams, history, about, device)


def _trained(
    network: Mapping,
    supplies: Mapping[str, Callable[[], Any]],
    draws: Sequence[train.Draws],
    training: train.Training,
    streams: Named,
    device: str,
    checkpoint: Checkpoint,
) -> tuple[Any, train.History]:
    """A network after its training, and what happened."""

    def generator(purpose: str) -> Streams:
        return Streams((streams(0, purpose),))

    made = build.make(
        "network", network, {**supplies, "generator": lambda: generator("first weights")}
    ).to(device)
    fixed = [replace(draw, batch=WATCHED)(generator("watched")) for draw in draws]
    history = train.fit(
        made,
        draws[0],
        training,
        watched=dict(zip(("training", "held_out"), fixed, strict=True)),
        progress="codec",
        save=checkpoint.save,
        resume=checkpoint.load(),
        generator=generator("training"),
    )
    return made, history


def _linear_reports(codec: LinearCodec, data: CodecData, generator) -> dict[str, Tensor]:
    """What a codec says of validation states that was not trained step by step."""
    states = data.valid.double()
    y = data.operator(states)
    y = y + data.obs_std * normal_like(y, generator)
    z, z_obs = codec.encode(states)[0], codec.encode_observations(y)[0]
    size = (states / codec.std).norm()
    reports = {
        "state_error": ((codec.decode(z) - states) / codec.std).norm() / size,
        "observation_error": ((codec.decode(z_obs) - states) / codec.std).norm() / size,
        "mismatch": (z - z_obs).norm() / z.norm(),
    }
    return {name: value.reshape(1) for name, value in reports.items()}


def _finished(
    settings: Any,
    codec: Any,
    data: CodecData,
    streams: Named,
    history: Mapping[str, Tensor],
    about: Mapping[str, int],
    device: str,
) -> FittedCodec:
    made = FittedCodec(codec, {}, history, settings.stride, float(settings.obs_std_relative), about)
    return replace(made, errors=_errors_of_latents(made.ready().to(device), data, streams))


def _errors_of_latents(codec: Any, data: CodecData, streams: Named) -> dict[str, float]:
    """`latent_noise` and `mismatch`, in the units of latents."""
    generator = streams("errors of codes")
    some = data.train[:: max(1, len(data.train) // NOISE_STATES)][:NOISE_STATES]
    noise = latent_noise(codec, some, data.operator, data.obs_std, generator)
    held = data.valid[:: max(1, len(data.valid) // WATCHED)][:WATCHED]
    y = data.operator(held)
    y = y + data.obs_std.to(y) * normal_like(y, generator)
    with torch.no_grad():
        apart = codec.encode_observations(y)[0] - codec.encode(held)[0]
    return {
        "latent_noise": float(noise),
        "mismatch": float(apart.double().square().mean().sqrt()),
    }
