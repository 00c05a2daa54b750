import pytest
import torch
from torch.func import jacrev, vmap

from dalib.observe import Arctan, Identity, Linear, MovingSubset, Subset, noisy, with_gaps
from dalib.streams import stream, streams

OPERATORS = [
    Identity(4),
    Linear(((1.0, 2.0, 0.0, 0.0), (0.0, 0.0, 0.0, -1.0))),
    Subset((3, 1)),
    Arctan(0.5),
    Arctan(2.0, index=(0, 2)),
]


def states(*leading: int):
    return torch.randn(*leading, 4, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("operator", OPERATORS, ids=repr)
def test_tangent_is_the_derivative(operator):
    x = states(2, 3)
    expected = vmap(vmap(jacrev(operator)))(x)
    torch.testing.assert_close(operator.tangent(x), expected)
    assert operator.tangent(x).shape == expected.shape


@pytest.mark.parametrize("operator", OPERATORS, ids=repr)
def test_leading_axes_broadcast(operator):
    x = states(2, 3)
    torch.testing.assert_close(operator(x)[1, 2], operator(x[1, 2]))
    assert operator(x.float()).dtype == torch.float32


def test_values():
    x = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    assert Identity(4)(x).tolist() == [1, 2, 3, 4]
    assert Subset((3, 1))(x).tolist() == [4, 2]
    assert OPERATORS[1](x).tolist() == [5, -4]
    torch.testing.assert_close(Arctan(2.0, index=(0, 2))(x), torch.arctan(2 * x[[0, 2]]))


def test_a_linear_operator_is_a_matrix():
    with pytest.raises(ValueError, match=r"\(obs, state\), got \(4,\)"):
        Linear((1.0, 0.0, 0.0, 0.0))


def test_a_moving_subset_is_another_subset_at_each_time():
    moving = MovingSubset(((0, 1), (2, 3), (3, 0)))
    x = states(5, 3)
    for k in range(3):
        assert torch.equal(moving(x)[:, k], moving.at(k)(x[:, k]))
    with pytest.raises(
        ValueError, match=r"3 times needs states \(..., 3, state\), got \(5, 2, 4\)"
    ):
        moving(x[:, :2])


def test_a_component_that_the_state_does_not_have_is_refused():
    with pytest.raises(ValueError, match=r"components \[0, 7\], but the state has 4: use 0 to 3"):
        Subset((0, 7))(states(5, 4))


def test_noise_has_the_given_standard_deviation():
    x = torch.zeros(4, 20_000, 4, dtype=torch.float64)
    std = torch.tensor([0.5, 2.0], dtype=torch.float64)
    y = noisy(Subset((0, 1)), x, std, streams("a", range(4), "observations"))
    assert y.shape == (4, 20_000, 2)
    torch.testing.assert_close(y.std((0, 1)), std, rtol=0.01, atol=0)
    assert torch.equal(noisy(Identity(4), x, 0.0, stream("b")), x)


def test_gaps_are_nan_and_leave_the_rest_alone():
    y = states(4, 5_000)
    gappy = with_gaps(y, 0.25, streams("a", range(4), "gaps"))
    gone = gappy.isnan()
    assert gone.double().mean().item() == pytest.approx(0.25, abs=0.01)
    assert torch.equal(gappy[~gone], y[~gone])
    assert torch.equal(with_gaps(y, 0.0, stream("none")), y)
