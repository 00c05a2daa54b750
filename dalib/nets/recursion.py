"""Recursions through time with adjoints written by hand, half the cost of autograd's.

In the loops stands only what waits for the step before (forward) or after (backward). Slopes of
pointwise functions are taken for all times before the backward loop, and gradients of weights for
all times after it, as one product each.

All arrays are (repeat, time, case, feature), weights (repeat, in, out), biases (repeat, 1, out).
"""

import torch
from torch import Tensor
from torch.autograd.function import Function, once_differentiable
from torch.nn.functional import softplus

Step = tuple[Tensor, ...]


class GRUScan(Function):
    """h_1 ... h_T of a gated recurrent unit from h_0 = 0.

        v  = h V + c                    (r, u and n parts)
        r  = σ(x_r + v_r)
        u  = σ(x_u + v_u)
        n  = tanh(x_n + r v_n)
        h' = (1 - u) n + u h
    """

    @staticmethod
    def forward(ctx, x: Tensor, V: Tensor, c: Tensor) -> Tensor:
        """x (repeat, time, case, 3 hidden), V (repeat, hidden, 3 hidden), c (repeat, 1, ...)."""
        H = V.shape[1]
        h, gates, n, v = (_empty(x, size) for size in (H, 2 * H, H, 3 * H))
        before = x.new_zeros(h[:, 0].shape)
        x_gates, x_n = x.split([2 * H, H], -1)
        v_gates, v_n = v.split([2 * H, H], -1)
        r, u = gates.chunk(2, -1)
        for x_gates_t, x_n_t, v_t, v_gates_t, v_n_t, gates_t, r_t, u_t, n_t, h_t in _times(
            x_gates, x_n, v, v_gates, v_n, gates, r, u, n, h
        ):
            torch.baddbmm(c, before, V, out=v_t)
            torch.add(x_gates_t, v_gates_t, out=gates_t).sigmoid_()
            torch.addcmul(x_n_t, r_t, v_n_t, out=n_t).tanh_()
            before = torch.lerp(n_t, before, u_t, out=h_t)
        ctx.save_for_backward(V, h, gates, n, v_n)
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx, dh: Tensor) -> tuple[Tensor, ...]:
        V, h, gates, n, v_n = ctx.saved_tensors
        r, u = gates.chunk(2, -1)
        before = _delayed(h)
        to_n = (1 - u) * (1 - n * n)
        to_r = to_n * v_n * r * (1 - r)
        to_u = (before - n) * u * (1 - u)
        to_v = torch.stack((to_r, to_u, to_n * r), -2)

        dv, total = torch.empty_like(to_v), torch.empty_like(dh)
        carry = torch.zeros_like(h[:, 0])
        for dh_t, u_t, to_v_t, dv_t, total_t in _reversed(dh, u, to_v, dv, total):
            torch.add(dh_t, carry, out=total_t)
            torch.mul(to_v_t, total_t.unsqueeze(-2), out=dv_t)
            carry = torch.baddbmm(total_t * u_t, dv_t.flatten(-2), V.mT)

        dv = dv.flatten(-2)
        H = h.shape[-1]
        dx = torch.cat((dv[..., : 2 * H], to_n * total), -1)
        return dx, *_weight_gradients(before, dv)


