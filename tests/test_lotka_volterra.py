import pytest
import torch
from torch.func import jacrev

from dalib.integrate import RK4, trajectory
from dalib.simulate import Start, simulate
from dalib.streams import streams
from dalib.systems.lotka_volterra import BLOCKS, LotkaVolterra


def normal(*shape: int, seed: int = 0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def dense(size: int, blocks) -> torch.Tensor:
    """A from its definition, entry by entry."""
    a, values = torch.zeros(4, 4).double(), iter(blocks)
    for g in range(4):
        for h in range(g, 4):
            a[g, h] = a[h, g] = next(values)
    sign = {True: 1.0, False: -1.0}
    return torch.tensor(
        [
            [0.0 if i == j else sign[i < j] * a[4 * i // size, 4 * j // size] for j in range(size)]
            for i in range(size)
        ]
    ).double()


@pytest.mark.parametrize("size", [4, 5, 7, 16, 30, 33])
def test_product_without_the_matrix_is_the_product_with_it(size):
    blocks = normal(10).tolist()
    system, u = LotkaVolterra(size, blocks), normal(1, 6, size)
    A = dense(size, blocks)
    torch.testing.assert_close(system.matrix, A)
    torch.testing.assert_close(system.product(u), u @ A.T, rtol=1e-13, atol=1e-13)
    assert torch.equal(system.matrix, -system.matrix.T)


def test_drift_is_that_of_the_equations():
    system, x = LotkaVolterra(18), normal(3, 5, 18).abs()
    A = dense(18, BLOCKS)
    r = -A @ system.x_s
    torch.testing.assert_close(system.growth, r)
    torch.testing.assert_close(system.drift(x), x * (r + x @ A.T))
    torch.testing.assert_close(system.drift(x[0, 0]), system.drift(x)[0, 0])
    assert system.drift(x.float()).dtype == torch.float32


def test_populations_rest_at_the_equilibrium():
    system = LotkaVolterra(32)
    assert torch.equal(system.drift(system.x_s), torch.zeros(32).double())


def test_rates_depend_on_the_distance_between_groups():
    A = LotkaVolterra(4).matrix
    first = torch.tensor([0.0, 0.05, 0.01, -0.04], dtype=torch.float64)
    assert torch.equal(A[0], first)
    assert A[1, 2] == A[2, 3] == 0.05 and A[1, 3] == 0.01


def test_runge_kutta_conserves_v_to_fourth_order():
    """Halving the step divides the drift of V by 2^4 or more."""
    system = LotkaVolterra(16, normal(10).mul(0.2).tolist())
    x0 = 0.5 + normal(8, 16).abs()

    def change(steps: int) -> float:
        x = RK4(4.0 / steps, steps).flow(system)(x0)
        V = [(x - system.x_s * x.log()).sum(-1) for x in (x0, x)]
        return (V[1] - V[0]).abs().max().item()

    errors = [change(steps) for steps in (40, 80, 160)]
    assert all(coarse / fine > 14 for coarse, fine in zip(errors[:-1], errors[1:], strict=True))
    assert errors[-1] < 1e-6


def test_equilibrium_is_the_softplus_of_standard_normal_numbers_of_its_seed():
    z = torch.cat([LotkaVolterra(1000, seed=s).x_s for s in range(20)]).expm1().log()
    assert abs(z.mean()) < 4 / 20_000**0.5
    assert z.var().item() == pytest.approx(1, abs=4 * (2 / 20_000) ** 0.5)
    assert (z.abs() < 1.96).double().mean().item() == pytest.approx(0.95, abs=0.007)
    neighbours = (z[1:] * z[:-1]).mean()
    assert abs(neighbours) < 4 / 20_000**0.5
    assert torch.equal(LotkaVolterra(32, seed=3).x_s, LotkaVolterra(32, seed=3).x_s)
    assert not torch.equal(LotkaVolterra(32, seed=3).x_s, LotkaVolterra(32, seed=4).x_s)


def test_runs_are_systems_of_their_own():
    blocks, equilibrium, x = normal(3, 10), normal(3, 12).abs(), normal(3, 2, 5, 12).abs()
    together = LotkaVolterra(12, blocks, equilibrium)
    for i in range(3):
        alone = LotkaVolterra(12, blocks[i], equilibrium[i])
        torch.testing.assert_close(together.drift(x)[i], alone.drift(x[i]))
        torch.testing.assert_close(together.matrix[i], alone.matrix)
        torch.testing.assert_close(together.growth[i], alone.growth)
    torch.testing.assert_close(together.drift(x[:, :, 0]), together.drift(x)[:, :, 0])


def test_torch_func_differentiates_the_drift():
    system, x = LotkaVolterra(9), normal(9).abs()
    A = system.matrix
    expected = torch.diag(A @ (x - system.x_s)) + x[:, None] * A
    torch.testing.assert_close(jacrev(system.drift)(x), expected)


def test_truths_stay_positive_bounded_and_in_motion():
    system = LotkaVolterra(size=32)
    x = simulate(
        RK4(0.05).flow(system),
        Start([1.0] * 32, 1.0, positive=True),
        400,
        seeds=range(4),
        generator=streams("experiment", range(4), "truth"),
    )
    assert x.shape == (4, 401, 32) and len(system.names) == 32
    assert x.min() > 1e-6 and x.max() < 30
    assert x[:, 200:].std(1).mean() > 0.1


def test_perturbed_blocks_still_conserve_v():
    """V holds for any a: what keeps wrong models bounded."""
    system = LotkaVolterra(12, (0.1 + 0.3 * normal(10)).tolist())
    path = trajectory(RK4(0.005).flow(system), 0.2 + normal(12, seed=2).abs(), 400)
    V = (path - system.x_s * path.log()).sum(-1)
    assert (V - V[0]).abs().max() < 1e-7 * V[0].abs()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 3}, "4 species or more, got size 3"),
        ({"blocks": [0.1] * 9}, r"\(10,\) or \(run, 10\), got shape \(9,\)"),
        ({"equilibrium": [1.0] * 9}, r"\(16,\) or \(run, 16\), got shape \(9,\)"),
    ],
)
def test_wrong_sizes_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LotkaVolterra(**settings)


def test_states_of_other_runs_are_refused():
    with pytest.raises(ValueError, match=r"3 runs; give states of shape \(3, ..., state\)"):
        LotkaVolterra(16, normal(3, 10)).drift(normal(2, 4, 16))
