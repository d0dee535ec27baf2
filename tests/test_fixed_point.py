"""A fixed point: what the package computed before a change of its form, it computes after it.

Each area below returns plain values for a seed; `fixed_point.json` holds the recorded ones. The
test compares data by SHA-256, whole numbers and texts exactly, and other numbers to 1e-6 of the
largest in their list.

A process of its own does the arithmetic: there every library takes its plainest instructions
(`PINNED`), so that the numbers do not depend on the processor. This needs x86-64 and the versions
of `requirements.txt`.

    python -m tests.test_fixed_point --check [area ...]   compare, and print each difference
    python -m tests.test_fixed_point --print [area ...]   print the values
    python -m tests.test_fixed_point --record             write the values down anew
"""

import argparse
import contextlib
import csv
import hashlib
import io
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import scipy
import torch

from nmrclassify.baselines.comparison import compare_methods
from nmrclassify.baselines.grid import counts_from_amounts, matching_pursuit, nnls, tune_threshold
from nmrclassify.baselines.likelihood import Likelihood
from nmrclassify.cli import main
from nmrclassify.evaluation.calibration import reliability, roc
from nmrclassify.evaluation.compare_predictions import compare_predictions, occlude
from nmrclassify.evaluation.identify import Detector
from nmrclassify.evaluation.interpretation import (
    activations,
    example_cell,
    filters,
    parameter_table,
    receptive_field,
    trace_cell,
)
from nmrclassify.evaluation.masks import (
    ideal_ratio_masks,
    overlap,
    owners,
    shares,
    weak_cells,
)
from nmrclassify.evaluation.metrics import evaluate
from nmrclassify.evaluation.peak_metrics import mask_shares
from nmrclassify.evaluation.prediction import match_truth
from nmrclassify.evaluation.unknown import half_unknown, unknown_scores, unknown_test_compounds
from nmrclassify.mixtures.edits import Mixture, apply, from_text
from nmrclassify.mixtures.grid import MixtureConfig, generator, mix, unknown_compounds, with_unknown
from nmrclassify.mixtures.peak_files import peaks_table
from nmrclassify.mixtures.peaks import PeakMixtureConfig, draw_mixture
from nmrclassify.mixtures.presets import PRESETS, build
from nmrclassify.networks.amount_hypotheses import find_hypotheses
from nmrclassify.networks.peak_weights import shipped as shipped_scale
from nmrclassify.networks.registry import NETWORKS, RENAMED_TENSORS
from nmrclassify.networks.templates import Templates
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.compound_files import common_metabolites
from nmrclassify.nmr.equivalent_compounds import equivalent_compounds
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds
from nmrclassify.training.checkpoints import shipped
from nmrclassify.training.original_model_2022 import NO_FAULTS, Faults
from nmrclassify.training.original_model_2022 import train as train_with_faults
from nmrclassify.training.peak_trainer import PeakTrainConfig, PeakTrainer
from nmrclassify.training.recipes import RECIPES
from nmrclassify.training.trainer import Trainer, model_for

RECORD = Path(__file__).with_suffix(".json").with_name("fixed_point.json")
SEEDS = (1, 2, 3)
TOLERANCE = 1e-6
STEPS, FEW = 20, 5
FIGURES = ("compound_accuracy", "exact_match", "si_sdr_improvement_db")
BATCH_OF_ONE = ("sgd", "momentum", "adam")  # the recipes of the preset original
OWN_RECIPES = {"slots": ("modern", "long"), "queries": ("queries", "thorough")}
# The command line lets any recipe train any network. "thorough" has the batches of "queries".
OTHER_RECIPES = {"slots": ("queries",), "queries": ("modern", "long")}
SECONDS = 600  # that the process may take on a slow machine
# Plain SSE instructions and one thread for torch, MKL, oneDNN, OpenBLAS, numpy and the C library;
# and no GPU.
PINNED = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OPENBLAS_CORETYPE": "Prescott",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX512F",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    "NMRCLASSIFY_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "CUDA_VISIBLE_DEVICES": "",
}


# --- Plain values ---


def hashed(*parts: object) -> str:
    """Return the SHA-256 of arrays (type, shape, bytes) and of texts in a row, cut to 32 digits."""
    content = hashlib.sha256()
    for part in parts:
        if part is None or isinstance(part, (str, tuple)):
            content.update(repr(part).encode())
        else:
            array = np.ascontiguousarray(part)
            content.update(f"{array.dtype.str} {array.shape}".encode() + array.tobytes())
    return content.hexdigest()[:32]


