"""What a paper claims, checked against our scores by criteria fixed before the run.

A claim is a mapping of config/claims/<paper>.yaml: id, statement, published, decided_from (the
smallest scale that decides it) and checks. A check names a measure, its inputs among the score
datasets, an operator and a threshold; a claim holds when all of its checks hold. A note is a check
that is reported with the claim and decides nothing.

    measure: {kind: ratio}
    inputs:
      numerator: {scores: sparse/analyses, variable: rmse, where: {method: particle}}
      denominator: {scores: sparse/analyses, variable: rmse, where: {method: ekf}}
    operator: "<"
    threshold: 0.8                 # or one for each scale: {quick: 0.45, desk: 0.32, paper: 0.32}
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import xarray as xr

from dalib.metrics.measures import Measured

SCALES = ("smoke", "quick", "desk", "paper")
REPRODUCED, NOT_REPRODUCED, UNDECIDED = (
    "reproduced",
    "not reproduced",
    "not decidable at this scale",
)
OPERATORS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "within": lambda value, ends: ends[0] <= value <= ends[1],
}
SYMBOLS = {"<=": "≤", ">=": "≥"}


class ClaimError(ValueError):
    """A claim that cannot be read: the message says what was expected and found."""


class NotRunError(ValueError):
    """A claim about a case, method or point that this scale leaves out."""


class Outcome(NamedTuple):
    """One check, done."""

    name: str
    measured: Measured
    criterion: str
    holds: bool
    evidence: list[str]


def judge(
    paper: str,
    claims: Sequence[Mapping],
    scores: Mapping[str, xr.Dataset],
    scale: str,
    make: Callable[[Mapping], Callable[..., Measured]],
) -> list[dict[str, Any]]:
    """The rows of the scorecard, plain values, in the order of the claims.

    Args:
        scores: datasets by the names that inputs use, `case/product` or a file's stem.
        make: from a mapping with `kind` to the measure it names.
    """
    return [row(paper, claim, scores, scale, make) for claim in claims]


def row(paper: str, claim: Mapping, scores: Mapping, scale: str, make: Callable) -> dict[str, Any]:
    """One claim judged: the object that stands in scorecard.json."""
    try:
        verdict, reason, outcomes, notes = _judged(claim, scores, scale, make)
    except (ClaimError, KeyError) as error:
        missing = f"key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise ClaimError(f"claim {claim.get('id', '?')} of {paper}: {missing}") from error
    remarks = [f"{n.name}: {sentence(n)}" for n in notes]
    return {
        "id": claim["id"],
        "paper": paper,
        "statement": claim["statement"],
        "published": claim["published"],
        "measured": {o.name: number(o.measured.value) for o in outcomes + notes},
        "spread": {
            o.name: [number(o.measured.low), number(o.measured.high)] for o in outcomes + notes
        },
        "criterion": {c["name"]: criterion(c, scale) for c in claim["checks"]},
        "verdict": verdict,
        "reason": ". ".join([reason, *remarks]),
        "evidence": sorted({e for o in outcomes + notes for e in o.evidence}),
    }


def _judged(
    claim: Mapping, scores: Mapping, scale: str, make: Callable
) -> tuple[str, str, list[Outcome], list[Outcome]]:
    """Verdict, reason, and what was measured; nothing where the scale leaves something out."""
    decidable = decides(claim, scale)
    try:
        outcomes = [check(c, scores, scale, make) for c in claim["checks"]]
        notes = [check(c, scores, scale, make) for c in claim.get("notes", [])]
    except NotRunError as error:
        return UNDECIDED, str(error), [], []
    return *decide(outcomes, decidable, claim["decided_from"]), outcomes, notes


def decides(claim: Mapping, scale: str) -> bool:
    """Whether `scale` is at least the smallest one that decides the claim."""
    for name in (scale, claim["decided_from"]):
        if name not in SCALES:
            raise ClaimError(f"no such scale: {name!r}; there are: {', '.join(SCALES)}")
    return SCALES.index(scale) >= SCALES.index(claim["decided_from"])


def decide(outcomes: Sequence[Outcome], decidable: bool, smallest: str) -> tuple[str, str]:
    """Verdict and reason."""
    if not decidable:
        return UNDECIDED, f"decided from scale {smallest} upwards"
    failed = [o for o in outcomes if not o.holds]
    if failed:
        return NOT_REPRODUCED, "; ".join(f"{o.name}: {sentence(o)}" for o in failed)
    return REPRODUCED, "; ".join(f"{o.name}: {sentence(o)}" for o in outcomes)


def sentence(outcome: Outcome) -> str:
    """`0.327 < 0.4 holds`."""
    value = outcome.measured.value
    if not math.isfinite(value):
        return f"{value} is not finite, so that {outcome.criterion} fails"
    return f"{value:.3g} {outcome.criterion} {'holds' if outcome.holds else 'does not hold'}"


def check(section: Mapping, scores: Mapping, scale: str, make: Callable) -> Outcome:
    """One check: measure, compare."""
    if section["operator"] not in OPERATORS:
        known = ", ".join(OPERATORS)
        raise ClaimError(f"unknown operator {section['operator']!r}; known: {known}")
    inputs = {name: select(scores, address) for name, address in section["inputs"].items()}
    measured = make(section["measure"])(**inputs)
    holds, limit = OPERATORS[section["operator"]], threshold(section["threshold"], scale)
    return Outcome(
        name=section["name"],
        measured=measured,
        criterion=criterion(section, scale),
        holds=math.isfinite(measured.value) and bool(holds(measured.value, limit)),
        evidence=[written(address) for address in section["inputs"].values()],
    )


def criterion(section: Mapping, scale: str) -> str:
    """`< 0.4`, or `within 0.8 to 1.2`."""
    limit = threshold(section["threshold"], scale)
    ends = limit if isinstance(limit, Sequence) else [limit]
    symbol = SYMBOLS.get(section["operator"], section["operator"])
    return f"{symbol} {' to '.join(f'{end:g}' for end in ends)}"


def threshold(value: Any, scale: str) -> Any:
    """The threshold of a scale; a scale that names none has that of the next larger one."""
    if not isinstance(value, Mapping):
        return value
    named = [s for s in SCALES[SCALES.index(scale) :] if s in value]
    if not named:
        raise ClaimError(f"no threshold for scale {scale!r} or a larger one, only {dict(value)}")
    return value[named[0]]


def select(scores: Mapping[str, xr.Dataset], address: Mapping) -> xr.DataArray:
    """The array that an address names: `{scores: ..., variable: ..., where: {dim: label}}`.

    A number in `where` means the coordinate nearest to it, within a millionth.
    """
    name, variable = address["scores"], address["variable"]
    if name not in scores:
        raise NotRunError(f"no scores {name!r}; there are: {', '.join(sorted(scores)) or 'none'}")
    if variable not in scores[name]:
        there = ", ".join(sorted(map(str, scores[name].data_vars)))
        raise ClaimError(f"scores {name!r} have no variable {variable!r}; there are: {there}")
    values = scores[name][variable]
    for dim, label in address.get("where", {}).items():
        near = {"method": "nearest", "tolerance": 1e-6} if isinstance(label, float) else {}
        try:
            values = values.sel({dim: label}, **near)
        except KeyError as error:
            there = ", ".join(str(v) for v in values[dim].values) if dim in values.dims else "none"
            raise NotRunError(
                f"{written(address)}: no {dim} {label!r}; there are: {there}"
            ) from error
    return values


def written(address: Mapping) -> str:
    """`clean/analyses: rmse(method=ekf)`."""
    where = ", ".join(f"{dim}={label}" for dim, label in address.get("where", {}).items())
    return f"{address['scores']}: {address['variable']}" + (f"({where})" if where else "")


def number(value: float) -> float | None:
    """A plain float for JSON, which knows no NaN: none in its place."""
    return value if math.isfinite(value) else None
