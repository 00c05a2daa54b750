import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from projects import configured

from dalib import build, registry
from dalib.simulate import whole_intervals
from pipeline import kinds, layout
from pipeline.fields import Classes
from pipeline.settings import (
    SCALES,
    ConfigError,
    Layer,
    check_targets,
    load,
    merged,
    scales,
)

ROOT = Path(__file__).parents[1]

SECTIONS = """
    from collections.abc import Mapping
    from dataclasses import dataclass
    from typing import Literal

    @dataclass(frozen=True)
    class Train:
        epochs: int
        rate: float = 0.1
        shuffle: bool = True

        def __post_init__(self):
            if self.rate <= 0:
                raise ValueError("rate")

    @dataclass(frozen=True)
    class Lorenz:
        \"\"\"A small section.

        Attributes:
            ensemble: members of the ensemble.
        \"\"\"

        ensemble: int = 2
        device: Literal["cpu", "cuda"] = "cpu"
        grid: list[float] = ()
        train: Train = None

        def __post_init__(self):
            if self.ensemble < 2:
                raise ValueError("ensemble")
            if len(self.grid) < 2:
                raise ValueError("grid")

    @dataclass(frozen=True)
    class Configuration:
        scale: str
        seeds: int | None = None
        lorenz: Lorenz = None

        def __post_init__(self):
            if self.seeds is not None and self.seeds < 1:
                raise ValueError("seeds")
    """
CONFIG = """
    scale: quick
    seeds: null
    lorenz:
      ensemble: 40
      device: cpu
      grid: [1, 2, 3]
      train: {epochs: 8, rate: 0.1, shuffle: true}
    """
SCALED = """
    scales: {smoke: {}, quick: {}, desk: {%s}, paper: {%s}}
    """


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a few keys of its own; no scale changes anything."""
    write(tmp_path / "small_sections.py", SECTIONS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(layout, "CONFIGURATION", "small_sections:Configuration")
    write(tmp_path / "config.yaml", CONFIG)
    return tmp_path


@pytest.fixture
def real(tmp_path):
    """A copy of this project's configuration beside which files can be laid."""
    return configured(tmp_path)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text).lstrip("\n"))
    return path


def scaled(desk: str = "", paper: str = "", config: str = CONFIG) -> str:
    """A configuration with what scales change of it."""
    return config + SCALED % (desk, paper)


def messages(root: Path, arguments=None, files=()) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load(root, arguments, files)
    return str(error.value).splitlines()


# -- layers --------------------------------------------------------------------------------------


def test_later_layers_win_and_leave_the_rest(project):
    write(project / "config.yaml", scaled("lorenz: {ensemble: 50, train: {epochs: 9}}"))
    given = write(project / "mine.yaml", "scale: desk\nlorenz: {train: {epochs: 10}, grid: [5, 6]}")
    assert load(project)["lorenz"]["ensemble"] == 40
    config = load(project, {"lorenz": {"train": {"rate": 0.5}}}, [given])
    assert config["scale"] == "desk"
    assert config["lorenz"] == {
        "ensemble": 50,
        "device": "cpu",
        "grid": [5, 6],
        "train": {"epochs": 10, "rate": 0.5, "shuffle": True},
    }


def test_sections_that_yaml_shares_do_not_change_together(real):
    changed = load(real, {"dkf": {"cases": {"base": {"system": {"rho": 30.0}}}}})
    assert changed["dkf"]["cases"]["base"]["system"]["rho"] == 30.0
    assert changed["dkf"]["cases"]["clean"]["system"]["rho"] == 28.0


def test_text_becomes_a_number_where_a_number_is_meant(project):
    given = {"seeds": "3", "lorenz": {"ensemble": "12", "train": {"rate": "1e-3"}}}
    config = load(project, given)
    assert config["seeds"] == 3
    assert config["lorenz"]["ensemble"] == 12
    assert config["lorenz"]["train"]["rate"] == 1e-3
    assert load(project, {"lorenz": {"train": {"shuffle": "False"}}})["lorenz"]["train"] == {
        "epochs": 8,
        "rate": 0.1,
        "shuffle": False,
    }
    assert load(project, {"seeds": "null"})["seeds"] is None


