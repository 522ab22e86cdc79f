"""Whole pipelines of latents, to and from diffusers: from the same noise both sides draw the same images.

Errors are relative L2.
"""

import json

import h5py
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    DiTPipeline,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    LDMPipeline,
    PNDMScheduler,
)
from diffusers.schedulers import scheduling_ddpm

from diffusion_tool import error, tool
from test_exchange import LEADING, METHOD, SCHEDULE, change, dit, hand, options_of, original_unet, unet, weights_of, words
from test_first_stage_exchange import original, random_model

from ganymede_runs import checkpoints, refusal, some_digits, succeed, tensors_of, write_dataset

BOUND = 1e-5
STEPS = 5  # a divisor of the chain's length: of others diffusers' DDIM takes no step to the time that comes next
LDM = "pipelines.deprecated.latent_diffusion_uncond.pipeline_latent_diffusion_uncond"


def first_stage_of(checkpoint):
    return {name: torch.from_numpy(tensor) for name, tensor in tensors_of(checkpoint).items() if name.startswith("first_stage/")}


def draw(checkpoint, folder, labels, kind="weight", **changes):
    """What the program draws, as the tool and as `sample` says it, and the noises that it comes of."""
    options = options_of(checkpoint) | {f"sampler.{key}": str(value) for key, value in ({"steps": STEPS} | changes).items()}
    told = words(options) + " " + " ".join(f"{key}={value.replace(' ', '')}" for key, value in options.items()
                                           if key.startswith("first_stage."))
    ours = tool("sample", folder, {"labels": torch.tensor(labels)} | weights_of(checkpoint, kind) | first_stage_of(checkpoint), told)
    asked = [word for key, value in ({"steps": STEPS} | changes).items() for word in (f"--sampler.{key}", value)]
    succeed(0, "sample", "--from", checkpoint, "--count", len(labels), "--seed", 7, "--out", folder / "images.h5",
            *(["--classes", ",".join(map(str, labels))] if max(labels) else []), *asked)
    with h5py.File(folder / "images.h5") as file:
        written = torch.from_numpy(file["images"][:]).double()
    assert (written - (ours["images"].double() * 127.5 + 128).clamp(0, 255).floor()).abs().max() <= 1
    # Copies: what was read is a view of a file that the next call writes anew.
    return ours["images"].clone(), [ours[f"noise.{i}"].clone() for i in range(STEPS)]


def drawn_by(pipeline, **arguments):
    pipeline.set_progress_bar_config(disable=True)
    images = torch.from_numpy(pipeline(num_inference_steps=STEPS, output_type="np", **arguments).images)
    return images.permute(0, 3, 1, 2) * 2 - 1


def compare(ours, theirs, bound=BOUND):
    assert theirs.std() > 0.03
    worst = error(ours, theirs)
    print(f"images {worst:.1e}, at most {(ours - theirs).abs().max():.1e}")
    assert worst < bound and (ours - theirs).abs().max() < 1e-4


def take_over(monkeypatch, noises):
    hand(monkeypatch, noises)
    drawn = scheduling_ddpm.randn_tensor  # one order of draws for all modules
    monkeypatch.setattr(f"diffusers.{LDM}.randn_tensor", drawn)


# Pipelines that diffusers saved, imported, drawn from, and given back -------------------------------------------------


def saved(folder, parts, model_index):
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    (folder / "model_index.json").write_text(json.dumps(model_index))
    return folder


def given_back(folder, parts, pipeline):
    """A checkpoint of ours of what was diffusers', and what it exports."""
    saved(folder / "saved", parts, {"_class_name": pipeline.__name__})
    text = succeed(0, "import", folder / "saved", "--out", folder / "checkpoint").out
    assert all(type(part).__name__ in text for part in parts.values()), text
    succeed(0, "export", "--from", folder / "checkpoint", "--format", "diffusers", "--out", folder / "out")
    assert json.loads((folder / "out/model_index.json").read_text())["_class_name"] == pipeline.__name__
    return folder / "checkpoint", folder / "out"


