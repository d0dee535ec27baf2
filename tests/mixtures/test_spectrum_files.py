"""Every format with the same spectrum, whose lines are known; and damaged and hostile files."""

import base64
import io
import json
import re
import struct
import zipfile
import zlib

import numpy as np
import pytest

from nmrclassify.cli import main
from nmrclassify.mixtures import spectrum_files
from nmrclassify.mixtures.peak_files import read_sample
from nmrclassify.mixtures.processing_recipe import ProcessingRecipe
from nmrclassify.mixtures.spectrum import FID_STEP, SpectrumError, transform_fid
from nmrclassify.mixtures.spectrum_files import is_instrument_file, read_spectrum

MHZ, WIDTH, CARRIER = 500.13, 8000.0, 4.7  # Hz, ppm
LINES = {8.44: 1.0, 4.11: 0.6, 1.33: 2.0}
N = 4096
BF1 = 500.13
SFO1 = BF1 + CARRIER * BF1 * 1e-6


def fid(phase=0.0, delay=0.0, sign=1):
    """Of lines 1 Hz wide; frequencies rise with ppm."""
    t = (np.arange(N) - delay) / WIDTH
    signal = sum(
        a * np.exp(2j * np.pi * sign * (ppm - CARRIER) * MHZ * t) * np.exp(-np.pi * np.abs(t))
        for ppm, a in LINES.items()
    )
    return 1e6 * signal * np.exp(1j * np.deg2rad(phase))


def processed():
    """The spectrum as absorption lines, from high to low ppm."""
    ppm = CARRIER + (0.5 - np.arange(N) / N) * WIDTH / MHZ
    heights = sum(a / (1 + ((ppm - c) * MHZ / 2.0) ** 2) for c, a in LINES.items())
    return ppm, 1e6 * heights


def parameters(**values):
    return "".join(f"##${k}= {v}\n" for k, v in values.items()) + "##END=\n"


ACQUS = {"BF1": BF1, "SFO1": SFO1, "O1": CARRIER * BF1, "SW_h": WIDTH, "TD": 2 * N, "BYTORDA": 0}
ACQUS |= {"DTYPA": 0, "AQ_mod": 3, "NUC1": "<1H>", "SOLVENT": "<D2O>", "PULPROG": "<zg30>"}
ACQUS |= {"TE": 298.1, "NS": 16, "PARMODE": 0}


def bruker_fid(folder, values, **changes):
    folder.mkdir(parents=True)
    (folder / "acqus").write_text("##TITLE= test\n" + parameters(**(ACQUS | changes)))
    pairs = np.stack([values.real, values.imag], -1).ravel()
    (folder / "fid").write_bytes(np.round(pairs).astype("<i4").tobytes())
    return folder


def bruker_processed(folder):
    ppm, heights = processed()
    place = folder / "10" / "pdata" / "1"
    place.mkdir(parents=True)
    (folder / "10" / "acqus").write_text(parameters(**ACQUS))
    stated = {"SF": MHZ, "OFFSET": ppm[0], "SW_p": WIDTH, "SI": N, "NC_proc": 0, "BYTORDP": 0}
    (place / "procs").write_text(parameters(**stated, XDIM=0, DTYPP=0, FTSIZE=N))
    (place / "1r").write_bytes(np.round(heights).astype("<i4").tobytes())
    return folder


def zipped(folder):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder.parent))
    return file.getvalue()


def jcamp(unit="PPM", packing="affn", **more):
    ppm, heights = processed()
    x = ppm if unit == "PPM" else ppm * MHZ
    y = np.round(heights).astype(int)
    head = {"TITLE": "test", "JCAMP-DX": "5.01", "DATA TYPE": "NMR SPECTRUM", "XUNITS": unit}
    head |= {"YUNITS": "ARBITRARY UNITS", "FIRSTX": x[0], "LASTX": x[-1], "NPOINTS": N}
    head |= {"XFACTOR": 1, "YFACTOR": 2.0, ".OBSERVE FREQUENCY": MHZ, ".OBSERVE NUCLEUS": "^1H"}
    rows = [
        f"{k} "
        + (
            difference(y[k : k + 16], y[k - 1] if k else None)
            if packing == "dif"
            else (" " + " ".join(map(str, y[k : k + 16])))
        )
        for k in range(0, N, 16)
    ]
    head |= more
    text = "".join(f"##{key}= {value}\n" for key, value in head.items())
    return (text + "##XYDATA= (X++(Y..Y))\n" + "\n".join(rows) + "\n##END=\n").encode()


