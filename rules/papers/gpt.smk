"""Figures and tables of "Deep representation learning for dynamical systems modeling"."""

TARGETS["gpt"] = [
    *expand("results/{scale}/gpt/scorecard.json", **SCALE),
]


rule gpt:
    input:
        TARGETS["gpt"],
    localrule: True
