"""Adam with a step size for each run: many optimisations at once that never meet."""

import torch
from torch import Tensor


class Adam:
    """Adam (Kingma and Ba 2015) of parameters (run, number).

        m <- β₁ m + (1 - β₁) g        v <- β₂ v + (1 - β₂) g²
        p <- p - rate m / (1 - β₁ᵗ) / (√(v / (1 - β₂ᵗ)) + ε)

    A run whose gradient is not finite skips the update: p, m, v and t stay what they were.

    Args:
        parameters: {name: (run, number)}, changed in place.
        betas, epsilon: β₁ and β₂, ε.
    """

    def __init__(
        self,
        parameters: dict[str, Tensor],
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ) -> None:
        self.parameters, self.betas, self.epsilon = parameters, betas, epsilon
        self.first = {name: torch.zeros_like(p.detach()) for name, p in parameters.items()}
        self.second = {name: torch.zeros_like(p.detach()) for name, p in parameters.items()}
        some = next(iter(parameters.values()))
        self.updates = torch.zeros(len(some), dtype=torch.float64, device=some.device)

    @torch.no_grad()
    def update(self, gradients: dict[str, Tensor], rates: dict[str, Tensor]) -> Tensor:
        """One step with rates {name: (run,)}; returns which runs skipped it, (run,) bool."""
        kept = finite(gradients)
        self.updates += kept
        b1, b2 = self.betas
        short, long = (1 - b ** self.updates.clamp(min=1) for b in self.betas)
        for name, p in self.parameters.items():
            m, v, ok = self.first[name], self.second[name], kept[:, None]
            g = torch.where(ok, gradients[name], 0.0)
            m.copy_(torch.where(ok, torch.lerp(m, g, 1 - b1), m))
            v.copy_(torch.where(ok, b2 * v + (1 - b2) * g.square(), v))
            step = (rates[name].to(short) / short).to(p)[:, None]
            root = long.sqrt().to(p)[:, None]
            p.sub_(torch.where(ok, step * m / (v.sqrt() / root + self.epsilon), 0.0))
        return ~kept

    def state(self) -> dict:
        """All that is needed to continue; `restore` takes it."""
        return {
            "first": {name: m.clone() for name, m in self.first.items()},
            "second": {name: v.clone() for name, v in self.second.items()},
            "updates": self.updates.clone(),
        }

    def restore(self, state: dict) -> None:
        """Continue from what `state` gave."""
        for name in self.parameters:
            self.first[name].copy_(state["first"][name])
            self.second[name].copy_(state["second"][name])
        self.updates.copy_(state["updates"])


def finite(gradients: dict[str, Tensor]) -> Tensor:
    """(run,) bool: all gradients of the run are finite."""
    return torch.stack([g.isfinite().all(1) for g in gradients.values()]).all(0)
