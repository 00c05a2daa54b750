"""Ocean eddies between walls: the quasi-geostrophic model of Sakov and Oke (2008)."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from dalib.systems.flow import Flow


@dataclass(frozen=True)
class QuasiGeostrophic(Flow):
    """A wind drives two gyres, whose jet sheds eddies (Sakov and Oke 2008, eqs. 14-15).

        ∂q/∂t = -ε J(ψ, q) - ∂ψ/∂x - 2π sin(2π y) - A ∇⁶ψ - B ∇²ψ + C ∇⁴ψ
        q = ∇²ψ - F ψ        J(ψ, q) = ∂ψ/∂x ∂q/∂y - ∂ψ/∂y ∂q/∂x

    on the unit square with ψ = ∇²ψ = ∇⁴ψ = 0 at the walls. The state is the stream function ψ, rows
    of constant y one after the other, with the walls, which stay 0:

        dψ/dt = (∇² - F)⁻¹ ∂q/∂t

    by sine transforms; ∇² by five points, J by that of Arakawa (1966), which conserves energy and
    enstrophy, so that J(ψ, q) = J(ψ, ∇²ψ). Runge-Kutta steps of 1.25 are stable; small
    errors double in 25 to 50 time units. Signs are those of the published code.

    Attributes:
        points: n along each side, walls included; 129 for the published figures.
        froude: F.
        rossby: ε.
        friction: A, of sixth order; 2e-11 is more robust, 2e-12 that of the published figures.
        bottom, viscosity: B and C.
    """

    points: int = 129
    froude: float = 1600.0
    rossby: float = 1e-5
    friction: float = 2e-12
    bottom: float = 0.0
    viscosity: float = 0.0

    def __post_init__(self) -> None:
        if self.points < 5:
            raise ValueError(f"points is {self.points}; a basin needs 5 or more along each side")

    @property
    def size(self) -> int:
        return self.points**2

    @property
    def names(self) -> tuple[str, ...]:
        n = range(self.points)
        return tuple(f"psi{j}_{i}" for j in n for i in n)

    @property
    def spacing(self) -> float:
        """Between points."""
        return 1 / (self.points - 1)

    def drift(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size), the rate of change."""
        psi = x.reshape(*x.shape[:-1], self.points, self.points)
        zeta = self.laplacian(psi)
        flux = jacobian(psi, zeta, self.spacing).mul(-self.rossby)
        inner = psi[..., 1:-1, :]
        flux = flux - (inner[..., 2:] - inner[..., :-2]) / (2 * self.spacing) + self.wind(psi)
        second = self.laplacian(zeta)
        flux = flux - self.friction * self.laplacian(second)[..., 1:-1, 1:-1]
        if self.bottom:
            flux = flux - self.bottom * zeta[..., 1:-1, 1:-1]
        if self.viscosity:
            flux = flux + self.viscosity * second[..., 1:-1, 1:-1]
        rate = self.solved(flux)
        return torch.nn.functional.pad(rate, (1, 1, 1, 1)).reshape(x.shape)

    def wind(self, like: Tensor) -> Tensor:
        """(inner y, 1), the curl of its stress."""
        y = torch.arange(1, self.points - 1, dtype=like.dtype, device=like.device) * self.spacing
        return -2 * math.pi * (2 * math.pi * y).sin()[:, None]

    def laplacian(self, f: Tensor) -> Tensor:
        """(..., y, x) -> (..., y, x), by five points; 0 at the walls."""
        middle = f[..., 1:-1, 1:-1]
        sums = f[..., 2:, 1:-1] + f[..., :-2, 1:-1] + f[..., 1:-1, 2:] + f[..., 1:-1, :-2]
        inner = (sums - 4 * middle) / self.spacing**2
        return torch.nn.functional.pad(inner, (1, 1, 1, 1))

    def solved(self, flux: Tensor) -> Tensor:
        """(..., inner y, inner x), (∇² - F)⁻¹ of it: S [S flux S / λ] S with the sine matrix S.

        S_kl = [2/(n-1)]^½ sin(π k l / (n-1)) is its own inverse and makes ∇² - F diagonal.
        """
        S, inverse = (v.to(flux) for v in _sines(self.points, self.froude))
        return S @ ((S @ flux @ S) * inverse) @ S

    def vorticity(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., y, x), q."""
        psi = x.reshape(*x.shape[:-1], self.points, self.points)
        return self.laplacian(psi) - self.froude * psi


def jacobian(psi: Tensor, zeta: Tensor, spacing: float) -> Tensor:
    """J(ψ, ζ) of fields (..., y, x) at inner points (..., y-2, x-2) (Arakawa 1966, eq. 46).

        J = [δx ψ δy ζ - δy ψ δx ζ + δx (ψ δy ζ - ζ δy ψ) + δy (ζ δx ψ - ψ δx ζ)] / 12 h²

    with differences δ over two spacings h: the mean of his three, whose sums with ψ and with ζ are
    zero where both vanish at the walls.
    """
    psi_x, zeta_x = (f[..., 2:] - f[..., :-2] for f in (psi, zeta))  # (..., y, x-2)
    psi_y, zeta_y = (f[..., 2:, :] - f[..., :-2, :] for f in (psi, zeta))  # (..., y-2, x)
    direct = psi_x[..., 1:-1, :] * zeta_y[..., 1:-1] - psi_y[..., 1:-1] * zeta_x[..., 1:-1, :]
    over_x = psi[..., 1:-1, :] * zeta_y - zeta[..., 1:-1, :] * psi_y
    over_y = zeta[..., 1:-1] * psi_x - psi[..., 1:-1] * zeta_x
    direct = direct + (over_x[..., 2:] - over_x[..., :-2])
    direct = direct + (over_y[..., 2:, :] - over_y[..., :-2, :])
    return direct / (12 * spacing**2)


@lru_cache(maxsize=8)
def _sines(points: int, froude: float) -> tuple[Tensor, Tensor]:
    """S (inner, inner), and 1 / λ (inner, inner) with λ = -4 (sin² + sin²) / h² - F."""
    k = torch.arange(1, points - 1, dtype=torch.float64)
    h = 1 / (points - 1)
    S = math.sqrt(2 * h) * (math.pi * h * k[:, None] * k).sin()
    one = -4 * (math.pi * h * k / 2).sin().square() / h**2
    return S, 1 / (one[:, None] + one - froude)
