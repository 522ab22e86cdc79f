"""`ganymede dataset pack` against Pillow, NumPy and h5py. GANYMEDE names the program."""

import io
import os
import struct
import subprocess
import tarfile
import zipfile
import zlib

import h5py
import numpy as np
import pytest
from PIL import Image

PROGRAM = os.environ["GANYMEDE"]
LANCZOS, BOX = Image.Resampling.LANCZOS, Image.Resampling.BOX


def run(*arguments):
    return subprocess.run([PROGRAM, "dataset", *map(str, arguments)], capture_output=True, text=True, timeout=60)


def pack(source, out, *options):
    """Packs and returns what h5py reads: images, labels, class names, attributes."""
    result = run("pack", source, out, *options)
    assert result.returncode == 0, result.stderr
    with h5py.File(out) as file:
        names = [name.decode() for name in file["class_names"]] if "class_names" in file else []
        return file["images"][:], file["labels"][:].tolist(), names, dict(file.attrs)


def refused(code, *arguments):
    """The one line that says why."""
    result = run(*arguments)
    assert result.returncode == code, (result.returncode, result.stdout, result.stderr)
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def photo(height, width, channels=3, seed=0):
    """Smooth colours with some noise, so that JPEG has something to do."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 5, channels), dtype=np.uint8)
    planes = [Image.fromarray(coarse[:, :, c]).resize((width, height), Image.Resampling.BICUBIC) for c in range(channels)]
    noisy = np.stack([np.asarray(plane, dtype=np.int16) for plane in planes], -1) + rng.integers(-9, 9, (height, width, channels))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def encoded(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png(width, height, depth, color, rows, interlace=0):
    """A PNG of kinds that Pillow does not write."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    data = b"".join(b"\0" + row for row in rows)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def as_pillow(data, mode):
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert(mode))
    return pixels[None] if mode == "L" else pixels.transpose(2, 0, 1)


def kinds_of_files():
    rgb = Image.fromarray(photo(37, 53))
    grey = Image.fromarray(photo(37, 53, 1)[:, :, 0])
    rgba = Image.fromarray(photo(37, 53, 4), "RGBA")
    deep = np.random.default_rng(1).integers(0, 65536, (37, 53, 4), dtype=np.uint16).astype(">u2")
    palette = rgb.quantize(200)
    files = {
        "rgb.png": encoded(rgb, "PNG"),
        "grey.png": encoded(grey, "PNG"),
        "rgba.png": encoded(rgba, "PNG"),
        "la.png": encoded(rgba.convert("LA"), "PNG"),
        "one_bit.png": encoded(grey.convert("1"), "PNG"),
        "palette.png": encoded(palette, "PNG"),
        "palette_clear.png": encoded(palette, "PNG", transparency=3),
        "palette_16.png": encoded(rgb.quantize(13), "PNG"),
        "palette_2.png": encoded(rgb.quantize(2), "PNG"),
        "grey_clear.png": encoded(grey, "PNG", transparency=7),
        "grey_2.png": png(8, 4, 2, 0, [bytes([27, 228])] * 4),
        "grey_4.png": png(4, 2, 4, 0, [bytes([1, 0x9F])] * 2),
        "rgb_16.png": png(53, 37, 16, 2, [row[:, :3].tobytes() for row in deep]),
        "rgba_16.png": png(53, 37, 16, 6, [row.tobytes() for row in deep]),
        "la_16.png": png(53, 37, 16, 4, [row[:, :2].tobytes() for row in deep]),
        "grey.jpg": encoded(grey, "JPEG"),
        "cmyk.jpg": encoded(rgba.convert("RGB").convert("CMYK"), "JPEG"),
        "cmyk_photo.jpg": encoded(Image.fromarray(photo(37, 53, 4), "CMYK"), "JPEG", quality=90),
        "progressive.jpg": encoded(rgb, "JPEG", progressive=True),
        "restarts.jpg": encoded(rgb, "JPEG", restart_marker_blocks=2),
        "keep_rgb.jpg": encoded(rgb, "JPEG", keep_rgb=True),
    }
    for sampling in ("4:4:4", "4:2:2", "4:2:0"):
        for quality in (30, 95):
            files[f"{sampling.replace(':', '')}_{quality}.jpg"] = encoded(rgb, "JPEG", subsampling=sampling, quality=quality)
    for height, width in ((1, 1), (2, 7), (8, 8), (9, 17), (64, 1)):
        files[f"{height}x{width}.jpg"] = encoded(Image.fromarray(photo(height, width)), "JPEG")
        files[f"{height}x{width}.png"] = encoded(Image.fromarray(photo(height, width)), "PNG")
    return files


