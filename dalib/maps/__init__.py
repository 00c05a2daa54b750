"""Forecast maps with parameters to be learned."""

from dalib.maps.base import Map, Start
from dalib.maps.orbit import OrbitMap
from dalib.maps.ring import RingMap
from dalib.maps.species import SpeciesMap

__all__ = ["Map", "OrbitMap", "RingMap", "SpeciesMap", "Start"]
