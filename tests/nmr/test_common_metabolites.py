"""The table of common metabolites: its form, and its shifts beside an independent table."""

import csv
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import nmrclassify
from nmrclassify.evaluation.identify import Detector
from nmrclassify.evaluation.peak_metrics import Tally
from nmrclassify.files.tables import csv_text
from nmrclassify.mixtures.peaks import PeakMixtureConfig, draw_mixture
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.compound_files import common_metabolites, read_compounds
from nmrclassify.nmr.equivalent_compounds import equivalent_compounds

TABLE = Path(nmrclassify.__file__).parent / "data" / "common_metabolites.csv"
INDEPENDENT = Path(__file__).parents[3] / "shared" / "data" / "gissmo_first_order_multiplets.csv"
HEADER = ["compound", "ppm", "kind", "j_hz", "protons", "reference"]
LETTERS = re.compile(r"quint|sext|sept|[dtq]")
REFERENCES = (r"BMRB bmse\d{6}", r"HMDB\d{7}", r"[A-Z]\w+ (19|20)\d\d, [A-Z][\w ]+ \d+:\d+")

# What the independent table calls them, where its name is not ours with "-ic acid" for "-ate" and
# D, L or DL before it.
ALIASES = {
    "4-aminobutyrate": ["gamma-aminobutyric acid"],
    "3-aminoisobutyrate": ["DL-3-aminoisobutyric acid"],
    "dimethylglycine": ["N-N-dimethylglycine"],
    "guanidinoacetate": ["guanidineacetic acid"],
    "2-hydroxybutyrate": ["2-hydroxybutanoic acid"],
    "niacinamide": ["nicotinamide"],
    "nicotinate": ["niacin"],
    "2-oxobutyrate": ["2-ketobutyric acid"],
    "2-oxoglutarate": ["alpha-ketoglutaric acid"],
    "2-oxoisocaproate": ["4-methyl-2-oxovaleric acid"],
    "phosphoethanolamine": ["2-aminoethyl-dihydrogen-phosphate"],
    "propylene glycol": ["1-2-propanediol"],
    "pyroglutamate": ["R-(+)-2-pyrrolidinone-5-carboxylate"],
    "glutathione": ["L-glutathione reduced"],
    "glucose": ["(+/-)-glucose"],
    "acetylcarnitine": ["acetyl-L-carnitine"],
    "N-tau-methylhistidine": ["Ntau-methyl-L-histidine"],
    "putrescine": ["putrescine (1,4 diaminobutane)"],
    "N-acetylaspartate": ["N-acetyl-L-aspartic acid"],
    "tartrate": ["L-tartaric acid"],
    "trans-4-hydroxyproline": ["trans-4-hydroxy-L-proline"],
}
# Tyrosine is measured there as the phenolate, hypoxanthine as the anion: at high pH, where ours are
# at pH 7.
OTHER_PH = {"tyrosine", "hypoxanthine"}
# The fits there give protons that symmetry or fast rotation makes equivalent two shifts each, 2 to
# 11 Hz apart; our row is at their mean.
AVERAGED = {
    "dimethylglycine",
    "ethanolamine",
    "glutarate",
    "glutathione",
    "guanidinoacetate",
    "hippurate",
    "sucrose",
}
# Where the first-order lines there are not those of a measured spectrum, our rows keep the pattern
# that is measured. The CH2 of the first two is a singlet: 12.4 Hz between two protons 2 to 4 Hz
# apart moves no line. Nicotinate has no coupling over four bonds there, propionate's CH3 two
# different ones to the same CH2.
OTHER_LINES = ("dimethylglycine", "guanidinoacetate", "nicotinate", "propionate")
needs_independent = pytest.mark.skipif(
    not INDEPENDENT.exists(), reason="the independent table, shared/data, is not here"
)


def table():
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def couplings(row):
    return [float(j) for j in row["j_hz"].split(";")] if row["j_hz"] else []


