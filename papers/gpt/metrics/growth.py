"""Largest Lyapunov exponent from short stretches of a trajectory, extrapolated to long ones."""

import numpy as np


def mean_growth(jacobians: np.ndarray, longest: int) -> np.ndarray:
    """Growth rates over 1 ... `longest` steps, per step: (..., time, state, state) -> (longest,).

        λ_n = ⟨ 1/n log ‖J(x_{i+n-1}) ... J(x_i)‖₂ ⟩_i

    the mean over all starts i and all leading axes, of the logarithm of the spectral norm
    (Shalova and Oseledets 2020, sec. IV). A stretch lies within one series.
    """
    times = jacobians.shape[-3]
    if not 1 <= longest <= times:
        raise ValueError(
            f"growth over 1 to {longest} steps needs as many states in a row, there are {times}"
        )
    norm = spectral_norm(jacobians)
    product, log_norm = jacobians / norm[..., None, None], np.log(norm)
    rates = [log_norm.mean()]
    for n in range(2, longest + 1):
        product = jacobians[..., n - 1 :, :, :] @ product[..., :-1, :, :]
        norm = spectral_norm(product)
        log_norm = log_norm[..., :-1] + np.log(norm)
        product /= norm[..., None, None]  # neither too large nor too small for a number
        rates.append(log_norm.mean() / n)
    return np.array(rates)


def spectral_norm(matrices: np.ndarray) -> np.ndarray:
    """(..., row, column) -> (...), ‖M‖₂; of 2 x 2 matrices, twenty times faster than by SVD,

    ½ (√(‖M‖_F² + 2 |det M|) + √(‖M‖_F² - 2 |det M|))
    """
    if matrices.shape[-2:] != (2, 2):
        return np.linalg.norm(matrices, ord=2, axis=(-2, -1))
    a, b, c, d = (matrices[..., i, j] for i in (0, 1) for j in (0, 1))
    # ‖M‖_F² ± 2 det M as sums of squares, so that nothing cancels
    return (np.hypot(a + d, b - c) + np.hypot(a - d, b + c)) / 2


def extrapolated(rates: np.ndarray, first: int = 1) -> float:
    """λ of λ_n = λ + c₁/n + c₂/n², by least squares over n = first ... len(rates)."""
    n = np.arange(first, len(rates) + 1)
    if len(n) < 3:
        raise ValueError(
            f"three constants need at least 3 rates, n = {first} ... {len(rates)} are {len(n)}"
        )
    terms = np.stack([np.ones(len(n)), 1 / n, 1 / n**2], axis=1)
    return float(np.linalg.lstsq(terms, rates[first - 1 :], rcond=None)[0][0])
