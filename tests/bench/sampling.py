#!/usr/bin/env python3
"""Images a second that a denoiser draws: this program against diffusers on as many processes.

    tests/bench/sampling.py [--family ddpm|ldm|dit|all] [--ranks 2] [--batch 32] [--steps 10] [--pairs 5] [--eager]
                            [--program build/cpu/ganymede]

The same network, first stage, DDIM steps and guidance: DDPM's UNet for CIFAR-10, a UNet of 8 x 8 x 8 latents with its
decoder and guidance 1.5, DiT-S/4 with guidance 1.5. Each process has one thread and draws batches of its own. Ours is
`ganymede sample`, timed from start to end for one batch a rank and for more: the difference is what counts. The peer
draws as the pipelines of diffusers do, without their bars and PIL images, one batch unseen: as it comes (float32), tuned
(weights and maps in bfloat16, channels_last, inference mode), and this compiled (torch.compile, weights frozen).

Each family's last line is JSON: "ratio" is our images a second over those of the best of these, as the median over turns.
"""

import argparse
import json
import pathlib
import statistics
import tempfile
import time

from side_by_side import ROOT, launcher, run, run_peer, write_dataset

# Recipe, what it is given beside, guidance.
FAMILIES = {
    "ddpm": ("ddpm-cifar10", {}, 1),
    "ldm": ("ldm-cifar-small", {"unet.channels": "128,256", "unet.attention": "8,4"}, 1.5),
    "dit": ("dit-s2", {"dit.patch": 4, "dit.image_channels": 3, "dit.classes": 10, "ddpm.learned_variance": "false"}, 1.5),
}
ROUNDS = 2  # batches a rank that are timed


def prepare(arguments, folder):
    """A run of one step, which has been drawn from once, and its networks as diffusers has them."""
    recipe, options, _ = FAMILIES[arguments.family]
    write_dataset(arguments.program, folder / "random.h5", count=64, classes=1 if arguments.family == "ddpm" else 10)
    data = ["--data", folder / "random.h5"]
    train = [arguments.program, "train", "--steps", 1, "--train.batch", 2, "--train.precision", "bf16",
             "--sample.every", 0]
    if arguments.family == "ldm":
        run([*train, "--recipe", "kl-cifar-small", *data, "--out", folder / "stage"])
        run([arguments.program, "dataset", "encode", folder / "random.h5", folder / "latents.h5", "--first-stage",
             folder / "stage"])
        data = ["--data", folder / "latents.h5", "--first-stage", folder / "stage"]
    run([*train, "--recipe", recipe, *(f"--{key}={value}" for key, value in options.items()), *data, "--out",
         folder / "run"])
    run([arguments.program, "export", "--from", folder / "run", "--format", "diffusers", "--out", folder / "diffusers",
         "--sampler.solver", "ddim"])
    seconds_of(arguments, folder, 1)


def seconds_of(arguments, folder, rounds):
    """Of the program, from its start to its end, for so many batches a rank."""
    out = folder / "drawn.h5"
    start = time.perf_counter()
    run([*launcher(arguments.ranks), arguments.program, "sample", "--from", folder / "run", "--count",
         rounds * arguments.ranks * arguments.batch, "--batch", arguments.batch, "--out", out, "--sampler.solver",
         "ddim", "--sampler.steps", arguments.steps, "--sampler.guidance", FAMILIES[arguments.family][2]])
    seconds = time.perf_counter() - start
    out.unlink()
    return seconds


def ours(arguments, folder):
    """Images a second."""
    once, more = (seconds_of(arguments, folder, rounds) for rounds in (1, 1 + ROUNDS))
    return ROUNDS * arguments.ranks * arguments.batch / (more - once)


