"""Schedules and solvers against diffusers' schedulers, step by step: the network's output is sin(x + t / 1000).

Errors are relative L2.
"""

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EDMDPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
)

from diffusion_tool import error, tool

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


def follow(theirs, ours):
    """Steps are compared on the very path that is ours: theirs is kept in float32, of 1 - beta that were rounded before a
    thousand of them are multiplied. test_schedule and test_edm hold our path to what theirs is made of."""
    path = ours["sigma"] / ours["alpha"]
    assert error(path, theirs.sigmas.double()) < 1e-4
    theirs.sigmas = path


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
    check_steps(ours, trajectory, 1e-6)


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
    check_steps(ours, trajectory, 1e-6)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_dpm_solver(prediction, tmp_path):
    theirs = scheduler(DPMSolverMultistepScheduler, "cosine", prediction, timestep_spacing="trailing",
                       algorithm_type="dpmsolver++", solver_order=2, solver_type="midpoint", final_sigmas_type="zero",
                       lower_order_final=True)
    x, _, ours = solve(tmp_path, 20, f"{ddpm_options('cosine', prediction)} sampler.solver=dpm++2m sampler.clip=false")
    theirs.set_timesteps(20)
    follow(theirs, ours)
    trajectory = []
    for t in theirs.timesteps:
        x = theirs.step(output(x, t), t, x).prev_sample
        trajectory.append(x)
    check_steps(ours, trajectory, 1e-6)


def test_euler(tmp_path):
    """Theirs steps in x / alpha."""
    theirs = scheduler(EulerDiscreteScheduler, "linear", "eps", timestep_spacing="trailing")
    x, _, ours = solve(tmp_path, 20, f"{ddpm_options('linear', 'eps')} sampler.solver=euler sampler.clip=false")
    theirs.set_timesteps(20)
    follow(theirs, ours)
    x = x / ours["alpha"][0]
    trajectory = []
    for i, t in enumerate(theirs.timesteps):
        x = theirs.step(output(theirs.scale_model_input(x, t).double(), t), t, x).prev_sample.double()
        trajectory.append(x * ours["alpha"][i + 1])
    check_steps(ours, trajectory, 1e-6)


@pytest.mark.parametrize("solver, kind", [("euler", EDMEulerScheduler), ("dpm++2m", EDMDPMSolverMultistepScheduler)])
def test_edm(solver, kind, tmp_path):
    theirs = kind(sigma_min=0.002, sigma_max=80, sigma_data=0.5, rho=7)
    x, _, ours = solve(tmp_path, 18, f"diffusion.process=edm sampler.solver={solver} sampler.clip=false", scale=80)
    theirs.set_timesteps(18)
    assert error(ours["sigma"], theirs.sigmas.double()) < 1e-6
    follow(theirs, ours)
    trajectory = []
    for i, t in enumerate(theirs.timesteps):
        seen = x / (ours["sigma"][i] ** 2 + 0.25).sqrt()
        theirs.scale_model_input(x, t)
        x = theirs.step(output(seen, ours["sigma"][i].log() / 4), t, x).prev_sample.double()
        trajectory.append(x)
    check_steps(ours, trajectory, 1e-6)


CHURN = dict(churn=30, churn_least=0.05, churn_most=50, churn_noise=1.007)


@pytest.mark.parametrize("churn", [{}, CHURN], ids=["plain", "churn"])
def test_edm_heun(churn, tmp_path):
    """Against algorithm 2 of arXiv 2206.00364, written from the paper."""
    told = " ".join(f"sampler.{key}={value}" for key, value in churn.items())
    x, noises, ours = solve(tmp_path, 18, f"diffusion.process=edm sampler.solver=heun sampler.clip=false {told}", scale=80)
    sigmas = np.append((80 ** (1 / 7) + np.arange(18) / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7, 0)

    def denoised(x, sigma):
        c_skip, c_out = 0.25 / (sigma**2 + 0.25), sigma * 0.5 / np.sqrt(sigma**2 + 0.25)
        return c_skip * x + c_out * output(x / np.sqrt(sigma**2 + 0.25), np.log(sigma) / 4)

    trajectory = []
    for sigma, next_sigma, noise in zip(sigmas, sigmas[1:], noises):
        if churn and churn["churn_least"] <= sigma <= churn["churn_most"]:
            higher = sigma * (1 + min(churn["churn"] / 18, np.sqrt(2) - 1))
            x, sigma = x + np.sqrt(higher**2 - sigma**2) * churn["churn_noise"] * noise, higher
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
    check_steps(ours, trajectory, 1e-6)


def test_flow_heun(tmp_path):
    theirs = FlowMatchHeunDiscreteScheduler(num_train_timesteps=1000)
    x, _, ours = solve(tmp_path, 20, "diffusion.process=flow sampler.solver=heun sampler.clip=false")
    theirs.set_timesteps(20)
    sigmas = torch.linspace(1, 0.05, 20, dtype=torch.float64)  # in the place of its own, which end at 1 / 1000
    theirs.sigmas = torch.cat([sigmas[:1], sigmas[1:].repeat_interleave(2), torch.zeros(1)])
    theirs.timesteps = 1000 * torch.cat([sigmas[:1], sigmas[1:].repeat_interleave(2)])
    trajectory = []
    for t in theirs.timesteps:
        x = theirs.step(output(x, t), t, x, return_dict=False)[0].double()
        if theirs.state_in_first_order:
            trajectory.append(x)
    check_steps(ours, [*trajectory, x], 1e-6)
