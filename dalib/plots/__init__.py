"""Figures from datasets: each draws on given axes, and computes no score."""
