"""`ganymede evaluate` as a user starts it: sources, outputs, other people's statistics, and refusals."""

import json
import os
import pathlib
import sys
import warnings

import numpy as np
import pytest
import scipy.ndimage
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
from ganymede_runs import DIGITS, refusal, run, some_digits, succeed, training, write_dataset  # noqa: E402


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("ganymede_runs").ENVIRONMENT, "XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders of digits in class folders."""
    root = tmp_path_factory.mktemp("folders")
    images, labels = some_digits(240)
    for name, part in (("a", slice(0, 120)), ("b", slice(120, 240))):
        for i, (image, label) in enumerate(zip(images[part], labels[part])):
            folder = root / name / str(label)
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0]).save(folder / f"{i:04}.png")
    return root


def evaluate(out, *options, ranks=1):
    result = run(ranks, "evaluate", *options, "--json", out)
    assert result.code == 0, result.err
    assert not result.errors and result.warnings, result.err
    return json.loads(out.read_text()), result


def test_the_same_at_any_rank_count_and_batch(folders, tmp_path):
    options = ["--from", folders / "a", "--reference", folders / "b", "--metrics", "fid,kid,pr,dc,memorisation,intra-fid",
               "--subsets", 5, "--subset-size", 50]
    first, result = evaluate(tmp_path / "a.json", *options)
    assert "fid" in result.out and "random" in result.out
    for ranks, batch in [(2, 7), (3, 64)]:
        other, _ = evaluate(tmp_path / "b.json", *options, "--batch", batch, ranks=ranks)
        assert other["protocol"]["ranks"] == ranks
        assert other["protocol"]["images"] == first["protocol"]["images"]
        for name, metric in first["metrics"].items():
            assert other["metrics"][name]["value"] == pytest.approx(metric["value"], rel=1e-4, abs=1e-6), name
    protocol = first["protocol"]
    assert protocol["images"]["count"] == 120 and protocol["images"]["kind"] == "folder"
    assert protocol["extractor"]["name"] == "random" and protocol["extractor"]["caveat"]
    assert any("dimensions" in warning for warning in protocol["warnings"])
    assert first["metrics"]["fid"]["features"] == "random"


def test_one_set_in_four_forms_is_one_set(folders, tmp_path):
    succeed(0, "dataset", "pack", folders / "a", tmp_path / "a.h5")
    images = [np.asarray(Image.open(path)) for path in sorted((folders / "a").rglob("*.png"))]
    np.savez(tmp_path / "a.npz", images=np.stack(images))
    import shutil
    shutil.make_archive(tmp_path / "a", "zip", folders / "a")
    for name in ("a.h5", "a.npz", "a.zip"):
        scores, _ = evaluate(tmp_path / "s.json", "--from", tmp_path / name, "--reference", folders / "a", ranks=2)
        assert abs(scores["metrics"]["fid"]["value"]) < 1e-9, name


def test_worse_sets_score_worse(tmp_path):
    images, labels = some_digits(800)
    real, fake, classes = images[:400, 0], images[400:, 0], labels[400:]
    noise = np.random.default_rng(1).normal(size=fake.shape)

    def fid(name, part):
        path = tmp_path / f"{name}.npz"
        np.savez(path, images=part.clip(0, 255).astype(np.uint8)[..., None])
        scores, _ = evaluate(tmp_path / "s.json", "--from", path, "--reference", tmp_path / "real.npz", "--blocks", 1,
                             ranks=0)
        return scores["metrics"]["fid"]["value"]

    np.savez(tmp_path / "real.npz", images=real[..., None])
    assert abs(fid("same", real)) < 1e-9
    whole = fid("whole", fake)
    for kind, parts in {"noise": [fake + amount * noise for amount in (10, 25, 60)],
                        "blur": [scipy.ndimage.gaussian_filter(fake.astype(float), (0, width, width))
                                 for width in (.7, 1.2, 2)],
                        "classes": [fake[classes < kept] for kept in (8, 5, 2)]}.items():
        values = [whole, *(fid(kind, part) for part in parts)]
        print(kind, values)
        assert values == sorted(values) and len(set(values)) == 4, (kind, values)


def test_files_of_one_size_and_time_have_statistics_of_their_own(tmp_path):
    """As unpacked from an archive: their cached statistics must not be taken for each other's."""
    images, _ = some_digits(120)
    for name, part in (("a", images[:60]), ("b", 255 - images[60:])):
        np.savez(tmp_path / f"{name}.npz", images=part.reshape(60, 32, 32, 1))
        os.utime(tmp_path / f"{name}.npz", (1e9, 1e9))
    assert (tmp_path / "a.npz").stat().st_size == (tmp_path / "b.npz").stat().st_size
    scores = [evaluate(tmp_path / "s.json", "--from", tmp_path / "a.npz", "--reference", tmp_path / f"{name}.npz")[0]
              for name in "ab"]
    assert abs(scores[0]["metrics"]["fid"]["value"]) < 1e-9 < 1 < scores[1]["metrics"]["fid"]["value"]


