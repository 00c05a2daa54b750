import pytest

from pipeline.bounds import Bounds
from pipeline.fields import Classes, settings_of
from pipeline.problems import value_problems

GOOD = [
    ("int", 3, 3.5),
    ("float", 3, "3"),
    ("float", 3.5, True),
    ("bool", True, 1),
    ("str", "a", 1),
    ("float | None", None, "a"),
    ("float | Tensor", 1.5, None),
    ("tuple[int, ...]", [1, 2], [1.5]),
    ("tuple[float, float]", [1, 2.5], ["a", 1]),
    ("list[str]", ["a"], [1]),
    ("tuple[tuple[float, ...], ...]", [[1, 2], [3]], [1, 2]),
    ("tuple[int, str]", [1, "a"], 3),
    ("Optional[int]", None, "a"),
    ("Union[int, str]", "a", 1.5),
    ("typing.Optional[int]", 3, 1.5),
    ('"int"', 3, "a"),
    ('Literal["a", "b"]', "a", 1),
    ('Literal["a", "b"]', "b", "c"),
    ("tuple[float, float]", [1, 2.5], [1, 2, 3]),
    ("Literal[1, 2]", 2, 3),
]


def settings(folder, text: str, name: str = "A", **options):
    """The settings of a class of a module with this text."""
    (folder / "lab.py").write_text(text)
    return Classes(folder).settings(f"lab:{name}", **options)


def refused(setting, value) -> list[str]:
    return [p.message for p in value_problems(value, setting.kind, setting.bounds, ("x",))]


@pytest.mark.parametrize(("annotation", "allowed", "wrong"), GOOD)
def test_annotation_says_which_plain_values_are_allowed(tmp_path, annotation, allowed, wrong):
    x = settings(tmp_path, f"class A:\n    x: {annotation}\n")["x"]
    assert refused(x, allowed) == []
    assert refused(x, wrong)


@pytest.mark.parametrize(
    "annotation",
    ["Tensor", "Callable[[int], int]", "Tensor | None", "Gaussian", "tuple[Tensor, ...]"],
)
def test_other_annotations_are_no_settings(tmp_path, annotation):
    assert settings(tmp_path, f"class A:\n    x: {annotation}\n") == {}


def test_settings_of_a_dataclass_with_its_base_in_another_module(tmp_path):
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/__init__.py").write_text("from .model import A\n")
    (tmp_path / "lab/base.py").write_text("class Base:\n    size: int\n    step: Callable\n")
    (tmp_path / "lab/model.py").write_text(
        "from .base import Base\n"
        "class A(Base):\n"
        "    rate: float = 0.1\n"
        "    names: list[str] = field(default_factory=list)\n"
        "    count: int = field(init=False)\n"
        "    fixed: int = field(repr=False)\n"
    )
    settings = settings_of("lab:A", tmp_path)
    assert {name: setting.required for name, setting in settings.items()} == {
        "size": True,
        "rate": False,
        "names": False,
        "fixed": True,
    }


def test_settings_of_a_plain_class_are_those_of_its_init(tmp_path):
    (tmp_path / "lab.py").write_text(
        "class Net(Module):\n"
        "    def __init__(self, scaling, hidden: int, rate: float = 1.0, *, deep: bool = False):\n"
        "        pass\n"
        "class Deeper(Net):\n"
        "    pass\n"
    )
    for name in ("Net", "Deeper"):
        settings = settings_of(f"lab:{name}", tmp_path)
        assert list(settings) == ["hidden", "rate", "deep"]
        assert settings["hidden"].required and not settings["deep"].required


def test_installed_class_is_read_too(tmp_path):
    settings = settings_of("torch.nn.modules.linear:Linear", tmp_path)
    assert {"in_features", "out_features", "bias"} <= settings.keys()


BOUNDED = """
from dataclasses import dataclass
from lab_limits import check_count, at_least
KINDS = {"a": 1, "b": 2}

@dataclass
class Base:
    members: int = 3
    names: tuple[str, ...] = ()

    def __post_init__(self):
        check_count(self.members)
        if not self.names:
            raise ValueError("none")

@dataclass
class A(Base):
    leak: float = 1.0
    delays: int = 1
    degree: int = 1
    kind: str = "a"
    weight: float = 0.5
    most: int | None = None
    scale: float | Tensor = 1.0
    steps: int = 1
    levels: tuple[float, ...] = (1.0,)

    def __post_init__(self):
        super().__post_init__()
        self._check()
        for name in ("delays", "degree"):
            if getattr(self, name) < 1:
                raise ValueError(name)
        if self.kind not in KINDS:
            raise ValueError(self.kind)
        check_number("weight", self.weight, lambda w: 0 <= w <= 1, "in [0, 1]")
        if self.most is not None and self.most < 2:
            raise ValueError(self.most)
        for name in ("scale",):
            value = getattr(self, name)
            if value is not None and not (torch.as_tensor(value) > 0).all():
                raise ValueError(name)
        at_least(1, self, "steps")
        for level in self.levels:
            if level <= 0 or level >= self.leak:
                raise ValueError(level)

    def _check(self):
        if not 0 < self.leak <= 1:
            raise ValueError(self.leak)

def check_number(name, value, allowed, words):
    if isinstance(value, (int, float)) and not allowed(value):
        raise ValueError(name)
"""
LIMITS = """
def check_count(count):
    if count < 2:
        raise ValueError(count)

def at_least(least, owner, *names):
    for name in names:
        value = getattr(owner, name)
        if isinstance(value, int | float) and value < least:
            raise ValueError(name)
"""


def test_limits_are_those_of_the_condition_before_a_raise(tmp_path):
    """In the class, its bases, its methods, and in functions that it calls, of this or another
    module; a condition on two settings at once (`level >= self.leak`) is none.
    """
    (tmp_path / "lab_limits.py").write_text(LIMITS)
    found = {name: s.bounds for name, s in settings(tmp_path, BOUNDED).items() if s.bounds}
    assert found == {
        "members": Bounds(least=2),
        "names": Bounds(entries=1),
        "leak": Bounds(above=0, most=1),
        "delays": Bounds(least=1),
        "degree": Bounds(least=1),
        "kind": Bounds(values=("a", "b")),
        "weight": Bounds(least=0, most=1),
        "most": Bounds(least=2),
        "scale": Bounds(above=0),
        "steps": Bounds(least=1),
        "levels": Bounds(above=0),
    }


def test_meanings_are_those_of_the_docstrings_nearest_first(tmp_path):
    text = """
class Base:
    \"\"\"Shared.

    Attributes:
        a: of the base.
        b, c: both, with a word
            on a further line.
    \"\"\"
    a: int = 1
    b: int = 2
    c: int = 3

class A(Base):
    \"\"\"Mine.

    Args:
        a: mine.

    Not an entry: this.
    \"\"\"
    d: float = 1.5
    \"\"\"Below.\"\"\"
"""
    found = settings(tmp_path, text.replace('\\"', '"'))
    both = "both, with a word on a further line."
    assert {n: s.meaning for n, s in found.items()} == {
        "a": "mine.",
        "b": both,
        "c": both,
        "d": "Below.",
    }
    assert {n: s.default for n, s in found.items()} == {"a": "1", "b": "2", "c": "3", "d": "1.5"}
