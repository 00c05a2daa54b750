"""Where the files of a case lie: the grammar of paths, from the configuration alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import kinds

Job = Mapping[str, str]  # wildcards of a job
BY_METHOD = ("learning",)


@dataclass(frozen=True)
class Files:
    """Files of the results that a checked configuration asks for."""

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

    def at(self, template: str, job: Job) -> str:
        """A path with the wildcards of a job, and {here}, the folder of its case."""
        places = {"here": self.folder(job["paper"], job["case"])} if "case" in job else {}
        return template.format(**places, **job)

    def batches(self, kind: str, count: int) -> range:
        """Numbers of the batches that carry `count` seeds or repeats."""
        return range(-(-count // self.config["batches"][kind]))

    def model_files(self, paper: str, case: str, model: str, suffix: str = "") -> list[str]:
        """Files of a trained model, one a batch of repeats: weights, or `suffix=".history"`."""
        repeats = self.config[paper]["models"][model]["training"]["repeats"]
        folder = f"{self.folder(paper, case)}/models/{model}"
        return [f"{folder}/batch{batch}{suffix}.nc" for batch in self.batches("repeats", repeats)]

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
        return found

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
