"""Scores of codecs of tokens, and of what models of tokens generate."""
