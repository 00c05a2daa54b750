"""Symmetric matrices as filters use them: factors, checks, functions and their derivatives."""

import functools
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor

from dalib.localise import Localisation

PRECISE = 1e-3  # rounding errors, of a matrix beside the 1 it is added to, that a filter takes


def like(value: Tensor | float, x: Tensor) -> Tensor:
    """A number or tensor with the dtype and on the device of x."""
    return torch.as_tensor(value, dtype=x.dtype, device=x.device)


def plain() -> bool:
    """Whether nothing is being transformed by `torch.func`, so that values can be looked at."""
    return torch._C._functorch.peek_interpreter_stack() is None


def aside() -> AbstractContextManager:
    """Inside, what depends on no value that is transformed by `torch.func` is not wrapped by it."""
    return nullcontext() if plain() else torch._C._DisableFuncTorch()


def known(condition: Tensor) -> bool:
    """Whether a condition () is known to be true; nothing is known of what `vmap` runs along."""
    try:
        return bool(condition)
    except RuntimeError:
        return False


def young(mean: Tensor) -> Tensor:
    """(..., 1), zeros for means (..., state): the age of a window, of which no transform knows."""
    return torch.zeros((*mean.shape[:-1], 1), dtype=mean.dtype, device=mean.device)


def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """(..., n, n) -> (..., n, n), the lower (or upper) factor of a positive definite matrix.

    NaN where there is none: one seed that is lost must not stop its batch, and `cycle` finds it by
    its NaN. What a user supplies is checked before, by `check_covariance`.
    """
    L, info = torch.linalg.cholesky_ex(A, upper=upper)
    if known((info == 0).all()):
        return L
    return L.masked_fill((info > 0)[..., None, None], float("nan"))


def kept(method: Callable) -> Callable:
    """A method of one tensor x of which only size, type and device matter, computed once for each.

    Once more under gradients than without, lest what was computed without them is taken for them;
    anew when a tensor or an array of the object, or of its operator, was changed in place, as
    optimisers do, and after a backward pass, which frees what led to the value. The values are kept
    in the object, which `dataclasses.replace` leaves behind.
    """

    @functools.wraps(method)
    def value(self, x: Tensor):
        if not plain():  # what a transform made is its own
            return method(self, x)
        if "_kept" not in self.__dict__:
            operator = getattr(getattr(self, "observe", None), "__dict__", {})
            given = [*vars(self).values(), *operator.values()]
            self.__dict__.update(_given=list(_parts(given)), _kept={})
        known, changes = self.__dict__["_kept"], [stamp(one) for one in self.__dict__["_given"]]
        key = (method.__name__, x.shape[-2:], x.dtype, x.device, torch.is_grad_enabled())
        if key not in known or known[key][0] != changes:
            found = method(self, x)
            known[key] = (changes, found)
            _forget_after_backward(self, key, found)
        return known[key][1]

    return value


def _forget_after_backward(owner, key: tuple, found) -> None:
    owner = weakref.ref(owner)  # a tensor must not keep alive what keeps the tensor

    def forget(_: Tensor) -> None:
        if (alive := owner()) is not None:
            alive.__dict__["_kept"].pop(key, None)

    for part in _parts([found]):
        if part.grad_fn is not None:
            part.register_hook(forget)


def _parts(values: Iterable) -> Iterator[Tensor | np.ndarray]:
    """All tensors and arrays among the values, in tuples and lists too."""
    for value in values:
        if isinstance(value, Tensor | np.ndarray):
            yield value
        elif isinstance(value, tuple | list):
            yield from _parts(value)
        elif isinstance(value, Localisation):
            yield from _parts([value.places, value.obs_places, value.matrix])


def stamp(value: Tensor | np.ndarray) -> int | bytes:
    """What is another after a change in place: torch counts these, but not in inference mode."""
    if isinstance(value, np.ndarray):
        return value.tobytes()
    return 0 if value.is_inference() else value._version


def factor(value: Tensor | float, x: Tensor) -> Tensor | float:
    """A factor on matrices (..., n, m): a number as it is, a tensor (...,) with two axes more."""
    return value if isinstance(value, (int, float)) else like(value, x)[..., None, None]


def symmetric(A: Tensor) -> Tensor:
    """(A + Aᵀ) / 2: products of matrices lose the symmetry of a covariance by round-off."""
    return (A + A.mT) / 2