def key(name):
    """Reduce a name: no case, configuration, punctuation or state of protonation."""
    name = re.sub(r"^(dl|d|l|r)-", "", name.lower())
    return re.sub(r"[^a-z0-9]", "", re.sub(r"ic[- ]acid$", "ate", name))


def test_there_are_at_least_sixty_compounds_under_the_stated_header():
    with TABLE.open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == HEADER
    assert len({row["compound"] for row in table()}) >= 60


def test_rows_of_a_compound_stand_together_once_each():
    rows = [tuple(row.values()) for row in table()]
    assert [row for row, n in Counter(rows).items() if n > 1] == []
    blocks = [name for i, (name, *_) in enumerate(rows) if i == 0 or rows[i - 1][0] != name]
    assert len(blocks) == len({name.lower() for name in blocks})


@pytest.mark.parametrize("row", table(), ids=lambda row: f"{row['compound']} {row['ppm']}")
def test_every_row_can_be_drawn_and_looked_up(row):
    assert row["compound"] == row["compound"].strip() != ""
    assert -0.5 <= float(row["ppm"]) <= 10
    assert float(row["protons"]) > 0
    assert any(re.fullmatch(form, row["reference"]) for form in REFERENCES)
    hz = couplings(row)
    assert all(0 < j <= 20 for j in hz)
    if row["kind"] in ("s", "br s"):
        assert hz == []
    elif row["kind"] != "m":
        groups = LETTERS.findall(row["kind"])
        assert "".join(groups) == row["kind"]
        assert len(hz) == len(groups)


def test_protons_of_a_compound_add_up():
    totals = defaultdict(float)
    for row in table():
        totals[row["compound"]] += float(row["protons"])
    for name, total in totals.items():
        assert 1 <= total <= 40, name
        assert total == pytest.approx(round(total), abs=1e-6), name
    assert {
        name: totals[name] for name in ("glucose", "sucrose", "ethanol", "valine")
    } == pytest.approx({"glucose": 7, "sucrose": 14, "ethanol": 5, "valine": 8})


def test_one_reference_per_compound():
    references = defaultdict(set)
    for row in table():
        references[row["compound"]].add(row["reference"])
    assert {name: found for name, found in references.items() if len(found) > 1} == {}


def independent():
    with INDEPENDENT.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def cited(reference):
    """Return the entry that a reference of ours cites, or ""."""
    return reference.removeprefix("BMRB ") if reference.startswith("BMRB ") else ""


def of_entries(names):
    """Return the entries that compounds of ours cite, as a library under our names."""
    entries = {row["compound"]: cited(row["reference"]) for row in table()}
    rows = pd.DataFrame(independent())
    parts = [
        rows[rows.gissmo_id == entry].assign(gissmo_id=name, name=name)
        for name, entry in entries.items()
        if entry and name in names
    ]
    return read_compounds(csv_text(pd.concat(parts))).compounds


@needs_independent
def test_shifts_agree_with_an_independent_table():
    # Each compound is held against every entry of its name; one entry must have all its multiplets
    # within .03 ppm.
    entries = defaultdict(lambda: defaultdict(list))
    for row in independent():
        entries[key(row["name"])][row["gissmo_id"]].append(float(row["ppm"]))
    ours = defaultdict(list)
    for row in table():
        ours[row["compound"]].append(float(row["ppm"]))
    worst = {}
    for name, shifts in ours.items():
        found = [
            shifts_there
            for alias in [name, *ALIASES.get(name, [])]
            for shifts_there in entries[key(alias)].values()
        ]
        if found and name not in OTHER_PH:
            worst[name] = min(
                max(min(abs(ppm - x) for x in there) for ppm in shifts) for there in found
            )
    unmatched = sorted(set(ours) - set(worst))
    print(
        f"{len(worst)} of {len(ours)} matched, {sum(len(ours[name]) for name in worst)} multiplets;"
        f" largest deviation {max(worst.values()):.3f} ppm ({max(worst, key=worst.get)}); not"
        f" matched: {', '.join(unmatched)}"
    )
    assert len(worst) >= 40
    assert {name: round(value, 3) for name, value in worst.items() if value > 0.03} == {}
    assert set(ALIASES) <= set(worst)