FILES = kinds_of_files()


def by_size():
    groups = {}
    for name, data in FILES.items():
        groups.setdefault(Image.open(io.BytesIO(data)).size, {})[name] = data
    return groups


@pytest.mark.parametrize("size, files", by_size().items())
def test_decodes_as_pillow(tmp_path, size, files):
    write_tree(tmp_path / "in", files)
    for channels, mode in ((1, "L"), (3, "RGB")):
        images, labels, _, _ = pack(tmp_path / "in", tmp_path / f"{channels}.h5", "--channels", channels)
        assert labels == [-1] * len(files)
        for image, name in zip(images, sorted(files), strict=True):
            assert np.array_equal(image, as_pillow(files[name], mode)), name


@pytest.mark.parametrize("name, channels", (("one_bit.png", 1), ("la_16.png", 1), ("grey.jpg", 1), ("palette_2.png", 3), ("cmyk.jpg", 3), ("rgba.png", 3)))
def test_channels_of_the_first_image(tmp_path, name, channels):
    write_tree(tmp_path / "in", {name: FILES[name]})
    assert pack(tmp_path / "in", tmp_path / "o.h5")[0].shape[1] == channels


def test_interlaced_png(tmp_path):
    # Of the seven passes an image of 2 x 2 has the first (its first pixel), the sixth and the seventh.
    data = png(2, 2, 8, 0, [bytes([10]), bytes([20]), bytes([30, 40])], interlace=1)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(data)
    images, _, _, _ = pack(tmp_path / "in", tmp_path / "o.h5")
    assert np.array_equal(images[0], as_pillow(data, "L"))


def test_16_bit_grey_keeps_the_high_byte(tmp_path):
    values = np.arange(0, 65536, 257 * 4, dtype=np.uint16)[:60].reshape(6, 10)
    (tmp_path / "in").mkdir()
    Image.fromarray(values).save(tmp_path / "in/a.png")
    images, _, _, _ = pack(tmp_path / "in", tmp_path / "o.h5")
    assert np.array_equal(images[0, 0], values >> 8)


@pytest.mark.parametrize("filter, name", ((LANCZOS, "lanczos"), (BOX, "box")))
@pytest.mark.parametrize("channels, crop", ((1, "center"), (3, "center"), (3, "none")))
def test_resizes_as_pillow(tmp_path, filter, name, channels, crop):
    images = []
    for i, (height, width) in enumerate(((40, 61), (61, 40), (20, 20), (100, 99), (3, 5), (257, 300), (32, 32), (1, 1))):
        pixels = np.random.default_rng(i).integers(0, 256, (height, width, channels), dtype=np.uint8)
        images.append(Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels))
    write_tree(tmp_path / "in", {f"{i}.png": encoded(image, "PNG") for i, image in enumerate(images)})
    for size in (1, 7, 32, 99):
        packed, _, _, attributes = pack(tmp_path / "in", tmp_path / f"{size}.h5", "--size", size, "--crop", crop, "--filter", name)
        for image, result in zip(images, packed, strict=True):
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            cut = image.crop((left, top, left + side, top + side)) if crop == "center" else image
            # Pass by pass, for the order of the passes depends on Pillow's version where both scales differ.
            tall = cut.height - size > 2 * max(0, cut.width - size)
            between = (cut.width, size) if tall else (size, cut.height)
            expected = cut.resize(between, filter).resize((size, size), filter)
            if crop == "center":
                assert expected == cut.resize((size, size), filter)
            expected = np.asarray(expected).reshape(size, size, channels).transpose(2, 0, 1)
            assert np.array_equal(result, expected)
        assert attributes["resizer"].decode() == f"{name} to {size}" and attributes["crop"].decode() == crop


@pytest.mark.parametrize("filter, name", ((LANCZOS, "lanczos"), (BOX, "box")))
def test_resizes_floats_as_pillow(tmp_path, filter, name):
    values = np.random.default_rng(0).normal(size=(3, 50, 41)).astype(np.float32)
    np.savez(tmp_path / "a.npz", images=values)
    images, _, _, attributes = pack(tmp_path / "a.npz", tmp_path / "o.h5", "--size", 24, "--crop", "none", "--filter", name, "--range", "-9,9")
    for image, value in zip(images, values):
        rows_first = Image.fromarray(value).resize((24, 50), filter).resize((24, 24), filter)
        assert np.array_equal(image[0], np.asarray(rows_first))
    assert attributes["value_range"].tolist() == [-9, 9]


