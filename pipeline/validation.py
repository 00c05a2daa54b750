"""Cases that score on the validation part of another case, so that settings can be chosen there.

    basin_valid: {validation_of: basin, fields: {...}}

Such a case has the truth, the training states and the models of the other, and of the keys SHARED
those that it does not give itself.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from pipeline import kinds
from pipeline.problems import Problem

KEY = "validation_of"
SHARED = ("system", "integrator", "dtype", "observations", "prior")


def filled(config: Mapping[str, Any]) -> list[Problem]:
    """Fill such cases of a configuration from the cases that they name, in place.

    Returns:
        What is wrong with the names.
    """
    problems = []
    for paper, section in config.items():
        cases = section.get("cases", {}) if kinds.is_paper(section) else {}
        for name, case in cases.items() if isinstance(cases, Mapping) else ():
            if not isinstance(case, Mapping) or not isinstance(case.get(KEY), str):
                continue
            problem = _problem(cases, case)
            if problem:
                problems.append(Problem((paper, "cases", name, KEY), problem))
                continue
            home = cases[case[KEY]]
            for key in SHARED:
                if key in home:
                    case.setdefault(key, deepcopy(home[key]))
            truth = deepcopy(home["truth"])
            case["truth"] = {**truth, "test": truth["valid"]}
    return problems


def home_of(cases: Mapping[str, Any], name: str) -> str:
    """The case whose truth and models a case has: itself, or that whose validation it is."""
    return cases[name].get(KEY, name)


def _problem(cases: Mapping[str, Any], case: Mapping[str, Any]) -> str | None:
    home = cases.get(case[KEY])
    if home is None:
        others = [n for n, one in cases.items() if isinstance(one, Mapping) and KEY not in one]
        return f"no such case; there are: {', '.join(others)}"
    if not isinstance(kinds.get(home, "truth", "valid"), Mapping) or KEY in home:
        return f"{case[KEY]} has no validation trajectories of its own; name a case that has"
    if "truth" in case:
        return f"the truth is that of {case[KEY]}; take the key truth away"
    return None
