"""Rows on learned filters: what they choose, what they cost, and what they are good for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import xarray as xr

from dalib import io
from dalib.tables import NO, Row, csv, mark, markdown, text

LABELS = {
    "var3d_k": "AD-3DVar-K",
    "var3d_c": "AD-3DVar-C",
    "enkf": "AD-EnKF",
    "ens3dvar": "AD-Ens3DVar",
    "letkf": "AD-LETKF",
}
FORECAST, NOISY = "F(x)", "F(x) + Q½ξ"
GAIN = "C Hᵀ (H C Hᵀ + R)⁻¹"
CHOICES = {  # method: forecast, observations, members, gain, covariance, learned beside the model
    "var3d_k": (FORECAST, "y", "1", "K itself", "none", "K"),
    "var3d_c": (FORECAST, "y", "1", GAIN, "C = B Bᵀ", "B"),
    "enkf": (NOISY, "y + γ", "N", GAIN, "C = (1 + φ) (ρ ∘ Ĉ)", "Q, φ"),
    "ens3dvar": (
        *(NOISY, "y + γ", "N", GAIN),
        *("C = (1 − φ₁) B Bᵀ + φ₁ (1 + φ₀) (ρ ∘ Ĉ)", "Q, φ₁, B"),
    ),
    "letkf": (  # ours
        *(NOISY, "y", "N", "at each site, from the N members"),
        *("C = a² Ĉ, R / ρ", "Q, a"),
    ),
}
STATIC_COST = "O(d_y³ + d_y² d_x + d_x² d_y)"
COSTS = {  # method: forecast, analysis; c_F is the cost of one forecast of one state
    "var3d_k": ("c_F", "O(d_x d_y)"),
    "var3d_c": ("c_F", STATIC_COST),
    "enkf": ("N c_F", "O(d_y³ + d_y² N + d_y N² + d_x N²)"),
    "ens3dvar": ("N c_F", STATIC_COST + ", N ≪ d_y"),
    "letkf": ("N c_F", "O(d_x (N² d_local + N³))"),
}
ON_CHOICES = (
    "Of one step x ← (I − K H) M(x) + K Y. F is the forecast map, Q = diag softplus θ₂ the "
    "covariance of its noise, ξ ~ N(0, I), γ ~ N(0, R), H and R those of the observations y, Ĉ "
    "the covariance of the N members, ρ the taper, φ₀ a fixed inflation, a a factor on the "
    "deviations of the members from their mean. AD-LETKF is ours, the others are the paper's."
)
ON_COSTS = (
    "Cost of a step of one trajectory, c_F that of one forecast of one state, and the CPU time "
    "measured on one thread of the machine that made this page, of the base point for Lorenz-96 "
    "with all trajectories of a repeat at once. An update is the gradient of one segment of all "
    "these trajectories and the step of the optimiser, an epoch all updates of a pass through the "
    "observations."
)
ON_GUIDELINES = (
    "Each mark is derived from the number behind it: medians over repeats, of Lorenz-96 where the "
    "observations stay the same and of Lotka-Volterra where they change. An empty cell was not run "
    "at this scale."
)


def choices() -> list[Row]:
    """What the methods put in the places of the general step."""
    names = ("M", "Y", "members", "K", "covariance", "learned beside the model")
    return [{"method": LABELS[m]} | dict(zip(names, c, strict=True)) for m, c in CHOICES.items()]


def costs(timing: xr.Dataset) -> list[Row]:
    """Cost of a step by operation count, and measured in milliseconds.

    Args:
        timing: cpu_seconds_forecast and cpu_seconds_analysis (method) of a step of one trajectory,
            cpu_seconds_update and cpu_seconds_epoch (method) of one gradient update and of all
            those of an epoch; medians where there are repetitions.
    """
    return [
        {
            "method": LABELS[method],
            "forecast": forecast,
            "analysis": analysis,
            "forecast (ms)": _milliseconds(timing, "cpu_seconds_forecast", method),
            "analysis (ms)": _milliseconds(timing, "cpu_seconds_analysis", method),
            "update (ms)": _milliseconds(timing, "cpu_seconds_update", method),
            "epoch (ms)": _milliseconds(timing, "cpu_seconds_epoch", method),
        }
        for method, (forecast, analysis) in COSTS.items()
    ]


def _milliseconds(timing: xr.Dataset, name: str, method: str) -> float | None:
    found = _median(timing, name, method)
    return None if found is None else float(f"{1e3 * found:.3g}")


def guidelines(
    ring: xr.Dataset,
    species: xr.Dataset,
    sizes: Sequence[xr.Dataset],
    *,
    lower: float = 0.5,
    growth: float = 1.25,
    memory: float = 2.0,
    accuracy: float = 1.5,
) -> list[Row]:
    """Marks with the number each is derived from; without a number there is no mark.

    Args:
        ring: scores of the system whose observations stay the same: error, start_error, and
            memory (method), bytes kept for the gradient of one segment.
        species: scores of the system whose observations change with time: mae_interactions and
            start_mae_interactions.
        sizes: scores of systems of different `size`.
        lower: error over that of the initial model, up to which learning succeeds.
        growth: error at the largest size over that at the smallest, up to which size is harmless.
        memory: bytes over those of the most frugal method, up to which memory is small.
        accuracy: error over that of the best method, up to which learning is accurate.
    """
    shrink = "median error over that of the initial models"
    rows = {
        f"observations stay the same ({shrink}, ✓ up to {lower:g})": (
            lambda m: _over_start(ring, "error", m),
            lower,
        ),
        f"observations change with time ({shrink}, ✓ up to {lower:g})": (
            lambda m: _over_start(species, "mae_interactions", m),
            lower,
        ),
        f"large state (error at the largest size over that at the smallest, ✓ up to {growth:g})": (
            lambda m: _growth(sizes, m),
            growth,
        ),
        f"memory (of one gradient, over that of the most frugal method, ✓ up to {memory:g})": (
            lambda m: _over_least(ring, "memory", m),
            memory,
        ),
        f"learning accuracy (error over that of the best method, ✓ up to {accuracy:g})": (
            lambda m: _over_least(ring, "error", m),
            accuracy,
        ),
    }
    return [_guideline(name, of, bound) for name, (of, bound) in rows.items()]


def _guideline(name: str, of: Callable[[str], float | None], bound: float) -> Row:
    cells = {m: of(m) for m in CHOICES}
    return {"guideline": name} | {
        LABELS[m]: "" if found is None else f"{mark(found <= bound)} {text(round(found, 3))}"
        for m, found in cells.items()
    }


def impossible(rows: Sequence[Row], guideline: str, method: str, reason: str) -> list[Row]:
    """The rows, with a cross where a method cannot be used: in the guideline that begins so."""
    return [
        row | {LABELS[method]: f"{NO} {reason}"} if row["guideline"].startswith(guideline) else row
        for row in rows
    ]


def _median(scores: xr.Dataset, name: str, method: str) -> float | None:
    """Over repeats, if the method has any finite value."""
    if name not in scores or method not in scores.method:
        return None
    values = scores[name].sel({"method": method})
    return float(values.median()) if values.notnull().any() else None


def _over_start(scores: xr.Dataset, name: str, method: str) -> float | None:
    found = _median(scores, name, method)
    return None if found is None else found / float(scores[f"start_{name}"].median())


def _over_least(scores: xr.Dataset, name: str, method: str) -> float | None:
    found = {m: _median(scores, name, m) for m in CHOICES}
    there = [value for value in found.values() if value is not None]
    return None if found[method] is None else found[method] / min(there)


def _growth(sizes: Sequence[xr.Dataset], method: str) -> float | None:
    """Median error at the largest size over that at the smallest, of those with the method."""
    errors = {int(one["size"]): _median(one, "error", method) for one in sizes}
    there = sorted(size for size, error in errors.items() if error is not None)
    return errors[there[-1]] / errors[there[0]] if len(there) > 1 else None


def page(rows: Sequence[Row], closing: str) -> str:
    """The table and a sentence below it."""
    return markdown(rows) + f"\n{closing}\n"


def tables(given: Any, config: Mapping) -> dict[str, list[str]]:
    """Table 1: choices of the methods; Table 2: their costs; Table 3: what each is good for."""
    made, spent = choices(), costs(io.read(given.timing))
    sizes = io.read_scores(given.ring_sizes).values()
    good_for = impossible(
        guidelines(io.read(given.ring), io.read(given.species), sizes),
        "observations change",
        "var3d_k",
        "needs observations that stay the same",
    )
    return {
        "table1": [page(made, ON_CHOICES), csv(made)],
        "table3": [page(good_for, ON_GUIDELINES), csv(good_for)],
        "timing": [page(spent, ON_COSTS), csv(spent)],
    }
