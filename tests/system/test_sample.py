"""`ganymede sample`: the same images at any rank count and batch size, in each form of output."""

import shutil

import h5py
import numpy as np
import pytest
from PIL import Image, ImageSequence

from ganymede_runs import DIGITS, cells_of, checkpoints, flip_byte, refusal, some_digits, succeed, training

COUNT = 65


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "run"
    # A learning rate at which the moving average, which begins after two updates, lies far from the weights.
    succeed(2, *training(out, "--checkpoint.every", 5, "--generator.lr", 1e-2, "--generator.ema_start", 2, steps=10))
    return out


def draw(trained, out, *options, ranks=1, count=COUNT):
    """Images [N, C, H, W] and labels as `sample` writes them into an .h5 file."""
    succeed(ranks, "sample", "--from", trained, "--count", count, "--out", out, *options)
    with h5py.File(out) as file:
        return file["images"][:], file["labels"][:]


def furthest(a, b):
    return np.abs(a.astype(int) - b).max()


@pytest.mark.parametrize("statistics", ["running", "batch", "standing"])
def test_rank_count_and_batch_do_not_show(trained, tmp_path, statistics):
    options = ["--batchnorm", statistics, "--seed", 5]
    images, labels = draw(trained, tmp_path / "one.h5", *options)
    assert images.shape == (COUNT, 1, 32, 32) and images.dtype == np.uint8
    assert images.std() > 1 and len({image.tobytes() for image in images}) == COUNT
    for ranks, batch in [(1, 1), (1, 7), (2, 64), (2, 7), (3, 1), (3, 64)]:
        others, other_labels = draw(trained, tmp_path / f"{ranks}-{batch}.h5", *options, "--batch", batch, ranks=ranks)
        assert (other_labels == labels).all(), (ranks, batch)
        assert furthest(others, images) <= 1, (ranks, batch)


def test_each_option_shows(trained, tmp_path):
    images, labels = draw(trained, tmp_path / "plain.h5")
    assert set(labels) <= set(range(10)) and len(set(labels)) > 5
    for options in (["--seed", 1], ["--truncation", 0.3], ["--ema", "false"], ["--batchnorm", "batch"],
                    ["--batchnorm", "standing"]):
        others, other_labels = draw(trained, tmp_path / f"{options[0]}-{options[1]}.h5", *options)
        assert furthest(others, images) > 1, options
        if options[0] != "--seed":
            assert (other_labels == labels).all(), options
    again, _ = draw(trained, tmp_path / "again.h5", "--ema", "true", "--batchnorm", "running", "--seed", 0)
    assert (again == images).all()


def test_fewer_images_are_the_first_of_more(trained, tmp_path):
    images, labels = draw(trained, tmp_path / "more.h5")
    first, first_labels = draw(trained, tmp_path / "first.h5", ranks=2, count=10)
    assert furthest(first, images[:10]) <= 1 and (first_labels == labels[:10]).all()


@pytest.mark.parametrize("classes, expected", [("3,7", [3, 7]), ("4", [4]), ("all", list(range(10)))])
def test_classes_are_taken_in_turn(trained, tmp_path, classes, expected):
    _, labels = draw(trained, tmp_path / "a.h5", "--classes", classes, ranks=2)
    assert labels.tolist() == [expected[i % len(expected)] for i in range(COUNT)]