def of_file(path: Path) -> str:
    """Return the SHA-256 of a file, cut to 32 digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def of_mixtures(mixtures) -> str:
    """Return the SHA-256 of all that a batch of mixtures holds."""
    return hashed(
        mixtures.areas, mixtures.sources, mixtures.labels, mixtures.concentrations, mixtures.unknown
    )


def of_compounds(compounds) -> str:
    """Return the SHA-256 of a table of multiplets."""
    columns = (compounds.compound, compounds.ppm, compounds.protons)
    return hashed(compounds.names, compounds.kinds, compounds.couplings, *columns)


def name_of_0_1(name: str) -> str:
    """Return what a parameter was called when the values were recorded."""
    for old, new in RENAMED_TENSORS.items():
        if f"{name}.".startswith(f"{new}."):
            return old + name.removeprefix(new)
    return name


def listed(values) -> list:
    """Return the numbers of an array, in one list."""
    return (
        np.asarray(torch.as_tensor(values).detach() if torch.is_tensor(values) else values)
        .ravel()
        .tolist()
    )


def summary(values) -> list[float]:
    """Return the sum of an array's sizes, a weighed sum, and how many are undefined, if any.

    The weights differ from place to place, so that an exchange of two values is seen as well.
    """
    flat = np.array(listed(values), dtype=np.float64)
    missing = ~np.isfinite(flat)
    flat[missing] = 0
    weighed = math.fsum(flat * np.cos(np.arange(1, len(flat) + 1)))
    undefined = [int(missing.sum())] if missing.any() else []
    return [math.fsum(np.abs(flat)), weighed, *undefined]


def plain(value):
    """Return values as JSON gives them back, with eight digits."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return float(f"{value:.8g}") if math.isfinite(value) else str(value)
    return value


def called(*arguments: object) -> dict:
    """Run a command with `--json`; return its result without times and paths."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        code = main([*map(str, arguments), "--json"])
    if code:
        raise RuntimeError(f"{arguments[0]} ended with {code}: {stderr.getvalue()}")
    result = json.loads(stdout.getvalue())
    return {key: value for key, value in result.items() if key not in ("seconds", "checkpoint")}


def of_table(path: Path) -> dict:
    """Return what a CSV file holds: texts hashed, numbers in summary, rows in order of texts."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    rows.sort()
    found: dict = {"rows": len(rows)}
    for name, column in zip(header, zip(*rows, strict=True), strict=True):
        try:
            found[name] = summary([float(text or "nan") for text in column])
        except ValueError:
            found[name] = hashed(tuple(column))
    return found


# --- Areas ---


@lru_cache
def dataset(preset: str, seed: int):
    """Build the data set of a preset, once."""
    return build(preset, seed)


@lru_cache
def varied(seed: int):
    """Build a data set with all kinds of trouble, once."""
    low_high = {"concentration_low": 0.5, "concentration_high": 2.0}
    return build(
        "quick",
        seed,
        MixtureConfig(
            n_sources=3,
            repetition=True,
            shift_jitter=0.3,
            noise=0.02,
            number_varies=True,
            **low_high,
        ),
    )


@lru_cache
def full_scale(seed: int):
    """Draw a full-scale library, once."""
    return synthetic_compounds(SyntheticConfig(), np.random.default_rng(seed))