def test_mapping_may_be_given_as_text(project):
    assert load(project, {"lorenz": '{"train": {"epochs": "3"}}'})["lorenz"]["train"]["epochs"] == 3


def test_settings_of_a_class_become_numbers_too(real):
    config = load(real, {"dkf": {"filters": {"particle": {"members": "50"}}}})
    assert config["dkf"]["filters"]["particle"]["members"] == 50


def test_seeds_replace_the_test_seeds_of_every_case_with_observations(real):
    config = load(real, {"seeds": "5"})
    cases = config["dkf"]["cases"]
    observed = [case for case in cases.values() if "observations" in case]
    assert {case["truth"]["test"]["seeds"] for case in observed} == {5}
    assert cases["states"] == load(real)["dkf"]["cases"]["states"]  # its seeds make one set
    assert config["dkf"]["cases"]["clean"]["truth"]["train"]["seeds"] == 200


# -- messages ------------------------------------------------------------------------------------


def test_messages_name_layer_key_and_remedy(project):
    """The three lines that the design promises, all at once."""
    write(project / "config.yaml", CONFIG.replace("shuffle: true", "epohcs: 3"))
    assert messages(project) == [
        'config.yaml: lorenz.train.epohcs: unknown key (did you mean "epochs"?)'
    ]
    write(project / "config.yaml", scaled(paper="lorenz: {ensemble: 1}"))
    assert messages(project, {"scale": "paper"}) == [
        "config.yaml: scales.paper.lorenz.ensemble: 1 is too small, at least 2 members are needed"
    ]
    assert messages(project, {"scale": "papper"}) == [
        "--config scale=papper: no such scale; there are: smoke, quick, desk, paper"
    ]


def test_all_problems_are_told_at_once_lowest_layer_first(project):
    wrong = CONFIG.replace("shuffle: true", "epohcs: 3")
    write(project / "config.yaml", scaled(desk="lorenz: {ensemble: 1}", config=wrong))
    given = write(project / "mine.yaml", "scale: desk\nlorenz: {grid: [1]}")
    assert messages(project, {"seeds": 0}, [given]) == [
        'config.yaml: lorenz.train.epohcs: unknown key (did you mean "epochs"?)',
        "config.yaml: scales.desk.lorenz.ensemble: 1 is too small, at least 2 members are needed",
        "mine.yaml: lorenz.grid: 1 entries are given, at least 2 are needed",
        "--config seeds=0: 0 is too small, at least 1 seed is needed",
    ]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            {"seeds": "many"},
            '--config seeds=many: "many" is a text, a whole number or null is needed',
        ),
        (
            {"lorenz": {"train": {"rate": "fast"}}},
            '--config: lorenz.train.rate: "fast" is a text, a number is needed',
        ),
        ({"lorenz": {"ensemble": 2.5}}, "--config: lorenz.ensemble: 2.5 is given, a whole number"),
        ({"lorenz": {"train": 3}}, "--config: lorenz.train: 3 is given, a mapping is needed"),
        ({"lorenz": {"grid": 3}}, "--config: lorenz.grid: 3 is given, a list is needed"),
        ({"lorenz": {"ensemble": [3]}}, "--config: lorenz.ensemble: [3] is given, a whole"),
        (
            {"lorenz": {"train": {"rate": 0}}},
            "--config: lorenz.train.rate: 0 is too small, more than 0 is needed",
        ),
        (
            {"lorenz": {"device": "cudda"}},
            '--config: lorenz.device: unknown value "cudda" (did you mean "cuda"?); there are: cpu',
        ),
        ({"lorentz": {}}, '--config: lorentz: unknown key (did you mean "lorenz"?)'),
        ({"lorenz": {"xyz": 3}}, "--config: lorenz.xyz: unknown key; there are: device, ensemble"),
        ({"zzz": 3}, "--config zzz=3: unknown key; there are: lorenz, scale, seeds"),
    ],
)
def test_message(given, line, project):
    assert messages(project, given)[0].startswith(line)


def test_missing_key_is_told_with_the_layer_that_lacks_it(project):
    write(project / "config.yaml", CONFIG.replace("epochs: 8, ", ""))
    assert messages(project) == ['config.yaml: lorenz.train: "epochs" is missing']


