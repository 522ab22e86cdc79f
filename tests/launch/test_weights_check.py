"""`ganymede weights check`, run by itself: no MPI. GANYMEDE names the program."""

import os
import subprocess

import pytest
import torch
import torchvision
from safetensors.torch import save_file


def check(*paths):
    return subprocess.run(
        [os.environ["GANYMEDE"], "weights", "check", *map(str, paths)], capture_output=True, text=True, timeout=60
    )


def lines(path):
    result = check(path)
    assert (result.returncode, result.stderr) == (0, ""), result
    first, *rest = result.stdout.splitlines()
    assert first == str(path)
    return {line.split()[0]: line.split(maxsplit=1)[1] for line in rest if not line.startswith(" " * 3)}


def test_one_file_in_three_containers(tmp_path):
    state = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8)).state_dict()
    torch.save(state, tmp_path / "zip.pth")
    torch.save(state, tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "a.safetensors")
    said = [lines(tmp_path / name) for name in ("zip.pth", "legacy.pth", "a.safetensors")]
    assert [words["format"].split(",")[0] for words in said] == ["torch (zip)", "torch (legacy)", "safetensors"]
    for words in said:
        assert words["tensors"] == "7, 257 numbers"
        assert words["types"] == "F32 (6), I64 (1)"
        assert words["names"] == '"0" (2), "1" (5)'
        assert words["network"] == "unknown"
        assert words["digest"] == said[0]["digest"]


def test_a_known_network_is_named(tmp_path):
    state = torchvision.models.inception_v3(weights=None, init_weights=False, aux_logits=False, num_classes=1008).state_dict()
    torch.save({"state_dict": state}, tmp_path / "a.pth")
    assert lines(tmp_path / "a.pth")["network"].startswith("inception-v3, torchvision's names: ")
    del state["Mixed_7c.branch1x1.conv.weight"]
    torch.save(state, tmp_path / "a.pth")
    assert "Mixed_7c.branch1x1.conv.weight is missing" in lines(tmp_path / "a.pth")["problem"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_program_is_called_one(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "a.pt"))
    said = lines(tmp_path / "a.pt")
    assert said["format"].startswith("TorchScript") and "program" in said and "tensors" not in said


def test_bad_files_are_one_line_and_4(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    torch.save({"a": torch.ones(9)}, tmp_path / "cut.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "cut.pt").read_bytes()[:-30])
    for name, part in [("module.pt", "holds code (torch.nn"), ("cut.pt", "cut short"), ("none.pt", "missing")]:
        result = check(tmp_path / name)
        assert (result.returncode, result.stdout) == (4, ""), result
        assert name in result.stderr and part in result.stderr and result.stderr.count("\n") == 1


def test_wrong_words_are_2():
    for arguments in [[], ["chek"], ["check"], ["check", "--fast"]]:
        result = subprocess.run([os.environ["GANYMEDE"], "weights", *arguments], capture_output=True, text=True)
        assert result.returncode == 2 and "weights" in result.stderr or "--fast" in result.stderr