def class_tree():
    """Path -> image, with a class whose name sorts otherwise when whole paths are compared."""
    names = ["cat/b.png", "cat/a.jpg", "cat-big/x.PNG", "dog/deep/1.jpeg", "dog/0.png", "loose.png", "dog/ü.png"]
    return {name: encoded(Image.fromarray(photo(12, 12, seed=i)), "PNG" if name.lower().endswith("png") else "JPEG") for i, name in enumerate(names)}


EXTRAS = {"cat/notes.txt": b"x", ".hidden/cat/z.png": b"x", "cat/.z.png": b"x", "__MACOSX/cat/._a.jpg": b"x", "cat/README": b"x"}
ORDER = ["loose.png", "cat/a.jpg", "cat/b.png", "cat-big/x.PNG", "dog/0.png", "dog/deep/1.jpeg", "dog/ü.png"]


def write_tree(root, files):
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def write_tar(path, files, mode, prefix="", format=tarfile.DEFAULT_FORMAT):
    with tarfile.open(path, mode, format=format) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def test_every_container_gives_the_same(tmp_path):
    tree = class_tree()
    backwards = dict(reversed(sorted({**tree, **EXTRAS}.items())))
    write_tree(tmp_path / "folder", {**tree, **EXTRAS})
    for name, method in (("stored.zip", zipfile.ZIP_STORED), ("deflated.zip", zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(tmp_path / name, "w", method) as archive:
            for member, data in backwards.items():
                archive.writestr(member, data)
    write_tar(tmp_path / "a.tar", backwards, "w", prefix="./")
    write_tar(tmp_path / "gnu.tar", backwards, "w", format=tarfile.GNU_FORMAT)
    write_tar(tmp_path / "a.tar.gz", backwards, "w:gz")
    expected = np.stack([as_pillow(tree[name], "RGB") for name in ORDER])
    np.savez(tmp_path / "a.npz", images=expected.transpose(0, 2, 3, 1), labels=[-1, 0, 0, 1, 2, 2, 2], class_names=["cat", "cat-big", "dog"])
    for source in ("folder", "stored.zip", "deflated.zip", "a.tar", "gnu.tar", "a.tar.gz", "a.npz"):
        images, labels, names, attributes = pack(tmp_path / source, tmp_path / f"{source}.h5")
        assert np.array_equal(images, expected), source
        assert labels == [-1, 0, 0, 1, 2, 2, 2], source
        assert names == ["cat", "cat-big", "dog"]
        assert attributes["source"].decode() == source


def test_counts_what_it_skips(tmp_path):
    write_tree(tmp_path / "in", {**class_tree(), **EXTRAS})
    report = run("pack", tmp_path / "in", tmp_path / "o.h5").stdout
    for line in ("7 images, 3 x 12 x 12 uint8", "skipped 3 hidden", "skipped 1 .txt", "skipped 1 no extension", "2 images  cat\n", "3 images  dog\n", "1 images  (no class)"):
        assert line in report, report


@pytest.mark.parametrize("container", ("folder", "zip", "tar"))
def test_subdir(tmp_path, container):
    tree = class_tree()
    both = {f"data/{part}/{name}": data for part in ("train", "test") for name, data in tree.items() if part == "test" or name != "dog/0.png"}
    source = tmp_path / ("in" if container == "folder" else f"in.{container}")
    if container == "folder":
        write_tree(source, both)
    elif container == "tar":
        write_tar(source, both, "w")
    else:
        with zipfile.ZipFile(source, "w") as archive:
            for name, data in both.items():
                archive.writestr(name, data)
    for count, part in ((6, "train"), (7, "test")):
        images, labels, names, _ = pack(source, tmp_path / f"{part}.h5", "--subdir", f"data/{part}")
        assert len(images) == count and names == ["cat", "cat-big", "dog"] and labels[0] == -1
    message = refused(3, "pack", source, tmp_path / "o.h5", "--subdir", "train")
    assert "train" in message


def test_links_in_a_folder(tmp_path):
    write_tree(tmp_path / "elsewhere", {"1.png": encoded(Image.fromarray(photo(4, 4)), "PNG")})
    (tmp_path / "in").mkdir()
    (tmp_path / "in/cat").symlink_to(tmp_path / "elsewhere")
    assert pack(tmp_path / "in", tmp_path / "o.h5")[1:3] == ([0], ["cat"])
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    assert "loop" in refused(3, "pack", tmp_path / "in", tmp_path / "p.h5")


@pytest.mark.parametrize("save, dtype", ((np.savez, np.uint8), (np.savez_compressed, np.float16), (np.savez, np.float32)))
@pytest.mark.parametrize("shape, expected", (((5, 6, 7), (5, 1, 6, 7)), ((5, 6, 7, 3), (5, 3, 6, 7)), ((5, 3, 6, 7), (5, 3, 6, 7)), ((5, 6, 7, 4), (5, 4, 6, 7)), ((5, 2, 6, 7), (5, 2, 6, 7)), ((5, 4, 4, 9), (5, 9, 4, 4)), ((5, 9, 4, 4), (5, 9, 4, 4)), ((5, 1, 1, 1), (5, 1, 1, 1))))
def test_npz_layouts_and_types(tmp_path, save, dtype, shape, expected):
    values = (np.random.default_rng(0).random(shape) * 200).astype(dtype)
    save(tmp_path / "a.npz", arr_0=values, labels=np.arange(5, dtype=np.uint16), other=np.zeros(3))
    images, labels, names, attributes = pack(tmp_path / "a.npz", tmp_path / "o.h5")
    planes = values[:, None] if values.ndim == 3 else values if shape == expected else values.transpose(0, 3, 1, 2)
    assert images.dtype == dtype and np.array_equal(images, planes)
    assert labels == [0, 1, 2, 3, 4] and names == []
    low, high = (0, 255) if dtype == np.uint8 else (values.min(), values.max())
    assert attributes["value_range"].tolist() == [low, high]


def test_npz_channels(tmp_path):
    pixels = photo(9, 8)[None]
    np.savez(tmp_path / "a.npz", images=pixels)
    images, _, _, _ = pack(tmp_path / "a.npz", tmp_path / "o.h5", "--channels", 1)
    assert np.array_equal(images[0, 0], np.asarray(Image.fromarray(pixels[0]).convert("L")))
    np.savez(tmp_path / "f.npz", images=pixels.astype(np.float32))
    assert "--channels" in refused(2, "pack", tmp_path / "f.npz", tmp_path / "p.h5", "--channels", 1)


def test_resized_floats_stay_within_the_range(tmp_path):
    values = np.zeros((1, 8, 8), np.float16)
    values[:, :, 4:] = 1
    np.savez(tmp_path / "a.npz", images=values)
    images, _, _, _ = pack(tmp_path / "a.npz", tmp_path / "o.h5", "--size", 16)
    assert images.dtype == np.float16 and images.min() == 0 and images.max() == 1


BAD_ARRAYS = {
    "no array named images": dict(pictures=np.zeros((2, 3, 3), np.uint8)),
    "float64": dict(images=np.zeros((2, 3, 3))),
    "int32": dict(images=np.zeros((2, 3, 3), np.int32)),
    "[N, H, W]": dict(images=np.zeros((2, 3), np.uint8)),
    "uint8 [2, 4, 4, 4]: either": dict(images=np.zeros((2, 4, 4, 4), np.uint8)),
    "uint8 [2, 3, 4, 3]: either": dict(images=np.zeros((2, 3, 4, 3), np.uint8)),
    "holds no image": dict(images=np.zeros((0, 3, 3), np.uint8)),
    "big-endian": dict(images=np.zeros((2, 3, 3), ">f4")),
    "Fortran": dict(images=np.asfortranarray(np.zeros((2, 3, 4), np.uint8))),
    "3 labels for 2 images": dict(images=np.zeros((2, 3, 3), np.uint8), labels=[1, 2, 3]),
    "label 2 of image 1": dict(images=np.zeros((2, 3, 3), np.uint8), labels=[1, 2], class_names=["a", "b"]),
    "label -2 of image 0": dict(images=np.zeros((2, 3, 3), np.uint8), labels=[-2, 0]),
    "label 16777216 of image 0": dict(images=np.zeros((2, 3, 3), np.uint8), labels=[1 << 24, 0]),
    "one-hot": dict(images=np.zeros((2, 3, 3), np.uint8), labels=np.eye(2)),
    "whole numbers": dict(images=np.zeros((2, 3, 3), np.uint8), labels=[0.0, 1.0]),
    "not text": dict(images=np.zeros((2, 3, 3), np.uint8), class_names=[1, 2]),
    "not finite": dict(images=np.array([[[1, 2.0]], [[3, np.nan]]], np.float32)),
    "give --range": dict(images=np.ones((2, 3, 3), np.float32)),
}


@pytest.mark.parametrize("message", BAD_ARRAYS)
def test_bad_arrays(tmp_path, message):
    np.savez(tmp_path / "a.npz", **BAD_ARRAYS[message])
    assert message in refused(3, "pack", tmp_path / "a.npz", tmp_path / "o.h5")
    assert not list(tmp_path.glob("*.h5*"))


def test_npz_whose_header_lies(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 50, 8, 8)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", header.getvalue() + bytes(64))
    assert "holds" in refused(3, "pack", tmp_path / "a.npz", tmp_path / "o.h5")


def test_npz_whose_header_and_directory_lie(tmp_path):
    header, file = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 31, 1, 1)})
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("images.npy", header.getvalue() + bytes(64))
    whole = bytearray(file.getvalue())
    for sizes in whole.index(b"PK\3\4") + 18, whole.index(b"PK\1\2") + 20:
        whole[sizes : sizes + 8] = struct.pack("<II", *[(1 << 31) + len(header.getvalue())] * 2)
    (tmp_path / "a.npz").write_bytes(whole)
    assert "can hold" in refused(3, "pack", tmp_path / "a.npz", tmp_path / "o.h5")


