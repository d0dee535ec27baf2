"""The command line, `python -m nmrclassify COMMAND`: one function for each command.

Progress goes to stderr; with `--json`, stdout has one JSON object and nothing else. A mistake in
the arguments or files prints one sentence on stderr; the exit code is 2.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from nmrclassify import bench, cli_parser
from nmrclassify.evaluation.metrics import evaluate
from nmrclassify.files import write_atomically
from nmrclassify.files.tables import write_csv
from nmrclassify.mixtures import grid_files
from nmrclassify.mixtures.presets import build
from nmrclassify.networks.prediction import percent
from nmrclassify.networks.registry import NETWORKS
from nmrclassify.training import checkpoints, packaged, run_files, run_states, runs
from nmrclassify.training.checkpoints import PACKAGED, PACKAGED_PRESETS, Checkpoint
from nmrclassify.training.optimiser import without_compiler
from nmrclassify.training.recipes import recipe
from nmrclassify.training.trainer import Trainer, set_threads, sizes_for

if TYPE_CHECKING:
    from nmrclassify.evaluation.identify import Identification
    from nmrclassify.nmr.compounds import Compounds

INTERRUPTED = 130
SAVE_ATTEMPTS = 3  # to write the model of a finished training
SAVE_SECONDS = 30  # between two of them
METABOLITES = "metabolites"  # the packaged table as a library
MOST_PROBLEMS = 20  # rows of a library whose problems are printed


def _generate(arguments: argparse.Namespace) -> dict:
    dataset = build(arguments.preset, arguments.seed)
    library, out = dataset.library, arguments.out
    out.mkdir(parents=True, exist_ok=True)
    table = grid_files.areas_table(library.areas, library.axis, "compound", library.names)
    write_csv(table, out / "library.csv")
    parts = {"train": dataset.training_set(), "test": dataset.test_mixtures()}
    for name, mixtures in parts.items():
        numbers = tuple(str(i + 1) for i in range(len(mixtures)))
        table = grid_files.areas_table(mixtures.areas, library.axis, "mixture", numbers)
        write_csv(table, out / f"{name}_mixtures.csv")
        rows = {
            "mixture": np.repeat(numbers, mixtures.labels.shape[1]),
            "compound": [library.names[k] for k in mixtures.labels.ravel()],
            "concentration": mixtures.concentrations.ravel(),
        }
        write_csv(pd.DataFrame(rows), out / f"{name}_contents.csv")
    figures = {
        "n_train": len(dataset.train),
        "n_test": len(dataset.test),
        "n_compounds": library.n_compounds,
        "n_positions": library.axis.n_positions,
        "n_peaks": library.n_peaks,
        "occupancy_compound": float(library.occupancy.mean()),
        "occupancy_mixture": float(
            np.concatenate([m.sources.any((1, 2)) for m in parts.values()]).mean()
        ),
        "sha256": dataset.digest(),
    }
    recipe = {"preset": arguments.preset, "seed": arguments.seed, "mixture": asdict(dataset.config)}
    (out / "dataset.json").write_text(json.dumps(recipe | figures, indent=2) + "\n")
    return figures


def _chosen(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Return those of the options `names` that are on the command line."""
    values = {name: getattr(arguments, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


class _Stopped(KeyboardInterrupt):
    """A training that a signal has stopped."""

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.exit_code = 128 + number


class _Signals:
    """The last signal that asked this process to stop, 0 before the first."""

    number = 0

    def __call__(self) -> bool:
        """Whether there was one."""
        return self.number > 0

    def note(self, number: int, frame: object) -> None:
        """Keep the number of a signal."""
        self.number = number


@contextmanager
def _training(
    steps: int, done: int, rank: int = 0
) -> Iterator[tuple[Callable[..., None], _Signals]]:
    """Show a progress bar, and note an interrupt instead of raising it.

    Yields a function that shows a step with some figures, and the signals, which tell whether there
    was an interrupt: Ctrl+C, or what ends the process or its terminal. Training stops between two
    steps, so that it can continue to the same numbers. Of several processes, only the one of rank 0
    shows the bar.
    """
    signals = _Signals()
    numbers = (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))
    before = {number: signal.signal(number, signals.note) for number in set(numbers)}
    try:
        with tqdm(total=steps, initial=done, unit="step", file=sys.stderr, disable=rank > 0) as bar:

            def show(step: int, **figures: str) -> None:
                bar.set_postfix(figures, refresh=False)
                bar.update(step - bar.n)

            yield show, signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _train_on(trainer: Trainer, between: Callable[[], None] = lambda: None) -> int:
    """Train with a progress bar to the end, or until a signal, whose number is returned.

    `between` is called before each step.
    """
    every = max(1, trainer.config.steps // 50)
    with _training(trainer.config.steps, trainer.step) as (show, signals):

        def halted() -> bool:
            between()
            return signals()

        for snapshot in trainer.snapshots(every, halt=halted):
            unseen = f"{snapshot.test['compound_accuracy']:.1%}"
            show(snapshot.step, loss=f"{snapshot.loss:.3f}", unseen=unseen)
    return signals.number


def _tell(text: str) -> None:
    tqdm.write(f"nmrclassify: {text}", file=sys.stderr)


def _train(arguments: argparse.Namespace) -> dict:
    chosen, sizes = _chosen(arguments, "steps", "learning_rate"), _chosen(arguments, "n_filters")
    out = arguments.out
    if arguments.resume and (out is None or chosen or sizes or arguments.overwrite):
        raise ValueError(
            "--resume needs --out, the folder of the interrupted training, and takes no --steps,"
            " no --rate, no --filters and no --overwrite"
        )
    if arguments.save_every < 1:
        raise ValueError(f"--save-every is {arguments.save_every}; expected 1 or more steps")
    if out is None and (problem := run_files.home_problem()):
        raise ValueError(problem)
    folder = out or runs.home() / runs.new_id(arguments.model, arguments.preset, arguments.seed)
    if arguments.resume and not folder.is_dir():
        raise ValueError(f"no interrupted training in {folder}; leave out --resume to start one")
    with run_files.locked(folder):
        if arguments.resume:
            trainer = run_states.resume(folder, _tell)
        else:
            dataset = build(arguments.preset, arguments.seed)
            trainer = Trainer(
                dataset,
                replace(
                    recipe(arguments.recipe or NETWORKS[arguments.model].usual_recipe), **chosen
                ),
                kind=arguments.model,
                network=sizes_for(dataset, arguments.model, **sizes),
            )
            if arguments.overwrite:
                runs.remove(folder)
            runs.check_free(folder)
        run_files.check_room(folder, run_states.room_needed(trainer))
        return _train_in(folder, trainer, arguments.save_every)


def _train_in(folder: Path, trainer: Trainer, save_every: int) -> dict:
    """Train, write the run, and return its figures."""
    saver = run_states.Saver(trainer, folder, save_every, _tell)
    stopped_by = _train_on(trainer, saver.between)
    if not trainer.finished:
        saver.save()
        raise _Stopped(
            f"stopped at step {trainer.step}; `train --resume --out {folder}` continues",
            stopped_by,
        )
    result = evaluate(
        trainer.model, trainer.dataset.test_mixtures(), trainer.config.reconstruction_weight
    ).summary()
    checkpoint = Checkpoint.from_trainer(trainer, result)
    for attempt in range(1, SAVE_ATTEMPTS + 1):
        try:
            with run_files.naming(folder):
                path = runs.save(
                    checkpoint, trainer.history, folder, "cli", trainer.training_history
                )
            break
        except OSError as error:
            if attempt == SAVE_ATTEMPTS:
                raise OSError(f"{error}: the trained model is lost, {_remains(folder)}") from error
            _tell(f"{error}; free some space: it is tried again in {SAVE_SECONDS} s")
            time.sleep(SAVE_SECONDS)
    return {
        "seconds": round(trainer.seconds, 2),
        "steps": trainer.step,
        "parameters": trainer.model.n_parameters,
        "checkpoint": str(path),
        "test": result,
    }


def _remains(folder: Path) -> str:
    """Say what is left of a training that could not be written."""
    if (folder / run_states.STATE).is_file():
        return f"but `train --resume --out {folder}` continues from the state saved last"
    return "and no state of it was saved"


def _package_models(arguments: argparse.Namespace) -> dict:
    models = packaged.ALL
    if arguments.only is not None:
        models = tuple(model for model in models if "-".join(model) == arguments.only)
    made = {}
    for preset, name in models:
        trainer = packaged.trainer_of(name, preset, arguments.steps)
        stopped_by = _train_on(trainer)
        if not trainer.finished:
            message = f"stopped at step {trainer.step}; {preset}-{name} not written"
            raise _Stopped(message, stopped_by)
        path = packaged.write(trainer, name, arguments.out)
        made[f"{preset}-{name}"] = {
            "seconds": round(trainer.seconds, 2),
            "checkpoint": str(path),
            "test": checkpoints.load(path).metrics,
        }
    return made


def _open(arguments: argparse.Namespace) -> Checkpoint:
    """Return the packaged model or the file that the command line names."""
    path, preset = arguments.checkpoint, arguments.preset
    name = "reference" if str(path) == "shipped" else str(path)
    if name in PACKAGED:
        return checkpoints.shipped(name, preset or PACKAGED_PRESETS[0])
    if not path.suffix and not path.exists():
        raise ValueError(
            f"{name!r} is neither a packaged model nor a file; expected {', '.join(PACKAGED)},"
            " shipped (the same as reference), or the path of a .safetensors file"
        )
    if preset is not None:
        raise ValueError(
            f"--preset {preset} chooses among the packaged models {', '.join(PACKAGED)};"
            f" leave it out for the file {name}, which has data of its own"
        )
    return checkpoints.load(path)


def _evaluate(arguments: argparse.Namespace) -> dict:
    if not 1 <= arguments.draws <= 1000:
        raise ValueError(f"--draws is {arguments.draws}; expected 1 to 1000")
    checkpoint = _open(arguments)
    mixtures = checkpoint.dataset.test_mixtures(arguments.seed, arguments.draws)
    return {
        "test": (
            evaluate(
                checkpoint.model, mixtures, checkpoint.training.reconstruction_weight
            ).summary()
        )
    }


def _separate(arguments: argparse.Namespace) -> dict:
    checkpoint = _open(arguments)
    library = checkpoint.dataset.library
    if not arguments.mixture.is_file():
        raise ValueError(f"no mixture at {arguments.mixture}; give the path of a CSV file")
    areas = grid_files.read_mixture(
        arguments.mixture.read_bytes(), library.axis, library.n_peaks, arguments.pick
    )
    prediction = checkpoint.model.predict(areas)
    labels = prediction.class_names(library.names)
    if arguments.out is not None:
        names = tuple(f"{i + 1}: {labels[k]}" for i, k in enumerate(prediction.named))
        table = grid_files.areas_table(prediction.multiplets, library.axis, "output", names)
        write_csv(table, arguments.out)
    rows = []
    for k, probability in zip(prediction.named, prediction.confidence, strict=True):
        row = {"name": labels[k], "probability": float(probability)}
        if prediction.amounts is not None and k < library.n_compounds:
            row |= {"count": int(prediction.counts[k]), "amount": float(prediction.amounts[k])}
        rows.append(row)
    return {"compounds": rows}


def _train_scale(arguments: argparse.Namespace) -> dict:
    from nmrclassify.networks import peak_weights
    from nmrclassify.training.peak_calibration import calibrate_network
    from nmrclassify.training.peak_trainer import PeakTrainConfig, PeakTrainer

    chosen = _chosen(arguments, "steps", "batch", "learning_rate", "seed", "disturbed")
    if not 0 <= arguments.workers <= 64:
        raise ValueError(f"--workers is {arguments.workers}; expected 0 to 64")
    state = arguments.out / "training.safetensors"
    if arguments.resume:
        if chosen or arguments.start:
            raise ValueError(
                "--resume continues with the settings of the start; leave out --steps, --batch,"
                " --rate, --seed, --disturbed and --start"
            )
        trainer = PeakTrainer.resume(state, arguments.workers)
    else:
        if state.exists():
            raise ValueError(
                f"{state} is from an earlier training; add --resume to continue it, or choose"
                " another --out"
            )
        start = None
        if arguments.start == "packaged":
            start = peak_weights.shipped().network
        elif arguments.start:
            start = peak_weights.load(Path(arguments.start)).network
        trainer = PeakTrainer(PeakTrainConfig(**chosen), workers=arguments.workers, start=start)
    with _training(trainer.config.steps, trainer.step, trainer.rank) as (show, signals):

        def report(step: int, parts: dict[str, float]) -> None:
            show(step, loss=f"{parts['loss']:.2f}")
            if step % 100 == 0:
                trainer.save(state)

        trainer.run(report, signals)
    trainer.save(state)
    if not trainer.finished:
        raise _Stopped(
            f"stopped at step {trainer.step}; `train-scale --resume --out {arguments.out}`"
            " continues",
            signals.number,
        )
    if trainer.rank:
        return {}
    trained = calibrate_network(trainer)
    path = arguments.out / "scale.safetensors"
    peak_weights.save(trained, path)
    return {"network": str(path), "threshold": trained.threshold} | trained.made


def _identify(arguments: argparse.Namespace) -> dict:
    from nmrclassify.baselines.beside_network import check_method
    from nmrclassify.evaluation.choose_ph import ph_chooser
    from nmrclassify.evaluation.concentrations import concentration_table, known_concentration
    from nmrclassify.evaluation.evidence import found_line
    from nmrclassify.evaluation.identify import Detector
    from nmrclassify.mixtures import peak_files
    from nmrclassify.mixtures.processing_recipe import ProcessingRecipe
    from nmrclassify.networks import peak_weights
    from nmrclassify.nmr.compound_files import common_metabolites
    from nmrclassify.nmr.spin_systems import second_order
    from nmrclassify.nmr.titration import at_ph

    if not arguments.mixture.exists():
        raise ValueError(
            f"no file at {arguments.mixture}; give the path of a table, a spectrum or the folder of"
            " an experiment"
        )
    if arguments.compare is not None:
        check_method(arguments.compare)
    trained = None if arguments.network is None else peak_weights.load(arguments.network)
    library = _library(arguments.library) if arguments.library else common_metabolites()
    recipe = ProcessingRecipe()
    if arguments.recipe is not None:
        recipe = ProcessingRecipe.from_json(arguments.recipe.read_text())
    if arguments.ph is not None:
        is_auto = arguments.ph == "auto"
        recipe = replace(recipe, ph_from="estimate" if is_auto else "by hand")
        if not is_auto:
            recipe = replace(recipe, ph=arguments.ph)
    mixture = peak_files.read_sample(
        arguments.mixture,
        mhz=arguments.mhz,
        recipe=recipe,
        library=library,
        choose=ph_chooser(library, trained),
    )
    library = at_ph(library, mixture.ph)
    if not mixture.first_order:
        library = second_order(library, mixture.peaks.axis.mhz)
    detector = Detector(library, trained, mixture.peaks.axis)
    prediction = detector.identify(mixture.peaks, arguments.spread)
    if detector.problem:
        print(
            f"nmrclassify: {detector.problem}; equivalent compounds are listed one by one",
            file=sys.stderr,
        )
    known = None
    if arguments.known is not None:
        area = mixture.processed.standard_area if mixture.processed else None
        name, mm = arguments.known
        known = known_concentration(prediction, name, mm, area)
    concentrations = concentration_table(prediction, np.arange(library.n_compounds), known)
    compounds = []
    for k in prediction.named:
        others = [
            library.names[i]
            for i in np.flatnonzero(prediction.groups == prediction.groups[k])
            if i != k
        ]
        values = concentrations.iloc[k].tolist()
        row = {
            "name": library.names[k],
            "probability": float(prediction.probabilities[k]),
            "amount": float(prediction.amounts[k]),
            "concentration": dict(zip(("value", "from", "to"), values, strict=True))
            | {"unit": concentrations.columns[0]},
        }
        compounds.append(row | ({"alike": others} if others else {}))
    if arguments.out is not None:
        order = np.argsort(-prediction.probabilities, kind="stable")
        rows = {
            "compound": [library.names[k] for k in order],
            "probability": prediction.probabilities[order],
            "amount": prediction.amounts[order],
        } | {name: column.to_numpy()[order] for name, column in concentrations.items()}
        write_csv(pd.DataFrame(rows), arguments.out)
    if arguments.masks is not None:
        write_csv(pd.DataFrame(_mask_rows(prediction)), arguments.masks)
    if arguments.multiplets is not None:
        solvent = mixture.spectrum.metadata.get("solvent", "") if mixture.spectrum else ""
        lines = [found_line(prediction, k, solvent) + "\n" for k in prediction.named]
        write_atomically(arguments.multiplets, "".join(lines).encode())
    result: dict[str, Any] = {"compounds": compounds}
    if arguments.compare is not None:
        result["comparison"] = _comparison(prediction, arguments.compare)
    return result | {
        "note": " ".join(filter(None, (mixture.note, prediction.note))),
        "mhz": detector.axis.mhz,
        "ph": mixture.ph,
        "threshold": prediction.threshold,
        "seconds": round(prediction.seconds, 3),
    }


def _comparison(prediction: "Identification", method: str) -> dict:
    """Return which compounds the network and a classical method name."""
    from nmrclassify.baselines import beside_network

    amounts = beside_network.method_amounts(prediction, method)
    table = beside_network.comparison_table(prediction, amounts)
    rows = table.assign(named_by=beside_network.named_by(table, method))
    return {
        "method": method,
        "threshold": beside_network.THRESHOLD,
        "summary": beside_network.comparison_sentence(table, method),
        "compounds": rows.rename(columns={"compound": "name"}).to_dict("records"),
    }


def _library(paths: list[Path]) -> "Compounds":
    """Read tables and pure compounds; notes and problems go to stderr."""
    from nmrclassify.files import packaged as packaged_file
    from nmrclassify.mixtures.pure_spectra import read_libraries

    sources = list[Path | tuple[str, bytes]]()
    for path in paths:
        if path.exists():
            sources.append(path)
        elif str(path) == METABOLITES:
            sources.append((METABOLITES, packaged_file("common_metabolites.csv")))
        else:
            raise ValueError(
                f"no file at {path}; give the path of a CSV file, a spectrum of a pure compound or"
                f" a folder of these, or {METABOLITES!r} for the packaged table"
            )
    with tqdm(unit="file", file=sys.stderr, disable=None) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        reading = read_libraries(sources, progress=show)
    for problem in reading.problems[:MOST_PROBLEMS]:
        place = "" if problem.row is None else f"row {problem.row}: "
        file = "" if len(paths) == 1 and paths[0].is_file() else f"{problem.file}: "
        print(f"nmrclassify: {file}{place}{problem.text}", file=sys.stderr)
    if (more := len(reading.problems) - MOST_PROBLEMS) > 0:
        print(f"nmrclassify: {more:,} more such rows", file=sys.stderr)
    for name, note in list(reading.notes.items())[:MOST_PROBLEMS]:
        print(f"nmrclassify: {name}: {note}", file=sys.stderr)
    return reading.compounds


def _mask_rows(prediction: "Identification") -> dict[str, list]:
    """Return compound, ppm, area and share for each peak that a named compound contributes to."""
    peaks = prediction.peaks
    rows: dict[str, list] = {"compound": [], "ppm": [], "area": [], "share": []}
    for k in prediction.named:
        shares = prediction.separated(k) / peaks.areas
        where = np.flatnonzero(shares > 0)
        rows["compound"] += [prediction.compounds.names[k]] * len(where)
        rows["ppm"] += peaks.ppm[where].round(6).tolist()
        rows["area"] += peaks.areas[where].tolist()
        rows["share"] += shares[where].round(6).tolist()
    return rows


def _bench(arguments: argparse.Namespace) -> dict:
    if arguments.list:
        return {"benches": bench.listed()}
    if arguments.name is None:
        raise ValueError("bench needs a name; `bench --list` lists the names")
    options = {key: getattr(arguments, key) for key in ("seeds", "cache", "share", "before")}
    result = bench.run(
        arguments.name, **{key: value for key, value in options.items() if value is not None}
    )
    if arguments.out is not None and arguments.out.suffix == ".json":
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(_valid(result), indent=2) + "\n")
    elif arguments.out is not None:
        if "table" not in result:
            raise ValueError(
                f"bench {arguments.name} has no table for {arguments.out}; give a .json file"
            )
        write_csv(pd.DataFrame(result["table"]), arguments.out)
    return result


def _lessons(arguments: argparse.Namespace) -> dict:
    from nmrclassify.bench import lessons  # other commands need none

    if arguments.write:
        return lessons.package(tell=_tell)
    return lessons.check(_tell)


def _line(row: dict) -> str:
    """Return a compound with its probability, its amount and its equivalents."""
    amount = f"  amount {row['amount']:.3g}" if row.get("amount") is not None else ""
    if "concentration" in row:
        value, low, high, unit = row["concentration"].values()
        amount = "" if value is None else f"  {value:.3g} {unit}"
        amount += "" if low is None else f" ({low:.3g} to {high:.3g})"
    others = f"  (or {', '.join(row['alike'])})" if "alike" in row else ""
    return f"{row['name']}  {percent(row['probability'])}{amount}{others}"


def _comparison_lines(comparison: dict) -> list[str]:
    """Return the compounds that a method and the network name, with both amounts."""
    method, lines = comparison["method"], [comparison["summary"]]
    for row in comparison["compounds"]:
        amount = "no amount" if row["amount"] is None else f"amount {row['amount']:.3g}"
        lines.append(
            f"{row['name']}  {row['named_by']}  network: {percent(row['probability'])}, {amount};"
            f" {method}: amount {row['method_amount']:.3g}"
        )
    return ["", *lines, ""]


def _as_text(result: dict) -> str:
    """Return a result as text to read."""
    if "compounds" in result:
        lines = [_line(row) for row in result["compounds"]]
        if not lines and "threshold" in result:
            lines = ["no compound is named"]
        if "comparison" in result:
            lines += _comparison_lines(result["comparison"])
        return "\n".join([*lines, *([result["note"]] if "note" in result else [])])
    if "benches" in result:
        return "\n".join(f"{name:12} {text}" for name, text in result["benches"].items())
    return json.dumps(result, indent=2)


def _valid(value: Any) -> Any:
    """Return a result with None in place of NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _valid(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_valid(entry) for entry in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    set_threads()
    without_compiler()
    commands = {
        "generate": _generate,
        "train": _train,
        "evaluate": _evaluate,
        "separate": _separate,
        "package-models": _package_models,
    }
    commands |= {"train-scale": _train_scale, "identify": _identify, "bench": _bench}
    commands["lessons"] = _lessons
    try:
        arguments = cli_parser.parser().parse_args(argv)
        result = commands[arguments.command](arguments)
    except (ValueError, OSError) as error:
        print(f"nmrclassify: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"nmrclassify: {stop or 'interrupted'}", file=sys.stderr)
        return getattr(stop, "exit_code", INTERRUPTED)
    # Of several processes only the first has a result.
    if result:
        result = _valid(result)
        print(json.dumps(result) if arguments.json else _as_text(result))
    return 0
