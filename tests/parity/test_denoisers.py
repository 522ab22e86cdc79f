"""Denoisers against diffusers, at the same random weights; the gradients are those of a random linear function of the output.

Errors are relative L2.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from diffusers import DiTTransformer2DModel, UNet2DModel

from diffusion_tool import error, tool

BOUND = {torch.float32: 1e-5, torch.float64: 1e-9}


def randomise(model, seed=0):
    """Nothing is zero or one, as at the start: every path counts."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            fan = parameter[0].numel() if parameter.dim() > 1 else 25
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / fan**0.5)
            if "norm" in name and name.endswith("weight") and parameter.dim() == 1:
                parameter.add_(1)
    return model


def inputs(shape, out_channels, classes, dtype, times):
    generator = torch.Generator().manual_seed(1)
    count = shape[0]
    return {
        "x": torch.randn(shape, generator=generator).to(dtype),
        "condition": torch.tensor(times[:count], dtype=torch.float64),
        "labels": torch.randint(0, classes, (count,), generator=generator),
        "g": torch.randn(count, out_channels, *shape[2:], generator=generator).to(dtype),
    }


def compare(ours, out, gradients, dtype):
    """`gradients` by our names."""
    worst = error(ours.pop("out"), out)
    print(f"output {worst:.1e}")
    assert worst < BOUND[dtype]
    assert {f"gradient.{name}" for name in gradients} == set(ours)
    # A bias of keys does not change a softmax: its gradient is rounding.
    scale = torch.stack([gradient.double().norm() for gradient in gradients.values()]).max()
    for name, gradient in gradients.items():
        if "to_k.bias" in name:
            assert ours[f"gradient.{name}"].double().norm() < BOUND[dtype] * scale, name
            continue
        relative = error(ours[f"gradient.{name}"], gradient)
        worst = max(worst, relative)
        assert relative < BOUND[dtype], (name, relative)
    print(f"gradients {worst:.1e}")


UNETS = {
    "ddpm": ("unet.symmetric_padding=false unet.eps=1e-6",
             dict(downsample_padding=0, norm_eps=1e-6, flip_sin_to_cos=False, freq_shift=1, attention_head_dim=None)),
    "ldm": ("unet.head_channels=8 unet.cosine_first=true unet.frequency_shift=0",
            dict(attention_head_dim=8, flip_sin_to_cos=True, freq_shift=0)),
    "scale-shift": ("unet.scale_shift=true unet.head_channels=4",
                    dict(resnet_time_scale_shift="scale_shift", attn_norm_num_groups=8, attention_head_dim=4,
                         flip_sin_to_cos=False, freq_shift=1)),
    "resampling": ("unet.residual_resampling=true unet.scale_shift=true unet.head_channels=16",
                   dict(downsample_type="resnet", upsample_type="resnet", resnet_time_scale_shift="scale_shift",
                        attn_norm_num_groups=8, attention_head_dim=16, flip_sin_to_cos=False, freq_shift=1)),
}


@pytest.mark.parametrize("dtype", BOUND, ids=["fp32", "fp64"])
@pytest.mark.parametrize("name", UNETS)
def test_unet(name, dtype, tmp_path):
    compare_unet(*UNETS[name], name == "resampling", dtype, tmp_path)


@pytest.mark.parametrize("dtype", BOUND, ids=["fp32", "fp64"])
def test_unet_beside_a_source(dtype, tmp_path):
    compare_unet(*UNETS["ldm"], False, dtype, tmp_path, source_channels=2)


def compare_unet(options, arguments, resampling, dtype, tmp_path, source_channels=0):
    plain = ("ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D") if resampling else ("DownBlock2D", "UpBlock2D")
    model = randomise(UNet2DModel(
        sample_size=16, in_channels=3 + source_channels, out_channels=3, layers_per_block=2, block_out_channels=(16, 32, 48),
        down_block_types=(plain[0], "AttnDownBlock2D", plain[0]), up_block_types=(plain[1], "AttnUpBlock2D", plain[1]),
        norm_num_groups=8, num_class_embeds=5,
        **arguments)).to(dtype).eval()
    tensors = inputs((3, 3 + source_channels, 16, 16), 3, 5, dtype, [7.0, 500.0, 999.0])
    x = tensors["x"].clone().requires_grad_()
    out = model(x, tensors["condition"], class_labels=tensors["labels"]).sample
    (out * tensors["g"]).sum().backward()
    weights = {f"weight.{key}": value.detach() for key, value in model.named_parameters()}
    ours = tool("network", tmp_path, tensors | weights,
                "unet.resolution=16 unet.channels=16,32,48 unet.blocks=2 unet.attention=8 unet.groups=8 "
                f"unet.classes=5 diffusion.source_channels={source_channels} {options}")
    compare(ours, out.detach(), {"x": x.grad} | {key: p.grad for key, p in model.named_parameters()}, dtype)