FREE = {"clip_sample": False}
CHAINS = {
    "ddim": lambda: DDIMScheduler(**SCHEDULE | FREE),
    "ddim-latent-diffusion": lambda: DDIMScheduler(**LEADING | FREE, steps_offset=1, set_alpha_to_one=False),
    "ddim-first-time": lambda: DDIMScheduler(**LEADING | FREE, set_alpha_to_one=False),
    "ddpm": lambda: DDPMScheduler(**LEADING | FREE),
    "dpm": lambda: DPMSolverMultistepScheduler(**SCHEDULE),
    "euler": lambda: EulerDiscreteScheduler(**SCHEDULE),
}


@pytest.mark.parametrize("stage, chain", [("vq", "ddim"), ("vq", "ddim-latent-diffusion"), ("kl", "ddim-first-time"),
                                          ("kl", "ddpm"), ("kl", "dpm"), ("kl", "euler")])
def test_pipelines_of_a_unet_draw_the_same_images(stage, chain, tmp_path, monkeypatch):
    factor = 1.0 if stage == "vq" else 0.4
    parts = {"vqvae": random_model(stage, True, scaling_factor=factor, sample_size=64), "unet": unet(labels=None),
             "scheduler": CHAINS[chain]()}
    checkpoint, out = given_back(tmp_path, parts, LDMPipeline)
    ours, noises = draw(checkpoint, tmp_path, [0, 0, 0])
    assert ours.shape == (3, 3, 64, 64)  # the size of latents decides, whatever the config says
    take_over(monkeypatch, noises)
    pipeline = LDMPipeline.from_pretrained(out, low_cpu_mem_usage=False)
    assert type(pipeline.vqvae) is type(parts["vqvae"]) and pipeline.vqvae.config.scaling_factor == pytest.approx(factor)
    config = pipeline.scheduler.config
    for key, value in CHAINS[chain]().config.items():
        assert config[key] == value or key in ("_use_default_values", "_diffusers_version"), key
    bound = 5 * BOUND if chain == "euler" else BOUND  # whose x_t starts at sigma = 157, in float32
    compare(ours, drawn_by(pipeline, batch_size=3), bound)


@pytest.mark.parametrize("guidance", [1, 3])
def test_pipelines_of_a_transformer_draw_the_same_images(guidance, tmp_path, monkeypatch):
    """With its thousand classes and another for none."""
    parts = {"transformer": dit(1000, in_channels=3, out_channels=6), "vae": random_model("kl", scaling_factor=0.7),
             "scheduler": DDIMScheduler(**SCHEDULE | FREE)}
    checkpoint, out = given_back(tmp_path, parts, DiTPipeline)
    labels = [1, 207, 999]
    ours, noises = draw(checkpoint, tmp_path, labels, guidance=guidance)
    take_over(monkeypatch, noises)
    pipeline = DiTPipeline.from_pretrained(out, low_cpu_mem_usage=False)
    assert pipeline.labels == {}
    compare(ours, drawn_by(pipeline, class_labels=labels, guidance_scale=guidance))


def test_a_part_of_a_pipeline_comes_alone(tmp_path):
    parts = {"vqvae": random_model("vq"), "unet": unet(labels=None), "scheduler": CHAINS["ddim"]()}
    folder = saved(tmp_path / "saved", parts, {})
    succeed(0, "import", folder / "unet", "--out", tmp_path / "unet")
    assert options_of(tmp_path / "unet")["diffusion.first_stage"] == "none"
    succeed(0, "import", folder / "vqvae", "--out", tmp_path / "vqvae")
    assert options_of(tmp_path / "vqvae")["train.method"] == "autoencoder"
    assert "first stage" in refusal(4, 0, "import", folder / "unet", "--out", tmp_path / "never", "--diffusion.first_stage",
                                    "autoencoder")
    change(folder / "vqvae", "latent_channels", 4)
    assert "latents are 4 x" in refusal(2, 0, "import", folder, "--out", tmp_path / "never")
    random_model("kl", shift_factor=0.1).save_pretrained(folder / "vqvae")
    assert "shift_factor" in refusal(4, 0, "import", folder, "--out", tmp_path / "never")


