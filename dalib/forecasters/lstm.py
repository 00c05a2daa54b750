"""Long short-term memory: a recurrent network trained on true states, run on its own output."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from dalib import limits, replicates
from dalib.forecasters.base import TrainingData, complete, free_run, past
from dalib.forecasters.scaling import Standard
from dalib.resumable import Save
from dalib.streams import Generator, Streams, each
from dalib.train import Training, Windows

WATCHED = 256  # validation windows at most


class LSTMNetwork(nn.Module):
    """Standardised states to the standardised increments that follow them, in float32.

    step_std: (size,) in float64, standard deviation of an increment of standardised states.
    """

    def __init__(self, size: int, units: int, layers: int) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(size, units, layers, batch_first=True)
        self.readout = nn.Linear(units, size)
        self.register_buffer("step_std", torch.ones(size, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """(case, time, size) -> (case, time, size), each output from all states up to its time."""
        return self.readout(self.recurrent(x.float())[0])


@dataclass(frozen=True)
class IncrementError:
    """Mean square error of the standardised increments after the first `washout`."""

    washout: int

    def __call__(self, network: LSTMNetwork, x: Tensor) -> Tensor:
        """(window, time, state), standardised, -> a scalar."""
        error = network(x[:, :-1]) - (x.diff(dim=1) / network.step_std).float()
        return error[:, self.washout :].square().mean()


@dataclass(frozen=True)
class LSTMForecast:
    """The weights of an `LSTMNetwork`. Its own state z: h and c of all layers, and the last x."""

    weights: Mapping[str, Tensor]
    scaling: Standard
    units: int
    layers: int
    washout: int

    def start(self, context: Tensor) -> Tensor:
        """(case, time, state) -> (case, z), the network driven by the context from no memory."""
        x = self.scaling(past(context, len(self.scaling.mean), self.washout + 1))
        memory = x.new_zeros(len(x), 2 * self.layers * self.units)
        for t in range(x.shape[1] - 1):
            memory, _ = self._driven(memory, x[:, t])
        return torch.cat([memory, x[:, -1]], -1)

    def step(self, z: Tensor) -> Tensor:
        """(..., z) -> (..., z): the network fed with the last output."""
        memory, x = z.split([2 * self.layers * self.units, len(self.scaling.mean)], -1)
        memory, y = self._driven(memory, x)
        return torch.cat([memory, x + self.weights["step_std"] * y], -1)

    def state(self, z: Tensor) -> Tensor:
        """(..., z) -> (..., state)."""
        return self.scaling.invert(z[..., -len(self.scaling.mean) :])

    def forecast(self, context: Tensor, horizon: int, generator: Generator | None = None) -> Tensor:
        """(case, time, state) -> (member = 1, case, horizon, state)."""
        return free_run(self, context, horizon)

    def _driven(self, memory: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """(..., 2 · layer · unit), (..., state) -> the memory after x, and the output y.

        i, f, o = σ(W x + R h + b)          input, forget and output gates
        g       = tanh(W_g x + R_g h + b_g)
        c <- f c + i g,   h <- o tanh(c)    and h is the x of the next layer
        y       = V h + v                   of the last

        A single step is written out since torch.func cannot differentiate nn.LSTM; double
        precision costs nothing here.
        """
        w = self.weights
        kept, h = [], x
        for layer, own in enumerate(memory.unflatten(-1, (self.layers, 2, -1)).unbind(-3)):
            before, c = own.unbind(-2)
            W, R = (w[f"recurrent.weight_{k}h_l{layer}"].double() for k in "ih")
            b = sum(w[f"recurrent.bias_{k}h_l{layer}"].double() for k in "ih")
            i, f, g, o = (h @ W.T + before @ R.T + b).chunk(4, -1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            kept += [h, c]
        y = h @ w["readout.weight"].double().T + w["readout.bias"].double()
        return torch.cat(kept, -1), y


@dataclass(frozen=True)
class LSTM:
    """An LSTM (Hochreiter and Schmidhuber 1997; with the forget gates of Gers et al. 2000).

        y_t = net(x_1 ... x_t) ≈ (x_{t+1} - x_t) / std(x_{t+1} - x_t)      standardised x

    Teacher forcing: in training every x_t is that of the data, and the mean square error of
    y_t, t > washout, is the loss. A forecast is fed with its own x_{t+1} = x_t + std · y_t. The
    weights kept are those of the least loss on the validation data, where there are any.

    Args:
        units, layers: sizes of the network.
        window: samples in a training window; a gradient reaches no further back.
        batch: windows in an update.
        steps, rate, clip: of the training, see `dalib.train.Training`.
        washout: outputs at the start of a window that do not count, while the memory fills;
            contexts are longer.
        check_every, patience: updates between two looks at the validation loss, and looks without
            a new least one before the training stops; None for never.
    """

    units: int = 64
    layers: int = 1
    window: int = 60
    batch: int = 32
    steps: int = 6000
    rate: float = 1e-2
    clip: float = 1.0
    washout: int = 10
    check_every: int = 100
    patience: int | None = None
    needs: ClassVar[frozenset[str]] = frozenset({"states"})

    def __post_init__(self) -> None:
        limits.at_least(1, units=self.units, layers=self.layers, batch=self.batch, steps=self.steps)
        limits.at_least(1, check_every=self.check_every, patience=self.patience)
        limits.more_than(0, rate=self.rate, clip=self.clip)
        if not 0 <= self.washout < self.window - 1:
            raise ValueError(
                f"a washout of {self.washout} leaves nothing of a window of {self.window} samples; "
                "give a longer window"
            )

    def fit(
        self,
        data: TrainingData,
        generator: Generator,
        *,
        save: Save | None = None,
        resume: dict | None = None,
    ) -> LSTMForecast:
        (ready,) = self.fit_each([data], Streams(each(generator)), save=save, resume=resume)
        return ready

    def fit_each(
        self,
        data: Sequence[TrainingData],
        generator: Generator,
        *,
        save: Save | None = None,
        resume: dict | None = None,
    ) -> list[LSTMForecast]:
        """One for each data set and stream; `dalib.train.fit` says what `save` and `resume` are."""
        train = [complete(one.train, "the training data") for one in data]
        scalings = [Standard.of(x) for x in train]
        scaled = [scaling(x) for scaling, x in zip(scalings, train, strict=True)]
        size = train[0].shape[-1]
        networks = replicates.made(lambda: LSTMNetwork(size, self.units, self.layers), generator)
        for network, x in zip(networks, scaled, strict=True):
            network.step_std.copy_(x.diff(dim=1).square().mean((0, 1)).sqrt())
        watched = [
            self._watched(scaling(complete(one.valid, "the validation data")))
            for scaling, one in zip(scalings, data, strict=True)
            if one.valid is not None
        ]
        replicates.train(
            networks,
            IncrementError(self.washout),
            [Windows(x, self.window, self.batch, 1) for x in scaled],
            self._training(validated=len(watched) == len(data)),
            watched={"valid": watched} if len(watched) == len(data) else {},
            save=save,
            resume=resume,
            generator=generator,
        )
        sizes = (self.units, self.layers, self.washout)
        return [
            LSTMForecast({k: v.clone() for k, v in network.state_dict().items()}, scaling, *sizes)
            for network, scaling in zip(networks, scalings, strict=True)
        ]

    def _training(self, *, validated: bool) -> Training:
        return Training(
            self.steps,
            self.rate,
            warmup=min(100, self.steps // 10),
            flat=0.0,
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
