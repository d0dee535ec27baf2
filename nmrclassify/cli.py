"""The command line: `python -m nmrclassify generate | train | evaluate | separate | train-scale | identify | bench`.

Progress goes to stderr; with `--json` one JSON object is the only thing on stdout. A mistake in the
arguments or files is one sentence on stderr and exit code 2.
"""

import argparse
import json
import signal
import sys
import threading
from dataclasses import asdict, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from nmrclassify import bench
from nmrclassify.evaluation.metrics import evaluate
from nmrclassify.mixtures import grid_files
from nmrclassify.mixtures.presets import PRESETS, build
from nmrclassify.networks.prediction import percent
from nmrclassify.networks.registry import NETWORKS
from nmrclassify.training import checkpoints, runs
from nmrclassify.training.checkpoints import Checkpoint
from nmrclassify.training.recipes import RECIPES, recipe
from nmrclassify.training.trainer import Trainer, set_threads

if TYPE_CHECKING:
    from nmrclassify.evaluation.identify import Identification

INTERRUPTED = 130
MOST_PROBLEMS = 20  # of a library's rows that are printed


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence."""

    def error(self, message: str):
        raise ValueError(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    seed = argparse.ArgumentParser(add_help=False)
    seed.add_argument(
        "--seed", type=int, default=7, help="the same seed gives the same numbers (default 7)"
    )
    parser = _Parser(
        prog="python -m nmrclassify", description="Make, take apart and name NMR mixtures."
    )
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)

    def command(
        name: str, text: str, example: str, *parents: argparse.ArgumentParser
    ) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=f"example: python -m nmrclassify {example}",
            parents=[shared, *parents],
        )

    generate = command(
        "generate",
        "Write a preset's library and mixtures as CSV.",
        "generate --preset original --out data",
        seed,
    )
    generate.add_argument("--preset", choices=PRESETS, default="quick")
    generate.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder for library.csv, train_*.csv, test_*.csv, dataset.json",
    )

    train = command(
        "train",
        "Train a network and keep it as a run.",
        "train --preset quick --model queries --out runs/first",
        seed,
    )
    train.add_argument("--preset", choices=PRESETS, default="quick")
    train.add_argument(
        "--model",
        choices=NETWORKS,
        default="queries",
        help="queries: one output a compound (default); slots: the reference design",
    )
    train.add_argument(
        "--recipe",
        choices=RECIPES,
        help="optimiser, schedule, augmentation (default: the model's own)",
    )
    train.add_argument("--steps", type=int, help="optimiser steps (default: the recipe's)")
    train.add_argument(
        "--rate", dest="learning_rate", type=float, help="learning rate (default: the recipe's)"
    )
    train.add_argument(
        "--out", type=Path, help="folder of the run (default: a new one among the runs)"
    )
    train.add_argument(
        "--resume", action="store_true", help="go on with the interrupted training in --out"
    )

    test = command(
        "evaluate",
        "Measure a checkpoint on its unseen compositions.",
        "evaluate runs/first/model.safetensors --draws 5",
        seed,
    )
    test.add_argument("checkpoint", type=Path)
    test.add_argument(
        "--draws", type=int, default=1, help="mixtures of each unseen composition (default 1)"
    )

    separate = command(
        "separate", "Take one mixture apart.", "separate shipped mixture.csv --out separated.csv"
    )
    separate.add_argument("checkpoint", type=Path, help="a .safetensors file, or the word shipped")
    separate.add_argument(
        "mixture", type=Path, help="CSV; `generate` and the app's page Mixtures write the format"
    )
    separate.add_argument("--pick", help="which mixture of a file of several (default the first)")
    separate.add_argument(
        "--out", type=Path, help="write the separated multiplets to this CSV file"
    )

    scale = command(
        "train-scale",
        "Train the network at full scale.",
        "train-scale --out runs/scale --steps 4000",
    )
    scale.epilog += (
        "; on two GPUs: torchrun --nproc-per-node 2 -m nmrclassify train-scale --out runs/scale"
    )
    scale.add_argument("--seed", type=int, help="the same seed gives the same numbers (default 7)")
    scale.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder for the network (scale.safetensors) and the state of the training",
    )
    scale.add_argument("--steps", type=int, help="optimiser steps (default 4000)")
    scale.add_argument("--batch", type=int, help="mixtures a step, over all processes (default 4)")
    scale.add_argument(
        "--rate", dest="learning_rate", type=float, help="learning rate (default 0.002)"
    )
    scale.add_argument(
        "--workers",
        type=int,
        default=1,
        help="processes that prepare mixtures, for each training process (default 1)",
    )
    scale.add_argument(
        "--resume", action="store_true", help="go on with the interrupted training in --out"
    )

    ask = command(
        "identify",
        "Name the compounds of a full-scale mixture.",
        "identify peaks.csv --library table.csv --out answer.csv",
    )
    ask.add_argument(
        "mixture", type=Path, help="CSV: ppm, area; or multiplets with ppm, kind, j_hz, protons"
    )
    ask.add_argument(
        "--library", type=Path, help="CSV table of multiplets (default: the packaged metabolites)"
    )
    ask.add_argument(
        "--network",
        type=Path,
        help="a scale.safetensors that train-scale wrote (default: the shipped one)",
    )
    ask.add_argument(
        "--spread",
        type=float,
        help="standard deviation of the shifts in ppm, where known (default: estimated)",
    )
    ask.add_argument(
        "--out", type=Path, help="write all probabilities and amounts to this CSV file"
    )
    ask.add_argument(
        "--masks", type=Path, help="write the named compounds' shares of the peaks to this CSV file"
    )

    benchmark = command(
        "bench", "Run a measurement behind a figure of the README.", "bench generation --json"
    )
    benchmark.add_argument("name", nargs="?", help="which; --list tells what there is")
    benchmark.add_argument(
        "--out", type=Path, help="write the table of a measurement that has one to this CSV file"
    )
    benchmark.add_argument("--list", action="store_true", help="list the measurements")
    return parser


def _generate(arguments: argparse.Namespace) -> dict:
    dataset = build(arguments.preset, arguments.seed)
    library, out = dataset.library, arguments.out
    out.mkdir(parents=True, exist_ok=True)
    grid_files.areas_table(library.areas, library.axis, "compound", library.names).to_csv(
        out / "library.csv", index=False
    )
    parts = {"train": dataset.training_set(), "test": dataset.test_mixtures()}
    for name, mixtures in parts.items():
        numbers = tuple(str(i + 1) for i in range(len(mixtures)))
        grid_files.areas_table(mixtures.areas, library.axis, "mixture", numbers).to_csv(
            out / f"{name}_mixtures.csv", index=False
        )
        rows = {
            "mixture": np.repeat(numbers, mixtures.labels.shape[1]),
            "compound": [library.names[k] for k in mixtures.labels.ravel()],
            "concentration": mixtures.concentrations.ravel(),
        }
        pd.DataFrame(rows).to_csv(out / f"{name}_contents.csv", index=False)
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


def _train(arguments: argparse.Namespace) -> dict:
    chosen = {
        key: getattr(arguments, key)
        for key in ("steps", "learning_rate")
        if getattr(arguments, key) is not None
    }
    if arguments.resume:
        if arguments.out is None or chosen:
            raise ValueError(
                "--resume goes with --out, the folder of the interrupted training, and without"
                " --steps and --rate"
            )
        trainer, folder = runs.resume(arguments.out), arguments.out
    else:
        trainer = Trainer(
            build(arguments.preset, arguments.seed),
            replace(recipe(arguments.recipe or NETWORKS[arguments.model].usual_recipe), **chosen),
            kind=arguments.model,
        )
        folder = arguments.out or runs.home() / runs.new_id(
            arguments.model, arguments.preset, arguments.seed
        )
    folder.mkdir(parents=True, exist_ok=True)
    every = max(1, trainer.config.steps // 50)
    # Noted, and obeyed between two steps: a step that is cut in half could not be resumed to the
    # same numbers.
    interrupted = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    try:
        with tqdm(
            total=trainer.config.steps, initial=trainer.step, unit="step", file=sys.stderr
        ) as bar:
            for snapshot in trainer.snapshots(every, halt=interrupted.is_set):
                bar.set_postfix(
                    loss=f"{snapshot.loss:.3f}",
                    unseen=f"{snapshot.test['compound_accuracy']:.1%}",
                    refresh=False,
                )
                bar.update(snapshot.step - bar.n)
    finally:
        signal.signal(signal.SIGINT, before)
    if not trainer.finished:
        runs.save_state(trainer, folder)
        raise KeyboardInterrupt(
            f"stopped at step {trainer.step}; `train --resume --out {folder}` goes on"
        )
    result = evaluate(
        trainer.model, trainer.dataset.test_mixtures(), trainer.config.reconstruction_weight
    ).summary()
    path = runs.save(
        Checkpoint.from_trainer(trainer, result),
        trainer.history,
        folder,
        "cli",
        trainer.training_history,
    )
    return {
        "seconds": round(trainer.seconds, 2),
        "steps": trainer.step,
        "parameters": trainer.model.n_parameters,
        "checkpoint": str(path),
        "test": result,
    }


def _open(path: Path) -> Checkpoint:
    return checkpoints.shipped() if str(path) == "shipped" else checkpoints.load(path)


def _evaluate(arguments: argparse.Namespace) -> dict:
    if not 1 <= arguments.draws <= 1000:
        raise ValueError(f"--draws is {arguments.draws}; expected 1 to 1000")
    checkpoint = _open(arguments.checkpoint)
    mixtures = checkpoint.dataset.test_mixtures(arguments.seed, arguments.draws)
    return {
        "test": (
            evaluate(
                checkpoint.model, mixtures, checkpoint.training.reconstruction_weight
            ).summary()
        )
    }


def _separate(arguments: argparse.Namespace) -> dict:
    checkpoint = _open(arguments.checkpoint)
    library = checkpoint.dataset.library
    if not arguments.mixture.is_file():
        raise ValueError(f"no mixture at {arguments.mixture}; give the path of a CSV file")
    areas = grid_files.read_mixture(
        arguments.mixture.read_bytes(), library.axis, library.n_peaks, arguments.pick
    )
    given = checkpoint.model.predict(areas)
    called = given.class_names(library.names)
    if arguments.out is not None:
        names = tuple(f"{i + 1}: {called[k]}" for i, k in enumerate(given.named))
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        grid_files.areas_table(given.multiplets, library.axis, "output", names).to_csv(
            arguments.out, index=False
        )
    found = []
    for k, probability in zip(given.named, given.confidence, strict=False):
        more = (
            {}
            if given.amounts is None or k == library.n_compounds
            else {"count": int(given.counts[k]), "amount": float(given.amounts[k])}
        )
        found.append({"name": called[k], "probability": float(probability)} | more)
    return {"compounds": found}


def _train_scale(arguments: argparse.Namespace) -> dict:
    from nmrclassify.networks import peak_weights
    from nmrclassify.training.peak_calibration import calibrate_network
    from nmrclassify.training.peak_trainer import PeakTrainConfig, PeakTrainer

    given = {key: getattr(arguments, key) for key in ("steps", "batch", "learning_rate", "seed")}
    chosen = {key: value for key, value in given.items() if value is not None}
    if not 0 <= arguments.workers <= 64:
        raise ValueError(f"--workers is {arguments.workers}; expected 0 to 64")
    state = arguments.out / "training.safetensors"
    if arguments.resume:
        if chosen:
            raise ValueError(
                "--resume goes on as it was begun; leave out --steps, --batch, --rate and --seed"
            )
        trainer = PeakTrainer.resume(state, arguments.workers)
    else:
        if state.exists():
            raise ValueError(
                f"{state} is of an earlier training; add --resume to go on with it, or choose"
                " another --out"
            )
        trainer = PeakTrainer(PeakTrainConfig(**chosen), workers=arguments.workers)
    interrupted = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    try:
        with tqdm(
            total=trainer.config.steps,
            initial=trainer.step,
            unit="step",
            file=sys.stderr,
            disable=bool(trainer.rank),
        ) as bar:

            def report(step: int, parts: dict[str, float]) -> None:
                bar.set_postfix(loss=f"{parts['loss']:.2f}", refresh=False)
                bar.update(step - bar.n)
                if step % 100 == 0:
                    trainer.save(state)

            trainer.run(report, interrupted.is_set)
    finally:
        signal.signal(signal.SIGINT, before)
    trainer.save(state)
    if not trainer.finished:
        raise KeyboardInterrupt(
            f"stopped at step {trainer.step}; `train-scale --resume --out {arguments.out}` goes on"
        )
    if trainer.rank:
        return {}
    trained = calibrate_network(trainer)
    path = arguments.out / "scale.safetensors"
    peak_weights.save(trained, path)
    return {"network": str(path), "threshold": trained.threshold} | trained.made


def _identify(arguments: argparse.Namespace) -> dict:
    from nmrclassify.evaluation.identify import Detector
    from nmrclassify.mixtures import peak_files
    from nmrclassify.networks import peak_weights
    from nmrclassify.nmr.compound_files import common_metabolites, read_compounds

    for path in (arguments.mixture, arguments.library):
        if path is not None and not path.is_file():
            raise ValueError(f"no file at {path}; give the path of a CSV file")
    size = arguments.mixture.stat().st_size
    if size > peak_files.MAX_BYTES:
        raise ValueError(
            f"{arguments.mixture} has {size:,} bytes; expected at most {peak_files.MAX_BYTES:,}: give"
            " fewer peaks"
        )
    trained = None if arguments.network is None else peak_weights.load(arguments.network)
    if arguments.library is None:
        library = common_metabolites()
    else:
        reading = read_compounds(arguments.library)
        library = reading.compounds
        for problem in reading.problems[:MOST_PROBLEMS]:
            print(f"nmrclassify: row {problem.row}: {problem.text}", file=sys.stderr)
        if (more := len(reading.problems) - MOST_PROBLEMS) > 0:
            print(f"nmrclassify: {more:,} more such rows", file=sys.stderr)
    detector = Detector(library, trained)
    sample = peak_files.read_sample(arguments.mixture.read_bytes(), detector.axis)
    prediction = detector.identify(sample.peaks, arguments.spread)
    if detector.problem:
        print(
            f"nmrclassify: {detector.problem}; compounds alike are listed one by one",
            file=sys.stderr,
        )
    found = []
    for k in prediction.named:
        others = [
            library.names[i]
            for i in np.flatnonzero(prediction.groups == prediction.groups[k])
            if i != k
        ]
        row = {
            "name": library.names[k],
            "probability": float(prediction.probabilities[k]),
            "amount": float(prediction.amounts[k]),
        }
        found.append(row | ({"alike": others} if others else {}))
    if arguments.out is not None:
        order = np.argsort(-prediction.probabilities, kind="stable")
        rows = {
            "compound": [library.names[k] for k in order],
            "probability": prediction.probabilities[order],
            "amount": prediction.amounts[order],
        }
        _write(rows, arguments.out)
    if arguments.masks is not None:
        _write(_mask_rows(prediction), arguments.masks)
    return {
        "compounds": found,
        "note": sample.note,
        "threshold": prediction.threshold,
        "seconds": round(prediction.seconds, 3),
    }


def _mask_rows(prediction: "Identification") -> dict[str, list]:
    """Return compound, ppm, area and share of each peak that a named compound has a part in."""
    peaks, rows = prediction.peaks, {"compound": [], "ppm": [], "area": [], "share": []}
    for k in prediction.named:
        shares = prediction.separated(k) / peaks.areas
        where = np.flatnonzero(shares > 0)
        rows["compound"] += [prediction.compounds.names[k]] * len(where)
        rows["ppm"] += peaks.ppm[where].round(6).tolist()
        rows["area"] += peaks.areas[where].tolist()
        rows["share"] += shares[where].round(6).tolist()
    return rows


def _write(rows: dict, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(path, index=False)


def _bench(arguments: argparse.Namespace) -> dict:
    if arguments.list:
        return {"benches": bench.listed()}
    if arguments.name is None:
        raise ValueError("bench needs a name; `bench --list` tells what there is")
    result = bench.run(arguments.name)
    if arguments.out is not None:
        if "table" not in result:
            raise ValueError(f"bench {arguments.name} has no table for --out; leave it out")
        _write(result["table"], arguments.out)
    return result


def _found(row: dict) -> str:
    amount = f"  amount {row['amount']:.3g}" if row.get("amount") is not None else ""
    others = f"  (or {', '.join(row['alike'])})" if "alike" in row else ""
    return f"{row['name']}  {percent(row['probability'])}{amount}{others}"


def _as_text(result: dict) -> str:
    """Lay a result out for reading."""
    if "compounds" in result:
        lines = [_found(row) for row in result["compounds"]]
        if not lines and "threshold" in result:
            lines = [f"no compound reaches the probability of {percent(result['threshold'])}"]
        return "\n".join([*lines, *([result["note"]] if "note" in result else [])])
    if "benches" in result:
        return "\n".join(f"{name:12} {text}" for name, text in result["benches"].items())
    return json.dumps(result, indent=2)


def _valid(value: Any) -> Any:
    """Return a result with None for numbers that JSON does not have: NaN and the infinities."""
    if isinstance(value, dict):
        return {key: _valid(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_valid(entry) for entry in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    set_threads()
    commands = {
        "generate": _generate,
        "train": _train,
        "evaluate": _evaluate,
        "separate": _separate,
    }
    commands |= {"train-scale": _train_scale, "identify": _identify, "bench": _bench}
    try:
        arguments = _parser().parse_args(argv)
        result = commands[arguments.command](arguments)
    except (ValueError, OSError) as error:
        print(f"nmrclassify: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"nmrclassify: {stop or 'interrupted'}", file=sys.stderr)
        return INTERRUPTED
    # Of several processes only the first has a result.
    if result:
        result = _valid(result)
        print(json.dumps(result) if arguments.json else _as_text(result))
    return 0