def data(seed: int) -> dict:
    """Return hashes of the data of all presets."""
    made = {name: dataset(name, seed) for name in PRESETS} | {"varied": varied(seed)}
    found = {}
    for name, own in made.items():
        test, rng = own.test_mixtures(), generator(seed, "unknown")
        foreign = unknown_compounds(own.library, 20, rng)
        some = own.test_mixtures(seed + 100, draws=2)[:20]
        row = {
            "digest": own.digest(),
            "library": hashed(own.library.names, own.library.areas),
            "train": hashed(own.train),
            "validation": hashed(own.validation),
            "test": hashed(own.test),
            "sizes": [len(own.train), len(own.validation), len(own.test)],
            "training set": of_mixtures(own.training_set()),
            "test areas": hashed(test.areas),
            "test sources": hashed(test.sources),
            "test mixtures": of_mixtures(test),
            "test mixtures, two draws": of_mixtures(own.test_mixtures(seed + 100, draws=2)),
            "batches": [of_mixtures(own.training_batch(step, 64)) for step in (0, 3)],
            "foreign": hashed(foreign),
            "with unknown": of_mixtures(
                with_unknown(some, foreign[: len(some)], rng.random(len(some)))
            ),
            "strangers": hashed(unknown_test_compounds(own.library, 40, seed)),
            "half unknown": of_mixtures(half_unknown(own, seed=seed)),
        }
        for kind in NETWORKS:
            for recipe, config in RECIPES.items():
                widen = config.augmented(own, any_number=kind == "queries")
                batches = [own.training_batch(step, config.batch_size, widen) for step in (0, 3)]
                batches.append(own.validation_mixtures(50, widen))
                row[f"batches and validation, {kind}, {recipe}"] = hashed(
                    *map(of_mixtures, batches)
                )
        found[name] = row
    return found


def scale_data(seed: int) -> dict:
    """Return hashes of full-scale libraries and of mixtures from them."""
    libraries = {
        "both": full_scale(seed),
        "fragments": synthetic_compounds(
            SyntheticConfig(200, metabolites=0.0), np.random.default_rng(seed)
        ),
        "metabolites": synthetic_compounds(
            SyntheticConfig(200, metabolites=1.0, sharing=0.5, relatives=0.6),
            np.random.default_rng(seed),
        ),
        "packaged": common_metabolites(),
    }
    foreign = synthetic_compounds(SyntheticConfig(50), np.random.default_rng(1000 + seed))
    configs = {
        "usual": PeakMixtureConfig(n_low=15, n_high=30),
        "foreign": PeakMixtureConfig(n_low=15, n_high=30, n_unknown=3, jitter=0.03, decades=1.0),
    }
    found = {}
    for name, compounds in libraries.items():
        row = {
            "library": of_compounds(compounds),
            "sizes": [compounds.n_compounds, compounds.n_multiplets, len(compounds.areas)],
            "lines": hashed(compounds.offsets, compounds.areas, compounds.first_line),
            "groups": hashed(equivalent_compounds(compounds, FULL_AXIS)),
        }
        for kind, config in configs.items():
            mixture = draw_mixture(
                compounds, config, np.random.default_rng([seed, 0]), FULL_AXIS, foreign
            )
            row[f"{kind}: peaks"] = hashed(mixture.peaks.positions, mixture.peaks.areas)
            row[f"{kind}: labels"] = hashed(mixture.present, mixture.multiplets, mixture.owners)
            row[f"{kind}: amounts"] = hashed(mixture.amounts, mixture.shifts)
            row[f"{kind}: areas"] = hashed(*mixture.parts, mixture.totals, mixture.shares)
            row[f"{kind}: sizes"] = [len(mixture.peaks.areas), len(mixture.present)]
        found[name] = row
    return found


def files(seed: int) -> dict:
    """Return hashes of the files that `generate` writes, and what it prints."""
    found = {}
    for preset in PRESETS:
        with tempfile.TemporaryDirectory() as folder:
            printed = called("generate", "--preset", preset, "--seed", seed, "--out", folder)
            written = {path.name: of_file(path) for path in sorted(Path(folder).iterdir())}
        found[preset] = {"printed": printed, "files": written}
    return found


def training(seed: int) -> dict:
    """Return the losses of the first steps of each training.

    A recipe that is not the network's own trains it for a few steps, with the first seed only.
    """
    found = {}
    for kind in NETWORKS:
        for recipe, config in RECIPES.items():
            others = OTHER_RECIPES[kind] if seed == SEEDS[0] else ()
            if recipe not in (*BATCH_OF_ONE, *OWN_RECIPES[kind], *others):
                continue
            preset = "original" if recipe in BATCH_OF_ONE else "quick"
            trainer = Trainer(dataset(preset, seed), config, kind=kind)
            snapshots = []
            for _ in range(FEW if recipe in others else STEPS):
                trainer.advance()
                snapshots.append(trainer.snapshot())
            last = snapshots[-1]
            found[f"{preset}, {kind}, {recipe}"] = {
                "total": [s.loss for s in snapshots],
                "classification": [s.classification for s in snapshots],
                "reconstruction": [s.reconstruction for s in snapshots],
                "right": summary([s.train_accuracy for s in snapshots]),
                "rate": [last.learning_rate],
                "test": {key: last.test[key] for key in FIGURES},
                "weights": summary(
                    torch.cat([p.detach().ravel() for p in trainer.model.parameters()])
                ),
                "chances": summary(last.pinned.probabilities),
            }
    return found


