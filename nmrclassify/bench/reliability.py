"""Kills of a training at every write and at random moments, and damaged files for every reader.

A killed training must be resumed to the bytes of one that was never killed. A reader may refuse an
input with its documented error, and nothing else. Needs `fork` (not Windows).
"""

import csv
import io
import json
import os
import random
import runpy
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from nmrclassify.files import CheckpointError, packaged, tensor_bytes
from nmrclassify.files.tables import TableError
from nmrclassify.mixtures import grid_files, peak_files
from nmrclassify.mixtures.presets import build
from nmrclassify.networks import peak_weights
from nmrclassify.nmr.compound_files import read_compounds
from nmrclassify.nmr.library import PPM_AXIS
from nmrclassify.training import checkpoints, run_states, runs
from nmrclassify.training.checkpoints import Checkpoint
from nmrclassify.training.history import load as load_steps
from nmrclassify.training.recipes import recipe
from nmrclassify.training.trainer import Trainer

SEEDS = (1,)
KILLS, INPUTS = 100, 12_000
STEPS, SAVE_EVERY = 6, "2"
MAX_SECONDS = 3.0  # of the processor, for one input
_WRITES = ("fsync", "replace", "unlink", "ftruncate")


def run() -> dict:
    """Return how many kills and inputs there were, and what went wrong: nothing may."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            "kills": kills(Path(folder) / "kills", KILLS),
            "inputs": inputs(Path(folder) / "inputs", INPUTS),
        }


def kills(folder: Path, n_random: int, every: int = 1, seed: int = SEEDS[0]) -> dict:
    """Kill a training at its write points and at random moments, and resume each.

    Parameters
    ----------
    n_random : int
        How many random moments.
    every : int
        Which write points: each `every`-th.

    Returns
    -------
    dict
        Numbers of kills, and in `lost` a sentence for each that was not resumed to equal bytes.
    """
    rng = random.Random(seed)
    counted, seconds = _trained(folder / "straight")
    straight = _bytes_of(folder / "straight")
    points = range(1, counted + 1, every)
    moments = [rng.uniform(0, seconds) for _ in range(n_random)]
    lost, resumed = [], 0
    for what in tqdm([*points, *moments], unit="kill", file=sys.stderr):
        place = folder / "killed"
        if isinstance(what, int):
            _child(partial(_train, place, kill_at=what))
        else:
            _child(partial(_train, place), kill_after=what)
        had_state = (place / run_states.STATE).is_file()
        if (place / "manifest.json").is_file() and not had_state:
            code = 0  # it was finished
        elif had_state:
            resumed += 1
            code = _child(partial(_train, place, "--resume"))
        else:
            code = _child(partial(_train, place, "--overwrite"))
        if code or _bytes_of(place) != straight:
            lost.append(f"killed at {what}: exit code {code}")
        shutil.rmtree(place, ignore_errors=True)
    return {
        "write_points": len(points),
        "random_moments": n_random,
        "resumed_from_a_state": resumed,
        "lost": lost,
    }


def _trained(folder: Path) -> tuple[int, float]:
    """Train without a kill; return the number of write points and the seconds."""
    counts = folder.with_suffix(".txt")
    began = time.monotonic()
    _child(lambda: counts.write_text(str(_train(folder))))
    return int(counts.read_text()), time.monotonic() - began


def _train(folder: Path, *options: str, kill_at: int = 0) -> int:
    """Train on the command line; kill this process at a write point; return their number."""
    count = 0

    def point() -> None:
        nonlocal count
        count += 1
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in _WRITES:
        setattr(os, name, _with_points(getattr(os, name), point))
    chosen = () if "--resume" in options else ("--preset", "quick", "--steps", str(STEPS))
    sys.argv[1:] = ["train", "--out", str(folder), *chosen, *options, "--save-every", SAVE_EVERY]
    said = io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            runpy.run_module("nmrclassify", run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise RuntimeError(said.getvalue()[-500:]) from end
    return count


def _with_points(call: Callable[..., Any], point: Callable[[], None]) -> Callable[..., Any]:
    def wrapped(*arguments: Any, **options: Any) -> Any:
        point()
        result = call(*arguments, **options)
        point()
        return result

    return wrapped


def _child(work: Callable[[], object], kill_after: float | None = None) -> int:
    """Work in a process of its own, perhaps killed after some seconds; return its exit code."""
    pid = os.fork()
    if not pid:
        try:
            work()
        except BaseException as error:
            print(repr(error), file=sys.__stderr__, flush=True)
            os._exit(1)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def _bytes_of(folder: Path) -> dict[str, Any]:
    """Return what a run must have in common with the same training without an interruption."""
    rows = list(csv.DictReader(io.StringIO((folder / runs.HISTORY).read_text())))
    found: dict[str, Any] = {
        name: (folder / name).read_bytes() for name in (runs.MODEL, runs.CONFIG, runs.STEPS_FILE)
    }
    # Only the time that it took differs.
    return found | {"rows": [{k: v for k, v in row.items() if k != "seconds"} for row in rows]}


@dataclass(frozen=True)
class Reader:
    """A reader, a valid input for it, and the only errors that it may raise."""

    read: Callable[[bytes], object]
    valid: bytes
    errors: tuple[type[Exception], ...]


def readers(folder: Path) -> dict[str, Reader]:
    """Return every reader of files that users give."""
    config = replace(recipe("queries"), steps=6, batch_size=4)
    trainer = Trainer(build("quick", 3), config, kind="queries")
    for _ in range(3):
        trainer.advance()
    interrupted = folder / "interrupted"
    run_states.save_state(trainer, interrupted)
    state = trainer.state()
    # As before there were checksums: its values are read, and not only its digest.
    old_state = tensor_bytes(state.pop("tensors"), "state", state)
    *_, last = trainer.snapshots(3)
    checkpoint = Checkpoint.from_trainer(trainer, last.test)
    run_folder = runs.home() / "20260101-000000-fuzzed"
    runs.save(checkpoint, trainer.history, run_folder, "cli", trainer.training_history)
    places = [k // 3 / 2 + k % 3 / 100 for k in range(1, 60)]  # triplets
    peaks = "ppm,area\n" + "".join(f"{x},{k % 7 + 0.5}\n" for k, x in enumerate(places))
    heights = [1000.0 if k % 90 == 9 else k % 3 for k in range(600)]
    spectrum = "ppm,intensity\n" + "".join(f"{k / 100},{y}\n" for k, y in enumerate(heights))
    report = "1H NMR (400 MHz, D2O) δ 3.60–3.40 (m, 2H), 1.25 (dd, J = 7.1, 3.2 Hz, 3H, CH3(a))."
    table = (ValueError,)

    def placed(name: str, read: Callable[[], object], place: Path) -> Callable[[bytes], object]:
        def write_and_read(content: bytes) -> object:
            kept = (place / name).read_bytes()
            (place / name).write_bytes(content)
            try:
                return read()
            finally:
                (place / name).write_bytes(kept)

        return write_and_read

    def open_run() -> object:
        for run in runs.listed():
            run.title  # noqa: B018
            runs.history(run)
        found = runs.find(run_folder.name)
        model = checkpoints.load(found.folder / runs.MODEL).model
        return runs.training_history(found, model)

    def of_file(name: str, place: Path, read: Callable[[], object]) -> Reader:
        return Reader(placed(name, read, place), (place / name).read_bytes(), table)

    def written_first(read: Callable[[Path], object]) -> Callable[[bytes], object]:
        def write_and_read(content: bytes) -> object:
            path = folder / "file.safetensors"
            path.write_bytes(content)
            return read(path)

        return write_and_read

    def resume() -> object:
        return run_states.resume(interrupted)

    steps = next(interrupted.glob("steps-*")).name
    found = {
        "checkpoint": Reader(
            checkpoints.from_bytes, checkpoints.to_bytes(checkpoint), (CheckpointError,)
        ),
        "full-scale network": Reader(
            written_first(peak_weights.load), packaged("scale.safetensors"), (CheckpointError,)
        ),
        "timeline": Reader(
            written_first(partial(load_steps, model=trainer.model)),
            trainer.training_history.to_bytes(),
            table,
        ),
        "state": of_file(run_states.STATE, interrupted, resume),
        "state without checksums": Reader(
            placed(run_states.STATE, resume, interrupted), old_state, table
        ),
        "start": of_file(run_states.START, interrupted, resume),
        "steps of a state": of_file(steps, interrupted, resume),
        "mixture": Reader(
            lambda c: grid_files.read_mixture(c, PPM_AXIS, 6),
            grid_files.mixture_template(PPM_AXIS).encode(),
            (TableError,),
        ),
        "library": Reader(
            lambda c: grid_files.read_library(c, PPM_AXIS, 6),
            grid_files.library_template(PPM_AXIS).encode(),
            (TableError,),
        ),
        "compounds": Reader(read_compounds, packaged("common_metabolites.csv")[:4000], table),
        "peaks": Reader(peak_files.read_sample, peaks.encode(), (TableError,)),
        "multiplets": Reader(
            peak_files.read_sample, peak_files.sample_template().encode(), (TableError,)
        ),
        "multiplets of papers": Reader(
            peak_files.read_sample,
            b'ppm,kind,j_hz,dnu_hz,protons\n3.6-3.4,m,,,2\n3,ABq,14 Hz,35,2\n1,dd,"7, 3",,1\n',
            (TableError,),
        ),
        "report": Reader(peak_files.read_sample, report.encode(), (TableError,)),
        "reports": Reader(read_compounds, f"a: {report}\nb: {report}\n".encode(), table),
        "spectrum": Reader(peak_files.read_sample, spectrum.encode(), (TableError,)),
        "spectrum with decimal commas": Reader(
            peak_files.read_sample,
            spectrum.split("\n", 1)[1].replace(",", ";").replace(".", ",").encode("utf-16"),
            (TableError,),
        ),
    }
    for name in (runs.CONFIG, runs.HISTORY, "manifest.json", runs.MODEL):
        found[f"run, {name}"] = of_file(name, run_folder, open_run)
    return found


_HOSTILE = (
    b"Infinity", b"-1", b"1e999", b"NaN", b"null", b"[" * 5000, b'{"a":' * 3000, b"," * 5000, b'"',
    b"\n", b"\r", b"\0", b"\xff", "\U0001f600".encode(), b"=1+1", b"\t", b"9" * 400, b"[]", b"{}",
    b"true", b"d" * 60, b";" * 300, b"../..", b"\x00\x00\x00\x00\x00\x00\x00\x80",
)  # fmt: skip


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Return the content with a few random changes: bits, cuts, repeats, or hostile words."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        # The head of a file has most of its structure.
        size = len(changed) if rng.random() < 0.5 else min(len(changed), 2000)
        at = rng.randrange(size + 1)
        kind = rng.randrange(7)
        if kind == 0 and size:
            changed[min(at, size - 1)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del changed[at:]
        elif kind == 2:
            del changed[at : at + rng.choice((1, 3, 8, 100))]
        elif kind == 3:
            changed[at:at] = changed[at : at + rng.choice((1, 10, 1000))] * rng.choice((1, 3, 30))
        elif kind == 4:
            changed[at:at] = rng.choice(_HOSTILE)
        elif kind == 5:
            word = rng.choice(_HOSTILE)
            changed[at : at + rng.choice((1, 2, len(word)))] = word
        else:
            changed[at : at + 8] = rng.randbytes(8)
    return bytes(changed)


def with_changed_header(content: bytes, rng: random.Random) -> bytes:
    """Return a safetensors file whose header stays JSON of the stated length, with other values."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    meta = header["__metadata__"]
    entry = next(iter(meta))
    stated = json.loads(meta[entry])
    _change(rng.choice((stated, stated, header)), rng)
    if isinstance(header.get("__metadata__"), dict) and entry in meta:
        meta[entry] = json.dumps(stated)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def _change(value: Any, rng: random.Random) -> None:
    """Replace, remove or rename one part of nested dicts and lists."""
    while value:
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        if isinstance(value[key], (dict, list)) and value[key] and rng.random() < 0.85:
            value = value[key]
            continue
        kind = rng.randrange(6)
        if kind == 0:
            del value[key]
        elif kind == 1 and isinstance(value, dict):
            value[f"{key}x"] = value.pop(key)
        else:
            value[key] = rng.choice(
                [None, -1, 0, 1, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", "x", True]
                + [[], {}, [[1]], "9" * 99, "\ud800", -0.5, 3, "F32", [2**40, 2**40]]
            )
        return


@contextmanager
def _home(folder: Path) -> Iterator[None]:
    before = os.environ.get("NMRCLASSIFY_HOME")
    os.environ["NMRCLASSIFY_HOME"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["NMRCLASSIFY_HOME"]
        else:
            os.environ["NMRCLASSIFY_HOME"] = before


def inputs(folder: Path, n_inputs: int, seed: int = SEEDS[0]) -> dict:
    """Give damaged inputs to every reader.

    Returns
    -------
    dict
        For each reader how many inputs it read and refused, and the slowest; in `escapes` an input
        for each error that is not documented, and each input that took longer than `MAX_SECONDS`.
    """
    escapes: list[str] = []
    figures = {}
    with _home(folder / "home"):
        of_all = readers(folder)
        share = -(-n_inputs // len(of_all))
        for name, reader in tqdm(of_all.items(), unit="reader", file=sys.stderr):
            rng = random.Random(f"{seed} {name}")
            reader.read(reader.valid)
            counts, slowest = {"read": 0, "refused": 0}, 0.0
            for k in range(share):
                has_header = reader.valid[8:9] == b"{"
                change = with_changed_header if has_header and k % 2 else mutated
                content = change(reader.valid, rng)
                began = time.process_time()
                try:
                    reader.read(content)
                    counts["read"] += 1
                except reader.errors as error:
                    counts["refused"] += 1
                    if len(str(error)) > 1500:
                        escapes.append(f"{name} {k}: a sentence of {len(str(error)):,} characters")
                except Exception as error:
                    escapes.append(f"{name} {k}: {error!r:.200}")
                seconds = time.process_time() - began
                slowest = max(slowest, seconds)
                if seconds > MAX_SECONDS:
                    escapes.append(f"{name} {k}: {seconds:.1f} s")
            figures[name] = counts | {"slowest_seconds": round(slowest, 2)}
    return {"inputs": share * len(of_all), "readers": figures, "escapes": escapes}