def test_a_checkpoint_of_latent_diffusion_brings_both(tmp_path):
    model, stage = unet("ldm", labels=None, flip_sin_to_cos=True, freq_shift=0), random_model("vq")
    state = {f"model.diffusion_model.{name}": tensor for name, tensor in original_unet(model, True).items()}
    only = {"state_dict": state | {"scale_factor": torch.tensor(0.5)}}
    both = {"state_dict": only["state_dict"] | {f"first_stage_model.{name}": tensor for name, tensor in original(stage).items()}}
    torch.save(only, tmp_path / "only.ckpt")
    torch.save(both, tmp_path / "both.ckpt")
    (tmp_path / "ldm.cfg").write_text(
        METHOD.format(0, "unet", "unet").replace("[diffusion]", "[diffusion]\nfirst_stage = autoencoder") +
        "resolution = 16\nchannels = 16, 32, 48\nblocks = 2\nattention = 8\ngroups = 8\nclasses = 1\nhead_channels = 8\n"
        "[first_stage]\nlatent = vq\nresolution = 64\nchannels = 8, 16, 24\ngroups = 4\ncodes = 20\n[sampler]\nclip = false\n")
    arguments = ["--recipe", tmp_path / "ldm.cfg", "--out", tmp_path / "checkpoint"]
    assert "autoencoder" in refusal(4, 0, "import", tmp_path / "only.ckpt", *arguments)
    succeed(0, "import", tmp_path / "both.ckpt", *arguments)
    kept = first_stage_of(tmp_path / "checkpoint")
    for name, tensor in stage.state_dict().items():
        assert torch.equal(kept.pop(f"first_stage/weight/{name}"), tensor), name
    assert kept["first_stage/state/deviation"].tolist() == [2] * 3 and len(kept) == 2
    kept = weights_of(tmp_path / "checkpoint")
    assert all(torch.equal(kept[f"weight.{name}"], tensor) for name, tensor in model.state_dict().items())


# Runs of the program --------------------------------------------------------------------------------------------------

STAGE = ["train", "--recipe", "kl-digits", "--steps", 4, "--train.batch", 4, "--train.threads", 1, "--train.precision", "fp32",
         "--first_stage.channels", "8,16,16", "--first_stage.codes", 40, "--autoencoder.warmup", 0, "--autoencoder.lr", 0.01,
         "--autoencoder.ema", 0.5, "--sample.every", 0]
MODEL = ["train", "--steps", 4, "--train.batch", 4, "--train.threads", 1, "--train.precision", "fp32", "--denoiser.warmup", 0,
         "--denoiser.lr", 0.02, "--denoiser.ema", 0.5, "--sample.every", 0, "--sampler.solver", "ddim", "--sampler.guidance", 1,
         "--ddpm.schedule", "linear"]
DENOISERS = {
    "unet": ["--recipe", "ldm-digits", "--unet.channels", "8,16", "--unet.blocks", 1, "--unet.classes", 1,
             "--diffusion.label_dropout", 0],
    "dit": ["--recipe", "dit-s2", "--dit.resolution", 8, "--dit.image_channels", 3, "--dit.classes", 10, "--dit.depth", 2,
            "--dit.width", 16, "--dit.heads", 2, "--ddpm.learned_variance", "false", "--dit.frequency_shift", 1],
}


