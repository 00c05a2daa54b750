"""Generative models: from states to more states of the same distribution.

from dalib.generators import ScoreDiffusion, TrainingData

fitted = ScoreDiffusion(steps=5000).fit(TrainingData(train), generator)
states = fitted.sample(1000, generator)                        # (sample, state)
"""

from dalib.forecasters.base import TrainingData
from dalib.generators.base import FittedGenerator, Generator
from dalib.generators.gaussian import GaussianGenerator
from dalib.generators.score import ScoreDiffusion

__all__ = [
    "FittedGenerator",
    "GaussianGenerator",
    "Generator",
    "ScoreDiffusion",
    "TrainingData",
]