def peer(arguments):
    """One rank of the peer: rank 0 prints the images a second of all."""
    import torch
    import torch.distributed as dist
    from denoising_peer import classes_of, load_denoiser, predicted
    from diffusers import AutoencoderKL, DDIMScheduler

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    tuned, guidance = arguments.peer != "default", FAMILIES[arguments.family][2]
    kind = torch.bfloat16 if tuned else torch.float32
    layout = torch.channels_last if tuned else torch.contiguous_format
    network = load_denoiser(arguments.folder).eval().to(dtype=kind, memory_format=layout)
    vae = None
    if (arguments.folder / "vae").exists() or (arguments.folder / "vqvae").exists():
        place = "vae" if (arguments.folder / "vae").exists() else "vqvae"
        vae = AutoencoderKL.from_pretrained(arguments.folder, subfolder=place).eval().to(dtype=kind, memory_format=layout)
    scheduler = DDIMScheduler.from_pretrained(arguments.folder, subfolder="scheduler")
    scheduler.set_timesteps(arguments.steps)
    config, classes = network.config, classes_of(network)
    none = classes - 1 if hasattr(config, "num_class_embeds") else classes  # the label that stands for none
    denoise, decode = network, vae.decode if vae else None
    if arguments.peer == "compiled":
        torch._inductor.config.freezing = True
        denoise, decode = torch.compile(denoise), torch.compile(decode) if decode else None

    def draw():
        x = torch.randn(arguments.batch, config.in_channels, config.sample_size, config.sample_size, dtype=kind)
        x = x.to(memory_format=layout)
        labels = torch.randint(classes, (arguments.batch,)) if classes else None
        if guidance != 1:
            labels = torch.cat([labels, torch.full_like(labels, none)])
        for t in scheduler.timesteps:
            seen = torch.cat([x, x]) if guidance != 1 else x
            out = predicted(denoise, seen, t.expand(seen.shape[0]), labels)
            if guidance != 1:
                told, untold = out.chunk(2)
                out = untold + guidance * (told - untold)
            x = scheduler.step(out, t, x).prev_sample
        if decode:
            x = decode(x / vae.config.scaling_factor, return_dict=False)[0]
        return (x / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).float().numpy()

    with torch.no_grad() if arguments.peer == "compiled" else torch.inference_mode():
        draw()
        dist.barrier()
        start = time.perf_counter()
        for _ in range(ROUNDS):
            draw()
        dist.barrier()
        print(json.dumps(ROUNDS * arguments.ranks * arguments.batch / (time.perf_counter() - start)))
    dist.destroy_process_group()


def bench(arguments):
    forms = ["default", "tuned"] + ["compiled"] * (not arguments.eager)
    rates = {"ours": [], **{form: [] for form in forms}}
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        prepare(arguments, folder)
        for turn in range(arguments.pairs):
            rates["ours"].append(ours(arguments, folder))
            for form in forms:
                rates[form].append(run_peer(__file__, arguments.ranks, "--peer", form, "--folder", folder / "diffusers",
                                            "--family", arguments.family, "--batch", arguments.batch, "--steps",
                                            arguments.steps, "--ranks", arguments.ranks))
            print(f"{arguments.family}, turn {turn + 1}: "
                  + "  ".join(f"{side} {values[-1]:.2f}" for side, values in rates.items()) + "  images/s", flush=True)
    best = [max(turn) for turn in zip(*(rates[form] for form in forms))]
    print(json.dumps({"bench": "sampling", "family": arguments.family,
                      "ratio": round(statistics.median(a / b for a, b in zip(rates["ours"], best)), 3),
                      "images_per_second": {side: round(statistics.median(values), 2) for side, values in rates.items()},
                      "steps": arguments.steps, "ranks": arguments.ranks, "batch_per_rank": arguments.batch,
                      "pairs": arguments.pairs}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=[*FAMILIES, "all"], default="all")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32, help="images a rank draws at once")
    parser.add_argument("--steps", type=int, default=10, help="of DDIM")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--eager", action="store_true", help="leave out torch.compile")
    parser.add_argument("--program", default=str(ROOT / "build/cpu/ganymede"))
    parser.add_argument("--peer", choices=["default", "tuned", "compiled"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        return peer(arguments)
    for family in FAMILIES if arguments.family == "all" else [arguments.family]:
        arguments.family = family
        bench(arguments)


if __name__ == "__main__":
    main()
