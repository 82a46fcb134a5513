"""Whether every file of a bundle still means its Program: each is made again and compared.

Nothing in a bundle is believed because it says so: hashes in the manifest and metadata of the files can be edited
together with what they are about. What can be neither made again nor compared is said to be so, by name.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from export.bundle import releases
from export.bundle.manifest import MANIFEST, difference_of_manifest
from export.bundle.names import (
    ADDED,
    FLOAT_NIR,
    FLOAT_SCAN,
    FLOAT_STEP,
    LAVA,
    PLAIN,
    PROGRAM,
    QUANTIZED_NIR,
    SCAN,
    STEP,
    STORED,
)
from export.errors import ExportError
from hardware.aside import working_folder
from hardware.errors import HardwareError
from hardware.lava.assignment import BIASES, CHIP, with_chip_biases
from hardware.own import hashes as hashes_of_own
from hardware.program import Program
from hardware.program_file import content_hash, load, save

if TYPE_CHECKING:
    import nir

    from export.interchange.discretise import Reading
    from export.interchange.steps import StepNetwork

DERIVED = frozenset((PROGRAM, FLOAT_NIR, QUANTIZED_NIR, SCAN, STEP, FLOAT_SCAN, FLOAT_STEP))
"""Files beside the folder of Lava that an export can have written."""


class Opened(Protocol):
    """What is asked of an opened bundle."""

    @property
    def path(self) -> Path: ...
    @property
    def manifest(self) -> Mapping[str, Any]: ...
    @property
    def program(self) -> Program: ...
    @property
    def reading(self) -> Reading | None: ...
    def float_network(self) -> StepNetwork: ...
    def has(self, name: str) -> bool: ...
    def file(self, name: str) -> Path: ...


@dataclass(frozen=True)
class Findings:
    """What became of a bundle's files.

    Attributes:
        held: check, a line that names its file -> whether it holds.
        reasons: check that does not hold -> why, in a few words.
        not_compared: file -> why nothing is known about it.
    """

    held: Mapping[str, bool]
    reasons: Mapping[str, str] = field(default_factory=dict)
    not_compared: Mapping[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> dict[str, str]:
        """Check that does not hold -> why."""
        return {name: self.reasons.get(name, "") for name, held in self.held.items() if not held}

    def and_also(self, held: Mapping[str, str | None], not_compared: Mapping[str, str] | None = None) -> Findings:
        """These and more; of the further checks given is why they do not hold, or None."""
        return Findings(
            {**self.held, **{name: why is None for name, why in held.items()}},
            {**self.reasons, **{name: why for name, why in held.items() if why is not None}},
            {**self.not_compared, **(not_compared or {})},
        )


def examine(bundle: Opened) -> Findings:
    """Make everything again and compare it.

    Raises:
        ExportError, HardwareError: the program itself cannot be read.
    """
    program = bundle.program
    recorded = _recorded_own(program)
    found: dict[str, str | None] = {
        f"the integer step of '{name}' is the one that the export recorded": None
        if recorded.get(name) == now
        else f"it is another than the '{name}' that runs here"
        for name, now in hashes_of_own(program).items()
    }
    alone = _without_rule(bundle)
    for name, (what, compare) in _RULES.items():
        if bundle.has(name) and name not in alone:
            found[f"{name} {what}"] = _reason(compare, bundle, name)
    for name in sorted(set(bundle.manifest["files"]) - set(_RULES)):
        compare = _for_lava if name.startswith(f"{LAVA}/") else _unknown
        found[f"{name} is what an export of this program writes"] = _reason(compare, bundle, name)
    found[f"{MANIFEST} is about this program"] = difference_of_manifest(bundle.manifest, program)
    strangers, notes = _unlisted(bundle)
    found[f"{MANIFEST} lists every file that can be run"] = strangers
    return Findings({}).and_also(found, {**alone, **notes})


Comparison = Callable[[Opened, str], str | None]
"""``compare(bundle, file)``: None where the file is what it should be, else what is different, in a few words."""


def _reason(compare: Comparison, bundle: Opened, name: str) -> str | None:
    """What a comparison found; a file that cannot even be read is another one, too."""
    try:
        return compare(bundle, name)
    except (ExportError, HardwareError) as error:
        return " ".join(str(error).split())
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"


def _recorded_own(program: Program) -> dict[str, Any]:
    from export.quantization.quantize import OWN_KEY

    try:
        found = json.loads(program.metadata.get(OWN_KEY, "{}"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _without_rule(bundle: Opened) -> dict[str, str]:
    """Float graphs in a bundle that does not hold the float network."""
    why = f"the bundle holds no {FLOAT_NIR} to make it from; export with the target nir, too"
    return {name: why for name in (FLOAT_SCAN, FLOAT_STEP) if bundle.has(name) and not bundle.has(FLOAT_NIR)}


def _unlisted(bundle: Opened) -> tuple[str | None, dict[str, str]]:
    """What the manifest does not list: (why that is wrong, or None), and plain files, which are only named."""
    listed, strange, plain = set(bundle.manifest["files"]) | {MANIFEST}, [], {}
    for path in sorted(_everything(bundle.path)):
        name = path.relative_to(bundle.path).as_posix()
        if name in listed or (name in ADDED and not path.is_symlink()):
            continue
        harmless = path.suffix in PLAIN or (path.name.startswith(".") and "/" not in name)
        if harmless and name not in DERIVED and not path.is_symlink():
            plain[name] = f"{MANIFEST} does not list it"
        else:
            strange.append(name)
    if bundle.manifest.get("dataset") is None and (bundle.path / STORED).exists():
        plain[STORED] = f"{MANIFEST} names no data set"
    return (f"it does not list {', '.join(strange[:3])}" if strange else None), plain


def _everything(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


# ---- what each file is compared with


def _own_content(bundle: Opened, name: str) -> str | None:
    """The file holds its program as it would be written again, and nothing besides."""
    with working_folder() as folder:
        again = folder / PROGRAM
        save(bundle.program, again)
        one, other = _members(bundle.file(name)), _members(again)
    if [key for key, _ in one] != [key for key, _ in other]:
        return "it has other members than this program is written with"
    return next((f"its {key} is written in another way" for key, value in one if (key, value) not in other), None)


def _members(path: Path) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:  # sizes were checked when the program was loaded
        return [(item.filename, archive.read(item)) for item in archive.infolist()]


def _copy(bundle: Opened, name: str) -> str | None:
    if bundle.file(name).read_bytes() == (bundle.path / PROGRAM).read_bytes():
        return None
    other = content_hash(load(bundle.file(name))) != content_hash(bundle.program)
    return "it is another program" if other else f"it is not the very {PROGRAM}"


def _float_network(bundle: Opened, name: str) -> str | None:
    from export.interchange import graph as nir_files
    from export.interchange.rewritten import is_ours, rewritten
    from export.interchange.same import difference
    from export.quantization.dequantize import requantize

    network, program = bundle.float_network(), bundle.program
    again = requantize(network, program)
    again = with_chip_biases(again) if program.metadata.get(BIASES) == CHIP else again
    if content_hash(again) != content_hash(program):
        return "it gives other integers in the formats of the program"
    graph = nir_files.read(bundle.file(name))
    metadata = graph.metadata or {}
    if not is_ours(graph):
        ours = sorted({"spec_version", "recurrence"} & set(metadata))
        if ours:
            return f"a graph from elsewhere has no metadata '{ours[0]}'"
        return _more_in_file(bundle.file(name), graph)
    expected = rewritten(graph, _formats_in(graph, program))
    if "spec_version" in metadata:
        expected.metadata["spec_version"] = program.spec_version
    return difference(graph, expected, _as_written_now(program)) or _more_in_file(bundle.file(name), graph)


def _more_in_file(path: Path, graph: nir.NIRGraph) -> str | None:
    """Whether an HDF5 file holds more than the graph that is read from it."""
    from export.interchange import graph as nir_files
    from export.interchange.same import objects_of

    with working_folder() as folder:
        again = folder / FLOAT_NIR
        nir_files.write(graph, again)
        found, expected = objects_of(path), objects_of(again)
    strange = sorted(found ^ expected)
    return f"it holds something besides the network ({strange[0]})" if strange else None


def _formats_in(graph: nir.NIRGraph, program: Program) -> dict[str, dict[str, Any]]:
    """The program's formats, for the nodes that record one."""
    from export.quantization.dequantize import formats_of
    from export.quantization.quantize import FORMAT_KEY

    forms = {item.name: form for item, form in zip(program.populations, formats_of(program), strict=True)}
    marked = [name for name, node in graph.nodes.items() if FORMAT_KEY in (getattr(node, "metadata", None) or {})]
    return {name: {FORMAT_KEY: forms[name].to_json()} for name in marked if name in forms}


