"""`ganymede project`: the same results at any rank count, of any GAN; runs of GANs with an encoder."""

import json

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from ganymede_runs import (DIGITS, assert_bit_equal, final_tensors, refusal, some_digits, succeed, write_dataset)

TINY = ["--data", DIGITS, "--steps", 4, "--train.batch", 8, "--train.threads", 1, "--sample.every", 0,
        "--checkpoint.minutes", 0, "--log.every", 1, "--dcgan.generator_channels", 4, "--encoders.channels", 4]
METHODS = {"bigan": ["--recipe", "bigan-digits", "--bigan.posterior", "gaussian"],
           "vae_gan": ["--recipe", "vae-gan-digits", "--dcgan.discriminator_channels", 4],
           "adversarial_autoencoder": ["--recipe", "aae-digits"]}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each method."""
    folder = tmp_path_factory.mktemp("runs")
    for method, options in METHODS.items():
        succeed(2, "train", *options, *TINY, "--out", folder / method)
    return folder


@pytest.fixture(scope="module")
def styles(tmp_path_factory):
    out = tmp_path_factory.mktemp("styles") / "run"
    succeed(1, "train", "--recipe", "stylegan2-cifar10", "--data", DIGITS, "--out", out, "--steps", 1, "--train.batch", 4,
            "--train.threads", 1, "--sample.every", 0, "--stylegan2.image_channels", 1, "--ada.color", "false",
            "--stylegan2.channel_base", 128, "--stylegan2.latent", 16, "--stylegan2.style", 16,
            "--stylegan2.deviation_group", 4)
    return out


def project(run, out, *options, ranks=1):
    succeed(ranks, "project", "--from", run, "--data", DIGITS, "--out", out, *options)
    lines = [json.loads(line) for line in (out / "projections.jsonl").read_text().splitlines()]
    return lines, load_file(out / "latents.safetensors")


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("method", METHODS)
def test_training_goes_on_where_it_was(runs, tmp_path, method):
    shorter = [*METHODS[method], *TINY, "--out", tmp_path / "run"]
    shorter[shorter.index("--steps") + 1] = 2
    succeed(2, "train", *shorter)
    succeed(2, "train", *METHODS[method], *TINY, "--out", tmp_path / "run")
    assert_bit_equal(final_tensors(tmp_path / "run", 4), final_tensors(runs / method, 4))


@pytest.mark.parametrize("method", METHODS)
def test_samples_and_interpolations(runs, tmp_path, method):
    succeed(2, "sample", "--from", runs / method, "--count", 6, "--out", tmp_path / "grid.png")
    succeed(2, "sample", "--from", runs / method, "--count", 2, "--frames", 3, "--picture", "interpolation",
            "--out", tmp_path / "path.png")
    assert Image.open(tmp_path / "grid.png").size[0] > 32


@pytest.mark.parametrize("method, options", [
    ("bigan", ["--steps", 3, "--anomaly"]),
    ("vae_gan", ["--steps", 3, "--loss", "anogan", "--anomaly"]),
    ("adversarial_autoencoder", ["--steps", 0]),
])
def test_the_same_at_any_rank_count(runs, tmp_path, method, options):
    results = []
    for ranks in (1, 2, 3):
        out = tmp_path / f"ranks{ranks}"
        lines, latents = project(runs / method, out, "--count", 7, "--batch", 2, *options, ranks=ranks)
        results.append(files_of(out))
    assert results[0] == results[1] == results[2]
    assert [line["index"] for line in lines] == list(range(7))
    assert latents["z"].shape[0] == 7 and np.isfinite(latents["z"]).all()
    anomaly = ["residual", "features", "anomaly"] if "--anomaly" in options else []
    assert list(lines[0]) == ["index", "distance", *anomaly]
    if anomaly:
        assert all(abs(line["anomaly"] - 0.9 * line["residual"] - 0.1 * line["features"]) < 1e-3 * line["anomaly"]
                   for line in lines)


def test_a_rank_without_images_does_not_hang(runs, tmp_path):
    lines, _ = project(runs / "bigan", tmp_path / "out", "--count", 64, "--batch", 64, "--steps", 300,
                       "--watchdog.seconds", 10, ranks=2)
    assert len(lines) == 64


def test_pictures_show_pairs(runs, tmp_path):
    lines, _ = project(runs / "adversarial_autoencoder", tmp_path / "out", "--count", 7, "--first", 2, "--steps", 0)
    assert [line["index"] for line in lines] == list(range(2, 9))
    sheet = np.asarray(Image.open(tmp_path / "out" / "projections.png"))
    pitch = (sheet.shape[1] - 2) // 12
    assert sheet.shape == (2 + 2 * pitch, 2 + 12 * pitch)
    cells = sheet[2:, 2:].reshape(2, pitch, 12, pitch)[:, :-2, :, :-2].transpose(0, 2, 1, 3)
    cells = cells[:, :, ::(pitch - 2) // 32, ::(pitch - 2) // 32].reshape(24, 32, 32)
    digits = some_digits(9)[0][2:, 0]
    assert (cells[0:14:2] == digits).all(), "originals stand left"
    assert (cells[14:] == 255).all()
    found = (cells[1:14:2].astype(float) - digits) / 127.5
    assert np.allclose((found**2).mean((1, 2)), [line["distance"] for line in lines], atol=0.02)


def test_a_search_comes_nearer(runs, tmp_path):
    near, _ = project(runs / "bigan", tmp_path / "near", "--count", 4, "--steps", 60)
    far, _ = project(runs / "bigan", tmp_path / "far", "--count", 4, "--steps", 0)
    assert all(a["distance"] < b["distance"] for a, b in zip(near, far))


def test_styles(styles, tmp_path):
    for space, shape in (("w", (3, 16)), ("w+", (3, 8, 16))):
        results = []
        for ranks in (1, 2):
            out = tmp_path / f"{space}{ranks}"
            _, latents = project(styles, out, "--count", 3, "--batch", 2, "--steps", 3, "--space", space, ranks=ranks)
            results.append(files_of(out))
        assert results[0] == results[1] and latents[space].shape == shape


@pytest.mark.parametrize("code, run, options, words", [
    (2, "bigan", ["--space", "w"], ["--space w", "no styles"]),
    (2, "bigan", ["--space", "x"], ["--space", "w+"]),
    (2, "bigan", ["--count", 10**6], ["--count 1000000"]),
    (2, "bigan", ["--first", 10**6], ["--first 1000000"]),
    (2, "bigan", ["--out", "a.png"], ["a.png", "folder"]),
    (2, "bigan", ["--anomaly-lambda", 0.2], ["--anomaly"]),
    (2, "bigan", ["--lpips-weight", 2], ["--lpips "]),
    (2, "bigan", ["--noise", 0.1], ["--noise", "--space w"]),
    (2, "bigan", ["--steps", 0, "--space", "w", "--noise", 0.1], ["--noise", "--steps 0"]),
    (2, "bigan", ["--steps", 0, "--lr", 0.1], ["--lr", "--steps 0"]),
    (2, "bigan", ["--steps", 0, "--loss", "l2"], ["--loss", "--steps 0"]),
    (2, "adversarial_autoencoder", ["--anomaly"], ["looks at latents", "--anomaly-lambda 0"]),
    (3, "bigan", ["--data", "nowhere.h5"], ["nowhere.h5"]),
    (3, "bigan", ["--data", "small.h5"], ["small.h5", "1x8x8", "1x32x32"]),
    (4, "nowhere", [], ["nowhere"]),
    (5, "bigan", ["--out", "full"], ["full", "not empty"]),
], ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else None)
def test_what_cannot_be(runs, tmp_path, monkeypatch, code, run, options, words):
    monkeypatch.chdir(tmp_path)
    write_dataset(tmp_path / "small.h5", np.zeros((3, 1, 8, 8), np.uint8), np.zeros(3, np.int64))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    defaults = {"--out": "out", "--data": DIGITS}
    given = [word for key, value in defaults.items() if key not in options for word in (key, value)]
    line = refusal(code, 2, "project", "--from", runs / run, *given, *options)
    assert all(word in line for word in words), line
    assert not (tmp_path / "out").exists()


def test_what_a_generator_of_styles_lacks(styles, tmp_path):
    line = refusal(2, 1, "project", "--from", styles, "--data", DIGITS, "--out", tmp_path / "out", "--steps", 0)
    assert "--steps 0" in line and "none" in line, line
    line = refusal(2, 1, "project", "--from", styles, "--data", DIGITS, "--out", tmp_path / "out", "--anomaly")
    assert "compares images" in line, line


def test_lpips_looks_at_three_channels(runs, tmp_path):
    line = refusal(2, 1, "project", "--from", runs / "bigan", "--data", DIGITS, "--out", tmp_path / "out", "--lpips", "x.pth")
    assert "3 channels" in line, line
