"""diffusion_tool, whose path is DIFFUSION_TOOL, and what its results are held to."""

import os
import subprocess

import torch
from safetensors import safe_open
from safetensors.torch import save_file

torch.set_num_threads(1)


def error(ours, theirs):
    """Relative L2."""
    assert ours.shape == theirs.shape
    return ((ours.double() - theirs.double()).norm() / theirs.double().norm().clamp_min(1e-300)).item()


def tool(verb, folder, tensors, options):
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "in.safetensors")
    subprocess.run(
        [os.environ["DIFFUSION_TOOL"], verb, folder / "in.safetensors", folder / "out.safetensors", *options.split()],
        check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    with safe_open(folder / "out.safetensors", "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}
