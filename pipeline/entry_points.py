"""The function of a paper that a stage calls, as its configuration says."""

from collections.abc import Mapping
from typing import Any

from pipeline.errors import ConfigError


def entry_point(config: Mapping[str, Any], paper: str, stage: str, task: str) -> str:
    """ "package.module:function" of what a stage does in one of its tasks: `entry_points`.

    Raises:
        ConfigError: the paper names no function for the task.
    """
    named = config[paper].get("entry_points", {}).get(stage, {})
    if task not in named:
        known = ", ".join(sorted(named)) or "none"
        raise ConfigError(
            f"{paper}.entry_points.{stage}: nothing is named for {task!r}, only for: {known}; give "
            f"{task}: package.module:function"
        )
    return named[task]
