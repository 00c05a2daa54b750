"""What is learned: values within a range, from latent numbers without one."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Transform:
    """value = f(latent) within the open interval from `low` to `high`, and the inverse of f."""

    value: Callable[[Tensor], Tensor]
    latent: Callable[[Tensor], Tensor]
    low: float = -math.inf
    high: float = math.inf

    @property
    def range(self) -> str:
        """In words."""
        bounds = [f"above {self.low:g}"] if self.low > -math.inf else []
        bounds += [f"below {self.high:g}"] if self.high < math.inf else []
        return " and ".join(["finite", *bounds])


def softplus_inverse(value: Tensor) -> Tensor:
    """log(eᵛ - 1) = v + log(1 - e⁻ᵛ): no digit is lost for small v, nothing overflows for large."""
    return value + (-torch.expm1(-value)).log()


TRANSFORMS = {
    "identity": Transform(lambda latent: latent, lambda value: value),
    "softplus": Transform(functional.softplus, softplus_inverse, low=0.0),
    "sigmoid": Transform(torch.sigmoid, torch.logit, low=0.0, high=1.0),
}


@dataclass(frozen=True)
class Learnable:
    """A parameter to be learned, one value for each run.

    Args:
        start: (run, ...), the values (not the latent numbers) before the first update.
        transform: a name in `TRANSFORMS`; the optimiser moves the latent numbers.
        group: "map", "noise" or "filter"; parameters of a group share rate and clipping.
    """

    start: Tensor
    transform: str = "identity"
    group: str = "map"

    def __post_init__(self) -> None:
        if self.transform not in TRANSFORMS:
            known = ", ".join(sorted(TRANSFORMS))
            raise ValueError(f"unknown transform {self.transform!r}; known: {known}")
        if not (isinstance(self.start, Tensor) and self.start.is_floating_point()):
            what = getattr(self.start, "dtype", type(self.start).__name__)
            raise TypeError(f"the start of a learnable is a floating-point tensor, got {what}")
        if not self.start.ndim:
            raise ValueError("the start of a learnable is a single number; give (run, ...)")

    def value(self, latent: Tensor) -> Tensor:
        """(run, number) -> (run, ...)."""
        return TRANSFORMS[self.transform].value(latent).reshape(self.start.shape)

    def first(self, name: str) -> Tensor:
        """(run, number), the latent numbers of the start; `name` is for messages."""
        transform, start = TRANSFORMS[self.transform], self.start.detach()
        fits = (start > transform.low) & (start < transform.high)
        latent = transform.latent(torch.where(fits, start, 0.5))
        if not (fits & latent.isfinite()).all():
            wrong = start[~(fits & latent.isfinite())][0].item()
            raise ValueError(
                f"{name} starts from {wrong:g}, but its transform {self.transform!r} gives values "
                f"that are {transform.range}; change the start or the transform"
            )
        return latent.reshape(len(latent), -1).clone()
