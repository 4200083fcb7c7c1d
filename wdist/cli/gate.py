"""``wdist gate A B``: a verdict for continuous integration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from wdist.cli import options as opt
from wdist.cli.outputs import OutputOptions, Outputs
from wdist.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from wdist.estimation.options import EstimateOptions
    from wdist.gates.limits import GateLimits
    from wdist.gates.sequential import UntilDecided

_TIMED = "--budget limits the time, so another run gives different digits; with --steps they are reproducible"
_TIMED_SEQUENTIAL = "--max-time limits the time, so another run may draw a different number of samples"
_RULES = "Rules (--max-lower alone, or one or both of --max and --baseline)"


@dataclass(frozen=True, kw_only=True)
class RuleOptions:
    """Limits for W1; the library validates them."""

    max: str | None = opt.flag(
        _RULES,
        "T",
        "Pass if W1 is proved to be at most T, fail if it is proved to be more; otherwise inconclusive. With --on block also "
        "reference+10% or 3sd: relative to the reference against itself.",
    )
    max_lower: float | None = opt.flag(
        _RULES, "T", "Fail if the lower bound is above T; never pass. Cheaper, because no upper bound is computed."
    )
    baseline: str | None = opt.flag(
        _RULES,
        "FILE",
        "Earlier JSON document of gate, estimate or compare (compare.json:NAME) with the same A: pass if W1 is "
        "proved to have grown by at most --tolerance, fail if by more.",
    )
    tolerance: str | None = opt.flag(_RULES, "SHARE", "Growth allowed by --baseline: 5% or 0.05. Default: 5%.")
    on: str | None = opt.flag(
        _RULES,
        "WHICH",
        "What to judge, at --confidence: the distributions behind the samples (population), what the critic finds on fresh samples "
        "(detected; not an upper bound of W1), the mean W1 between blocks of few samples (block; larger than W1), or W1 from the "
        "samples of A to the draws of a generator B (reference); or, for certain, the two sample sets (samples). "
        "Default: population.",
    )
    until_decided: bool = opt.flag(
        _RULES,
        "",
        "Draw batches (or read further into a file) until --max is decided, checking after each one: critics are trained on "
        "earlier batches and judged on the next. A pass is about what critics detect, a fail also about W1.",
        "--until-decided",
        default=False,
    )
    max_samples: int | None = opt.flag(_RULES, "N", "With --until-decided: stop after N samples of each side. Default: 100,000.")
    max_time: str | None = opt.flag(_RULES, "TIME", "With --until-decided: stop after this time, such as 90s, 10m or 2h.")
    proof: str | None = opt.flag(_RULES, "FILE", "Judge the bounds of a proof saved by --save-proof instead of training anything.")
    accept_inconclusive: bool = opt.flag(
        _RULES, "", "Exit with 0 instead of 3 if the verdict is inconclusive.", "--accept-inconclusive", default=False
    )

    def limits(self) -> GateLimits:
        """The limits as an object of the library, which refuses contradictions."""
        from wdist.gates.limits import GateLimits, maximum_of

        on: Any = self.on or ("detected" if self.until_decided else "population")
        return GateLimits(
            maximum=maximum_of(self.max),
            max_lower=self.max_lower,
            baseline=self.baseline,
            tolerance=None if self.tolerance is None else _share(self.tolerance),
            on=on,
        )

    def until(self) -> UntilDecided | None:
        """The limits at which a sequential gate stops; None for a gate on all samples at once.

        Raises:
            UsageError: a limit without --until-decided, or --until-decided with --proof.
        """
        if not self.until_decided:
            if self.max_samples is not None or self.max_time is not None:
                raise UsageError("--max-samples and --max-time limit a gate that draws until it is decided; add --until-decided")
            return None
        if self.proof is not None:
            raise UsageError(
                "--until-decided draws new samples, but --proof is about those of an earlier run; give only one of them"
            )
        from wdist.gates.sequential import MOST_SAMPLES, UntilDecided
        from wdist.training.budget import Budget

        seconds = None if self.max_time is None else Budget.parse(self.max_time).seconds
        return UntilDecided(max_samples=MOST_SAMPLES if self.max_samples is None else self.max_samples, max_seconds=seconds)


def _share(words: str) -> float:
    match = re.fullmatch(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(%?)\s*", words)
    if match is None:
        raise UsageError(f"--tolerance {words!r} is not a fraction; write --tolerance 5% or --tolerance 0.05")
    value = float(match[1])
    if not match[2] and value >= 1:
        raise UsageError(f"--tolerance {words} would be {100 * value:g} %; write {value:g}% if you mean per cent")
    return value / 100 if match[2] else value


@dataclass(frozen=True, kw_only=True)
class GateFlags(opt.EstimateFlags):
    """Options of the estimate behind a gate: by default one critic, whose bounds share the error with no others."""

    critics: opt.Critics = None
    baselines: str | None = opt.flag(
        "Result", "WHICH", "Critics trained beside the main one: none, default, all, or comma-separated names. Default: none."
    )

    def validated(self, *arguments: Any, **more: Any) -> EstimateOptions:
        """The options of the library."""
        left_out = "none" if self.critics is None else "default"
        return super().validated(*arguments, **{"baselines": self.baselines or left_out, **more})


@opt.expanded
def command(
    a: Annotated[str, opt.argument("A", "Reference: data.h5, images/, torchvision:MNIST?split=test, ...")],
    b: Annotated[str, opt.argument("B", "Source to judge: draws of a generator, tonight's data, ...")],
    rules: RuleOptions,
    flags: GateFlags,
    sources: opt.TableOptions,
    checkpoint: opt.CheckpointOptions,
    outputs: Annotated[Outputs, OutputOptions("gate", choice=True)],
) -> int:
    """Pass, fail, or inconclusive: is W1 between A and B within a limit, and no worse than it was?

    An upper bound proves a pass, a lower bound proves a fail. Exit status: 0 pass, 1 fail, 3 inconclusive.

    Example: wdist gate data.h5 tonight.h5 --max 1.5 --baseline last.json -o now.json
    """
    limits, until, options = rules.limits(), rules.until(), flags.validated(sources.access())
    read = (*flags.inputs, rules.baseline, rules.proof)
    if until is not None and any(each.name == "proof" for each in outputs.files):
        raise UsageError("a sequential verdict rests on many critics, which a proof cannot hold; leave out --save-proof")
    outputs.check(sources=(a, b), inputs=filter(None, read))
    with checkpoint.kept("gate", options, limits, *filter(None, [until])), outputs.observer() as observer:
        if until is None:
            from wdist.gates.gate import run_gate

            result = run_gate(a, b, options, limits, proof=rules.proof, observer=observer)
        else:
            from wdist.gates.sequential import run_until_decided

            result = run_until_decided(a, b, options, limits, until, observer=observer)
    accepted = rules.accept_inconclusive and result.answer.exit_status == ExitStatus.INCONCLUSIVE
    return outputs.deliver(
        result,
        status=ExitStatus.DONE if accepted else result.answer.exit_status,
        if_interrupted="the bounds shown are still proved, and the verdict follows from them",
        notes=[_TIMED if until is None else _TIMED_SEQUENTIAL] if result.timed else [],
        accept_inconclusive=rules.accept_inconclusive,
    )
