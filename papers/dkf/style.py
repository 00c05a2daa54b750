"""What readers call the methods, and the colour of each."""

from dalib.plotting import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, YELLOW, Look

LOOK = Look(
    {
        "truth": ("truth", BLACK),
        "observations": ("observations", GREY),
        "ekf": ("EKF", BLUE),
        "particle": ("particle filter", VERMILION),
        "dkf": ("deep Kalman filter", GREEN),
        "dks": ("deep Kalman smoother", YELLOW),
        "equations": ("true equations", BLUE),
        "persistence": ("persistence", GREY),
        "langevin": ("annealed Langevin", PURPLE),
        "reverse_sde": ("reverse SDE", SKY),
        "flow_ode": ("probability flow", ORANGE),
    }
)
label, colour = LOOK.label, LOOK.colour
