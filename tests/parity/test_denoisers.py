"""Denoisers against diffusers, at the same random weights; the gradients are those of a random linear function of the output.

Errors are relative L2.
"""

import pytest
import torch
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