def jcamp_fid(values=None, unit="SECONDS", pages="RI", **more):
    values = fid(phase=35) if values is None else values
    last = (N - 1) / WIDTH
    head = {"TITLE": "test", "JCAMP-DX": "6.0", "DATA TYPE": "NMR FID", "DATA CLASS": "NTUPLES"}
    head |= {".OBSERVE FREQUENCY": MHZ, ".OBSERVE NUCLEUS": "^1H", "SYMBOL": "X, R, I, N"}
    head |= {"VAR_TYPE": "INDEPENDENT, DEPENDENT, DEPENDENT, PAGE", "VAR_DIM": f"{N}, {N}, {N}, 2"}
    head |= {"UNITS": f"{unit}, ARBITRARY UNITS, ARBITRARY UNITS, ", "FIRST": "0, 0, 0, 1"}
    head |= {"LAST": f"{last}, 0, 0, 2", "FACTOR": "1, 2.0, 2.0, 1"} | more
    text = "".join(f"##{key}= {value}\n" for key, value in head.items()) + "##NTUPLES= NMR FID\n"
    for k, page in enumerate(pages):
        y = np.round(values.real if page == "R" else values.imag).astype(int)
        rows = "\n".join(f"{a} " + " ".join(map(str, y[a : a + 16])) for a in range(0, N, 16))
        table = f"##PAGE= N={k + 1}\n##DATA TABLE= (X++({page}..{page})), XYDATA\n"
        text += f"{table}{rows}\n"
    return (text + "##END NTUPLES= NMR FID\n##END=\n").encode()


SQZ = {**dict(zip("0123456789", "@ABCDEFGHI", strict=True)), "-": dict(enumerate(" abcdefghi"))}
DIF = {**dict(zip("0123456789", "%JKLMNOPQR", strict=True)), "-": dict(enumerate(" jklmnopqr"))}


def packed(value, table):
    digits = str(abs(value))
    first = table["-"][int(digits[0])] if value < 0 else table[digits[0]]
    return first + digits[1:]


def difference(values, before):
    """A line of DIF form: the first value, and then differences; each line but the first repeats
    the last value of the line before, as a check."""
    values = list(map(int, values)) if before is None else [int(before), *map(int, values)]
    return packed(values[0], SQZ) + "".join(
        packed(b - a, DIF) for a, b in zip(values[:-1], values[1:], strict=True)
    )


def nmrml(compressed=True, form="float64", dtype="<f8", extra=""):
    ppm, heights = processed()
    data = heights.astype(dtype).tobytes()
    text = base64.b64encode(zlib.compress(data) if compressed else data).decode()
    return f"""<?xml version="1.0" encoding="UTF-8"?>{extra}
<nmrML xmlns="http://nmrml.org/schema" version="v1.0.rc1">
<acquisition><acquisition1D><acquisitionParameterSet>
<irradiationFrequency value="{MHZ * 1e6}" unitName="hertz"/><sweepWidth value="{WIDTH}"/>
</acquisitionParameterSet></acquisition1D></acquisition>
<spectrumList><spectrum1D><spectrumDataArray compressed="{"zlib" if compressed else "false"}"
 encodedLength="{len(text)}" byteFormat="{form}">{text}</spectrumDataArray>
<xAxis unitName="ppm" startValue="{ppm[0]}" endValue="{ppm[-1]}"/></spectrum1D></spectrumList>
</nmrML>""".encode()


def varian(folder):
    """A file header of 32 bytes, a block header of 28 bytes, and floats."""
    folder.mkdir()
    values = np.conj(fid(phase=20))
    data = np.stack([values.real, values.imag], -1).ravel().astype(">f4").tobytes()
    head = struct.pack(">6i2hi", 1, 1, 2 * N, 4, len(data), len(data) + 28, 0, 0x1 | 0x8 | 0x10, 1)
    block = struct.pack(">4hi4f", 0, 0x1 | 0x8 | 0x10, 1, 0, 1, 0.0, 0.0, 0.0, 0.0)
    (folder / "fid").write_bytes(head + block + data)
    right = CARRIER * MHZ - WIDTH / 2  # Hz of the right edge
    real = {"sw": WIDTH, "sfrq": SFO1, "reffrq": MHZ, "rfl": -right, "rfp": 0.0, "temp": 25.0}
    lines = [f"{k} 1 1 1 0 0 2 1 0 1 64\n1 {v}\n0\n" for k, v in (real | {"np": 2 * N}).items()]
    lines += [f'{k} 2 2 8 0 0 2 1 0 1 64\n1 "{v}"\n0\n' for k, v in {"tn": "H1"}.items()]
    (folder / "procpar").write_text("".join(lines))
    return folder