def test_no_multiplet_is_a_hump_where_couplings_are_published():
    humps = {row["compound"] for row in table() if row["kind"] == "m" and not row["j_hz"]}
    assert humps == {"galactose"}
    resolved = common_metabolites().rows(
        np.flatnonzero([lines.resolved for lines in common_metabolites().lines])
    )
    assert {"leucine", "lysine", "arginine", "ornithine", "proline", "citrulline"} <= set(
        resolved.names
    )


@needs_independent
def test_rows_that_cite_an_entry_have_its_shifts():
    there = defaultdict(list)
    for row in independent():
        there[row["gissmo_id"]].append(float(row["ppm"]))
    ours = defaultdict(list)
    for row in table():
        if there[cited(row["reference"])]:
            assert re.fullmatch(r"\d+\.\d{3}", row["ppm"]), row
            ours[row["compound"], cited(row["reference"])].append(float(row["ppm"]))
    assert sum(map(len, ours.values())) >= 400
    off = {}
    for (name, entry), shifts in ours.items():
        # Both ways: no row is off, and no multiplet of the entry is missing.
        distances = np.abs(np.subtract.outer(shifts, there[entry]))
        off[name] = max(distances.min(axis=0).max(), distances.min(axis=1).max())
    wrong = {
        name: round(float(ppm), 4)
        for name, ppm in off.items()
        if ppm > (0.0075 if name in AVERAGED else 0.0006)
    }
    assert wrong == {}
    assert set(OTHER_LINES) | AVERAGED <= set(off)


def f1(reference, mixtures_of, library):
    """Return the F1 of a library on mixtures of the compounds of another, which it names alike."""
    detector, counts = Detector(library), []
    groups = dict(zip(library.names, detector.groups.tolist(), strict=True))
    config = PeakMixtureConfig(n_low=5, n_high=20, jitter=0.0)
    for seed, number in mixtures_of:
        mixture = draw_mixture(reference, config, np.random.default_rng([seed, number]))
        found = detector.identify(mixture.peaks)
        named = {groups[library.names[k]] for k in found.named}
        present = {groups[reference.names[k]] for k in mixture.present}
        counts.append((len(named & present), len(named), len(present)))
    return Tally(*map(int, np.sum(counts, axis=0))).f1


@needs_independent
def test_mixtures_of_the_cited_entries_are_identified():
    """Mixtures from the lines of the entries; our table and the entries themselves identify them.

    With the lines of `OTHER_LINES`, and with these compounds left out.
    """
    seeds = [(seed, number) for seed in range(1, 6) for number in range(20)]
    entries = of_entries({row["compound"] for row in table()})
    of_spectra = [k for k, name in enumerate(entries.names) if name not in OTHER_LINES]
    every = f1(entries, seeds, common_metabolites())
    measured = f1(entries.select(of_spectra), seeds, common_metabolites())
    own = f1(entries, seeds, entries)
    print(
        f"F1 of 5 to 20 of {entries.n_compounds} compounds, seeds 1 to 5: {every:.3f}; without"
        f" {', '.join(OTHER_LINES)}: {measured:.3f}; with the entries' own table: {own:.3f}"
    )
    assert every >= 0.96
    assert measured >= 0.97
    assert own >= 0.98


def test_the_table_is_read_without_a_problem_and_tells_which_compounds_are_alike():
    reading = read_compounds(TABLE)
    assert all(
        "the closest are merged" in p.text or "as a hump" in p.text for p in reading.problems
    )
    assert not any(p.dropped for p in reading.problems)
    compounds = reading.compounds
    assert compounds.n_multiplets == len(table())
    assert set(compounds.names) == {row["compound"] for row in table()}
    groups = defaultdict(list)
    for name, group in zip(
        compounds.names, equivalent_compounds(compounds, FULL_AXIS), strict=False
    ):
        groups[group].append(name)
    print(
        "cannot be told apart:",
        "; ".join(", ".join(names) for names in groups.values() if len(names) > 1) or "none",
    )