@pytest.mark.parametrize("stage, denoiser", [("kl", "unet"), ("vq", "unet"), ("kl", "dit")])
def test_a_run_is_exported_as_a_pipeline(stage, denoiser, tmp_path, monkeypatch):
    """Whose latents the run has normalised channel by channel."""
    images, labels = some_digits()
    data = write_dataset(tmp_path / "digits.h5", images, labels if denoiser == "dit" else 0 * labels - 1)
    succeed(0, *STAGE, "--data", data, "--out", tmp_path / "stage", "--first_stage.latent", stage)
    succeed(0, "dataset", "encode", data, tmp_path / "latents.h5", "--first-stage", tmp_path / "stage")
    succeed(0, *MODEL, *DENOISERS[denoiser], "--data", tmp_path / "latents.h5", "--first-stage", tmp_path / "stage", "--out",
            tmp_path / "run")
    checkpoint = checkpoints(tmp_path / "run")[-1]
    state = first_stage_of(checkpoint)
    deviation = state["first_stage/state/deviation"]
    assert (deviation == deviation[0]).all() == (stage == "vq") and state["first_stage/state/mean"].abs().min() > 1e-4
    with h5py.File(data, "a") as file:
        if denoiser == "dit":
            file["class_names"] = ["zero, none", *map(str, range(1, 10))]
    text = succeed(0, "export", "--from", tmp_path / "run", "--format", "diffusers", "--data", data, "--out",
                   tmp_path / "out").out
    kinds = [1, 3, 9] if denoiser == "dit" else [0, 0, 0]
    ours, noises = draw(checkpoint, tmp_path, kinds, "ema")
    take_over(monkeypatch, noises)
    if denoiser == "dit":
        assert "guidance_scale=1" in text  # its pipeline knows a thousand classes
        pipeline = DiTPipeline.from_pretrained(tmp_path / "out", low_cpu_mem_usage=False)
        assert pipeline.get_label_ids(["none", "9"]) == [0, 9]
        theirs = drawn_by(pipeline, class_labels=kinds, guidance_scale=1)
    else:
        pipeline = LDMPipeline.from_pretrained(tmp_path / "out", low_cpu_mem_usage=False)
        theirs = drawn_by(pipeline, batch_size=3)
    compare(ours, theirs)
    # What was exported comes back as a run that draws the same.
    succeed(0, "import", tmp_path / "out", "--out", tmp_path / "again")
    again, _ = draw(tmp_path / "again", tmp_path, kinds)
    compare(again, ours)
    if stage == "kl":  # and its encoder speaks of the latents that the denoiser has learned
        stage = pipeline.vae if denoiser == "dit" else pipeline.vqvae
        assert isinstance(stage, AutoencoderKL) and stage.config.scaling_factor == 1
        with h5py.File(tmp_path / "latents.h5") as file:
            first = torch.from_numpy(file["images"][:8, :3].astype("float64"))
        x = torch.from_numpy(images[:8]).float() / 127.5 - 1
        with torch.no_grad():
            latents = stage.encode(x).latent_dist.mean.double()
        mean = state["first_stage/state/mean"].double().view(1, -1, 1, 1)
        expected = (first - mean) / deviation.double().view(1, -1, 1, 1)
        assert error(latents, expected) < 1e-3


# Schedulers -----------------------------------------------------------------------------------------------------------


def test_what_a_scheduler_says_of_times_is_read(tmp_path):
    unet(labels=None).save_pretrained(tmp_path / "saved/unet")

    def imported(scheduler):
        scheduler.save_pretrained(tmp_path / "saved/scheduler")
        out = tmp_path / f"checkpoint-{len(list(tmp_path.iterdir()))}"
        text = succeed(0, "import", tmp_path / "saved", "--out", out).out
        options = options_of(out)
        return [options[f"sampler.{key}"] for key in ("solver", "spacing", "offset", "end")], text

    assert imported(DDIMScheduler(**LEADING, steps_offset=3))[0] == ["ddim", "leading", "3", "image"]
    # Trailing times are not moved.
    assert imported(DDIMScheduler(**SCHEDULE, steps_offset=1, set_alpha_to_one=False))[0] == ["ddim", "trailing", "0", "first"]
    chosen, text = imported(PNDMScheduler(**LEADING, steps_offset=1))
    assert chosen == ["ddim", "leading", "1", "first"] and "PNDMScheduler" in text
    chosen, text = imported(DPMSolverMultistepScheduler())
    assert chosen == ["dpm++2m", "trailing", "0", "image"] and "linspace" in text and "followed" not in text
    text = imported(DPMSolverMultistepScheduler(use_karras_sigmas=True, solver_order=3))[1]
    assert "use_karras_sigmas = true is not followed" in text and "solver_order = 3 is not followed" in text
    assert "clip_sample_range = 2" in imported(DDIMScheduler(**LEADING, clip_sample_range=2.0))[1]
    # The first of 50 leading times is 980.
    DDIMScheduler(**LEADING, steps_offset=30).save_pretrained(tmp_path / "saved/scheduler")
    assert "sampler.offset = 30" in refusal(2, 0, "import", tmp_path / "saved", "--out", tmp_path / "far")
    succeed(0, "import", tmp_path / "saved", "--out", tmp_path / "far", "--sampler.steps", 25)