def nmrpipe():
    import nmrglue as ng

    universal = ng.fileiobase.create_blank_udic(1)
    universal[0] |= {"size": N, "complex": False, "sw": WIDTH, "obs": MHZ, "car": CARRIER * MHZ}
    universal[0] |= {"time": False, "freq": True, "encoding": "direct", "label": "1H"}
    return ng.pipe.create_dic(universal), processed()[1].astype("float32")


def check(spectrum, apart=2.0, heights=True):
    """The lines stand where they are, with their heights, over a flat baseline."""
    ppm, y = spectrum.ppm, spectrum.heights
    assert (np.diff(ppm) > 0).all()
    assert spectrum.mhz == pytest.approx(MHZ, abs=0.01)
    step = ppm[1] - ppm[0]
    found = []
    for centre, area in LINES.items():
        near = np.flatnonzero(np.abs(ppm - centre) < 0.1)
        top = near[y[near].argmax()]
        assert abs(ppm[top] - centre) <= apart * step
        found.append(y[near].sum() / area)
    assert np.ptp(found) < 0.1 * max(found)
    assert y.min() > -0.05 * y.max()


def test_a_processed_spectrum_of_bruker(tmp_path):
    folder = bruker_processed(tmp_path / "sample")
    for source in (folder, zipped(folder)):
        spectrum = read_spectrum(source)
        check(spectrum)
        assert spectrum.form == "Bruker, processed spectrum"
        assert spectrum.metadata == {
            "nucleus": "1H",
            "solvent": "D2O",
            "pulse program": "zg30",
            "temperature": "298.1 K",
            "scans": "16",
        }
    assert is_instrument_file(zipped(folder))


@pytest.mark.parametrize("phase", [0, 35, -120, 180])
def test_a_fid_of_bruker_is_phased(tmp_path, phase):
    spectrum = read_spectrum(bruker_fid(tmp_path / "1", fid(phase)))
    check(spectrum)
    assert spectrum.form == "Bruker, from the FID"


def test_the_digital_filter_of_bruker_is_removed(tmp_path):
    changes = {"DECIM": 2500, "DSPFVS": 20, "GRPDLY": 68}
    delayed = fid(delay=68)
    delayed[:68] = 0
    check(read_spectrum(bruker_fid(tmp_path / "1", delayed, **changes)), apart=3)


def test_the_reference_of_a_processed_spectrum_holds_for_its_fid(tmp_path):
    folder = bruker_fid(tmp_path / "1", fid())
    (folder / "pdata" / "1").mkdir(parents=True)
    (folder / "pdata" / "1" / "procs").write_text(parameters(SF=MHZ + 0.05 * MHZ * 1e-6))
    moved = read_spectrum(folder)
    top = moved.ppm[moved.heights.argmax()]
    assert top == pytest.approx(1.33 - 0.05, abs=2e-3)


def test_the_first_of_several_proton_spectra_is_read(tmp_path):
    bruker_fid(tmp_path / "s" / "2", fid(), NUC1="<13C>")
    bruker_fid(tmp_path / "s" / "10", fid())
    bruker_fid(tmp_path / "s" / "9", fid(), SOLVENT="<CDCl3>")
    spectrum = read_spectrum(zipped(tmp_path / "s"))
    assert spectrum.form == "Bruker, from the FID, the first of 2 spectra"
    assert spectrum.metadata["solvent"] == "CDCl3"


@pytest.mark.parametrize("unit", ["PPM", "HZ"])
@pytest.mark.parametrize("packing", ["affn", "dif"])
def test_jcamp_dx(unit, packing):
    spectrum = read_spectrum(jcamp(unit, packing))
    check(spectrum)
    assert spectrum.heights.max() == pytest.approx(4e6, rel=0.02)  # YFACTOR


def test_jcamp_dx_with_a_reference():
    ppm, _ = processed()
    moved = jcamp("HZ", **{".SHIFT REFERENCE": f"INTERNAL, TMS, 100, {ppm[99] + 1}"})
    spectrum = read_spectrum(moved)
    assert spectrum.ppm[spectrum.heights.argmax()] == pytest.approx(2.33, abs=0.01)


