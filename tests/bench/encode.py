#!/usr/bin/env python3
"""Images a second whose latents are made: `ganymede dataset encode` against a loop in PyTorch over the same file.

    tests/bench/encode.py [--recipe kl-f4] [--resolution 32] [--ranks 2] [--blocks 1] [--batch 32] [--pairs 5]
                          [--program build/cpu/ganymede]

The same first stage, in diffusers' AutoencoderKL; both sides write the moments of each image and of its mirror image to
HDF5, as so many processes of one thread. Ours is timed from start to end for one image and for `--blocks` blocks of 256
images a rank more: the difference is what counts. The loop's first batch is not timed. It runs as it comes (float32), and
tuned: bfloat16 autocast, channels_last.

The last line is JSON: "ratio" is our images a second over the plain loop's, "ratio_to_tuned" over the tuned one's, both
as medians over turns.
"""

import argparse
import json
import pathlib
import statistics
import tempfile
import time

from side_by_side import ROOT, launcher, run, run_peer, write_dataset

BLOCK = 256  # images that a rank encodes between two meetings


def prepare(arguments, folder):
    many = arguments.ranks * arguments.blocks * BLOCK
    write_dataset(arguments.program, folder / "one.h5", count=1, side=arguments.resolution)
    write_dataset(arguments.program, folder / "many.h5", count=many, side=arguments.resolution)
    run([arguments.program, "train", "--recipe", arguments.recipe, "--data", folder / "many.h5", "--out", folder / "stage",
         "--steps", 1, "--train.batch", 2, "--sample.every", 0, "--first_stage.resolution", arguments.resolution,
         "--train.precision", "bf16"])
    run([arguments.program, "export", "--from", folder / "stage", "--format", "diffusers", "--out", folder / "diffusers"])
    return many


def ours(arguments, folder, many):
    seconds = {}
    for name in ("one", "many"):
        start = time.perf_counter()
        run([*launcher(arguments.ranks), arguments.program, "dataset", "encode", folder / f"{name}.h5",
             folder / "latents.h5", "--first-stage", folder / "stage", "--batch", arguments.batch, "--force"])
        seconds[name] = time.perf_counter() - start
    return (many - 1) / (seconds["many"] - seconds["one"])


def peer(arguments):
    """One rank of the loop: rank 0 prints the images a second of all."""
    import h5py
    import torch
    import torch.distributed as dist
    from diffusers import AutoencoderKL

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    tuned = arguments.peer == "tuned"
    layout = torch.channels_last if tuned else torch.contiguous_format
    place = "vae" if (arguments.folder / "diffusers/vae").exists() else None
    vae = AutoencoderKL.from_pretrained(arguments.folder / "diffusers", subfolder=place).eval().to(memory_format=layout)

    @torch.inference_mode()
    def encoded(images):
        x = (torch.from_numpy(images).float() / 127.5 - 1).to(memory_format=layout)
        sides = []
        for side in (x, x.flip(3)):
            with torch.autocast("cpu", torch.bfloat16, enabled=tuned):
                moments = vae.encode(side).latent_dist
            sides += [moments.mean, moments.logvar]
        return torch.cat(sides, 1).float().numpy()

    with h5py.File(arguments.folder / "many.h5") as source:
        images = source["images"]
        each = len(images) // dist.get_world_size()
        begin = each * dist.get_rank()
        row = encoded(images[:arguments.batch])
        with h5py.File(arguments.folder / f"loop-{dist.get_rank()}.h5", "w") as out:
            moments = out.create_dataset("moments", (each, *row.shape[1:]), "f4")
            dist.barrier()
            start = time.perf_counter()
            for first in range(0, each, arguments.batch):
                last = min(first + arguments.batch, each)
                moments[first:last] = encoded(images[begin + first:begin + last])
    dist.barrier()
    print(json.dumps(each * dist.get_world_size() / (time.perf_counter() - start)))
    dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="kl-f4", help="of a first stage with latents of the kind kl")
    parser.add_argument("--resolution", type=int, default=32, help="pixels")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--blocks", type=int, default=1, help="of 256 images, a rank")
    parser.add_argument("--batch", type=int, default=32, help="images at once")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--program", default=str(ROOT / "build/cpu/ganymede"))
    parser.add_argument("--peer", choices=["plain", "tuned"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        return peer(arguments)
    rates = {"ours": [], "plain": [], "tuned": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        many = prepare(arguments, folder)
        for turn in range(arguments.pairs):
            rates["ours"].append(ours(arguments, folder, many))
            for form in ("plain", "tuned"):
                rates[form].append(run_peer(__file__, arguments.ranks, "--peer", form, "--folder", folder, "--batch",
                                            arguments.batch))
            print(f"turn {turn + 1}: " + "  ".join(f"{side} {values[-1]:.2f}" for side, values in rates.items())
                  + "  images/s", flush=True)
    ratio = {form: statistics.median(a / b for a, b in zip(rates["ours"], rates[form])) for form in ("plain", "tuned")}
    print(json.dumps({"bench": "encode", "recipe": arguments.recipe, "resolution": arguments.resolution,
                      "ratio": round(ratio["plain"], 3), "ratio_to_tuned": round(ratio["tuned"], 3),
                      "images_per_second": {side: round(statistics.median(values), 2) for side, values in rates.items()},
                      "images": many, "ranks": arguments.ranks, "batch": arguments.batch, "pairs": arguments.pairs}))


if __name__ == "__main__":
    main()
