"""Files of core/safetensors.h against the safetensors package: each reads what the other wrote.

SAFETENSORS_TOOL names the program built from safetensors_tool.cpp.
"""

import os
import subprocess

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
]


def tool(*arguments):
    return subprocess.run([os.environ["SAFETENSORS_TOOL"], *map(str, arguments)], capture_output=True, text=True)


def bits(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert found[name].shape == tensor.shape, name
        assert torch.equal(bits(found[name]), bits(tensor)), name


def test_package_reads_ours(tmp_path):
    path = tmp_path / "ours.safetensors"
    assert tool("write", path).returncode == 0
    numbers = torch.arange(24).reshape(1, 2, 3, 4)
    expected = {f"numbers.{i}": numbers.to(dtype) for i, dtype in enumerate(DTYPES)}
    expected["booleans"] = numbers % 2 == 1
    expected["channels last"] = numbers.float()
    expected["transposed"] = numbers.transpose(1, 3)
    expected["scalar"] = torch.tensor(0.5)
    expected["empty"] = torch.empty(0, 7, dtype=torch.float16)
    expected['näme "quoted"'] = torch.ones(3)
    assert_same(load_file(path), expected)
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"step": "17"}


def test_we_read_the_packages(tmp_path):
    generator = torch.Generator().manual_seed(1)
    tensors = {f"t{i}": (torch.randn(5, 3, generator=generator) * 50).to(dtype) for i, dtype in enumerate(DTYPES)}
    tensors["booleans"] = torch.randn(9, generator=generator) > 0
    tensors["scalar"] = torch.tensor(-2.0, dtype=torch.bfloat16)
    tensors["empty"] = torch.empty(3, 0)
    tensors["not finite"] = torch.tensor([float("nan"), float("inf"), -0.0])
    theirs, copied = tmp_path / "theirs.safetensors", tmp_path / "copied.safetensors"
    save_file(tensors, theirs, metadata={"format": "pt", "über": "uns"})
    result = tool("copy", theirs, copied)
    assert result.returncode == 0, result.stderr
    assert_same(load_file(copied), tensors)
    with safe_open(copied, "pt") as file:
        assert file.metadata() == {"format": "pt", "über": "uns"}


def test_both_refuse_a_damaged_header(tmp_path):
    good, bad = tmp_path / "good.safetensors", tmp_path / "bad.safetensors"
    save_file({"a": torch.ones(4), "b": torch.ones(2)}, good)
    data = good.read_bytes()
    for damaged in [data[:-1], data + b"\0", data[:7], data.replace(b"[4]", b"[5]"), data.replace(b"[0,16]", b"[0,12]")]:
        bad.write_bytes(damaged)
        with pytest.raises(SafetensorError):
            load_file(bad)
        result = tool("copy", bad, tmp_path / "out.safetensors")
        assert result.returncode == 4 and str(bad) in result.stderr