def faulty_training(seed: int) -> dict:
    """Return the first steps of the training of 2022: with all its faults, one, and none."""
    cases = {f"all faults, {name}": (Faults(), name) for name in BATCH_OF_ONE}
    if seed == SEEDS[0]:
        for fault in Faults._fields:
            cases[f"{fault}, adam"] = (NO_FAULTS._replace(**{fault: True}), "adam")
    cases["none, adam"] = (NO_FAULTS, "adam")
    found = {}
    for name, (faults, recipe) in cases.items():
        config = replace(RECIPES[recipe], steps=STEPS)
        _, history = train_with_faults(dataset("original", seed), config, faults, seed, every=1)
        found[name] = {key: [row[key] for row in history] for key in ("classification", "gradient")}
        found[name] |= {key: history[-1][key] for key in ("step", "right", "exact")}
    return found


def scale_training(seed: int) -> dict:
    """Return all parts of the loss of the first steps of a full-scale training."""
    config = PeakTrainConfig(
        steps=3, batch=2, libraries=2, compounds=150, n_low=15, n_high=30, seed=seed
    )
    trainer, steps = PeakTrainer(config, workers=0), []
    trainer.run(lambda step, parts: steps.append(parts))
    losses = {key: [parts[key] for parts in steps] for key in steps[0]}
    weights = torch.cat([p.detach().ravel() for p in trainer.network.parameters()])
    return losses | {"weights": summary(weights)}


def commands(seed: int) -> dict:
    """Return what the commands `separate`, `evaluate`, `train` and `identify` print and write."""
    found: dict = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        called("generate", "--preset", "metabolites", "--seed", seed, "--out", place)
        for pick in (1, 2, 3):
            out = place / f"separated_{pick}.csv"
            mixtures = place / "test_mixtures.csv"
            row = called("separate", "queries", mixtures, "--pick", pick, "--out", out)
            found[f"separate shipped, mixture {pick}"] = row | {"written": of_table(out)}
        row = called("evaluate", "queries", "--draws", 2, "--seed", seed)
        found["evaluate shipped"] = row
        # A training ends with a calibration, which takes longer than the steps.
        for kind in NETWORKS if seed == SEEDS[0] else ():
            run, trained = place / kind, place / kind / "model.safetensors"
            options = ("--model", kind, "--seed", seed, "--steps", 3, "--out", run)
            found[f"train {kind}"] = called("train", "--preset", "quick", *options)
            found[f"evaluate {kind}"] = called("evaluate", trained, "--seed", seed)
        for form, table in sample_files(seed).items():
            mixture, out, masks = (place / f"{form}{end}.csv" for end in ("", "_answer", "_masks"))
            table.to_csv(mixture, index=False)
            row = called("identify", mixture, "--out", out, "--masks", masks)
            row |= {"answer": of_table(out), "masks": of_table(masks)}
            found[f"identify {form}"] = row
        library = full_scale(seed).select(range(60))
        library.frame().to_csv(place / "library.csv", index=False)
        mixture = draw_mixture(
            library, PeakMixtureConfig(n_low=8, n_high=8), np.random.default_rng([seed, 2])
        )
        peaks_table(mixture.peaks).to_csv(place / "own.csv", index=False)
        given = ("--library", place / "library.csv", "--spread", 0.01)
        found["identify, own library"] = called("identify", place / "own.csv", *given)
    return found


