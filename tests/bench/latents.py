#!/usr/bin/env python3
"""Latent diffusion of CIFAR-10 from images to pictures: a first stage, its latents, a UNet and a transformer of them.

    tests/bench/latents.py IMAGES.zip OUT [--recipes ldm-cifar-small,dit-cifar-small] [--ranks 2]
                           [--program build/cpu/ganymede]

IMAGES.zip holds train/<class>/ and test/<class>/. The first stage is scored on the test images; each model's 5,000
samples against them by the fixed network of random weights, guided as its recipe says. OUT/<recipe>.png has a column of
ten samples for each class, OUT/<recipe>-guidance.png the same samples at rising guidance. Called again, it goes on with
what is not trained or encoded. The last line has the minutes of all this call but for packing the images.
"""

import argparse
import json
import pathlib

from command import PROGRAM, ganymede, pack_cifar

STAGE = "kl-cifar-small"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--recipes", default="ldm-cifar-small,dit-cifar-small")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--program", type=pathlib.Path, default=PROGRAM)
    arguments = parser.parse_args()
    out = arguments.out
    pack_cifar(arguments.program, arguments.images, out)
    minutes = {}

    def step(name, *words, ranks=arguments.ranks):
        with open(out / "log.txt", "a") as log:
            spent = ganymede(arguments.program, *words, ranks=ranks, stdout=log, stderr=log)
        minutes[name] = minutes.get(name, 0) + spent

    def scores(name, run, count, metrics):
        path = out / f"{name}.json"
        step(name, "evaluate", "--from", run, "--reference", out / "test.h5", "--metrics", metrics, *count, "--json",
             path)
        return {key: entry["value"] for key, entry in json.loads(path.read_text())["metrics"].items()}

    stage, latents = out / STAGE, out / "latents.h5"
    grids = ["--train.threads", 1, "--log.every", 100]
    step(STAGE, "train", "--recipe", STAGE, "--data", out / "train.h5", "--out", stage, *grids)
    table = {STAGE: scores(STAGE, stage, [], "rfid,psnr,ssim")}
    if not latents.exists():
        step("latents", "dataset", "encode", out / "train.h5", latents, "--first-stage", stage)
    for recipe in arguments.recipes.split(","):
        run = out / recipe
        step(recipe, "train", "--recipe", recipe, "--data", latents, "--first-stage", stage, "--out", run, *grids)
        table[recipe] = scores(recipe, run, ["--count", 5000], "fid")
        for name, what in (recipe, ["--count", 100, "--classes", "all"]), (f"{recipe}-guidance", ["--picture", "guidance"]):
            step(recipe, "sample", "--from", run, *what, "--seed", 1, "--out", out / f"{name}.png", ranks=1)
    for name, figures in table.items():
        print(f"{name:18} {minutes[name]:5.1f} minutes", *(f"{key} {value:.4g}" for key, value in figures.items()), sep="  ")
    print(json.dumps({"minutes": {name: round(spent, 1) for name, spent in minutes.items()},
                      "minutes_in_all": round(sum(minutes.values()), 1), "scores": table}))


if __name__ == "__main__":
    main()
