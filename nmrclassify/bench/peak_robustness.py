"""The network of full scale outside clean lists of peaks: resolution, field, offset, noise (6 min).

50 to 100 of 877 compounds, shift jitter .01 ppm, one disturbance at a time. The libraries are real
ones from GISSMO's table if it is there, and synthetic ones; none was in training. Least squares has
its settings and threshold from undisturbed development mixtures, as in `scale`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from nmrclassify.baselines.peak_tuning import Tuned, named, tune
from nmrclassify.baselines.peaks import LeastSquares
from nmrclassify.bench._parallel import run_all
from nmrclassify.bench.scale import REAL, SETTINGS
from nmrclassify.evaluation.identify import Detector, Identification
from nmrclassify.evaluation.peak_metrics import Score, highest_of_group, in_groups
from nmrclassify.mixtures.peaks import PeakMixture, PeakMixtureConfig, Peaks, draw_mixture
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.compound_files import read_compounds
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.equivalent_compounds import equivalent_compounds
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds
from nmrclassify.training.peak_calibration import DEVELOPMENT
from nmrclassify.training.peak_examples import held_and_others

SEEDS = (910, 911, 912)  # used for nothing else
MIXTURES, CLASSICAL, COMPOUNDS, NOISE_PEAKS = 20, 5, 877, 600
SURE = 0.9
CLEAN = PeakMixtureConfig()


@dataclass(frozen=True)
class Condition:
    """One disturbance: a recipe, the spectrometer's frequency, and an offset of the axis in ppm.

    With `same_compounds`, other entries of the library's own compounds are among the unknown ones.
    """

    name: str
    recipe: PeakMixtureConfig = CLEAN
    mhz: float = FULL_AXIS.mhz
    offset: float = 0.0
    same_compounds: bool = False


CONDITIONS = (
    Condition("none"),
    Condition("resolution of 2 Hz", replace(CLEAN, resolution=2.0)),
    Condition("resolution of 4 Hz", replace(CLEAN, resolution=4.0)),
    Condition("80 MHz", mhz=80.0),
    Condition("400 MHz", mhz=400.0),
    Condition("axis off by .05 ppm", offset=0.05),
    Condition("30 compounds that the library does not hold", replace(CLEAN, n_unknown=30)),
    Condition(
        "30 entries that the library does not hold, some of its compounds",
        replace(CLEAN, n_unknown=30),
        same_compounds=True,
    ),
    Condition("area errors of 20 %", replace(CLEAN, gain=0.2)),
    Condition("300 false peaks", replace(CLEAN, n_false=300)),
    Condition("3 regions cut out", replace(CLEAN, n_cut=3)),
)


def _plain(name: str) -> str:
    """Return a name without the number of the entry and without what a spectrum cannot tell."""
    name = re.sub(r"\s*\(\d+\)$", "", name.lower()).replace("-", " ")
    return re.sub(r"^(d|l|dl|r|s) ", "", name)  # mirror images


@lru_cache(maxsize=1)
def _entries() -> tuple[Compounds, np.ndarray, np.ndarray]:
    """Return the real table, and the group and the plain name of each entry."""
    both = read_compounds(REAL).compounds
    return both, equivalent_compounds(both, FULL_AXIS), np.array(list(map(_plain, both.names)))


def _libraries(kind: str, seed: int, same_compounds: bool = False) -> tuple[Compounds, Compounds]:
    """Return a library, and compounds that it does not hold.

    The real table has several entries of some compounds ("Myo-inositol", "Myo-Inositol (2)"). An
    entry with the name of one of the library, or equivalent to it, is not unknown: no method can
    tell the two apart. They are left out unless `same_compounds`.
    """
    rng = np.random.default_rng(seed)
    if kind == "synthetic":
        return held_and_others(SyntheticConfig(COMPOUNDS), rng)
    both, groups, names = _entries()
    chosen = rng.permutation(both.n_compounds)
    known, others = np.sort(chosen[:COMPOUNDS]), np.sort(chosen[COMPOUNDS:])
    if not same_compounds:
        is_same = np.isin(groups[others], groups[known]) | np.isin(names[others], names[known])
        others = others[~is_same]
    return both.select(known.tolist()), both.select(others.tolist())


def _moved(peaks: Peaks, offset: float) -> Peaks:
    return Peaks.from_lines(peaks.ppm + offset, peaks.areas, peaks.axis) if offset else peaks


def _add(score: Score, mixture: PeakMixture, found: Identification) -> tuple[int, int]:
    """Score a prediction; return how many groups have `SURE` or more, and how many are wrong."""
    first = found.first_of_group == np.arange(found.compounds.n_compounds)
    score.add(
        mixture,
        found.compounds,
        found.groups,
        np.isin(found.groups, found.groups[found.named]),
        np.where(first, np.nan_to_num(found.amounts), 0.0),
        found.probabilities,
    )
    sure = highest_of_group(found.groups, found.probabilities) >= SURE
    return int(sure.sum()), int((sure & ~in_groups(found.groups, mixture.present)).sum())


def of_library(kind: str, seed: int, condition: Condition, tuned: Tuned) -> dict:
    """Return the scores of one condition on the mixtures of a library."""
    known, others = _libraries(kind, seed, condition.same_compounds)
    axis = replace(FULL_AXIS, mhz=condition.mhz)
    detector = Detector(known, axis=axis)
    squares = LeastSquares(known, axis=axis, **tuned.setting)
    network, classical, same, sure = Score(), Score(), Score(), np.zeros(2, dtype=int)
    for k in range(MIXTURES):
        rng = np.random.default_rng([seed, 1, k])
        mixture = draw_mixture(known, condition.recipe, rng, axis, others)
        peaks = _moved(mixture.peaks, condition.offset)
        found = detector.identify(peaks)
        sure += _add(network, mixture, found)
        if k < CLASSICAL:
            _add(same, mixture, found)
            amounts = squares(peaks)
            groups = detector.groups
            classical.add(mixture, known, groups, named(known, amounts, tuned.threshold), amounts)
    return {"network": network, "classical": classical, "same": same, "sure": sure}


def of_noise(kind: str, seed: int) -> list[dict]:
    """Return what is named in lists of random peaks."""
    detector, rows = Detector(_libraries(kind, seed)[0]), []
    for k in range(5):
        rng = np.random.default_rng([seed, 2, k])
        ppm = rng.uniform(0.5, 9.0, NOISE_PEAKS)
        found = detector.identify(Peaks.from_lines(ppm, rng.lognormal(0.0, 1.0, NOISE_PEAKS)))
        likely = found.probabilities >= found.threshold
        rows.append(
            {
                "named": len(found.named),
                "groups at the threshold or above": len(np.unique(found.groups[likely])),
                "highest": float(found.probabilities.max()),
                "said to be outside": bool(found.outside),
            }
        )
    return rows


def _tuned(seed: int) -> Tuned:
    library = synthetic_compounds(SyntheticConfig(COMPOUNDS), np.random.default_rng(seed))
    library = library.select(
        np.unique(equivalent_compounds(library, FULL_AXIS), return_index=True)[1].tolist()
    )
    make, settings = SETTINGS["least squares"]
    mixtures = [draw_mixture(library, CLEAN, np.random.default_rng([seed, 1, k])) for k in range(6)]
    return tune(make, settings, library, {CLEAN.jitter: mixtures})[0]


def run(seeds: tuple[int, ...] = SEEDS) -> dict:
    """Return a row for each library and condition, and what is named in noise."""
    # Only the real table has several entries of one compound.
    conditions = {"synthetic": [c for c in CONDITIONS if not c.same_compounds]}
    if REAL.is_file():
        conditions = {"real": list(CONDITIONS)} | conditions
    tuned = _tuned(DEVELOPMENT[0])
    calls: list[tuple[Callable, tuple]] = [
        (of_library, (kind, seed, condition, tuned))
        for kind in conditions
        for condition in conditions[kind]
        for seed in seeds
    ]
    calls += [(of_noise, (kind, seed)) for kind in conditions for seed in seeds]
    results = iter(run_all(calls, "library"))
    table, noise = [], []
    for kind in conditions:
        for condition in conditions[kind]:
            parts = [next(results) for _ in seeds]
            whole = sum((part["network"] for part in parts), Score()).summary()
            sure, wrong = sum(part["sure"] for part in parts)
            row = {"library": kind, "disturbance": condition.name, "F1": whole["f1"]}
            row["95 % interval"] = whole["f1_interval"]
            row |= {name: whole[name] for name in ("precision", "recall")}
            row["amount error"] = whole.get("strong_amount_error")
            row["calibration error"] = whole["calibration_error"]
            row["wrong of those at .9 or more"] = f"{wrong} of {sure}"
            same = sum((part["same"] for part in parts), Score()).summary()
            least = sum((part["classical"] for part in parts), Score()).summary()
            row["F1 on the mixtures of least squares"] = same["f1"]
            row["F1 of least squares"] = least["f1"]
            table.append(row)
    for kind in conditions:
        rows = [row for _ in seeds for row in next(results)]
        noise.append(
            {
                "library": kind,
                "lists": len(rows),
                "named": sum(row["named"] for row in rows),
                "at the threshold or above, before the check": sum(
                    row["groups at the threshold or above"] for row in rows
                ),
                "highest probability": round(max(row["highest"] for row in rows), 3),
                "said to be outside": sum(row["said to be outside"] for row in rows),
            }
        )
    return {
        "title": "Full scale outside clean lists of peaks",
        "notes": [
            f"50 to 100 of {COMPOUNDS} compounds, shift jitter {CLEAN.jitter:g} ppm,"
            f" {MIXTURES} mixtures of each of {len(seeds)} libraries a row, one disturbance at a"
            " time. Neither training nor development used these libraries; the training had all"
            " disturbances but the offset. Of the entries that a library does not hold, those with"
            " the name of one that it holds (number and mirror image ignored), or equivalent to"
            " one, are left out but in the row that says so. Least squares:"
            f" {tuned.setting}, threshold {tuned.threshold:.2g}, from undisturbed development"
            f" mixtures; {CLASSICAL} mixtures of each library.",
            f"Noise: lists of {NOISE_PEAKS} peaks at random places with log-normal areas.",
        ],
        "table": table,
        "noise": noise,
    }
