"""Command line of the launcher that an exported network carries: run it on Lava in this interpreter.

Exit codes: 0 done, 2 bad input or usage, 3 Lava is not installed here or broken, 4 the run on Lava failed, 128 and the
signal's number where a signal ended it.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from hardware.errors import HardwareError, InputError, ProgramError
from hardware.lava.endings import Ended, children_end_with_us, ending_raises, quiet_tracker, start_tracker
from hardware.lava.job_folder import TEMPORARY, job_folder
from hardware.lava.meanings import why
from hardware.lava.request import LavaError
from hardware.program import Program
from hardware.program_file import content_hash, load, write_atomically
from hardware.trace import Trace

INPUT_KEY = "input_spikes"


def main(program_file: Path, expected_hash: str, arguments: Sequence[str]) -> int:
    """Parse, run, write; messages go to stderr in one line. Returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        with ending_raises(), job_folder() as folder:
            os.environ["TMPDIR"] = tempfile.tempdir = str(folder / TEMPORARY)
            os.environ["PYTHONWARNINGS"] = quiet_tracker()
            start_tracker()
            children_end_with_us()
            try:
                return _run(program_file, expected_hash, options)
            finally:  # a signal in the middle of a start leaves processes that Lava does not know yet
                for child in multiprocessing.active_children():
                    child.kill()
    except LavaError as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return 4
    except HardwareError as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return 2
    except Ended as end:
        _leave(f"error: {end}", 128 + end.number)
    except KeyboardInterrupt:
        _leave("error: interrupted", 130)
    except OSError as error:
        print(f"error: {why(error, options.out.absolute().parent)}", file=sys.stderr)
        return 2


def _leave(message: str, code: int) -> NoReturn:
    """Go without the interpreter's own ending, which waits for processes and threads that Lava left in the middle."""
    print(message, file=sys.stderr, flush=True)
    os._exit(code)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def read_inputs(path: Path, program: Program) -> dict[str, np.ndarray]:
    """Inputs (T, B, N) of an ``.npz`` file by name: an array for each input, or ``input_spikes`` where there is one.

    Raises:
        InputError: missing, damaged, or without these arrays.
    """
    names = [item.name for item in program.inputs]
    try:
        with np.load(path, allow_pickle=False) as archive:
            if len(names) == 1 and INPUT_KEY in archive.files:
                return {names[0]: np.asarray(archive[INPUT_KEY])}
            missing = [name for name in names if name not in archive.files]
            if missing:
                wanted = INPUT_KEY if len(names) == 1 else missing[0]
                raise InputError(f"{path}: holds {', '.join(archive.files) or 'nothing'}, expected an array '{wanted}'")
            return {name: np.asarray(archive[name]) for name in names}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: is no readable .npz file ({' '.join(str(error).split())[:200]})") from None


def _run(program_file: Path, expected_hash: str, options: argparse.Namespace) -> int:
    program = load(program_file)
    if content_hash(program) != expected_hash:
        raise ProgramError(f"{program_file}: is not the program that was exported with this launcher; export again")
    inputs = read_inputs(options.inputs, program)
    check_writable(options.out)
    try:
        trace = _on_lava(program, inputs, options)
    except ImportError as missing:
        pins = program_file.with_name("requirements.txt")
        what = f"no module '{missing.name}'" if isinstance(missing, ModuleNotFoundError) else _one_line(missing)
        print(f"error: {what} in {sys.executable}; with Python 3.10: pip install --no-deps -r {pins}", file=sys.stderr)
        return 3
    except OSError as error:
        raise LavaError(why(error, Path(tempfile.gettempdir()))) from None
    content = io.BytesIO()
    np.savez(content, **trace.arrays())  # type: ignore[arg-type]
    write_atomically(options.out, content.getvalue())
    print(f"{trace.engine}: {trace.output.shape[0]} steps of {trace.output.shape[1]} samples -> {options.out}")
    return 0


def _on_lava(program: Program, inputs: dict[str, np.ndarray], options: argparse.Namespace) -> Trace:
    from hardware.lava import local

    def progress(step: int, total: int) -> None:
        print(f"\rstep {step} of {total}", end="" if step < total else "\n", file=sys.stderr, flush=True)

    record = options.record.split(",") if options.record else ()
    report = progress if sys.stderr.isatty() else None
    return local.run(
        program,
        inputs,
        record,
        connections=options.connections,
        arithmetic=options.arithmetic,
        stall_s=options.timeout,
        progress=report,
    )[0]


def check_writable(path: Path) -> None:
    """Raises InputError where nothing can be written, before any work is done for it."""
    folder = path.absolute().parent
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file")
    if not folder.is_dir():
        raise InputError(f"{path}: there is no folder {folder}; make it first")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{path}: {folder} cannot be written; choose another place")


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Run the exported network on Lava's CPU backend.")
    parser.add_argument(
        "inputs",
        type=Path,
        help=".npz: 'input_spikes', integers (T, B, N); with several inputs an array for each by its name",
    )
    parser.add_argument("out", type=Path, help=".npz to write: output, spikes/<population>, <state>/<population>")
    parser.add_argument("--record", default="", help="states to keep: all, or names such as u,v/hidden0")
    parser.add_argument(
        "--connections",
        default="auto",
        choices=("auto", "dense", "batched"),
        help="Lava's own Dense (one sample at a time), this project's batched connection, or both",
    )
    parser.add_argument(
        "--arithmetic",
        default="fixed_pt",
        choices=("fixed_pt", "floating_pt"),
        help="the integers of the contract, or the same equations in real arithmetic",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        help="seconds without a finished step before giving up, 3 more for the start; default: 12, or 50 times the "
        "slowest step seen, and 63 for the start",
    )
    return parser
