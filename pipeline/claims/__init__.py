"""What a paper claims, checked against our scores by criteria fixed before the run.

A claim is a mapping of papers/<paper>/claims.yaml: id, statement, published, decided_from (the
smallest scale that decides it) and checks. A check names a measure, its inputs among the score
datasets (`inputs`), an operator and a threshold; a claim holds when all of its checks hold.

    measure: {kind: ratio}
    inputs:
      numerator: {scores: sparse/analyses, variable: rmse, where: {method: particle}}
      denominator: {scores: sparse/analyses, variable: rmse, where: {method: ekf}}
    operator: "<"
    threshold: 0.8                 # or one for each scale: {quick: 0.45, desk: 0.32, paper: 0.32}
    threshold_from: a prototype    # where the threshold comes from, if not from the paper or theory
    null:                          # what must not pass, scored like the check; or a list of them
      name: observations
      inputs: {numerator: {...}}   # those inputs that differ
    timing: true                   # decided by a measured time
    decided_from: desk             # a check can wait for a larger scale than its claim

A check decides by its value. Every value has a bootstrap interval; where that straddles the
threshold, the reason says so, and a check of a measured time is then undecided. A check that a null
method passes tells nothing about the claim, which is then not decidable.

`conditions` are checks that must hold for the claim to be judged at all, such as the convergence of
a training. `notes` are checks that are reported with the claim and decide nothing.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import xarray as xr

from dalib.metrics.measures import Measured
from pipeline.claims.inputs import OPERATORS, SYMBOLS, ClaimError, NotRunError, select, written

SCALES = ("smoke", "quick", "desk", "paper")
REPRODUCED, IN_PART, NOT_REPRODUCED, UNDECIDED = VERDICTS = (
    "reproduced",
    "reproduced in part",
    "not reproduced",
    "not decidable at this scale",
)
SECTIONS = ("conditions", "checks", "notes")  # of a claim: lists of checks
KEYS = {"id", "statement", "published", "decided_from", *SECTIONS}
CHECK_KEYS = {
    *("name", "measure", "inputs", "operator", "threshold", "threshold_from"),
    *("null", "timing", "decided_from"),
}


class Null(NamedTuple):
    """What a method scores that must not pass a check."""

    name: str
    value: float
    holds: bool


class Outcome(NamedTuple):
    """One check, done."""

    name: str
    measured: Measured
    criterion: str
    holds: bool
    straddles: bool  # whether the interval of the value holds values on both sides
    timing: bool
    nulls: list[Null]
    missing: list[str]  # why a null was not run
    evidence: list[str]

    @property
    def open(self) -> str:
        """Why a measured time does not decide the check; "" if it does, or if it is none."""
        if self.timing and math.isnan(self.measured.low):
            return "a time measured once decides nothing"
        if self.timing and self.straddles:
            return "so that the measured time decides nothing"
        return ""

    @property
    def blind(self) -> str:
        """Why the check, if it holds, tells nothing about its claim; "" if it does."""
        passing = [f"{null.name} ({_short(null.value)})" for null in self.nulls if null.holds]
        said = [f"does not discriminate, since {' and '.join(passing)} would hold too"]
        return _joined([*(said if passing else []), *self.missing])


class Judged(NamedTuple):
    """A claim, judged."""

    verdict: str
    reason: str
    outcomes: list[Outcome]  # of conditions and checks
    notes: list[Outcome]


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
        _check_keys(claim)
        verdict, reason, outcomes, notes = _judged(claim, scores, scale, make)
        sections = [*claim.get("conditions", []), *_parted(claim, scale)[0]]
        criteria = {section["name"]: criterion(section, scale) for section in sections}
    except (ClaimError, KeyError) as error:
        missing = f"key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise ClaimError(f"claim {claim.get('id', '?')} of {paper}: {missing}") from error
    every = outcomes + notes
    sections = [section for part in SECTIONS for section in claim.get(part, [])]
    return {
        "id": claim["id"],
        "paper": paper,
        "statement": claim["statement"],
        "published": claim["published"],
        "measured": {o.name: number(o.measured.value) for o in every},
        "interval": {o.name: _ends(o.measured) for o in every},
        "criterion": criteria,
        "threshold_from": {
            section["name"]: section["threshold_from"]
            for section in sections
            if "threshold_from" in section
        },
        "nulls": {o.name: {n.name: number(n.value) for n in o.nulls} for o in every if o.nulls},
        "straddles": [o.name for o in outcomes if o.straddles],
        "verdict": verdict,
        "reason": reason,
        "evidence": sorted({e for o in every for e in o.evidence}),
    }


def _check_keys(claim: Mapping) -> None:
    sections = [section for part in SECTIONS for section in claim.get(part, [])]
    for section, known in [(claim, KEYS), *((s, CHECK_KEYS) for s in sections)]:
        unknown = sorted(section.keys() - known)
        if unknown:
            where = f" of {section['name']}" if "name" in section else ""
            raise ClaimError(
                f"unknown key {unknown[0]!r}{where}; known: {', '.join(sorted(known))}"
            )


def _judged(claim: Mapping, scores: Mapping, scale: str, make: Callable) -> Judged:
    """The verdict, and what was measured."""
    ready, waiting = _parted(claim, scale)
    conditions, unknown = _measured(claim.get("conditions", []), scores, scale, make)
    checks, absent = _measured(ready, scores, scale, make)
    verdict, reason = decide(conditions, checks, unknown, absent, bool(waiting))
    if not decides(claim, scale):
        reason = f"decided from scale {claim['decided_from']} upwards"
        verdict, reason = UNDECIDED, _joined([reason, *absent])
    notes, remarks = [], []
    for section in [*waiting, *claim.get("notes", [])]:
        later = f" (decided from scale {section['decided_from']})" if section in waiting else ""
        found, missing = _measured([section], scores, scale, make)
        notes += found
        remarks += [f"{o.name}: {sentence(o)}{later}" for o in found]
        remarks += [f"{why}{later}" for why in missing]
    return Judged(verdict, ". ".join([reason, *remarks]), conditions + checks, notes)


def _measured(
    sections: Iterable[Mapping], scores: Mapping, scale: str, make: Callable
) -> tuple[list[Outcome], list[str]]:
    """The checks that could be done, and why the others could not."""
    done, absent = [], []
    for section in sections:
        try:
            done.append(check(section, scores, scale, make))
        except NotRunError as error:
            absent.append(f"{section['name']}: {error}")
    return done, absent


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


def decide(
    conditions: Sequence[Outcome],
    checks: Sequence[Outcome],
    unknown: Sequence[str],
    absent: Sequence[str],
    waiting: bool,
) -> tuple[str, str]:
    """Verdict and reason.

    Args:
        conditions, checks: what was measured.
        unknown, absent: why other conditions and checks were not.
        waiting: whether some checks of the claim need a larger scale.
    """
    unmet = [f"{o.name}: {sentence(o)}" for o in conditions if not o.holds]
    if unmet or unknown:
        return UNDECIDED, _joined(["a condition is not met", *unmet, *unknown])
    failed = [o for o in checks if not o.holds and not o.open]
    if failed:
        return NOT_REPRODUCED, _joined(f"{o.name}: {sentence(o)}" for o in failed)
    told = [f"{o.name}: {_joined([sentence(o), *filter(None, [o.open, o.blind])])}" for o in checks]
    reason = _joined([*told, *absent]) or "no check is decided at this scale"
    if any(o.blind for o in checks) or all(o.open for o in checks):
        return UNDECIDED, reason
    in_part = waiting or absent or any(o.open for o in checks)
    return (IN_PART if in_part else REPRODUCED), reason


def sentence(outcome: Outcome) -> str:
    """`0.327 < 0.4 holds`, and the interval where it straddles the threshold."""
    value, low, high = outcome.measured
    if not math.isfinite(value):
        return f"{value} is not finite, so that {outcome.criterion} fails"
    told = f"{_short(value)} {outcome.criterion} {'holds' if outcome.holds else 'does not hold'}"
    if not outcome.straddles:
        return told
    return f"{told}, but its interval [{_short(low)}, {_short(high)}] straddles the threshold"


def check(section: Mapping, scores: Mapping, scale: str, make: Callable) -> Outcome:
    """One check: measure, compare, and do the same for the methods that must not pass."""
    if section["operator"] not in OPERATORS:
        known = ", ".join(OPERATORS)
        raise ClaimError(f"unknown operator {section['operator']!r}; known: {known}")
    measure, limit = make(section["measure"]), threshold(section["threshold"], scale)
    measured = measure(**_selected(scores, section["inputs"]))
    holds = _test(section["operator"], limit)
    nulls, missing = [], []
    for null in _listed(section.get("null", [])):
        own = section["inputs"] | null["inputs"]
        try:
            value = measure(**_selected(scores, own)).value
        except NotRunError as error:
            missing.append(f"what {null['name']} scores is not known: {error}")
        else:
            nulls.append(Null(null["name"], value, holds(value)))
    return Outcome(
        name=section["name"],
        measured=measured,
        criterion=criterion(section, scale),
        holds=holds(measured.value),
        straddles=straddles(holds, measured, limit),
        timing=section.get("timing", False),
        nulls=nulls,
        missing=missing,
        evidence=[written(address) for address in section["inputs"].values()],
    )


def _selected(scores: Mapping, inputs: Mapping) -> dict[str, xr.DataArray]:
    return {name: select(scores, address) for name, address in inputs.items()}


def _listed(nulls: Any) -> list[Mapping]:
    return [nulls] if isinstance(nulls, Mapping) else list(nulls)


def _test(name: str, limit: Any) -> Callable[[float], bool]:
    """Whether a value meets a criterion; what is not finite meets none."""
    return lambda value: math.isfinite(value) and bool(OPERATORS[name](value, limit))


def straddles(holds: Callable[[float], bool], measured: Measured, limit: Any) -> bool:
    """Whether some values of the interval meet the criterion and others do not."""
    value, low, high = measured
    if math.isnan(low):
        return False
    ends = limit if isinstance(limit, Sequence) else [limit]
    within = [min(max(end, low), high) for end in ends]
    return len({holds(x) for x in (low, value, high, *within)}) > 1


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


def number(value: float) -> float | None:
    """A plain float for JSON, which knows no NaN: none in its place."""
    return value if math.isfinite(value) else None


def _joined(sentences: Iterable[str]) -> str:
    return "; ".join(sentences)


def _ends(measured: Measured) -> list[float | None] | None:
    """Both ends of the interval; none where there are no replicates."""
    if math.isnan(measured.low):
        return None
    return [number(measured.low), number(measured.high)]


def _short(value: float) -> str:
    return f"{value:.3g}"
