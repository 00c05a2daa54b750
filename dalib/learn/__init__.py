"""Parameters of anything, learned through any filter from observations alone."""

from dalib.learn.loop import History, Learned, Learning, learn
from dalib.learn.parameters import TRANSFORMS, Learnable
from dalib.learn.schedule import Constant, Decay, Plateau

__all__ = [
    "TRANSFORMS",
    "Constant",
    "Decay",
    "History",
    "Learnable",
    "Learned",
    "Learning",
    "Plateau",
    "learn",
]
