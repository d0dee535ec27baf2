import io
import zipfile

import numpy as np
import pytest

from nmrclassify.evaluation.identify import Detector
from nmrclassify.mixtures import pure_spectra
from nmrclassify.mixtures.peaks import Peaks
from nmrclassify.mixtures.pure_spectra import (
    GAP,
    USUAL_PROTONS,
    groups_of_lines,
    pure_compound,
    read_libraries,
)
from nmrclassify.mixtures.rendered import RenderConfig, render
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.compound_files import common_metabolites
from nmrclassify.nmr.compounds import joined

TABLE = "compound,ppm,kind,j_hz,protons\nlactate,1.32,d,6.9,3\nformate,8.44,s,,1\n"
MULTIPLETS = "ppm,kind,j_hz,protons\n1.48,d,7.2,3\n3.78,q,7.2,1\n"
LINES = "ppm,area\n1.326,15\n1.314,15\n4.121,1.25\n4.109,3.75\n4.098,3.75\n4.086,1.25\n"


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)
    return folder


def zipped(files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


def spectrum_text(name, seed=0):
    """A rendered spectrum of one metabolite with a reference compound, as a CSV table."""
    config = RenderConfig(
        n_low=1, n_high=1, decades=0.0, jitter=0.0, common=0.0, mhz_low=600.0, mhz_high=600.0,
        snr_low=1000.0, snr_high=1000.0, water=0.0, standard=1.0, offset=0.05, seconds=2.0,
    )  # fmt: skip
    table = common_metabolites()
    spectrum = render(table.select([table.names.index(name)]), config, seed).spectrum
    rows = zip(spectrum.ppm.tolist(), spectrum.heights.tolist(), strict=True)
    return "ppm,intensity\n" + "".join(f"{x:.6f},{y:.6g}\n" for x, y in rows)


def test_the_groups_are_divided_at_gaps_and_lose_what_is_weak():
    hz = np.array([0.0, 7.0, 7 + GAP, 28 + GAP, 200.0, 207.0, 214.0, 900.0])
    areas = np.array([1.0, 2.0, 3.0, 1.0, 0.9, 1.0, 0.02, 0.01])
    groups = groups_of_lines(hz, areas)
    assert [places.tolist() for places, _ in groups] == [[0, 7, 27], [48], [200, 207]]
    assert [sizes.tolist() for _, sizes in groups] == [[1, 2, 3], [1], [0.9, 1]]


def test_a_group_of_too_many_lines_is_divided_at_its_widest_gap():
    hz = np.arange(80) * 3.0
    hz[30:] += 4
    assert [len(places) for places, _ in groups_of_lines(hz, np.ones(80))] == [30, 50]


def test_a_pure_compound_has_the_lines_of_its_peaks():
    ppm, areas = np.array([1.314, 1.326, 4.086, 4.098]), np.array([3.0, 3.0, 1.0, 1.0])
    compound = pure_compound("x", Peaks.from_lines(ppm, areas), protons=4.0)
    assert compound.protons == pytest.approx([3, 1])
    assert compound.line_ppm(600.0) == pytest.approx(ppm, abs=FULL_AXIS.width)
    # At another frequency, the groups keep their ppm and their inner distances in Hz.
    assert compound.line_ppm(300.0) == pytest.approx([1.308, 1.332, 4.080, 4.104], abs=2e-4)
    assert pure_compound("x", Peaks.from_lines(ppm, areas)).total_protons == USUAL_PROTONS
    with pytest.raises(ValueError, match="protons of 'x' are 0; expected a number above 0"):
        pure_compound("x", Peaks.from_lines(ppm, areas), protons=0.0)


def test_a_spectrum_with_too_many_groups_is_refused():
    peaks = Peaks.from_lines(np.linspace(0, 10, 100), np.ones(100))
    with pytest.raises(ValueError, match="100 groups of lines; expected at most 64"):
        pure_compound("x", peaks)


def test_a_folder_may_hold_tables_spectra_peak_lists_and_multiplets(tmp_path):
    files = {"library": TABLE, "alanine": MULTIPLETS, "lactate (4H)": LINES}
    folder = write(tmp_path / "pure", **files, glycine=spectrum_text("glycine"))
    (folder / "notes.md").write_text("not a spectrum")
    reading = read_libraries([folder])
    compounds = reading.compounds
    assert set(compounds.names) == {"formate", "alanine", "glycine", "lactate"}
    protons = dict(zip(compounds.names, compounds.total_protons, strict=True))
    assert protons == pytest.approx({"formate": 1, "alanine": 4, "glycine": 6, "lactate": 4})
    assert compounds.select([compounds.names.index("alanine")]).given == ()
    glycine = compounds.select([compounds.names.index("glycine")])
    assert glycine.ppm == pytest.approx([3.55], abs=0.01)
    # What a pure spectrum has replaced is told.
    (problem,) = reading.problems
    assert (problem.file, problem.row, problem.dropped) == ("library.csv", None, True)
    assert "'lactate' is left out, because lactate (4H).csv has it" in problem.text
    assert set(reading.notes) == {"alanine", "glycine", "lactate"}
    assert "count as 4 protons" in reading.notes["lactate"]
    assert "No number of protons is stated: they count as 6." in reading.notes["glycine"]


@pytest.mark.parametrize("prefix", ["", "pure/", "a/b/"])
def test_an_archive_is_read_like_a_folder(prefix, tmp_path):
    files = {"alanine.csv": MULTIPLETS, "lactate.csv": LINES, ".hidden.csv": "x", "__MACOSX": "x"}
    content = zipped({prefix + name: text for name, text in files.items()})
    assert set(read_libraries([("pure.zip", content)]).compounds.names) == {"alanine", "lactate"}
    (tmp_path / "pure.zip").write_bytes(content)
    assert read_libraries([tmp_path / "pure.zip"]).compounds.n_compounds == 2


@pytest.mark.parametrize("place", ["", "10/", "10/pdata/1/"])
def test_the_folder_of_an_experiment_is_one_compound(place, tmp_path, monkeypatch):
    for name in ("alanine", "lactate"):
        experiment = tmp_path / name / place
        experiment.mkdir(parents=True)
        (experiment / "fid").touch()
        (experiment / "acqus").touch()
    read = []

    def sample(source):
        read.append(source)
        ppm = np.array([float(len(source.name)), 4.0])
        return pure_spectra.peak_files.PeakSample(Peaks.from_lines(ppm, np.ones(2)), "Read.")

    monkeypatch.setattr(pure_spectra.peak_files, "read_sample", sample)
    assert read_libraries([tmp_path]).compounds.names == ("alanine", "lactate")
    assert read == [tmp_path / "alanine", tmp_path / "lactate"]


def test_files_that_cannot_be_read_are_left_out_with_a_reason(tmp_path):
    folder = write(tmp_path / "pure", alanine=MULTIPLETS, bad="x,y\n1,2\n")
    (folder / "empty.zip").write_bytes(b"")
    reading = read_libraries([folder, tmp_path / "missing.csv"])
    assert reading.compounds.names == ("alanine",)
    texts = {problem.file: problem.text for problem in reading.problems if problem.dropped}
    assert set(texts) == {"bad.csv", "empty.zip", "missing.csv"}
    assert "no such file" in texts["missing.csv"]
    with pytest.raises(ValueError, match="column 'ppm' is missing"):
        read_libraries([folder / "bad.csv"])


def test_the_same_name_twice_is_reported():
    reading = read_libraries([("a.csv", MULTIPLETS.encode()), ("a (4H).csv", LINES.encode())])
    assert reading.compounds.n_multiplets == 2
    assert "a.csv has the compound 'a', too" in reading.problems[0].text


def test_the_number_of_files_is_bounded(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"there are 0 files of compounds; expected 1 to 500: "):
        read_libraries([tmp_path / "empty"])
    with pytest.raises(ValueError, match="there are 3 files of compounds; expected 1 to 2"):
        read_libraries([(f"{k}.csv", MULTIPLETS.encode()) for k in range(3)], max_files=2)


def test_progress_reaches_the_number_of_files():
    told = []
    files = [(f"{k}.csv", MULTIPLETS.encode()) for k in range(3)]
    read_libraries(files, progress=lambda *counts: told.append(counts))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_compounds_are_found_by_their_pure_spectra_among_those_of_a_table():
    names = ("isoleucine", "lactate")
    table = common_metabolites()
    reading = read_libraries([(f"{name}.csv", spectrum_text(name).encode()) for name in names])
    others = [k for k, name in enumerate(table.names) if name not in names]
    library = joined([table.select(others), reading.compounds])
    mixture = joined([table.select([table.names.index(name)]) for name in names])
    peaks = Peaks.from_lines(mixture.line_ppm(600.0) + 0.005, mixture.areas)
    found = Detector(library).identify(peaks)
    assert {library.names[k] for k in found.named} == set(names)
    for name in names:
        truth = table.total_protons[table.names.index(name)] / USUAL_PROTONS
        assert found.amounts[library.names.index(name)] == pytest.approx(truth, rel=0.1)


def test_text_of_papers_is_a_library_and_takes_the_name_of_its_file_where_it_has_none():
    line = "1H NMR (400 MHz, D2O) δ 4.10 (q, J = 6.9 Hz, 1H), 1.32 (d, J = 6.9 Hz, 3H)"
    files = [("lactate.txt", line.encode()), ("more.txt", f"a: {line}\nb: {line}\n".encode())]
    reading = read_libraries(files)
    assert reading.compounds.names == ("lactate", "a", "b")
    assert not reading.problems


def test_names_that_differ_by_case_are_one_compound_of_several_files():
    files = [("Lactate.csv", MULTIPLETS.encode()), ("lactate.csv", MULTIPLETS.encode())]
    reading = read_libraries([*files, ("table.csv", TABLE.replace("lactate", "LACTATE").encode())])
    assert reading.compounds.names == ("formate", "Lactate")
    assert [p.text for p in reading.problems] == [
        "Lactate.csv has the compound 'lactate', too; rename one of the files",
        "compound 'LACTATE' is left out, because Lactate.csv has it",
    ]


def test_a_damaged_archive_is_left_out_and_named(tmp_path):
    good = zipped({"ala.csv": MULTIPLETS})
    sources = [("bad.zip", good[:40] + bytes(40) + good[80:]), ("more.csv", TABLE.encode())]
    reading = read_libraries(sources)
    assert set(reading.compounds.names) == {"lactate", "formate"}
    (problem,) = [p for p in reading.problems if p.file == "bad.zip"]
    assert problem.dropped
    with pytest.raises(ValueError, match=r"bad\.zip: "):
        read_libraries(sources[:1])


def test_an_archive_with_damaged_lzma_data_is_refused_in_a_sentence():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("ala.csv", MULTIPLETS * 20)
    data = bytearray(content.getvalue())
    data[60:70] = bytes(10)
    with pytest.raises(ValueError, match="cannot be unpacked|unpacks to"):
        read_libraries([("bad.zip", bytes(data))])
