"""The stages of studies: inputs and specs, from configuration and wildcards alone.

    results/{scale}/{paper}/data/{data}/truth_{train,valid,test}.nc        simulate_data, era5_data
    results/{scale}/{paper}/data/{data}/observations_{train,valid,test}.nc observe_data
    results/{scale}/{paper}/data/{data}/prior{,_valid}.nc                  prior_data
    results/{scale}/{paper}/data/{data}/codecs/{codec}_{stride}_{std}.nc   fit_codec
    results/{scale}/{paper}/data/{data}/dynamics.nc                        fit_dynamics
    results/{scale}/{paper}/{study}/fit/part{part}.nc                      fit
    results/{scale}/{paper}/{study}/forecast/part{part}.nc                 forecast_runs
    results/{scale}/{paper}/{study}/assimilate/part{part}.nc               assimilate_runs
    results/{scale}/{paper}/{study}/sample/part{part}.nc                   sample_runs
    results/{scale}/{paper}/{study}/times.nc                              time_runs
    results/{scale}/{paper}/{study}/scores.nc                              evaluate_runs

`data` is the name of a case, shared by all studies of it, or `case.study.n` where a study varies
what the data are made of: the n-th combination of these values. A stage is given the values of the
axes that it reads and no others: what it does not read does not make it stale. What is fitted from
the same data with the same settings is fitted once, in the first study that asks for it.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from typing import Any, NamedTuple

from dalib.era5 import sources
from dalib.experiments import runs, spec
from dalib.experiments.runs import DATA, FITTED, KNOWN, OBSERVED, SIMULATED, Run
from dalib.experiments.spec import OF_METHODS, Study
from dalib.registry import REGISTRIES
from pipeline import kinds
from pipeline.errors import ConfigError
from pipeline.fields import NoSuchClassError, class_constant
from pipeline.problems import unknown
from pipeline.specs import Specs

PARTS = ("train", "valid", "test")
OTHER = ("reference", "valid")  # what metrics may ask for beside truth and training
PRIORS = {"test": "prior.nc", "valid": "prior_valid.nc"}
LEARNED = {"stride": 1, "obs_std_relative": 0.0}  # what a codec learns of observations, else
WITHOUT_FIT = frozenset({"equations"})  # what a method may need and still have nothing to learn
EQUATIONS = ("system", "integrator", "dtype")
READS = {  # of a case, what the stage of a task reads beside the equations
    "forecast": ("forecast",),
    "assimilate": ("observations", "prior", "era5"),
    "sample": ("sample", "system"),
}
# What metrics ask of fitted methods, and of measured ones.
OF_FITS = frozenset({"parameters", "exponent", "history", "fitted", "coded"})
TIMES = frozenset({"forecast_seconds"})


class Fit(NamedTuple):
    """Where something is fitted: in which study, and under which name in its files."""

    study: str
    name: str


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

    # -- simulate, observe and prior -------------------------------------------------------------

    def simulate_spec(self, wildcards: Any) -> dict[str, Any]:
        """Of the truth: equations, integrator and truth of the case."""
        case, values = self._data(wildcards, SIMULATED)
        sections = {"case": (f"{wildcards.paper}.cases.{case}", *SIMULATED)}
        return self._spec(wildcards, "simulate_data.py", case, sections, values=values)

    def observe_inputs(self, wildcards: Any) -> dict[str, str]:
        """The truth, of every part."""
        folder = self._folder(wildcards, self.name_of(wildcards.paper, wildcards.data, SIMULATED))
        return {part: f"{folder}/truth_{part}.nc" for part in PARTS}

    def observe_spec(self, wildcards: Any) -> dict[str, Any]:
        case, values = self._data(wildcards, ("observations",))
        sections = {"case": (f"{wildcards.paper}.cases.{case}", "dtype", "observations")}
        return self._spec(wildcards, "observe_data.py", case, sections, values=values)

    def prior_inputs(self, wildcards: Any) -> dict[str, str]:
        """The truth that a prior errs from, and training states."""
        inputs = self.observe_inputs(wildcards)
        return {"truth": inputs[wildcards.of.removeprefix("_") or "test"], "train": inputs["train"]}

    def prior_spec(self, wildcards: Any) -> dict[str, Any]:
        case, values = self._data(wildcards, ("prior",))
        drawn = "starts" in self._case(wildcards.paper, case)["prior"]
        more = (*EQUATIONS[:2], "era5") if drawn else ()
        keys = ("dtype", "prior", *more)
        sections = {"case": (f"{wildcards.paper}.cases.{case}", *keys)}
        return self._spec(wildcards, "prior_data.py", case, sections, values=values)

    def name_of(self, paper: str, data: str, heads: Iterable[str]) -> str:
        """The data that hold what is made of `heads`: of those with the same values the first."""
        case, *study = data.split(".")
        if not study:
            return case
        variants = self._variants(paper, study[0])
        wanted = _of(variants[int(study[1])], heads)
        if self._as_given(paper, case, wanted):
            return case
        first = next(i for i, one in enumerate(variants) if _of(one, heads) == wanted)
        return f"{case}.{study[0]}.{first}"

    def reanalysis(self, wildcards: Any) -> dict[str, list[str]]:
        """Files of the reanalysis that a case points to; none of a store, or of the stand-in."""
        case, _ = self._data(wildcards, ())
        found = self.files_of(wildcards.paper, case, "era5")
        return {"fields": found} if found else {}

    def files_of(self, paper: str, case: str, key: str) -> list[str]:
        """Files that a section of a case points to; none of a store, or of a stand-in."""
        return sources.files(self._case(paper, case)[key]["path"])

    def reanalysis_spec(self, wildcards: Any) -> dict[str, Any]:
        case, values = self._data(wildcards, ("era5",))
        sections = {"case": (f"{wildcards.paper}.cases.{case}", "era5")}
        return self._spec(wildcards, "era5_data.py", case, sections, values=values)

    def data_of(self, key: str) -> str:
        """A regular expression of the data whose case has this key, in whatever paper."""
        cases = {
            case
            for paper, studies in self.studies.items()
            for case in (self.specs.config[paper]["cases"] if studies else ())
            if key in self._case(paper, case)
        }
        found = (rf"{re.escape(case)}(\.\w+\.\d+)?" for case in sorted(cases))
        return "|".join(found) or "(?!)"

    # -- learned parts of methods and models -----------------------------------------------------

    def learned_inputs(self, wildcards: Any) -> dict[str, str]:
        """True states of the training and the validation part."""
        inputs = self.observe_inputs(wildcards)
        return {part: inputs[part] for part in PARTS[:2]}

    def codec_spec(self, wildcards: Any) -> dict[str, Any]:
        """Of a codec with the distance of sensors and the errors that it learns to encode."""
        case, values = self._data(wildcards, ("observations",))
        sections = {
            "codec": (f"{wildcards.paper}.codecs.{wildcards.codec}",),
            "case": (f"{wildcards.paper}.cases.{case}", "observations"),
        }
        learned = {"stride": int(wildcards.stride), "obs_std_relative": float(wildcards.std)}
        more = {"learned": learned, "values": values, "device": self.specs.device("train")}
        return self._spec(wildcards, "fit_codec.py", case, sections, **more)

    def dynamics_spec(self, wildcards: Any) -> dict[str, Any]:
        """Of the network that forecasts the states of a case."""
        case, _ = self._data(wildcards, ())
        sections = {"dynamics": (f"{wildcards.paper}.cases.{case}.dynamics",)}
        device = self.specs.device("train")
        return self._spec(wildcards, "fit_dynamics.py", case, sections, device=device)

    def section_of(self, paper: str, study: Study, run: Run) -> dict[str, Any]:
        """The settings of a run's method; a codec has those of the observations of the run."""
        chosen = runs.values(study, run.coordinates)
        found = runs.method_at(spec.method(self.specs.config[paper], study, run.method), chosen)
        name = found.get("codec")
        if not isinstance(name, str):
            return found
        codec = {"name": name, **self.specs.config[paper]["codecs"][name]}
        seen = runs.case_at(self._case(paper, study.case), chosen)["observations"]
        learned = {key: codec.get(key) for key in LEARNED}
        for key, otherwise in LEARNED.items():
            if learned[key] is None:
                learned[key] = seen.get(key, otherwise)
        return {**found, "codec": {**codec, **learned}}

    def _given(self, paper: str, study: Study, run: Run) -> dict[str, Any]:
        """Numbers and names of the observations and the prior of a run."""
        case = runs.case_at(self._case(paper, study.case), runs.values(study, run.coordinates))
        both = {**case.get("observations", {}), **case.get("prior", {})}
        return {name: v for name, v in both.items() if isinstance(v, int | float | str)}

    def codec_of(self, wildcards: Any, study: Study, run: Run) -> str | None:
        """The file of a run's codec; None of a method without one, or with one of its own."""
        codec = self.section_of(wildcards.paper, study, run).get("codec")
        if codec is None or "name" not in codec:
            return None
        data = self.name_of(wildcards.paper, self.data_name(wildcards.paper, study, run), SIMULATED)
        name = f"{codec['name']}_{codec['stride']}_{codec['obs_std_relative']:g}"
        return f"{self._folder(wildcards, data)}/codecs/{name}.nc"

    def codecs(self, wildcards: Any, part: Iterable[Run], study: Study | None = None) -> list[str]:
        """The codecs of some runs, each once."""
        study = study or self._study(wildcards)
        found = (self.codec_of(wildcards, study, run) for run in part)
        return [path for path in dict.fromkeys(found) if path]

    def _with_parts(self, wildcards: Any, part: list[Run], study: Study) -> dict[str, list[str]]:
        """Codecs and learned dynamics of some runs, as far as there are any."""
        codecs, case = self.codecs(wildcards, part, study), self._case(wildcards.paper, study.case)
        learned = self._files(wildcards, part, SIMULATED, "dynamics.nc", study)
        return {
            **({"codecs": codecs} if codecs else {}),
            **({"dynamics": learned} if "dynamics" in case else {}),
        }

    def _tuned_on(self, wildcards: Any, part: list[Run], study: Study) -> dict[str, list[str]]:
        """The validation part, for methods with settings that it chooses."""
        if not any(run.method in study.tune for run in part):
            return {}
        return {
            "valid_truth": self._files(wildcards, part, SIMULATED, "truth_valid.nc", study),
            "valid_observations": self._seen(wildcards, part, "valid", study),
            "valid_prior": self._files(wildcards, part, KNOWN, "prior_valid.nc", study),
        }

    # -- fit -------------------------------------------------------------------------------------

    def fit_inputs(self, wildcards: Any) -> dict[str, list[str]]:
        """Training and validation part of what the methods of the part learn from."""
        part = self._part(wildcards, self.fit_parts)
        return {p: self._seen(wildcards, part, p) for p in PARTS[:2]}

    def fit_spec(self, wildcards: Any) -> dict[str, Any]:
        part = self._part(wildcards, self.fit_parts)
        entries = [self._entry(wildcards, run, FITTED, part, fit=True) for run in part]
        study, method = self._study(wildcards), part[0].method
        later = self._later(wildcards.paper, study, method)
        given = self._method_sections(wildcards.paper, study, method, without=later)
        return self._method_spec(wildcards, "fit.py", part, (), given, device="fit", runs=entries)

    def fit_parts(self, paper: str, study: str) -> list[list[Run]]:
        """The runs of every job of the stage fit: of what no study before has fitted."""
        return self._once(Studies._fit_parts, paper, study)

    def _fit_parts(self, paper: str, study: str) -> list[list[Run]]:
        found, named = self.studies[paper][study], self._fits(paper)
        first: dict[str, Run] = {}
        for run in runs.runs(found):
            of = self._fit_of(paper, found, run)
            if of and named[of].study == study:
                first.setdefault(of, run)
        kept = [self._as_fitted(paper, found, run) for run in first.values()]
        return runs.parts(found, kept, self._per_job)

    def _as_fitted(self, paper: str, study: Study, run: Run) -> Run:
        """A run as fits see it: with what these read alone."""
        later = {f"{OF_METHODS}.{name}" for name in self._later(paper, study, run.method)}
        seen = runs.restricted(run, FITTED)
        kept = {n: v for n, v in seen.coordinates.items() if _first(n, 2) not in later}
        return replace(seen, coordinates=kept)

    def _later(self, paper: str, study: Study, method: str) -> frozenset[str]:
        """Settings of a method that a fit does not read."""
        return frozenset(self._constant(paper, study, method, "after_fit") or ())

    def fit_name(self, paper: str, study: Study, run: Run) -> str | None:
        """The name under which its fit is kept; None of a method that has nothing to fit."""
        of = self._fit_of(paper, study, run)
        return self._fits(paper)[of].name if of else None

    def _fits(self, paper: str) -> dict[str, "Fit"]:
        """{what decides a fit: the first study that asks for it, and its name there}."""
        return self._once(Studies._first_fits, paper)

    def _first_fits(self, paper: str) -> dict[str, "Fit"]:
        found: dict[str, Fit] = {}
        for name, study in self.studies[paper].items():
            for run in runs.runs(study):
                of = self._fit_of(paper, study, run)
                if of and of not in found:
                    given = [json.loads(of)[0], self._chosen(study, run), run.replicate]
                    text = json.dumps(given, sort_keys=True)
                    found[of] = Fit(name, hashlib.sha256(text.encode()).hexdigest()[:16])
        return found

    def _fit_of(self, paper: str, study: Study, run: Run) -> str | None:
        """All that decides the fit of a run, as text: equal for equal fits of all studies."""
        return self._once(Studies._deciding, paper, study.name).get(runs.identity(run))

    def _deciding(self, paper: str, name: str) -> dict[tuple, str]:
        study, config = self.studies[paper][name], self.specs.config[paper]
        case, found = self._case(paper, study.case), {}
        for run in runs.runs(study):
            if not self.learns(paper, study, run.method):
                continue
            varied = runs.values(study, run.coordinates)
            section = runs.method_at(spec.method(config, study, run.method), varied)
            later = {"kind", *self._later(paper, study, run.method)}
            settings = {k: v for k, v in section.items() if k not in later}
            method = [study.case, self._class(paper, study, run.method), settings]
            chosen = self._chosen(study, run).items()
            own = {n: v for n, v in chosen if runs.case_at(case, {n: v}) != case}
            decides = [method, own, run.replicate]
            text = json.dumps(decides, sort_keys=True)
            for seen in (run, self._as_fitted(paper, study, run)):
                found[runs.identity(seen)] = text
        return found

    @staticmethod
    def _chosen(study: Study, run: Run) -> dict[str, Any]:
        """{axis: value} of what a run learns from."""
        return runs.values(study, runs.restricted(run, OBSERVED).coordinates)

    def fits_of(self, paper: str, study: str, part: Iterable[Run]) -> list[str]:
        """The files that hold what was fitted for some runs."""
        found = self.studies[paper][study]
        files = self._once(Studies._fit_files, paper)
        wanted = filter(None, (self._fit_of(paper, found, run) for run in part))
        return list(dict.fromkeys(files[of] for of in wanted))

    def _fit_files(self, paper: str) -> dict[str, str]:
        """{what decides a fit: its file}."""
        named = {fit.name: of for of, fit in self._fits(paper).items()}
        return {
            named[self.fit_name(paper, study, run)]: file
            for name, study in self.studies[paper].items()
            for part, file in zip(
                self.fit_parts(paper, name), self.results(paper, name, "fit"), strict=True
            )
            for run in part
        }

    # -- what methods do -------------------------------------------------------------------------

    def forecast_inputs(self, wildcards: Any) -> dict[str, list[str]]:
        """Observations of the test part, and what was fitted."""
        part = self._part(wildcards, self.task_parts)
        return {"context": self._seen(wildcards, part, "test"), **self._fitted(wildcards, part)}

    def forecast_spec(self, wildcards: Any) -> dict[str, Any]:
        return self._task_spec(wildcards, "forecast_runs.py")

    def assimilate_inputs(self, wildcards: Any) -> dict[str, list[str]]:
        """Observations of the test part, the prior of a method that has one, what was fitted."""
        part, study = self._part(wildcards, self.task_parts), self._study(wildcards)
        priors = self._files(wildcards, part, KNOWN, PRIORS[study.split])
        return {
            "observations": self._seen(wildcards, part, study.split),
            **({"prior": priors} if self._has_prior(wildcards, part) else {}),
            **self._fitted(wildcards, part),
            **self._with_parts(wildcards, part, study),
            **self._tuned_on(wildcards, part, study),
        }

    def assimilate_spec(self, wildcards: Any) -> dict[str, Any]:
        return self._task_spec(wildcards, "assimilate_runs.py")

    def sample_inputs(self, wildcards: Any) -> dict[str, list[str]]:
        """What was fitted."""
        return self._fitted(wildcards, self._part(wildcards, self.task_parts))

    def sample_spec(self, wildcards: Any) -> dict[str, Any]:
        return self._task_spec(wildcards, "sample_runs.py")

    def task_parts(self, paper: str, study: str) -> list[list[Run]]:
        """The runs of every job of the stage of a study's task."""
        return self._once(Studies._task_parts, paper, study)

    def _task_parts(self, paper: str, study: str) -> list[list[Run]]:
        found = self.studies[paper][study]
        if self._sampled(paper, found):  # runs are one after the other, whatever their methods
            return runs.parts(found, runs.runs(found), self._per_job, SIMULATED, together=True)
        return runs.parts(found, runs.runs(found), self._per_job)

    def _sampled(self, paper: str, study: Study) -> int | None:
        """Components whose members are kept, of states so large that not all are."""
        given = self._case(paper, study.case).get("assimilate", {}).get("sampled")
        return given if study.task == "assimilate" else None

    def _task_spec(self, wildcards: Any, script: str) -> dict[str, Any]:
        part = self._part(wildcards, self.task_parts)
        task = self.studies[wildcards.paper][wildcards.study].task
        heads = (*FITTED, *READS[task])
        entries = [self._entry(wildcards, run, heads, part, fit=True) for run in part]
        study = self._study(wildcards)
        keys = tuple(key for key in READS[task] if key != "prior")
        if sampled := self._sampled(wildcards.paper, study):
            return self._gridded_spec(wildcards, script, part, entries, sampled)
        given = self._method_sections(wildcards.paper, study, part[0].method)
        return self._method_spec(wildcards, script, part, keys, given, device=task, runs=entries)

    def _gridded_spec(
        self, wildcards: Any, script: str, part: list[Run], entries: list, sampled: int
    ) -> dict[str, Any]:
        """Of runs of several methods: each says its own settings, and what is tuned of them."""
        study, paper = self._study(wildcards), wildcards.paper
        for run, entry in zip(part, entries, strict=True):
            section = self.section_of(paper, study, run)
            entry["section"] = {k: v for k, v in section.items() if k != "codec"}
            if run.method in study.tune:
                entry["tune"] = asdict(study.tune[run.method])
        found = [
            choice for one in entries for choice in kinds.choices(one["section"], ("filters", ""))
        ]
        more = {"runs": entries, "gridded": {"sampled": sampled}}
        more |= {"classes": sorted({choice.dotted for choice in found})}
        return self._method_spec(
            wildcards, script, part, READS[study.task], {}, device=study.task, **more
        )

    def _fitted(self, wildcards: Any, part: Iterable[Run]) -> dict[str, list[str]]:
        fits = self.fits_of(wildcards.paper, wildcards.study, part)
        return {"fits": fits} if fits else {}

    def _has_prior(self, wildcards: Any, part: list[Run]) -> bool:
        """Whether a method is given what is known at time 0: one that knows the equations."""
        study = self.studies[wildcards.paper][wildcards.study]
        needs = self.needs(wildcards.paper, study, part[0].method)
        return "equations" in needs and "prior" in self._case(wildcards.paper, study.case)

    # -- evaluate --------------------------------------------------------------------------------

    def evaluate_inputs(self, wildcards: Any) -> dict[str, list[str]]:
        """What was made and what it is compared with, as far as the metrics ask for it."""
        paper, study = wildcards.paper, self.studies[wildcards.paper][wildcards.study]
        every, asked = runs.runs(study), self._asked(study)
        truth = {
            name: self._files(wildcards, every, SIMULATED, f"truth_{part}.nc")
            for name, part in [
                ("truth", study.split),
                ("training", "train"),
                ("reference", "valid"),
            ]
            if name != "reference" or name in asked
        }
        observed = study.task == "assimilate" or asked & {"observations", "obs_std"}
        seen = self._files(wildcards, every, OBSERVED, f"observations_{study.split}.nc")
        codecs = self.codecs(wildcards, every) if asked & OF_FITS else []
        return {
            **truth,
            **({"observations": seen} if observed else {}),
            "results": self.results(paper, study.name, study.task),
            **(self._fitted(wildcards, every) if asked & OF_FITS else {}),
            **({"codecs": codecs} if codecs else {}),
            **({"timing": [self.timing(paper, study.name)]} if self._timed(study, asked) else {}),
        }

    def evaluate_spec(self, wildcards: Any) -> dict[str, Any]:
        paper, study = wildcards.paper, self.studies[wildcards.paper][wildcards.study]
        every, asked = runs.runs(study), self._asked(study)
        fitted = bool(asked & OF_FITS)
        entries = [
            self._entry(wildcards, run, None, every, fit=fitted)
            for part in self.task_parts(paper, study.name)
            for run in part
        ]
        metrics = {name: dict(one) for name, one in study.metrics.items()}
        keys = ("system", "integrator", study.task)
        sections = {"case": (f"{paper}.cases.{study.case}", *keys)}
        classes = [dotted("metric", one["kind"]) for one in metrics.values()]
        for name in study.methods if fitted else ():
            sections |= self._method_sections(paper, study, name, f".{name}")
        more = {"runs": entries, "metrics": metrics, "classes": sorted(set(classes))}
        more |= {"task": study.task, **_roles(study, sections)}
        return self._spec(wildcards, "evaluate_runs.py", study.case, sections, **more)

    def _asked(self, study: Study) -> frozenset[str]:
        """What the metrics of a study use of an Evaluation, as the source of their classes says."""
        found: set[str] = set()
        for one in study.metrics.values():
            for name in ("asks", "takes"):
                cls = dotted("metric", one["kind"])
                found |= class_constant(cls, self.specs.root, name) or frozenset()
        return frozenset(found)

    def _timed(self, study: Study, asked: frozenset[str]) -> bool:
        return bool(study.timing and asked & TIMES)

    def results(self, paper: str, study: str, stage: str) -> list[str]:
        """The files of a stage of one study: "fit", or its task."""
        parts = self.fit_parts if stage == "fit" else self.task_parts
        folder = f"results/{self.specs.config['scale']}/{paper}/{study}/{stage}"
        return [f"{folder}/part{n}.nc" for n in range(len(parts(paper, study)))]

    def results_of(self, paper: str, study: str, method: str) -> list[str]:
        """The files of the task of a study that hold the runs of one method."""
        found = self.studies[paper][study]
        files = self.results(paper, study, found.task)
        parts = self.task_parts(paper, study)
        return [f for f, part in zip(files, parts, strict=True) if part[0].method == method]

    def observed(self, paper: str, study: str) -> list[str]:
        """What is observed in the runs of a study, every file once."""
        found, folder = self.studies[paper][study], f"results/{self.specs.config['scale']}/{paper}"
        names = (
            self.name_of(paper, self.data_name(paper, found, run), OBSERVED)
            for run in runs.runs(found)
        )
        return [
            f"{folder}/data/{name}/observations_{found.split}.nc" for name in dict.fromkeys(names)
        ]

    def scores(self, paper: str, task: str | None = None) -> list[str]:
        """The score files of a paper's studies, or of those with one task."""
        found = self.studies.get(paper, {}).values()
        names = [study.name for study in found if task in (None, study.task)]
        return [f"results/{self.specs.config['scale']}/{paper}/{name}/scores.nc" for name in names]

    # -- time ------------------------------------------------------------------------------------

    def timing(self, paper: str, study: str) -> str:
        """The file with CPU times of a study's methods."""
        return f"results/{self.specs.config['scale']}/{paper}/{study}/times.nc"

    def timings(self, paper: str, *names: str) -> list[str]:
        """Those of some studies that are timed."""
        studies = self.studies[paper]
        return [self.timing(paper, name) for name in names if studies[name].timing]

    def named(self, paper: str, *names: str) -> list[str]:
        """Those of some studies that this scale has."""
        return [name for name in names if name in self.studies[paper]]

    def time_inputs(self, wildcards: Any) -> dict[str, list[str]]:
        """All that the methods at their base are given, of the study and those beside it."""
        return {
            f"{name}.{kind}": files
            for name in self._together(wildcards)
            for kind, files in self._timed_inputs(wildcards, name).items()
        }

    def _timed_inputs(self, wildcards: Any, name: str) -> dict[str, list[str]]:
        paper, study = wildcards.paper, self.studies[wildcards.paper][name]
        base = self._base(study)
        seen = (
            {}
            if study.task == "sample"
            else {"observed": self._seen(wildcards, base, "test", study)}
        )
        prior = "prior" in self._case(paper, study.case) and study.task == "assimilate"
        known = self._files(wildcards, base, KNOWN, "prior.nc", study)
        fits = self.fits_of(paper, name, base)
        return {
            **seen,
            **({"prior": known} if prior else {}),
            **({"fits": fits} if fits else {}),
            **self._with_parts(wildcards, base, study),
        }

    def time_spec(self, wildcards: Any) -> dict[str, Any]:
        paper, study = wildcards.paper, self.studies[wildcards.paper][wildcards.study]
        if study.timing is None:
            raise ConfigError(f"{paper}: study {study.name} has no `timing`; give it one")
        sections, roles, timed = {}, {}, {}
        for name in self._together(wildcards):
            one, own = self.studies[paper][name], {}
            keys = dict.fromkeys((*EQUATIONS, *READS[one.task]))
            for method in dict.fromkeys(run.method for run in self._base(one)):
                own |= self._method_sections(
                    paper, one, method, f".{name}.{method}", frozenset({"codec", "tune"})
                )
            given = _roles(one, own)
            roles |= given["roles"]
            sections |= {f"case.{name}": (f"{paper}.cases.{one.case}", *keys), **own}
            base = self._base(one)
            heads = (*FITTED, *READS[one.task])
            entries = [self._entry(wildcards, run, heads, base, one, fit=True) for run in base]
            timed[name] = {"task": one.task, "role": given["role"], "runs": entries}
            sampled = self._sampled(paper, one)
            timed[name] |= {"sampled": sampled} if sampled else {}
        timing = {k: v for k, v in asdict(study.timing).items() if k not in spec.LISTS}
        more = {"timing": timing, "timed": timed, "roles": roles}
        return self._spec(wildcards, "time_runs.py", study.case, sections, **more)

    def _together(self, wildcards: Any) -> list[str]:
        """The studies whose methods are timed in turn."""
        study = self.studies[wildcards.paper][wildcards.study]
        beside = study.timing.beside if study.timing else ()
        return list(dict.fromkeys([study.name, *beside]))

    @staticmethod
    def _base(study: Study) -> list[Run]:
        """The first replicate of every method that is timed, at the base."""
        wanted = study.timing.methods if study.timing and study.timing.methods else study.methods
        found = [run for run in runs.runs(study) if run.is_base and run.replicate == 0]
        return [run for run in found if run.method in wanted]

    # -- what a method is ------------------------------------------------------------------------

    def learns(self, paper: str, study: Study, method: str) -> bool:
        """Whether a method has something to fit."""
        return not self.needs(paper, study, method) <= WITHOUT_FIT

    def needs(self, paper: str, study: Study, method: str) -> frozenset[str]:
        """What the class of a method says that it needs, read from its source.

        A filter of the registry says nothing: it holds the equations.
        """
        found = self._constant(paper, study, method, "needs")
        if found is None and spec.TASKS[study.task][1] == "estimator":
            return WITHOUT_FIT
        if found is None:
            kind = spec.method(self.specs.config[paper], study, method)["kind"]
            raise ConfigError(
                f"{paper}.studies.{study.name}.methods.{method}: {kind} does not say what it "
                'needs; give the class needs: ClassVar[frozenset[str]] = frozenset({"states"})'
            )
        return frozenset(found)

    def _constant(self, paper: str, study: Study, method: str, name: str) -> Any:
        return self._once(Studies._read_constant, paper, study.name, method, name)

    def _read_constant(self, paper: str, study: str, method: str, name: str) -> Any:
        """A class attribute of a method."""
        try:
            found = self._class(paper, self.studies[paper][study], method)
            return class_constant(found, self.specs.root, name)
        except NoSuchClassError as error:
            raise ConfigError(f"{paper}.studies.{study}.methods.{method}: {error}") from error

    def _class(self, paper: str, study: Study, method: str) -> str:
        section = spec.method(self.specs.config[paper], study, method)
        return dotted(spec.TASKS[study.task][1], section["kind"])

    # -- shared ----------------------------------------------------------------------------------

    @property
    def _per_job(self) -> int:
        return self.specs.config["batches"]["runs"]

    def _case(self, paper: str, case: str) -> Mapping[str, Any]:
        return self.specs.config[paper]["cases"][case]

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
        variants = self._variants(wildcards.paper, study[0])
        return case, _of(variants[int(study[1])], heads)

    @cached_property
    def _once(self) -> Callable[..., Any]:
        """A method of this class with names of paper and study, computed once for all jobs."""
        return cache(lambda method, *names: method(self, *names))

    def _variants(self, paper: str, study: str) -> list[dict[str, Any]]:
        """Every combination {axis: value} of what data are made of."""
        return self._once(Studies._combinations, paper, study)

    def _combinations(self, paper: str, name: str) -> list[dict[str, Any]]:
        study = self.studies[paper][name]
        found = runs.distinct(runs.runs(study), DATA)
        coordinates = {str(sorted(r.coordinates.items(), key=str)): r.coordinates for r in found}
        return [runs.values(study, one) for one in coordinates.values()]

    def data_name(self, paper: str, study: Study, run: Run) -> str:
        """The data of a run: those of its case, or a variant that the study asks for."""
        chosen = runs.values(study, runs.restricted(run, DATA).coordinates)
        if self._as_given(paper, study.case, chosen):
            return study.case
        return f"{study.case}.{study.name}.{self._variants(paper, study.name).index(chosen)}"

    def _as_given(self, paper: str, case: str, chosen: Mapping[str, Any]) -> bool:
        """Whether values are those of the case itself."""
        section = self._case(paper, case)
        return runs.case_at(section, chosen) == section

    def _names(
        self, wildcards: Any, part: Iterable[Run], heads: Iterable[str], study: Study
    ) -> list[str]:
        """The data of some runs, as far as they are made of `heads`, each once."""
        paper, heads = wildcards.paper, tuple(heads)
        found = (self.name_of(paper, self.data_name(paper, study, run), heads) for run in part)
        return list(dict.fromkeys(found))

    def _files(
        self,
        wildcards: Any,
        part: Iterable[Run],
        heads: Iterable[str],
        file: str,
        study: Study | None = None,
    ) -> list[str]:
        """A file of the data of some runs, in the order of `_names`."""
        study = study or self.studies[wildcards.paper][wildcards.study]
        names = self._names(wildcards, part, heads, study)
        return [f"{self._folder(wildcards, name)}/{file}" for name in names]

    def _seen(
        self, wildcards: Any, part: Iterable[Run], split: str, study: Study | None = None
    ) -> list[str]:
        """What methods know of a part of the truth: observations, or all where a case has none."""
        study = study or self.studies[wildcards.paper][wildcards.study]
        observed = "observations" in self._case(wildcards.paper, study.case)
        kind, heads = ("observations", OBSERVED) if observed else ("truth", SIMULATED)
        return self._files(wildcards, part, heads, f"{kind}_{split}.nc", study)

    def _folder(self, wildcards: Any, data: str) -> str:
        return f"results/{wildcards.scale}/{wildcards.paper}/data/{data}"

    def _entry(
        self,
        wildcards: Any,
        run: Run,
        heads: Iterable[str] | None,
        part: Iterable[Run],
        study: Study | None = None,
        *,
        fit: bool = False,
    ) -> dict[str, Any]:
        """A run in a spec: its coordinates, values as far as they are read, and which data it has.

        With heads None, for evaluation, all coordinates and whether it is a base run.

        Args:
            part: the runs whose files the job is given.
            fit: whether the entry names what was fitted, if anything was.
        """
        paper, study = wildcards.paper, study or self.studies[wildcards.paper][wildcards.study]
        data, observed = self.data_name(paper, study, run), self._observed(paper, study)

        def place(of: Iterable[str]) -> int:
            """The number of its file among those of the data of all runs."""
            return self._names(wildcards, part, of, study).index(self.name_of(paper, data, of))

        seen = run if heads is None else runs.restricted(run, heads)
        entry = {"method": run.method, "coordinates": dict(seen.coordinates)}
        entry |= {"values": runs.values(study, seen.coordinates), "replicate": run.replicate}
        if heads is None:
            entry |= {"data": place(SIMULATED), "observations": place(OBSERVED)}
            entry |= {"is_base": run.is_base, "section": self.section_of(paper, study, run)}
            entry |= {"given": self._given(paper, study, run)}
        else:
            entry |= {"data": place(observed)}
            entry |= {"prior": place(KNOWN)} if study.task == "assimilate" else {}
        if codec := self.codec_of(wildcards, study, run):
            entry["codec"] = self.codecs(wildcards, part, study).index(codec)
        name = self.fit_name(paper, study, run) if fit else None
        return entry | ({"fit": name} if name else {})

    def _observed(self, paper: str, study: Study) -> tuple[str, ...]:
        return OBSERVED if "observations" in self._case(paper, study.case) else SIMULATED

    def _method_spec(
        self,
        wildcards: Any,
        script: str,
        part: list[Run],
        keys: tuple[str, ...],
        sections: Mapping[str, tuple],
        *,
        device: str,
        **more: Any,
    ) -> dict[str, Any]:
        """Of a stage that runs one method: its section, and of the case only what it reads."""
        paper, study = wildcards.paper, self._study(wildcards)
        needs = self.needs(paper, study, part[0].method)
        keys = (*keys, *(EQUATIONS if "equations" in needs else ()))
        case = {"case": (f"{paper}.cases.{study.case}", *dict.fromkeys(keys))} if keys else {}
        more |= {**_roles(study, sections), "device": self.specs.device(device)}
        return self._spec(wildcards, script, study.case, {**sections, **case}, **more)

    def _method_sections(
        self,
        paper: str,
        study: Study,
        method: str,
        ending: str = "",
        without: frozenset[str] = frozenset(),
    ) -> dict[str, tuple]:
        """{method, shared: what the study says of a method, and what studies share of it}."""
        config = self.specs.config[paper]
        keys = set(spec.method(config, study, method)) - without if without else ()
        collection = spec.collection_of(config, study.task, method)
        own = {f"method{ending}": f"{paper}.studies.{study.name}.methods.{method}"}
        own |= {f"shared{ending}": f"{paper}.{collection}.{method}"} if collection else {}
        return {name: (where, *sorted(keys)) for name, where in own.items()}

    def _study(self, wildcards: Any) -> Study:
        return self.studies[wildcards.paper][wildcards.study]

    def _spec(
        self, wildcards: Any, script: str, case: str, sections: Mapping[str, tuple], **more: Any
    ) -> dict[str, Any]:
        seed = self.specs.config["seed"]
        request = {
            "script": script,
            "sections": {name: list(section) for name, section in sections.items()},
            "experiment": f"{seed}/{wildcards.paper}/{case}",
        }
        classes = {*more.get("classes", ()), *self._codec_classes(wildcards)}
        more |= {"classes": sorted(classes)} if classes else {}
        return self.specs.made({**request, **more})[0]

    def _codec_classes(self, wildcards: Any) -> set[str]:
        """Classes of codecs and learned dynamics that a job uses, which their files name."""
        paper, found = wildcards.paper, self.specs.config[wildcards.paper].get("codecs", {})
        names, own = {getattr(wildcards, "codec", None)}, getattr(wildcards, "study", None)
        studies = [self.studies[paper][own]] if own else []
        for study in studies:
            sections = (spec.method(self.specs.config[paper], study, m) for m in study.methods)
            names |= {s["codec"] for s in sections if isinstance(s.get("codec"), str)}
        classes = {dotted("codec", found[name]["kind"]) for name in names if name in found}
        return classes | {
            dotted("dynamics", self._case(paper, one.case)["dynamics"]["kind"])
            for one in studies
            if "dynamics" in self._case(paper, one.case)
        }


def _roles(study: Study, sections: Mapping[str, tuple]) -> dict[str, Any]:
    """The role of the methods of a study, and of the sections that hold them."""
    role = spec.TASKS[study.task][1]
    named = [name for name in sections if name.split(".")[0] in ("method", "shared")]
    return {"role": role, "roles": dict.fromkeys(named, role)}


def _first(name: str, count: int) -> str:
    """The first parts of a dotted name."""
    return ".".join(name.split(".")[:count])


def _of(values: Mapping[str, Any], heads: Iterable[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name.split(".")[0] in set(heads)}


def dotted(role: str, kind: str) -> str:
    """The class that a kind names, "package.module:Class"."""
    if ":" in kind:
        return kind
    if kind not in REGISTRIES[role]:
        raise ConfigError(unknown(role, kind, REGISTRIES[role]))
    return REGISTRIES[role][kind]
