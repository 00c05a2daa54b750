"""Shallow water in a closed, rotating basin, and water at rest under a bump of its surface."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import pad

CHUNK = 2**17  # points of the surface advanced together: six work arrays of 512 KiB in float32
APART = 16  # numbers between the members in a work array
LIMIT = math.sqrt(1 / 2)  # Courant number from which gravity waves grow without rotation
WAVES = 32  # wave numbers along each side among which the fastest growing wave is sought


@dataclass(frozen=True)
class ShallowWater:
    """Currents u, v (m/s) and surface eta (m) of a square basin (solver jostbr/shallow-water).

        du/dt - f v = -g d(eta)/dx    dv/dt + f u = -g d(eta)/dy    f = f0 + beta y
        d(eta)/dt + d((eta + H) u)/dx + d((eta + H) v)/dy = 0

    Linear momentum, nonlinear continuity, no friction. A state is flat, (3, points, points) inside:
    u, v, eta, indexed [x, y], with x and y from -L/2 to L/2. eta lies at the points, u half a cell
    east of them and v half a cell north; u = 0 at the last x, v = 0 at the last y, and nothing
    flows in at the first. One step is forward in time for the gradient, semi-implicit for the
    rotation and upwind for continuity; with a = f dt, b = a^2 / 4 and c = dt / dx,

        u* = u - g c (eta[i+1] - eta[i])      u' = (u* - b u + a v) / (1 + b)
        v* = v - g c (eta[j+1] - eta[j])      v' = (v* - b v - a u) / (1 + b)
        F  = u' (H + eta[i] if u' > 0 else H + eta[i+1]),    G likewise of v' along y
        eta' = eta - c (F[i] - F[i-1]) - c (G[j] - G[j-1])

    Args:
        points: along each side, 2 or more.
        length: L, m, between the first and the last point.
        depth: H, m, of the water at rest.
        gravity: g, m/s^2.
        coriolis: f0, 1/s.
        beta: 1/(m s).
        courant: dt sqrt(g H) / dx, below sqrt(1/2), from which waves grow without rotation. With
            rotation short waves always grow (`growth_time`). A Courant number at which they grow
            e-fold within an inertial period 2 pi / |f| is refused: that is from some 0.25 on.
    """

    points: int = 150
    length: float = 1e6
    depth: float = 100.0
    gravity: float = 9.81
    coriolis: float = 1e-4
    beta: float = 2e-11
    courant: float = 0.1

    def __post_init__(self) -> None:
        if self.points < 2:
            raise ValueError(f"a basin needs 2 points or more along each side, got {self.points}")
        for name in ("length", "depth", "gravity"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if not 0 < self.courant < LIMIT:
            raise ValueError(
                f"courant must be positive and below sqrt(1/2) = {LIMIT:.4f}, from which gravity "
                f"waves grow, got {self.courant}: a step of {self.dt:.5g} s, but dt sqrt(2 g H) "
                f"< dx allows {self.dt * LIMIT / self.courant if self.courant else 0:.5g} s"
            )
        if self.growth_time < self.inertial_period:
            raise ValueError(
                f"with courant {self.courant} the fastest short wave grows e-fold in "
                f"{self.growth_time:.5g} s, within the inertial period of "
                f"{self.inertial_period:.5g} s; take 0.2 or less, or no rotation"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(variable, x, y) of a state."""
        return 3, self.points, self.points

    @property
    def size(self) -> int:
        return 3 * self.points**2

    @property
    def variables(self) -> dict[str, str]:
        """Names of the variables and their units."""
        return {"u": "m/s", "v": "m/s", "eta": "m"}

    @cached_property
    def names(self) -> tuple[str, ...]:
        n = range(self.points)
        return tuple(f"{name}[{i},{j}]" for name in self.variables for i in n for j in n)

    @property
    def dx(self) -> float:
        """Distance of two points, m."""
        return self.length / (self.points - 1)

    @property
    def dt(self) -> float:
        """Time step, s."""
        return self.courant * self.dx / math.sqrt(self.gravity * self.depth)

    @property
    def seconds(self) -> float:
        """Of a step."""
        return self.dt

    @property
    def inertial_period(self) -> float:
        """2 pi / |f| where rotation is fastest, s; infinite without rotation."""
        f = self._rotation.abs().max().item() / self.dt
        return 2 * math.pi / f if f else math.inf

    @cached_property
    def growth_time(self) -> float:
        """E-folding time of the fastest growing small wave on water at rest, s; infinite if none.

        Of waves (u, v, eta) exp(i (k x + l y)), u and v in units of sqrt(g / H) eta, a step makes

            u' = ((1 - b) u + a v - C (e^{ik} - 1) eta) / (1 + b)
            v' = ((1 - b) v - a u - C (e^{il} - 1) eta) / (1 + b)
            eta' = eta - C (1 - e^{-ik}) u' - C (1 - e^{-il}) v'

        with the Courant number C and k, l in units of 1 / dx; they grow as |lambda|^n, lambda an
        eigenvalue of that matrix. Rotation makes them grow since it takes u and v, which lie at
        different places, for those of one place.
        """
        C, a = self.courant, self._rotation.abs().max().item()
        b = a**2 / 4
        angle = torch.arange(WAVES, dtype=torch.float64) * (2 * math.pi / WAVES)
        k, l = torch.meshgrid(angle, angle, indexing="ij")  # noqa: E741
        one, none = torch.ones_like(k) + 0j, torch.zeros_like(k) + 0j
        u = torch.stack([(1 - b) * one, a * one, -C * (torch.exp(1j * k) - 1)], -1) / (1 + b)
        v = torch.stack([-a * one, (1 - b) * one, -C * (torch.exp(1j * l) - 1)], -1) / (1 + b)
        inflow = (1 - torch.exp(-1j * k))[..., None] * u + (1 - torch.exp(-1j * l))[..., None] * v
        eta = torch.stack([none, none, one], -1) - C * inflow
        growth = torch.linalg.eigvals(torch.stack([u, v, eta], -2)).abs().max().log().item()
        return self.dt / growth if growth > 1e-12 else math.inf

    @property
    def coordinates(self) -> Tensor:
        """(points,), x or y of the points, m."""
        return torch.linspace(-0.5, 0.5, self.points, dtype=torch.float64) * self.length

    def step(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size), the next state."""
        return self.advance(x, 1)

    def advance(self, x: Tensor, steps: int) -> Tensor:
        """(..., size) -> (..., size), the state `steps` time steps later.

        Work arrays are allocated once for all steps and a few members at a time go through them;
        how many makes no difference to a single bit. Where x requires a gradient, the steps are
        those of `differentiable_step`, several times slower; forward differentiation and vmap
        are refused by torch and need that step itself.

        Raises:
            ValueError: x has another size, or is neither float32 nor float64. A state that is not
                finite is no error: it stays so, and among members it alone.
        """
        self._refuse(x)
        if x.requires_grad and torch.is_grad_enabled():
            for _ in range(steps):
                x = self.differentiable_step(x)
            return x
        rows = x.reshape(-1, 3, self.points**2)
        out = torch.empty_like(rows)
        # Only a CPU gains from work arrays that stay in its cache.
        pieces = math.ceil(rows[:, 0].numel() / CHUNK) if x.device.type == "cpu" else 1
        count = max(1, math.ceil(len(rows) / max(1, pieces)))
        state, step = self._in_place(count, rows)
        for part, result in zip(rows.split(count), out.split(count), strict=True):
            state[:, : len(part)] = part.movedim(0, 1)
            for _ in range(steps):
                step()
            result.copy_(state[:, : len(part)].movedim(0, 1))
        return out.reshape(x.shape)

    def differentiable_step(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size), the next state to rounding; autograd and torch.func pass."""
        self._refuse(x)
        g, H, c = self.gravity, self.depth, self.dt / self.dx
        a = self._rotation.to(x)
        b = a**2 / 4
        u, v, eta = x.unflatten(-1, self.shape).unbind(-3)
        east, north = (..., slice(1, None), slice(None)), (..., slice(1, None))
        here_x, here_y = (..., slice(None, -1), slice(None)), (..., slice(None, -1))

        u_star = u[here_x] - g * c * (eta[east] - eta[here_x])
        v_star = v[here_y] - g * c * (eta[north] - eta[here_y])
        u_next = (u_star - b * u[here_x] + a * v[here_x]) / (1 + b)
        v_next = (v_star - b[:-1] * v[here_y] - a[:-1] * u[here_y]) / (1 + b[:-1])
        F = u_next * (H + torch.where(u_next > 0, eta[here_x], eta[east]))
        G = v_next * (H + torch.where(v_next > 0, eta[here_y], eta[north]))
        outflow = pad(F, (0, 0, 0, 1)) - pad(F, (0, 0, 1, 0)) + pad(G, (0, 1)) - pad(G, (1, 0))
        fields = (pad(u_next, (0, 0, 0, 1)), pad(v_next, (0, 1)), eta - c * outflow)
        return torch.stack(fields, -3).flatten(-3)

    def _in_place(self, count: int, like: Tensor) -> tuple[Tensor, Callable[[], None]]:
        """A state (3, count, points^2) of its own, and a call that replaces it by the next.

        Rows of points follow each other: the neighbour in x is `points` numbers ahead, the one in
        y the next number, and what this says of the last y is wrong but meets v' = 0 there. With
        tan(theta/2) = a/2 the rotation is one by theta, three shears in place:

            u <- u + tan(theta/2) v    v <- v - sin(theta) u    u <- u + tan(theta/2) v

        F / H is u' + u' (eta[i+1] - s) / H with s = eta[i+1] - eta[i] where u' > 0, else s = 0.
        """
        n, H, c = self.points, self.depth, self.dt / self.dx
        # Members stand apart: taken for one long row, they would be rounded otherwise at its end.
        work = like.new_zeros(6, count, n**2 + APART)[..., : n**2]
        state, velocity, eta, slope, outflow = work[:3], work[:2], work[2], work[3:5], work[5]
        a = self._rotation
        tan, sin, kick = (
            along_y.to(like).repeat(n)
            for along_y in (a / 2, a / (1 + a**2 / 4), self.gravity * c / (1 + a**2 / 4))
        )
        u, v = velocity
        wall_x, wall_y = u[:, -n:], v[:, n - 1 :: n]
        here_x, east, slope_x, out_x = eta[:, :-n], eta[:, n:], slope[0, :, :-n], outflow[:, n:]
        here_y, north, slope_y, out_y = eta[:, :-1], eta[:, 1:], slope[1, :, :-1], outflow[:, 1:]
        keep_where_positive = torch.ops.aten.threshold_backward.grad_input

        def step() -> None:
            torch.sub(east, here_x, out=slope_x)
            torch.sub(north, here_y, out=slope_y)
            u.addcmul_(v, tan)
            v.addcmul_(u, sin, value=-1)
            u.addcmul_(v, tan)
            velocity.addcmul_(slope, kick, value=-1)
            wall_x.zero_()
            wall_y.zero_()
            keep_where_positive(slope, velocity, 0, grad_input=slope)
            torch.sub(east, slope_x, out=slope_x)
            torch.sub(north, slope_y, out=slope_y)
            flux = torch.addcmul(velocity, velocity, slope, value=1 / H, out=slope)
            torch.add(*flux, out=outflow)
            out_x.sub_(slope_x)
            out_y.sub_(slope_y)
            eta.sub_(outflow, alpha=c * H)

        return state, step

    @property
    def _rotation(self) -> Tensor:
        """(points,), a = f dt along y."""
        return (self.coriolis + self.beta * self.coordinates) * self.dt

    def _refuse(self, x: Tensor) -> None:
        if x.ndim == 0 or x.shape[-1] != self.size:
            raise ValueError(
                f"a state of {self.points} x {self.points} points has {self.size} numbers (u, v, "
                f"eta); give (..., {self.size}), got {tuple(x.shape)}"
            )
        if x.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"a state is float32 or float64, got {x.dtype}")


