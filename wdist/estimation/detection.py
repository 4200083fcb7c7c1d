"""Detected distances: held-out values of critics on fresh samples, with a two-sided interval and a p-value."""

from wdist.bounds.confidence import confidence_interval
from wdist.bounds.dual import CLAIM
from wdist.bounds.mean_difference import MOST_PERMUTED, MeanDifference, mean_difference, normal_quantile, permutation_p_value
from wdist.estimation.evaluation import ErrorBudget
from wdist.estimation.result import CROSS_FITTED, POWER, CriticResult, Detected, HeldOut


def detect(critic: CriticResult, errors: ErrorBudget, *, seed: int) -> Detected | None:
    r"""The held-out value of a critic, with an interval and a p-value.

    .. math:: \theta = (E_P f - E_Q f) / K

    With folds, this is averaged over the critics of all folds, each evaluated on the samples that it did not see. Without folds,
    the p-value by permutations is exact: if the distributions are equal, the held-out values of both sides are exchangeable. If the
    held-out samples chose the critic among several, all of these share the error.

    Returns:
        None if the critic's held-out values were not kept.
    """
    folds = [each.held_out for each in critic.folds or (critic,) if each.held_out is not None]
    if not folds:
        return None
    found = mean_difference([(fold.a, fold.b) for fold in folds])
    alpha = (1 - errors.confidence) / errors.compared
    method = errors.method if len(folds) == 1 else CROSS_FITTED
    lower, upper = _interval(folds, found, method, alpha)
    p_value, p_value_method = _p_value(folds, found, seed)
    rounding = CLAIM.roundings * max(fold.rounding for fold in folds)
    n_a, n_b = sum(len(fold.a) for fold in folds), sum(len(fold.b) for fold in folds)
    return Detected(
        estimate=found.estimate,
        lower=lower - rounding,
        upper=upper + rounding,
        confidence=errors.confidence,
        method=method,
        n_a=n_a,
        n_b=n_b,
        p_value=min(1.0, p_value * errors.compared),
        p_value_method=p_value_method,
        detectable=(normal_quantile(1 - alpha) + normal_quantile(POWER)) * found.standard_error,
        error_a=found.error_a,
        error_b=found.error_b,
        freedom=found.freedom,
    )


def _interval(folds: list[HeldOut], found: MeanDifference, method: str, alpha: float) -> tuple[float, float]:
    if method == CROSS_FITTED:
        return found.lower(alpha / 2), found.upper(alpha / 2)
    (held_out,) = folds
    return confidence_interval(held_out.a, held_out.b, alpha=alpha, method=method, ranges=held_out.ranges, apart=held_out.apart)


def _p_value(folds: list[HeldOut], found: MeanDifference, seed: int) -> tuple[float, str]:
    """The p-value and its method. Values on different folds are not exchangeable, because each fold trains the others' critics."""
    if len(folds) == 1 and len(folds[0].a) + len(folds[0].b) <= MOST_PERMUTED:
        return permutation_p_value(folds[0].a, folds[0].b, seed=seed), "permutations"
    return found.p_value, "welch"
