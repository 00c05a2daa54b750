"""Scores of filters on gridded states, and of their codecs."""
