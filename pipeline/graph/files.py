"""Where the files of a case lie: the grammar of paths, from the configuration alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dalib import field_runs
from dalib.era5 import sources
from pipeline import kinds, validation

Job = Mapping[str, str]  # wildcards of a job
BY_METHOD = ("learning", "fields")


@dataclass(frozen=True)
class Files:
    """Files of the results that a checked configuration asks for.

    A case that validates another has the truth and the models of that (`pipeline.validation`).
    """

    config: Mapping[str, Any]

    # -- the configuration ------------------------------------------------------------------------

    @property
    def papers(self) -> list[str]:
        return [name for name, section in self.config.items() if kinds.is_paper(section)]

    def entry(self, dotted: str, job: Job) -> Any:
        """The entry "{paper}.models.{model}.data" of a job, through names; None if there is none.

        A name that another entry stands for (`model: small`) is followed to it.
        """
        first, *path = dotted.format(**job).split(".")
        found = paper = self.config.get(first)
        for place, key in enumerate(path, start=1):
            if not isinstance(found, Mapping):
                return None
            found = found.get(key)
            if isinstance(found, str) and key in kinds.REFERENCES and place < len(path):
                found = paper.get(kinds.REFERENCES[key], {}).get(found)
        return found

    def case(self, job: Job) -> Mapping[str, Any]:
        return self.config[job["paper"]]["cases"][job["case"]]

    def methods(self, paper: str, case: str, product: str) -> list[str]:
        """Methods that make a product of a case; none where it has no such product."""
        return list(self.config[paper]["cases"][case].get(product, {}).get("methods", []))

    def cases_with(self, key: str, without: str | None = None) -> str:
        """A pattern of the cases, each in the folder of its paper, that have a key and lack one."""
        found = [
            f"(?<=/{re.escape(paper)}/){re.escape(name)}"
            for paper in self.papers
            for name, case in self.config[paper]["cases"].items()
            if key in case and without not in case
        ]
        return "|".join(found) or "(?!)"

    # -- paths ------------------------------------------------------------------------------------

    def folder(self, paper: str, case: str) -> str:
        return f"results/{self.config['scale']}/{paper}/{case}"

    def home(self, job: Job) -> str:
        """Folder of the case whose truth and models a case has: its own, or what it validates."""
        cases = self.config[job["paper"]]["cases"]
        return self.folder(job["paper"], validation.home_of(cases, job["case"]))

    def at(self, template: str, job: Job) -> str:
        """A path with the wildcards of a job, and

        {here}    the folder of its case;
        {home}    that of the case whose truth and models it has;
        {scored}  the part of that truth which it is scored on: test, or valid of a validation.
        """
        places = {}
        if "case" in job:
            scored = "valid" if validation.KEY in self.case(job) else "test"
            here = self.folder(job["paper"], job["case"])
            places = {"here": here, "home": self.home(job), "scored": scored}
        return template.format(**places, **job)

    def batches(self, kind: str, count: int) -> range:
        """Numbers of the batches that carry `count` seeds, repeats or points."""
        return range(-(-count // self.config["batches"][kind]))

    def model_files(self, paper: str, case: str, model: str, suffix: str = "") -> list[str]:
        """Files of a trained model, one a batch of repeats: weights, or `suffix=".history"`."""
        repeats = self.config[paper]["models"][model]["training"]["repeats"]
        folder = f"{self.folder(paper, case)}/models/{model}"
        return [f"{folder}/batch{batch}{suffix}.nc" for batch in self.batches("repeats", repeats)]

    # -- gridded states ---------------------------------------------------------------------------

    def fields(self, job: Job) -> Mapping[str, Any]:
        """What filters run on the fields of a case."""
        return self.case(job)["fields"]

    def filters_of(self, job: Job) -> list[str]:
        """The filters that a job runs on fields."""
        return field_runs.jobs_of(self.fields(job))[job["filter"]]

    def field_files(self, job: Job) -> list[str]:
        """Analyses on fields, one file for each batch of the runs of a job."""
        product, here = self.fields(job), self.at("{here}", job)
        return [
            f"{here}/analyses/{name}/batch{batch}.nc"
            for name, filters in field_runs.jobs_of(product).items()
            for batch in self.batches("points", sum(len(product["methods"][f]) for f in filters))
        ]

    def codecs_of(self, job: Job, names: Iterable[str]) -> list[str]:
        """Models of the codecs that filters on fields use, each once."""
        product, filters = self.fields(job), self.config[job["paper"]]["filters"]
        used = [field_runs.models_of(product, name, filters[name]) for name in names]
        return list(dict.fromkeys(sum(used, [])))

    def codecs_scored(self, job: Job) -> list[str]:
        """Models of the codecs of all filters on fields, and of those scored by themselves."""
        product = self.fields(job)
        used = self.codecs_of(job, product["methods"])
        return list(dict.fromkeys([*used, *product.get("codecs", [])]))

    def codec_files(self, job: Job, names: Iterable[str], suffix: str = "") -> list[str] | None:
        """Weights of codecs of a case, or `suffix=".history"`; None where there are none."""
        home = self.home(job)
        return [f"{home}/models/{name}/batch0{suffix}.nc" for name in names] or None

    def dynamics(self, job: Job) -> str | None:
        """Weights of the network that forecasts the fields of a case, where one does."""
        section = self.case(job).get("dynamics")
        return f"{self.home(job)}/models/{section['model']}/batch0.nc" if section else None

    def tunes(self, job: Job) -> bool:
        """Whether a job on fields chooses settings on validation trajectories."""
        filters = self.config[job["paper"]]["filters"]
        return field_runs.tunings_of(self.fields(job), self.filters_of(job), filters)

    # -- parameter learning -----------------------------------------------------------------------

    def experiment(self, paper: str, name: str) -> Mapping[str, Any]:
        return self.config[paper]["learning"][name]

    def experiments(self, job: Job) -> list[str]:
        """Experiments of a case."""
        return self.methods(job["paper"], job["case"], "learning")

    def learned(self, job: Job, folder: str, suffix: str = "") -> list[str]:
        """Files of all experiments of a case, one for each of their jobs."""
        return [
            f"{self.folder(job['paper'], job['case'])}/{folder}/{name}/batch{batch}{suffix}.nc"
            for name in self.experiments(job)
            for batch in range(self.experiment(job["paper"], name)["jobs"])
        ]

    def rates(self, job: Job) -> list[str] | None:
        """Tuned learning rates that an experiment learns with; None where they are given.

        Where they are chosen for each repeat, those of the same job; else one job has tuned each
        filter.
        """
        tune = self.entry("{paper}.learning.{model}.tune", job)
        if not tune:
            return None
        section = self.experiment(job["paper"], job["model"])
        shared = range(min(section["jobs"], len(section["learned"])))
        batches = [job["batch"]] if tune["per"] == "repeat" else shared
        return [self.at(f"{{here}}/models/{{model}}/batch{n}.rates.nc", job) for n in batches]

    # -- reanalysis -------------------------------------------------------------------------------

    def reanalysis(self, job: Job, key: str) -> list[str] | None:
        """Files of the reanalysis that a section of a case points to.

        None of a store, or of the stand-in.
        """
        return sources.files(self.case(job)[key]["path"]) or None

    # -- scores -----------------------------------------------------------------------------------

    def active(self, paper: str) -> list[str]:
        """The cases that are run at this scale, beside those of studies."""
        return self.config[paper].get("active", [])

    def scores(self, paper: str) -> list[str]:
        """All score files of a paper's studies and active cases."""
        section = self.config[paper]
        active = {name: section["cases"][name] for name in self.active(paper)}
        studies = section.get("studies", {})
        found = [f"{self.folder(paper, name)}/scores.nc" for name, one in studies.items() if one]
        found += [
            f"{self.folder(paper, name)}/scores/{product}.nc"
            for name, case in active.items()
            for product in BY_METHOD
            if case.get(product, {}).get("methods")
        ]
        return found + [
            f"{self.folder(paper, name)}/scores/stations.nc"
            for name, case in active.items()
            if "stations" in case
        ]

    def scores_of(self, paper: str, product: str) -> list[str]:
        """The score files of one product, of every active case that has it."""
        return [path for path in self.scores(paper) if Path(path).stem == product]

    def scores_in(self, paper: str, cases: str | Iterable[str], product: str) -> str | list[str]:
        """The score file of a case, or those of several, each once."""
        if isinstance(cases, str):
            return f"{self.folder(paper, cases)}/scores/{product}.nc"
        return [f"{self.folder(paper, case)}/scores/{product}.nc" for case in dict.fromkeys(cases)]

    def timings_in(self, paper: str, cases: Iterable[str]) -> list[str]:
        """Timings of those of some cases that have any."""
        known = self.config[paper]["cases"]
        timed = [case for case in dict.fromkeys(cases) if "timing" in known[case]]
        return [f"{self.folder(paper, case)}/timing.nc" for case in timed]

    def study_times(self, paper: str) -> list[str]:
        """CPU times of the methods of those studies that ask for them."""
        studies = self.config[paper].get("studies", {})
        timed = [name for name, section in studies.items() if section and "timing" in section]
        return [f"{self.folder(paper, name)}/times.nc" for name in timed]

    def cases_timed(self, job: Job) -> dict[str, str]:
        """{experiment that is timed: the case that it runs on}."""
        settings = self.case(job)["timing"]
        others = settings.get("cases", {})
        return {name: others.get(name, job["case"]) for name in settings["experiments"]}