def test_unknown_scale_in_a_file(project):
    write(project / "config.yaml", scaled(config=CONFIG.replace("scale: quick", "scale: quik")))
    assert messages(project) == [
        "config.yaml: scale: quik: no such scale; there are: smoke, quick, desk, paper"
    ]


def test_yaml_error_has_file_line_and_column(project):
    write(project / "config.yaml", "scale: quick\nlorenz:\n  train: {epochs: 8\n  ensemble: 3\n")
    assert messages(project) == ["config.yaml: line 4, column 11: expected ',' or '}', but got ':'"]
    write(project / "config.yaml", CONFIG.replace("quick", "quick\n    papers: [own]"))
    write(project / "papers/own/config.yaml", "")
    write(project / "papers/own/scales/quick.yaml", "lorenz:\n\ttrain: 3\n")
    (line,) = messages(project)
    assert line.startswith("papers/own/scales/quick.yaml: line 2, column 1: found character '\\t'")


def test_key_given_twice_is_an_error(project):
    write(project / "config.yaml", "scale: quick\nseeds: 3\nseeds: 4\n")
    assert messages(project) == ['config.yaml: line 3, column 1: the key "seeds" appears twice']


def test_a_paper_is_asked_for_by_name(real):
    text = (real / "config.yaml").read_text()
    asked = text.replace("papers: [dkf, gpt, adda, lensf, benchmark]", "papers: [gpt, adda]")
    write(real / "config.yaml", asked)
    assert {"gpt", "adda"} == {name for name, part in load(real).items() if kinds.is_paper(part)}
    assert messages(real, {"papers": "[gtp]"}) == [
        'config.yaml: papers: unknown paper "gtp" (did you mean "gpt"?); '
        "there are: adda, benchmark, dkf, gpt, lensf"
    ]


def test_a_mistake_in_a_paper_is_told_with_its_file_and_the_key_in_it(real):
    file = real / "papers/dkf/scales/desk.yaml"
    write(file, file.read_text().replace("hidden: 128", "hiden: 128", 1))
    (line, *_) = messages(real, {"scale": "desk"})
    assert line.startswith("papers/dkf/scales/desk.yaml: estimators.dkf.hiden: unknown key")


def test_file_that_is_no_mapping_or_is_not_there(project):
    write(project / "config.yaml", "- scale\n")
    assert messages(project) == [
        "config.yaml: a mapping is needed at the top, with keys such as `scale:`"
    ]
    (project / "config.yaml").unlink()
    assert messages(project) == ["config.yaml: there is no such file"]


# -- choices of code -----------------------------------------------------------------------------


def dkf(**sections):
    return {"dkf": sections}


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            dkf(filters={"new": {"kind": "particel"}}),
            '--config: dkf.filters.new.kind: unknown filter "particel" (did you mean "particle"?); '
            "there are: ",
        ),
        (
            dkf(filters={"new": {"kind": "particle", "member": 3}}),
            '--config: dkf.filters.new.member: unknown key (did you mean "members"?)',
        ),
        (
            dkf(filters={"new": {"kind": "particle", "members": "many"}}),
            '--config: dkf.filters.new.members: "many" is a text, a whole number is needed',
        ),
        (
            dkf(filters={"new": {"kind": "etkf", "members": 1}}),
            "--config: dkf.filters.new.members: 1 is too small, at least 2 members are needed",
        ),
        (
            dkf(filters={"new": {"kind": "etkf", "rotate": 1.5}}),
            "--config: dkf.filters.new.rotate: 1.5 is given, true or false is needed",
        ),
        (dkf(filters={"new": {}}), '--config: dkf.filters.new: "kind" is missing'),
        (
            {"lensf": {"filters": {"new": {"kind": "latent", "codec": "vaee"}}}},
            '--config: lensf.filters.new.codec: unknown codec "vaee" (did you mean "vae"?)',
        ),
        (
            dkf(filters={"new": {"kind": "no_such_lab.filters:Mine"}}),
            "--config: dkf.filters.new.kind: no_such_lab.filters:Mine: "
            "there is no module no_such_lab; put it beside the Snakefile",
        ),
        (
            dkf(filters={"new": {"kind": "dalib.filters.ekf:EFK"}}),
            "--config: dkf.filters.new.kind: dalib.filters.ekf:EFK: "
            "module dalib.filters.ekf has no class EFK",
        ),
        (
            dkf(studies={"filters": {"methods": {"ekff": {}}}}),
            '--config: dkf.studies.filters.methods.ekff: unknown method "ekff" '
            '(did you mean "ekf"?)',
        ),
        (
            dkf(studies={"filters": {"methods": {"ekf": {"inflaton": 1.1}}}}),
            "--config: dkf.studies.filters.methods.ekf.inflaton: unknown key "
            '(did you mean "inflation"?)',
        ),
        (
            {"adda": {"active": ["glv", "glvv"]}},
            '--config: adda.active.1: unknown case "glvv" (did you mean "glv"?)',
        ),
        (
            dkf(labels={"cleen": "no noise"}),
            '--config: dkf.labels.cleen: unknown case "cleen" (did you mean "clean"?)',
        ),
        (
            dkf(cases={"clean": {"system": {"kind": "lorenz95"}}}),
            '--config: dkf.cases.clean.system.kind: unknown system "lorenz95" (did you mean "lore',
        ),
        (
            dkf(
                cases={"clean": {"observations": {"operator": {"kind": "subset", "index": [0.5]}}}}
            ),
            "--config: dkf.cases.clean.observations.operator.index.0: 0.5 is given, "
            "a whole number is needed",
        ),
    ],
)
def test_choice_of_code_is_checked_against_its_class(given, line, real):
    assert any(found.startswith(line) for found in messages(real, given))