def test_npz_of_too_many_class_names(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|S1", "fortran_order": False, "shape": ((1 << 24) + 1,)})
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 3, 3), np.uint8))
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("class_names.npy", header.getvalue())
    assert "16777217 names" in refused(3, "pack", tmp_path / "a.npz", tmp_path / "o.h5")


def test_values_outside_the_range_given(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.arange(18, dtype=np.float32).reshape(2, 3, 3))
    assert "image 1" in refused(3, "pack", tmp_path / "a.npz", tmp_path / "o.h5", "--range", "0,16.5")


@pytest.mark.parametrize("name", ("420_95.jpg", "progressive.jpg", "palette.png", "rgba_16.png"))
def test_damage(tmp_path, name):
    data = FILES[name]
    for cut in (0, 30, len(data) // 2, len(data) - 40):
        write_tree(tmp_path / "in", {name: data[:cut]})
        assert name in refused(3, "pack", tmp_path / "in", tmp_path / "o.h5")


def test_refuses_what_is_no_image(tmp_path):
    write_tree(tmp_path / "in", {"a/1.png": b"GIF89a" + bytes(50)})
    assert "a/1.png is neither" in refused(3, "pack", tmp_path / "in", tmp_path / "o.h5")
    huge = png(60000, 60000, 8, 0, [b"\0"])
    write_tree(tmp_path / "in", {"a/1.png": huge})
    assert "60000 x 60000" in refused(3, "pack", tmp_path / "in", tmp_path / "o.h5")


def test_names_the_odd_one(tmp_path):
    sizes = {f"a/{i}.png": encoded(Image.fromarray(photo(8, 8 + (i == 7))), "PNG") for i in range(9)}
    write_tree(tmp_path / "in", sizes)
    message = refused(3, "pack", tmp_path / "in", tmp_path / "o.h5")
    assert "a/7.png has 9 x 8" in message and "--size" in message
    pack(tmp_path / "in", tmp_path / "o.h5", "--size", 8)
    (tmp_path / "in/a/5.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert "a/5.png is a damaged PNG" in refused(3, "pack", tmp_path / "in", tmp_path / "p.h5", "--size", 8)
    assert [path.name for path in tmp_path.glob("*.h5*")] == ["o.h5"]


def test_colour_is_never_lost_unasked(tmp_path):
    write_tree(tmp_path / "in", {"a/0.png": FILES["grey.png"], "a/1.png": FILES["rgb.png"]})
    assert "a/1.png has colours" in refused(3, "pack", tmp_path / "in", tmp_path / "o.h5")
    assert pack(tmp_path / "in", tmp_path / "o.h5", "--channels", 3)[0].shape[1] == 3
    write_tree(tmp_path / "back", {"a/1.png": FILES["grey.png"], "a/0.png": FILES["rgb.png"]})
    assert pack(tmp_path / "back", tmp_path / "p.h5")[0].shape[1] == 3


def test_paths_that_cannot_be_looked_at(tmp_path):
    write_tree(tmp_path / "in", class_tree())
    name = "x" * 300
    assert "name too long" in refused(5, "pack", tmp_path / "in", tmp_path / f"{name}.h5")
    assert "name too long" in refused(5, "pack", tmp_path / "in", tmp_path / f"{name}.h5", "--force")
    assert "name too long" in refused(3, "pack", tmp_path / name, tmp_path / "o.h5")
    assert "name too long" in refused(3, "pack", tmp_path / "in", tmp_path / "o.h5", "--subdir", name)


def test_bad_archives(tmp_path):
    tree = class_tree()
    write_tar(tmp_path / "whole.tar", tree, "w")
    data = (tmp_path / "whole.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(data[: len(data) // 3])
    assert "cut.tar" in refused(3, "pack", tmp_path / "cut.tar", tmp_path / "o.h5")
    with zipfile.ZipFile(tmp_path / "flipped.zip", "w") as archive:
        for name, content in tree.items():
            archive.writestr(name, content)
    content = bytearray((tmp_path / "flipped.zip").read_bytes())
    content[content.find(tree["dog/0.png"]) + 60] ^= 1
    (tmp_path / "flipped.zip").write_bytes(content)
    assert "dog/0.png" in refused(3, "pack", tmp_path / "flipped.zip", tmp_path / "o.h5")
    (tmp_path / "text.zip").write_bytes(b"no archive at all" * 100)
    assert "text.zip" in refused(3, "pack", tmp_path / "text.zip", tmp_path / "o.h5")
    (tmp_path / "empty.tar").write_bytes(b"")
    assert "empty.tar" in refused(3, "pack", tmp_path / "empty.tar", tmp_path / "o.h5")
    assert "nowhere" in refused(3, "pack", tmp_path / "nowhere", tmp_path / "o.h5")
    with tarfile.open(tmp_path / "link.tar", "w") as archive:
        link = tarfile.TarInfo("a/2.png")
        link.type, link.linkname = tarfile.LNKTYPE, "a/1.png"
        archive.addfile(link)
    assert "--hard-dereference" in refused(3, "pack", tmp_path / "link.tar", tmp_path / "o.h5")
    assert not list(tmp_path.glob("*.h5*"))


def test_info_and_verify(tmp_path):
    write_tree(tmp_path / "in", class_tree())
    pack(tmp_path / "in", tmp_path / "a.h5")
    pack(tmp_path / "in", tmp_path / "b.h5", "--size", 9, "--channels", 1)
    info = run("info", tmp_path / "a.h5", tmp_path / "b.h5")
    assert info.returncode == 0, info.stderr
    for part in ("7 of 3 x 12 x 12", "7 of 1 x 9 x 9", "uint8 in [0, 255]", "/images, /imgs, /data12x12", "/data9x9", "lanczos to 9", "cat-big", "(no class)", "XXH3-64"):
        assert part in info.stdout, info.stdout
    verified = run("verify", tmp_path / "a.h5", tmp_path / "b.h5")
    assert verified.returncode == 0 and verified.stdout.count("every digest right") == 2, verified
    with h5py.File(tmp_path / "a.h5") as file:
        place = file["images"].id.get_offset()
    with open(tmp_path / "a.h5", "r+b") as file:
        file.seek(place + 5)
        byte = file.read(1)
        file.seek(place + 5)
        file.write(bytes([byte[0] ^ 1]))
    damaged = run("verify", tmp_path / "a.h5", tmp_path / "b.h5")
    assert damaged.returncode == 3 and "b.h5: 7 images" in damaged.stdout, damaged
    assert "a.h5" in damaged.stderr and "block 0" in damaged.stderr and damaged.stderr.count("\n") == 1, damaged.stderr
    assert "nowhere.h5" in refused(3, "verify", tmp_path / "nowhere.h5")
    assert "dataset info" in refused(2, "info")


def test_info_on_attributes_that_are_not_utf8(tmp_path):
    write_tree(tmp_path / "in", class_tree())
    pack(tmp_path / "in", tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file.attrs["source"]
        file.attrs["source"] = np.bytes_(b"caf\xe9")
    info = run("info", tmp_path / "a.h5")
    assert info.returncode == 0 and "caf\ufffd" in info.stdout, info


def test_options(tmp_path):
    write_tree(tmp_path / "in", class_tree())
    source, out = tmp_path / "in", tmp_path / "o.h5"
    for message, *options in (
        ("--size", "--siez", 3),
        ("16384", "--size", 0),
        ("--size", "--size", "many"),
        ("center, none", "--crop", "middle"),
        ("lanczos, box", "--filter", "bicubic"),
        ("1, 3", "--channels", 2),
        ("--range", "--range", "3"),
        ("--range", "--range", "a,1"),
        ("--range", "--range", "3,1"),
        ("--range", "--range", "-1,1"),  # bytes have theirs
    ):
        assert message in refused(2, "pack", source, out, *options)
    assert "SRC and OUT.h5" in refused(2, "pack", source)
    assert "pack" in refused(2, "pakc")
    assert "--subdir" in run("pack", "--help").stdout
    pack(source, out)
    before = out.read_bytes()
    assert "--force" in refused(2, "pack", source, out)
    assert out.read_bytes() == before
    assert pack(source, out, "--force", "--size", 5)[0].shape[2:] == (5, 5)
    np.savez(tmp_path / "a.npz", images=np.zeros((1, 3, 3), np.uint8))
    assert "--subdir" in refused(2, "pack", tmp_path / "a.npz", tmp_path / "p.h5", "--subdir", "a")


def sources_of(path):
    with h5py.File(path) as file:
        return file["sources"][:], bool(file["sources"].attrs["paired"])


@pytest.fixture
def rgb_folder(tmp_path):
    pixels = np.random.default_rng(3).integers(0, 256, (9, 16, 24, 3), dtype=np.uint8)
    files = {f"{'ab'[i % 2]}/{i}.png": encoded(Image.fromarray(image), "PNG") for i, image in enumerate(pixels)}
    write_tree(tmp_path / "in", files)
    return tmp_path / "in"


def test_makes_grey_sources(tmp_path, rgb_folder):
    images, *_ = pack(rgb_folder, tmp_path / "o.h5", "--pairs", "colourise")
    sources, paired = sources_of(tmp_path / "o.h5")
    assert paired and sources.shape == (9, 1, 16, 24) and sources.dtype == np.uint8
    for image, source in zip(images, sources, strict=True):
        assert np.array_equal(source[0], np.asarray(Image.fromarray(image.transpose(1, 2, 0)).convert("L")))


def test_makes_coarse_sources(tmp_path, rgb_folder):
    images, *_ = pack(rgb_folder, tmp_path / "o.h5", "--pairs", "superres", "--factor", 8)
    sources, paired = sources_of(tmp_path / "o.h5")
    means = np.rint(images.reshape(9, 3, 2, 8, 3, 8).astype(np.float64).mean((3, 5)))
    assert paired and np.array_equal(sources, means.astype(np.uint8).repeat(8, 2).repeat(8, 3))
    assert "--factor 5 does not divide" in refused(
        2, "pack", rgb_folder, tmp_path / "p.h5", "--pairs", "superres", "--factor", 5)


@pytest.mark.parametrize("place", ["center", "random"])
def test_makes_holes(tmp_path, rgb_folder, place):
    files = []
    for threads in ("1", "2"):
        out = tmp_path / f"{threads}.h5"
        environment = {**os.environ, "OMP_NUM_THREADS": threads}
        result = subprocess.run([PROGRAM, "dataset", "pack", rgb_folder, out, "--pairs", "inpaint", "--hole", "0.25",
                                 "--hole-place", place], env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        files.append(sources_of(out)[0])
    assert np.array_equal(*files)
    with h5py.File(tmp_path / "1.h5") as file:
        images = file["images"][:]
    places = set()
    for image, source in zip(images, files[0], strict=True):
        changed = (image != source).any(0)
        top, left = (int(np.flatnonzero(changed.any(axis))[0]) for axis in (1, 0))
        hole = np.zeros((16, 24), bool)
        hole[top:top + 4, left:left + 6] = True
        assert not (changed & ~hole).any()
        for channel in range(3):
            mean = np.floor(image[channel][~hole].mean() + .5)
            assert (source[channel][hole] == mean).all()
        places.add((top, left))
    assert places == {(6, 9)} if place == "center" else len(places) > 4


def test_pairs_a_second_folder_by_path(tmp_path, rgb_folder):
    images, *_ = pack(rgb_folder, tmp_path / "o.h5")
    grey = {}
    for path in rgb_folder.rglob("*.png"):
        pixels = np.asarray(Image.open(path).convert("L"))
        grey[f"{path.parent.name}/{path.stem}.jpg" if path.stem == "3" else f"{path.parent.name}/{path.stem}.png"] = \
            encoded(Image.fromarray(255 - pixels), "PNG")
    write_tree(tmp_path / "second", grey)
    pack(rgb_folder, tmp_path / "p.h5", "--sources", tmp_path / "second", "--paired")
    sources, paired = sources_of(tmp_path / "p.h5")
    assert paired
    for image, source in zip(images, sources, strict=True):
        assert np.array_equal(255 - source[0], np.asarray(Image.fromarray(image.transpose(1, 2, 0)).convert("L")))
    (tmp_path / "second/a/0.png").rename(tmp_path / "second/a/10.png")
    line = refused(3, "pack", rgb_folder, tmp_path / "q.h5", "--sources", tmp_path / "second", "--paired")
    assert "has no image called a/10 to pair" in line
    (tmp_path / "second/a/10.png").unlink()
    line = refused(3, "pack", rgb_folder, tmp_path / "q.h5", "--sources", tmp_path / "second", "--paired")
    assert "holds 9 images and" in line and "holds 8" in line
    assert not (tmp_path / "q.h5").exists() and not (tmp_path / "q.h5.partial").exists()
    pack(rgb_folder, tmp_path / "q.h5", "--sources", tmp_path / "second")
    sources, paired = sources_of(tmp_path / "q.h5")
    assert not paired and len(sources) == 8
    assert "8 of 1 x 16 x 24 uint8, unpaired" in run("info", tmp_path / "q.h5").stdout
    assert "every digest right" in run("verify", tmp_path / "q.h5").stdout


def test_pairs_real_images_with_bytes(tmp_path):
    values = np.linspace(-1, 1, 3 * 7 * 7, dtype=np.float32).reshape(3, 7, 7)
    pixels = np.random.default_rng(4).integers(0, 256, (3, 7, 7, 3), dtype=np.uint8)
    np.savez(tmp_path / "real.npz", images=values)
    np.savez(tmp_path / "bytes.npz", images=pixels)
    images, _, _, attributes = pack(tmp_path / "real.npz", tmp_path / "o.h5", "--range", "-2,2",
                                    "--sources", tmp_path / "bytes.npz", "--paired")
    sources, paired = sources_of(tmp_path / "o.h5")
    assert attributes["value_range"].tolist() == [-2, 2] and np.array_equal(images[:, 0], values)
    assert paired and np.array_equal(sources, pixels.transpose(0, 3, 1, 2))
    assert "every digest right" in run("verify", tmp_path / "o.h5").stdout
    values[2, 3, 3] = np.nan  # the type alone is looked at
    np.savez(tmp_path / "bad.npz", images=values)
    assert "holds float32: a second image set is of uint8" in refused(
        3, "pack", tmp_path / "bytes.npz", tmp_path / "p.h5", "--sources", tmp_path / "bad.npz")


def test_refuses_to_pair_names_with_none(tmp_path, rgb_folder):
    np.savez(tmp_path / "a.npz", images=np.zeros((9, 16, 24), np.uint8))
    for images, sources in ((rgb_folder, tmp_path / "a.npz"), (tmp_path / "a.npz", rgb_folder)):
        line = refused(3, "pack", images, tmp_path / "o.h5", "--sources", sources, "--paired")
        assert f"images of {rgb_folder} have names, those of {tmp_path / 'a.npz'} have none" in line
        assert not (tmp_path / "o.h5").exists()
    pack(rgb_folder, tmp_path / "o.h5", "--sources", tmp_path / "a.npz")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(9, 5), (9, 2, 5)])
def test_packs_embeddings(tmp_path, rgb_folder, dtype, shape):
    values = np.random.default_rng(1).normal(size=shape).astype(dtype)
    np.save(tmp_path / "e.npy", values)
    pack(rgb_folder, tmp_path / "o.h5", "--embeddings", tmp_path / "e.npy")
    with h5py.File(tmp_path / "o.h5") as file:
        assert file["embeddings"].dtype == np.float32
        assert np.array_equal(file["embeddings"][:], values.astype(np.float32))
        assert len(file["integrity/embeddings"]) == 1
    assert f"5 numbers float32, {1 if len(shape) == 2 else 2} an image" in run("info", tmp_path / "o.h5").stdout


def test_refuses_embeddings_of_other_images(tmp_path, rgb_folder):
    def line(values):
        np.save(tmp_path / "e.npy", values)
        return refused(3, "pack", rgb_folder, tmp_path / "o.h5", "--embeddings", tmp_path / "e.npy")

    assert "holds 8 rows for 9 images" in line(np.zeros((8, 5), np.float32))
    assert "save array.astype('float32')" in line(np.zeros((9, 5), np.int64))
    assert "expected [N, E] or [N, K, E]" in line(np.zeros((9,), np.float32))
    bad = np.zeros((9, 5))
    bad[4, 2] = 1e300
    assert "row 4 holds a number that is not finite" in line(bad)
    with open(tmp_path / "long.npy", "wb") as file:  # takes no room
        shape = (9, (1 << 24) + 1)
        np.lib.format.write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + 2 * shape[0] * shape[1])
    assert "16777217 numbers an image, expected at most 16777216" in refused(
        3, "pack", rgb_folder, tmp_path / "o.h5", "--embeddings", tmp_path / "long.npy")
    (tmp_path / "e.npy").write_bytes((tmp_path / "e.npy").read_bytes()[:-1])
    assert "save it again" in refused(3, "pack", rgb_folder, tmp_path / "o.h5", "--embeddings", tmp_path / "e.npy")
    assert not (tmp_path / "o.h5").exists()


def test_refuses_choices_that_exclude_each_other(tmp_path, rgb_folder):
    for options, part in ((["--pairs", "colourise", "--sources", rgb_folder], "give one of them"),
                          (["--paired"], "--sources belong"),
                          (["--hole", "0.5"], "are of --pairs inpaint"),
                          (["--factor", "2"], "is of --pairs superres"),
                          (["--pairs", "inpaint", "--hole", "1"], "leaves nothing"),
                          (["--pairs", "colourise", "--channels", "1"], "takes RGB")):
        assert part in refused(2, "pack", rgb_folder, tmp_path / "o.h5", *options)