def test_statistics_are_exchanged_with_numpy(folders, tmp_path):
    made = tmp_path / "b.npz"
    succeed_with_warnings = run(2, "evaluate", "--from", folders / "b", "--statistics", made)
    assert succeed_with_warnings.code == 0, succeed_with_warnings.err
    ours = np.load(made)
    mu, sigma = ours["mu"], ours["sigma"]
    assert mu.dtype == sigma.dtype == np.float64 and sigma.shape == (len(mu), len(mu))
    assert json.loads(ours["protocol"].item())["images"]["count"] == 120
    by_images, _ = evaluate(tmp_path / "a.json", "--from", folders / "a", "--reference", folders / "b")
    by_file, _ = evaluate(tmp_path / "b.json", "--from", folders / "a", "--reference", made)
    np.savez_compressed(tmp_path / "foreign.npz", mu=mu, sigma=sigma)
    by_foreign, _ = evaluate(tmp_path / "c.json", "--from", folders / "a", "--reference", tmp_path / "foreign.npz")
    value = by_images["metrics"]["fid"]["value"]
    assert by_file["metrics"]["fid"]["value"] == pytest.approx(value, rel=1e-9)
    assert by_foreign["metrics"]["fid"]["value"] == pytest.approx(value, rel=1e-6)
    assert by_foreign["protocol"]["reference"]["kind"] == "foreign statistics"
    line = refusal(2, 2, "evaluate", "--from", folders / "a", "--reference", made, "--metrics", "kid")
    assert "kid needs the reference's images" in line
    line = refusal(3, 2, "evaluate", "--from", folders / "a", "--reference", made, "--resize", "pytorch")
    assert "resize" in line and "made otherwise" in line


def test_a_run_is_scored_with_the_same_images_at_any_rank_count(tmp_path):
    out = tmp_path / "run"
    succeed(2, *training(out, steps=3))
    options = ["--from", out, "--reference", DIGITS, "--count", 65, "--reference-count", 200]
    first, _ = evaluate(tmp_path / "a.json", *options)
    other, _ = evaluate(tmp_path / "b.json", *options, "--batch", 7, ranks=3)
    assert other["metrics"]["fid"]["value"] == pytest.approx(first["metrics"]["fid"]["value"], rel=1e-2)
    drawn = first["protocol"]["images"]
    assert drawn["step"] == 3 and drawn["batch_norm"] == "running" and drawn["count"] == 65
    assert "ema" in drawn and drawn["truncation"] == 0 and drawn["labels"] == "uniformly random"
    assert first["protocol"]["reference"]["selection"].startswith("random 200 of")
    repeated, _ = evaluate(tmp_path / "c.json", *options, "--repeats", 3)
    assert len(repeated["metrics"]["fid"]["details"]["draws"]) == 3 and repeated["metrics"]["fid"]["error"] > 0


def test_a_run_whose_images_no_network_takes(tmp_path):
    images, labels = some_digits()
    data = write_dataset(tmp_path / "two.h5", np.repeat(images, 2, axis=1), labels)
    two = training(tmp_path / "run", "--biggan.image_channels", 2, data=(data,), steps=1)
    succeed(2, *two)
    line = refusal(3, 2, "evaluate", "--from", tmp_path / "run", "--reference", DIGITS)
    assert "2 channels" in line and "rank" not in line, "all ranks say the same: " + line