def _as_written_now(program: Program) -> Callable[[str, Any], Any]:
    """Integer formats in today's words where they are in those of version 0.1."""
    from export.quantization.formats import LayerFormat
    from export.quantization.quantize import FORMAT_KEY

    def change(key: str, value: Any) -> Any:
        if key != FORMAT_KEY or not _in_words_of_01(value):
            return value
        for size, model in sorted({(item.size, item.model) for item in program.populations}):
            try:
                return LayerFormat.from_json(value, size, model, key).to_json()
            except ExportError:
                continue
        return value

    return change


def _in_words_of_01(text: Any) -> bool:
    try:
        return set(json.loads(str(text))) == _KEYS_OF_01
    except (ValueError, TypeError, RecursionError):
        return False


_KEYS_OF_01 = {"unit", "input_exponent", "recurrent_exponent", "weight_bits", "coefficient_bits", "shifts"}


def _quantized_network(bundle: Opened, name: str) -> str | None:
    from export.interchange import graph as nir_files
    from export.interchange.same import difference
    from export.quantization.dequantize import quantized_nir
    from export.quantization.quantize import quantize

    graph, program = nir_files.read(bundle.file(name)), bundle.program
    if content_hash(quantize(graph)) != content_hash(program):
        return "it gives other integers"
    origin = nir_files.read(bundle.file(FLOAT_NIR)) if bundle.has(FLOAT_NIR) else None
    expected = quantized_nir(program, origin)
    return difference(graph, expected, _as_written_now(program)) or _more_in_file(bundle.file(name), graph)


