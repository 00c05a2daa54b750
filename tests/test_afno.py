"""The Fourier network: what it commutes with, what it is made of, and that it learns."""

import pytest
import torch
from torch.nn.functional import softshrink

from dalib import build
from dalib.nets.afno import AFNO, Fourier
from dalib.nets.scaling import Scaling
from dalib.streams import normal, stream, streams
from dalib.train import Training, Windows, fit

SEEDS = (3, 1, 4)


def scaling(repeats=1, channels=2):
    mean, std = torch.arange(1.0, channels + 1), 2.0 ** torch.arange(channels)
    return Scaling(mean.expand(repeats, -1), std.expand(repeats, -1))


def network(seeds=(0,), channels=2, grid=(4, 8), **settings):
    settings = {"patch": 2, "width": 16, "depth": 2, "blocks": 4} | settings
    generator = streams("afno", seeds, "weights")
    return AFNO(scaling(len(seeds), channels), grid, **settings, generator=generator)


def states(*shape, name="x"):
    return normal(shape, stream("afno", name), torch.float32)


def test_states_keep_their_shape_and_leading_axes():
    net = network()
    assert net.size == 64 and net.shape == (2, 4, 8)
    x = states(3, 5, 64)
    assert net.step(x).shape == (3, 5, 64) and net.step(x[0, 0]).shape == (64,)
    torch.testing.assert_close(net.step(x)[2, 4], net.step(x[2, 4]))
    assert net.step(x.double()).dtype == torch.float64
    assert net.loss(x[None], 0.0, None).shape == (1,)


def test_many_states_are_advanced_in_parts():
    x = states(150, 64)
    net = network()
    torch.testing.assert_close(net.step(x)[100:], net.step(x[100:]))


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"expected states of shape \(..., 64\).*got \(3, 63\)"):
        network().step(states(3, 63))
    with pytest.raises(ValueError, match=r"expected states of shape \(3, ..., 64\)"):
        network(SEEDS).step(states(5, 64))
    with pytest.raises(ValueError, match="4 x 9 has no whole patches of 2"):
        network(grid=(4, 9))
    with pytest.raises(ValueError, match="width 16 cannot be shared by 3 blocks"):
        network(blocks=3)
    with pytest.raises(ValueError, match="a window holds one state"):
        network().loss(states(1, 5, 1, 64), 0.0, None)