def sample_files(seed: int) -> dict[str, pd.DataFrame]:
    """Make one full-scale mixture in each form of file: peaks, multiplets, a spectrum."""
    compounds = common_metabolites()
    config = PeakMixtureConfig(n_low=8, n_high=12)
    peaks = draw_mixture(compounds, config, np.random.default_rng([seed, 0])).peaks
    rng = np.random.default_rng([seed, 1])
    chosen = compounds.select(np.sort(rng.choice(compounds.n_compounds, 10, replace=False)))
    multiplets = chosen.frame()
    multiplets["ppm"] = (multiplets["ppm"] + rng.normal(0, 0.005, len(multiplets))).round(4)
    multiplets["amount"] = rng.uniform(0.1, 1, chosen.n_compounds).round(3)[chosen.compound]
    ppm = np.arange(0, 10, 0.0005).round(4)
    narrow = 0.0015
    height = sum(
        area / (1 + ((ppm - at) / narrow) ** 2)
        for at, area in zip(peaks.ppm, peaks.areas, strict=True)
    )
    spectrum = pd.DataFrame({"ppm": ppm, "intensity": height.round(5)})
    return {
        "peaks": peaks_table(peaks),
        "multiplets": multiplets.drop(columns="compound"),
        "spectrum": spectrum,
    }


@torch.no_grad()
def networks(seed: int) -> dict:
    """Return what the packaged networks, and untrained ones, make of fixed mixtures."""
    given = shipped("queries")
    own = given.dataset
    test = own.test_mixtures(seed)[:4]
    strange = with_unknown(test, unknown_test_compounds(own.library, 4, seed), np.ones(4))
    found: dict = {}
    for name, mixtures in {"known": test, "unknown": strange}.items():
        output, separation = given.model(torch.from_numpy(mixtures.areas))
        found[f"shipped, {name}"] = {
            "presence": listed(output.presence[:2]),
            "amounts": listed(output.amounts[:2]),
            "all": [summary(output.presence), summary(output.amounts)],
            "counts": summary(output.counts),
            "masks": listed(separation.masks[:2].sum((2, 3))),
            "all masks": summary(separation.masks),
            "encoding": summary(separation.encoding),
            "separated encodings": summary(separation.separated_encodings),
            "multiplets": summary(separation.multiplets),
        }
    scores, positive = unknown_scores(given.model, own, seed=seed)
    found["shipped, scores for unknown"] = {
        name: [summary(values), roc(values, positive).area] for name, values in scores.items()
    }
    evaluated = evaluate(given.model, own.test_mixtures(seed))
    stated = reliability(*evaluated.statements())
    found["shipped, evaluated"] = evaluated.summary() | {
        "confidence": summary(evaluated.confidence),
        "confusion": summary(evaluated.confusion()),
        "calibration": [[stated.expected_calibration_error], summary(stated.stated)],
        "table": hashed(*map(str, evaluated.table(own.library.names)["named"])),
    }
    for kind in NETWORKS:
        for name, own in {"quick": dataset("quick", seed), "varied": varied(seed)}.items():
            model, mixtures = model_for(own, seed, kind), own.test_mixtures()
            output, separation = model(torch.from_numpy(mixtures.areas[:4]))
            evaluated = evaluate(model, mixtures)
            found[f"untrained {kind}, {name}"] = {
                "parameters": model.n_parameters,
                "masks": summary(separation.masks),
                "multiplets": summary(separation.multiplets),
                "output": summary(output if kind == "slots" else output.presence),
                "of one": listed(output[0] if kind == "slots" else output.presence[0]),
                "gains": summary(evaluated.si_sdr_improvement),
                "presence": summary(evaluated.presence),
                "evaluated": evaluated.summary(),
            }
    return found


@torch.no_grad()
def scale_networks(seed: int) -> dict:
    """Return what the packaged full-scale network makes of fixed mixtures, step by step."""
    trained = shipped_scale()
    found: dict = {
        "threshold": trained.threshold,
        "temperature": float(trained.network.temperature),
    }
    libraries = {"packaged": (common_metabolites(), 12), "synthetic": (full_scale(seed), 40)}
    for name, (compounds, count) in libraries.items():
        config = PeakMixtureConfig(n_low=count, n_high=count)
        mixture = draw_mixture(compounds, config, np.random.default_rng([seed, 7]))
        hypotheses = find_hypotheses(Templates.of(compounds, FULL_AXIS), mixture.peaks)
        findings = trained.network(hypotheses)
        row: dict = {
            "evidence": [[hypotheses.unit], [hypotheses.floor], [hypotheses.spread]],
            "votes": summary(hypotheses.votes),
            "bounds": summary(hypotheses.bounds),
            "presence": summary(findings.presence),
            "presence of the present": listed(findings.presence[mixture.present]),
            "log amounts": summary(findings.log_amounts),
            "first look": summary(findings.screening),
            "rounds": [summary(state["logit"]) for state in findings.rounds],
        }
        answered = Detector(compounds).identify(mixture.peaks)
        row |= {
            "named": [compounds.names[k] for k in answered.named],
            "chances": summary(answered.probabilities),
            "amounts": listed(answered.amounts[answered.named]),
            "shifts": summary(answered.shifts),
            "shares": summary(answered.shares),
            "masks": [summary(part) for part in answered.masks],
            "explained": summary(answered.explained),
            "separated": summary(answered.separated(answered.named[0])),
            "neighbours": [k for k, _ in answered.neighbours(answered.named[0])],
            "their shares": [share for _, share in answered.neighbours(answered.named[0])],
            "mask shares": summary(mask_shares(mixture, answered.masks)),
            "groups": hashed(answered.groups),
        }
        found[name] = row
    return found


