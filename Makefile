# Each target is one line that the README shows too.
SCALE ?= quick
PYTHON ?= python3
bin := .venv/bin
config := scale=$(SCALE) $(if $(SEEDS),seeds=$(SEEDS))
figure := $(if $(FIGURE),results/$(SCALE)/$(dir $(FIGURE))figures/$(notdir $(FIGURE)).pdf)
targets := $(or $(figure),$(PAPER))

.PHONY: all setup test test-slurm accuracy anchors bench chaos list slurm report configuration readme explain plan reference doctor verify unlock cache-prune lint clean
.DEFAULT_GOAL := all

all: setup
	@$(bin)/python -m pipeline run $(targets) --config $(config)

setup: .venv/.ok

.venv/.ok: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dalib needs Python 3.11 or newer, $(PYTHON) is " + sys.version.split()[0] + "; give another: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(bin)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

test: setup .venv/.slurm
	$(bin)/pytest -n 2 --dist loadfile

test-slurm: setup .venv/.slurm
	$(bin)/pytest -m slurm

accuracy: setup
	$(bin)/python -m benchmarks.accuracy

anchors: setup
	$(bin)/python -m benchmarks.anchors $(if $(DATA),--data $(DATA)) $(if $(CTF),--ctf $(CTF))

bench: setup
	$(bin)/python -m benchmarks.lorenz96_enkf
	$(bin)/python -m benchmarks.particle
	$(bin)/python -m benchmarks.gpt_speed
	$(bin)/python -m benchmarks.learning
	$(bin)/python -m benchmarks.shallow_water
	$(bin)/python -m benchmarks.local_letkf
	$(bin)/python -m benchmarks.latent
	$(bin)/python -m benchmarks.ensf
	$(bin)/python -m benchmarks.kalman

chaos: setup
	$(bin)/pytest -m chaos
	$(bin)/python -m benchmarks.chaos
	$(bin)/python -m benchmarks.many_jobs

list: setup
	@$(bin)/python -m pipeline list --config $(config)

slurm: setup .venv/.slurm
	@$(bin)/python -m pipeline run $(targets) --workflow-profile profiles/slurm $(addprefix --profile ,$(PROFILE)) --config $(config)

.venv/.slurm: .venv/.ok
	$(bin)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[slurm]'
	@touch $@

report: setup
	$(bin)/snakemake --report results/$(SCALE)/report.html --config $(config)

configuration: setup
	@$(bin)/python -m pipeline configuration

readme: setup
	@$(bin)/python -m pipeline readme --config $(config)

explain: setup
	@$(bin)/python -m pipeline explain $(STAGE) --config $(config)

plan: setup
	@$(bin)/python -m pipeline plan $(targets) --config $(config)

reference: setup
	@$(bin)/python -m pipeline reference

doctor: setup
	@$(bin)/python -m pipeline doctor --config $(config)

verify: setup
	@$(bin)/python -m pipeline verify --config $(config)

unlock: setup
	@$(bin)/python -m pipeline unlock

cache-prune: setup
	@$(bin)/python -m pipeline prune --config $(config)

lint: setup
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/snakefmt --check Snakefile rules papers/*/rules.smk

clean:
	rm -rf results/$(SCALE)