def test_the_parameters_are_those_of_the_formula():
    """The settings for 1.5 degrees have five million."""

    def count(channels, grid, patch, width, depth, blocks, ratio):
        numbers, tokens = patch**2 * channels, grid[0] * grid[1] // patch**2
        fourier = 2 * 2 * (width * width // blocks + width)  # complex, two layers
        perceptron = 2 * ratio * width * width + (ratio + 1) * width
        layer = 2 * 2 * width + fourier + perceptron
        ends = (numbers + 1) * width + (width + 1) * numbers
        return ends + tokens * width + depth * layer

    small = network()
    assert sum(p.numel() for p in small.parameters()) == count(2, (4, 8), 2, 16, 2, 4, 4)
    full = AFNO(scaling(channels=20), (120, 240))
    assert sum(p.numel() for p in full.parameters()) == count(20, (120, 240), 4, 256, 8, 8, 4)
    assert count(20, (120, 240), 4, 256, 8, 8, 4) == pytest.approx(5e6, rel=0.03)


def never_cut(layer):
    """The layer with biases that keep relu from cutting, undone after it: F is linear."""
    with torch.no_grad():
        W, b = torch.view_as_complex(layer.weights), torch.view_as_complex(layer.biases)
        b[:, 0] = 10 + 10j
        b[:, 1] = -(b[:, 0] @ W[:, 1])
    layer.threshold = 0.0
    return layer


def test_the_fourier_layer_shifts_with_its_tokens_where_nothing_is_cut_off():
    """A shift turns phases, which products with one matrix for all waves leave alone."""
    layer = never_cut(Fourier(2, 16, 4, 0.01, streams("afno", (0, 1), "fourier")))
    h = states(2, 3, 6, 8, 16)
    for shift in (1, 5):
        for axis in (2, 3):
            torch.testing.assert_close(
                layer(h.roll(shift, axis)), layer(h).roll(shift, axis), rtol=0, atol=1e-5
            )
    assert (layer(h) - h).abs().max() > 0.01


def test_relu_on_parts_does_not_commute_with_shifts():
    """As published: a turn of the phase changes which part is cut off."""
    layer = Fourier(1, 16, 4, 0.0, stream("fourier"))
    h = states(1, 3, 6, 8, 16)
    difference = layer(h.roll(1, 3)) - layer(h).roll(1, 3)
    assert difference.abs().max() > 0.2 * (layer(h) - h).abs().max()


def test_without_positions_and_cuts_the_network_shifts_by_whole_patches():
    net = network()
    for layer in net.layers:
        never_cut(layer.fourier)
    x = states(2, 4, 8)

    def apart():
        shifted = net.step(x.roll(2, -1).reshape(1, -1)).view(2, 4, 8)
        return (shifted - net.step(x.reshape(1, -1)).view(2, 4, 8).roll(2, -1)).abs().max()

    assert apart() > 1e-3
    torch.nn.init.zeros_(net.positions)
    assert apart() < 1e-5


def test_the_fourier_layer_is_its_formula_wave_by_wave():
    """One block and one wave number at a time, in plain complex arithmetic."""
    layer = Fourier(1, 4, 2, 0.05, stream("formula"))
    with torch.no_grad():
        layer.weights.mul_(30)
    h = states(1, 1, 4, 6, 4)
    z = torch.fft.fft2(h[0, 0], dim=(0, 1), norm="ortho")
    W, b = torch.view_as_complex(layer.weights[0]), torch.view_as_complex(layer.biases[0])
    out = torch.zeros_like(z)
    for i in range(4):
        for j in range(4):  # half of the waves: the others are conjugate
            for block in range(2):
                part = slice(2 * block, 2 * block + 2)
                a = z[i, j, part] @ W[0, block] + b[0, block, 0]
                a = torch.complex(a.real.relu(), a.imag.relu()) @ W[1, block] + b[1, block, 0]
                a = torch.complex(softshrink(a.real, 0.05), softshrink(a.imag, 0.05))
                out[i, j, part] = a
    expected = h[0, 0] + torch.fft.irfft2(out[:, :4], s=(4, 6), dim=(0, 1), norm="ortho")
    torch.testing.assert_close(layer(h)[0, 0], expected)


def test_a_network_whose_mixing_is_shrunk_away_is_local():
    """With a threshold above all amplitudes F(h) = h: one patch knows nothing of another."""
    net = network(threshold=1e6)
    x = states(1, 64)
    changed = x.clone().view(2, 4, 8)
    changed[:, :2, :2] += 1
    differ = (net.step(x) != net.step(changed.reshape(1, -1))).view(2, 4, 8)
    assert differ[:, :2, :2].all() and not differ[:, 2:].any() and not differ[:, :, 2:].any()


def test_patches_return_to_their_places():
    """With an identity for embedding and head, and no layers, the state comes back."""
    net = network(width=8, blocks=1, depth=0)
    with torch.no_grad():
        net.positions.zero_()
        for layer in (net.embed, net.head):
            layer.weight.copy_(torch.eye(8)[None])
            layer.bias.zero_()
    x = states(5, 64)
    torch.testing.assert_close(net.step(x), x)
    still = x[None, :, None].expand(1, 5, 3, 64)
    assert net.loss(still, 0.0, None).item() == pytest.approx(0, abs=1e-12)


def test_the_loss_of_two_steps_starts_the_second_from_the_first():
    net = network()
    x = states(1, 6, 3, 64)
    std = net.scaling.std[0].view(2, 1, 1).expand(2, 4, 8).flatten()
    first, *later = x[0].unbind(1)
    one = net.step(first)
    two = net.step(one)
    errors = [((a - b) / std).square().mean() for a, b in zip((one, two), later, strict=True)]
    expected = (errors[0] + errors[1]) / 2
    assert net.loss(x, 0.0, None).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_batch_of_repeats_is_each_repeat_alone():
    x = states(3, 4, 2, 64)
    together = network(SEEDS)
    loss = together.loss(x, 0.0, None)
    loss.sum().backward()
    for r, seed in enumerate(SEEDS):
        alone = network((seed,))
        own = alone.loss(x[r : r + 1], 0.0, None)
        own.sum().backward()
        torch.testing.assert_close(loss[r : r + 1], own, rtol=1e-5, atol=1e-6)
        for p, q in zip(together.parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(p.grad[r : r + 1], q.grad, rtol=1e-3, atol=1e-6)


def test_a_step_asks_for_no_gradient_but_has_one():
    net = network()
    x = states(64)
    assert not net.step(x).requires_grad
    J = torch.func.jacrev(net.step)(x.double())
    h = 1e-2 * states(64, name="direction").double()
    difference = net.step(x.double() + h) - net.step(x.double() - h)
    torch.testing.assert_close(J @ h, difference / 2, rtol=0.02, atol=2e-4)
    assert all(p.requires_grad for p in net.parameters())


def smooth(count, rows, columns):
    z = torch.fft.rfft2(states(count, rows, columns, name="smooth"))
    k = torch.fft.fftfreq(rows, 1 / rows)[:, None] ** 2
    k = k + torch.fft.rfftfreq(columns, 1 / columns) ** 2
    x = torch.fft.irfft2(z * torch.exp(-k / 4), s=(rows, columns))
    return x / x.std()


def test_it_learns_a_translation_and_then_two():
    """Fields that move one column east a step: far better than at first and than no change."""
    x = smooth(200, 8, 16)
    series = torch.stack([x.roll(shift, -1) for shift in range(3)], 1).flatten(2)
    net = network(channels=1, grid=(8, 16), width=32)
    held_out = series[None, 160:]
    for length, steps in ((2, 120), (3, 40)):
        history = fit(
            net,
            Windows(series[:160], length, 16, 1),
            Training(steps=steps, rate=2e-3, clip=1.0, check_every=steps),
            watched={"held_out": held_out[:, :, :length]},
            generator=stream("translation", length),
        )
        first, last = history.reports["held_out_loss"][0]
        assert last < history.reports["held_out_still_loss"][0, 0] / 3
        assert length > 2 or last < first / 10


def test_the_configuration_names_it():
    section = {"kind": "afno", "grid": [4, 8], "patch": 2, "width": 16, "depth": 1, "blocks": 2}
    net = build.make("network", section, {"scaling": lambda: scaling()})
    assert net.shape == (2, 4, 8) and not net.positions.any()
