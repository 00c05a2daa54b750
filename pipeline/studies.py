"""The stages of studies: inputs and specs, from configuration and wildcards alone.

    results/{scale}/{paper}/data/{data}/truth_{train,valid,test}.nc        simulate_data
    results/{scale}/{paper}/data/{data}/observations_{train,valid,test}.nc observe_data
    results/{scale}/{paper}/{study}/fit/part{part}.nc                      fit
    results/{scale}/{paper}/{study}/forecast/part{part}.nc                 forecast_runs
    results/{scale}/{paper}/{study}/scores.nc                              evaluate_runs

`data` is the name of a case, shared by all studies of it, or `case.study.n` where a study varies
what the data are made of: the n-th combination of these values. A stage is given the values of the
axes that it reads and no others: what it does not read does not make it stale.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dalib.experiments import runs, spec
from dalib.experiments.runs import FITTED, OBSERVED, SIMULATED, Run
from dalib.experiments.spec import Study
from dalib.registry import REGISTRIES
from pipeline.errors import ConfigError
from pipeline.fields import NoSuchClassError, class_constant
from pipeline.problems import unknown
from pipeline.specs import Specs

PARTS = ("train", "valid", "test")
WITHOUT_FIT = frozenset({"equations"})  # what a method may need and still have nothing to learn


@dataclass(frozen=True)
class Studies:
    """What rules ask about the studies of all papers; every method takes wildcards."""

    specs: Specs

    @cached_property
    def studies(self) -> dict[str, dict[str, Study]]:
        """{paper: {study: its typed section}}."""
        config = self.specs.config
        return {
            name: spec.studies(paper)
            for name, paper in config.items()
            if isinstance(paper, Mapping) and "studies" in paper
        }

    # -- simulate and observe --------------------------------------------------------------------

    def simulate_spec(self, wildcards: Any) -> dict[str, Any]:
        """Of the truth: equations, integrator and truth of the case."""
        case, values = self._data(wildcards, SIMULATED)
        sections = {"case": (f"{wildcards.paper}.cases.{case}", *SIMULATED)}
        return self._spec(wildcards, "simulate_data.py", case, sections, values=values)

    def observe_inputs(self, wildcards: Any) -> dict[str, str]:
        """The truth, of every part."""
        folder = self._folder(wildcards, self.truth_name(wildcards.paper, wildcards.data))
        return {part: f"{folder}/truth_{part}.nc" for part in PARTS}

    def observe_spec(self, wildcards: Any) -> dict[str, Any]:
        case, values = self._data(wildcards, ("observations",))
        sections = {"case": (f"{wildcards.paper}.cases.{case}", "dtype", "observations")}
        return self._spec(wildcards, "observe_data.py", case, sections, values=values)

    def truth_name(self, paper: str, data: str) -> str:
        """The data that hold the truth of `data`: of those with the same truth the first."""
        case, *study = data.split(".")
        if not study:
            return case
        found = self.studies[paper][study[0]]
        variants = self._variants(found)
        wanted = _of(variants[int(study[1])], SIMULATED)
        if self._as_given(paper, case, wanted):
            return case
        first = next(i for i, one in enumerate(variants) if _of(one, SIMULATED) == wanted)
        return f"{case}.{study[0]}.{first}"

    # -- fit -------------------------------------------------------------------------------------

    def fit_inputs(self, wildcards: Any) -> dict[str, list[str]]:
        """Training and validation part of what the methods of the part learn from."""
        part = self._part(wildcards, self.fit_parts)
        folders = [self._folder(wildcards, name) for name in self._names(wildcards, part)]
        return {p: [f"{folder}/observations_{p}.nc" for folder in folders] for p in PARTS[:2]}

    def fit_spec(self, wildcards: Any) -> dict[str, Any]:
        part = self._part(wildcards, self.fit_parts)
        names = self._names(wildcards, part)
        entries = [self._entry(wildcards, run, FITTED, names) for run in part]
        return self._method_spec(wildcards, "fit.py", part, (), runs=entries)

    def fit_parts(self, paper: str, study: str) -> list[list[Run]]:
        """The runs of every job of the stage fit, of the methods that have something to learn."""
        found = self.studies[paper][study]
        learned = [run for run in runs.runs(found) if self.learns(paper, found, run.method)]
        return runs.parts(found, runs.distinct(learned, FITTED), self._per_job)

    # -- forecast --------------------------------------------------------------------------------

    def forecast_inputs(self, wildcards: Any) -> dict[str, list[str]]:
        """Observations of the test part, and what was fitted."""
        part = self._part(wildcards, self.forecast_parts)
        given = [self._folder(wildcards, name) for name in self._names(wildcards, part)]
        study = f"results/{wildcards.scale}/{wildcards.paper}/{wildcards.study}"
        fits = [f"{study}/fit/part{n}.nc" for n in self._fits_of(wildcards, part)]
        context = [f"{folder}/observations_test.nc" for folder in given]
        return {"context": context, **({"fits": fits} if fits else {})}

    def forecast_spec(self, wildcards: Any) -> dict[str, Any]:
        part = self._part(wildcards, self.forecast_parts)
        names = self._names(wildcards, part)
        entries = [self._entry(wildcards, run, (*FITTED, "forecast"), names) for run in part]
        return self._method_spec(wildcards, "forecast_runs.py", part, ("forecast",), runs=entries)

    def forecast_parts(self, paper: str, study: str) -> list[list[Run]]:
        """The runs of every job of the stage forecast."""
        found = self.studies[paper][study]
        return runs.parts(found, runs.runs(found), self._per_job)

    def _fits_of(self, wildcards: Any, part: Iterable[Run]) -> list[int]:
        wanted = {runs.identity(runs.restricted(run, FITTED)) for run in part}
        fits = self.fit_parts(wildcards.paper, wildcards.study)
        return [n for n, fit in enumerate(fits) if wanted & set(map(runs.identity, fit))]

    # -- evaluate --------------------------------------------------------------------------------

    def evaluate_inputs(self, wildcards: Any) -> dict[str, list[str]]:
        """The truth, and what was forecast."""
        names = [self.truth_name(wildcards.paper, name) for name in self._all_names(wildcards)]
        folders = [self._folder(wildcards, name) for name in dict.fromkeys(names)]
        return {
            "truth": [f"{folder}/truth_test.nc" for folder in folders],
            "training": [f"{folder}/truth_train.nc" for folder in folders],
            "forecasts": self.results(wildcards.paper, wildcards.study, "forecast"),
        }

    def evaluate_spec(self, wildcards: Any) -> dict[str, Any]:
        study = self.studies[wildcards.paper][wildcards.study]
        truths = [self.truth_name(wildcards.paper, name) for name in self._all_names(wildcards)]
        truths = list(dict.fromkeys(truths))
        parts = self.forecast_parts(wildcards.paper, wildcards.study)
        entries = [
            self._entry(wildcards, run, None, truths, truth=True) for part in parts for run in part
        ]
        metrics = {name: dict(one) for name, one in study.metrics.items()}
        sections = {
            "case": (f"{wildcards.paper}.cases.{study.case}", "system", "integrator", "forecast")
        }
        classes = [dotted("metric", one["kind"]) for one in metrics.values()]
        more = {"runs": entries, "metrics": metrics, "classes": sorted(set(classes))}
        return self._spec(wildcards, "evaluate_runs.py", study.case, sections, **more)

    def results(self, paper: str, study: str, stage: str) -> list[str]:
        """The files of a stage, "fit" or "forecast", of one study."""
        count = len({"fit": self.fit_parts, "forecast": self.forecast_parts}[stage](paper, study))
        folder = f"results/{self.specs.config['scale']}/{paper}/{study}/{stage}"
        return [f"{folder}/part{n}.nc" for n in range(count)]

    def scores(self, paper: str) -> list[str]:
        """The score files of a paper's studies."""
        scale = self.specs.config["scale"]
        return [f"results/{scale}/{paper}/{s}/scores.nc" for s in self.studies.get(paper, {})]

    # -- what a method is ------------------------------------------------------------------------

    def learns(self, paper: str, study: Study, method: str) -> bool:
        """Whether a method has something to fit."""
        return not self.needs(paper, study, method) <= WITHOUT_FIT

    def needs(self, paper: str, study: Study, method: str) -> frozenset[str]:
        """What the class of a method says that it needs, read from its source."""
        _, role = spec.TASKS[study.task]
        section = spec.method(self.specs.config[paper], study, method)
        where = f"{paper}.studies.{study.name}.methods.{method}"
        try:
            found = class_constant(dotted(role, section["kind"]), self.specs.root, "needs")
        except NoSuchClassError as error:
            raise ConfigError(f"{where}: {error}") from error
        if found is None:
            raise ConfigError(
                f"{where}: {section['kind']} does not say what it needs; give the class "
                'needs: ClassVar[frozenset[str]] = frozenset({"states"})'
            )
        return frozenset(found)

    # -- shared ----------------------------------------------------------------------------------

    @property
    def _per_job(self) -> int:
        return self.specs.config["batches"]["runs"]

    def _part(self, wildcards: Any, parts: Any) -> list[Run]:
        found, number = parts(wildcards.paper, wildcards.study), int(wildcards.part)
        if number >= len(found):
            raise ConfigError(f"{wildcards.study} has {len(found)} parts, no part {number}")
        return found[number]

    def _data(self, wildcards: Any, heads: Iterable[str]) -> tuple[str, dict[str, Any]]:
        """(case, {axis: value} as far as it is of `heads`) of the wildcard data."""
        case, *study = wildcards.data.split(".")
        if not study:
            return case, {}
        variants = self._variants(self.studies[wildcards.paper][study[0]])
        return case, _of(variants[int(study[1])], heads)

    def _variants(self, study: Study) -> list[dict[str, Any]]:
        """Every combination {axis: value} of what data are made of."""
        found = runs.distinct((r for r in runs.runs(study)), OBSERVED)
        coordinates = {str(sorted(r.coordinates.items(), key=str)): r.coordinates for r in found}
        return [runs.values(study, one) for one in coordinates.values()]

    def data_name(self, paper: str, study: Study, run: Run) -> str:
        """The data of a run: those of its case, or a variant that the study asks for."""
        chosen = runs.values(study, runs.restricted(run, OBSERVED).coordinates)
        if self._as_given(paper, study.case, chosen):
            return study.case
        return f"{study.case}.{study.name}.{self._variants(study).index(chosen)}"

    def _as_given(self, paper: str, case: str, chosen: Mapping[str, Any]) -> bool:
        """Whether values are those of the case itself."""
        section = self.specs.config[paper]["cases"][case]
        return runs.case_at(section, chosen) == section

    def _names(self, wildcards: Any, part: Iterable[Run]) -> list[str]:
        study = self.studies[wildcards.paper][wildcards.study]
        return list(dict.fromkeys(self.data_name(wildcards.paper, study, run) for run in part))

    def _all_names(self, wildcards: Any) -> list[str]:
        return self._names(wildcards, runs.runs(self.studies[wildcards.paper][wildcards.study]))

    def _folder(self, wildcards: Any, data: str) -> str:
        return f"results/{wildcards.scale}/{wildcards.paper}/data/{data}"

    def _entry(
        self, wildcards: Any, run: Run, heads: Iterable[str] | None, names: list[str], truth=False
    ) -> dict[str, Any]:
        """A run in a spec: its coordinates, values as far as they are read, and which data it has.

        With heads None all coordinates and whether it is a base run.
        """
        study = self.studies[wildcards.paper][wildcards.study]
        data = self.data_name(wildcards.paper, study, run)
        data = self.truth_name(wildcards.paper, data) if truth else data
        seen = run if heads is None else runs.restricted(run, heads)
        entry = {"method": run.method, "coordinates": dict(seen.coordinates)}
        entry |= {"values": runs.values(study, seen.coordinates), "replicate": run.replicate}
        return entry | {"data": names.index(data)} | ({"is_base": run.is_base} if truth else {})

    def _method_spec(
        self, wildcards: Any, script: str, part: list[Run], keys: tuple[str, ...], **more: Any
    ) -> dict[str, Any]:
        """Of a stage that runs one method: its section, and of the case only what it reads."""
        study, method = self.studies[wildcards.paper][wildcards.study], part[0].method
        collection, role = spec.TASKS[study.task]
        needs = self.needs(wildcards.paper, study, method)
        keys = (*keys, *(("system", "integrator") if "equations" in needs else ()))
        own = f"studies.{study.name}.methods.{method}"
        shared = method in self.specs.config[wildcards.paper].get(collection, {})
        sections = {"method": (f"{wildcards.paper}.{own}",)}
        sections |= {"shared": (f"{wildcards.paper}.{collection}.{method}",)} if shared else {}
        if keys:
            sections["case"] = (f"{wildcards.paper}.cases.{study.case}", *keys)
        more |= {"role": role, "roles": {"method": role, "shared": role}}
        return self._spec(wildcards, script, study.case, sections, **more)

    def _spec(
        self, wildcards: Any, script: str, case: str, sections: Mapping[str, tuple], **more: Any
    ) -> dict[str, Any]:
        seed = self.specs.config["seed"]
        request = {
            "script": script,
            "sections": {name: list(section) for name, section in sections.items()},
            "experiment": f"{seed}/{wildcards.paper}/{case}",
        }
        return self.specs.made({**request, **more})[0]


def _of(values: Mapping[str, Any], heads: Iterable[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name.split(".")[0] in set(heads)}


def dotted(role: str, kind: str) -> str:
    """The class that a kind names, "package.module:Class"."""
    if ":" in kind:
        return kind
    if kind not in REGISTRIES[role]:
        raise ConfigError(unknown(role, kind, REGISTRIES[role]))
    return REGISTRIES[role][kind]
