"""What the tables on tokens show: distances to the truth, and what else a model should have."""

from papers.gpt.tables.columns import Quantity, count, largest, percent, quotient, share_from

ON_DISTANCES = (
    "W₁ is the exact Wasserstein-1 distance between visits of cells, in units of the state, of "
    "sets as large as the test set: median [5 %–95 %] over pairs of disjoint groups of true "
    "trajectories, or over groups of true trajectories and trainings. The paper prints one pair, "
    "True1 and True2. Where trajectories begin off the attractor, their first samples count in the "
    "vocabulary alone. T is the temperature; the paper states T → 0."
)
ON_DYNAMICS = (
    "Entropies are those of the next token, counted in training: upper marks for a model that sees "
    "more of the past. The entropy rate, the largest exponent times the sampling interval, is the "
    "lower mark. A match is the model time for which an accepted draw, a true trajectory with the "
    "same given tokens, agrees token by token with a continuation; the longest one grows with the "
    "number of draws."
)

DISTANCES = (
    Quantity("said", "GPT-2 v. True1, published", lambda c: c.said("generated")),
    Quantity("said_true", "True1 v. True2, published", lambda c: c.said("reference")),
    Quantity(
        "said_ratio",
        "ratio, published",
        lambda c: quotient(c.said("generated"), c.said("reference")),
    ),
    Quantity("w1", "GPT-2 (T = 1) v. true", lambda c: c.made("w1", temperature=1.0)),
    Quantity("true", "true v. true", lambda c: c.true("true_w1")),
    Quantity(
        "ratio",
        "ratio of medians",
        lambda c: quotient(c.made("w1", temperature=1.0), c.true("true_w1")),
    ),
    Quantity(
        "over_95",
        "GPT-2 (T = 1), over the 95 % quantile of true v. true",
        lambda c: quotient(c.made("w1", temperature=1.0), c.made("w1_reference_95")),
    ),
    Quantity(
        "chain",
        "Markov chain, order 1, v. true",
        lambda c: c.made("w1", by="chain", temperature=1.0),
    ),
    Quantity(
        "chain_over_95",
        "Markov chain, over the 95 % quantile of true v. true",
        lambda c: quotient(
            c.made("w1", by="chain", temperature=1.0), c.made("w1_reference_95", by="chain")
        ),
    ),
    Quantity("greedy", "GPT-2 at T = 0 v. true", lambda c: c.made("w1", temperature=0.0)),
    Quantity(
        "greedy_over_95",
        "GPT-2 at T = 0, over the 95 % quantile of true v. true",
        lambda c: quotient(c.made("w1", temperature=0.0), c.made("w1_reference_95")),
    ),
    Quantity(
        "all",
        "GPT-2 (T = 1) v. all training states",
        lambda c: c.made("w1_training", temperature=1.0),
    ),
    Quantity("true_all", "true v. all training states", lambda c: c.true("true_w1_training")),
    Quantity("true_largest", "true v. true, largest", lambda c: largest(c.true("true_w1"))),
    Quantity("true_pairs", "true v. true, pairs", lambda c: count(c.true("true_w1"))),
    Quantity(
        "reached",
        "pairs as far apart as published, or farther (%)",
        lambda c: share_from(c.true("true_w1"), c.said("reference")),
    ),
    Quantity(
        "unseen",
        "unseen transitions, T = 1 (%)",
        lambda c: percent(c.made("unseen_bigram_share", temperature=1.0)),
    ),
    Quantity(
        "unseen_greedy",
        "unseen transitions, T = 0 (%)",
        lambda c: percent(c.made("unseen_bigram_share", temperature=0.0)),
    ),
    Quantity(
        "triples",
        "unseen triples of cells, T = 1 (%)",
        lambda c: percent(c.made("unseen_triple_share", temperature=1.0)),
    ),
    Quantity(
        "triples_greedy",
        "unseen triples of cells, T = 0 (%)",
        lambda c: percent(c.made("unseen_triple_share", temperature=0.0)),
    ),
    Quantity(
        "triples_chain",
        "unseen triples of cells, Markov chain (%)",
        lambda c: percent(c.made("unseen_triple_share", by="chain", temperature=1.0)),
    ),
    Quantity(
        "triples_true",
        "unseen triples of cells, test trajectories (%)",
        lambda c: percent(c.true("unseen_triples")),
    ),
    Quantity(
        "cycles",
        "runs that end in a cycle, T = 0 (%)",
        lambda c: percent(c.made("periodic_share", temperature=0.0)),
    ),
    Quantity(
        "cells", "cells visited, GPT-2 (T = 1)", lambda c: c.made("cells_visited", temperature=1.0)
    ),
    Quantity(
        "cells_greedy",
        "cells visited, GPT-2 at T = 0",
        lambda c: c.made("cells_visited", temperature=0.0),
    ),
    Quantity(
        "cells_true",
        "cells visited, test trajectories",
        lambda c: c.made("true_cells_visited", temperature=1.0),
    ),
    Quantity("vocabulary", "cells visited, training: tokens", lambda c: c.true("vocabulary")),
)

