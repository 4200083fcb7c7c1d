"""Ground metrics and confidence methods, as a reader knows them."""

METRICS = {"l2": "Euclidean metric", "l1": "L1 metric", "linf": "L-infinity metric"}
METHODS = {"welch": "Welch's t, asymptotic", "empirical-bernstein": "empirical Bernstein", "betting": "betting"}
"""Of confidence bounds."""
