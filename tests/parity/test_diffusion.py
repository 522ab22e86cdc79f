"""Denoisers, schedules and solvers against diffusers.

DIFFUSION_TOOL is the path of diffusion_tool. Networks have the same random weights on both sides; the gradients are those
of a random linear function of the output. Errors are relative L2.
"""

import os
import subprocess

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DiTTransformer2DModel,
    DPMSolverMultistepScheduler,
    EDMDPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    UNet2DModel,
)
from safetensors import safe_open
from safetensors.torch import save_file

torch.set_num_threads(1)
BOUND = {torch.float32: 1e-5, torch.float64: 1e-9}


def error(ours, theirs):
    assert ours.shape == theirs.shape
    return ((ours.double() - theirs.double()).norm() / theirs.double().norm().clamp_min(1e-300)).item()


def tool(verb, folder, tensors, options):
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "in.safetensors")
    subprocess.run(
        [os.environ["DIFFUSION_TOOL"], verb, folder / "in.safetensors", folder / "out.safetensors", *options.split()],
        check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    with safe_open(folder / "out.safetensors", "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}


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
    options, arguments = UNETS[name]
    plain = ("ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D") if name == "resampling" else ("DownBlock2D", "UpBlock2D")
    model = randomise(UNet2DModel(
        sample_size=16, in_channels=3, out_channels=3, layers_per_block=2, block_out_channels=(16, 32, 48),
        down_block_types=(plain[0], "AttnDownBlock2D", plain[0]), up_block_types=(plain[1], "AttnUpBlock2D", plain[1]),
        norm_num_groups=8, num_class_embeds=5,
        **arguments)).to(dtype).eval()
    tensors = inputs((3, 3, 16, 16), 3, 5, dtype, [7.0, 500.0, 999.0])
    x = tensors["x"].clone().requires_grad_()
    out = model(x, tensors["condition"], class_labels=tensors["labels"]).sample
    (out * tensors["g"]).sum().backward()
    weights = {f"weight.{key}": value.detach() for key, value in model.named_parameters()}
    ours = tool("network", tmp_path, tensors | weights,
                "unet.resolution=16 unet.channels=16,32,48 unet.blocks=2 unet.attention=8 unet.groups=8 "
                f"unet.classes=5 {options}")
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


# Schedules and solvers: the network's output is sin(x + t / 1000).

SHAPE = (2, 3, 4, 4)


def start(steps):
    generator = torch.Generator().manual_seed(2)
    draw = lambda: torch.randn(SHAPE, generator=generator, dtype=torch.float64)
    return draw(), [draw() for _ in range(steps)]


def solve(folder, steps, options, scale=1):
    x, noises = start(steps)
    ours = tool("solve", folder, {"x": x * scale} | {f"noise.{i}": noise for i, noise in enumerate(noises)},
                f"sampler.steps={steps} {options}")
    return x * scale, noises, ours


def output(x, t):
    return torch.sin(x + t / 1000)


def check_steps(ours, trajectory, bound):
    worst = max(error(ours[f"x.{i}"], x) for i, x in enumerate(trajectory))
    print(f"worst step {worst:.1e}")
    assert worst < bound


SCHEDULES = {"linear": "linear", "scaled-linear": "scaled_linear", "cosine": "squaredcos_cap_v2"}
PREDICTIONS = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}


def ddpm_options(schedule, prediction):
    return f"ddpm.schedule={schedule} ddpm.prediction={prediction}"


def scheduler(kind, schedule, prediction, **arguments):
    return kind(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule=SCHEDULES[schedule],
                prediction_type=PREDICTIONS[prediction], **arguments)


# Some schedulers keep their schedule in float32, and round 1 - beta before they multiply a thousand of them.
LOOSE = 1e-4


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedule(schedule, tmp_path):
    theirs = scheduler(DDPMScheduler, schedule, "eps")
    _, _, ours = solve(tmp_path, 1000, ddpm_options(schedule, "eps"))
    assert ours["time"][:-1].tolist() == list(range(999, -1, -1))
    bars = (1 - theirs.betas.double()).cumprod(0).flip(0)
    assert error(ours["alpha"][:-1].square(), bars) < 1e-5
    assert error(ours["sigma"][:-1].square(), 1 - bars) < 1e-5


def in_float64(theirs):
    """Its own schedule, computed in float64: what is compared is the step."""
    theirs.alphas_cumprod = (1 - theirs.betas.double()).cumprod(0)
    theirs.alphas, theirs.betas = 1 - theirs.betas.double(), theirs.betas.double()
    theirs.one = torch.tensor(1.0, dtype=torch.float64)
    return theirs


@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_ddpm(prediction, variance, tmp_path, monkeypatch):
    theirs = in_float64(scheduler(DDPMScheduler, "linear", prediction, variance_type=f"fixed_{variance}",
                                  timestep_spacing="leading"))
    x, noises, ours = solve(tmp_path, 50, f"{ddpm_options('linear', prediction)} sampler.solver=ddpm "
                            f"sampler.variance={variance} sampler.spacing=leading")
    theirs.set_timesteps(50)
    drawn = iter(noises)
    monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *_, **__: next(drawn))
    trajectory = []
    for t in theirs.timesteps:
        x = theirs.step(output(x, t), t, x).prev_sample
        trajectory.append(x)
    check_steps(ours, trajectory, 1e-5)


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("eta", [0, 0.7])
def test_ddim(prediction, eta, spacing, tmp_path):
    theirs = in_float64(scheduler(DDIMScheduler, "scaled-linear", prediction, timestep_spacing=spacing))
    theirs.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
    x, noises, ours = solve(tmp_path, 20, f"{ddpm_options('scaled-linear', prediction)} sampler.solver=ddim "
                            f"sampler.eta={eta} sampler.spacing={spacing}")
    theirs.set_timesteps(20)
    trajectory = []
    for t, noise in zip(theirs.timesteps, noises):
        # eps belongs to the clipped image here.
        x = theirs.step(output(x, t), t, x, eta=eta, use_clipped_model_output=True, variance_noise=noise).prev_sample
        trajectory.append(x)
    check_steps(ours, trajectory, 1e-5)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_dpm_solver(prediction, tmp_path):
    theirs = scheduler(DPMSolverMultistepScheduler, "cosine", prediction, timestep_spacing="trailing",
                       algorithm_type="dpmsolver++", solver_order=2, solver_type="midpoint", final_sigmas_type="zero",
                       lower_order_final=True)
    x, _, ours = solve(tmp_path, 20, f"{ddpm_options('cosine', prediction)} sampler.solver=dpm++2m sampler.clip=false")
    theirs.set_timesteps(20)
    trajectory = []
    for t in theirs.timesteps:
        x = theirs.step(output(x, t), t, x).prev_sample
        trajectory.append(x)
    check_steps(ours, trajectory, LOOSE)