def check_covariance(cov: Tensor, name: str) -> Tensor:
    """`cov` (..., n, n) itself, when it is symmetric and positive definite."""
    if not plain():  # values cannot be looked at
        return cov
    detached = shared(cov.detach())
    check_symmetric(detached, name)
    if torch.linalg.cholesky_ex(detached).info.any():
        smallest = torch.linalg.eigvalsh(detached).amin().item()
        raise ValueError(
            f"{name} is not positive definite: its smallest eigenvalue is {smallest:.3g}; a sample "
            "covariance needs more samples than variables (or localisation), and a variable known "
            "exactly needs a small variance instead of none"
        )
    return cov


def check_semidefinite(cov, name: str) -> None:
    """Refuse what is no covariance (..., n, n): symmetric, with no negative eigenvalue."""
    if not isinstance(cov, Tensor):
        raise TypeError(f"{name} is a {type(cov).__name__}; give a tensor (state, state)")
    cov = cov.detach()
    check_symmetric(cov, name)
    eigenvalues = torch.linalg.eigvalsh(cov.double())
    if (eigenvalues < -1e-6 * eigenvalues.abs().amax()).any():
        raise ValueError(
            f"{name} is no covariance: its smallest eigenvalue is {eigenvalues.amin().item():.3g}, "
            "below 0"
        )


def check_symmetric(cov: Tensor, name: str) -> None:
    """Refuse a matrix (..., n, n) that is not finite or not symmetric."""
    if not cov.isfinite().all():
        raise ValueError(f"{name} has values that are not finite; was it estimated from NaN?")
    rtol, atol = (1e-8, 1e-12) if cov.dtype == torch.float64 else (1e-4, 1e-6)
    if not torch.allclose(cov, cov.mT, rtol=rtol, atol=atol * cov.abs().amax()):
        raise ValueError(f"{name} is not symmetric; give (C + Cᵀ) / 2")


def shared(value: Tensor, trailing: int = 2) -> Tensor:
    """`value` with leading axes of length 1 where it is the same along them, by `expand`.

    One covariance for all series is then factored once.
    """
    for axis in range(value.ndim - trailing if plain() else 0):
        if value.stride(axis) == 0:
            value = value.narrow(axis, 0, 1)
    return value


def check_background(cov: Tensor) -> None:
    """Refuse a fixed covariance that is none; one that is learned, (..., n, n), is made to be one.

    Of several, one that is not finite must not stop the others.
    """
    if cov.ndim == 2 and not cov.requires_grad:
        check_covariance(cov, "the background covariance")


def solution(S: Tensor, D: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Solve with S (..., n, n) for rows D (..., m, n) and d (..., 1, n), by one Cholesky factor.

        D S⁻¹        d S⁻¹ dᵀ        log det S

    S is symmetric: its lower triangle is read, its derivative is that of the whole matrix. Where it
    is not positive definite the results are NaN (see `cholesky`).
    """
    if plain():
        return _Solution.apply(S, D, d)
    L = cholesky(symmetric(S))
    W = torch.cholesky_solve(D.mT, L).mT
    misfit = torch.linalg.solve_triangular(L, d.mT, upper=False).square().sum((-2, -1))
    return W, misfit, 2 * L.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def jacobian(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """(..., state) -> (..., out, state), the derivative of `function` at x by torch.func.

    The function sees all leading axes, and treats them independently.
    """
    n = x.shape[-1]
    directions = torch.eye(n, dtype=x.dtype, device=x.device)
    directions = directions.reshape(n, *[1] * (x.ndim - 1), n).expand(n, *x.shape)
    columns = torch.func.vmap(lambda v: torch.func.jvp(function, (x,), (v,))[1])(directions)
    return columns.movedim(0, -1)


def matrix_function(A: Tensor, f: Callable, slope: Callable, curve: Callable) -> Tensor:
    """f(A) = V f(Λ) Vᵀ of a symmetric A = V Λ Vᵀ with Λ >= 0, (..., n, n) -> (..., n, n).

    Derivatives are those of f(A), finite also where eigenvalues coincide, as they always do for
    the anomalies of an ensemble (Daleckii and Krein 1965); with E and F in the basis of V,

        df = V (f[λ_i, λ_j] ∘ E) Vᵀ        d²f = V Σ_k f[λ_i, λ_k, λ_j] (E_ik F_kj + F_ik E_kj) Vᵀ

    There are no third ones.

    Args:
        A: symmetric, eigenvalues below 0 being round-off; where it is not finite the result is NaN.
        f: of the eigenvalues (..., n).
        slope: f[a, b] = (f(a) - f(b)) / (a - b), written without cancellation; f'(a) where a = b.
        curve: f[a, b, c] = (f[a, b] - f[b, c]) / (a - c), likewise.
    """
    if plain():
        return _MatrixFunction.apply(A, f, slope, curve)
    return _Transformed.apply(A, f, slope, curve)[0]


def eigen(A: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Λ (..., n), V, and whether A is finite (..., 1, 1); where it is not, those of 0."""
    finite = A.isfinite().all(-1).all(-1)[..., None, None]
    eigenvalues, V = torch.linalg.eigh(torch.where(finite, A, 0.0))  # LAPACK stops at NaN
    return eigenvalues.clamp(min=0), V, finite


class _MatrixFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, A: Tensor, f: Callable, slope: Callable, curve: Callable) -> Tensor:
        eigenvalues, V, finite = eigen(A)
        ctx.save_for_backward(A, eigenvalues, V)
        ctx.slope, ctx.curve = slope, curve
        value = (V * f(eigenvalues)[..., None, :]) @ V.mT
        return value if finite.all() else torch.where(finite, value, float("nan"))

    @staticmethod
    def backward(ctx, gradient: Tensor):
        A, eigenvalues, V = ctx.saved_tensors
        return _MatrixSlope.apply(gradient, A, eigenvalues, V, ctx.slope, ctx.curve), *[None] * 3


