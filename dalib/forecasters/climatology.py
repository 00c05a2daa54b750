"""The states that the system visits, whatever the past: a forecast without skill in time."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dalib.forecasters.base import TrainingData, complete, past
from dalib.streams import Generator, integers


@dataclass(frozen=True)
class ClimatologyForecast:
    """The mean (state,), and the states (sample, state) that members are drawn from."""

    mean: Tensor
    states: Tensor | None
    members: int

    def forecast(self, context: Tensor, horizon: int, generator: Generator | None = None) -> Tensor:
        """(case, time, state) -> (member, case, horizon, state).

        Cases draw one after the other, or each from its own stream, so that they are independent.
        """
        context = past(context, len(self.mean))
        if self.states is None:
            return self.mean.repeat(1, len(context), horizon, 1)
        if generator is None:
            raise ValueError("members are drawn and need a generator: torch.Generator()...")
        drawn = integers(len(self.states), (len(context), self.members, horizon), generator)
        return self.states[drawn].transpose(0, 1).contiguous()


@dataclass(frozen=True)
class Climatology:
    """The mean of the training states, or an ensemble of them.

        members = 0:   x̂_{t+h} = mean_s x_s
        members > 0:   x̂^m_{t+h} = x_s,  s uniform, drawn anew for each member and lead

    The first is the constant of least mean square error, the second has the marginal distribution
    of the system, and the CRPS of its climate.

    Attributes:
        members: of the ensemble; 0 for the mean alone.
    """

    members: int = 0
    needs: ClassVar[frozenset[str]] = frozenset({"states"})

    def __post_init__(self) -> None:
        if self.members < 0:
            raise ValueError(f"members is 0 (the mean alone) or positive, got {self.members}")

    def fit(self, data: TrainingData, generator: Generator | None = None) -> ClimatologyForecast:
        states = complete(data.train, "the training data").flatten(0, 1)
        kept = states.clone() if self.members else None
        return ClimatologyForecast(states.mean(0), kept, self.members)