def test_a_fid_of_jcamp_dx_is_transformed():
    left = CARRIER + WIDTH / MHZ / 2
    for stated in (
        {"$BF1": BF1, "$SFO1": SFO1},
        {".SHIFT REFERENCE": f"INTERNAL, TMS, 1, {left}"},
        {},  # of water, which is the carrier here
    ):
        spectrum = read_spectrum(jcamp_fid(**stated, **{".SOLVENT NAME": "D2O"}))
        check(spectrum)
        assert spectrum.form == "JCAMP-DX, from the FID"
        assert spectrum.metadata["solvent"] == "D2O"


def test_the_digital_filter_of_a_fid_of_jcamp_dx_is_removed():
    delayed = fid(delay=68)
    delayed[:68] = 0
    check(read_spectrum(jcamp_fid(delayed, **{"$DECIM": 2500, "$DSPFVS": 20, "$GRPDLY": 68})), 3)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("form", [("float64", "<f8"), ("Integer32", "<i4")])
def test_nmrml(compressed, form):
    check(read_spectrum(nmrml(compressed, *form)))


def test_a_fid_of_varian(tmp_path):
    spectrum = read_spectrum(varian(tmp_path / "sample.fid"))
    check(spectrum)
    assert spectrum.metadata["nucleus"] == "1H"
    assert spectrum.metadata["temperature"] == "298.15 K"


def test_nmrpipe(tmp_path):
    import nmrglue as ng

    path = tmp_path / "x.ft1"
    ng.pipe.write(str(path), *nmrpipe())
    check(read_spectrum(path.read_bytes()))
    assert is_instrument_file(path.read_bytes())


def table(head, separator=",", decimal=".", order=-1, more="", encoding="utf-8", comment=""):
    ppm, heights = processed()
    rows = [
        separator.join([f"{x:.7f}".replace(".", decimal), str(y)]) + more
        for x, y in zip(ppm, np.round(heights).astype(int), strict=True)
    ]
    lines = [comment] * bool(comment) + [head] * bool(head) + rows[::-order]
    return "\n".join(lines).encode(encoding)


CSV = {
    "comma": {"head": "ppm,intensity"},
    "semicolon": {"head": "ppm;intensity", "separator": ";"},
    "decimal comma": {"head": "ppm;intensity", "separator": ";", "decimal": ","},
    "tab": {"head": "ppm\tintensity", "separator": "\t"},
    "tab and decimal comma": {"head": "ppm\tintensity", "separator": "\t", "decimal": ","},
    "spaces": {"head": "ppm intensity", "separator": "   "},
    "ascending": {"head": "ppm,intensity", "order": 1},
    "no header": {"head": ""},
    "units": {"head": "Chemical shift (ppm),Intensity"},
    "comment": {"head": "ppm,intensity", "comment": "# exported"},
    "comment as in JCAMP-DX": {"head": "ppm,intensity", "comment": "## exported"},
    "imaginary": {"head": "ppm,real,imaginary", "more": ",5"},
    "utf-16": {"head": "ppm,intensity", "encoding": "utf-16"},
    "latin-1": {
        "head": "ppm,intensity",
        "comment": "# gemessen für uns",
        "encoding": "latin-1",
    },
}


@pytest.mark.parametrize("form", CSV)
def test_a_table_gives_the_same_peaks_as_the_spectrum_of_bruker(tmp_path, form):
    expected = read_sample(zipped(bruker_processed(tmp_path / "sample"))).peaks
    found = read_sample(table(**CSV[form]), mhz=MHZ).peaks
    assert found.axis == expected.axis
    assert np.array_equal(found.positions, expected.positions)
    assert found.areas == pytest.approx(expected.areas, rel=1e-3)


@pytest.mark.parametrize("form", ["jcamp", "packed jcamp", "jcamp in Hz", "nmrml", "nmrml whole"])
def test_other_formats_give_the_same_peaks_as_the_spectrum_of_bruker(tmp_path, form):
    content = {
        "jcamp": lambda: jcamp(YFACTOR=1),
        "packed jcamp": lambda: jcamp(packing="dif", YFACTOR=1),
        "jcamp in Hz": lambda: jcamp("HZ", YFACTOR=1),
        "nmrml": nmrml,
        "nmrml whole": lambda: nmrml(False, "Integer32", "<i4"),
    }[form]()
    expected = read_sample(zipped(bruker_processed(tmp_path / "sample"))).peaks
    found = read_sample(content).peaks
    assert np.array_equal(found.positions, expected.positions)
    assert found.areas == pytest.approx(expected.areas, rel=1e-3)


