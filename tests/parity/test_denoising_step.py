"""The loss of a step of denoising, and its gradient by the network's output, against the formulas of the papers in float64.

The gradient is seen in that of the last bias, which is its sum over images and places. BIGGAN_STEP is the path of the program.
"""

import math

import pytest
import torch

from diffusion_tool import error
from step_comparison import RECIPES, run_ours
from test_bound import reference as bound_of

SMALL = ("train.batch=12 train.accumulate=1 unet.channels=8,16,16 unet.blocks=1 unet.groups=4 unet.attention=8 "
         "denoiser.warmup=0 perturb=0.1")
PREDICTIONS = ("eps", "x0", "v")
CASES = {prediction: f"ddpm.prediction={prediction} ddpm.min_snr=0" for prediction in PREDICTIONS}
CASES |= {f"{prediction}, min-SNR": f"ddpm.prediction={prediction} ddpm.min_snr=5" for prediction in PREDICTIONS}
CASES |= {
    "absolute": "diffusion.loss=l1 ddpm.prediction=eps ddpm.min_snr=0",
    "cosine": "ddpm.schedule=cosine ddpm.prediction=v ddpm.min_snr=5",
    "learned variance": "ddpm.learned_variance=true ddpm.prediction=eps ddpm.min_snr=0",
    "learned variance, 50 times": "ddpm.learned_variance=true ddpm.steps=50 ddpm.prediction=eps ddpm.min_snr=0",
    "edm": "diffusion.process=edm edm.sigma_data=0.4 sampler.clip=false",
    "flow": "diffusion.process=flow sampler.clip=false",
}


def betas_of(options):
    steps = options.getint("steps")
    if options["schedule"] == "linear":
        return torch.linspace(options.getfloat("beta_first"), options.getfloat("beta_last"), steps, dtype=torch.float64)
    f = torch.cos((torch.arange(steps + 1, dtype=torch.float64) / steps + 0.008) / 1.008 * math.pi / 2) ** 2
    return (1 - f[1:] / f[:-1]).clamp_max(0.999)


def expected(recipe, x0, eps, times, out):
    """What the network is shown, and the loss: the mean over images of a mean over pixels."""
    process, column = recipe["diffusion"]["process"], (-1, 1, 1, 1)
    t, f = times.view(column), out[:, :x0.shape[1]]
    distance = torch.abs if recipe["diffusion"]["loss"] == "l1" else torch.square
    if process == "flow":  # Lipman et al., arXiv 2210.02747: the velocity of the straight path
        return (1 - t) * x0 + t * eps, distance(f - (eps - x0)).mean()
    if process == "edm":  # Karras et al., arXiv 2206.00364, table 1 and equation 8
        data = recipe["edm"].getfloat("sigma_data")
        noisy, total = x0 + t * eps, t**2 + data**2
        denoised = data**2 / total * noisy + t * data / total.sqrt() * f
        return noisy / total.sqrt(), (total / (t * data) ** 2 * (denoised - x0) ** 2).mean()
    options = recipe["ddpm"]
    betas, prediction, gamma = betas_of(options), options["prediction"], options.getfloat("min_snr")
    bar = (1 - betas).cumprod(0)[times.long()].view(column)
    alpha, sigma, snr = bar.sqrt(), (1 - bar).sqrt(), bar / (1 - bar)
    xt = alpha * x0 + sigma * eps
    target = {"eps": eps, "x0": x0, "v": alpha * eps - sigma * x0}[prediction]
    # Hang et al., arXiv 2303.09556: the weight of |x_0 - estimate|^2 is min(SNR, gamma).
    share = {"eps": 1 / snr, "x0": torch.ones_like(snr), "v": 1 / (snr + 1)}[prediction]
    weight = share * snr.clamp_max(gamma) if gamma else torch.ones_like(snr)
    loss = (weight * distance(f - target)).mean()
    if options.getboolean("learned_variance"):
        # Nichol and Dhariwal, arXiv 2102.09672: 0.001 of the sum over times, of which the mean is not to learn.
        estimate = (xt - sigma * f.detach()) / alpha
        loss = loss + len(betas) / 1000 * bound_of(betas, x0, xt, estimate, out[:, x0.shape[1]:], times.long()).mean()
    return xt, loss


def recipe_for(case, folder):
    """ddpm-digits, without its [ddpm] for the other processes."""
    if "process=" not in CASES[case]:
        return "ddpm-digits"
    text = (RECIPES / "ddpm-digits.cfg").read_text()
    (folder / "recipe.cfg").write_text(text[:text.index("[ddpm]")] + text[text.index("[unet]"):])
    return folder / "recipe"


@pytest.mark.parametrize("case", CASES)
def test_step(case, tmp_path):
    record, recipe, _ = run_ours(f"{recipe_for(case, tmp_path)} {SMALL} {CASES[case]}", "fp64", tmp_path)
    seen = {name: record[f"observed/denoiser.{name}/0"].double() for name in ("x0", "eps", "times", "input", "output", "loss")}
    out = seen["output"].clone().requires_grad_()
    shown, loss = expected(recipe, seen["x0"], seen["eps"], seen["times"], out)
    loss.backward()
    bias = next(value for name, value in record.items() if name.startswith("observed/denoiser.gradient.conv_out.bias"))
    figures = {"input": error(seen["input"], shown), "loss": error(seen["loss"], loss.detach()),
               "gradient": error(bias, out.grad.sum((0, 2, 3)))}
    print(f"{case}: loss {loss.item():.4f}, " + ", ".join(f"{name} {worst:.1e}" for name, worst in figures.items()))
    assert max(figures.values()) < 1e-9
    assert out.grad.abs().min() > 0 or case == "absolute"
