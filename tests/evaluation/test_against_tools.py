"""`ganymede evaluate` from files to figures, against the tools whose scores it stands for, with random weights."""

import json
import pathlib
import signal
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import prdc
import pytest
import pytorch_fid.fid_score
import pytorch_fid.inception
import torch
import torch_fidelity
from PIL import Image
from safetensors.torch import save_file
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

for room in ("system", "parity"):
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / room))
import dinov2_reference  # noqa: E402
from ganymede_runs import DIGITS, Job, kill, run  # noqa: E402
from inception_reference import make_weights  # noqa: E402

torch.set_num_threads(1)
COUNT = 16


def pictures(folder, count, seed, low, high):
    """Smooth shapes of 32 pixels under some noise, of contrasts from low to high."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 5, 5, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(32, 32), mode="bicubic")
    noise = torch.rand(count, 3, 32, 32, generator=generator)
    contrast = torch.linspace(low, high, count).view(-1, 1, 1, 1)
    images = ((contrast * smooth + 0.2 * noise) * 256).clamp(0, 255).to(torch.uint8)
    folder.mkdir()
    for i, image in enumerate(images.permute(0, 2, 3, 1).numpy()):
        Image.fromarray(image).save(folder / f"{i:03}.png")
    return images


def evaluate(out, *options, ranks=2):
    result = run(ranks, "evaluate", *options, "--cache", "none", "--json", out)
    assert result.code == 0 and not result.errors, result.err
    scores = json.loads(out.read_text())
    scores["warnings"] = result.warnings
    return scores


def close(ours, theirs, bound):
    relative = abs(ours / theirs - 1)
    print(f"{ours:.12g} {theirs:.12g} {relative:.1e}")
    assert relative < bound


def frechet(a, b):
    """By the singular values of the centred features: right for few samples too."""
    a, b = (np.asarray(x, np.float64) for x in (a, b))
    halves = [(x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (a, b)]
    return (np.sum((a.mean(0) - b.mean(0)) ** 2) + sum(np.sum(h ** 2) for h in halves)
            - 2 * np.linalg.svd(halves[0] @ halves[1].T, compute_uv=False).sum())


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    state = make_weights(1)
    state["fc.weight"] *= 0.03  # of larger logits torch-fidelity's score is no number
    torch.save(state, root / "fid.pth")
    save_file({name: tensor for name, tensor in state.items() if "num_batches" not in name}, root / "fid.safetensors")
    made = SimpleNamespace(root=root, state=state, weights=root / "fid.safetensors", a=root / "a", b=root / "b")
    pictures(made.a, COUNT, 1, 0.1, 0.5)
    pictures(made.b, COUNT, 2, 0.4, 1.2)
    return made


@pytest.fixture(scope="module")
def tool_statistics(sets):
    """The files that pytorch-fid makes of both folders."""
    pytorch_fid.inception.load_state_dict_from_url = lambda *_, **__: sets.state
    files = []
    for folder in (sets.a, sets.b):
        files.append(str(sets.root / f"{folder.name}-theirs.npz"))
        pytorch_fid.fid_score.save_fid_stats([str(folder), files[-1]], 8, "cpu", 2048, num_workers=0)
    return files


def test_pytorch_fid(sets, tool_statistics, tmp_path):
    pytorch_fid.inception.load_state_dict_from_url = lambda *_, **__: sets.state

    value = pytorch_fid.fid_score.calculate_fid_given_paths(tool_statistics, 8, "cpu", 2048, num_workers=0)
    options = ["--from", sets.a, "--features", sets.weights, "--resize", "pytorch"]
    ours = evaluate(tmp_path / "s.json", *options, "--reference", sets.b, "--metrics", "fid", "--statistics",
                    tmp_path / "a.npz")
    close(ours["metrics"]["fid"]["value"], value, 1e-6)
    assert ours["protocol"]["extractor"]["name"] == "inception-v3"
    assert sum("for 2048 dimensions" in warning for warning in ours["warnings"]) == 2
    by_theirs = evaluate(tmp_path / "t.json", *options, "--reference", tool_statistics[1])
    close(by_theirs["metrics"]["fid"]["value"], value, 1e-6)
    # Its own reader takes our file for one of its own.
    read, made = (pytorch_fid.fid_score.compute_statistics_of_path(str(path), None, 8, 2048, "cpu")
                  for path in (tmp_path / "a.npz", tool_statistics[0]))
    for a, b in zip(read, made):
        assert np.linalg.norm(a - b) < 1e-4 * np.linalg.norm(b)


def test_torch_fidelity(sets, tmp_path):
    theirs = torch_fidelity.calculate_metrics(
        input1=str(sets.a), input2=str(sets.b), cuda=False, cache=False, verbose=False, fid=True, isc=True, kid=True,
        prc=True, isc_splits=1, kid_subsets=1, kid_subset_size=COUNT, prc_neighborhood=3, batch_size=8, save_cpu_ram=True,
        feature_extractor="inception-v3-compat", feature_extractor_weights_path=str(sets.root / "fid.pth"))
    assert 0 < theirs["precision"] < 1 and 0 < theirs["recall"] < 1
    ours = evaluate(tmp_path / "s.json", "--from", sets.a, "--reference", sets.b, "--features", sets.weights,
                    "--resize", "tf1", "--metrics", "fid,is,kid,pr", "--splits", 1, "--subsets", 1)["metrics"]
    close(ours["fid"]["value"], theirs["frechet_inception_distance"], 1e-6)
    close(ours["is"]["value"], theirs["inception_score_mean"], 1e-5)
    close(ours["kid"]["value"], theirs["kernel_inception_distance_mean"], 1e-5)
    assert ours["precision"]["value"] == pytest.approx(theirs["precision"])
    assert ours["recall"]["value"] == pytest.approx(theirs["recall"])


class StandIn(torch.nn.Module):
    """NVIDIA's calling convention. Whole weights: features are exact in float32, so the same in any batch."""

    def __init__(self, dimensions: int):
        super().__init__()
        generator = torch.Generator().manual_seed(6)
        self.register_buffer("weights", torch.randint(-4, 5, (dimensions, 3, 5, 5), generator=generator).float())

    def forward(self, img: torch.Tensor, return_features: bool = False, use_fp16: bool = False,
                no_output_bias: bool = False) -> torch.Tensor:
        return torch.relu(torch.conv2d(img.float(), self.weights, stride=9)).sum((2, 3)) / 4096


