"""What readers call the methods, and the colour of each."""

from dalib.plotting import (
    BLACK,
    BLUE,
    BROWN,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SAND,
    SKY,
    VERMILION,
    Look,
)

LOOK = Look(
    {
        "truth": ("truth", BLACK),
        "observations": ("observations", GREY),
        "free": ("free run", GREY),
        "letkf": ("LETKF", PURPLE),
        "ensf": ("EnSF", BLUE),
        "ensf_ring": ("EnSF", BLUE),
        "letkf_ring": ("LETKF", PURPLE),
        "letkf_ring_tuned": ("LETKF", PURPLE),
        "ensf_interpolated": ("EnSF, interpolated", SKY),
        "direct": ("obs.-only decoding", BLACK),
        "latent_ensf": ("Latent-EnSF", VERMILION),
        "latent_enkf": ("Latent-EnKF", GREEN),
        "latent_letkf": ("Latent-LETKF", ORANGE),
        "pca_direct": ("obs.-only decoding, PCA", SAND),
        "pca_latent_ensf": ("Latent-EnSF, PCA", BROWN),
    }
)
label, colour = LOOK.label, LOOK.colour
