#!/usr/bin/env python3
"""Images a second of a family of networks: this program against PyTorch's DistributedDataParallel over gloo.

    tests/bench/train.py [--family biggan|...|all] [--device cpu|cuda] [--ranks 2] [--batch 16] [--pairs 5]
                         [--program build/cpu/ganymede]

The same networks, loss, penalty and batch on the same number of processes, one thread each. The sides take turns,
`--pairs` times; a figure is the median over turns of the median step, its first steps left out, and with them the few in
which a lazy penalty is due. The peer runs in its default form (float32) and in its best tuning: channels_last, bfloat16
autocast, fused Adam, gradients as views of DDP's buckets.

Of GANs a step is one D and one G update; the peer's networks are those of tests/parity. Its batch norm is not
synchronised, as DDP's is by default on CPUs, and a style network's noise is the same in every step: less work than ours.
Of denoisers (ddpm: DDPM's UNet for CIFAR-10; ldm: a UNet of 8 x 8 x 8 latents; dit: DiT-S/4) the peer's networks are
those of diffusers, from what `ganymede export` writes, and run compiled too (torch.compile, beside that tuning).

On GPUs, one a rank, the peer runs eagerly and compiled (torch.compile), both in that tuning, over NCCL if there are
several; a batch has 256 images a rank, and time is taken every 20 steps, so that no one waits for the GPU in between.

Each family's last line is JSON: "ratio" is our images a second over the best peer's, as the median over turns. On a GPU,
"fraction_of_peak" is our arithmetic a second over --peak, the dense bfloat16 peak of one.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import time

from side_by_side import ROOT, launcher, run, run_peer, write_dataset

# Recipe and what it is given beside; those of 512 channels are narrower here.
FAMILIES = {
    "biggan": ("biggan-cifar10", {}),
    "biggan_deep": ("biggan-deep-imagenet128", {"biggan_deep.resolution": 32, "biggan_deep.attention": 16,
                                                "biggan_deep.classes": 10, "biggan_deep.generator_channels": 64,
                                                "biggan_deep.discriminator_channels": 64, "train.accumulate": 1}),
    "dcgan": ("dcgan-cifar10", {}),
    "progressive": ("progressive-cifar10", {"growth.from": 0}),
    "sngan": ("sngan-cifar10", {}),
    "stylegan": ("stylegan-cifar-small", {"growth.from": 0, "stylegan.channel_base": 4096,
                                          "stylegan.most_channels": 128, "stylegan.deviation_group": 4}),
    "stylegan2": ("stylegan2-cifar10", {"stylegan2.most_channels": 128, "stylegan2.deviation_group": 4}),
    "ddpm": ("ddpm-cifar10", {}),
    "ldm": ("ldm-cifar-small", {"unet.channels": "128,256", "unet.attention": "8,4"}),
    "dit": ("dit-s2", {"dit.patch": 4, "dit.image_channels": 3, "dit.classes": 10, "ddpm.learned_variance": "false"}),
}
DENOISERS = ("ddpm", "ldm", "dit")
UNLABELLED = ("ddpm",)
FIRST_STAGES = {"ldm": "kl-cifar-small"}
sys.path.insert(0, str(ROOT / "tests/parity"))

WARM_UP = 2


def write_latents(folder, family):
    """Latents of those images, of a first stage that has learned next to nothing; what `train` is told of them."""
    run([PROGRAM, "train", "--recipe", FIRST_STAGES[family], "--data", folder / "random.h5", "--out", folder / "stage",
         "--steps", 1, "--train.batch", 2, "--sample.every", 0])
    run([PROGRAM, "dataset", "encode", folder / "random.h5", folder / "latents.h5", "--first-stage", folder / "stage"])
    return ["--data", folder / "latents.h5", "--first-stage", folder / "stage"]


def seconds_a_step(clock, every):
    """Of each report, from the clock at its end."""
    return [(b - a) / every for a, b in zip([0] + clock, clock)]


def run_ours(arguments, folder, precision, steps, every):
    """Seconds a step by report, and the losses. Leaves its options for the peer, and of a denoiser the network."""
    out = folder / f"run-{time.monotonic_ns()}"
    recipe, options = FAMILIES[arguments.family]
    denoises = arguments.family in DENOISERS
    run([*launcher(arguments.ranks), PROGRAM, "train", "--recipe", recipe,
         *(f"--{key}={value}" for key, value in options.items()), "--train.device", arguments.device, *arguments.data, "--out", out, "--steps", steps,
         "--train.batch", arguments.ranks * arguments.batch, *([] if denoises else ["--gan.d_steps", "1"]),
         "--train.threads", "1", "--log.every", every, "--sample.every", "0", "--checkpoint.every", "0",
         "--checkpoint.minutes", "0", "--train.precision", precision])
    shutil.copy(out / "config.cfg", folder)
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    if denoises and not (folder / "diffusers").exists():
        run([PROGRAM, "export", "--from", out, "--format", "diffusers", "--out", folder / "diffusers"])
    shutil.rmtree(out)
    return (seconds_a_step([entry["seconds"] for entry in log], every),
            [tuple(entry[name] for name in ("loss_d", "loss_g", "loss") if name in entry) for entry in log])


def run_theirs(arguments, folder, form, steps, every):
    result = run_peer(__file__, arguments.ranks, "--peer", form, "--config", folder / "config.cfg", "--steps", steps,
                      "--every", every, "--batch", arguments.batch, "--device", arguments.device)
    return result["seconds"], result["losses"]


def latent_of(recipe):
    options = recipe[recipe["gan"]["network"]]
    return options.getint("chunk") * 4 if "chunk" in options else options.getint("latent")


def networks(recipe):
    from reference_layers import networks_of

    module = networks_of(recipe)
    return module.Generator(recipe), module.Discriminator(recipe)


def adversarial_step(recipe, wrap, form, batch, device):
    """A D and a G update of the peer: returns the losses."""
    import torch
    import torch.distributed as dist
    from adversarial_reference import LOSSES, gradient_penalty
    from reference_layers import Normalised

    tuned, compiled = form != "default", form == "compiled"
    torch.manual_seed(0)
    generator, discriminator = networks(recipe)
    equalised = recipe["gan"]["network"] in ("progressive", "stylegan", "stylegan2")
    for network in (generator, discriminator):
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
            if tensor.dim() > 1 and equalised:
                tensor.detach().normal_()
            elif tensor.dim() > 1:
                torch.nn.init.orthogonal_(tensor)
            elif name.endswith(".u"):
                tensor.normal_()
            elif name.endswith(".bias"):
                torch.nn.init.zeros_(tensor)
        network.to(device, memory_format=torch.channels_last if tuned else torch.preserve_format)
    torch.manual_seed(1 + dist.get_rank())
    unused = recipe["gan"]["network"] in ("progressive", "stylegan")
    parallel_generator, parallel_discriminator = (wrap(network, unused) for network in (generator, discriminator))
    make = lambda name, network: torch.optim.Adam(
        network.parameters(), lr=recipe[name].getfloat("lr"), eps=recipe[name].getfloat("eps"), fused=tuned,
        betas=(recipe[name].getfloat("beta1"), recipe[name].getfloat("beta2")))
    generator_adam, discriminator_adam = make("generator", generator), make("discriminator", discriminator)
    ema = [parameter.detach().clone() for parameter in generator.parameters()]
    gan, latent = recipe["gan"], latent_of(recipe)
    real_loss, fake_loss, generator_loss = LOSSES[gan["loss"]]
    drift, penalty = gan.getfloat("drift"), gan.getfloat("gradient_penalty")
    penalty = penalty if gan.getint("gradient_penalty_every") == 1 else 0
    kind = torch.device(device).type
    # What no gradient is reduced of goes past DDP.
    no_grad_generator, frozen_discriminator = (
        (parallel_generator, parallel_discriminator) if compiled else (generator, discriminator))

    def begin():
        for network in (generator, discriminator):
            for module in network.modules():
                if isinstance(module, Normalised):
                    module.power_step()

    def draw():
        return torch.randn(batch, latent, device=device), torch.randint(10, (batch,), device=device)

    def step():
        layout = torch.channels_last if tuned else torch.contiguous_format
        real = (torch.rand(batch, 3, 32, 32, device=device) * 2 - 1).to(memory_format=layout)
        labels = torch.randint(10, (batch,), device=device)
        begin()
        discriminator_adam.zero_grad()
        z, fake_labels = draw()
        with torch.autocast(kind, torch.bfloat16, enabled=tuned):
            with torch.no_grad():
                fake = no_grad_generator(z, fake_labels)
            logits = parallel_discriminator(torch.cat([real, fake]), torch.cat([labels, fake_labels]))
            real_logits, fake_logits = logits.float().split(batch)
            loss_d = real_loss(real_logits).mean() + fake_loss(fake_logits).mean() + drift * real_logits.square().mean()
            if penalty:
                noise = torch.rand(batch, device=device)
                loss_d = loss_d + gradient_penalty(gan["gradient_penalty_kind"], penalty, discriminator, real,
                                                   fake, labels, fake_labels, noise).mean()
        loss_d.backward()
        discriminator_adam.step()
        begin()
        generator_adam.zero_grad()
        discriminator.requires_grad_(False)
        z, fake_labels = draw()
        with torch.autocast(kind, torch.bfloat16, enabled=tuned):
            loss_g = generator_loss(frozen_discriminator(parallel_generator(z, fake_labels), fake_labels).float()).mean()
        loss_g.backward()
        discriminator.requires_grad_(True)
        generator_adam.step()
        torch._foreach_lerp_(ema, list(generator.parameters()), 1e-4)
        return loss_d.detach(), loss_g.detach()

    return step


def peer(arguments):
    """One rank of the peer: prints its seconds a step and losses."""
    import torch
    import torch.distributed as dist
    from reference_layers import read_recipe
    from torch.nn.parallel import DistributedDataParallel

    recipe = read_recipe(arguments.config.read_text())
    form, every, device = arguments.peer, arguments.every, arguments.device
    torch.set_num_threads(1)
    gpu = device == "cuda"
    if gpu:
        device = f"cuda:{int(os.environ['RANK']) % torch.cuda.device_count()}"
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True
    dist.init_process_group("nccl" if gpu else "gloo")

    def wrap(network, find_unused=False):
        # One GPU alone needs no reducer, and compiles better without.
        parallel = network if gpu and dist.get_world_size() == 1 else DistributedDataParallel(
            network, gradient_as_bucket_view=form != "default", broadcast_buffers=False,
            find_unused_parameters=find_unused)
        return torch.compile(parallel) if form == "compiled" else parallel

    if recipe["train"]["method"] == "denoising":
        from denoising_peer import denoising_step

        step = denoising_step(recipe, arguments.config.parent / "diffusers", wrap, form, arguments.batch, device)
    else:
        step = adversarial_step(recipe, wrap, form, arguments.batch, device)
    clock, losses, start = [], [], time.perf_counter()
    for number in range(1, arguments.steps + 1):
        losses.append(step())
        if number % every == 0:
            if gpu:
                torch.cuda.synchronize()
            clock.append(time.perf_counter() - start)
    print(json.dumps({"seconds": seconds_a_step(clock, every), "losses": [[part.item() for part in row] for row in losses]}))
    dist.destroy_process_group()


def count_flops(batch):
    """Multiplications and additions of BigGAN's step and rank, in units of 1e9: by PyTorch's counter for the peer. Ours
    differ in the folded kernels alone: 16 products for 36, and in G one row and column of positions more."""
    import torch
    from reference_layers import read_recipe
    from torch.utils.flop_counter import FlopCounterMode

    recipe = read_recipe((ROOT / "launch/recipes/biggan-cifar10.cfg").read_text())
    with torch.device("meta"):
        generator, discriminator = networks(recipe)
        for network in (generator, discriminator):
            for module in network.modules():
                if hasattr(module, "u"):
                    module.v = torch.empty(module.weight[0].numel())
        z, labels = torch.empty(batch, recipe["biggan"].getint("chunk") * 4), torch.zeros(batch, dtype=torch.long)
        with FlopCounterMode(display=False) as counter:
            with torch.no_grad():
                fake = generator(z, labels)
            discriminator(torch.cat([fake, fake]), torch.cat([labels, labels])).sum().backward()
            discriminator.requires_grad_(False)
            discriminator(generator(z, labels), labels).sum().backward()
    total = counter.get_total_flops()
    wide, narrow = (recipe["biggan"].getint(f"{side}_channels") * 4 for side in ("generator", "discriminator"))
    # D's updates run G forward, G's own forward and twice as much backward: 4 passes of `batch` images. D: 2 images
    # forward and twice that backward, then one forward and one backward (no gradients of weights): 8 passes.
    saved = 0
    for resolution in (8, 16, 32):
        half = resolution // 2
        saved += 4 * 2 * wide * wide * (9 * resolution**2 - 16 * (half + 1) ** 2)
    for resolution in (32, 16):
        saved += 8 * 2 * narrow * narrow * (9 * resolution**2 - 16 * (resolution // 2) ** 2)
    return total / 1e9, (total - saved * batch) / 1e9


def rate(arguments, seconds):
    return arguments.ranks * arguments.batch / statistics.median(seconds[WARM_UP:])


def forms_of(arguments):
    """By our precision, the peer's forms that are measured beside it."""
    if arguments.device == "cuda":
        return {"bf16": ["compiled"], "fp32": ["eager"]}
    tuned = ["best", "compiled"] if arguments.family in DENOISERS and not arguments.eager else ["best"]
    return {"bf16": tuned, "fp32": ["default"]}