EMBEDDERS = {"timestep_embedder": "time_embedder", "class_embedder": "class_embedder"}


def our_name(name):
    """diffusers repeats in each block the embedders that our network has once."""
    for theirs, ours in EMBEDDERS.items():
        if f".norm1.emb.{theirs}." in name:
            return f"{ours}.{name.split(f'{theirs}.')[1]}"
    return name


@pytest.mark.parametrize("dtype", BOUND, ids=["fp32", "fp64"])
@pytest.mark.parametrize("patch", [2, 4])
def test_dit(patch, dtype, tmp_path):
    model = randomise(DiTTransformer2DModel(
        num_attention_heads=4, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=3, sample_size=16,
        patch_size=patch, num_embeds_ada_norm=5, norm_eps=1e-6)).to(dtype).eval()
    with torch.no_grad():
        shared = {}
        for name, parameter in model.named_parameters():
            if ".norm1.emb." in name:
                parameter.copy_(shared.setdefault(our_name(name), parameter.clone()))
    tensors = inputs((3, 4, 16, 16), 8, 6, dtype, [7, 500, 999])
    x = tensors["x"].clone().requires_grad_()
    out = model(x, timestep=tensors["condition"].long(), class_labels=tensors["labels"]).sample
    (out * tensors["g"]).sum().backward()
    weights, gradients = {}, {"x": x.grad}
    for name, parameter in model.named_parameters():
        ours = our_name(name)
        weights[f"weight.{ours}"] = parameter.detach()
        # The first block's time and label reach the last map too: the sum is what the shared embedder gets.
        if parameter.grad is not None:
            gradients[ours] = gradients.get(ours, 0) + parameter.grad
    ours = tool("network", tmp_path, tensors | weights,
                f"diffusion.network=dit dit.resolution=16 dit.patch={patch} dit.depth=3 dit.width=32 dit.heads=4 "
                "dit.classes=5 without_label=1 learned_variance=1")
    compare(ours, out.detach(), gradients, dtype)


