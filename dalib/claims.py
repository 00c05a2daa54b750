"""What a paper claims, checked against our scores by criteria fixed before the run.

A claim is a mapping of config/claims/<paper>.yaml: id, statement, published, decided_from (the
smallest scale that decides it) and checks. A check names a measure, its inputs among the score
datasets, an operator and a threshold; a claim holds when all of its checks hold. A note is a check
that is reported with the claim and decides nothing; so is, at smaller scales, a check with its own
`decided_from`.

    measure: {kind: ratio}
    inputs:
      numerator: {scores: sparse/analyses, variable: rmse, where: {method: particle}}
      denominator: {scores: sparse/analyses, variable: rmse, where: {method: ekf}}
    operator: "<"
    threshold: 0.8                 # or one for each scale: {quick: 0.45, desk: 0.32, paper: 0.32}
"""

import fnmatch
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
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
ROUNDING = 1e-6  # two coordinates that differ by less are the same
BOUNDS = {  # of a range: how coordinates are compared with it, and with which tolerance
    "at_least": (">=", -ROUNDING),
    "at_most": ("<=", ROUNDING),
    "above": (">", ROUNDING),
    "below": ("<", -ROUNDING),
}


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
        criteria = {c["name"]: criterion(c, scale) for c in _parted(claim, scale)[0]}
    except (ClaimError, KeyError) as error:
        missing = f"key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise ClaimError(f"claim {claim.get('id', '?')} of {paper}: {missing}") from error
    return {
        "id": claim["id"],
        "paper": paper,
        "statement": claim["statement"],
        "published": claim["published"],
        "measured": {o.name: number(o.measured.value) for o in outcomes + notes},
        "spread": {
            o.name: [number(o.measured.low), number(o.measured.high)] for o in outcomes + notes
        },
        "criterion": criteria,
        "verdict": verdict,
        "reason": reason,
        "evidence": sorted({e for o in outcomes + notes for e in o.evidence}),
    }


def _judged(
    claim: Mapping, scores: Mapping, scale: str, make: Callable
) -> tuple[str, str, list[Outcome], list[Outcome]]:
    """Verdict, reason, and what was measured; nothing where the scale leaves a check out."""
    decidable = decides(claim, scale)
    checks, waiting = _parted(claim, scale)
    try:
        outcomes = [check(c, scores, scale, make) for c in checks]
    except NotRunError as error:
        return UNDECIDED, str(error), [], []
    verdict, reason = decide(outcomes, decidable, claim["decided_from"])
    notes, remarks = [], []
    for section in [*waiting, *claim.get("notes", [])]:
        later = f" (decided from scale {section['decided_from']})" if section in waiting else ""
        try:
            note = check(section, scores, scale, make)
        except NotRunError as error:
            remarks.append(f"{section['name']}: {error}{later}")
        else:
            notes.append(note)
            remarks.append(f"{note.name}: {sentence(note)}{later}")
    return verdict, ". ".join([reason, *remarks]), outcomes, notes


