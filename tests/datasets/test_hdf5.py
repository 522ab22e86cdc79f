"""Our dataset files as h5py sees them, and h5py's files as our reader sees them: foreign ones and malformed ones."""
import json
import os
import resource
import subprocess

import h5py
import numpy as np
import pytest

TOOL = os.environ["HDF5_TOOL"]


def read(*files):
    result = subprocess.run([TOOL, "read", *map(str, files)], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    pixels = b"".join(bytes.fromhex(image) for image in found["images"])
    found["pixels"] = np.frombuffer(pixels, found["type"]).reshape(found["shape"])
    return found


def refusal(*files):
    """The one line that refuses the files, with the exit code of datasets, in little time and memory."""

    def limit_memory():
        resource.setrlimit(resource.RLIMIT_DATA, (4 << 30, 4 << 30))

    result = subprocess.run(
        [TOOL, "read", *map(str, files)], capture_output=True, text=True, timeout=60, preexec_fn=limit_memory)
    assert result.returncode == 3, (result.returncode, result.stderr)
    assert result.stderr.count("\n") == 1
    assert str(files[-1]) in result.stderr
    return result.stderr


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (20, 3, 8, 8), np.uint8)


@pytest.fixture
def make(tmp_path):
    """Makes a file of named arrays; a function instead of an array makes the object itself."""

    def make(name="a.h5", attributes={}, **arrays):
        path = tmp_path / name
        with h5py.File(path, "w") as file:
            for key, value in arrays.items():
                if callable(value):
                    value(file)
                else:
                    file.create_dataset(key, data=value)
            file.attrs.update(attributes)
        return path

    return make


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
def test_h5py_reads_ours(tmp_path, dtype):
    path = tmp_path / "a.h5"
    subprocess.run([TOOL, "write", path, dtype], check=True)
    with h5py.File(path) as file:
        images = file["images"]
        assert images.shape == (11, 3, 5, 5) and images.dtype == dtype
        assert images.chunks is None and images.id.get_offset() % 4096 == 0
        expected = np.arange(images.size * images.dtype.itemsize) % 251
        assert images[:].tobytes() == expected.astype(np.uint8).tobytes()
        assert file["imgs"].id.get_offset() == file["data5x5"].id.get_offset() == images.id.get_offset()
        assert file["labels"].dtype == np.int64
        assert file["labels"][:].tolist() == [0, 1, 0, 1, -1, 0, 0, 0, 1, 1, 1]
        assert file["class_names"].asstr()[:].tolist() == ["cat", "blåhaj"]
        assert file.attrs["format"] == b"ganymede-images" and file.attrs["format_version"] == 1
        assert file.attrs["value_range"].tolist() == ([0, 255] if dtype == "uint8" else [-1, 2])
        assert file.attrs["source"] == b"a folder" and file.attrs["resizer"] == b"lanczos"
        assert len(file.attrs["uuid"]) == 36
        for name in ["images", "labels", "class_names"]:
            digests = file["integrity"][name]
            assert digests.dtype == np.uint64 and digests.attrs["algorithm"] == b"XXH3-64"


def test_reads_files_of_biggan_pytorch(make, images):
    labels = np.arange(20) % 4
    found = read(make(imgs=images, labels=labels))
    assert np.array_equal(found["pixels"], images)
    assert found["labels"] == labels.tolist() and found["classes"] == 4 and found["class_names"] == []


def test_reads_files_without_labels(make, images):
    found = read(make(images=images))
    assert set(found["labels"]) == {-1} and found["classes"] == 0


