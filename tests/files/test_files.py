import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save as save_arrays

from nmrclassify import files
from nmrclassify.files import CheckpointError, TensorFile

TENSORS = {"a": torch.arange(6, dtype=torch.float32).reshape(2, 3), "b": torch.tensor([1, 2])}
EXPECTED = {"a": ("F32", (2, 3)), "b": ("I64", (2,))}


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
    # `float` raises OverflowError for such a number, which no reader expects.
    content = files.tensor_bytes(TENSORS, "entry", {"seconds": 10**400})
    with pytest.raises(
        CheckpointError, match=r"is not a \.safetensors file that nmrclassify wrote"
    ):
        TensorFile.read(content, "entry", 10_000)


@pytest.mark.parametrize("text", ["a" * 1000, "\n" * 90, "\x1b[2J", "\u202e", "a'\"b", ""])
def test_errors_quote_at_most_80_escaped_characters(text):
    shown = files.quoted(text)
    assert len(shown) <= 80 and shown.isprintable()
    assert (shown == repr(text)) == (len(repr(text)) <= 80)
