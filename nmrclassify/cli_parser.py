"""The arguments of the command line: commands, options, their help and an example each."""

import argparse
from pathlib import Path
from typing import NoReturn

from nmrclassify.mixtures.presets import PRESETS
from nmrclassify.networks.registry import NETWORKS
from nmrclassify.training import packaged
from nmrclassify.training.checkpoints import PACKAGED_PRESETS
from nmrclassify.training.recipes import RECIPES


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    """Return the parser; a mistake raises ValueError with one sentence."""
    shared = _Parser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    seed = _Parser(add_help=False)
    seed.add_argument(
        "--seed", type=int, default=7, help="the same seed gives the same numbers (default 7)"
    )
    model = _Parser(add_help=False)
    model.add_argument(
        "checkpoint",
        type=Path,
        help="a packaged model, reference (slots; shipped is the same) or queries; or a"
        " .safetensors file",
    )
    model.add_argument(
        "--preset",
        choices=PACKAGED_PRESETS,
        help="data of the packaged model (default metabolites)",
    )
    root = _Parser(
        prog="python -m nmrclassify",
        description="Make NMR mixtures, separate them and name their compounds.",
    )
    commands = root.add_subparsers(dest="command", required=True, parser_class=_Parser)

    def command(name: str, text: str, example: str, *parents: _Parser) -> _Parser:
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
        "Train a network and save it as a run.",
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
        help="optimiser, schedule, augmentation (default: that of the model)",
    )
    train.add_argument("--steps", type=int, help="optimiser steps (default: the recipe's)")
    train.add_argument(
        "--rate", dest="learning_rate", type=float, help="learning rate (default: the recipe's)"
    )
    train.add_argument(
        "--filters",
        dest="n_filters",
        type=int,
        help="filters of the encoder (default 64; with 16 or 32 a mask has fewer rows to read)",
    )
    train.add_argument(
        "--out", type=Path, help="folder of the run (default: a new one among the runs)"
    )
    train.add_argument(
        "--resume", action="store_true", help="continue the interrupted training in --out"
    )
    train.add_argument(
        "--save-every",
        type=int,
        default=200,
        metavar="STEPS",
        help="save what --resume needs after so many steps, and at least every 30 s (default 200)",
    )
    train.add_argument(
        "--overwrite", action="store_true", help="replace the training that is in --out"
    )

    test = command(
        "evaluate",
        "Measure a checkpoint on its unseen compositions.",
        "evaluate reference --draws 5",
        seed,
        model,
    )
    test.add_argument(
        "--draws", type=int, default=1, help="mixtures of each unseen composition (default 1)"
    )

    separate = command(
        "separate",
        "Separate one mixture.",
        "separate reference mixture.csv --out separated.csv",
        model,
    )
    separate.add_argument(
        "mixture", type=Path, help="CSV; `generate` and the app's page Mixtures write the format"
    )
    separate.add_argument("--pick", help="which mixture of a file of several (default the first)")
    separate.add_argument(
        "--out", type=Path, help="write the separated multiplets to this CSV file"
    )

    package = command(
        "package-models",
        "Train the models that come with the package, and write their files (minutes).",
        "package-models --only original-queries",
    )
    package.add_argument(
        "--only", choices=["-".join(model) for model in packaged.ALL], help="make one of them"
    )
    package.add_argument("--steps", type=int, help="optimiser steps (default: the recipe's)")
    package.add_argument(
        "--out",
        type=Path,
        default=packaged.FOLDER,
        help="folder of the files (default: that of the package)",
    )

    scale = command(
        "train-scale",
        "Train the network at full scale.",
        "train-scale --out runs/scale --steps 4000",
    )
    scale.epilog = (
        f"{scale.epilog}; on two GPUs:"
        " torchrun --nproc-per-node 2 -m nmrclassify train-scale --out runs/scale"
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
        "--disturbed",
        type=float,
        help="share of mixtures with what spectra do to lists of peaks (default 0.6)",
    )
    scale.add_argument(
        "--start",
        help='a trained scale.safetensors to start from, or "packaged" (default: random weights)',
    )
    scale.add_argument(
        "--workers",
        type=int,
        default=1,
        help="processes that prepare mixtures, for each training process (default 1)",
    )
    scale.add_argument(
        "--resume", action="store_true", help="continue the interrupted training in --out"
    )

    identify = command(
        "identify",
        "Name the compounds of a full-scale mixture.",
        "identify peaks.csv --library table.csv --out compounds.csv",
    )
    identify.add_argument(
        "mixture",
        type=Path,
        help="a spectrum (folder or zip of Bruker or Varian, JCAMP-DX, nmrML, NMRPipe), or CSV:"
        " ppm, area; or multiplets with ppm, kind, j_hz, protons; or text: 1H NMR (400 MHz, ...)",
    )
    identify.add_argument(
        "--mhz",
        type=float,
        help="frequency of the spectrometer (default: that of the file, or 600)",
    )
    identify.add_argument(
        "--ph",
        type=_ph,
        metavar="PH|auto",
        help="pH of the sample; auto: where the peaks fit the library best (default: auto for a"
        " spectrum, 7.4 for a table of peaks)",
    )
    identify.add_argument(
        "--recipe", type=Path, help="JSON of a ProcessingRecipe: how a spectrum is processed"
    )
    identify.add_argument(
        "--library",
        type=Path,
        action="append",
        help="CSV table of multiplets, text with a line 1H NMR (400 MHz, ...) for each compound,"
        " spectrum or peak list of a pure compound, or folder or zip of these; may be repeated, and"
        " 'metabolites' is the packaged table (the default)",
    )
    identify.add_argument(
        "--network",
        type=Path,
        help="a scale.safetensors that train-scale wrote (default: the shipped one)",
    )
    identify.add_argument(
        "--spread",
        type=float,
        help="standard deviation of the shifts in ppm, where known (default: estimated)",
    )
    identify.add_argument(
        "--known",
        type=_known,
        metavar="NAME=MM",
        help="concentration in mM of a compound of the mixture, or of DSS or TSP at 0 ppm: amounts"
        " are then in mM (default: in mol %%)",
    )
    identify.add_argument(
        "--compare",
        metavar="METHOD",
        help='"least squares" or, if magnetstein is installed, "optimal transport": print which'
        " compounds the network and this method name",
    )
    identify.add_argument(
        "--out", type=Path, help="write all probabilities and amounts to this CSV file"
    )
    identify.add_argument(
        "--masks", type=Path, help="write the named compounds' shares of the peaks to this CSV file"
    )
    identify.add_argument(
        "--multiplets",
        type=Path,
        help="write the named compounds' multiplets, where they are found, to this text file, as"
        " papers print them",
    )

    lessons = command(
        "lessons",
        "Compute what the lessons state again, and compare it with the packaged facts.",
        "lessons --check",
    )
    what = lessons.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--check", action="store_true", help="fail where a fact is not that of the package"
    )
    what.add_argument(
        "--write", action="store_true", help="write the file of the package (a minute)"
    )

    benchmark = command(
        "bench", "Run a measurement behind a figure of docs/results.md.", "bench generation --json"
    )
    benchmark.add_argument("name", nargs="?", help="which measurement, see --list")
    benchmark.add_argument(
        "--out",
        type=Path,
        help="write the result to this .json file, or the table of a result that has one to this"
        " CSV file",
    )
    benchmark.add_argument(
        "--seeds", type=_seeds, metavar="N,N", help="robustness: only these seeds, as 1,2"
    )
    benchmark.add_argument(
        "--cache",
        type=Path,
        help="robustness: keep finished parts in this folder, and do not measure them again",
    )
    benchmark.add_argument(
        "--share", type=float, help="robustness: train on this share of the mixtures, for a trial"
    )
    benchmark.add_argument(
        "--before", type=Path, help="words: the app.py of an earlier checkout, to compare with"
    )
    benchmark.add_argument("--list", action="store_true", help="list the measurements")
    return root


def _ph(text: str) -> float | str:
    try:
        return text if text == "auto" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no pH; expected a number or auto") from None


def _known(text: str) -> tuple[str, float]:
    name, _, value = text.rpartition("=")
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no known concentration; expected a compound and mM, such as DSS=0.5"
        ) from None


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(int(seed) for seed in text.split(","))
