"""Derivatives through filters: the first two are right, others are refused."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from dalib.filters import Ensemble, Gaussian
from dalib.filters.enkf import DEnKF, EnKF
from dalib.filters.etkf import ETKF, square_root
from dalib.filters.hybrid import Ens3DVar
from dalib.filters.letkf import LETKF
from dalib.filters.linalg import solution
from dalib.filters.local_enkf import LocalEnKF
from dalib.localise import Localisation
from dalib.nets.gpt import GPT, Gelu, TiedLoss
from dalib.observe import Subset
from dalib.streams import normal, stream

MEMBERS, SIZE, SEEN = 5, 3, (0, 1)
PLACES = torch.arange(SIZE)[:, None].double()
ONE = torch.ones(SIZE, SIZE).double()
FILTERS = [
    (EnKF, {}),
    (DEnKF, {}),
    (ETKF, {}),
    (LETKF, {"localisation": Localisation(matrix=ONE)}),
    (LETKF, {"localisation": Localisation(PLACES, 2.0)}),
    (LocalEnKF, {"localisation": Localisation(PLACES, 2.0)}),
    (LocalEnKF, {}),
    (
        Ens3DVar,
        {"background": Gaussian(torch.zeros(SIZE).double(), ONE + torch.eye(SIZE).double())},
    ),
]


@pytest.mark.parametrize(("method", "settings"), FILTERS)
def test_first_and_second_derivatives_of_an_analysis_and_its_likelihood(method, settings):
    E, y = normal((MEMBERS, SIZE), stream("slopes")), normal((len(SEEN),), stream("y"))

    def found(E, obs_std):
        filter = method(
            step=None, observe=Subset(SEEN), obs_std=obs_std, members=MEMBERS, **settings
        )
        analysis = filter.analyse(Ensemble(E), y, stream("noise"))
        return analysis.members, filter.log_likelihood(Ensemble(E), y)

    given = E.requires_grad_(), torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    assert gradcheck(found, given)
    assert gradgradcheck(found, given)


@pytest.mark.parametrize(("members", "obs"), [(4, 6), (6, 3), (5, 2), (4, 4)])
def test_the_square_root_where_eigenvalues_coincide(members, obs):
    """They do at 0, and here between columns too."""
    S = normal((2, members, obs), stream("root", members, obs))
    S = S - S.mean(1, keepdim=True)
    U, _, V = torch.linalg.svd(S[1], full_matrices=False)
    S[1] = U @ V  # of singular values 1 only
    S.requires_grad_()
    assert gradcheck(square_root, S)
    assert gradgradcheck(square_root, S)


def test_a_solution_has_two_derivatives():
    S = normal((2, 3, 3), stream("solution"))
    S = (S @ S.mT + torch.eye(3)).requires_grad_()
    D, d = (normal((2, n, 3), stream("solution", n)).requires_grad_() for n in (4, 1))
    assert gradgradcheck(lambda S, D, d: solution((S + S.mT) / 2, D, d), (S, D, d))


def test_a_third_derivative_is_refused():
    S = normal((4, 6), stream("third")).requires_grad_()
    (first,) = torch.autograd.grad(square_root(S).sin().sum(), S, create_graph=True)
    (second,) = torch.autograd.grad(first.sin().sum(), S, create_graph=True)
    with pytest.raises(RuntimeError, match="a derivative of this order is not there"):
        torch.autograd.grad(second.sum(), S)


def test_the_gpt_refuses_second_derivatives_and_has_the_first():
    net = GPT(20, 1, 1, 16, 2, 8, generator=stream("gpt"))
    tokens = torch.randint(0, 20, (1, 4, 9), generator=stream("tokens"))
    weight = net.blocks[0].up.weight
    (slope,) = torch.autograd.grad(net.loss(tokens, 0, None).sum(), weight)
    assert slope.abs().sum() > 0
    x = torch.linspace(-2, 2, 5, requires_grad=True)
    calls = {
        "loss": lambda: (net.loss(tokens, 0, None).sum(), weight),
        "gelu": lambda: (Gelu.apply(x).sum(), x),
        "tied": lambda: (
            TiedLoss.apply(x[:, None], torch.ones(3, 1), torch.zeros(5).long(), torch.float32),
            x,
        ),
    }
    for call in calls.values():
        value, given = call()
        with pytest.raises(RuntimeError, match="first derivatives only"):
            torch.autograd.grad(value, given, create_graph=True)