def _parted(claim: Mapping, scale: str) -> tuple[list[Mapping], list[Mapping]]:
    """The checks that decide the claim at this scale, and those that need a larger one."""
    if not decides(claim, scale):
        return list(claim["checks"]), []
    ready = [c for c in claim["checks"] if decides(claim | c, scale)]
    return ready, [c for c in claim["checks"] if c not in ready]


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

    A label is a value or a list of them; a number means the coordinate nearest to it, within a
    millionth. A range, `{at_least: 0.5, below: 1.0}`, means all values in it; with `times: size`
    its bounds are in units of that variable of the scores. `among` keeps some of the repeats: for
    `{variable: error, operator: "<", quantile: 0.25, of: start_error}` those whose error is below
    the 0.25-quantile of start_error. With a pattern such as `ring*/analyses` and `along: size` the
    scores of all cases that have the variable stand along a dimension, labelled by their `size`.
    """
    if "*" in address["scores"]:
        return _along(scores, address)
    if address["scores"] not in scores:
        there = ", ".join(sorted(scores)) or "none"
        raise NotRunError(f"no scores {address['scores']!r}; there are: {there}")
    dataset = scores[address["scores"]]
    if address["variable"] not in dataset:
        raise _missing(address, dataset)
    values = _picked(dataset, address["variable"], address)
    return _among(dataset, values, address) if "among" in address else values


def _along(scores: Mapping[str, xr.Dataset], address: Mapping) -> xr.DataArray:
    """The arrays of all scores that match a pattern, in the order of their labels."""
    along, where = address["along"], dict(address.get("where", {}))
    chosen = {along: where.pop(along)} if along in where else {}
    matching = fnmatch.filter(sorted(scores), address["scores"])
    if not matching:
        raise NotRunError(f"no scores {address['scores']!r}")
    names = [name for name in matching if address["variable"] in scores[name]]
    if not names:
        raise _missing(address, scores[matching[0]])
    parts = [
        select(scores, address | {"scores": name, "where": where}).assign_coords(
            {along: float(scores[name][along])}
        )
        for name in names
    ]
    parts = sorted(parts, key=lambda part: float(part[along]))
    whole = xr.concat(parts, along, join="inner", coords="minimal", compat="override")
    if not whole.size:
        raise NotRunError(f"{written(address)}: the scores have no points in common")
    return _picked(whole.to_dataset(), whole.name, address | {"where": chosen})


def _missing(address: Mapping, dataset: xr.Dataset) -> ValueError:
    """A sweep that this scale leaves out, or a name that was never there."""
    name, variable = address["scores"], address["variable"]
    _, by, sweep = variable.rpartition("_by_")
    if by and not any(str(there).endswith(by + sweep) for there in dataset.data_vars):
        return NotRunError(f"scores {name!r} have no sweep {sweep!r}: not run at this scale")
    there = ", ".join(sorted(map(str, dataset.data_vars)))
    return ClaimError(f"scores {name!r} have no variable {variable!r}; there are: {there}")


def _picked(dataset: xr.Dataset, variable: str, address: Mapping) -> xr.DataArray:
    """The variable where the address says."""
    values = dataset[variable]
    for dim, label in address.get("where", {}).items():
        try:
            if isinstance(label, Mapping):
                values = values.isel({dim: _within(values[dim], label, dataset).nonzero()[0]})
                if not values.sizes[dim]:
                    raise KeyError(dim)
            else:
                first = label[0] if isinstance(label, list) else label
                near = {"method": "nearest", "tolerance": ROUNDING}
                values = values.sel({dim: label}, **(near if isinstance(first, float) else {}))
        except KeyError as error:
            there = dataset[variable]
            there = ", ".join(map(str, there[dim].values)) if dim in there.dims else "none"
            raise NotRunError(
                f"{written(address)}: no {dim} {_text(label)}; there are: {there}"
            ) from error
    return values


def _within(values: xr.DataArray, bounds: Mapping, dataset: xr.Dataset) -> np.ndarray:
    """Which of the values lie in a range, with a tolerance for those on its ends."""
    unknown = bounds.keys() - BOUNDS.keys() - {"times"}
    if unknown:
        raise ClaimError(
            f"unknown bound {', '.join(sorted(unknown))} of a range; known: {', '.join(BOUNDS)}"
        )
    unit = float(dataset[bounds["times"]]) if "times" in bounds else 1.0
    inside = np.ones(values.shape, bool)
    for name, bound in bounds.items():
        if name != "times":
            sign, tolerance = BOUNDS[name]
            inside &= OPERATORS[sign](values.values, bound * unit + tolerance)
    return inside


def _among(dataset: xr.Dataset, values: xr.DataArray, address: Mapping) -> xr.DataArray:
    """The values of those repeats that an address keeps."""
    among = address["among"]
    limit = _where_it_can(dataset, among["of"], address).quantile(among["quantile"], skipna=False)
    judged = _where_it_can(dataset, among["variable"], address)
    if judged.ndim != 1:
        raise ClaimError(
            f"{written(address)}: {among['variable']} there has the dimensions "
            f"{', '.join(map(str, judged.dims))}; choose in `where` so that one is left"
        )
    kept = OPERATORS[among["operator"]](judged, limit).values
    if not kept.any():
        raise NotRunError(f"{written(address)}: there is no such {judged.dims[0]}")
    return values.isel({judged.dims[0]: kept.nonzero()[0]})


def _where_it_can(dataset: xr.Dataset, variable: str, address: Mapping) -> xr.DataArray:
    """A second variable where the address says, in those dimensions that it has."""
    dims = dataset[variable].dims
    where = {dim: label for dim, label in address.get("where", {}).items() if dim in dims}
    return _picked(dataset, variable, address | {"where": where})


def written(address: Mapping) -> str:
    """`clean/analyses: rmse(method=ekf)`."""
    where = [
        f"{dim} {_text(label)}" if isinstance(label, Mapping) else f"{dim}={label}"
        for dim, label in address.get("where", {}).items()
    ]
    if "among" in address:
        among = address["among"]
        limit = f"{among['quantile']:g} quantile of {among['of']}"
        where.append(f"{among['variable']} {among['operator']} {limit}")
    return f"{address['scores']}: {address['variable']}" + (
        f"({', '.join(where)})" if where else ""
    )


def _text(label: Any) -> str:
    """`'ekf'`, or `≥ 0.5 size and < 1 size` of a range."""
    if not isinstance(label, Mapping):
        return repr(label)
    unit = f" {label['times']}" if "times" in label else ""
    bounds = [(BOUNDS[name][0], v) for name, v in label.items() if name != "times"]
    return " and ".join(f"{SYMBOLS.get(sign, sign)} {v:g}{unit}" for sign, v in bounds)


def number(value: float) -> float | None:
    """A plain float for JSON, which knows no NaN: none in its place."""
    return value if math.isfinite(value) else None