def baselines(seed: int) -> dict:
    """Return what the methods without training find in fixed mixtures."""
    found: dict = {}
    troubles = {
        "clean": MixtureConfig(),
        "noise": MixtureConfig(noise=0.05),
        "concentrations": MixtureConfig(noise=0.02, concentration_low=0.5, concentration_high=2.0),
        "jitter": MixtureConfig(
            noise=0.02, shift_jitter=0.3, concentration_low=0.5, concentration_high=2.0
        ),
    }
    own = dataset("quick", seed)
    for name, config in troubles.items():
        mixtures = mix(own.library, own.test[:5], config, generator(seed, "test"))
        fitted = nnls(mixtures.areas, own.library)
        pursued = matching_pursuit(mixtures.areas, own.library, 3)
        row = {
            "least squares": [listed(fitted[0]), summary(fitted)],
            "pursuit": [listed(pursued[0]), summary(pursued)],
            "counts": listed(counts_from_amounts(fitted, False, number=3).argmax(axis=1)),
            "threshold": tune_threshold(fitted, mixtures.counts, False),
        }
        for average in (False, True):
            likelihood = Likelihood(own.library, own.test, config, average=average)
            row[f"likelihood, average {average}"] = summary(
                likelihood.log_likelihood(mixtures.areas)
            )
            row[f"exhaustive, average {average}"] = hashed(likelihood.exhaustive(mixtures.areas))
        found[name] = row
    given = shipped("queries")
    table = compare_methods(
        given.model, "shipped", given.dataset, given.dataset.test_mixtures(seed)
    )
    found["comparison"] = {
        row["method"]: list(row.values())[1:] for row in table.to_dict("records")
    }
    return found


