"""seeds.py MUTANTS HDF5_TOOL: writes the seeds of the fuzzer into corpus/TARGET/NAME.EXT: what we write, by these two programs of the
tests, and what others write. The files beside them, named by digests, are what libFuzzer has found from these."""

import io
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile

import h5py
import numpy as np
import torch
from PIL import Image

CORPUS = pathlib.Path(__file__).parent / "corpus"
MUTANTS, HDF5_TOOL = sys.argv[1:]


def put(name, content):
    (CORPUS / name).parent.mkdir(parents=True, exist_ok=True)
    (CORPUS / name).write_bytes(content)


def without_sums(archive):
    """A zip whose CRC-32s are 0: none, for our reader; a mutant of it is not refused for them."""
    changed = bytearray(archive)
    for mark, at in (b"PK\3\4", 14), (b"PK\1\2", 16):
        start = changed.find(mark)
        while start >= 0:
            changed[start + at : start + at + 4] = bytes(4)
            start = changed.find(mark, start + 4)
    return bytes(changed)


def saved(legacy, **options):
    file = io.BytesIO()
    weight = torch.arange(12.0).reshape(3, 4)
    model = {"conv.weight": weight, "tied": weight.t(), "half": torch.ones(3).half(), "flag": torch.tensor([True, False]),
             "steps": torch.tensor(7)}
    torch.save({"model": model, "epoch": 3, "lr": 1e-4, "betas": (0.9, 0.99), "names": ["a", "b"]}, file,
               _use_new_zipfile_serialization=not legacy, **options)
    return file.getvalue()


def hdf5(write, **options):
    with tempfile.TemporaryDirectory() as folder:
        with h5py.File(folder + "/a.h5", "w", **options) as file:
            write(file)
        return pathlib.Path(folder, "a.h5").read_bytes()


def chunked(file):
    """As BigGAN-PyTorch writes, with names, and what a script may add."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (9, 3, 6, 6), np.uint8)
    file.create_dataset("imgs", data=images, chunks=(2, 3, 6, 6), compression="gzip", shuffle=True, fletcher32=True)
    file.create_dataset("labels", data=np.arange(9) % 2, chunks=(4,), compression="lzf")
    file["class_names"] = ["a", "b"]


def companions(file):
    file["images"] = np.zeros((3, 4, 4, 1), np.float16)
    file.attrs["value_range"] = [-1.0, 1.0]
    file.create_dataset("embeddings", data=np.ones((3, 2, 5), np.float32), chunks=(1, 2, 5))
    file["sources"] = np.zeros((2, 1, 4, 4), np.uint8)


def picture(format, mode="RGB", **options):
    file = io.BytesIO()
    pixels = np.arange(6 * 7 * 3, dtype=np.uint8).reshape(6, 7, 3)
    Image.fromarray(pixels).convert(mode).save(file, format, **options)
    return file.getvalue()


def zipped(files, compression):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred(files, mode):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def arrays(**contents):
    file = io.BytesIO()
    contents.pop("save", np.savez)(file, **contents)
    return file.getvalue()


put("options/all.cfg", b"""# every kind of value
[train]
steps = 100000
batch = 64

[data]
flip = true

[generator]
lr = 2e-4
limit = -1.5

[gan]
loss = logistic
layers = 3, 4,5

[growth]
batch = 4:128, 8:64
""")
put("weights/zip.pth", saved(False))
put("weights/zip-without-sums.pth", without_sums(saved(False)))
put("weights/legacy.pth", saved(True))
put("weights/protocol-4.pth", without_sums(saved(False, pickle_protocol=4)))
put("dataset/chunked.h5", hdf5(chunked))
put("dataset/latest.h5", hdf5(chunked, libver="latest"))
put("dataset/companions.h5", hdf5(companions))
for name, content in ("colour.png", picture("PNG")), ("grey.png", picture("PNG", "L")), ("palette.png", picture("PNG", "P")), (
        "colour.jpg", picture("JPEG")), ("progressive.jpg", picture("JPEG", progressive=True)), ("cmyk.jpg", picture("JPEG", "CMYK")):
    put("picture/" + name, content)
images = {"cat/a.png": picture("PNG"), "dog/b.jpg": picture("JPEG", quality=30)}
put("archive/stored.zip", zipped(images, zipfile.ZIP_STORED))
put("archive/deflated.zip", zipped(images, zipfile.ZIP_DEFLATED))
put("archive/plain.tar", tarred(images, "w"))
put("archive/gzip.tar", tarred(images, "w:gz"))
small = dict(images=np.zeros((2, 4, 4, 3), np.uint8), labels=np.arange(2), class_names=np.array(["a", "b"]), mu=np.zeros(2))
put("npz/bytes.npz", arrays(**small))
put("npz/compressed.npz", arrays(save=np.savez_compressed, **small))
put("npz/real.npz", without_sums(arrays(arr_0=np.ones((2, 3, 3), np.float32), sigma=np.eye(2))))

with tempfile.TemporaryDirectory() as folder:
    subprocess.run([MUTANTS, "--originals", folder], check=True)
    originals = pathlib.Path(folder)
    put("safetensors/all.safetensors", (originals / "safetensors/file").read_bytes())
    alone = originals / "checkpoint-alone"
    content = (alone / "manifest.json").read_bytes().split(b'"content": ', 1)[1].rsplit(b",\n", 1)[0]
    put("checkpoint/alone", content + b"\0" + next(alone.glob("shard-*")).read_bytes())
    put("npz/ours.npz", (originals / "npz/file").read_bytes())
for type in "uint8", "float16":
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([HDF5_TOOL, "write", folder + "/a.h5", type], check=True)
        put(f"dataset/ours-{type}.h5", pathlib.Path(folder, "a.h5").read_bytes())
