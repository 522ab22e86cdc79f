"""LPIPS in the loss of an autoencoder, by weights that the user gives: a step of its training against the formulas, and what
the program says without them. BIGGAN_STEP and GANYMEDE are the paths of the programs.
"""

import pytest
import torch
import torchvision
from safetensors.torch import save_file

import test_exchange  # noqa: F401  puts tests/system on the path
from step_comparison import run_ours
from test_features import lpips_of_its_authors
from test_first_stages import STEP, reference_step

from ganymede_runs import refusal, some_digits, succeed, write_dataset

BOUND = 1e-4  # LPIPS is computed in float32, and a ReLU's slope may turn with its rounding


class Trunk(torch.nn.Module):
    """VGG16's convolutions, of random weights."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.features = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"])
        for layer in self.features:
            if isinstance(layer, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(layer.weight)
        self.requires_grad_(False)


@pytest.fixture(scope="module")
def lpips(tmp_path_factory):
    """The files of trunk and heads, and the distance that they are to give."""
    folder, trunk = tmp_path_factory.mktemp("lpips"), Trunk()
    heads = {f"lin{level}.model.1.weight": torch.rand(1, width, 1, 1) for level, width in enumerate((64, 128, 256, 512, 512))}
    torch.save(trunk.state_dict(), folder / "vgg16.pth")
    save_file(heads, folder / "heads.safetensors")
    return f"{folder / 'vgg16.pth'},{folder / 'heads.safetensors'}", lpips_of_its_authors(trunk.state_dict(), heads)


# Of "kl" the sum over an image's elements, of "vq" the mean; the last with the adaptive weight, which is a ratio of gradients.
STEPS = {
    "kl": f"kl-f4 {STEP} reconstruction.adversarial=0 reconstruction.perceptual=0.7",
    "vq": f"vq-f4 {STEP} reconstruction.adversarial=0 reconstruction.perceptual=2 reconstruction.distance=l2",
    "kl-adversarial": f"kl-f4 {STEP} reconstruction.perceptual=0.7",
}


@pytest.mark.parametrize("case", STEPS)
def test_step_by_lpips(case, lpips, tmp_path):
    files, distance = lpips
    record, recipe, _ = run_ours(f"{STEPS[case]} reconstruction.lpips={files}", "fp64", tmp_path)
    assert recipe["reconstruction"]["lpips"] == files
    factor = recipe["reconstruction"].getfloat("perceptual")
    expected = reference_step(recipe, record, lambda x, y: factor * distance(x, y))
    others = reference_step(recipe, record, lambda x, y: 1.01 * factor * distance(x, y))
    ours = {name: record[f"observed/{name}/0"] for name in expected if name.startswith("autoencoder")}
    whole = lambda values: torch.cat([values[name].flatten() for name in ours if expected[name] is not None])
    off = ((whole(ours) - whole(expected)).norm() / whole(expected).norm()).item()
    seen = ((whole(others) - whole(expected)).norm() / whole(expected).norm()).item()
    print(f"{case}: {off:.1e}, and a factor that is off by a hundredth {seen:.1e}")
    assert off < BOUND < seen


def test_without_weights_the_program_says_what_stands_in(lpips, tmp_path):
    images, labels = some_digits(8)
    data = write_dataset(tmp_path / "digits.h5", images, labels)
    arguments = ["train", "--recipe", "kl-digits", "--data", data, "--steps", 1, "--train.batch", 2, "--train.threads", 1,
                 "--first_stage.channels", "8,16,16", "--sample.every", 0]
    said = [[line for line in succeed(0, *arguments, "--out", tmp_path / name, *more).warnings if "lpips" in line]
            for name, more in (("without", []), ("with", ["--reconstruction.lpips", lpips[0]]))]
    assert len(said[0]) == 1 and "L1 and the difference of slopes" in said[0][0] and not said[1]
    heads = lpips[0].split(",")[1]
    assert "features.0.weight is missing" in refusal(4, 0, *arguments, "--out", tmp_path / "never", "--reconstruction.lpips", heads)
