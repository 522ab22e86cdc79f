"""`ganymede evaluate` from files to figures, against the tools whose scores it stands for, with random weights."""

import json
import pathlib
import signal
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_fid.fid_score
import pytorch_fid.inception
import torch
import torch_fidelity
from PIL import Image
from safetensors.torch import save_file

for room in ("system", "parity"):
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / room))
import dinov2_reference  # noqa: E402
from ganymede_runs import DIGITS, Job, kill, run  # noqa: E402
from inception_reference import make_weights  # noqa: E402

torch.set_num_threads(2)
COUNT = 16


def pictures(folder, count, seed, contrast):
    """Smooth shapes of 32 pixels under some noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 5, 5, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(32, 32), mode="bicubic")
    noise = torch.rand(count, 3, 32, 32, generator=generator)
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
    torch.save(state, root / "fid.pth")
    save_file({name: tensor for name, tensor in state.items() if "num_batches" not in name}, root / "fid.safetensors")
    made = SimpleNamespace(root=root, state=state, weights=root / "fid.safetensors", a=root / "a", b=root / "b")
    pictures(made.a, COUNT, 1, 0.5)
    pictures(made.b, COUNT, 2, 0.9)
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

    def theirs(*paths):
        return pytorch_fid.fid_score.calculate_fid_given_paths(list(map(str, paths)), 8, "cpu", 2048, num_workers=0)

    value = theirs(*tool_statistics)
    options = ["--from", sets.a, "--features", sets.weights, "--resize", "pytorch"]
    ours = evaluate(tmp_path / "s.json", *options, "--reference", sets.b, "--metrics", "fid", "--statistics",
                    tmp_path / "a.npz")
    close(ours["metrics"]["fid"]["value"], value, 1e-6)
    assert ours["protocol"]["extractor"]["name"] == "inception-v3"
    assert sum("for 2048 dimensions" in warning for warning in ours["warnings"]) == 2
    by_theirs = evaluate(tmp_path / "t.json", *options, "--reference", tool_statistics[1])
    close(by_theirs["metrics"]["fid"]["value"], value, 1e-6)
    close(theirs(tmp_path / "a.npz", tool_statistics[1]), value, 1e-6)


def test_torch_fidelity(sets, tmp_path):
    theirs = torch_fidelity.calculate_metrics(
        input1=str(sets.a), input2=str(sets.b), cuda=False, cache=False, verbose=False, fid=True, isc=True, kid=True,
        prc=True, isc_splits=1, kid_subsets=1, kid_subset_size=COUNT, prc_neighborhood=3, batch_size=8,
        feature_extractor_weights_path=str(sets.root / "fid.pth"))
    assert theirs["precision"] + theirs["recall"] > 0
    ours = evaluate(tmp_path / "s.json", "--from", sets.a, "--reference", sets.b, "--features", sets.weights,
                    "--resize", "tf1", "--metrics", "fid,is,kid,pr", "--splits", 1, "--subsets", 1)["metrics"]
    close(ours["fid"]["value"], theirs["frechet_inception_distance"], 1e-6)
    close(ours["is"]["value"], theirs["inception_score_mean"], 1e-5)
    close(ours["kid"]["value"], theirs["kernel_inception_distance_mean"], 1e-5)
    assert ours["precision"]["value"] == pytest.approx(theirs["precision"])
    assert ours["recall"]["value"] == pytest.approx(theirs["recall"])


class StandIn(torch.nn.Module):
    """NVIDIA's calling convention with as many features as the real one has."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 2048, 5, stride=9)

    def forward(self, img: torch.Tensor, return_features: bool = False, use_fp16: bool = False,
                no_output_bias: bool = False) -> torch.Tensor:
        return torch.relu(self.first(img.float() / 255)).mean((2, 3))


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_torchscript_with_200_images_in_2048_dimensions(tmp_path):
    torch.manual_seed(6)
    module = StandIn().eval()
    torch.jit.script(module).save(tmp_path / "program.pt")
    a, b = (pictures(tmp_path / name, 200, seed, contrast) for name, seed, contrast in (("a", 3, 0.6), ("b", 4, 0.9)))
    scores = evaluate(tmp_path / "s.json", "--from", tmp_path / "a", "--reference", tmp_path / "b", "--features",
                      tmp_path / "program.pt")
    with torch.inference_mode():
        close(scores["metrics"]["fid"]["value"], frechet(module(a, True), module(b, True)), 1e-6)
    assert any("200" in warning and "2048 dimensions" in warning for warning in scores["warnings"]), scores["warnings"]
    extractor = scores["protocol"]["extractor"]
    assert extractor["name"] == "torchscript" and "program" in extractor["caveat"]


def test_dinov2(tmp_path):
    state = dinov2_reference.make_weights(5)
    torch.save(state, tmp_path / "dino.pth")
    sets = []
    for name, seed, contrast in (("a", 5, 0.5), ("b", 6, 0.9)):
        images = pictures(tmp_path / name, 20, seed, contrast).numpy()
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