def test_reads_a_user_block_and_variable_length_names(tmp_path, images):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", userblock_size=1024) as file:
        file["images"] = images
        file["class_names"] = ["a", "b"]
    found = read(path)
    assert np.array_equal(found["pixels"], images) and found["class_names"] == ["a", "b"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_reads_real_values_with_a_range(make, dtype):
    values = np.random.default_rng(0).uniform(-3, 3, (6, 5, 4, 4)).astype(dtype)
    found = read(make(images=values, attributes={"value_range": [-3.0, 3.0]}))
    assert np.array_equal(found["pixels"], values) and found["range"] == [-3, 3]


@pytest.mark.parametrize("dtype, found", [
    (np.int8, "int8"), (np.uint16, "uint16"), (np.int64, "int64"), (np.float64, "float64"),
    (">f4", "big-endian float32"), (">f2", "big-endian float16"), (np.bool_, "enumeration"), ("S3", "text"),
    ([("r", "u1"), ("g", "u1")], "compound"),
])
def test_refuses_other_types(make, dtype, found):
    message = refusal(make(images=np.zeros((4, 3, 8, 8), dtype)))
    assert f"/images holds {found};" in message and "expected" in message


@pytest.mark.parametrize("shape, said", [
    ((4, 8, 8), "[4, 8, 8]; expected [N, C, H, W]"),
    ((4, 1, 3, 8, 8), "[4, 1, 3, 8, 8]"),
    ((), "shape []"),
    ((0, 3, 8, 8), "no images"),
    ((4, 0, 8, 8), "[4, 0, 8, 8]"),
])
def test_refuses_other_shapes(make, shape, said):
    assert said in refusal(make(images=np.zeros(shape, np.uint8)))


@pytest.mark.parametrize("labels, said", [
    (np.zeros(19, np.int64), "[19]; expected [20]"),
    (np.zeros((20, 1), np.int64), "[20, 1]"),
    (np.zeros((20, 10), np.float32), "float32"),
    (np.zeros(20, np.int32), "int32"),
    (np.array([0] * 7 + [3] + [0] * 12), "image 7 is labelled 3; expected -1 (none) to 2"),
    (np.array([0] * 7 + [-2] + [0] * 12), "image 7 is labelled -2"),
])
def test_refuses_wrong_labels(make, images, labels, said):
    message = refusal(make(images=images, labels=labels, class_names=["a", "b", "c"]))
    assert "/labels" in message and said in message


def test_refuses_wild_labels_without_names(make, images):
    assert "labelled" in refusal(make(images=images, labels=np.full(20, 2**62)))


def test_refuses_names_that_are_not_utf8(make, images):
    assert "UTF-8" in refusal(make(images=images, class_names=np.array([b"\xff\xfe", b"b"])))


@pytest.mark.parametrize("attributes, said", [
    ({}, "value_range is missing"),
    ({"value_range": [0.0, np.nan]}, "value_range"),
    ({"value_range": [1.0, 0.0]}, "the lower first"),
    ({"value_range": [0.0, 1.0, 2.0]}, "two finite numbers"),
    ({"value_range": "0 to 1"}, "value_range"),
])
def test_refuses_real_values_without_a_range(make, attributes, said):
    assert said in refusal(make(images=np.zeros((4, 3, 8, 8), np.float32), attributes=attributes))


@pytest.mark.parametrize("attributes, said", [
    ({"format": "other"}, "'other'"),
    ({"format": "ganymede-images", "format_version": 2}, "is 2; expected 1"),
    ({"format": "ganymede-images", "format_version": 1}, "/integrity/images is missing"),
])
def test_refuses_other_formats(make, images, attributes, said):
    assert said in refusal(make(images=images, attributes=attributes))


def test_refuses_a_file_without_images(make):
    assert "neither /images nor /imgs" in refusal(make(pictures=np.zeros((4, 3, 8, 8), np.uint8)))
    assert "not a dataset" in refusal(make(a=lambda file: file.create_group("images")))


def test_refuses_links_that_leave_the_file(tmp_path, make, images):
    make("real.h5", imgs=images)

    def external(file):
        file["images"] = h5py.ExternalLink("real.h5", "/imgs")

    def soft(file):
        file["elsewhere"] = h5py.ExternalLink("real.h5", "/imgs")
        file["images"] = h5py.SoftLink("/elsewhere")

    assert "link to another file" in refusal(make("external.h5", a=external))
    assert "soft link" in refusal(make("soft.h5", a=soft))


def test_refuses_external_storage(tmp_path, make, images):
    (tmp_path / "raw").write_bytes(images.tobytes())

    def external(file):
        file.create_dataset("images", images.shape, "u1", external=[(str(tmp_path / "raw"), 0, images.nbytes)])

    assert "external files" in refusal(make(a=external))


def test_refuses_virtual_datasets(make, images):
    source = make("real.h5", imgs=images)

    def virtual(file):
        layout = h5py.VirtualLayout(images.shape, "u1")
        layout[:] = h5py.VirtualSource(str(source), "imgs", images.shape)
        file.create_virtual_dataset("images", layout)

    assert "virtual dataset" in refusal(make(a=virtual))


def test_refuses_what_was_never_written(make):
    def declared(file):
        file.create_dataset("images", (1000, 3, 8, 8), "u1")

    assert "never written" in refusal(make(a=declared))


@pytest.mark.parametrize("count", [2**24, 2**40, 2**62])
def test_refuses_huge_extents_without_taking_memory(make, images, count):
    path = make(images=images)
    dimensions = np.array(images.shape, "<u8").tobytes()
    whole = path.read_bytes()
    assert whole.count(dimensions) >= 1  # h5py's default format has no checksums that would notice
    path.write_bytes(whole.replace(dimensions, np.array((count, 3, 8, 8), "<u8").tobytes()))
    refusal(path)


def test_refuses_a_file_shorter_than_its_data(make, images):
    path = make(images=images)
    os.truncate(path, os.path.getsize(path) - 100)
    assert "a.h5" in refusal(path)


def test_survives_random_damage(tmp_path, make, images):
    """Whatever the damage, the reader ends in time, with a dataset or with one line and exit code 3."""
    path = make(imgs=images, labels=np.arange(20) % 4, class_names=["a", "b", "c", "d"])
    whole = path.read_bytes()
    random = np.random.default_rng(1)
    metadata = range(len(whole) - images.nbytes)
    for trial in range(25):
        damaged = bytearray(whole)
        for at in random.choice(metadata, 6):
            damaged[at] = random.integers(256)
        (tmp_path / "damaged.h5").write_bytes(damaged)
        result = subprocess.run([TOOL, "read", tmp_path / "damaged.h5"], capture_output=True, text=True, timeout=120)
        assert result.returncode in (0, 3), (trial, result.returncode, result.stderr)
        assert result.stderr.count("\n") == (1 if result.returncode else 0)


@pytest.mark.parametrize("options", [{}, {"chunks": (3, 2, 8, 8)}, {"chunks": (4, 3, 8, 8), "compression": "gzip"}])
def test_reads_a_second_image_set(make, images, options):
    sources = np.random.default_rng(1).integers(0, 256, (20, 3, 8, 8), np.uint8)
    found = read(make(images=images, sources=lambda file: file.create_dataset("sources", data=sources, **options)))
    assert found["paired"] and np.array_equal(np.reshape(found["sources"], sources.shape), sources)
    last = make("last.h5", images=images, sources=np.ascontiguousarray(sources[:7].transpose(0, 2, 3, 1)))
    found = read(last)
    assert not found["paired"] and np.array_equal(np.reshape(found["sources"], (7, 3, 8, 8)), sources[:7])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(20, 5), (20, 3, 5)])
