"""Features and resizes against the tools whose scores they stand for, all with random weights.

FEATURES_TOOL is the path of features_tool. Errors are relative L2.
"""

import os
import subprocess
from types import SimpleNamespace

import lpips
import numpy as np
import pytest
import pytorch_fid.inception
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

import dinov2_reference
from inception_reference import make_weights, to_nvidia

torch.set_num_threads(1)
BOUND = 2e-5


def error(ours, theirs):
    assert ours.shape == theirs.shape
    relative = ((ours.double() - theirs.double()).norm() / theirs.double().norm()).item()
    print(f"relative error {relative:.1e}")
    return relative


def tool(*words):
    return subprocess.run([os.environ["FEATURES_TOOL"], *map(str, words)], capture_output=True, text=True,
                          env=os.environ | {"OMP_NUM_THREADS": "1"})


def pictures(count, channels, height, width, seed=0):
    """Smooth shapes under some noise: neither flat nor white."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 5, 5, generator=generator)
    smooth = F.interpolate(coarse, size=(height, width), mode="bicubic")
    noise = torch.rand(count, channels, height, width, generator=generator)
    return ((0.8 * smooth + 0.2 * noise) * 256).clamp(0, 255).to(torch.uint8)


def extract(folder, images, **options):
    save_file({"images": images}, folder / "images.safetensors")
    out = folder / "features.safetensors"
    done = tool("extract", folder / "images.safetensors", out, *(f"{key}={value}" for key, value in options.items()))
    assert done.returncode == 0, done.stderr
    with safe_open(out, "pt") as file:
        return SimpleNamespace(**file.metadata(), **{name: file.get_tensor(name).clone() for name in file.keys()})


def refusal(folder, state, **options):
    """The one line that a file with these tensors is refused with."""
    path = folder / "refused.safetensors"
    save_file(state, path)
    save_file({"images": pictures(1, 3, 32, 32)}, folder / "images.safetensors")
    done = tool("extract", folder / "images.safetensors", folder / "never", f"file={path}",
                *(f"{key}={value}" for key, value in options.items()))
    assert done.returncode == 4, (done.returncode, done.stderr)
    assert done.stderr.count("\n") == 1 and "refused.safetensors" in done.stderr, done.stderr
    assert not (folder / "never").exists()
    return done.stderr


# Resizes.

def pil(plane, size):
    return torch.from_numpy(np.asarray(Image.fromarray(plane.numpy()).resize((size, size), Image.BICUBIC)).copy())


def pil_floats(plane, size):
    return pil(plane.float(), size)


def by_plane(resize):
    return lambda images, size: torch.stack([torch.stack([resize(plane, size) for plane in image]) for image in images])


REFERENCE = {
    "pytorch": lambda images, size: F.interpolate(images.float(), size=(size, size), mode="bilinear",
                                                  align_corners=False),
    "tf1": lambda images, size: interpolate_bilinear_2d_like_tensorflow1x(images.float(), size=(size, size),
                                                                          align_corners=False),
    "clean": by_plane(pil_floats),
    "pillow": by_plane(pil),
}
SHAPES = [(32, 32), (28, 28), (1, 1), (256, 256), (299, 299), (300, 400), (640, 70), (1000, 1000)]


@pytest.mark.parametrize("mode", REFERENCE)
@pytest.mark.parametrize("height, width", SHAPES)
def test_resize(mode, height, width, tmp_path):
    images = pictures(2, 3, height, width)
    save_file({"images": images}, tmp_path / "in")
    assert tool("resize", tmp_path / "in", tmp_path / "out", 299, mode).returncode == 0
    with safe_open(tmp_path / "out", "pt") as file:
        ours = file.get_tensor("images")
    theirs = REFERENCE[mode](images, 299)
    if mode == "pillow":  # a tie that rounds the other way is a whole level
        assert (ours - theirs.float()).abs().max() <= 1
        assert error(ours, theirs) < 5e-4
    else:
        assert error(ours, theirs) < 1e-5


# Inception-v3.

@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    state, plain = make_weights(1), make_weights(2, gamma=False)
    files = SimpleNamespace(state=state, safetensors=folder / "fid.safetensors", zip=folder / "fid.pth",
                            legacy=folder / "fid-old.pth", plain=folder / "plain.safetensors",
                            nvidia=folder / "nvidia.safetensors", plain_zip=folder / "plain.pth")
    save_file({name: tensor for name, tensor in state.items() if "num_batches" not in name}, files.safetensors)
    torch.save(state, files.zip)
    torch.save(state, files.legacy, _use_new_zipfile_serialization=False)
    save_file(plain, files.plain)
    save_file(to_nvidia(plain), files.nvidia)
    torch.save(plain, files.plain_zip)
    return files


IMAGES = pictures(3, 3, 48, 40)


def pytorch_fid_features(state, images):
    pytorch_fid.inception.load_state_dict_from_url = lambda *_, **__: state
    with torch.inference_mode():
        return pytorch_fid.inception.InceptionV3([3]).eval()(images.float() / 255)[0].flatten(1)


@pytest.fixture(scope="module")
def fidelity(weights):
    """torch-fidelity's network, and what its spatial layer gave last."""
    network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"],
                                          feature_extractor_weights_path=str(weights.zip))
    seen = {}
    network.Mixed_6d.branch1x1.register_forward_hook(lambda _, __, out: seen.update(spatial=out))
    with torch.inference_mode():
        pool, logits = network(IMAGES)
    return SimpleNamespace(pool=pool, logits=logits,
                           spatial=seen["spatial"][:, :7].permute(0, 2, 3, 1).reshape(len(IMAGES), -1))