def ddpmpp(w, x, condition, labels, augmentation, base, blocks, levels, groups=4):
    """DDPM++ by the formulas of its papers; `w`: weights by name. Labels after the last stand for none."""
    def linear(name, v):
        return F.linear(v, w[f"{name}.weight"], w.get(f"{name}.bias"))

    def convolution(name, h):
        return F.conv2d(h, w[f"{name}.weight"], w[f"{name}.bias"], padding="same")

    def norm(name, h):
        return F.group_norm(h, groups, w[f"{name}.weight"], w[f"{name}.bias"], 1e-6)

    def attention(name, x):
        tokens = norm(f"{name}.group_norm", x).flatten(2).transpose(1, 2)
        q, k, v = (linear(f"{name}.to_{part}", tokens) for part in "qkv")
        mixed = torch.softmax(q @ k.transpose(1, 2) / q.shape[-1] ** 0.5, -1) @ v
        return (x + linear(f"{name}.to_out.0", mixed).transpose(1, 2).view_as(x)) / 2**0.5

    def stage(name, x, resize=lambda h: h):
        block = f"{name}.resnet"
        h = convolution(f"{block}.conv1", resize(F.silu(norm(f"{block}.norm1", x))))
        h = h + linear(f"{block}.time_emb_proj", emb)[:, :, None, None]
        h = convolution(f"{block}.conv2", F.silu(norm(f"{block}.norm2", h)))
        beside = resize(x)
        if f"{block}.conv_shortcut.weight" in w:
            beside = convolution(f"{block}.conv_shortcut", beside)
        y = (beside + h) / 2**0.5
        return attention(f"{name}.attention", y) if f"{name}.attention.to_q.weight" in w else y

    halved, doubled = (lambda h: F.avg_pool2d(h, 2)), (lambda h: F.interpolate(h, scale_factor=2.0))
    angles = condition[:, None].float() * torch.exp(-math.log(10000) * torch.arange(base // 2) / (base // 2 - 1))
    known = torch.cat([angles.sin(), angles.cos()], 1).to(x.dtype)
    count = w["class_embedding.weight"].shape[1]
    known = known + linear("class_embedding", F.one_hot(labels, count + 1)[:, :count].to(x.dtype) * count**0.5)
    known = known + linear("augmentation", augmentation)
    emb = F.silu(linear("time_embedding.linear_2", F.silu(linear("time_embedding.linear_1", known))))
    h = convolution("conv_in", x)
    kept, number = [h], 0
    for level in range(levels):
        for resize in [halved] * (level > 0) + [lambda h: h] * blocks:
            kept.append(h := stage(f"down_blocks.{number}", h, resize))
            number += 1
    h = stage("mid_block.1", stage("mid_block.0", h))
    number = 0
    for level in reversed(range(levels)):
        for resize in [None] * (blocks + 1) + [doubled] * (level > 0):
            h = stage(f"up_blocks.{number}", h, resize) if resize else stage(f"up_blocks.{number}", torch.cat([h, kept.pop()], 1))
            number += 1
    assert not kept
    return convolution("conv_out", F.silu(norm("conv_norm_out", h)))


def ddpmpp_shapes(base, channels, blocks, attends, classes, figures):
    """The network's tensors; `attends`: levels with attention."""
    shapes = {}

    def weighted(name, out, into, kernel=None, bias=True):
        shapes[f"{name}.weight"] = (out, into) if kernel is None else (out, into, kernel, kernel)
        if bias:
            shapes[f"{name}.bias"] = (out,)

    def norm(name, width):
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (width,)

    def stage(name, into, out, attention=False, resized=False):
        norm(f"{name}.resnet.norm1", into)
        weighted(f"{name}.resnet.conv1", out, into, 3)
        weighted(f"{name}.resnet.time_emb_proj", out, 4 * base)
        norm(f"{name}.resnet.norm2", out)
        weighted(f"{name}.resnet.conv2", out, out, 3)
        if into != out or resized:
            weighted(f"{name}.resnet.conv_shortcut", out, into, 1)
        if attention:
            norm(f"{name}.attention.group_norm", out)
            for part in ("to_q", "to_k", "to_v", "to_out.0"):
                weighted(f"{name}.attention.{part}", out, out)

    weighted("conv_in", base, 3, 3)
    weighted("class_embedding", base, classes)
    weighted("augmentation", base, figures, bias=False)
    weighted("time_embedding.linear_1", 4 * base, base)
    weighted("time_embedding.linear_2", 4 * base, 4 * base)
    into, kept, number = base, [base], 0
    for level, out in enumerate(channels):
        for resized in [True] * (level > 0) + [False] * blocks:
            stage(f"down_blocks.{number}", into, into if resized else out, not resized and level in attends, resized)
            into = into if resized else out
            kept.append(into)
            number += 1
    stage("mid_block.0", into, into, True)
    stage("mid_block.1", into, into)
    number = 0
    for level, out in reversed(list(enumerate(channels))):
        for j in range(blocks + 1):
            stage(f"up_blocks.{number}", into + kept.pop(), out, j == blocks and level in attends)
            into, number = out, number + 1
        if level > 0:
            stage(f"up_blocks.{number}", into, into, resized=True)
            number += 1
    norm("conv_norm_out", into)
    weighted("conv_out", 3, into, 3)
    return shapes


@pytest.mark.parametrize("dtype", BOUND, ids=["fp32", "fp64"])
def test_ddpmpp(dtype, tmp_path):
    shapes = ddpmpp_shapes(16, (16, 32), 2, {1}, 5, 9)
    model = torch.nn.ParameterDict({name.replace(".", "/"): torch.empty(shape) for name, shape in shapes.items()})
    randomise(model).to(dtype)
    weights = {name.replace("/", "."): parameter for name, parameter in model.items()}
    tensors = inputs((3, 3, 16, 16), 3, 6, dtype, [-1.5, 0.1, 1.0])
    tensors["labels"][0] = 5  # none
    tensors["augmentation"] = torch.randn(3, 9, generator=torch.Generator().manual_seed(2)).to(dtype)
    x = tensors["x"].clone().requires_grad_()
    out = ddpmpp(weights, x, tensors["condition"], tensors["labels"], tensors["augmentation"], 16, 2, 2)
    (out * tensors["g"]).sum().backward()
    ours = tool("network", tmp_path, tensors | {f"weight.{name}": tensor.detach() for name, tensor in weights.items()},
                "diffusion.network=ddpmpp ddpmpp.resolution=16 ddpmpp.base=16 ddpmpp.channels=16,32 ddpmpp.blocks=2 "
                "ddpmpp.attention=8 ddpmpp.groups=4 ddpmpp.classes=5 without_label=1 augmentation=9")
    compare(ours, out.detach(), {"x": x.grad} | {name: tensor.grad for name, tensor in weights.items()}, dtype)


def test_ddpmpp_counts_what_edm_counts():
    count = lambda classes: sum(math.prod(shape) for shape in ddpmpp_shapes(128, (256,) * 3, 4, {1}, classes, 9).values())
    assert count(10) == 55_735_299 and count(0) == 55_733_891 + 128  # without classes there is no bias of theirs