class PathScan(Function):
    """A sample of the deep Kalman filter's posterior along time.

        k = tanh(p E + b_E)
        a = tanh((k + h) I + b_I)
        (c, l, γ) = a O + b_O
        m = (1 - σ(γ)) p + σ(γ) c,   s = softplus(l) + least
        z = m + s noise
        p' = z + g(z),   g = D_3 ∘ silu ∘ D_2 ∘ silu ∘ D_1

    from p = μ_1. Returns z, p, m, s, each (repeat, time, case, latent).
    """

    @staticmethod
    def forward(ctx, h: Tensor, noise: Tensor, first: Tensor, least: float, *weights: Tensor):
        E, bE, I, bI, O, bO, D1, b1, D2, b2, D3, b3 = weights  # noqa: E741
        H, L = h.shape[-1], noise.shape[-1]
        k, e, a, u1, f1, u2, f2 = (_empty(h, size) for size in (H, H, H, H, H, H, H))
        o = _empty(h, 3 * L)
        z, p, m, s, gate = (_empty(h, L) for _ in range(5))
        c, l, gamma = o.chunk(3, -1)
        p[:, 0] = first
        ahead = (*p.unbind(1)[1:], torch.empty_like(p[:, 0]))
        for (h_t, x_t, k_t, e_t, a_t, o_t, c_t, l_t, gamma_t, gate_t, m_t, s_t, z_t, p_t, *drift), q in zip(
            _times(h, noise, k, e, a, o, c, l, gamma, gate, m, s, z, p, u1, f1, u2, f2),
            ahead,
            strict=True,
        ):
            torch.baddbmm(bE, p_t, E, out=k_t).tanh_()
            torch.add(k_t, h_t, out=e_t)
            torch.baddbmm(bI, e_t, I, out=a_t).tanh_()
            torch.baddbmm(bO, a_t, O, out=o_t)
            torch.sigmoid(gamma_t, out=gate_t)
            torch.lerp(p_t, c_t, gate_t, out=m_t)
            torch.add(softplus(l_t), least, out=s_t)
            torch.addcmul(m_t, s_t, x_t, out=z_t)
            u1_t, f1_t, u2_t, f2_t = drift
            torch.baddbmm(b1, z_t, D1, out=u1_t)
            torch.ops.aten.silu.out(u1_t, out=f1_t)
            torch.baddbmm(b2, f1_t, D2, out=u2_t)
            torch.ops.aten.silu.out(u2_t, out=f2_t)
            torch.baddbmm(b3, f2_t, D3, out=q).add_(z_t)
        ctx.save_for_backward(noise, k, e, a, c, l, gate, z, p, u1, f1, u2, f2, E, I, O, D1, D2, D3)
        return z, p, m, s

    @staticmethod
    @once_differentiable
    def backward(ctx, dz: Tensor, dp: Tensor, dm: Tensor, ds: Tensor):
        noise, k, e, a, c, l, gate, z, p, u1, f1, u2, f2, E, I, O, D1, D2, D3 = ctx.saved_tensors
        # o = (c, l, γ) depends on z through m and s: do = own + to_o * (gradient that reaches z)
        through_gate = (c - p) * gate * (1 - gate)
        slope = torch.sigmoid(l)
        own_o = torch.stack((dm * gate, ds * slope, dm * through_gate), -2)
        to_o = torch.stack((gate, noise * slope, through_gate), -2)
        shut = 1 - gate
        own_p = dp + dm * shut
        slope_k, slope_a = 1 - k * k, 1 - a * a
        slope_1, slope_2 = _silu_slope(u1), _silu_slope(u2)

        do = torch.empty_like(own_o)
        da, dh, dk, d1, d2 = (torch.empty_like(k) for _ in range(5))
        total_p = torch.empty_like(p)
        reaching = torch.zeros_like(z[:, 0])
        d1[:, -1], d2[:, -1] = 0, 0
        earlier = ((None, None, None, None), *_times(d1, d2, slope_1, slope_2))
        loop = _reversed(dz, own_o, to_o, do, own_p, shut, da, slope_a, dh, dk, slope_k, total_p)
        for (dz_t, own_o_t, to_o_t, do_t, own_p_t, shut_t, da_t, slope_a_t, dh_t, dk_t, slope_k_t, total_p_t), (d1_t, d2_t, slope_1_t, slope_2_t) in zip(loop, reversed(earlier[:-1]), strict=True):
            reaching = reaching + dz_t
            torch.addcmul(own_o_t, to_o_t, reaching.unsqueeze(-2), out=do_t)
            torch.bmm(do_t.flatten(-2), O.mT, out=da_t).mul_(slope_a_t)
            torch.bmm(da_t, I.mT, out=dh_t)
            torch.mul(dh_t, slope_k_t, out=dk_t)
            direct = torch.addcmul(own_p_t, shut_t, reaching)
            torch.baddbmm(direct, dk_t, E.mT, out=total_p_t)
            if d1_t is None:
                break
            torch.bmm(total_p_t, D3.mT, out=d2_t).mul_(slope_2_t)
            torch.bmm(d2_t, D2.mT, out=d1_t).mul_(slope_1_t)
            reaching = torch.baddbmm(total_p_t, d1_t, D1.mT)

        later_p = torch.cat((total_p[:, 1:], torch.zeros_like(total_p[:, :1])), 1)
        return (
            dh,
            None,
            total_p[:, 0].sum(1, keepdim=True),
            None,
            *_weight_gradients(p, dk),
            *_weight_gradients(e, da),
            *_weight_gradients(a, do.flatten(-2)),
            *_weight_gradients(z, d1),
            *_weight_gradients(f1, d2),
            *_weight_gradients(f2, later_p),
        )


def _empty(like: Tensor, size: int) -> Tensor:
    return like.new_empty(*like.shape[:-1], size)


def _times(*series: Tensor):
    return zip(*(x.unbind(1) for x in series), strict=True)


def _reversed(*series: Tensor):
    return zip(*(reversed(x.unbind(1)) for x in series), strict=True)


def _delayed(x: Tensor) -> Tensor:
    return torch.cat((torch.zeros_like(x[:, :1]), x[:, :-1]), 1)


def _silu_slope(x: Tensor) -> Tensor:
    gate = torch.sigmoid(x)
    return gate * (1 + x * (1 - gate))


def _weight_gradients(inputs: Tensor, d_outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of W and b in inputs W + b, summed over times and cases."""
    x, d = inputs.flatten(1, 2), d_outputs.flatten(1, 2)
    return torch.bmm(x.mT, d), d.sum(1, keepdim=True)