def test_three_forms_of_output_hold_the_same(trained, tmp_path):
    images, labels = draw(trained, tmp_path / "a.h5", "--classes", "all", count=30)
    common = ["sample", "--from", trained, "--count", 30, "--classes", "all"]
    # The file is a dataset like any other.
    succeed(0, "dataset", "verify", tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        assert [name.decode() for name in file["class_names"][:]] == [str(c) for c in range(10)]

    succeed(2, *common, "--out", tmp_path / "folder")
    files = sorted((tmp_path / "folder").glob("*/*.png"), key=lambda path: path.name)
    assert [path.name for path in files] == [f"{i:06}.png" for i in range(30)]
    assert [int(path.parent.name) for path in files] == labels.tolist()
    for path, image in zip(files, images):
        pixels = np.asarray(Image.open(path))
        assert pixels.shape == (32, 32) and furthest(pixels, image[0]) <= 1

    succeed(2, *common, "--out", tmp_path / "grid.png")
    grid = np.asarray(Image.open(tmp_path / "grid.png"))
    # One class a column, enlarged by a whole factor, with gaps of two pixels.
    pitch = (grid.shape[1] - 2) // 10
    for i, image in enumerate(images):
        top, left = (2 + side * pitch for side in divmod(i, 10))
        cell = grid[top:top + pitch - 2:(pitch - 2) // 32, left:left + pitch - 2:(pitch - 2) // 32]
        assert cell.shape == (32, 32) and furthest(cell, image[0]) <= 1, i


def test_a_folder_that_holds_files_is_refused(trained, tmp_path):
    arguments = ["sample", "--from", trained, "--count", 3, "--out", tmp_path / "folder"]
    succeed(1, *arguments)
    files = sorted((tmp_path / "folder").rglob("*.png"))
    line = refusal(5, 2, *arguments)
    assert "not empty" in line and "folder" in line, line
    assert sorted((tmp_path / "folder").rglob("*.png")) == files


def test_an_average_that_is_not_there_is_refused_where_asked_for(tmp_path):
    out = tmp_path / "run"
    succeed(1, *training(out, "--generator.ema", 0, steps=1))
    line = refusal(2, 2, "sample", "--from", out, "--out", tmp_path / "a.h5", "--ema", "true")
    assert "--ema true" in line and "no moving average" in line, line
    succeed(1, "sample", "--from", out, "--out", tmp_path / "a.h5", "--count", 1)


def test_samples_alone_as_under_mpirun(trained, tmp_path):
    images, labels = draw(trained, tmp_path / "mpi.h5", ranks=2)
    alone, alone_labels = draw(trained, tmp_path / "alone.h5", ranks=0)
    assert furthest(alone, images) <= 1 and (alone_labels == labels).all()


def test_a_named_checkpoint_and_the_newest(trained, tmp_path):
    older, newer = checkpoints(trained)
    images, _ = draw(trained, tmp_path / "run.h5")
    assert (draw(newer, tmp_path / "newer.h5")[0] == images).all()
    assert furthest(draw(older, tmp_path / "older.h5")[0], images) > 1


def test_corrupt_newest_checkpoint_is_passed_over(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    older, newer = checkpoints(run)
    flip_byte(newer / "shard-00000-of-00002.safetensors", -100)
    result = succeed(2, "sample", "--from", run, "--out", tmp_path / "a.h5")
    assert len(result.warnings) == 1 and "step-000000010" in result.warnings[0] and "step 5" in result.out, result.err
    assert "damaged" in refusal(4, 2, "sample", "--from", newer, "--out", tmp_path / "b.h5")
    flip_byte(older / "manifest.json", 500)
    assert "none of the 2 checkpoints" in refusal(4, 2, "sample", "--from", run, "--out", tmp_path / "b.h5")
    assert not (tmp_path / "b.h5").exists()


@pytest.mark.parametrize("code, options, words", [
    (4, ["--from", "nowhere"], ["nowhere", "does not exist"]),
    (4, ["--from", DIGITS], [str(DIGITS)]),
    (4, ["--from", "."], ["no checkpoint"]),
    (2, ["--classes", "3,10"], ["--classes", "10", "0..9"]),
    (2, ["--classes", "seven"], ["--classes", "'seven'"]),
    (2, ["--truncation", "-1"], ["--truncation", "-1", "out of range"]),
    (2, ["--psi", "0.5"], ["--psi", "biggan", "--truncation"]),
    (2, ["--psi", "3"], ["--psi", "out of range"]),
    (2, ["--batchnorm", "stand"], ["--batchnorm", "'stand'", "standing"]),
    (2, ["--count", "0"], ["--count", "out of range"]),
    (2, ["--cuont", "3"], ["--cuont", "did you mean --count?"]),
    (2, ["stray"], ["unexpected", "'stray'"]),
    (2, ["--out", "grid.jpg"], ["grid.jpg", ".png"]),
    (5, ["--out", "nowhere/grid.png"], ["nowhere", "make it first"]),
    (4, ["--from", "x" * 300], ["cannot be reached", "too long"]),
    (2, ["--watchdog.seconds", "-1"], ["--watchdog.seconds", "out of range"]),
], ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else None)
def test_refusals(trained, tmp_path, monkeypatch, code, options, words):
    monkeypatch.chdir(tmp_path)
    arguments = dict(zip(["--from", "--out"], [trained, "a.h5"]))
    rest = []
    if options[0] in arguments:
        arguments[options[0]] = options[1]
    else:
        rest = options
    line = refusal(code, 2, "sample", *(word for pair in arguments.items() for word in pair), *rest)
    assert all(word in line for word in words), line
    assert not list(tmp_path.iterdir())


def picture(trained, out, kind, *options):
    """The file that one, two and three ranks write alike, opened; and what the last of them printed."""
    files = []
    for ranks in (1, 2, 3):
        result = succeed(ranks, "sample", "--from", trained, "--out", out, "--picture", kind, "--batch", 5, *options)
        files.append(out.read_bytes())
        out.unlink()
    assert files[0] == files[1] == files[2]
    out.write_bytes(files[0])
    return Image.open(out), result.out


def test_class_sheet(trained, tmp_path):
    cells = cells_of(picture(trained, tmp_path / "a.png", "classes", "--count", 3)[0], 10, 3)
    assert len({cell.tobytes() for row in cells for cell in row}) == 30
    alike, _ = draw(trained, tmp_path / "a.h5", "--classes", 4, count=3)
    assert furthest(cells[4], alike[:, 0]) <= 1, "column j has the z of image j"


def test_interpolation(trained, tmp_path):
    images, _ = draw(trained, tmp_path / "a.h5", "--classes", 4, count=6)
    options = ["--images", "5,0,2", "--frames", 3, "--classes", 4]
    sphere = cells_of(picture(trained, tmp_path / "a.png", "interpolation", *options)[0], 2, 3)
    succeed(2, "sample", "--from", trained, "--out", tmp_path / "b.png", "--picture", "interpolation", "--path", "lerp", *options)
    line = cells_of(Image.open(tmp_path / "b.png"), 2, 3)
    for cells in (sphere, line):
        for row, (first, last) in enumerate([(5, 0), (0, 2)]):
            assert furthest(cells[row, 0], images[first, 0]) <= 1 and furthest(cells[row, 2], images[last, 0]) <= 1
            assert furthest(cells[row, 1], cells[row, 0]) > 1 and furthest(cells[row, 1], cells[row, 2]) > 1
    assert furthest(sphere[:, 1], line[:, 1]) > 1


def test_film(trained, tmp_path):
    options = ["--count", 3, "--frames", 2, "--classes", 4]
    film, _ = picture(trained, tmp_path / "a.png", "film", *options, "--fps", 10)
    assert film.is_animated and film.n_frames == 6 and film.info["duration"] == 100 and film.info["loop"] == 0
    frames = np.stack([np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(film)])
    assert frames.shape == (6, 256, 256)
    frames = frames[:, ::8, ::8]
    images, _ = draw(trained, tmp_path / "a.h5", "--classes", 4, count=3)
    assert furthest(frames[::2], images[:, 0]) <= 1
    assert len({frame.tobytes() for frame in frames}) == 6
    succeed(2, "sample", "--from", trained, "--out", tmp_path / "frames", "--picture", "film", "--batch", 5, *options)
    files = sorted((tmp_path / "frames").iterdir())
    assert [path.name for path in files] == [f"{i:06}.png" for i in range(6)]
    assert all((np.asarray(Image.open(path)) == frame).all() for path, frame in zip(files, frames))


def test_arithmetic(trained, tmp_path):
    images, _ = draw(trained, tmp_path / "a.h5", "--classes", 4, count=6)
    sheet, _ = picture(trained, tmp_path / "a.png", "arithmetic", "--terms", "5,1-5,1+2", "--classes", 4)
    cells = cells_of(sheet, 3, 7)
    for column, term in enumerate([(5, 1), (5, 1), (2,)]):
        for row, image in enumerate(term):
            assert furthest(cells[row, column], images[image, 0]) <= 1
    assert furthest(cells[2, 2], images[2, 0]) <= 1, "the mean of one"
    assert furthest(cells[2, 0], cells[0, 0]) > 1 and furthest(cells[2, 0], cells[1, 0]) > 1, "the mean of two"
    assert (cells[:, 3] == 255).all() and (cells[1, 2] == 255).all()
    assert furthest(cells[1, 5], images[2, 0]) <= 1, "the sum is in the centre of its square"
    assert len({cell.tobytes() for row in cells[:, 4:] for cell in row}) == 9
    succeed(2, "sample", "--from", trained, "--out", tmp_path / "b.png", "--picture", "arithmetic", "--terms", "3", "--spread", 0)
    square = cells_of(Image.open(tmp_path / "b.png"), 3, 5)[:, 2:]
    assert furthest(square, square[:1, :1]) <= 1


def test_neighbours(trained, tmp_path):
    options = ["--reference", DIGITS, "--neighbours", 3]
    sheet, printed = picture(trained, tmp_path / "a.png", "neighbours", "--images", "4,0", *options)
    cells = cells_of(sheet, 2, 5)
    digits = some_digits(None)[0][:, 0].astype(float)
    for row, image in enumerate((4, 0)):
        distances = np.sqrt(((digits - cells[row, 0]) ** 2).sum((1, 2)))
        nearest = np.argsort(distances, kind="stable")[:3]
        assert (cells[row, 2:] == digits[nearest]).all() and (cells[row, 1] == 255).all()
        assert f"image {image}: " + ", ".join(f"{i} ({distances[i]:.5g})" for i in nearest) in printed
    result = succeed(2, "sample", "--from", trained, "--out", tmp_path / "b.png", "--picture", "neighbours", *options,
                     "--count", 1, "--features", "random")
    assert result.out.count("(") == 3 and result.out not in printed


def test_codes(tmp_path):
    out = tmp_path / "run"
    succeed(1, "train", "--recipe", "dcgan-cifar10", "--data", DIGITS, "--out", out, "--steps", 1, "--train.batch", 4,
            "--train.threads", 1, "--sample.every", 0, "--gan.auxiliary", "infogan", "--dcgan.image_channels", 1,
            "--dcgan.generator_channels", 8, "--dcgan.discriminator_channels", 4, "--dcgan.latent", 12,
            "--dcgan.latent_distribution", "normal", "--infogan.categorical", 4, "--infogan.continuous", 2)
    images = ["--images", "3,0,1", "--frames", 5]
    cells = cells_of(picture(out, tmp_path / "a.png", "codes", *images)[0], 11, 5)
    assert (cells[[3, 7]] == 255).all() and (cells[:3, 4] == 255).all(), "blank rows, and no fifth category"
    for rows, columns in ((slice(0, 3), 4), (slice(4, 7), 5), (slice(8, 11), 5)):
        assert len({cell.tobytes() for row in cells[rows, :columns] for cell in row}) == 3 * columns
    plain = cells_of(picture(out, tmp_path / "b.png", "codes", *images, "--code", 0)[0], 3, 4)
    assert furthest(plain, cells[:3, :4]) <= 1
    drawn, _ = draw(out, tmp_path / "a.h5", count=4)
    for row, image in enumerate((3, 0, 1)):
        assert any(furthest(cell, drawn[image, 0]) <= 1 for cell in plain[row]), "one of the categories is its own"
    assert "codes 0-2" in refusal(2, 2, "sample", "--from", out, "--out", tmp_path / "c.png", "--picture", "codes", "--code", 3)


def test_styles(tmp_path):
    out = tmp_path / "run"
    succeed(1, "train", "--recipe", "stylegan2-cifar10", "--data", DIGITS, "--out", out, "--steps", 1, "--train.batch", 4,
            "--train.threads", 1, "--sample.every", 0, "--stylegan2.image_channels", 1, "--ada.color", "false", "--stylegan2.channel_base", 128,
            "--stylegan2.latent", 16, "--stylegan2.style", 16, "--stylegan2.deviation_group", 4)
    images = ["--images", "3,0,5,1", "--classes", 4]
    cells = cells_of(picture(out, tmp_path / "a.png", "mixing", *images, "--layers", "2-5")[0], 3, 3)
    assert (cells[0, 0] == 255).all()
    succeed(1, "sample", "--from", out, "--out", tmp_path / "b.png", "--picture", "mixing", *images, "--layers", "0-7")
    others = cells_of(Image.open(tmp_path / "b.png"), 3, 3)
    assert furthest(others[0], cells[0]) <= 1 and furthest(others[:, 0], cells[:, 0]) <= 1
    for row in (1, 2):
        for column in (1, 2):
            assert furthest(others[row, column], others[0, column]) <= 1, "all layers are the column's"
            assert furthest(cells[row, column], cells[0, column]) > 1 and furthest(cells[row, column], cells[row, 0]) > 1
    succeed(2, "sample", "--from", out, "--out", tmp_path / "c.png", "--picture", "interpolation", "--images", "3,0",
            "--classes", 4, "--frames", 3, "--path", "w")
    row = cells_of(Image.open(tmp_path / "c.png"), 1, 3)[0]
    assert furthest(row[0], cells[1, 0]) <= 1 and furthest(row[2], cells[2, 0]) <= 1 and furthest(row[1], row[0]) > 1
    line = refusal(2, 2, "sample", "--from", out, "--out", tmp_path / "d.png", "--picture", "mixing", "--layers", "0-8")
    assert "layers 0-7" in line, line


@pytest.mark.parametrize("code, options, words", [
    (2, ["film", "--classes", "3,4"], ["--classes", "one class"]),
    (2, ["film", "--out", "a.gif"], ["a.gif", ".png"]),
    (2, ["interpolation", "--path", "w"], ["--path w", "no styles"]),
    (2, ["codes"], ["--picture codes", "infogan"]),
    (2, ["trajectory"], ["diffusion"]),
    (2, ["classes", "--batchnorm", "batch"], ["--batchnorm batch", "classes"]),
    (3, ["neighbours", "--reference", DIGITS.parent / "nowhere.h5"], ["nowhere.h5"]),
    (4, ["neighbours", "--reference", DIGITS, "--features", "nowhere.pth"], ["nowhere.pth"]),
], ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else None)
def test_pictures_that_cannot_be(trained, tmp_path, monkeypatch, code, options, words):
    monkeypatch.chdir(tmp_path)
    out = [] if "--out" in options else ["--out", "a.png"]
    line = refusal(code, 2, "sample", "--from", trained, *out, "--picture", *options)
    assert all(word in line for word in words), line
    assert not list(tmp_path.iterdir())