def _integer_graph(form: str) -> Comparison:
    def compare(bundle: Opened, name: str) -> str | None:
        from export.onnx.model_file import model
        from export.onnx.same import difference

        return difference(bundle.file(name), model(bundle.program, form))

    return compare


def _float_graph(form: str) -> Comparison:
    def compare(bundle: Opened, name: str) -> str | None:
        from export.onnx.floating import float_model
        from export.onnx.same import difference

        return difference(bundle.file(name), float_model(bundle.float_network(), form))

    return compare


def _for_lava(bundle: Opened, name: str) -> str | None:
    return releases.difference(bundle.program, name.removeprefix(f"{LAVA}/"), bundle.path / name)


def _unknown(bundle: Opened, name: str) -> str | None:
    return "no export writes such a file"


_IS_PROGRAM = "is this program"
_RULES: dict[str, tuple[str, Comparison]] = {
    PROGRAM: ("is written as this program is written", _own_content),
    FLOAT_NIR: (_IS_PROGRAM, _float_network),
    QUANTIZED_NIR: (_IS_PROGRAM, _quantized_network),
    SCAN: (_IS_PROGRAM, _integer_graph("scan")),
    STEP: (_IS_PROGRAM, _integer_graph("step")),
    FLOAT_SCAN: (f"is the network of {FLOAT_NIR}", _float_graph("scan")),
    FLOAT_STEP: (f"is the network of {FLOAT_NIR}", _float_graph("step")),
    f"{LAVA}/{PROGRAM}": (_IS_PROGRAM, _copy),
}
"""File -> (what is asked, how that is answered: None, or what is different)."""
