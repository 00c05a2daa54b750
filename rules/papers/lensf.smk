"""Figures and tables of "Latent-EnSF"."""

TARGETS["lensf"] = [
    *expand("results/{scale}/lensf/basin/scores/fields.nc", **SCALE),
]


rule lensf:
    input:
        TARGETS["lensf"],
    localrule: True
