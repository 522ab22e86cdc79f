"""Files of core/weights_file.h as torch.save and the safetensors package write them, tensor by tensor.

WEIGHTS_TOOL names the program built from weights_tool.cpp.
"""

import argparse
import collections
import io
import os
import pickle
import subprocess
import zipfile

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file

FORMATS = {"torch (zip)": True, "torch (legacy)": False}
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
    torch.bool,
]


class Tool:
    """One process for all files: it takes longer to start than to read them."""

    def __init__(self):
        self.process = subprocess.Popen(
            [os.environ["WEIGHTS_TOOL"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def copy(self, source, target):
        self.process.stdin.write(f"{source}\t{target}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer.endswith("\n"), f"{source} ended the reader: {self.process.wait()}"
        code, *rest = answer[:-1].split("\t", 2)
        return int(code), rest


@pytest.fixture(scope="module", autouse=True)
def tool():
    Tool.running = Tool()
    yield
    Tool.running.process.stdin.close()
    assert Tool.running.process.wait() == 0


def save(content, path, format, protocol=2):
    torch.save(content, path, _use_new_zipfile_serialization=FORMATS[format], pickle_protocol=protocol)


def read(path, folder):
    """Tensors, format and digest as the program sees them."""
    copied = folder / "copied.safetensors"
    code, rest = Tool.running.copy(path, copied)
    assert code == 0, rest
    return load_file(copied), *rest


def refused(path, folder, *parts):
    """Exit code 4 and one line with `parts`."""
    code, rest = Tool.running.copy(path, folder / "copied.safetensors")
    assert code == 4, rest
    for part in [str(path), *parts]:
        assert part in rest[0], rest


def bits(tensor):
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert found[name].shape == tensor.shape, name
        assert torch.equal(bits(found[name]), bits(tensor)), name


def flatten(value, prefix=""):
    if torch.is_tensor(value):
        return {prefix[:-1]: value}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    return {name: tensor for key, item in items for name, tensor in flatten(item, f"{prefix}{key}.").items()}


def tensors_of_every_kind():
    generator = torch.Generator().manual_seed(1)
    numbers = torch.randn(4, 6, 5, generator=generator) * 50
    tensors = {f"numbers.{i}": numbers.to(dtype) for i, dtype in enumerate(DTYPES)}
    shared = torch.randn(40, generator=generator)
    return tensors | {
        "scalar": torch.tensor(-2.5),
        "empty": torch.empty(3, 0, 2),
        "nothing": torch.empty(0),
        "not finite": torch.tensor([float("nan"), float("inf"), -0.0]),
        "first half": shared[:20],
        "second half": shared[20:].reshape(4, 5),
        "every other": shared[1::2],
        "transposed": numbers.transpose(0, 2),
        "channels last": torch.randn(2, 3, 4, 5, generator=generator).contiguous(memory_format=torch.channels_last),
        "expanded": torch.ones(1, 3).expand(4, 3),
        "overlapping": shared.as_strided((10, 4), (2, 1), 3),
        "strided booleans": (numbers > 0)[:, ::2, 1:4],
        "parameter": torch.nn.Parameter(torch.randn(7, generator=generator)),
        "needs a gradient": torch.randn(3, generator=generator).requires_grad_(),
        "größe": torch.ones(2),
    }


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("format", FORMATS)
def test_every_kind_of_tensor_returns_bit_for_bit(tmp_path, format, protocol):
    tensors = tensors_of_every_kind()
    save(tensors, tmp_path / "a.pth", format, protocol)
    found, seen, _ = read(tmp_path / "a.pth", tmp_path)
    assert seen == format
    assert_same(found, tensors)


@pytest.mark.parametrize("format", FORMATS)
def test_state_dicts_with_their_metadata_return(tmp_path, format):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Linear(8, 8))
    network[2].weight = torch.nn.Parameter(torch.randn(8, 8).bfloat16())
    state = network.state_dict()
    assert state._metadata, "what torch sets as an attribute is to be in the pickle"
    save(state, tmp_path / "a.pth", format)
    assert_same(read(tmp_path / "a.pth", tmp_path)[0], dict(state))


@pytest.mark.parametrize("format", FORMATS)
def test_nested_checkpoints_keep_their_prefixes(tmp_path, format):
    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    checkpoint = {
        "state_dict": network.state_dict(),
        "params_ema": collections.OrderedDict(weight=torch.ones(2, 3), bias=network.bias),
        "optimizer": optimizer.state_dict(),
        "epoch": 12,
        "long": 2**80,
        "loss": [0.5, -1e300, float("nan")],
        "note": "bester Stand",
        "shape": network.weight.shape,
        "best": None,
        ("a", 1): True,
        "list": [torch.ones(1), (torch.zeros(2), {3: torch.ones(3)})],
    }
    save(checkpoint, tmp_path / "a.ckpt", format)
    found, _, _ = read(tmp_path / "a.ckpt", tmp_path)
    expected = flatten(checkpoint)
    assert "optimizer.state.0.exp_avg" in expected and "list.1.1.3" in expected
    assert_same(found, expected)


@pytest.mark.parametrize("format", FORMATS)
def test_a_bare_tensor_and_a_list_have_names(tmp_path, format):
    save(torch.ones(3), tmp_path / "a.pt", format)
    assert_same(read(tmp_path / "a.pt", tmp_path)[0], {"tensor": torch.ones(3)})
    save([torch.ones(3), torch.zeros(2)], tmp_path / "a.pt", format)
    assert_same(read(tmp_path / "a.pt", tmp_path)[0], {"0": torch.ones(3), "1": torch.zeros(2)})
    save({}, tmp_path / "a.pt", format)
    assert_same(read(tmp_path / "a.pt", tmp_path)[0], {})


def test_cycles_and_shared_parts(tmp_path):
    inner = {"a": torch.ones(2)}
    shared = {"one": inner, "two": inner}
    for format in FORMATS:
        save(shared, tmp_path / "a.pt", format)
        assert_same(read(tmp_path / "a.pt", tmp_path)[0], {"one.a": torch.ones(2), "two.a": torch.ones(2)})
        cycle = {"a": torch.ones(2)}
        cycle["itself"] = cycle
        save(cycle, tmp_path / "a.pt", format)
        refused(tmp_path / "a.pt", tmp_path, "nested deeper than 64")
        laughs = []
        for _ in range(60):
            laughs = [laughs, laughs]
        save(laughs, tmp_path / "a.pt", format)
        refused(tmp_path / "a.pt", tmp_path, "shared so often")


def test_the_same_weights_have_one_digest_in_every_container(tmp_path):
    tensors = {name: tensor.detach().clone() for name, tensor in tensors_of_every_kind().items()}
    digests = []
    for number, format in enumerate(FORMATS):
        save(dict(sorted(tensors.items(), reverse=number == 1)), tmp_path / "a", format)
        digests.append(read(tmp_path / "a", tmp_path)[2])
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "a", {"made": "here"})
    found, seen, digest = read(tmp_path / "a", tmp_path)
    assert seen == "safetensors"
    assert_same(found, tensors)
    assert digests == [digest] * 2
    tensors["scalar"] = torch.tensor(-2.0)
    save(tensors, tmp_path / "a", "torch (zip)")
    assert read(tmp_path / "a", tmp_path)[2] != digest


def test_a_zip_written_without_checksums_is_read(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.arange(9)}, tmp_path / "a.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert_same(read(tmp_path / "a.pt", tmp_path)[0], {"a": torch.arange(9)})


class Runs:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_code_is_refused_and_not_run(tmp_path, protocol):
    evidence = tmp_path / "evidence"
    path = tmp_path / "a.pth"
    path.write_bytes(pickle.dumps({"a": Runs(evidence)}, protocol))
    refused(path, tmp_path, *(["holds code (", ".open"] if protocol >= 2 else ["no weights file"]))
    if protocol > 0:
        for format in FORMATS:
            save({"a": torch.ones(2), "b": Runs(evidence)}, path, format, protocol)
            refused(path, tmp_path, "holds code (", ".open", "none of it was run")
    assert not evidence.exists()


class Plain:
    pass


@pytest.mark.parametrize(
    "value, name",
    [
        (argparse.Namespace(lr=1), "argparse.Namespace"),
        (numpy.float64(1), "numpy"),
        (collections.Counter("abc"), "collections.Counter"),
        (collections.defaultdict(int), "collections.defaultdict"),
        (os.system, "posix.system"),
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        (torch.device("cpu"), "torch.device"),
        (torch.float32, "torch.float32"),
        ({1, 2}, "set"),
        (b"bytes", "bytes"),
        (1j, "complex"),
        (Plain(), "test_weights.Plain"),
        (torch.ones(2, dtype=torch.complex64), "torch.ComplexFloatStorage"),
        (torch.ones(2, dtype=torch.uint16), "_rebuild_tensor_v3"),
        (torch.eye(2).to_sparse(), "_rebuild_sparse_tensor"),
        (torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "_rebuild_qtensor"),
        (torch.ones(2).untyped_storage(), "Storage"),
    ],
)
def test_what_is_not_plain_data_is_refused_by_name(tmp_path, value, name):
    for format in FORMATS:
        for protocol in [2, 4]:
            save({"weight": torch.ones(2), "value": value}, tmp_path / "a.pth", format, protocol)
            refused(tmp_path / "a.pth", tmp_path, *([name] if protocol == 4 or name not in ("set", "bytes") else []))


def test_programs_are_told_and_not_opened(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "a.pt"))
    refused(tmp_path / "a.pt", tmp_path, "TorchScript program")


def test_what_is_no_weights_file_is_refused(tmp_path):
    path = tmp_path / "a.pth"
    for content, part in [
        (b"", "no weights file"),
        (b"x" * 100, "no weights file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (pickle.dumps({"a": 1}), "a pickle that torch.save did not write"),
    ]:
        path.write_bytes(content)
        refused(path, tmp_path, part)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    refused(path, tmp_path, "0 entries data.pkl")
    refused(tmp_path / "none.pth", tmp_path, "missing")
    refused(tmp_path, tmp_path, "missing or not a file")


def zip_with(path, changed, compression=zipfile.ZIP_STORED):
    """A saved zip with some of its entries changed."""
    saved = io.BytesIO()
    torch.save({"a": torch.arange(6.0)}, saved)
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(path, "w", compression) as new:
        for name in old.namelist():
            short = name.split("/", 1)[1]
            content = changed.get(short, old.read(name))
            if content is not None:
                new.writestr(name, content)


def test_zips_that_do_not_work_out_are_refused(tmp_path):
    path = tmp_path / "a.pt"
    zip_with(path, {})
    assert_same(read(path, tmp_path)[0], {"a": torch.arange(6.0)})
    for changed, part in [
        ({"byteorder": b"big"}, "big-endian"),
        ({"data/0": b"\0" * 20}, "has 20 bytes"),
        ({"data/0": None}, "data/0\" is missing"),
        ({"data.pkl": None}, "0 entries data.pkl"),
        ({"data.pkl": b""}, "cut short"),
    ]:
        zip_with(path, changed)
        refused(path, tmp_path, part)
    zip_with(path, {}, zipfile.ZIP_DEFLATED)
    refused(path, tmp_path, "compressed")


def test_damage_in_a_zips_numbers_is_told(tmp_path):
    path = tmp_path / "a.pt"
    torch.save({"a": torch.arange(6.0), "b": torch.arange(40.0)[3:]}, path)
    good = path.read_bytes()
    for number in [5.0, 39.0]:
        at = good.index(torch.tensor(number).numpy().tobytes(), 600)
        path.write_bytes(good[:at] + b"\1" + good[at + 1 :])
        refused(path, tmp_path, "CRC-32")


def test_a_big_endian_legacy_file_is_refused(tmp_path):
    path = tmp_path / "a.pt"
    save({"a": torch.arange(6.0)}, path, "torch (legacy)")
    good = path.read_bytes()
    at = good.index(b"little_endian")
    path.write_bytes(good[:at] + good[at:].replace(b"\x88", b"\x89", 1))
    refused(path, tmp_path, "big-endian")


def test_the_python_2_form_of_a_legacy_file_is_read(tmp_path):
    """Text as bytes, an OrderedDict of pairs, a GPU's storage, a storage that is a view: what torch 0.3 wrote."""

    def dump(body):
        return b"\x80\x02" + body + b"."

    def text(value):
        return b"U" + bytes([len(value)]) + value

    storage = b"(" + text(b"storage") + b"ctorch.cuda\nFloatStorage\n" + text(b"17") + text(b"cuda:0") + b"K\x08"
    storage += b"(" + text(b"18") + b"K\x02K\x05tt"
    tensor = b"ctorch._utils\n_rebuild_tensor\n(" + storage + b"QK\x01(K\x02K\x02t(K\x02K\x01ttR"
    root = b"ccollections\nOrderedDict\n(](](" + text(b"weight") + tensor + b"eetR"
    path = tmp_path / "a.pth"
    numbers = torch.arange(8.0)
    saved = io.BytesIO()
    torch.save({}, saved, _use_new_zipfile_serialization=False)
    head = saved.getvalue()
    head = head[: head.index(b"b.") if b"b." in head else head.index(b"u.", head.index(b"type_sizes")) + 2]
    path.write_bytes(head + dump(root) + dump(b"]" + text(b"17") + b"a") + (8).to_bytes(8, "little") + numbers.numpy().tobytes())
    assert_same(read(path, tmp_path)[0], {"weight": numbers[3:7].reshape(2, 2)})
    assert_same(torch.load(path, map_location="cpu", weights_only=False), {"weight": numbers[3:7].reshape(2, 2)})


def test_ten_thousand_tensors_return(tmp_path):
    tensors = {f"layer.{i}.weight": torch.full((2,), float(i)) for i in range(10_000)}
    for format in FORMATS:
        save(tensors, tmp_path / "a.pth", format)
        assert_same(read(tmp_path / "a.pth", tmp_path)[0], tensors)
