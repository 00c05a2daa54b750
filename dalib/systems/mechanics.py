"""Oscillators, pendulums and orbits; those without friction keep their `energy`.

Non-dimensional unless said otherwise; a parameter is a number or a tensor of the state's leading
axes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dalib.systems.flow import Flow


@dataclass(frozen=True)
class Harmonic(Flow):
    """A mass on a spring: dx/dt = v, dv/dt = -ω² x; the period is 2π / ω.

    Attributes:
        rate: ω, radians per unit of time.
    """

    rate: float | Tensor = 1.0

    size = 2
    names = ("x", "v")

    def drift(self, x: Tensor) -> Tensor:
        """(..., 2) -> (..., 2), the rate of change."""
        x, v = x.unbind(-1)
        return torch.stack((v, -(self.rate**2) * x), dim=-1)

    def energy(self, x: Tensor) -> Tensor:
        """(..., 2) -> (...,), ½ (v² + ω² x²)."""
        x, v = x.unbind(-1)
        return 0.5 * (v * v + self.rate**2 * x * x)


@dataclass(frozen=True)
class Pendulum(Flow):
    """A rigid pendulum: dθ/dt = ω, dω/dt = -(g/l) sin θ - friction ω.

    Attributes:
        gravity: g/l, the square of the rate of small swings.
        friction: damping of the rate.
    """

    gravity: float | Tensor = 1.0  # over length
    friction: float | Tensor = 0.0

    size = 2
    names = ("angle", "rate")

    def drift(self, x: Tensor) -> Tensor:
        """(..., 2) -> (..., 2), the rate of change."""
        angle, rate = x.unbind(-1)
        return torch.stack((rate, -self.gravity * angle.sin() - self.friction * rate), dim=-1)

    def energy(self, x: Tensor) -> Tensor:
        """(..., 2) -> (...,), ½ ω² + (g/l) (1 - cos θ); conserved without friction."""
        angle, rate = x.unbind(-1)
        return 0.5 * rate * rate + self.gravity * (1 - angle.cos())


@dataclass(frozen=True)
class Duffing(Flow):
    """A mass between two wells: dx/dt = v, dv/dt = x - x³ - friction v (Duffing 1918).

    Attributes:
        friction: damping of the speed.
    """

    friction: float | Tensor = 0.0

    size = 2
    names = ("x", "v")

    def drift(self, x: Tensor) -> Tensor:
        """(..., 2) -> (..., 2), the rate of change."""
        x, v = x.unbind(-1)
        return torch.stack((v, x - x**3 - self.friction * v), dim=-1)

    def energy(self, x: Tensor) -> Tensor:
        """(..., 2) -> (...,), ½ v² - ½ x² + ¼ x⁴; conserved without friction."""
        x, v = x.unbind(-1)
        return 0.5 * (v * v - x * x) + 0.25 * x**4


@dataclass(frozen=True)
class VanDerPol(Flow):
    """A self-excited oscillator (van der Pol 1926): dx/dt = v, dv/dt = μ (1 - x²) v - x.

    Everything but the origin tends to one limit cycle; its period is 6.6633 for μ = 1.

    Attributes:
        mu: μ, how strongly the oscillator is excited.
    """

    mu: float | Tensor = 1.0

    size = 2
    names = ("x", "v")

    def drift(self, x: Tensor) -> Tensor:
        """(..., 2) -> (..., 2), the rate of change."""
        x, v = x.unbind(-1)
        return torch.stack((v, self.mu * (1 - x * x) * v - x), dim=-1)


@dataclass(frozen=True)
class FitzHughNagumo(Flow):
    """A nerve that fires (FitzHugh 1961, Nagumo et al. 1962).

    dv/dt = v - v³/3 - w + I        dw/dt = ε (v + a - b w)

    Attributes:
        current: I, what excites the nerve.
        a, b: of the recovery w.
        rate: ε, of the recovery beside that of the voltage.
    """

    current: float | Tensor = 0.5
    a: float | Tensor = 0.7
    b: float | Tensor = 0.8
    rate: float | Tensor = 0.02  # ε

    size = 2
    names = ("v", "w")

    def drift(self, x: Tensor) -> Tensor:
        """(..., 2) -> (..., 2), the rate of change."""
        v, w = x.unbind(-1)
        recovery = self.rate * (v + self.a - self.b * w)
        return torch.stack((v - v**3 / 3 - w + self.current, recovery), dim=-1)


@dataclass(frozen=True)
class DoubleWell(Flow):
    """The drift -V'(x) of overdamped motion in V = (x² - 1)².

    With the noise √(2 kT) of an Euler-Maruyama integrator the density tends to exp(-V / kT).
    """

    size = 1
    names = ("x",)

    def drift(self, x: Tensor) -> Tensor:
        """(..., 1) -> (..., 1), -4 x (x² - 1)."""
        return -4 * x * (x * x - 1)

    def energy(self, x: Tensor) -> Tensor:
        """(..., 1) -> (...,), V."""
        return (x[..., 0] ** 2 - 1) ** 2


@dataclass(frozen=True)
class DoublePendulum(Flow):
    """Two rods without mass, one below the other, with masses at their ends.

    With angles θ from the vertical, their rates ω, δ = θ1 - θ2 and M = m1 + m2,

        dω1/dt = [m2 cos δ (g sin θ2 - l1 ω1² sin δ) - m2 l2 ω2² sin δ - M g sin θ1] / l1 D
        dω2/dt = [M (l1 ω1² sin δ - g sin θ2 + g sin θ1 cos δ) + m2 l2 ω2² sin δ cos δ] / l2 D

    where D = m1 + m2 sin² δ (Lagrange's equations). Units: m, kg, s.

    Attributes:
        m1, m2: masses, kg.
        l1, l2: lengths of the rods, m.
        g: gravity, m/s^2.
    """

    m1: float | Tensor = 1.0
    m2: float | Tensor = 1.0
    l1: float | Tensor = 1.0
    l2: float | Tensor = 1.0
    g: float | Tensor = 9.8

    size = 4
    names = ("angle1", "angle2", "rate1", "rate2")

    def drift(self, x: Tensor) -> Tensor:
        """(..., 4) -> (..., 4), the rate of change."""
        θ1, θ2, ω1, ω2 = x.unbind(-1)
        m2, l1, l2, g, M = self.m2, self.l1, self.l2, self.g, self.m1 + self.m2
        sin, cos = (θ1 - θ2).sin(), (θ1 - θ2).cos()
        D = self.m1 + m2 * sin * sin
        first = m2 * cos * (g * θ2.sin() - l1 * ω1**2 * sin) - m2 * l2 * ω2**2 * sin
        second = M * (l1 * ω1**2 * sin - g * θ2.sin() + g * θ1.sin() * cos)
        second = second + m2 * l2 * ω2**2 * sin * cos
        rates = (ω1, ω2, (first - M * g * θ1.sin()) / (l1 * D), second / (l2 * D))
        return torch.stack(rates, dim=-1)

    def energy(self, x: Tensor) -> Tensor:
        """(..., 4) -> (...,), kinetic and potential, 0 at rest at the height of the pivot."""
        θ1, θ2, ω1, ω2 = x.unbind(-1)
        m2, l1, l2, M = self.m2, self.l1, self.l2, self.m1 + self.m2
        kinetic = 0.5 * M * (l1 * ω1) ** 2 + 0.5 * m2 * (l2 * ω2) ** 2
        kinetic = kinetic + m2 * l1 * l2 * ω1 * ω2 * (θ1 - θ2).cos()
        return kinetic - self.g * (M * l1 * θ1.cos() + m2 * l2 * θ2.cos())


@dataclass(frozen=True)
class Kepler(Flow):
    """A planet in the plane of its orbit: d²r/dt² = -μ r / |r|³.

    With the energy E < 0 the orbit is an ellipse of semi-axis a = -μ / 2E and period
    2π (a³ / μ)^½.

    Attributes:
        mu: μ, gravitational parameter, length^3 / time^2.
    """

    mu: float | Tensor = 1.0

    size = 4
    names = ("x", "y", "vx", "vy")

    def drift(self, x: Tensor) -> Tensor:
        """(..., 4) -> (..., 4), the rate of change."""
        x, y, vx, vy = x.unbind(-1)
        pull = self.mu * (x * x + y * y) ** -1.5
        return torch.stack((vx, vy, -pull * x, -pull * y), dim=-1)

    def energy(self, x: Tensor) -> Tensor:
        """(..., 4) -> (...,), ½ v² - μ / |r|."""
        x, y, vx, vy = x.unbind(-1)
        return 0.5 * (vx * vx + vy * vy) - self.mu * (x * x + y * y) ** -0.5

    def angular_momentum(self, x: Tensor) -> Tensor:
        """(..., 4) -> (...,), conserved (Kepler's second law)."""
        x, y, vx, vy = x.unbind(-1)
        return x * vy - y * vx

    def eccentricity(self, x: Tensor) -> Tensor:
        """(..., 4) -> (..., 2), the vector towards the perihelion (Laplace), conserved."""
        r, v = x[..., :2], x[..., 2:]
        turned = torch.stack((v[..., 1], -v[..., 0]), dim=-1)
        L = self.angular_momentum(x)[..., None]
        mu = self.mu[..., None] if isinstance(self.mu, Tensor) else self.mu
        return turned * L / mu - r / r.norm(dim=-1, keepdim=True)