def test_pytorch_fid(weights, tmp_path):
    ours = extract(tmp_path, IMAGES, file=weights.safetensors)
    assert error(ours.pool, pytorch_fid_features(weights.state, IMAGES)) < BOUND
    assert (ours.name, ours.origin, ours.resize, ours.precision, ours.caveat, ours.dimensions) == (
        "inception-v3", "fid.safetensors", "pytorch", "fp32", "", "2048")


def test_torch_fidelity(weights, fidelity, tmp_path):
    ours = extract(tmp_path, IMAGES, file=weights.safetensors, resize="tf1", spatial=1, logits=1)
    assert error(ours.pool, fidelity.pool) < BOUND
    assert error(ours.logits, fidelity.logits) < BOUND
    assert ours.spatial.shape == (len(IMAGES), 2023)
    assert error(ours.spatial, fidelity.spatial) < BOUND


def test_clean(weights, tmp_path):
    """clean-fid: its own resize, then NVIDIA's scaling and network."""
    resized = REFERENCE["clean"](IMAGES, 299)
    pixels = (resized - 128) / 128
    theirs = pytorch_fid_features(weights.state, (pixels + 1) / 2 * 255)
    assert error(extract(tmp_path, IMAGES, file=weights.safetensors, resize="clean").pool, theirs) < BOUND


def test_grey(weights, tmp_path):
    grey = pictures(2, 1, 28, 28)
    ours = extract(tmp_path, grey, file=weights.safetensors)
    assert error(ours.pool, pytorch_fid_features(weights.state, grey.repeat(1, 3, 1, 1))) < BOUND


def test_layouts_and_containers(weights, tmp_path):
    """One digest and the same features, whatever the file."""
    first = extract(tmp_path, IMAGES, file=weights.safetensors, resize="tf1")
    for path in (weights.zip, weights.legacy):
        other = extract(tmp_path, IMAGES, file=path, resize="tf1")
        assert other.digest == first.digest and torch.equal(other.pool, first.pool), path.name
    plain = extract(tmp_path, IMAGES, file=weights.plain, resize="tf1")
    assert plain.digest != first.digest
    nvidia = extract(tmp_path, IMAGES, file=weights.nvidia)
    assert nvidia.resize == "tf1", "NVIDIA's own"
    assert nvidia.digest == plain.digest and torch.equal(nvidia.pool, plain.pool)


def test_bf16_is_near_and_says_so(weights, tmp_path):
    exact = extract(tmp_path, IMAGES, file=weights.safetensors)
    preview = extract(tmp_path, IMAGES, file=weights.safetensors, bf16=1)
    assert 1e-4 < error(preview.pool, exact.pool) < 0.15
    assert preview.precision == "bf16" and "bf16" in preview.caveat and preview.digest == exact.digest