def test_missing_setting_of_a_system_is_an_error(real):
    write(
        real / "my_lab/models.py",
        """
        from dataclasses import dataclass

        @dataclass(frozen=True)
        class Pendulum:
            length: float
            size: int = 2
        """,
    )
    given = dkf(cases={"clean": {"system": {"kind": "my_lab.models:Pendulum"}}})
    found = messages(real, given)
    assert found == ['papers/dkf/config.yaml: cases.clean.system: "length" is missing (Pendulum)']


def test_class_of_the_users_own_is_checked_without_importing_it(real):
    write(
        real / "my_lab/filters.py",
        """
        from dataclasses import dataclass
        from no_such_package import nothing
        from .base import Base

        @dataclass
        class Mine(Base):
            factor: float = 1.0
        """,
    )
    write(
        real / "my_lab/base.py",
        """
        from dataclasses import dataclass

        @dataclass
        class Base:
            step: object
            members: int = 3
        """,
    )
    section = {"kind": "my_lab.filters:Mine", "factor": "2.5", "members": 7}
    config = load(real, dkf(filters={"mine": section}))
    assert config["dkf"]["filters"]["mine"]["factor"] == 2.5
    assert messages(real, dkf(filters={"mine": section | {"fctor": 1}})) == [
        '--config: dkf.filters.mine.fctor: unknown key (did you mean "factor"?) (Mine)'
    ]


# -- methods of studies --------------------------------------------------------------------------

STUDY = "lensf.studies.shallow_water"


def study(**given):
    return {"lensf": {"studies": {"shallow_water": given}}}


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (study(methods={"ensff": {}}), 'methods.ensff: unknown method "ensff" (did you mean "ensf'),
        (
            study(methods={"ensf": {"member": 5}}),
            'methods.ensf.member: unknown key (did you mean "',
        ),
        (
            study(methods={"ensf": {"members": 1}}),
            "methods.ensf.members: 1 is too small, at least 2",
        ),
        (
            study(vary_each={"settings": {"half": {"weigt": 0.5}}}),
            'vary_each.settings.half.weigt: unknown key (did you mean "weight"?)',
        ),
        (
            study(vary_each={"settings": {"small": {"filter": {"scal": 5.0}}}}),
            "vary_each.settings.small.filter.scal: unknown key (did you mean",
        ),
        (
            study(vary_each={"observations.strid": [1, 2]}, base={"observations.strid": 1}),
            'vary_each.observations.strid: unknown key "strid" (did you mean "stride"?)',
        ),
        (study(of={"settings": ["latent"]}), 'of.settings: unknown method "latent" (did you mean'),
        (study(of={"setting": ["ensf"]}), 'of.setting: unknown axis "setting" (did you mean "sett'),
        (study(split="train"), 'split: unknown part "train"; there are: test, valid'),
        (
            study(methods={"latent_enkf": {"tune": {"grid": {"filter.inflation": [1.0, 1.1]}}}}),
            "methods.latent_enkf.tune: filter.inflation has to be a list of three values or more",
        ),
        (
            study(methods={"latent_enkf": {"tune": {"grid": {"filter.inflaton": [1, 2, 3]}}}}),
            "methods.latent_enkf.tune.grid.filter.inflaton: unknown key (did you mean",
        ),
        (
            study(timing={"settings": {"ensf": {"compossed": False}}}),
            'timing.settings.ensf.compossed: unknown key (did you mean "composed"?)',
        ),
        (study(timing={"methods": ["letkff"]}), 'timing.methods.0: unknown method "letkff"'),
    ],
)
def test_studies_are_checked_against_their_case_and_their_methods(given, line, real):
    found = [said.partition(": ")[2] for said in messages(real, given)]
    assert any(said.startswith(f"{STUDY}.{line}") for said in found), found


