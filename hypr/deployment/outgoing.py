"""A trained network, a bundle or a NIR file, written for another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from export import discretise, read, to_nir
from export.bundle.opened import Bundle
from export.errors import ExportError
from export.interchange.outgoing import Outgoing, nir_for
from export.interchange.steps import StepNetwork
from export.quantization.dequantize import integer_steps


def write_for(
    source: Path,
    tool: str,
    out: Path,
    *,
    quantized: bool = False,
    dt_s: float | None = None,
    which: Literal["best", "last"] = "best",
    data_name: str | None = None,
    overwrite: bool = False,
) -> Outgoing:
    """Write the NIR file that a tool reads as the network of `source`.

    Args:
        source: folder of a run or a bundle, a file of :func:`hypr.save`, or a NIR file of this package.
        tool: one of :data:`export.interchange.outgoing.TOOLS`.
        out: the file.
        quantized: of a bundle: the values that its integers stand for, instead of the float network.
        dt_s: seconds per step, for runs and files of :func:`hypr.save`; None: a millisecond.
        which, data_name: of a run: its weights, and where its data are now.
        overwrite: replace a file that is there.

    Raises:
        ExportError: the tool has no such network, with the reason; or `out` exists. HyprError: no such source.
    """
    if out.exists() and not overwrite:
        raise ExportError(f"{out} exists; give --overwrite, or another --out")
    network = _network(source, quantized, dt_s, which, data_name)
    found = nir_for(network, tool)
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    found.write(out)
    return found


def _network(
    source: Path, quantized: bool, dt_s: float | None, which: Literal["best", "last"], data_name: str | None
) -> StepNetwork:
    if (source / "manifest.json").is_file():
        bundle = Bundle.open(source)
        return integer_steps(bundle.program, dt_s) if quantized else bundle.float_network()
    if quantized:
        raise ExportError(f"--quantized is for a bundle; {source} is none (hypr export or hypr import makes one)")
    if source.suffix == ".nir":
        return discretise(read(source))
    seconds = 1e-3 if dt_s is None else dt_s
    if source.is_file():
        from hypr import load

        return discretise(to_nir(load(source), dt=seconds))
    from hypr.training.runs import open_run

    return discretise(to_nir(open_run(source, which, data_name).network, dt=seconds))
