"""What readers call the methods, and the colour of each."""

from dalib.plotting import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION, Look

LOOK = Look(
    {
        "truth": ("truth", BLACK),
        "observations": ("observations", GREY),
        "kalman": ("Kalman filter", BLACK),
        "var3d_k": ("3DVar-K", ORANGE),
        "var3d_c": ("3DVar-C", GREEN),
        "enkf": ("EnKF", BLUE),
        "ens3dvar": ("Ens3DVar", VERMILION),
        "letkf": ("LETKF", PURPLE),
        "start": ("initial models", GREY),
    }
)
LEARNED = ("var3d_k", "var3d_c", "enkf", "ens3dvar", "letkf")  # by automatic differentiation
label, colour = LOOK.label, LOOK.colour


def learned(method: str) -> str:
    """What readers call a filter whose parameters were learned through it (AD-EnKF)."""
    return f"AD-{label(method)}" if method in LEARNED else label(method)