def test_a_study_an_axis_and_a_label_are_left_out_by_null(real):
    given = {"shocks": None, "shallow_water": {"vary_each": {"settings": {"weight=0.5": None}}}}
    studies = load(real, {"lensf": {"studies": given}})["lensf"]["studies"]
    assert "shocks" not in studies
    assert "weight=0.5" not in studies["shallow_water"]["vary_each"]["settings"]
    assert "weight=0.25" in studies["shallow_water"]["vary_each"]["settings"]


# -- targets -------------------------------------------------------------------------------------


def test_target_of_another_scale_is_refused():
    with pytest.raises(ConfigError) as error:
        check_targets(["results/paper/dkf/figures/fig1.pdf"], "quick")
    assert str(error.value) == (
        "results/paper/dkf/figures/fig1.pdf belongs to scale paper, "
        "but the configured scale is quick: add --config scale=paper"
    )


def test_other_targets_and_options_pass():
    arguments = ["-n", "dkf", "results/quick/dkf/figures/fig1.pdf", "scale=quick", "results/x.html"]
    check_targets(arguments, "quick")


# -- this project --------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", scales(ROOT))
def test_configuration_is_valid_at_every_scale(scale):
    assert load(ROOT, {"scale": scale})["scale"] == scale


def sections(classes: Classes, dotted: str, seen: set[str]) -> Iterator[tuple[str, str]]:
    """(class and key, meaning) of a section and of all below it."""
    if dotted in seen:
        return
    seen.add(dotted)
    for setting in classes.settings(dotted, nested=True).values():
        yield f"{dotted}.{setting.name}", setting.meaning
        todo = [setting.kind]
        while todo:
            kind = todo.pop()
            for below in kind.sections:
                yield from sections(classes, below, seen)
            todo += filter(None, (kind.element, kind.below))


def test_every_key_of_a_section_has_a_meaning_in_its_docstring():
    classes, seen = Classes(ROOT), set()
    tops = [layout.CONFIGURATION, *(classes.paper(name) for name in layout.papers(ROOT))]
    found = [pair for top in tops for pair in sections(classes, top, seen)]
    assert len(found) > 200
    assert [name for name, meaning in found if not meaning] == []


@pytest.mark.parametrize("role", registry.REGISTRIES)
def test_every_setting_of_a_class_has_a_meaning_in_its_docstring(role):
    classes = Classes(ROOT)
    assert [
        f"{dotted}: {setting.name}"
        for dotted in registry.REGISTRIES[role].values()
        for setting in classes.settings(dotted).values()
        if not setting.meaning
    ] == []


def test_a_key_has_the_limits_of_its_class_alone(real):
    """A factor on a state may be negative, a factor on a covariance may not."""
    operator = {"operator": {"kind": "arctan", "scale": -2.0}}
    load(real, dkf(cases={"clean": {"observations": operator}}))
    (line,) = messages(real, dkf(filters={"new": {"kind": "local_enkf", "scale": -2.0}}))
    assert line == (
        "--config: dkf.filters.new.scale: -2 is too small, more than 0 is needed (LocalEnKF)"
    )
    one = {"methods": {"climatology": {"kind": "climatology", "members": 1}}}
    load(real, {"benchmark": {"studies": {"noise": one}}})  # one draw is no ensemble of a filter


