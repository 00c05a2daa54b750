"""The function that a stage calls: of the paper, as its configuration says, or of the library."""

from collections.abc import Mapping
from typing import Any

from dalib.registry import TASKS
from pipeline.errors import ConfigError


def entry_point(config: Mapping[str, Any], paper: str, stage: str, task: str) -> str:
    """ "package.module:function" of what a stage does in one of its tasks.

    `entry_points` of the paper's section count before `registry.TASKS`, so that a paper may do
    anything in its own way.

    Raises:
        ConfigError: neither names a function for the task.
    """
    own, shared = config[paper].get("entry_points", {}).get(stage, {}), TASKS.get(stage, {})
    if task not in {**shared, **own}:
        known = ", ".join(sorted({**shared, **own})) or "none"
        raise ConfigError(
            f"{paper}.entry_points.{stage}: nothing is named for {task!r}, only for: {known}; give "
            f"{task}: package.module:function"
        )
    return {**shared, **own}[task]