class Code:
    """As a pickle: makes a folder when it is read."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


class NotANumber(torch.nn.Module):
    """NVIDIA's calling convention; features are no numbers of images that are bright in one place."""

    def forward(self, img: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        features = torch.nn.functional.avg_pool2d(img.float(), 8).flatten(1)
        return torch.where(features[:, 5:6] > 25, features * float("nan"), features)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Files that are no weights of a network for scores."""
    folder = tmp_path_factory.mktemp("weights")
    save_file({"features.0.weight": torch.zeros(64, 3, 11, 11), "features.0.bias": torch.zeros(64)},
              folder / "other.safetensors")
    state = torchvision.models.inception_v3(weights=None, init_weights=False, aux_logits=False,
                                            num_classes=1008).state_dict()
    del state["Mixed_7c.branch1x1.conv.weight"]
    torch.save(state, folder / "part.pth")
    torch.save({"a": torch.ones(9)}, folder / "cut.pth")
    (folder / "cut.pth").write_bytes((folder / "cut.pth").read_bytes()[:-30])
    torch.save({"a": torch.ones(9), "b": Code()}, folder / "code.pth")
    with warnings.catch_warnings(action="ignore"):
        torch.jit.script(NotANumber()).save(folder / "nan.pt")
    return folder


@pytest.mark.parametrize("code, options, words", [
    (2, ["--metrics", "is"], ["is needs class probabilities", "--features"]),
    (2, ["--metrics", "fdi"], ["'fdi'", "did you mean fid?"]),
    (2, ["--metrics", "fid,fid"], ["twice"]),
    (2, ["--reference", None], ["fid compares with a reference"]),
    (2, ["--resize", "bicubic"], ["--resize", "'bicubic'"]),
    (2, ["--repeats", "3"], ["--repeats", "run"]),
    (3, ["--from", "nowhere"], ["nowhere", "does not exist"]),
    (3, ["--from", "empty"], ["empty"]),
    (3, ["--from", "mixed"], ["2.png has 9 x 9", "0.png has 8 x 8"]),
    (3, ["--count", "500"], ["120 images", "500"]),
    (3, ["--reference", "mixed", "--metrics", "pr"], ["more than 3 images"]),
    (3, ["--metrics", "kid", "--subset-size", "121"], ["subsets of 121"]),
    (3, ["--reference", "broken.npz"], ["broken.npz"]),
    (4, ["--features", "broken.npz"], ["broken.npz"]),
    (2, ["--blocks", "65"], ["--blocks", "1..64"]),
    (3, ["--reference-count", "121"], ["120 images", "121"]),
    (4, ["--features", "other.safetensors"], ["other.safetensors", "are not those of a network"]),
    (4, ["--features", "part.pth"], ["part.pth", "Mixed_7c.branch1x1.conv.weight is missing"]),
    (4, ["--features", "cut.pth"], ["cut.pth", "cut short"]),
    (4, ["--features", "code.pth"], ["code.pth", "holds code (", "mkdir"]),
    (4, ["--features", "nan.pt"], ["of 120 images of b", "not finite"]),
    (5, ["--json", "nowhere/a.json"], ["nowhere"]),
    (5, ["--json", "empty"], ["empty is a folder"]),
    (5, ["--json", "/proc/a.json"], ["/proc/a.json"]),
    (5, ["--statistics", "/proc/a.npz"], ["/proc/a.npz"]),
], ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else None)
def test_refusals(folders, weights, tmp_path, monkeypatch, code, options, words):
    monkeypatch.chdir(tmp_path)
    for file in weights.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    for i, side in enumerate((8, 8, 9)):
        Image.fromarray(np.zeros((side, side), np.uint8)).save(tmp_path / "mixed" / f"{i}.png")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 not really")
    arguments = {"--from": folders / "a", "--reference": folders / "b", "--json": "out.json"}
    arguments |= dict(zip(options[::2], options[1::2]))
    line = refusal(code, 2, "evaluate", *(word for pair in arguments.items() if pair[1] is not None for word in pair))
    assert all(word in line for word in words), line
    assert not (tmp_path / "out.json").exists() and not (tmp_path / "ran").exists()


def test_a_cache_that_cannot_be_written_is_a_warning(folders, tmp_path):
    (tmp_path / "file").write_text("")
    scores, result = evaluate(tmp_path / "a.json", "--from", folders / "a", "--reference", folders / "b", "--cache",
                              tmp_path / "file")
    assert any("not kept" in warning for warning in result.warnings) and scores["metrics"]["fid"]["value"] > 0


def random_lpips(path):
    """VGG16's convolutions and LPIPS's heads in one file, of random weights."""
    torch.manual_seed(9)
    tensors, channels, level = {}, 3, 0
    for number, out in ((0, 64), (2, 64), (5, 128), (7, 128), (10, 256), (12, 256), (14, 256), (17, 512), (19, 512), (21, 512),
                        (24, 512), (26, 512), (28, 512)):
        tensors[f"features.{number}.weight"] = torch.randn(out, channels, 3, 3) * (2 / (9 * channels)) ** 0.5
        tensors[f"features.{number}.bias"] = torch.zeros(out)
        channels = out
    for level, width in enumerate((64, 128, 256, 512, 512)):
        tensors[f"lin{level}.model.1.weight"] = torch.rand(1, width, 1, 1)
    save_file(tensors, path)


def test_path_length_of_a_run(folders, tmp_path):
    out, weights = tmp_path / "run", tmp_path / "lpips.safetensors"
    random_lpips(weights)
    succeed(2, *training(out, steps=3))
    scores = []
    for ranks in (1, 3):
        result = run(ranks, "evaluate", "--from", out, "--metrics", "ppl", "--lpips", weights, "--count", 10, "--json",
                     tmp_path / "s.json")
        assert result.code == 0, result.err
        scores.append(json.loads((tmp_path / "s.json").read_text()))
    first, other = (one["metrics"]["ppl"] for one in scores)
    assert first["value"] > 0 and first["error"] > 0 and first["details"]["paths"] == 10
    assert other["value"] == pytest.approx(first["value"], rel=2e-2)
    assert scores[0]["protocol"]["images"]["truncation"] == 0 and "reference" not in scores[0]["protocol"]
    line = refusal(2, 1, "evaluate", "--from", folders / "a", "--metrics", "ppl", "--lpips", weights)
    assert "a run of a generator" in line
    line = refusal(2, 1, "evaluate", "--from", out, "--metrics", "ppl", "--count", 10)
    assert "--lpips" in line