@pytest.mark.parametrize(
    "old, new, line",
    [
        ("kind: median", "kind: mediann", 'unknown measure "mediann" (did you mean "median"?)'),
        ("{kind: median", "{kind: median, of: 3", "measure.of: unknown key"),
        ("- id: DKF-1", "- id: [DKF-1", "line 6, column 12: "),
    ],
)
def test_mistake_in_the_claims_is_found_before_anything_starts(real, old, new, line):
    claims = real / layout.claims_of("dkf")
    load(real)
    claims.write_text(claims.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError) as refused:
        load(real)
    assert str(refused.value).startswith("papers/dkf/claims.yaml: ")
    assert line in str(refused.value)


@pytest.mark.parametrize("scale", SCALES)
def test_every_job_asks_for_enough_memory_to_be_started_on_a_cluster(scale):
    """Snakemake itself needs some 500 MB in each job."""
    config = load(Path(__file__).parents[1], {"scale": scale})
    assert all(asked["mem_mb"] >= 1000 for asked in config["resources"].values())


def test_a_section_of_another_kind_replaces_what_is_below():
    below = {"schedule": {"kind": "decay", "after": [4], "factor": 0.3}, "epochs": 6}
    other = {"schedule": {"kind": "plateau"}}
    same = {"schedule": {"kind": "decay", "factor": 0.1}}
    assert merged([Layer("a", below), Layer("b", other)])["schedule"] == {"kind": "plateau"}
    assert merged([Layer("a", below), Layer("b", same)]) == {
        "schedule": {"kind": "decay", "after": [4], "factor": 0.1},
        "epochs": 6,
    }


@pytest.mark.parametrize("scale", SCALES)
def test_every_spin_up_has_whole_intervals(scale):
    config = load(ROOT, {"scale": scale})
    for section in config.values():
        for case in section.get("cases", {}).values() if isinstance(section, dict) else ():
            if "truth" in case:
                whole_intervals(case["truth"]["spinup"], build.interval(case), "the spin-up")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"methods": {"esn": {"unitss": 3}}},
            'studies.noise.methods.esn.unitss: unknown key (did you mean "units"?)',
        ),
        (
            {"vary": {"observations.obs_std_relative": [0.0, -1.0]}},
            "studies.noise.vary.observations.obs_std_relative: -1 is too small, at least 0 is",
        ),
        (
            {"base": {"observations.obs_std_relative": 0.2}},
            "studies.noise.base.observations.obs_std_relative: 0.2 is none of the values",
        ),
        (
            {"metrics": ["vptt"]},
            'studies.noise.metrics: unknown metric "vptt" (did you mean "vpt"?)',
        ),
        ({"replicates": 1.5}, "studies.noise.replicates: 1.5 is given, a whole number"),
    ],
)
def test_studies_are_checked_against_their_case_and_the_classes_they_name(real, given, said):
    lines = messages(real, {"benchmark": {"studies": {"noise": given}}})
    assert any(said in line for line in lines), lines


def test_a_part_is_refused_where_the_class_has_none(real):
    part = {"localisation": {"kind": "ring", "radius": 4.0}}
    load(real, dkf(filters={"new": {"kind": "letkf", **part}}))
    (line,) = messages(real, dkf(filters={"new": {"kind": "etkf", **part}}))
    assert line.startswith("--config: dkf.filters.new.localisation: unknown key; there are: ")
    (line,) = messages(real, dkf(filters={"new": {"kind": "letkf", "localisation": 4.0}}))
    assert (
        line == "--config: dkf.filters.new.localisation: 4.0 is given, a mapping is needed (LETKF)"
    )


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            {"adda": {"learning": {"cw": {"training": {"schedule": {"kind": "decay"}}}}}},
            'papers/adda/config.yaml: learning.cw.training.schedule: "after" is missing (Decay)',
        ),
        (
            {"gpt": {"codecs": {"new": {"kind": "bins"}}}},
            '--config: gpt.codecs.new: "cells" is missing (Bins)',
        ),
        (
            dkf(filters={"new": {"kind": "letkf", "localisation": {"kind": "ring"}}}),
            '--config: dkf.filters.new.localisation: "radius" is missing (Ring)',
        ),
    ],
)
def test_a_setting_that_has_to_be_given_is_missed_before_anything_starts(given, line, real):
    assert line in messages(real, given)
