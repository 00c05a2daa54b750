"""What the stages do with one case: sections of the configuration and datasets in, datasets out.

One module a stage, imported by its own name: the code of another stage does not count. Streams of
random numbers are named by experiment, seed and purpose, so that no stage's draws depend on another
stage or on how seeds are laid out in batches.
"""
