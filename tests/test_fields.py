import ast

import pytest

from pipeline.fields import annotation_kind, settings_of

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
]


@pytest.mark.parametrize(("annotation", "allowed", "refused"), GOOD)
def test_annotation_says_which_plain_values_are_allowed(annotation, allowed, refused):
    kind = annotation_kind(ast.parse(annotation, mode="eval").body)
    assert kind.allows(allowed)
    assert not kind.allows(refused)


@pytest.mark.parametrize(
    "annotation",
    ["Tensor", "Callable[[int], int]", "Tensor | None", "Gaussian", "tuple[Tensor, ...]"],
)
def test_other_annotations_are_no_settings(annotation):
    assert annotation_kind(ast.parse(annotation, mode="eval").body) is None


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
