"""What readers call the methods, and the colour of each."""

from dalib.plotting import BLACK, BLUE, GREEN, ORANGE, VERMILION, Look

LOOK = Look(
    {
        "truth": ("truth", BLACK),
        "gpt": ("GPT-2", BLUE),
        "gpt_greedy": ("GPT-2, greedy", GREEN),
        "markov": ("Markov chain", ORANGE),
        "paired": ("paired simulation", VERMILION),
    }
)
label, colour = LOOK.label, LOOK.colour
