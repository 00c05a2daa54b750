"""Smoothers: beliefs about each time given also the observations after it."""

from dalib.smoothers.base import Smoothed, Smoother
from dalib.smoothers.smoothing import smooth

__all__ = ["Smoothed", "Smoother", "smooth"]