@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}])
def test_reads_embeddings(make, images, dtype, shape, options):
    values = np.random.default_rng(1).normal(size=shape).astype(dtype)
    found = read(make(images=images, embeddings=lambda file: file.create_dataset("embeddings", data=values, **options)))
    # The first of each image's in the first round.
    expected = values.reshape(20, -1, 5).transpose(1, 0, 2).astype(np.float32)
    assert np.array_equal(np.asarray(found["embeddings"], np.float32), expected.ravel())


def test_reads_what_a_script_adds_to_a_packed_file(tmp_path):
    path = tmp_path / "a.h5"
    subprocess.run([TOOL, "write", path, "uint8"], check=True)
    with h5py.File(path, "a") as file:
        file["embeddings"] = np.arange(22, dtype=np.float32).reshape(11, 2)
    assert read(path)["embeddings"] == list(range(22))


@pytest.mark.parametrize("arrays, expected", [
    (dict(sources=np.zeros((20, 3, 8, 9), np.uint8)), "/sources has shape [20, 3, 8, 9]; expected [M, C, 8, 8]"),
    (dict(sources=np.zeros((20, 3, 8, 8), np.float32)), "/sources holds float32; expected a second image set of uint8"),
    (dict(sources=np.zeros((0, 3, 8, 8), np.uint8)), "/sources has shape [0, 3, 8, 8]: no images"),
    (dict(embeddings=np.zeros((19, 5), np.float32)), "/embeddings has shape [19, 5]; expected [20, E] or [20, K, E]"),
    (dict(embeddings=np.zeros((20,), np.float32)), "/embeddings has shape [20]; expected"),
    (dict(embeddings=np.zeros((20, 0), np.float32)), "/embeddings has shape [20, 0]; expected 1 to"),
    (dict(embeddings=np.zeros((20, 5), np.int32)), "/embeddings holds int32; expected"),
])
def test_refuses_what_does_not_go_with_the_images(make, images, arrays, expected):
    assert expected in refusal(make(images=images, **arrays))
