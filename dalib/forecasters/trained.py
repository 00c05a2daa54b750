"""What forecasters share whose network learns from windows of standardised states."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from dalib import limits, replicates
from dalib.forecasters.base import TrainingData, complete
from dalib.forecasters.scaling import Standard
from dalib.resumable import Save
from dalib.streams import Generator, Streams, each
from dalib.train import Training, Windows

WATCHED = 256  # validation windows at most


@dataclass(frozen=True, kw_only=True)
class TrainedForecaster:
    """A forecaster whose network is trained on windows of the training series.

    The weights kept are those of the least loss on windows of the validation data, where there are
    any. Replicates are trained at once, see `dalib.replicates`. A subclass has

        network(size) -> nn.Module          for states of `size` components; first weights at random
        start(network, x, generator)        better first weights from x (case, time, state); or none
        loss -> (network, windows) -> scalar
        ready(weights, scaling) -> Fitted

    Attributes:
        window: samples in a training window; a gradient reaches no further back.
        batch: windows in an update.
        steps, rate, clip: of the training, see `dalib.train.Training`.
        last: what is left of the rate at the end, as a fraction.
        check_every, patience: updates between two looks at the validation loss, and looks without
            a new least one before the training stops; None for never.
    """

    window: int
    batch: int = 32
    steps: int = 2000
    rate: float = 3e-3
    last: float = 0.01
    clip: float = 1.0
    check_every: int = 100
    patience: int | None = None
    needs: ClassVar[frozenset[str]] = frozenset({"states"})

    def __post_init__(self) -> None:
        limits.at_least(2, window=self.window)
        limits.at_least(1, batch=self.batch, steps=self.steps)
        limits.at_least(1, check_every=self.check_every, patience=self.patience)
        limits.more_than(0, rate=self.rate, clip=self.clip)

    def network(self, size: int) -> nn.Module:
        """A network for states of `size` components."""
        raise NotImplementedError(f"{type(self).__name__} does not say what is trained")

    def start(self, network: nn.Module, x: Tensor, generator: Generator) -> None:
        """First weights from the standardised training data x (case, time, state)."""

    @property
    def loss(self) -> Callable[[nn.Module, Tensor], Tensor]:
        """(network, windows (window, time, state)) -> the mean loss, a scalar."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it minimises")

    def ready(self, weights: Mapping[str, Tensor], scaling: Standard) -> Any:
        """The fitted forecaster with trained `weights`."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it forecasts")

    def fit(
        self,
        data: TrainingData,
        generator: Generator,
        *,
        save: Save | None = None,
        resume: dict | None = None,
    ) -> Any:
        (one,) = self.fit_each([data], Streams(each(generator)), save=save, resume=resume)
        return one

    def fit_each(
        self,
        data: Sequence[TrainingData],
        generator: Generator,
        *,
        save: Save | None = None,
        resume: dict | None = None,
    ) -> list[Any]:
        """One for each data set and stream; `dalib.train.fit` says what `save` and `resume` are."""
        train = [complete(one.train, "the training data") for one in data]
        scalings = [Standard.of(x) for x in train]
        scaled = [scaling(x) for scaling, x in zip(scalings, train, strict=True)]
        size = train[0].shape[-1]
        networks = replicates.made(lambda: self.network(size), generator)
        for network, x, one in zip(networks, scaled, each(generator), strict=True):
            self.start(network, x, one)
        watched = [
            self._watched(scaling(complete(one.valid, "the validation data")))
            for scaling, one in zip(scalings, data, strict=True)
            if one.valid is not None
        ]
        validated = len(watched) == len(data)
        replicates.train(
            networks,
            self.loss,
            [Windows(x, self.window, self.batch, 1) for x in scaled],
            self._training(validated=validated),
            watched={"valid": watched} if validated else {},
            save=save,
            resume=resume,
            generator=generator,
        )
        return [
            self.ready({k: v.clone() for k, v in network.state_dict().items()}, scaling)
            for network, scaling in zip(networks, scalings, strict=True)
        ]

    def _training(self, *, validated: bool) -> Training:
        return Training(
            self.steps,
            self.rate,
            warmup=min(100, self.steps // 10),
            flat=0.0,
            last=self.last,
            clip=self.clip,
            check_every=self.check_every,
            best_by="valid_loss" if validated else None,
            patience=self.patience if validated else None,
        )

    def _watched(self, x: Tensor) -> Tensor:
        """(case, time, state) -> (window, time, state), windows spread evenly, none overlapping."""
        if x.shape[1] < self.window:
            raise ValueError(
                f"the validation series of {x.shape[1]} samples hold no window of {self.window}; "
                "give longer ones or a shorter window"
            )
        windows = x.unfold(1, self.window, self.window).transpose(-1, -2).flatten(0, 1)
        every = -(-len(windows) // WATCHED)
        return windows[::every].contiguous()


# -- networks that say increments ----------------------------------------------------------------


@dataclass(frozen=True)
class IncrementError:
    """Mean square error of the standardised increments after the first `washout`."""

    washout: int

    def __call__(self, network: nn.Module, x: Tensor) -> Tensor:
        """(window, time, state), standardised, -> a scalar."""
        error = network(x[:, :-1]) - (x.diff(dim=1) / network.step_std).float()
        return error[:, self.washout :].square().mean()


def increment_std(x: Tensor) -> Tensor:
    """(case, time, state) -> (state,), root mean square of the increments."""
    return x.diff(dim=1).square().mean((0, 1)).sqrt()


def check_washout(washout: int, window: int) -> None:
    """Refuse a washout that leaves no output of a window."""
    if not 0 <= washout < window - 1:
        raise ValueError(
            f"a washout of {washout} leaves nothing of a window of {window} samples; "
            "give a longer window"
        )