def test_torchvision_has_a_caveat(tmp_path):
    state = make_weights(3, classes=1000, aux=True)
    save_file(state, tmp_path / "torchvision.safetensors")
    ours = extract(tmp_path, IMAGES[:1], file=tmp_path / "torchvision.safetensors", logits=1)
    assert "1,000 classes" in ours.caveat and ours.logits.shape == (1, 1000)


def test_bad_weights_are_refused(weights, tmp_path):
    state = weights.state
    name = "Mixed_7c.branch3x3dbl_3b.conv.weight"
    rest = {key: value for key, value in state.items() if key != name}
    assert f"{name} is missing" in refusal(tmp_path, rest)
    assert f"{name} is [384,384,3,2], expected [384,384,3,1]" in refusal(
        tmp_path, rest | {name: torch.zeros(384, 384, 3, 2)})
    assert "not finite" in refusal(tmp_path, rest | {name: torch.full((384, 384, 3, 1), float("nan"))})
    variance = "Conv2d_1a_3x3.bn.running_var"
    assert "negative variance" in refusal(tmp_path, state | {variance: -torch.ones(32)})
    alexnet = {"features.0.weight": torch.zeros(64, 3, 11, 11), "features.0.bias": torch.zeros(64)}
    assert "2 tensors (\"features.0.bias\", ...) are not those" in refusal(tmp_path, alexnet)
    assert "0 tensors" in refusal(tmp_path, {})


# DINOv2.

@pytest.mark.parametrize("changes", [{}, {"registers": 4}, {"swiglu": True}, {"learned": 16}], ids=str)
def test_dinov2(changes, tmp_path):
    state = dinov2_reference.make_weights(5, **changes)
    torch.save(state, tmp_path / "dino.pth")
    images = pictures(2, 3, 96, 80)
    theirs = dinov2_reference.class_token(state, REFERENCE["pillow"](images, 224))
    ours = extract(tmp_path, images, file=tmp_path / "dino.pth")
    # A pixel that rounds the other way before the network is worth more than its arithmetic.
    assert error(ours.pool, theirs) < 2e-3
    clean = extract(tmp_path, images, file=tmp_path / "dino.pth", resize="clean")
    assert error(clean.pool, dinov2_reference.class_token(state, REFERENCE["clean"](images, 224))) < BOUND
    assert ours.name == "dinov2-128x2" + ("-reg" if "registers" in changes else "")
    assert (ours.resize, ours.dimensions) == ("pillow", "128") and "published" in ours.caveat


def test_dinov2_published_size_wants_its_depth(tmp_path):
    state = dinov2_reference.make_weights(5, width=384, depth=11)
    assert "weights of dinov2-vits14" in (line := refusal(tmp_path, state))
    assert "blocks.11.norm1.weight is missing, and 13 more" in line
    state = dinov2_reference.make_weights(5, width=384, depth=12)
    torch.save({"teacher": state}, tmp_path / "nested.pth")
    ours = extract(tmp_path, pictures(1, 3, 32, 32), file=tmp_path / "nested.pth")
    assert (ours.name, ours.caveat, ours.dimensions) == ("dinov2-vits14", "", "384")


# TorchScript.