def archive(**files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in files.items():
            out.writestr(name, content)
    return file.getvalue()


REFUSED = {
    "empty": (b"", "no file of a spectrometer"),
    "text": (b"ppm,area\n1,2\n", "no file of a spectrometer"),
    "cut zip": (archive(fid=b"1" * 999)[:-30], "cannot be unpacked"),
    "empty zip": (archive(), "no experiment"),
    "escape": (archive(**{"../fid": b"1"}), "outside its folder"),
    "absolute": (archive(**{"/etc/fid": b"1"}), "outside its folder"),
    "drive": (archive(**{"c:\\x\\fid": b"1"}), "outside its folder"),
    "deep": (archive(**{"a/" * 20 + "fid": b"1"}), "21 folders deep"),
    "many": (archive(**{f"{k}/x": b"" for k in range(5001)}), "5,001 files"),
    "bomb": (archive(fid=bytes(60 * 2**20)), "unpacks to"),
    "no acqus": (archive(fid=bytes(9999)), "acqus is missing"),
    "junk fid": (archive(fid=bytes(9999), acqus=b"##$SW_h= x\n"), "Bruker are damaged"),
    "junk 1r": (archive(**{"1r": b"123", "procs": b""}), "Bruker are damaged"),
    "two files": (archive(**{"a.dx": b"##", "b.dx": b"##"}), "2 files of spectra"),
    "jcamp": (b"##TITLE= x\n##END=\n", "no XYDATA or NTUPLES"),
    "jcamp fid": (jcamp(**{"DATA TYPE": "NMR FID"}), "holds a FID"),
    "jcamp fid, real": (jcamp_fid(pages="R"), "a FID without an imaginary part; expected real and"),
    "jcamp fid, unit": (jcamp_fid(unit="HZ"), "0 to 0.511875 'HZ'; expected seconds"),
    "jcamp fid, MHz": (jcamp_fid(**{".OBSERVE FREQUENCY": ""}), "no .OBSERVE FREQUENCY; expected"),
    "jcamp fid, cut": (jcamp_fid()[:40_000], "a FID without an imaginary part"),
    "jcamp fid, carbon": (jcamp_fid(**{".OBSERVE NUCLEUS": "^13C"}), "'13C'; expected 1H"),
    "jcamp unit": (jcamp(**{"XUNITS": "SECONDS"}), "'SECONDS'; expected PPM or HZ"),
    "jcamp nucleus": (jcamp(**{".OBSERVE NUCLEUS": "^13C"}), "expected 1H"),
    "jcamp frequency": (jcamp(**{".OBSERVE FREQUENCY": 1e9}), "frequency is 1e+09 MHz"),
    "jcamp ends": (jcamp(FIRSTX="nan"), "no numbers"),
    "entities": (nmrml(extra='<!DOCTYPE x [<!ENTITY a "b">]>'), "document type or entities"),
    "utf-16": (nmrml().decode().encode("utf-16"), "no file of a spectrometer"),
    "cut xml": (nmrml()[:-20], "nmrML are damaged"),
    "no number type": (nmrml(form="float99"), "'float99'; expected one of"),
    "bad zlib": (nmrml(compressed=False).replace(b'"false"', b'"zlib"'), "nmrML are damaged"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_is_refused_in_one_sentence(kind):
    content, message = REFUSED[kind]
    with pytest.raises(SpectrumError) as refused:
        read_spectrum(content)
    assert message in str(refused.value)
    assert len(str(refused.value)) < 300 and "\n" not in str(refused.value)


def test_large_files_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(spectrum_files, "MAX_BYTES", 1000)
    path = tmp_path / "x.dx"
    path.write_bytes(jcamp())
    for source in (path, path.read_bytes()):
        with pytest.raises(SpectrumError, match="expected 1,000 at most"):
            read_spectrum(source)


def test_links_are_not_followed(tmp_path):
    secret = bruker_processed(tmp_path / "elsewhere")
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "link").symlink_to(secret)
    with pytest.raises(SpectrumError, match="no experiment"):
        read_spectrum(folder)


LIBRARY = """compound,ppm,kind,j_hz,protons
formate,8.44,s,,1
a,4.11,s,,3
a,1.33,s,,10
b,8.1,s,,1
c,3.0,s,,2
c,2.0,s,,3
d,4.11,s,,1
d,2.5,s,,3
"""


def test_the_command_line_names_the_same_compounds_in_every_form(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "N", 2**14)  # so dense that lines are fitted
    ppm, heights = processed()
    heights += 2e3 * np.random.default_rng(0).standard_normal(N)
    monkeypatch.setitem(globals(), "processed", lambda: (ppm, heights.copy()))
    (tmp_path / "library.csv").write_text(LIBRARY)
    files = {
        "sample.zip": zipped(bruker_processed(tmp_path / "sample")),
        "jcamp.dx": jcamp(YFACTOR=1),
        "packed.jdx": jcamp("HZ", "dif", YFACTOR=1),
        "whole.nmrML": nmrml(),
    }
    files |= {f"{form}.csv": table(**how) for form, how in CSV.items()}
    assert len(CSV) >= 12
    expected = None
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        arguments = ["identify", str(tmp_path / name), "--library", str(tmp_path / "library.csv")]
        # A table does not state the frequency.
        arguments += ["--mhz", str(MHZ)] * name.endswith(".csv")
        assert main([*arguments, "--json"]) == 0, name
        found = json.loads(capsys.readouterr().out)
        assert "lines were fitted" in found["note"], name
        assert found["mhz"] == pytest.approx(MHZ)
        rows = {row["name"]: row for row in found["compounds"]}
        expected = expected or rows
        assert list(rows) == list(expected) and set(rows) == {"a", "formate"}, name
        for compound, row in rows.items():
            same = expected[compound]
            assert row["probability"] == pytest.approx(same["probability"], abs=1e-3), name
            assert row["amount"] / rows["a"]["amount"] == pytest.approx(
                same["amount"] / expected["a"]["amount"], rel=1e-3
            ), name


REPORT = "1H NMR (400 MHz, D2O) δ 8.44 (s, 1H), 4.11 (s"
MALFORMED = {name: content for name, (content, _) in REFUSED.items() if name != "text"} | {
    "binary": bytes(range(256)) * 9,
    "workbook": b"PK\3\4" + bytes(99),
    "two decimal marks": table("ppm;intensity", ";", ",").replace(b",4", b".4", 1),
    "thousands": b"ppm;area\n1;2,345\n",
    "no name": b"ppm,mass\n1,2\n",
    "no row": b"ppm,area\n",
    "no area": b"ppm,area\n1,0\n2,1\n3,-1\n",
    "no number": b"ppm,area\nx,1\n",
    "kind": b"ppm,kind,protons\n1,zz,3\n",
    "no coupling": b"ppm,kind,protons\n1,d,3\n",
    "ab": b"ppm,kind,j_hz,protons\n1,AB,14,2\n",
    "report": REPORT.encode(),
    "report without brackets": b"1H NMR (400 MHz, D2O): 8.44 s, 4.11 q",
}


def test_the_command_line_refuses_what_is_malformed_in_one_sentence(capsys, tmp_path):
    assert len(MALFORMED) >= 30
    for name, content in MALFORMED.items():
        path = tmp_path / "file.dat"
        path.write_bytes(content)
        assert main(["identify", str(path)]) == 2, name
        said = capsys.readouterr()
        assert not said.out
        (sentence,) = said.err.splitlines()
        assert sentence.startswith("nmrclassify: ") and len(sentence) < 400, name
        # What was expected, and what to do.
        assert re.search(r"expected|is not a|; (pack|copy|export|save)", sentence), sentence


def test_a_ph_by_hand_holds_for_a_spectrum_whose_maxima_are_picked(tmp_path):
    # Its points are too far apart for a fit of lines.
    content = zipped(bruker_processed(tmp_path / "sample"))
    sample = read_sample(content, recipe=ProcessingRecipe(ph_from="by hand", ph=3.0))
    assert sample.processed is None
    assert sample.ph == 3.0


def test_the_points_of_a_short_fid_are_close_enough_for_a_fit_of_lines():
    fid = np.exp((2j * np.pi * 300 - 10) * np.arange(4096) / 12_000)
    ppm, heights = transform_fid(fid, 12_000.0, 2_800.0, 600.0)
    assert float(np.diff(ppm).max()) * 600 <= FID_STEP
    assert ppm[heights.argmax()] * 600 == pytest.approx(3_100, abs=1)
