"""Chaotic flows of three and four variables by which forecasters are compared.

Names and parameters are those of the collection of Gilpin (2021, version 0.96). All are
non-dimensional; a parameter is a number or a tensor of the state's leading axes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dalib.systems.flow import Flow


@dataclass(frozen=True)
class Chua(Flow):
    """An electric circuit with a resistor of piecewise constant slope (Matsumoto et al. 1985).

    dx/dt = alpha (y - x - g(x))        g(x) = m1 x + ½ (m0 - m1) (|x + 1| - |x - 1|)
    dy/dt = x - y + z
    dz/dt = -beta y

    Attributes:
        alpha: ratio of the capacities.
        beta: of the inductance.
        m0, m1: slopes of the resistor, within and beyond |x| = 1.
    """

    alpha: float | Tensor = 15.6
    beta: float | Tensor = 28.0
    m0: float | Tensor = -1.142857
    m1: float | Tensor = -0.71429

    size = 3
    names = ("x", "y", "z")

    def drift(self, x: Tensor) -> Tensor:
        """(..., 3) -> (..., 3), the rate of change."""
        x, y, z = x.unbind(-1)
        g = self.m1 * x + 0.5 * (self.m0 - self.m1) * ((x + 1).abs() - (x - 1).abs())
        return torch.stack((self.alpha * (y - x - g), x - y + z, -self.beta * y), dim=-1)


@dataclass(frozen=True)
class Chen(Flow):
    """A double scroll beside that of Lorenz (Chen and Ueta 1999).

        dx/dt = a (y - x)
        dy/dt = (c - a) x - x z + c y
        dz/dt = x y - b z

    Volumes shrink at the rate a + b - c.

    Attributes:
        a, b, c: of the equations.
    """

    a: float | Tensor = 35.0
    b: float | Tensor = 3.0
    c: float | Tensor = 28.0

    size = 3
    names = ("x", "y", "z")

    def drift(self, x: Tensor) -> Tensor:
        """(..., 3) -> (..., 3), the rate of change."""
        x, y, z = x.unbind(-1)
        dy = (self.c - self.a) * x - x * z + self.c * y
        return torch.stack((self.a * (y - x), dy, x * y - self.b * z), dim=-1)


@dataclass(frozen=True)
class Thomas(Flow):
    """Damped motion in a lattice of forces, the same in all three directions (Thomas 1999).

        dx/dt = -a x + b sin y
        dy/dt = -a y + b sin z
        dz/dt = -a z + b sin x

    A cyclic exchange of x, y, z maps solutions to solutions, and so does the change of all signs.
    Volumes shrink at the rate 3 a. In the units of the source b is 1.

    Attributes:
        a: damping.
        b: strength of the forces.
    """

    a: float | Tensor = 1.85
    b: float | Tensor = 10.0

    size = 3
    names = ("x", "y", "z")

    def drift(self, x: Tensor) -> Tensor:
        """(..., 3) -> (..., 3), the rate of change."""
        x, y, z = x.unbind(-1)
        a, b = self.a, self.b
        return torch.stack((b * y.sin() - a * x, b * z.sin() - a * y, b * x.sin() - a * z), dim=-1)


@dataclass(frozen=True)
class Halvorsen(Flow):
    """A propeller of three wings, cyclically symmetric (Sprott 2003, sec. A.5.10).

        dx/dt = -a x - b (y + z) - y²
        dy/dt = -a y - b (z + x) - z²
        dz/dt = -a z - b (x + y) - x²

    Volumes shrink at the rate 3 a.

    Attributes:
        a: damping.
        b: strength of the cyclic coupling.
    """

    a: float | Tensor = 1.4
    b: float | Tensor = 4.0

    size = 3
    names = ("x", "y", "z")

    def drift(self, x: Tensor) -> Tensor:
        """(..., 3) -> (..., 3), the rate of change."""
        x, y, z = x.unbind(-1)
        a, b = self.a, self.b
        rates = (
            -a * x - b * (y + z) - y * y,
            -a * y - b * (z + x) - z * z,
            -a * z - b * (x + y) - x * x,
        )
        return torch.stack(rates, dim=-1)


@dataclass(frozen=True)
class Rucklidge(Flow):
    """Double convection (Rucklidge 1992).

        dx/dt = -a x + b y - y z
        dy/dt = x
        dz/dt = -z + y²

    The change of sign of x and y maps solutions to solutions; volumes shrink at the rate 1 + a.

    Attributes:
        a: damping of the first mode.
        b: what drives it.
    """

    a: float | Tensor = 2.0
    b: float | Tensor = 6.7

    size = 3
    names = ("x", "y", "z")

    def drift(self, x: Tensor) -> Tensor:
        """(..., 3) -> (..., 3), the rate of change."""
        x, y, z = x.unbind(-1)
        return torch.stack((-self.a * x + self.b * y - y * z, x, y * y - z), dim=-1)


@dataclass(frozen=True)
class SprottB(Flow):
    """The second of nineteen simplest chaotic flows (Sprott 1994).

        dx/dt = y z
        dy/dt = x - y
        dz/dt = 1 - x y

    The change of sign of x and y maps solutions to solutions; volumes shrink at the rate 1.
    """

    size = 3
    names = ("x", "y", "z")

    def drift(self, x: Tensor) -> Tensor:
        """(..., 3) -> (..., 3), the rate of change."""
        x, y, z = x.unbind(-1)
        return torch.stack((y * z, x - y, 1 - x * y), dim=-1)


@dataclass(frozen=True)
class Dadras(Flow):
    """Two to four scrolls by one parameter (Dadras and Momeni 2009).

        dx/dt = y - p x + o y z
        dy/dt = r y - x z + z
        dz/dt = c x y - e z

    Volumes shrink at the rate p + e - r.

    Attributes:
        c, e, o, p, r: of the equations.
    """

    c: float | Tensor = 2.0
    e: float | Tensor = 9.0
    o: float | Tensor = 2.7
    p: float | Tensor = 3.0
    r: float | Tensor = 1.7

    size = 3
    names = ("x", "y", "z")

    def drift(self, x: Tensor) -> Tensor:
        """(..., 3) -> (..., 3), the rate of change."""
        x, y, z = x.unbind(-1)
        rates = (
            y - self.p * x + self.o * y * z,
            self.r * y - x * z + z,
            self.c * x * y - self.e * z,
        )
        return torch.stack(rates, dim=-1)


@dataclass(frozen=True)
class Aizawa(Flow):
    """A sphere that is wound around a tube through its axis (Aizawa 1982, Langford 1984).

    dx/dt = (z - b) x - d y
    dy/dt = d x + (z - b) y
    dz/dt = c + a z - z³/3 - (x² + y²) (1 + e z) + f z x³

    Attributes:
        a, b, c, d, e, f: of the equations.
    """

    a: float | Tensor = 0.95
    b: float | Tensor = 0.7
    c: float | Tensor = 0.6
    d: float | Tensor = 3.5
    e: float | Tensor = 0.25
    f: float | Tensor = 0.1

    size = 3
    names = ("x", "y", "z")

    def drift(self, x: Tensor) -> Tensor:
        """(..., 3) -> (..., 3), the rate of change."""
        x, y, z = x.unbind(-1)
        along = self.c + self.a * z - z**3 / 3 - (x * x + y * y) * (1 + self.e * z)
        rates = (
            (z - self.b) * x - self.d * y,
            self.d * x + (z - self.b) * y,
            along + self.f * z * x**3,
        )
        return torch.stack(rates, dim=-1)


@dataclass(frozen=True)
class HyperRossler(Flow):
    """Two directions of growth (Rössler 1979).

        dx/dt = -y - z
        dy/dt = x + a y + w
        dz/dt = b + x z
        dw/dt = -c z + d w

    States far from the attractor escape to infinity.

    Attributes:
        a, b, c, d: of the equations.
    """

    a: float | Tensor = 0.25
    b: float | Tensor = 3.0
    c: float | Tensor = 0.5
    d: float | Tensor = 0.05

    size = 4
    names = ("x", "y", "z", "w")

    def drift(self, x: Tensor) -> Tensor:
        """(..., 4) -> (..., 4), the rate of change."""
        x, y, z, w = x.unbind(-1)
        rates = (-y - z, x + self.a * y + w, self.b + x * z, -self.c * z + self.d * w)
        return torch.stack(rates, dim=-1)


@dataclass(frozen=True)
class Lorenz84(Flow):
    """The general circulation in three numbers (Lorenz 1984, eqs. 1-3).

        dx/dt = -y² - z² - a x + a F
        dy/dt = x y - b x z - y + G
        dz/dt = b x y + x z - z

    x is the westerly current, y and z are the phases of large waves, one time unit corresponds to
    about five days. Without F, G and damping x² + y² + z² is conserved.

    Attributes:
        a: damping of the westerly current relative to that of the waves.
        b: how strongly the current moves the waves.
        F: thermal forcing of the current.
        G: thermal forcing of the waves, between land and sea.
    """

    a: float | Tensor = 0.25
    b: float | Tensor = 4.0
    F: float | Tensor = 8.0
    G: float | Tensor = 1.0

    size = 3
    names = ("x", "y", "z")

    def drift(self, x: Tensor) -> Tensor:
        """(..., 3) -> (..., 3), the rate of change."""
        x, y, z = x.unbind(-1)
        rates = (
            -y * y - z * z - self.a * (x - self.F),
            x * y - self.b * x * z - y + self.G,
            self.b * x * y + x * z - z,
        )
        return torch.stack(rates, dim=-1)