def reading(seed: int) -> dict:
    """Return what is shown of the inside of networks, and of edited mixtures."""
    given, quick = shipped("queries"), dataset("quick", seed)
    found = {}
    models = {
        "shipped": (given.model, given.dataset),
        "slots": (model_for(quick, seed, "slots"), quick),
        "queries": (model_for(quick, seed, "queries"), quick),
    }
    for name, (model, own) in models.items():
        mixture = own.test_mixtures(seed)[:1]
        areas, sources, labels = mixture.areas[0], mixture.sources[0], mixture.labels[0]
        said = model.predict(areas)
        truth = match_truth(said, areas, sources, labels, concentrations=mixture.concentrations[0])
        ideal = ideal_ratio_masks(model, sources)
        cell = example_cell(said.masks[0], said.encoding, said.multiplets[0], int(said.outputs[0]))
        trace = trace_cell(model, areas, cell)
        blocks = activations(model, areas)
        field = receptive_field(model, areas, areas.shape[1] // 2)
        encoder, decoder = filters(model)
        parameters = parameter_table(model)
        taken = occlude(model, areas)
        edits = "add_5_d_2~cut_3~move_2_0.5~scale_8_1.5~amount_1_2~noise_0.02_7"
        edited = apply(Mixture.of(mixture, 0), from_text(edits), own.library)
        both = compare_predictions((model, areas), (model, edited.areas))
        found[name] = {
            "gain": summary(truth.si_sdr_improvement),
            "ideal masks": summary(ideal),
            "silent": int(weak_cells(said.encoding).sum()),
            "overlap": [summary(overlap(said.masks)), summary(overlap(ideal))],
            "shares": summary(shares(said.multiplets)),
            "owners": listed(owners(shares(said.multiplets))),
            "filters": [summary(encoder), summary(decoder)],
            "cell": [cell.output, cell.filter, cell.position],
            "trace": [[trace.encoding], [trace.separated], summary(trace.masks)],
            "chances": [summary(trace.presence), summary(trace.closed), summary(trace.silenced)],
            "evidence": summary(trace.log_odds),
            "added": summary(trace.added),
            "activations": [summary(blocks.residual), summary(blocks.skip)],
            "receptive field": [summary(field.leak), summary(field.strength)],
            "parameters": hashed(*map(name_of_0_1, parameters["name"]), *parameters["shape"]),
            "weights": summary(parameters[["root mean square", "largest"]].to_numpy()),
            "occlusion": [listed(taken.presence), summary(taken.fall)],
            "edited": summary(edited.areas),
            "labels of the edited": listed(edited.labels),
            "contrast": [summary(both.presence), summary(both.multiplets)],
        }
    return found


AREAS = {
    "data": (data, SEEDS),
    "scale data": (scale_data, SEEDS),
    "files": (files, SEEDS),
    "training": (training, SEEDS),
    "faulty training": (faulty_training, SEEDS),
    "scale training": (scale_training, SEEDS),
    "commands": (commands, SEEDS),
    "networks": (networks, SEEDS[:2]),
    "scale networks": (scale_networks, SEEDS[:2]),
    "baselines": (baselines, SEEDS[:2]),
    "reading": (reading, SEEDS[:2]),
}


# --- Compute, compare, record ---


def versions() -> dict[str, str]:
    """Return the versions that the numbers depend on."""
    return {module.__name__: module.__version__ for module in (np, scipy, torch, pd)}


@contextlib.contextmanager
def exact_roots():
    """Take torch's square roots in double precision.

    Those that MKL takes in single precision start from an estimate by the processor. Their last
    digit differs between processors, whatever is pinned, and a training makes much of it.
    """
    root = torch.Tensor.sqrt

    def exact(values: torch.Tensor) -> torch.Tensor:
        return root(values.double()).to(values.dtype)

    with mock.patch.object(torch.Tensor, "sqrt", exact), mock.patch.object(torch, "sqrt", exact):
        yield


@exact_roots()
def compute(areas: list[str]) -> dict:
    """Compute areas in this process; an area that breaks gives the text of its error."""
    torch.set_num_threads(1)
    found: dict = {"versions": versions(), "seconds": {}}
    for area in areas:
        began, found[area] = time.perf_counter(), {}
        compute_area, seeds = AREAS[area]
        for seed in seeds:
            try:
                found[area][f"seed {seed}"] = plain(compute_area(seed))
            except Exception:  # noqa: BLE001, one area that breaks must not hide the others
                found[area][f"seed {seed}"] = {"error": traceback.format_exc()}
        found["seconds"][area] = round(time.perf_counter() - began, 1)
    return found


def computed(areas: list[str]) -> dict:
    """Compute areas in a process of its own, whose arithmetic is pinned."""
    command = [sys.executable, "-m", "tests.test_fixed_point", "--print", *areas]
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | PINNED | {"NMRCLASSIFY_HOME": home}
        made = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=environment,
            cwd=Path(__file__).parents[1],
            timeout=SECONDS,
            check=False,
        )
    if made.returncode:
        raise RuntimeError(f"the process ended with {made.returncode}: {made.stderr[-4000:]}")
    return json.loads(made.stdout)


def differences(expected, got, path: str = "", tolerance: float = TOLERANCE) -> list[str]:
    """Return one sentence for each difference of two plain values, with its path."""
    if isinstance(expected, dict) and isinstance(got, dict):
        found = []
        for key in expected | got:
            if key in expected and key in got:
                found += differences(expected[key], got[key], f"{path}/{key}", tolerance)
            else:
                found.append(f"{path}/{key}: {'not recorded' if key in got else 'is missing'}")
        return found
    if isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            return [f"{path}: expected {len(expected)} entries, got {len(got)}"]
        if not (all(map(_is_number, expected)) and all(map(_is_number, got))):
            pairs = enumerate(zip(expected, got, strict=True))
            return [
                line for i, pair in pairs for line in differences(*pair, f"{path}[{i}]", tolerance)
            ]
        largest = max(map(abs, expected), default=0.0)
        pairs = enumerate(zip(expected, got, strict=True))
        return [
            line
            for i, pair in pairs
            for line in _unlike(*pair, f"{path}[{i}]", tolerance * largest)
        ]
    if _is_number(expected) and _is_number(got):
        return _unlike(expected, got, path, tolerance * max(1.0, abs(expected)))
    return [] if expected == got else [f"{path}: expected {expected!r}, got {got!r}"]


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _unlike(expected, got, path: str, allowed: float) -> list[str]:
    exact = isinstance(expected, int) and isinstance(got, int)
    if expected == got or (not exact and abs(expected - got) <= allowed):
        return []
    return [f"{path}: expected {expected!r}, got {got!r}"]


