"""Files as other programs write them, made by h5py: in chunks, through filters, [N, H, W, C]. What the reader and the
loader make of them, pixel by pixel, and what they say of damaged ones."""
import json
import os
import subprocess

import h5py
import numpy as np
import pytest

TOOL = os.environ["HDF5_TOOL"]
PROGRAM = os.environ["GANYMEDE"]


def tool(*arguments):
    return subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True, timeout=120)


def read(file):
    result = tool("read", file)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    pixels = b"".join(bytes.fromhex(image) for image in found["images"])
    return np.frombuffer(pixels, found["type"]).reshape(found["shape"]), found["labels"]


def refusal(file, command=("read",), *more):
    result = tool(*command, file, *more)
    assert result.returncode == 3, (result.returncode, result.stderr)
    assert result.stderr.count("\n") == 1 and str(file) in result.stderr, result.stderr
    return result.stderr


def pictures(count=103, shape=(3, 8, 8), seed=0):
    """Bytes that compress, but for every fifth image."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 5, (count, *shape), np.uint8) * 50
    images[::5] = random.integers(0, 256, images[::5].shape, np.uint8)
    return images


def write(path, images, chunks, labels=None, libver=None, userblock=0, **options):
    labels = np.arange(len(images)) if labels is None else labels
    with h5py.File(path, "w", libver=libver, userblock_size=userblock) as file:
        file.create_dataset("imgs", data=images, chunks=chunks, maxshape=(None, *images.shape[1:]), **options)
        file.create_dataset("labels", data=labels, chunks=(min(chunks[0], 50),), maxshape=(None,))
    return path


FILTERS = {
    "plain": {},
    "lzf": {"compression": "lzf"},
    "gzip": {"compression": "gzip"},
    "shuffled": {"compression": "gzip", "compression_opts": 9, "shuffle": True},
    "checked": {"fletcher32": True},
    "all": {"compression": "lzf", "shuffle": True, "fletcher32": True},
}


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("chunks", [(10, 3, 8, 8), (1, 3, 8, 8), (500, 3, 8, 8), (7, 2, 8, 3), (200, 1, 5, 8)])
def test_every_pixel(tmp_path, filters, chunks):
    images = pictures()
    if chunks[0] > len(images):  # as a file that was grown has them
        images = np.concatenate([images] * 5)
    found, labels = read(write(tmp_path / "a.h5", images, chunks, **FILTERS[filters]))
    assert np.array_equal(found, images)
    assert labels == list(range(len(images)))


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("chunks", [(10, 8, 6, 3), (4, 3, 6, 1)])
def test_channels_last(tmp_path, filters, chunks):
    images = pictures(shape=(8, 6, 3))
    found, _ = read(write(tmp_path / "a.h5", images, chunks, **FILTERS[filters]))
    assert np.array_equal(found, images.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("shape", [(8, 9, 3), (32, 48, 1)])
def test_channels_last_and_contiguous(tmp_path, shape):
    images = pictures(20, shape)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["imgs"] = images
    assert np.array_equal(read(tmp_path / "a.h5")[0], images.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("filters", ["shuffled", "all"])
def test_real_values(tmp_path, dtype, filters):
    images = np.random.default_rng(0).normal(0, 1, (20, 5, 6, 7)).round(1).clip(-3, 3).astype(dtype)
    path = write(tmp_path / "a.h5", images, (3, 5, 6, 7), **FILTERS[filters])
    with h5py.File(path, "a") as file:
        file.attrs["value_range"] = [-3.0, 3.0]
    assert np.array_equal(read(path)[0], images)


def test_grown_as_biggan_pytorch_does(tmp_path):
    """make_hdf5 writes a batch, then makes both arrays longer by the next."""
    images, path = pictures(230), tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("imgs", data=images[:64], maxshape=(230, 3, 8, 8), chunks=(50, 3, 8, 8), compression="lzf")
        file.create_dataset("labels", data=np.arange(64), maxshape=(230,), chunks=(50,), compression="lzf")
    for first in range(64, 230, 64):
        with h5py.File(path, "a") as file:
            count = min(64, 230 - first)
            for name, values in ("imgs", images), ("labels", np.arange(230)):
                file[name].resize(first + count, axis=0)
                file[name][-count:] = values[first:first + count]
    found, labels = read(path)
    assert np.array_equal(found, images) and labels == list(range(230))


@pytest.mark.parametrize("libver", ["earliest", ("v110", "v110")])
@pytest.mark.parametrize("maxshape", [None, (103, 3, 8, 8), (None, None, 8, 8)])
@pytest.mark.parametrize("userblock", [0, 512])
def test_every_index_of_chunks(tmp_path, libver, maxshape, userblock):
    images = pictures()
    with h5py.File(tmp_path / "a.h5", "w", libver=libver, userblock_size=userblock) as file:
        file.create_dataset("imgs", data=images, chunks=(10, 2, 8, 8), maxshape=maxshape, compression="gzip")
    assert np.array_equal(read(tmp_path / "a.h5")[0], images)


def test_many_small_chunks(tmp_path):
    """Listing 100,000 chunks one by one takes the library minutes."""
    images = np.arange(100_000, dtype=np.uint32).view(np.uint8).reshape(-1, 4, 1, 1)
    path = write(tmp_path / "a.h5", images, (1, 4, 1, 1))
    assert np.array_equal(read(path)[0], images)


@pytest.mark.parametrize("cache", [0, 5000, 1 << 30])
@pytest.mark.parametrize("filters", ["plain", "lzf", "shuffled"])
def test_an_epoch_of_training(tmp_path, filters, cache):
    images = pictures(shape=(8, 8, 3))
    result = tool("load", write(tmp_path / "a.h5", images, (10, 8, 8, 3), **FILTERS[filters]), cache)
    assert result.returncode == 0, result.stderr
    seen = {label: np.array(values, np.uint8).reshape(3, 8, 8) for label, values in json.loads(result.stdout)}
    assert sorted(seen) == list(range(103))
    assert all(np.array_equal(seen[i], images[i].transpose(2, 0, 1)) for i in seen)


@pytest.mark.parametrize("options, filter", [
    ({"scaleoffset": 0}, "scaleoffset"), ({"compression": "szip"}, "szip"),
])
def test_refuses_other_filters(tmp_path, options, filter):
    message = refusal(write(tmp_path / "a.h5", pictures(), (10, 3, 8, 8), **options))
    assert filter in message and "expected gzip, lzf, shuffle or fletcher32" in message and "h5repack" in message


def test_refuses_chunks_that_were_never_written(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        imgs = file.create_dataset("imgs", (100, 3, 8, 8), "u1", chunks=(10, 3, 8, 8), compression="gzip")
        imgs[:35] = 1
    assert "number 4 was never written" in refusal(tmp_path / "a.h5")


def test_refuses_chunks_that_take_too_much_memory(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        imgs = file.create_dataset("imgs", (4000, 3, 512, 512), "u1", chunks=(4000, 1, 256, 256), compression="gzip")
        imgs[0, 0, 0, 0] = 1
    assert "asks for 3145728000 bytes" in refusal(tmp_path / "a.h5")


def test_refuses_chunks_in_a_file_of_ours(tmp_path):
    path = write(tmp_path / "a.h5", pictures(), (10, 3, 8, 8))
    with h5py.File(path, "a") as file:
        file.attrs["format"] = "ganymede-images"
        file.attrs["format_version"] = 1
    assert "stored in chunks; expected contiguous" in refusal(path)


def place_of_chunk(path, number):
    with h5py.File(path) as file:
        info = file["imgs"].id.get_chunk_info(number)
        return info.byte_offset, info.size


@pytest.mark.parametrize("filters, said", [
    ("checked", "Fletcher-32"), ("gzip", "gzip data"), ("all", "Fletcher-32"),
])
def test_names_a_damaged_chunk(tmp_path, filters, said):
    path = write(tmp_path / "a.h5", pictures(), (10, 3, 8, 8), **FILTERS[filters])
    offset, size = place_of_chunk(path, 3)
    with open(path, "r+b") as file:
        file.seek(offset + size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x10]))
    for command, more in (("read",), ()), (("load",), (1 << 20,)):
        message = refusal(path, command, *more)
        assert "/imgs: chunk 3 (images 30 to 39)" in message and said in message
    result = subprocess.run([PROGRAM, "dataset", "verify", path], capture_output=True, text=True, timeout=60)
    assert result.returncode == 3 and "chunk 3 (images 30 to 39)" in result.stderr


@pytest.mark.parametrize("filters", ["lzf", "gzip", "all"])
def test_survives_random_damage(tmp_path, filters):
    """Whatever the damage, to metadata or to chunks, the reader ends with a dataset or with one line and exit code 3."""
    whole = write(tmp_path / "a.h5", pictures(), (10, 2, 8, 8), **FILTERS[filters]).read_bytes()
    random = np.random.default_rng(1)
    refused = 0
    for trial in range(20):
        damaged = bytearray(whole)
        for at in random.choice(len(whole), 12):
            damaged[at] = random.integers(256)
        (tmp_path / "damaged.h5").write_bytes(damaged)
        result = tool("read", tmp_path / "damaged.h5")
        assert result.returncode in (0, 3), (trial, result.returncode, result.stderr)
        assert result.stderr.count("\n") == (1 if result.returncode else 0)
        refused += result.returncode == 3
    assert refused > 0


def run(*arguments):
    result = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120, cwd="/")
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("shape, chunks, filters", [
    ((3, 8, 8), (10, 3, 8, 8), "lzf"), ((8, 8, 3), (10, 8, 8, 3), "shuffled"), ((8, 6, 1), (10, 8, 6, 1), "plain"),
])
def test_info_gives_a_command_that_repacks(tmp_path, shape, chunks, filters):
    images = pictures(shape=shape)
    path = write(tmp_path / "it's a.h5", images, chunks, **FILTERS[filters])
    lines = {line.split()[0]: line for line in run("dataset", "info", path).splitlines()[1:]}
    assert f"11 chunks of [{', '.join(map(str, chunks))}]" in lines["storage"]
    assert "images/s in training order" in lines["reading"]
    command = lines["repack"].split(maxsplit=1)[1].replace("ganymede", PROGRAM, 1)
    subprocess.run(command, shell=True, check=True, timeout=60, capture_output=True)
    with h5py.File(tmp_path / "it's a-packed.h5") as file:
        expected = images if shape[0] <= 4 else images.transpose(0, 3, 1, 2)
        assert np.array_equal(file["images"][:], expected) and file["images"].chunks is None
        assert file["labels"][:].tolist() == list(range(len(images)))
    again = run("dataset", "info", tmp_path / "it's a-packed.h5")
    assert "repack" not in again and "contiguous" in again and "images/s" in again


def test_packs_ours_and_real_values(tmp_path):
    images = np.random.default_rng(0).uniform(-2, 5, (12, 5, 6, 7)).astype(np.float32)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("images", data=images, chunks=(5, 5, 6, 7), compression="gzip", shuffle=True)
        file["class_names"] = ["a", "b"]
        file.create_dataset("labels", data=np.arange(12) % 3 - 1)
        file.attrs["value_range"] = [-3.0, 6.0]
    run("dataset", "pack", tmp_path / "a.h5", tmp_path / "b.h5")
    run("dataset", "pack", tmp_path / "b.h5", tmp_path / "c.h5")
    with h5py.File(tmp_path / "c.h5") as file:
        assert np.array_equal(file["images"][:], images) and file.attrs["value_range"].tolist() == [-3, 6]
        assert file["labels"][:].tolist() == (np.arange(12) % 3 - 1).tolist()
        assert file["class_names"].asstr()[:].tolist() == ["a", "b"]


def test_packs_with_a_size(tmp_path):
    path = write(tmp_path / "a.h5", pictures(), (10, 3, 8, 8), compression="lzf")
    run("dataset", "pack", path, tmp_path / "b.h5", "--size", 4, "--channels", 1)
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["images"].shape == (103, 1, 4, 4)


def test_trains(tmp_path):
    """A step on a file of StudioGAN's form; the samples of its epoch are compared above."""
    path = write(tmp_path / "a.h5", pictures(64, (32, 32, 3)), (50, 32, 32, 3), np.arange(64) % 10, compression="lzf")
    run("train", "--recipe", "biggan-cifar10", "--biggan.generator_channels", 2, "--biggan.discriminator_channels", 2,
        "--train.threads", 1, "--sample.every", 0, "--checkpoint.minutes", 0, "--train.batch", 4, "--data", path,
        "--out", tmp_path / "run", "--steps", 2)
