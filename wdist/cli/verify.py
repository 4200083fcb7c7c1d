"""``wdist verify PROOF A B``."""

from typing import Annotated

from wdist.cli import options as opt
from wdist.cli.outputs import OutputOptions, Outputs
from wdist.data.sources.address import file_and_name
from wdist.errors import ExitStatus
from wdist.files import PROOF_SUFFIX


@opt.expanded
def command(
    proof: Annotated[str, opt.argument("PROOF", "File saved by --save-proof; FILE:NAME for a source of wdist compare.")],
    a: Annotated[str | None, opt.argument("A", "First source. Default: the address that was saved.")] = None,
    b: Annotated[str | None, opt.argument("B", "Second source. Default: the address that was saved.")] = None,
    *,
    device: Annotated[str, opt.option("Sources", "NAME", "Where to draw samples: auto, cpu, cuda or cuda:1.")] = "cpu",
    features: opt.Features = None,
    sources: opt.SourceOptions,
    outputs: Annotated[Outputs, OutputOptions("verify")],
) -> int:
    """Prove all bounds of a saved result again, from its evidence and the samples, without training or solving anything.

    Exit status 4 if any claim does not follow.

    Example: wdist verify proof.safetensors a.h5 b.h5
    """
    from wdist.estimation.proof import read_statement

    stated = read_statement(proof)
    file, _ = file_and_name(proof, PROOF_SUFFIX)
    spec = "" if stated.features is None else stated.features.spec
    outputs.check(inputs=(str(file), a or stated.a.address, b or stated.b.address, features or spec))
    with outputs.observer() as observer:
        from wdist.estimation.verification import verify

        found = verify(proof, a, b, access=sources.access(), features=features, device=device, observer=observer)
    return outputs.deliver(found, status=ExitStatus.DONE if found.ok else ExitStatus.NOT_CERTIFIED)
