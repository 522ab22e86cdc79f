"""First stages against diffusers' AutoencoderKL and VQModel, at the same random weights. DIFFUSION_TOOL is the
path of the program.

Errors are relative L2.
"""

import pytest
import torch
from diffusers import AutoencoderKL, VQModel

from diffusion_tool import error, tool
from test_denoisers import BOUND, randomise

SHAPE = "first_stage.resolution=32 first_stage.channels=8,16,24 first_stage.groups=4 first_stage.latent_channels=3"


def model_of(kind, attention):
    """Three levels of 32, 16 and 8 pixels, attention at 16 if asked for."""
    plain = ("DownEncoderBlock2D", "UpDecoderBlock2D")
    attending = ("AttnDownEncoderBlock2D", "AttnUpDecoderBlock2D") if attention else plain
    arguments = dict(in_channels=3, out_channels=3, down_block_types=(plain[0], attending[0], plain[0]),
                     up_block_types=(plain[1], attending[1], plain[1]), block_out_channels=(8, 16, 24), layers_per_block=2,
                     latent_channels=3, norm_num_groups=4)
    return VQModel(num_vq_embeddings=20, **arguments) if kind == "vq" else AutoencoderKL(**arguments)


def straight_through(model, moments):
    """The nearest vectors, by distances written out, with the gradient of what they stand for."""
    codes = model.quantize.embedding.weight
    places = moments.permute(0, 2, 3, 1)
    indices = (places[..., None, :] - codes).square().sum(-1).argmin(-1)
    theirs = model.quantize(moments)
    assert torch.equal(theirs[2][2], indices.flatten())
    return theirs[0], indices


@pytest.mark.parametrize("dtype", BOUND, ids=["fp32", "fp64"])
@pytest.mark.parametrize("attention", [False, True], ids=["plain", "attention"])
@pytest.mark.parametrize("kind", ["kl", "vq"])
def test_autoencoder(kind, attention, dtype, tmp_path):
    model = randomise(model_of(kind, attention)).to(dtype).eval()
    if kind == "vq":
        with torch.no_grad():
            model.quantize.embedding.weight.mul_(3)
    generator = torch.Generator().manual_seed(1)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)
    channels = 3 if kind == "vq" else 6
    tensors = {"x": draw(2, 3, 32, 32), "g": draw(2, channels, 8, 8), "h": draw(2, 3, 32, 32)}
    x = tensors["x"].clone().requires_grad_()
    moments = model.quant_conv(model.encoder(x))
    expected = {"moments": moments}
    if kind == "vq":
        latent, expected["indices"] = straight_through(model, moments)
    else:
        tensors["eps"] = draw(2, 3, 8, 8)
        posterior = model.encode(x).latent_dist
        latent = posterior.mean + posterior.std * tensors["eps"]
    expected["latent"] = latent
    reconstruction = model.decoder(model.post_quant_conv(latent))
    expected["reconstruction"] = reconstruction
    ((moments * tensors["g"]).sum() + (reconstruction * tensors["h"]).sum()).backward()
    weights = {f"weight.{name}": parameter.detach() for name, parameter in model.named_parameters()}
    ours = tool("autoencoder", tmp_path, tensors | weights, f"{SHAPE} first_stage.latent={kind} first_stage.codes=20 "
                f"first_stage.attention={'16' if attention else 'none'}")
    for name, value in expected.items():
        relative = error(ours.pop(name), value.detach())
        print(f"{name} {relative:.1e}")
        assert relative < BOUND[dtype], name
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None} | {"x": x.grad}
    assert {f"gradient.{name}" for name in gradients} == set(ours)
    scale = max(gradient.double().norm() for gradient in gradients.values())
    worst = 0
    for name, gradient in gradients.items():
        if "to_k.bias" in name:  # of a softmax: nothing but rounding
            assert ours[f"gradient.{name}"].double().norm() < BOUND[dtype] * scale, name
            continue
        relative = error(ours[f"gradient.{name}"], gradient)
        worst = max(worst, relative)
        assert relative < BOUND[dtype], (name, relative)
    print(f"gradients {worst:.1e}")