@pytest.fixture
def stand_in(tmp_path):
    def make(dimensions):
        module = StandIn(dimensions).eval()
        with warnings.catch_warnings(action="ignore"):
            torch.jit.script(module).save(tmp_path / "program.pt")
        return module
    return make


def test_torchscript_with_200_images_in_2048_dimensions(stand_in, tmp_path):
    module = stand_in(2048)
    a, b = (pictures(tmp_path / name, 200, seed, *contrasts)
            for name, seed, *contrasts in (("a", 3, 0.1, 0.6), ("b", 4, 0.4, 0.9)))
    scores = evaluate(tmp_path / "s.json", "--from", tmp_path / "a", "--reference", tmp_path / "b", "--features",
                      tmp_path / "program.pt", "--metrics", "fid,kid,pr,dc", "--subsets", 1, "--neighbours", 5)
    with torch.inference_mode():
        fake, real = (module(images, True).double() for images in (a, b))
    ours = {name: score["value"] for name, score in scores["metrics"].items()}
    close(ours["fid"], frechet(fake, real), 1e-9)
    kid = kid_features_to_metric(fake, real, kid_subsets=1, kid_subset_size=200, verbose=False)
    close(ours["kid"], kid["kernel_inception_distance_mean"], 1e-9)
    fidelity = prc_features_to_metric(fake, real, prc_neighborhood=5, prc_batch_size=500, save_cpu_ram=False, verbose=False)
    coverage = prdc.compute_prdc(real.numpy(), fake.numpy(), 5)
    print(ours, fidelity, coverage)
    assert 0 < ours["precision"] < 1 and 0 < ours["density"] < 1 and 0 < ours["coverage"] < 1
    for name, value in {**coverage, **fidelity}.items():
        if name in ours:
            assert ours[name] == pytest.approx(value, abs=1e-6), name  # torch-fidelity takes shares in float32
    assert any("200" in warning and "2048 dimensions" in warning for warning in scores["warnings"]), scores["warnings"]
    extractor = scores["protocol"]["extractor"]
    assert extractor["name"] == "torchscript" and "program" in extractor["caveat"]