@dataclass(frozen=True)
class Bump:
    """Water at rest under a Gaussian bump of its surface, with white noise on it.

        eta = height exp(-((x - x_c)^2 + (y - y_c)^2) / (2 width^2)) + noise_std N(0, I)
        u = v = 0

    As a system draws nothing, the standard random numbers are given: `uniforms` and `normals` say
    how many a state takes.

    Args:
        system: whose basin it is.
        centre: x_c and y_c, m from the middle of the basin; without it, uniform on the basin.
        height, noise_std: m.
        width: standard deviation, m.
        first: x_c and y_c of the first state alone (of seed 0), where the others are uniform.
    """

    system: ShallowWater
    centre: tuple[float, float] | None = None
    height: float = 1.0
    width: float = 5e4
    noise_std: float = 0.0
    first: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not (self.width > 0 and self.noise_std >= 0):
            raise ValueError(
                "a bump has a positive width and noise_std of 0 or more, got "
                f"{self.width} and {self.noise_std}"
            )
        if self.centre is not None and self.first is not None:
            raise ValueError(
                "a bump has a centre, or a place for its first state and the others at random; "
                f"give one of them, got centre {self.centre} and first {self.first}"
            )
        given, half = self.first if self.centre is None else self.centre, self.system.length / 2
        if given is None:
            return
        place = torch.as_tensor(given)
        if place.shape[-1:] != (2,) or not (place.abs() <= half).all():
            raise ValueError(
                f"the centre of a bump is x, y with both between {-half:g} and {half:g} m, got "
                f"{given}"
            )

    @property
    def uniforms(self) -> int:
        """Uniform numbers that a state takes."""
        return 2 if self.centre is None else 0

    @property
    def normals(self) -> int:
        """Standard normal numbers that a state takes."""
        return self.system.points**2 if self.noise_std else 0

    def states(self, uniform: Tensor, normal: Tensor) -> Tensor:
        """(..., uniforms) on [0, 1) and (..., normals) -> (..., size), in the dtype of `normal`."""
        leading, n = normal.shape[:-1], self.system.points
        if self.centre is None:
            centre = self.system.length * (uniform - 0.5)
            if self.first is not None:
                centre[:1] = torch.as_tensor(self.first).to(centre)
        else:
            centre = torch.as_tensor(self.centre, dtype=torch.float64).to(normal.device)
        away = centre[..., None] - self.system.coordinates.to(normal.device)
        along_x, along_y = torch.exp(-(away**2) / (2 * self.width**2)).unbind(-2)
        eta = self.height * along_x[..., :, None] * along_y[..., None, :]
        state = normal.new_zeros(*leading, *self.system.shape)
        state[..., 2, :, :] = eta
        if self.noise_std:
            state[..., 2, :, :] += self.noise_std * normal.unflatten(-1, (n, n))
        return state.flatten(-3)
