"""First stages against diffusers' AutoencoderKL and VQModel, at the same random weights, and a step of their training against
the formulas. BIGGAN_STEP and DIFFUSION_TOOL are the paths of the programs.

Errors are relative L2.
"""

import pytest
import torch
from diffusers import AutoencoderKL, VQModel

from diffusion_tool import error, tool
from step_comparison import run_ours
from test_denoisers import BOUND, randomise
from translation_reference import PatchGAN

SHAPE = "first_stage.resolution=32 first_stage.channels=8,16,24 first_stage.groups=4 first_stage.latent_channels=3"


def model_of(kind, attention, **others):
    """Three levels of 32, 16 and 8 pixels, attention at 16 if asked for."""
    plain = ("DownEncoderBlock2D", "UpDecoderBlock2D")
    attending = ("AttnDownEncoderBlock2D", "AttnUpDecoderBlock2D") if attention else plain
    arguments = dict(in_channels=3, out_channels=3, down_block_types=(plain[0], attending[0], plain[0]),
                     up_block_types=(plain[1], attending[1], plain[1]), block_out_channels=(8, 16, 24), layers_per_block=2,
                     latent_channels=3, norm_num_groups=4) | others
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
        # Sums over all positions, whose terms cancel.
        assert relative < 3 * BOUND[dtype], (name, relative)
    print(f"gradients {worst:.1e}")


STEP = (f"train.batch=4 train.accumulate=1 perturb=0.05 updates=6 {SHAPE} reconstruction.discriminator_channels=4 "
        "reconstruction.patch_layers=2 reconstruction.adversarial_from=1 reconstruction.kl=0.1 first_stage.blocks=2 "
        "first_stage.codes=20 first_stage.attention=none")
STEPS = {
    "kl": f"kl-f4 {STEP}",
    "kl-accumulated": f"kl-f4 {STEP} train.batch=6 train.accumulate=2 reconstruction.adversarial=2",
    "kl-l2-without-slopes": f"kl-f4 {STEP} reconstruction.distance=l2 reconstruction.gradient=0",
    "kl-bounded": f"kl-f4 {STEP} reconstruction.most_adaptive=0.5",
    "kl-alone": f"kl-f4 {STEP} reconstruction.adversarial=0",
    "vq": f"vq-f4 {STEP}",
    "vq-accumulated": f"vq-f4 {STEP} train.batch=6 train.accumulate=2 reconstruction.commitment=0.3 reconstruction.codebook=2",
}


def distance(x, y, options, perceptual):
    """[N]: means over an image of the difference, and of that of its slopes or what is `perceptual`."""
    difference = y - x
    mean = lambda value: value.flatten(1).mean(1)
    total = mean(difference.abs() if options["distance"] == "l1" else difference.square())
    if perceptual:
        return total + perceptual(x, y)
    slopes = mean((difference[:, :, 1:] - difference[:, :, :-1]).abs()) + mean((difference[..., 1:] - difference[..., :-1]).abs())
    return total + options.getfloat("gradient") * slopes


def reference_step(recipe, record, perceptual=None):
    """What one step makes of the recorded state, images and noise, from the formulas of autoencoder_method.h."""
    o, stage, batch = recipe["reconstruction"], recipe["first_stage"], recipe["train"].getint("batch")
    kind = stage["latent"]
    model = model_of(kind, False).double()
    judge = PatchGAN(o, 3, "batch").double()
    for name, network in (("autoencoder", model), ("discriminator", judge)):
        with torch.no_grad():
            for key, parameter in network.named_parameters():
                parameter.copy_(record[f"before/{name}/weight/{key}"])
    images, noises = (sorted_values(record, f"observed/autoencoder.{name}/") for name in ("image", "eps"))
    far, fooling, extra, fakes = 0, 0, 0, []
    for k, x in enumerate(images):
        moments = model.quant_conv(model.encoder(x))
        if kind == "vq":
            codes = model.quantize.embedding.weight
            places = moments.permute(0, 2, 3, 1)
            nearest = codes[(places[..., None, :] - codes).square().sum(-1).argmin(-1)].permute(0, 3, 1, 2)
            squares = lambda a, b: (a - b).square().flatten(1).mean(1).sum() / batch
            extra = extra + o.getfloat("commitment") * squares(moments, nearest.detach()) + \
                o.getfloat("codebook") * squares(nearest, moments.detach())
            z = moments + (nearest - moments).detach()
        else:
            mean, log_variance = moments.chunk(2, 1)
            log_variance = log_variance.clamp(-30, 20)
            divergence = ((mean.square() + log_variance.exp() - log_variance - 1) / 2).sum() / batch
            extra = extra + o.getfloat("kl") * divergence
            z = mean + (log_variance / 2).exp() * noises[k]
        y = model.decoder(model.post_quant_conv(z))
        scale = 1 if kind == "vq" else x[0].numel()
        far = far + scale * distance(x, y, o, perceptual).sum() / batch
        fooling = fooling - judge(y).flatten(1).mean(1).sum() / batch
        fakes.append(y.detach())
    shown, total = {}, far + extra
    if o.getfloat("adversarial") > 0:
        last = model.decoder.conv_out.weight
        norms = [torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (far, fooling)]
        weight = o.getfloat("adversarial") * (norms[0] / (norms[1] + 1e-4)).clamp(0, o.getfloat("most_adaptive"))
        shown["autoencoder.lambda"] = weight
        total = total + weight * fooling
    names, parameters = zip(*model.named_parameters())
    for name, gradient in zip(names, torch.autograd.grad(total, parameters, allow_unused=True)):
        shown[f"autoencoder.gradient.{name}"] = gradient
    if o.getfloat("adversarial") > 0:
        loss = sum((torch.relu(1 - judge(x)).flatten(1).mean(1) + torch.relu(1 + judge(y)).flatten(1).mean(1)).sum()
                   for x, y in zip(images, fakes)) * o.getfloat("discriminator_factor") / batch
        names, parameters = zip(*judge.named_parameters())
        for name, gradient in zip(names, torch.autograd.grad(loss, parameters)):
            shown[f"discriminator.gradient.{name}"] = gradient
    return shown


def sorted_values(record, prefix):
    names = sorted(name for name in record if name.startswith(prefix))
    return [record[name] for name in names]


@pytest.mark.parametrize("case", STEPS)
def test_step(case, tmp_path):
    record, recipe, _ = run_ours(STEPS[case], "fp64", tmp_path)
    expected = reference_step(recipe, record)
    assert len(expected) > 50
    scale = max(value.norm().item() for name, value in expected.items() if name.startswith("autoencoder.gradient"))
    worst = 0
    for name, value in expected.items():
        ours = record[f"observed/{name}/0"]
        if value is None:
            assert not ours.any(), name
            continue
        # Of what is nothing beside the others (a bias before a norm, of keys before a softmax) only rounding is left.
        off = (ours - value).norm().item() / max(value.norm().item(), 1e-6 * (scale if "autoencoder" in name else 1))
        worst = max(worst, off)
        assert off < 1e-8, (name, off)
    print(f"{case}: lambda {expected.get('autoencoder.lambda', 0):.3g}, worst {worst:.1e}")