DYNAMICS = (
    Quantity("loss", "test loss (nats per token)", lambda c: c.made("test_loss")),
    Quantity("loss_late", "second half of the window", lambda c: c.made("test_loss_late")),
    Quantity("floor", "entropy rate, λτ", lambda c: c.true("entropy_rate")),
    Quantity(
        "over_floor",
        "test loss over entropy rate",
        lambda c: quotient(c.made("test_loss"), c.true("entropy_rate")),
    ),
    *(
        Quantity(
            f"order{m}",
            f"entropy given {m} token{'s'[: m > 1]}",
            lambda c, m=m: c.true("entropy", order=m),
        )
        for m in (1, 2, 3, 4)
    ),
    Quantity(
        "exponent_said", "Lyapunov exponent of GPT-2, published", lambda c: c.said("exponent")
    ),
    Quantity(
        "exponent_said_true", "its reference, published", lambda c: c.said("exponent_reference")
    ),
    Quantity(
        "fit",
        "fit from n = 1, GPT-2 (T = 1)",
        lambda c: c.made("lyapunov_fit", temperature=1.0, first=1),
    ),
    Quantity(
        "fit_greedy",
        "fit from n = 1, GPT-2 (T = 0)",
        lambda c: c.made("lyapunov_fit", temperature=0.0, first=1),
    ),
    Quantity(
        "fit_true",
        "fit from n = 1, true cell centres",
        lambda c: c.true("true_lyapunov_fit", first=1),
    ),
    Quantity(
        "fit_exact",
        "fit from n = 1, exact true states",
        lambda c: c.true("exact_lyapunov_fit", first=1),
    ),
    Quantity(
        "fit_chain",
        "fit from n = 1, Markov chain",
        lambda c: c.made("lyapunov_fit", by="chain", temperature=1.0, first=1),
    ),
    Quantity(
        "fit3",
        "fit from n = 3, GPT-2 (T = 1)",
        lambda c: c.made("lyapunov_fit", temperature=1.0, first=3),
    ),
    Quantity(
        "fit3_true",
        "fit from n = 3, true cell centres",
        lambda c: c.true("true_lyapunov_fit", first=3),
    ),
    Quantity("exponent", "largest exponent, tangent map", lambda c: c.true("lyapunov")),
    Quantity("time", "1/λ, tangent map", lambda c: c.true("lyapunov_time")),
    Quantity("time_said", "1/λ, published", lambda c: c.said("lyapunov_time")),
    Quantity(
        "divergence_said", "divergence time of GPT-2, published", lambda c: c.said("divergence")
    ),
    Quantity(
        "longest",
        "longest match of accepted draws, GPT-2 (T = 1)",
        lambda c: c.made("match_longest", temperature=1.0),
    ),
    Quantity(
        "longest_greedy",
        "longest match of accepted draws, GPT-2 (T = 0)",
        lambda c: c.made("match_longest", temperature=0.0),
    ),
    Quantity(
        "longest_true",
        "longest match of accepted draws, truth",
        lambda c: c.true("true_match_longest"),
    ),
    Quantity(
        "match",
        "median match of accepted draws, GPT-2 (T = 1)",
        lambda c: c.made("match_median", temperature=1.0),
    ),
    Quantity(
        "match_greedy",
        "median match of accepted draws, GPT-2 (T = 0)",
        lambda c: c.made("match_median", temperature=0.0),
    ),
    Quantity(
        "match_true", "median match of accepted draws, truth", lambda c: c.true("true_match_median")
    ),
    Quantity(
        "match_chain",
        "median match of accepted draws, Markov chain",
        lambda c: c.made("match_median", by="chain", temperature=1.0),
    ),
    Quantity("accepted", "accepted draws", lambda c: c.true("accepted")),
    *(
        Quantity(
            f"{name}{lag}",
            f"{label}, {lag} step{'s'[: lag > 1]} apart",
            lambda c, of=of, lag=lag: of(c, lag),
        )
        for lag in (1, 10)
        for name, label, of in (
            (
                "pairs",
                "law of pairs: GPT-2 (T = 1)",
                lambda c, lag: c.made("w1_pairs", temperature=1.0, lag=lag),
            ),
            (
                "pairs_greedy",
                "GPT-2 (T = 0)",
                lambda c, lag: c.made("w1_pairs", temperature=0.0, lag=lag),
            ),
            (
                "pairs_chain",
                "Markov chain",
                lambda c, lag: c.made("w1_pairs", by="chain", temperature=1.0, lag=lag),
            ),
            ("pairs_true", "true v. true", lambda c, lag: c.true("true_w1_pairs", lag=lag)),
        )
    ),
)

ALL = DISTANCES + DYNAMICS