class StandIn(torch.nn.Module):
    """NVIDIA's calling convention with a network of two layers."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 20, 5, stride=3)
        self.output = torch.nn.Linear(20, 7)

    def forward(self, img: torch.Tensor, return_features: bool = False, use_fp16: bool = False,
                no_output_bias: bool = False) -> torch.Tensor:
        features = torch.relu(self.first(img.float() / 255)).mean((2, 3))
        if return_features:
            return features
        if no_output_bias:
            return torch.softmax(features @ self.output.weight.t(), 1)
        return torch.softmax(self.output(features), 1)


class Other(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_torchscript(tmp_path):
    torch.manual_seed(6)
    module = StandIn().eval()
    torch.jit.script(module).save(tmp_path / "program.pt")
    images = pictures(19, 3, 40, 30)
    ours = extract(tmp_path, images, file=tmp_path / "program.pt", logits=1)
    with torch.inference_mode():
        assert error(ours.pool, module(images, return_features=True)) < 1e-6
        assert error(torch.softmax(ours.logits, 1), module(images, no_output_bias=True)) < 1e-6
        grey = extract(tmp_path, images[:, :1].contiguous(), file=tmp_path / "program.pt")
        assert error(grey.pool, module(images[:, :1].repeat(1, 3, 1, 1), return_features=True)) < 1e-6
    assert (ours.name, ours.dimensions, ours.origin) == ("torchscript", "20", "program.pt")
    assert "program" in ours.caveat


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_torchscript_refusals(tmp_path):
    torch.jit.script(Other()).save(tmp_path / "other.pt")
    torch.jit.script(StandIn()).save(tmp_path / "program.pt")
    save_file({"images": pictures(1, 3, 32, 32)}, tmp_path / "in")
    for words, code, text in [(("other.pt", ""), 4, "takes no return_features"),
                              (("program.pt", "resize=clean"), 2, "give neither resize nor bf16"),
                              (("program.pt", "spatial=1"), 2, "has no spatial features")]:
        done = tool("extract", tmp_path / "in", tmp_path / "out", f"file={tmp_path / words[0]}", *filter(None, words[1:]))
        assert done.returncode == code and text in done.stderr and done.stderr.count("\n") == 1, done.stderr


# LPIPS.

def lpips_of_its_authors(features, heads):
    """The lpips package's distance of images [N, 3, H, W], as [N], in double precision with these weights."""
    network = lpips.LPIPS(net="vgg", pretrained=False, pnet_rand=True, verbose=False).double().eval().requires_grad_(False)
    # Its trunk keeps torchvision's numbers within slices.
    own = {name.rsplit(".", 2)[-2] + "." + name.rsplit(".", 1)[1]: tensor for name, tensor in network.net.named_parameters()}
    with torch.no_grad():
        for name, tensor in features.items():
            own.pop(name.removeprefix("features.")).copy_(tensor)
        for level, head in enumerate(network.lins):
            head.model[1].weight.copy_(heads[f"lin{level}.model.1.weight"])
    assert not own
    return lambda a, b: network(a.double(), b.double()).flatten()


@pytest.mark.filterwarnings("ignore::UserWarning")  # lpips asks torchvision in an old way
def test_lpips(tmp_path):
    torch.manual_seed(7)
    trunk = torchvision.models.vgg16(weights=None).requires_grad_(False)
    heads = {f"lin{level}.model.1.weight": torch.rand(1, width, 1, 1)
             for level, width in enumerate((64, 128, 256, 512, 512))}
    a, b = (pictures(3, 3, 48, 40, seed).float() / 127.5 - 1 for seed in (1, 2))
    save_file({"a": a, "b": b}, tmp_path / "pairs")
    features = {name: tensor for name, tensor in trunk.state_dict().items() if name.startswith("features")}
    torch.save(features, tmp_path / "vgg16.pth")
    torch.save(heads, tmp_path / "heads.pth")
    slices = {0: 1, 2: 1, 5: 2, 7: 2, 10: 3, 12: 3, 14: 3, 17: 4, 19: 4, 21: 4, 24: 5, 26: 5, 28: 5}
    whole = {f"net.slice{slices[int(name.split('.')[1])]}.{name.split('.', 1)[1]}": tensor
             for name, tensor in features.items()}
    torch.save(whole | heads, tmp_path / "whole.pth")
    seen = []
    for names in (("vgg16.pth", "heads.pth"), ("whole.pth", "whole.pth")):
        done = tool("lpips", tmp_path / "pairs", tmp_path / "out", *(tmp_path / name for name in names))
        assert done.returncode == 0, done.stderr
        with safe_open(tmp_path / "out", "pt") as file:
            seen.append((file.get_tensor("distances").clone(), file.metadata()["digest"]))
    assert torch.equal(seen[0][0], seen[1][0]) and seen[0][1] == seen[1][1]
    assert error(seen[0][0], lpips_of_its_authors(features, heads)(a, b)) < BOUND
    done = tool("lpips", tmp_path / "pairs", tmp_path / "out", tmp_path / "heads.pth", tmp_path / "heads.pth")
    assert done.returncode == 4 and "features.0.weight is missing, and 25 more" in done.stderr