def test_1001_images_at_any_rank_count_and_batch(stand_in, tmp_path):
    """FID from the same features; a sample that were missed, or counted twice, would show in it."""
    module = stand_in(24)
    generator = torch.Generator().manual_seed(8)
    a, b = ((torch.rand(count, 3, 32, 32, generator=generator) * 256 * torch.rand(count, 3, 1, 1, generator=generator))
            .to(torch.uint8) for count in (1001, 503))
    for name, images in (("a", a), ("b", b)):
        np.savez(tmp_path / f"{name}.npz", images=images.permute(0, 2, 3, 1).numpy())
    with torch.inference_mode():
        expected = frechet(module(a, True), module(b, True))
        less, more = (frechet(module(part, True), module(b, True)) for part in (a[:-1], torch.cat((a, a[:1]))))
    assert min(abs(less / expected - 1), abs(more / expected - 1)) > 1e-6
    digests = set()
    for ranks in (1, 2, 3, 4):
        for batch in (1, 7, 64):
            scores = evaluate(tmp_path / "s.json", "--from", tmp_path / "a.npz", "--reference", tmp_path / "b.npz",
                              "--features", tmp_path / "program.pt", "--batch", batch, "--blocks", 1, ranks=ranks)
            close(scores["metrics"]["fid"]["value"], expected, 1e-9)
            protocol = scores["protocol"]
            assert (protocol["ranks"], protocol["batch"], protocol["images"]["count"]) == (ranks, batch, 1001)
            digests.add(protocol["images"]["digest"])  # of indices and pixels
    assert len(digests) == 1


def test_dinov2(tmp_path):
    state = dinov2_reference.make_weights(5)
    torch.save(state, tmp_path / "dino.pth")
    sets = []
    for name, seed, *contrasts in (("a", 5, 0.4, 0.5), ("b", 6, 0.8, 0.9)):
        images = pictures(tmp_path / name, 20, seed, *contrasts).numpy()
        resized = [[np.asarray(Image.fromarray(plane.astype(np.float32)).resize((224, 224), Image.BICUBIC))
                    for plane in image] for image in images]
        sets.append(dinov2_reference.class_token(state, torch.from_numpy(np.asarray(resized))))
    scores = evaluate(tmp_path / "s.json", "--from", tmp_path / "a", "--reference", tmp_path / "b", "--features",
                      tmp_path / "dino.pth", "--resize", "clean", "--metrics", "fd-dinov2")
    close(scores["metrics"]["fd-dinov2"]["value"], frechet(*sets), 1e-4)
    assert scores["protocol"]["extractor"]["name"] == "dinov2-128x2"


def test_a_rank_that_is_lost_publishes_nothing(sets, tmp_path):
    outputs = ["--json", tmp_path / "s.json", "--statistics", tmp_path / "s.npz"]
    with Job(2, "evaluate", "--from", DIGITS, "--reference", sets.b, "--features", sets.weights, "--count", 1500,
             "--batch", 4, "--cache", "none", "--metrics", "fid", *outputs) as job:
        job.wait_for("progress", lambda: "images: " in job.text("err"))
        ranks = job.ranks()
        assert len(ranks) == 2
        kill(ranks[1], signal.SIGKILL)
        result = job.wait(60)
    assert result.code == 128 + signal.SIGKILL, result.err
    assert "fid" not in result.out and not list(tmp_path.iterdir())