class _MatrixSlope(torch.autograd.Function):
    """V (f[λ_i, λ_j] ∘ Vᵀ G V) Vᵀ of G and of A, whose eigenvalues and vectors are given."""

    @staticmethod
    def forward(ctx, G: Tensor, A: Tensor, eigenvalues: Tensor, V: Tensor, slope, curve) -> Tensor:
        ctx.save_for_backward(G, A, eigenvalues, V)
        ctx.slope, ctx.curve = slope, curve
        ratios = slope(eigenvalues[..., :, None], eigenvalues[..., None, :])
        return V @ (ratios * (V.mT @ G @ V)) @ V.mT

    @staticmethod
    def backward(ctx, gradient: Tensor):
        G, A, λ, V = ctx.saved_tensors
        G_slope = _MatrixSlope.apply(gradient, A, λ, V, ctx.slope, ctx.curve)
        i, k, j = λ[..., :, None, None], λ[..., None, :, None], λ[..., None, None, :]
        ratios = ctx.curve(i, k, j)
        g, h = V.mT @ G @ V, V.mT @ gradient @ V
        E = torch.einsum("...ikj,...ik,...ij->...kj", ratios, g, h)
        E = E + torch.einsum("...ikj,...kj,...ij->...ik", ratios, g, h)
        return G_slope, final(V @ E @ V.mT, G, A, gradient), *[None] * 4


def _sloped(V: Tensor, ratios: Tensor, G: Tensor) -> Tensor:
    """V (f[λ_i, λ_j] ∘ Vᵀ G V) Vᵀ."""
    return V @ (ratios * (V.mT @ G @ V)) @ V.mT


class _Transformed(torch.autograd.Function):
    """`_MatrixFunction` as `torch.func` needs it: vmap, and derivatives forward and backward."""

    generate_vmap_rule = True

    @staticmethod
    def forward(A: Tensor, f: Callable, slope: Callable, curve: Callable):
        eigenvalues, V = torch.linalg.eigh(A)
        eigenvalues = eigenvalues.clamp(min=0)
        return (V * f(eigenvalues)[..., None, :]) @ V.mT, eigenvalues, V

    @staticmethod
    def setup_context(ctx, inputs, output):
        A, _, ctx.slope, ctx.curve = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(A, *output[1:])
        ctx.save_for_forward(A, *output[1:])

    @staticmethod
    def backward(ctx, gradient: Tensor, *_):
        A, λ, V = ctx.saved_tensors
        return _TransformedSlope.apply(gradient, A, λ, V, ctx.slope, ctx.curve), *[None] * 3

    @staticmethod
    def jvp(ctx, E: Tensor, *_):
        A, λ, V = ctx.saved_tensors
        return _TransformedSlope.apply(E, A, λ, V, ctx.slope, ctx.curve), None, None