def written(value, indent: int = 0) -> str:
    """Return JSON with one entry a line, lists on one line."""
    if not isinstance(value, dict):
        return json.dumps(value, separators=(",", ":"))
    space = " " * (indent + 1)
    rows = [
        f"{space}{json.dumps(key)}: {written(entry, indent + 1)}" for key, entry in value.items()
    ]
    return "{\n" + ",\n".join(rows) + "\n" + " " * indent + "}"


# --- The tests ---


@pytest.fixture(scope="module")
def results() -> dict:
    """Compute all areas, once."""
    return computed(list(AREAS))


@pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"),
    reason="the arithmetic is pinned on x86-64 only",
)
@pytest.mark.parametrize(
    ("area", "seed"), [(area, seed) for area, (_, seeds) in AREAS.items() for seed in seeds]
)
def test_gives_what_was_recorded(results, area, seed):
    record, name = json.loads(RECORD.read_text()), f"seed {seed}"
    found = differences(record[area][name], results[area][name], f"{area}/{name}")
    if record["versions"] != results["versions"]:
        found.append(f"recorded with {record['versions']}, computed with {results['versions']}")
    more = [f"and {len(found) - 20} more"] if len(found) > 20 else []
    assert not found, "\n" + "\n".join(found[:20] + more)


def test_a_difference_is_found_and_named():
    expected = {"a": {"b": [1.0, 2.0], "n": 3, "s": "x", "list": ["x", 1]}}
    assert not differences(
        expected, {"a": {"b": [1.0, 2.0 + 1e-6], "n": 3, "s": "x", "list": ["x", 1]}}
    )
    got = {"a": {"b": [1.0, 2.00001], "n": 4, "s": "y", "list": ["x", 2]}, "c": 1}
    assert differences(expected, got, "area") == [
        "area/a/b[1]: expected 2.0, got 2.00001",
        "area/a/n: expected 3, got 4",
        "area/a/s: expected 'x', got 'y'",
        "area/a/list[1]: expected 1, got 2",
        "area/c: not recorded",
    ]
    assert differences({"a": [1.0]}, {"a": [1.0, 2.0]}) == ["/a: expected 1 entries, got 2"]


def run() -> int:
    """Record, check or print, as the arguments say."""
    parser = argparse.ArgumentParser(description="Record or check the fixed point.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--record", action="store_true", help="write the values down anew")
    what.add_argument("--check", action="store_true", help="compare with the recorded values")
    what.add_argument("--print", action="store_true", help="print the values as they come here")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="of --check")
    parser.add_argument("--unpinned", action="store_true", help="--check in this very process")
    parser.add_argument("areas", nargs="*", metavar="area", help=f"of {', '.join(AREAS)}")
    arguments = parser.parse_args()
    if unknown := set(arguments.areas) - set(AREAS):
        parser.error(f"no area {min(unknown)!r}; expected some of {', '.join(AREAS)}")
    areas = arguments.areas or list(AREAS)
    if arguments.print:
        found = compute(areas)
        print(written(found))
        return 0
    found = compute(areas) if arguments.unpinned else computed(areas)
    print(
        "\n".join(f"{name:16} {seconds} s" for name, seconds in found["seconds"].items()),
        file=sys.stderr,
    )
    if arguments.record:
        errors = [v["error"] for area in areas for v in found[area].values() if "error" in v]
        if errors or arguments.areas:
            print("\n".join(errors) or "--record takes no areas: it writes all", file=sys.stderr)
            return 2
        del found["seconds"]
        RECORD.write_text(written(found) + "\n")
        return 0
    record = json.loads(RECORD.read_text())
    lines = [
        line
        for area in areas
        for line in differences(record[area], found[area], area, arguments.tolerance)
    ]
    print("\n".join(lines) or "no difference")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(run())
