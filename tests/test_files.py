import io
import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save as save_arrays

from nmrclassify import files
from nmrclassify.files import CheckpointError, TableError, TensorFile, decimal, read_table

TENSORS = {"a": torch.arange(6, dtype=torch.float32).reshape(2, 3), "b": torch.tensor([1, 2])}
EXPECTED = {"a": ("F32", (2, 3)), "b": ("I64", (2,))}


def read(source, **changes):
    limits = {"max_bytes": 1000, "max_rows": 10} | changes
    return read_table(source, (("ppm", "area"), ("ppm", "kind", "protons")), ("note",), **limits)


def test_tensors_come_back_as_they_were_written(tmp_path):
    path = tmp_path / "x.safetensors"
    files.write_tensors(path, files.tensor_bytes(TENSORS, "entry", {"n": 1}))
    file = TensorFile.read(path, "entry", 10_000)
    assert file.header == {"n": 1}
    assert file.described == files.described(TENSORS) == EXPECTED
    arrays = file.arrays(EXPECTED)
    assert all(np.array_equal(arrays[name], TENSORS[name].numpy()) for name in TENSORS)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"a": np.zeros((2, 3), np.float32)}, "tensor 'b' is no such tensor; expected I64"),
        (
            {"a": np.zeros((2, 3), np.float64), "b": np.zeros(2, np.int64)},
            r"tensor 'a' is F64 \(2, 3\); expected F32 \(2, 3\)",
        ),
        (
            {"a": np.full((2, 3), np.inf, np.float32), "b": np.zeros(2, np.int64)},
            "tensor 'a' holds an undefined number",
        ),
    ],
)
def test_other_tensors_are_refused(tensors, message):
    content = save_arrays(tensors, metadata={"entry": json.dumps(1)})
    with pytest.raises(CheckpointError, match=message):
        TensorFile.read(content, "entry", 10_000).arrays(EXPECTED)


def test_headers_are_limited_and_stated():
    content = files.tensor_bytes(TENSORS, "entry", "x" * 1000)
    with pytest.raises(CheckpointError, match="is not a .safetensors file, or was cut off"):
        TensorFile.read(content, "entry", 10_000, max_header=500)
    with pytest.raises(CheckpointError, match="that nmrclassify wrote"):
        TensorFile.read(content, "other", 10_000)
    with pytest.raises(CheckpointError, match="the file is too large; expected at most 100 bytes"):
        TensorFile.read(content, "entry", 100)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_tables_of_every_separator_and_line_end_are_read(mark, end):
    lines = ["", "PPM ,area,other", '"1",2,"a, b; c\td"', ",,", "3,,"]
    text = end.join(lines[:1] + [line.replace(",", mark, 2) for line in lines[1:]])
    table = read(text)
    assert list(table.columns) == ["ppm", "area"]
    assert table.index.tolist() == [3, 5]
    assert table.to_numpy().tolist() == [["1", "2"], ["3", ""]]


def test_a_separator_within_another_column_does_not_mislead():
    assert read("ppm,area,a;b;c;d\n1,2,x\n").area.tolist() == ["2"]
    assert read("ppm;area;a,b,c,d\n1;2;x\n").area.tolist() == ["2"]


@pytest.mark.parametrize("wrap", [str.encode, io.StringIO, lambda text: io.BytesIO(text.encode())])
def test_sources_of_every_kind_are_read(wrap):
    assert read(wrap("\ufeffppm,area\n1,2\n")).ppm.tolist() == ["1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" \n", "the file is empty; expected a CSV table with the columns ppm, area"),
        ("ppm,kind\n", "column 'protons' is missing: the columns are 'ppm', 'kind'; expected ppm"),
        ("ppm,area,x,x\n", "column 'x' occurs twice"),
        ("ppm,area\n" + "1,1\n" * 11, "more than 10 rows"),
        ("ppm,area\n1,1,1\n", "row 2 has 3 cells; expected 2, one for each column"),
        ("ppm,area\n\0", "binary data"),
        (b"ppm,area\n\xff", "byte 9 is not UTF-8"),
        ("ppm,area\n" + "1" * 1000, "more than 1,000 bytes"),
        ('ppm,area\n"1,1\n', "is not a CSV table"),
        (",".join(map(str, range(65))), "65 columns, more than 64"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(text, message):
    with pytest.raises(TableError, match=message):
        read(text)


@pytest.mark.parametrize("text", ["1", "-1.5", "+.5", "1.", "1e-3", "2.5E+7"])
def test_plain_decimals_are_numbers(text):
    assert decimal(text) == float(text)


@pytest.mark.parametrize(
    "text", ["", "nan", "inf", "1_0", "0x1", "1,5", "１", " 1", "1" * 41, "e5"]
)
def test_other_texts_are_no_numbers(text):
    assert np.isnan(decimal(text))