def test_euler(tmp_path):
    """Theirs steps in x / alpha."""
    theirs = scheduler(EulerDiscreteScheduler, "linear", "eps", timestep_spacing="trailing")
    x, _, ours = solve(tmp_path, 20, f"{ddpm_options('linear', 'eps')} sampler.solver=euler sampler.clip=false")
    theirs.set_timesteps(20)
    x = x / ours["alpha"][0]
    trajectory = []
    for i, t in enumerate(theirs.timesteps):
        x = theirs.step(output(theirs.scale_model_input(x, t).double(), t), t, x).prev_sample.double()
        trajectory.append(x * ours["alpha"][i + 1])
    check_steps(ours, trajectory, LOOSE)


@pytest.mark.parametrize("solver, kind", [("euler", EDMEulerScheduler), ("dpm++2m", EDMDPMSolverMultistepScheduler)])
def test_edm(solver, kind, tmp_path):
    theirs = kind(sigma_min=0.002, sigma_max=80, sigma_data=0.5, rho=7)
    x, _, ours = solve(tmp_path, 18, f"diffusion.process=edm sampler.solver={solver} sampler.clip=false", scale=80)
    theirs.set_timesteps(18)
    assert error(ours["sigma"], theirs.sigmas.double()) < 1e-6
    trajectory = []
    for i, t in enumerate(theirs.timesteps):
        seen = x / (ours["sigma"][i] ** 2 + 0.25).sqrt()
        theirs.scale_model_input(x, t)
        x = theirs.step(output(seen, ours["sigma"][i].log() / 4), t, x).prev_sample.double()
        trajectory.append(x)
    check_steps(ours, trajectory, LOOSE)


def test_edm_heun(tmp_path):
    """Against algorithm 1 of arXiv 2206.00364 without churn, written from the paper."""
    x, _, ours = solve(tmp_path, 18, "diffusion.process=edm sampler.solver=heun sampler.clip=false", scale=80)
    sigmas = np.append((80 ** (1 / 7) + np.arange(18) / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7, 0)

    def denoised(x, sigma):
        c_skip, c_out = 0.25 / (sigma**2 + 0.25), sigma * 0.5 / np.sqrt(sigma**2 + 0.25)
        return c_skip * x + c_out * output(x / np.sqrt(sigma**2 + 0.25), np.log(sigma) / 4)

    trajectory = []
    for sigma, next_sigma in zip(sigmas, sigmas[1:]):
        slope = (x - denoised(x, sigma)) / sigma
        guess = x + (next_sigma - sigma) * slope
        if next_sigma > 0:
            slope = (slope + (guess - denoised(guess, next_sigma)) / next_sigma) / 2
        x = x + (next_sigma - sigma) * slope
        trajectory.append(x)
    check_steps(ours, trajectory, 1e-9)


def test_flow(tmp_path):
    theirs = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000)
    x, _, ours = solve(tmp_path, 20, "diffusion.process=flow sampler.solver=euler sampler.clip=false")
    theirs.set_timesteps(sigmas=np.linspace(1, 0.05, 20))
    trajectory = []
    for t in theirs.timesteps:
        x = theirs.step(output(x, t), t, x.double(), return_dict=False)[0].double()
        trajectory.append(x)
    check_steps(ours, trajectory, 1e-5)
