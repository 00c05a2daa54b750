import torch
from torch import nn

from dalib.nets.ring import SHAPES, RingNetwork
from dalib.streams import streams


def drawn(seeds) -> RingNetwork:
    return RingNetwork.draw(len(seeds), streams("experiment", seeds, "network"))


class Alone(nn.Module):
    """The network of one run in modules of torch."""

    def __init__(self, network: RingNetwork, run: int) -> None:
        super().__init__()
        circular = {"padding": 2, "padding_mode": "circular"}
        self.first = nn.Conv1d(1, 72, 5, **circular)
        self.second = nn.Conv1d(48, 37, 5, **circular)
        self.third = nn.Conv1d(37, 1, 1)
        self.load_state_dict(
            {
                f"{layer}.{kind}": getattr(network, f"{kind}{number}")[run]
                for number, layer in enumerate(("first", "second", "third"), start=1)
                for kind in ("weight", "bias")
            }
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(point, site) -> (point, site)."""
        h = self.first(x[:, None]).relu()
        a, b, c = h[:, :24], h[:, 24:48], h[:, 48:]
        return self.third(self.second(torch.cat([a, b * c], 1)).relu())[:, 0]


def test_a_run_has_9387_weights():
    assert sum(value[0].numel() for value in drawn(range(3))) == 9387
    assert sum(value.numel() for value in Alone(drawn(range(1)), 0).parameters()) == 9387


def test_runs_together_are_modules_of_torch_one_by_one():
    network, x = drawn(range(3)), 3 * torch.randn(3, 2, 4, 20)
    together = network(x)
    for run in range(3):
        alone = Alone(network, run)(x[run].flatten(0, 1)).view(2, 4, 20)
        torch.testing.assert_close(together[run], alone, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(network(x[:, :, 0]), together[:, :, 0], rtol=1e-5, atol=1e-6)


def test_the_ring_has_no_beginning():
    network, x = drawn(range(2)), torch.randn(2, 3, 11)
    torch.testing.assert_close(network(x.roll(4, -1)), network(x).roll(4, -1), rtol=0, atol=1e-6)


def test_first_weights_are_a_runs_own_and_spread_as_in_torch():
    together, alone = drawn(range(5)), drawn([3])
    for name, (_, fan_in) in SHAPES.items():
        value = getattr(together, name)
        assert torch.equal(value[3], getattr(alone, name)[0])
        assert value.abs().max() <= fan_in**-0.5
    torch.manual_seed(0)
    for number, module in ((1, nn.Conv1d(1, 72, 5)), (2, nn.Conv1d(48, 37, 5))):
        ours = getattr(together, f"weight{number}")[0]
        assert abs(ours.std() / module.weight.std() - 1) < 0.1


def test_points_of_a_run_never_meet():
    """Not even on the smallest ring, where a window is all of it, nor backwards."""
    network, x = drawn(range(2)), 3 * torch.randn(2, 3, 5)
    x.requires_grad_()
    lost = x.detach().clone()
    lost[0, 1] = torch.nan
    lost.requires_grad_()
    kept = torch.ones(2, 3, dtype=torch.bool)
    kept[0, 1] = False
    slopes = []
    for states in (x, lost):
        slopes.append(torch.autograd.grad(network(states)[kept].sum(), states)[0][kept])
    torch.testing.assert_close(network(lost)[kept], network(x)[kept], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(*slopes, rtol=1e-5, atol=1e-6)
    for point in (0, 2):
        alone = network(x[:, point : point + 1])
        torch.testing.assert_close(alone, network(x)[:, point : point + 1], rtol=1e-5, atol=1e-6)