class _TransformedSlope(torch.autograd.Function):
    """`_MatrixSlope` likewise; it has the last derivatives."""

    generate_vmap_rule = True

    @staticmethod
    def forward(G: Tensor, A: Tensor, λ: Tensor, V: Tensor, slope: Callable, curve: Callable):
        return _sloped(V, slope(λ[..., :, None], λ[..., None, :]), G)

    @staticmethod
    def setup_context(ctx, inputs, output):
        *tensors, ctx.slope, ctx.curve = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        G, _, λ, V = ctx.saved_tensors
        ratios = ctx.slope(λ[..., :, None], λ[..., None, :])
        return _sloped(V, ratios, gradient), _curved(ctx, G, gradient), *[None] * 4

    @staticmethod
    def jvp(ctx, G: Tensor, E: Tensor, *_):
        before, _, λ, V = ctx.saved_tensors
        ratios = ctx.slope(λ[..., :, None], λ[..., None, :])
        moved = _curved(ctx, before, E) if E is not None else 0
        return moved + (_sloped(V, ratios, G) if G is not None else 0)


def _curved(ctx, G: Tensor, F: Tensor) -> Tensor:
    """The derivative of `_sloped` in A along F, or its transpose, which is the same."""
    _, _, λ, V = ctx.saved_tensors
    ratios = ctx.curve(λ[..., :, None, None], λ[..., None, :, None], λ[..., None, None, :])
    g, h = V.mT @ G @ V, V.mT @ F @ V
    E = torch.einsum("...ikj,...ik,...kj->...ij", ratios, g, h)
    E = E + torch.einsum("...ikj,...ik,...kj->...ij", ratios, h, g)
    return V @ E @ V.mT


class _Solution(torch.autograd.Function):
    """One node instead of the twenty of its parts, which cost small matrices most of their time.

    With W = D S⁻¹, w = d S⁻¹ and the slopes Ẇ, q̇, l̇ of W, d S⁻¹ dᵀ and log det S:

        Ḋ = Ẇ S⁻¹        ḋ = 2 q̇ w        Ṡ = l̇ S⁻¹ - Ḋᵀ W - q̇ wᵀ w

    Where these are to be differentiated in turn, S⁻¹ and all that follows is formed anew of S.
    """

    @staticmethod
    def forward(ctx, S: Tensor, D: Tensor, d: Tensor):
        L, m = cholesky(S), D.shape[-2]
        one = torch.eye(S.shape[-1], dtype=S.dtype, device=S.device).expand_as(S)
        # L⁻¹ [Dᵀ dᵀ I]: the derivative of log det S needs L⁻¹ anyhow
        whitened = torch.linalg.solve_triangular(L, torch.cat([D, d, one], -2).mT, upper=False)
        rows, root = whitened[..., : m + 1], whitened[..., m + 1 :]
        Ww = rows.mT @ root
        ctx.save_for_backward(S, D, d, Ww, root)
        log_det = 2 * L.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return Ww[..., :m, :], rows[..., m].square().sum(-1), log_det

    @staticmethod
    def backward(ctx, W_slope: Tensor, misfit_slope: Tensor, log_det_slope: Tensor):
        S, D, d, Ww, root = ctx.saved_tensors
        inverse = root.mT @ root
        if torch.is_grad_enabled():
            inverse = torch.linalg.inv_ex(symmetric(S))[0]  # where there is none W is NaN
            Ww = torch.cat([D, d], -2) @ inverse
        D_slope = W_slope @ inverse
        w_slope = misfit_slope[..., None, None] * Ww[..., -1:, :]
        S_slope = log_det_slope[..., None, None] * inverse
        S_slope = S_slope - torch.cat([D_slope, w_slope], -2).mT @ Ww
        return S_slope, D_slope, 2 * w_slope


def final(value: Tensor, *depends: Tensor) -> Tensor:
    """`value`, whose derivative with respect to what it depends on is refused, not taken for 0.

    For the last derivative that an `autograd.Function` has: what its backward computes from saved
    values is a constant to autograd, and `once_differentiable` says so only where the gradient that
    comes in is no constant itself.
    """
    if not torch.is_grad_enabled():
        return value
    return _Final.apply(value, *depends)


class _Final(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value: Tensor, *depends: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        raise RuntimeError(
            "a derivative of this order is not there: functions of matrices (ETKF, LETKF) have the "
            "first two; take finite differences of the second"
        )