def bench(arguments):
    """The turns of one family, and its line."""
    gpu = arguments.device == "cuda"
    forms = forms_of(arguments)
    other = forms["fp32"][0]
    rates = {"ours": [], **{f"peer_{form}": [] for form in forms["bf16"]}, "ours_fp32": [], f"peer_{other}": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        write_dataset(PROGRAM, folder / "random.h5", classes=1 if arguments.family in UNLABELLED else 10)
        arguments.data = (write_latents(folder, arguments.family) if arguments.family in FIRST_STAGES
                          else ["--data", folder / "random.h5"])
        for turn in range(arguments.pairs):
            for precision, sides in forms.items():
                timed = arguments.steps, arguments.every
                ours = rates["ours" if precision == "bf16" else "ours_fp32"]
                ours.append(rate(arguments, run_ours(arguments, folder, precision, *timed)[0]))
                for side in sides:
                    rates[f"peer_{side}"].append(rate(arguments, run_theirs(arguments, folder, side, *timed)[0]))
            print(f"{arguments.family}, turn {turn + 1}: "
                  + "  ".join(f"{side} {values[-1]:.2f}" for side, values in rates.items()) + "  images/s", flush=True)
        if arguments.losses:
            half = run_ours(arguments, folder, "bf16", arguments.losses, 1)[1]
            full = run_ours(arguments, folder, "fp32", arguments.losses, 1)[1]
            theirs = run_theirs(arguments, folder, forms["bf16"][0], arguments.losses, 1)[1]
            print(f"losses{' of D and G' * (arguments.family not in DENOISERS)}\n"
                  f"step   ours, bf16         ours, fp32         peer, {forms['bf16'][0]} (its own noise)")
            for step, row in enumerate(zip(half, full, theirs), 1):
                print(f"{step:4}   " + "   ".join(" ".join(f"{part:8.3f}" for part in losses) for losses in row))
    medians = {side: statistics.median(values) for side, values in rates.items()}
    best = [max(turn) for turn in zip(*(rates[f"peer_{form}"] for form in forms["bf16"]))]
    ratio = statistics.median(a / b for a, b in zip(rates["ours"], best))
    other_ratio = statistics.median(a / b for a, b in zip(rates["ours"], rates[f"peer_{other}"]))
    arithmetic = {}
    if arguments.family == "biggan":
        peer_flops, our_flops = count_flops(arguments.batch)
        arithmetic["gflop_per_step_and_rank"] = {"ours": round(our_flops, 1), "peer": round(peer_flops, 1)}
        if gpu:
            steps_a_second = medians["ours"] / (arguments.ranks * arguments.batch)
            arithmetic["fraction_of_peak"] = round(our_flops * steps_a_second / (arguments.peak * 1e3), 3)
    print(json.dumps({"bench": "train", "family": arguments.family, "ratio": round(ratio, 3),
                      f"ratio_to_{other}": round(other_ratio, 3),
                      "images_per_second": {side: round(value, 2) for side, value in medians.items()}, **arithmetic,
                      "ranks": arguments.ranks, "batch_per_rank": arguments.batch, "pairs": arguments.pairs}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", choices=[*FAMILIES, "all"], default="biggan")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--batch", type=int, help="images a rank [16 on CPUs, 256 on GPUs]")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, help="steps a turn, the first third or half not timed [6 on CPUs, 80 on GPUs]")
    parser.add_argument("--every", type=int, help="steps between two readings of the clock [1 on CPUs, 20 on GPUs]")
    parser.add_argument("--peak", type=float, default=989, help="a GPU's dense bfloat16 peak in 1e12 a second [989: H200]")
    parser.add_argument("--eager", action="store_true", help="leave out torch.compile on CPUs")
    parser.add_argument("--losses", type=int, default=20, help="steps whose losses are printed side by side, 0 for none")
    parser.add_argument("--program", default=str(ROOT / "build/cpu/ganymede"))
    parser.add_argument("--peer", choices=["default", "best", "eager", "compiled"], help=argparse.SUPPRESS)
    parser.add_argument("--config", type=pathlib.Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    gpu = arguments.device == "cuda"
    arguments.batch = arguments.batch or (256 if gpu else 16)
    arguments.steps = arguments.steps or (80 if gpu else 6)
    arguments.every = arguments.every or (20 if gpu else 1)
    if arguments.peer:
        return peer(arguments)
    global PROGRAM
    PROGRAM = arguments.program
    for family in FAMILIES if arguments.family == "all" else [arguments.family]:
        arguments.family = family
        bench(arguments)


if __name__ == "__main__":
    main()
