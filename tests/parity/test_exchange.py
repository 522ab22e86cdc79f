"""`ganymede export --format diffusers` and `ganymede import`: what one side writes the other computes alike with.

Errors are relative L2.
"""

import json
import pathlib
import shutil
import sys

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    DPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    UNet2DModel,
)
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
from diffusion_tool import error, tool  # noqa: E402
from ganymede_runs import (  # noqa: E402
    DIGITS,
    ROOT,
    checkpoints,
    refusal,
    some_digits,
    succeed,
    tensors_of,
    write_dataset,
)
from test_denoisers import UNETS, inputs, randomise  # noqa: E402

BOUND = 1e-5
RECIPE = ROOT / "launch/recipes/ddpm-digits.cfg"


def options_of(checkpoint):
    """A checkpoint's options by key."""
    text = json.loads((checkpoint / "manifest.json").read_text())["content"]["header"]["options"]
    options, section = {}, ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line:
            key, value = line.split("=", 1)
            options[f"{section}.{key.strip()}"] = value.strip()
    return options


def words(options):
    """What the tool is told of them."""
    names = ("unet.", "dit.", "ddpm.", "edm.", "flow.", "sampler.", "diffusion.network", "diffusion.process")
    told = [f"{key}={value.replace(' ', '')}" for key, value in options.items() if key.startswith(names)]
    told += ["without_label=1"] * (float(options["diffusion.label_dropout"]) > 0)
    told += ["learned_variance=1"] * (options.get("ddpm.learned_variance") == "true")
    return " ".join(told)


def weights_of(checkpoint, kind="weight"):
    start = f"denoiser/{kind}/"
    return {f"weight.{name[len(start):]}": torch.from_numpy(tensor)
            for name, tensor in tensors_of(checkpoint).items() if name.startswith(start)}


def compare_outputs(checkpoint, model, folder, kind="weight", labels=None):
    config = model.config
    tensors = inputs((3, config.in_channels, config.sample_size, config.sample_size), config.out_channels,
                     labels or 1, torch.float32, [7, 500, 999])
    if not labels:
        tensors["labels"] = torch.zeros(3, dtype=torch.int64)
    told = {"class_labels": tensors["labels"]} if labels or isinstance(model, DiTTransformer2DModel) else {}
    with torch.no_grad():
        theirs = model.eval()(tensors["x"], tensors["condition"].long(), **told).sample
    ours = tool("network", folder, tensors | weights_of(checkpoint, kind), words(options_of(checkpoint)))["out"]
    assert theirs.std() > 0.01
    worst = error(ours, theirs)
    print(f"output {worst:.1e}")
    assert worst < BOUND


def load(kind, folder, **arguments):
    model, info = kind.from_pretrained(folder, output_loading_info=True, low_cpu_mem_usage=False, **arguments)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"], info
    return model


# Exports of what the program trained ----------------------------------------------------------------------------------

DIGITS_UNET = ["--unet.channels", "8,16", "--unet.attention", 16]
DIGITS_DIT = ["--diffusion.network", "dit", "--dit.resolution", 32, "--dit.image_channels", 1, "--dit.classes", 10,
              "--dit.patch", 4, "--dit.depth", 2, "--dit.width", 16, "--dit.heads", 2]
ALL_LABELS = ["--diffusion.label_dropout", 0, "--sampler.guidance", 1]
RUNS = {
    "labels": (DIGITS_UNET, UNet2DModel, 11),
    "no-labels": ([*DIGITS_UNET, "--unet.classes", 1, *ALL_LABELS], UNet2DModel, None),
    "learned-variance": ([*DIGITS_UNET, "--ddpm.learned_variance", "true", "--ddpm.prediction", "eps", "--unet.scale_shift",
                          "true", "--unet.residual_resampling", "true", "--unet.head_channels", 4], UNet2DModel, 11),
    "dit": (DIGITS_DIT, DiTTransformer2DModel, 11),
    "dit-no-dropout": ([*DIGITS_DIT, *ALL_LABELS], DiTTransformer2DModel, 10),
    "dit-no-labels": ([*DIGITS_DIT, "--dit.classes", 1, *ALL_LABELS], DiTTransformer2DModel, None),
}


def train(out, options):
    """A few wide steps, so that no weight is what it began with."""
    given = dict(zip(options[::2], options[1::2]))  # the last of a key counts
    recipe = RECIPE.read_text()
    if given.get("--diffusion.network") == "dit":
        recipe = recipe.replace("network = unet", "network = dit").replace(*(
            recipe[recipe.index(part):recipe.index("[denoiser]")] if part else "" for part in ("[unet]", "")))
    path = out.with_suffix(".cfg")
    path.write_text(recipe)
    data = DIGITS
    if 1 in (given.get("--unet.classes"), given.get("--dit.classes")):
        images, labels = some_digits()
        data = write_dataset(out.with_suffix(".h5"), images, 0 * labels - 1)
    succeed(0, "train", "--recipe", path, "--data", data, "--out", out, "--steps", 4, "--train.batch", 4, "--train.threads", 1,
            "--train.precision", "fp32", "--denoiser.warmup", 0, "--denoiser.lr", 0.05, "--denoiser.ema", 0.5,
            "--sample.every", 0, *(word for pair in given.items() for word in pair))
    return checkpoints(out)[-1]


@pytest.mark.parametrize("name", RUNS)
def test_diffusers_computes_what_a_run_has_learned(name, tmp_path):
    options, kind, labels = RUNS[name]
    checkpoint = train(tmp_path / "run", options)
    succeed(0, "export", "--from", tmp_path / "run", "--format", "diffusers", "--out", tmp_path / "out")
    folder = {UNet2DModel: "unet", DiTTransformer2DModel: "transformer"}[kind]
    compare_outputs(checkpoint, load(kind, tmp_path / "out", subfolder=folder), tmp_path, "ema", labels)
    if name == "labels":
        succeed(0, "export", "--from", checkpoint, "--format", "diffusers", "--ema", "false", "--out", tmp_path / "raw")
        compare_outputs(checkpoint, load(kind, tmp_path / "raw", subfolder=folder), tmp_path, "weight", labels)
        assert not (tmp_path / "raw/model_index.json").exists()
        assert "--out" in refusal(5, 0, "export", "--from", checkpoint, "--format", "diffusers", "--out", tmp_path / "raw")


def test_what_diffusers_has_not_is_refused(tmp_path):
    checkpoint = train(tmp_path / "run", [*DIGITS_DIT, "--dit.frequency_shift", 0])
    out = tmp_path / "out"
    assert "frequency_shift" in refusal(2, 0, "export", "--from", checkpoint, "--format", "diffusers", "--out", out)
    assert "network" in refusal(2, 0, "export", "--from", checkpoint, "--format", "diffusers", "--network", "denoiser",
                                "--out", out)
    assert not list(tmp_path.glob("out*"))


# Imports of what diffusers wrote --------------------------------------------------------------------------------------


def unet(name="ddpm", labels=5, **arguments):
    plain = ("ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D") if name == "resampling" else ("DownBlock2D", "UpBlock2D")
    return randomise(UNet2DModel(**dict(
        sample_size=16, in_channels=3, out_channels=3, layers_per_block=2, block_out_channels=(16, 32, 48),
        down_block_types=(plain[0], "AttnDownBlock2D", plain[0]), up_block_types=(plain[1], "AttnUpBlock2D", plain[1]),
        norm_num_groups=8, num_class_embeds=labels) | UNETS[name][1] | arguments))


def dit(classes=5, **arguments):
    model = randomise(DiTTransformer2DModel(**dict(
        num_attention_heads=4, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=3, sample_size=16,
        patch_size=2, num_embeds_ada_norm=classes) | arguments))
    with torch.no_grad():
        first = dict(model.transformer_blocks[0].norm1.emb.named_parameters())
        for block in model.transformer_blocks:
            for name, parameter in block.norm1.emb.named_parameters():
                parameter.copy_(first[name])
    return model


MODELS = {**{name: lambda name=name: unet(name) for name in UNETS},
          "no-labels": lambda: unet(labels=None, attention_head_dim=8),
          "learned-variance": lambda: unet(out_channels=6),
          "dit": dit, "dit-eps": lambda: dit(norm_eps=1e-2), "dit-one-class": lambda: dit(1),
          "dit-patch": lambda: dit(patch_size=4, out_channels=4)}


@pytest.mark.parametrize("name", MODELS)
def test_the_program_computes_what_diffusers_saved_and_gives_it_back(name, tmp_path):
    model = MODELS[name]()
    model.save_pretrained(tmp_path / "model")
    succeed(0, "import", tmp_path / "model", "--out", tmp_path / "checkpoint")
    labels = model.config.get("num_class_embeds") or model.config.get("num_embeds_ada_norm")
    compare_outputs(tmp_path / "checkpoint", model, tmp_path, labels=labels)
    succeed(0, "export", "--from", tmp_path / "checkpoint", "--format", "diffusers", "--out", tmp_path / "back")
    folder = tmp_path / "back" / ("transformer" if name.startswith("dit") else "unet")
    back = load(type(model), folder)
    if name == "dit-one-class":  # its label is a part of the time now
        return compare_outputs(tmp_path / "checkpoint", back, tmp_path)
    state, expected = back.state_dict(), model.state_dict()
    assert state.keys() == expected.keys() and all(torch.equal(state[key], expected[key]) for key in state)


def test_weights_come_in_one_file_or_several_of_any_age(tmp_path):
    model = unet()
    model.save_pretrained(tmp_path / "one")
    model.save_pretrained(tmp_path / "many", max_shard_size="100KB")
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 2
    model.save_pretrained(tmp_path / "bin", safe_serialization=False)
    shutil.copytree(tmp_path / "one", tmp_path / "old")
    former = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = load_file(tmp_path / "one/diffusion_pytorch_model.safetensors")
    for now, before in former.items():
        state = {name.replace(f".{now}.", f".{before}."): tensor for name, tensor in state.items()}
    assert any(".proj_attn." in name for name in state)
    save_file(state, tmp_path / "old/diffusion_pytorch_model.safetensors")
    for form in ("many", "bin", "old"):
        succeed(2 if form == "many" else 0, "import", tmp_path / form, "--out", tmp_path / f"{form}.checkpoint")
        compare_outputs(tmp_path / f"{form}.checkpoint", model, tmp_path, labels=5)


def change(folder, key, value):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))


def test_dit_comes_by_its_former_class_name(tmp_path):
    model = dit()
    model.save_pretrained(tmp_path / "model")
    change(tmp_path / "model", "_class_name", "Transformer2DModel")
    succeed(0, "import", tmp_path / "model", "--out", tmp_path / "checkpoint")
    compare_outputs(tmp_path / "checkpoint", model, tmp_path, labels=5)
    change(tmp_path / "model", "norm_type", None)
    assert "norm_type" in refusal(4, 0, "import", tmp_path / "model", "--out", tmp_path / "other")


def test_the_last_label_may_stand_for_none(tmp_path):
    unet().save_pretrained(tmp_path / "model")
    succeed(0, "import", tmp_path / "model", "--out", tmp_path / "plain")
    assert options_of(tmp_path / "plain")["unet.classes"] == "5"
    succeed(0, "import", tmp_path / "model", "--out", tmp_path / "told", "--diffusion.label_dropout", 0.2)
    told = options_of(tmp_path / "told")
    assert told["unet.classes"] == "4" and told["diffusion.label_dropout"] == "0.2"
    succeed(0, "export", "--from", tmp_path / "told", "--format", "diffusers", "--out", tmp_path / "out")
    succeed(0, "import", tmp_path / "out", "--out", tmp_path / "again")
    again = options_of(tmp_path / "again")
    assert again["unet.classes"] == "4" and float(again["diffusion.label_dropout"]) > 0
    # Guidance needs it, and images come of it.
    succeed(0, "sample", "--from", tmp_path / "again", "--count", 4, "--out", tmp_path / "images.h5", "--sampler.guidance", 2,
            "--sampler.steps", 2)


@pytest.mark.parametrize("key, value", [
    ("_class_name", "UNet3DModel"), ("act_fn", "relu"), ("mid_block_type", None), ("time_embedding_type", "fourier"),
    ("attn_norm_num_groups", 4), ("out_channels", 5), ("sample_size", [16, 8]), ("block_out_channels", "many"),
    ("down_block_types", ["DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"]),
    ("up_block_types", ["AttnUpBlock2D", "UpBlock2D", "UpBlock2D"]), ("layers_per_block", 1)])
def test_what_the_program_has_not_is_refused(key, value, tmp_path):
    unet().save_pretrained(tmp_path / "model")
    change(tmp_path / "model", key, value)
    line = refusal(4, 0, "import", tmp_path / "model", "--out", tmp_path / "checkpoint")
    assert "model" in line and (key in line or key in ("_class_name", "layers_per_block"))
    assert not list(tmp_path.glob("checkpoint*"))


def test_files_that_are_not_there_are_named(tmp_path):
    assert "config.json" in refusal(4, 0, "import", tmp_path / "none", "--out", tmp_path / "checkpoint")
    unet().save_pretrained(tmp_path / "model")
    (tmp_path / "model/diffusion_pytorch_model.safetensors").unlink()
    assert "diffusion_pytorch_model" in refusal(4, 0, "import", tmp_path / "model", "--out", tmp_path / "checkpoint")
    different = randomise(DiTTransformer2DModel(num_attention_heads=4, attention_head_dim=8, num_layers=2, sample_size=8))
    different.save_pretrained(tmp_path / "dit")
    assert "embedders" in refusal(4, 0, "import", tmp_path / "dit", "--out", tmp_path / "checkpoint")
    DDPMPipeline(unet(labels=None), DDPMScheduler()).save_pretrained(tmp_path / "pipeline")
    shutil.rmtree(tmp_path / "pipeline/scheduler")
    assert "scheduler_config.json" in refusal(4, 0, "import", tmp_path / "pipeline", "--out", tmp_path / "checkpoint")
    alone = succeed(0, "import", tmp_path / "pipeline/unet", "--out", tmp_path / "checkpoint").out
    assert "no scheduler" in alone
    DDPMScheduler(prediction_type="sample").save_pretrained(tmp_path / "pipeline/scheduler")
    for i, name in enumerate(("unet", "unet/")):
        succeed(0, "import", f"{tmp_path}/pipeline/{name}", "--out", tmp_path / f"c{i}")
        assert options_of(tmp_path / f"c{i}")["ddpm.prediction"] == "x0"


def test_weights_that_are_not_finite_are_refused(tmp_path):
    model = unet()
    with torch.no_grad():
        model.conv_in.weight[1, 0, 0, 0] = float("nan")
    model.save_pretrained(tmp_path / "model")
    line = refusal(4, 0, "import", tmp_path / "model", "--out", tmp_path / "checkpoint")
    assert "conv_in.weight holds numbers that are not finite" in line


# Imports by the names of a network's authors --------------------------------------------------------------------------

METHOD = "[train]\nmethod = denoising\n[diffusion]\nlabel_dropout = {}\nnetwork = {}\n[{}]\n"


def original_dit(model):
    """Its state by the authors' names: fused q, k and v, embedders once, positions."""
    state, names = model.state_dict(), {}
    for theirs, ours in (("x_embedder.proj", "pos_embed.proj"), ("final_layer.linear", "proj_out_2"),
                         ("final_layer.adaLN_modulation.1", "proj_out_1")):
        names[theirs] = [ours]
    first = "transformer_blocks.0.norm1.emb"
    names |= {"t_embedder.mlp.0": [f"{first}.timestep_embedder.linear_1"],
              "t_embedder.mlp.2": [f"{first}.timestep_embedder.linear_2"],
              "y_embedder.embedding_table": [f"{first}.class_embedder.embedding_table"]}
    for i in range(len(model.transformer_blocks)):
        ours = f"transformer_blocks.{i}"
        names |= {f"blocks.{i}.{theirs}": [f"{ours}.{name}" for name in own] for theirs, own in (
            ("attn.qkv", ("attn1.to_q", "attn1.to_k", "attn1.to_v")), ("attn.proj", ("attn1.to_out.0",)),
            ("mlp.fc1", ("ff.net.0.proj",)), ("mlp.fc2", ("ff.net.2",)), ("adaLN_modulation.1", ("norm1.linear",)))}
    original = {f"{theirs}.{kind}": torch.cat([state[f"{name}.{kind}"] for name in own])
                for theirs, own in names.items() for kind in ("weight", "bias") if f"{own[0]}.{kind}" in state}
    return original | {"pos_embed": torch.zeros(1, 64, 32)}


def original_unet(model, heads_apart):
    """Its state by ADM's names: one numbering of all blocks, fused q, k and v."""
    names = {"conv_in": "input_blocks.0.0", "time_embedding.linear_1": "time_embed.0", "conv_norm_out": "out.0",
             "time_embedding.linear_2": "time_embed.2", "class_embedding": "label_emb", "conv_out": "out.2",
             "mid_block.resnets.0": "middle_block.0", "mid_block.attentions.0": "middle_block.1",
             "mid_block.resnets.1": "middle_block.2"}
    number = 1
    for i, block in enumerate(model.down_blocks):
        for j in range(len(block.resnets)):
            names[f"down_blocks.{i}.resnets.{j}"] = f"input_blocks.{number}.0"
            names[f"down_blocks.{i}.attentions.{j}"] = f"input_blocks.{number}.1"
            number += 1
        if block.downsamplers:
            names[f"down_blocks.{i}.downsamplers.0"] = f"input_blocks.{number}.0"
            number += 1
    number = 0
    for i, block in enumerate(model.up_blocks):
        for j in range(len(block.resnets)):
            names[f"up_blocks.{i}.resnets.{j}"] = f"output_blocks.{number}.0"
            names[f"up_blocks.{i}.attentions.{j}"] = f"output_blocks.{number}.1"
            number += 1
        names[f"up_blocks.{i}.upsamplers.0"] = f"output_blocks.{number - 1}.{2 if hasattr(block, 'attentions') else 1}"
    parts = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
             "conv2": "out_layers.3", "conv_shortcut": "skip_connection", "group_norm": "norm", "to_out.0": "proj_out",
             "to_q": "qkv"}
    state, original = model.state_dict(), {}
    for name, tensor in state.items():
        stem, kind = name.rsplit(".", 1)
        if stem.endswith(("to_k", "to_v")):
            continue
        module = max((ours for ours in names if f"{stem}.".startswith(f"{ours}.")), key=len)
        part = stem[len(module) + 1:]
        if part == "conv":  # of a change of size
            part = "op" if "downsamplers" in module else "conv"
        if part == "to_q":
            heads = model.get_submodule(module).heads
            fused = torch.stack([state[f"{module}.{which}.{kind}"] for which in ("to_q", "to_k", "to_v")])
            fused = fused.unflatten(1, (heads, -1))
            tensor = (fused.transpose(0, 1) if heads_apart else fused).flatten(0, 2)
        if ".attentions." in name and kind == "weight" and part != "group_norm":
            tensor = tensor.unsqueeze(-1)  # a convolution over one dimension
        original[".".join(filter(None, (names[module], parts.get(part, part), kind)))] = tensor.contiguous()
    return original


def test_dit_comes_by_its_authors_names(tmp_path):
    model = dit(norm_eps=1e-6)
    for block in model.transformer_blocks:
        block.norm1.emb.time_proj.downscale_freq_shift = 0
    state = original_dit(model)
    torch.save(state, tmp_path / "plain.pt")
    torch.save({"model": {name: tensor + 1 for name, tensor in state.items()}, "ema": state, "opt": {"state": {}}},
               tmp_path / "training.pt")
    (tmp_path / "dit.cfg").write_text(
        METHOD.format(0.1, "dit", "ddpm") + "learned_variance = true\n[dit]\nresolution = 16\nclasses = 5\ndepth = 3\n"
        "width = 32\nheads = 4\n")
    for name in ("plain", "training"):
        succeed(0, "import", tmp_path / f"{name}.pt", "--recipe", tmp_path / "dit.cfg", "--out", tmp_path / name)
        compare_outputs(tmp_path / name, model, tmp_path, labels=6)
    succeed(0, "import", tmp_path / "training.pt", "--recipe", tmp_path / "dit.cfg", "--ema", "false", "--out",
            tmp_path / "raw")
    bias = weights_of(tmp_path / "raw")["weight.proj_out_2.bias"]
    assert torch.equal(bias, state["final_layer.linear.bias"] + 1)
    out = tmp_path / "never"
    assert "--recipe" in refusal(2, 0, "import", tmp_path / "plain.pt", "--out", out)
    assert "DiT" in refusal(2, 0, "import", tmp_path / "plain.pt", "--recipe", "ddpm-digits", "--out", out)
    assert "no place" in refusal(4, 0, "import", tmp_path / "plain.pt", "--recipe", tmp_path / "dit.cfg", "--dit.depth", 2,
                                  "--out", out)
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pt")
    assert "ADM" in refusal(4, 0, "import", tmp_path / "other.pt", "--recipe", tmp_path / "dit.cfg", "--out", out)


@pytest.mark.parametrize("name, heads_apart", [("ldm", True), ("resampling", True), ("resampling", False)])
def test_unets_come_by_their_authors_names(name, heads_apart, tmp_path):
    """Of ADM as they are; of latent diffusion within a checkpoint, whose average's names have no dots."""
    model = unet(name, flip_sin_to_cos=True, freq_shift=0)
    state = original_unet(model, heads_apart)
    recipe = METHOD.format(0, "unet", "unet") + (
        "resolution = 16\nchannels = 16, 32, 48\nblocks = 2\nattention = 8\ngroups = 8\nclasses = 5\n")
    if name == "ldm":
        recipe += "head_channels = 8\n"
        state = {f"model.diffusion_model.{key}": tensor + 1 for key, tensor in state.items()} | {
            "model_ema." + f"diffusion_model.{key}".replace(".", ""): tensor for key, tensor in state.items()}
        state = {"state_dict": state | {"first_stage_model.weight": torch.zeros(1)}, "global_step": 5}
    else:
        recipe += "head_channels = 16\nresidual_resampling = true\nscale_shift = true\n"
    (tmp_path / "unet.cfg").write_text(recipe)
    torch.save(state, tmp_path / "model.ckpt")
    arguments = ["import", tmp_path / "model.ckpt", "--recipe", tmp_path / "unet.cfg", "--out", tmp_path / "checkpoint"]
    succeed(0, *arguments, "--attention-order", "legacy" if heads_apart else "new")
    compare_outputs(tmp_path / "checkpoint", model, tmp_path, labels=5)


def test_a_unet_that_attends_to_labels_comes_by_its_authors_names(tmp_path):
    """Latent diffusion's class-conditional one: weights go by names there and back. Labels' embedding lies beside, and has
    no average."""
    (tmp_path / "unet.cfg").write_text(METHOD.format(0.1, "unet", "unet") + (
        "resolution = 32\nimage_channels = 1\nchannels = 8, 16\nblocks = 1\nattention = 16\ngroups = 4\nclasses = 10\n"
        "heads = 1\nclass_context = 12\ncosine_first = true\nfrequency_shift = 0\n"))
    succeed(0, "train", "--recipe", tmp_path / "unet.cfg", "--data", DIGITS, "--steps", 1, "--train.batch", 2,
            "--train.threads", 1, "--sample.every", 0, "--denoiser.ema", 0, "--out", tmp_path / "run")
    ours = {name: tensor for name, tensor in weights_of(checkpoints(tmp_path / "run")[-1]).items()}
    blocks = {"conv_in": "input_blocks.0.0", "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
              "conv_norm_out": "out.0", "conv_out": "out.2", "mid_block.resnets.0": "middle_block.0",
              "mid_block.attentions.0": "middle_block.1", "mid_block.resnets.1": "middle_block.2",
              "down_blocks.0.resnets.0": "input_blocks.1.0", "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
              "down_blocks.1.resnets.0": "input_blocks.3.0", "down_blocks.1.attentions.0": "input_blocks.3.1",
              "up_blocks.0.resnets.0": "output_blocks.0.0", "up_blocks.0.attentions.0": "output_blocks.0.1",
              "up_blocks.0.resnets.1": "output_blocks.1.0", "up_blocks.0.attentions.1": "output_blocks.1.1",
              "up_blocks.0.upsamplers.0.conv": "output_blocks.1.2.conv", "up_blocks.1.resnets.0": "output_blocks.2.0",
              "up_blocks.1.resnets.1": "output_blocks.3.0"}
    parts = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
             "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
    state = {}
    for name, tensor in ours.items():
        name = name.removeprefix("weight.")
        if name == "class_embedding.weight":
            state["cond_stage_model.embedding.weight"] = tensor
            continue
        block = max((block for block in blocks if name.startswith(block + ".")), key=len)
        rest = name[len(block) + 1:]
        if ".resnets." in block:
            part, kind = rest.rsplit(".", 1)
            rest = f"{parts[part]}.{kind}"
        theirs = f"diffusion_model.{blocks[block]}.{rest}"
        state["model." + theirs] = tensor + 1
        state["model_ema." + theirs.replace(".", "")] = tensor
    torch.save({"state_dict": state}, tmp_path / "cin.ckpt")
    for ema, more in (("true", 0), ("false", 1)):
        succeed(0, "import", tmp_path / "cin.ckpt", "--recipe", tmp_path / "unet.cfg", "--ema", ema, "--out", tmp_path / ema)
        imported = weights_of(tmp_path / ema)
        for name, tensor in ours.items():
            expected = tensor if name == "weight.class_embedding.weight" else tensor + more
            assert torch.equal(imported[name], expected), name
    out, plain = tmp_path / "never", tmp_path / "plain.cfg"
    plain.write_text((tmp_path / "unet.cfg").read_text().replace("class_context = 12", ""))
    assert "unet.class_context" in refusal(4, 0, "import", tmp_path / "cin.ckpt", "--recipe", plain, "--out", out)
    del state["cond_stage_model.embedding.weight"]
    torch.save({"state_dict": state}, tmp_path / "without.ckpt")
    assert "class_embedding" in refusal(4, 0, "import", tmp_path / "without.ckpt", "--recipe", tmp_path / "unet.cfg",
                                        "--out", out)


# Pipelines ------------------------------------------------------------------------------------------------------------


class Identity(AutoencoderKL):
    """Latents are images."""

    def decode(self, z, **_):
        return type("Decoded", (), {"sample": z})()


def identity():
    return Identity(block_out_channels=(8,), norm_num_groups=4, scaling_factor=1.0)


def hand(monkeypatch, noises):
    """diffusers draws these in this order."""
    drawn = iter(noises)
    draw = lambda *_, **__: next(drawn)
    for module in ("pipelines.ddpm.pipeline_ddpm", "pipelines.ddim.pipeline_ddim", "pipelines.dit.pipeline_dit",
                   "schedulers.scheduling_ddpm"):
        monkeypatch.setattr(f"diffusers.{module}.randn_tensor", draw)


def imported_and_exported(model, scheduler, folder, pipeline):
    """A run of ours that was diffusers', and what it exports."""
    saved = folder / "saved"
    model.save_pretrained(saved / ("transformer" if isinstance(model, DiTTransformer2DModel) else "unet"))
    scheduler.save_pretrained(saved / "scheduler")
    succeed(0, "import", saved, "--out", folder / "checkpoint")
    succeed(0, "export", "--from", folder / "checkpoint", "--format", "diffusers", "--out", folder / "out")
    assert json.loads((folder / "out/model_index.json").read_text())["_class_name"] == pipeline.__name__
    config = json.loads((folder / "out/scheduler/scheduler_config.json").read_text())
    for key, value in config.items():
        if key != "_diffusers_version":
            assert scheduler.config.get(key, type(scheduler).__name__) == value, key
    return folder / "checkpoint", folder / "out"


SCHEDULE = dict(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, timestep_spacing="trailing")
LEADING = SCHEDULE | dict(timestep_spacing="leading")  # the last time is the first: no noise after it
PIPELINES = {
    "ddpm": (DDPMPipeline, lambda: DDPMScheduler(**LEADING), {}, 3),
    "ddpm-large": (DDPMPipeline, lambda: DDPMScheduler(**LEADING, variance_type="fixed_large", clip_sample=False,
                                                       prediction_type="v_prediction"), {}, 3),
    "ddpm-learned": (DDPMPipeline, lambda: DDPMScheduler(**LEADING, variance_type="learned_range"), {}, 6),
    "ddim": (DDIMPipeline, lambda: DDIMScheduler(**SCHEDULE), {"use_clipped_model_output": True}, 3),
    "dpm": (DDPMPipeline, lambda: DPMSolverMultistepScheduler(**SCHEDULE), {}, 3),
}
STEPS = 10


@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines_of_a_unet_draw_the_same_images(name, tmp_path, monkeypatch):
    kind, make, arguments, out_channels = PIPELINES[name]
    model = unet(labels=None, out_channels=out_channels)
    checkpoint, out = imported_and_exported(model, make(), tmp_path, kind)
    ours = tool("sample", tmp_path, {"labels": torch.zeros(3, dtype=torch.int64)} | weights_of(checkpoint),
                words(options_of(checkpoint) | {"sampler.steps": str(STEPS)}))
    hand(monkeypatch, [ours[f"noise.{i}"] for i in range(STEPS)])
    pipeline = kind.from_pretrained(out, low_cpu_mem_usage=False)
    pipeline.set_progress_bar_config(disable=True)
    images = torch.from_numpy(pipeline(3, num_inference_steps=STEPS, output_type="np", **arguments).images)
    images = images.permute(0, 3, 1, 2) * 2 - 1
    assert images.std() > 0.1
    worst = error(ours["images"], images)
    print(f"images {worst:.1e}")
    assert worst < BOUND * 10  # schedules in float32, multiplied a thousand times


# DiTPipeline drops what a network says of the variance, which ours uses in ddpm's steps.
@pytest.mark.parametrize("guidance", [1, 3])
@pytest.mark.parametrize("scheduler, out_channels", [
    (DDIMScheduler, 8), (DDIMScheduler, 4), (DPMSolverMultistepScheduler, 8), (DDPMScheduler, 4)])
def test_pipelines_of_a_transformer_draw_the_same_images(scheduler, out_channels, guidance, tmp_path, monkeypatch):
    """With its thousand classes and another for none."""
    model = dit(1000, out_channels=out_channels)
    arguments = LEADING if scheduler is DDPMScheduler else SCHEDULE
    if scheduler is not DPMSolverMultistepScheduler:
        arguments = arguments | {"clip_sample": False}
    checkpoint, out = imported_and_exported(model, scheduler(**arguments), tmp_path, DiTPipeline)
    labels = [0, 207, 999]
    options = options_of(checkpoint) | {"sampler.steps": str(STEPS), "sampler.guidance": str(guidance)}
    ours = tool("sample", tmp_path, {"labels": torch.tensor(labels)} | weights_of(checkpoint), words(options))
    noises = [ours[f"noise.{i}"] for i in range(STEPS)]
    hand(monkeypatch, noises if guidance == 1 else noises[:1] + [torch.cat([noise, noise]) for noise in noises[1:]])
    pipeline = DiTPipeline.from_pretrained(out, vae=identity(), low_cpu_mem_usage=False)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(class_labels=labels, guidance_scale=guidance, num_inference_steps=STEPS, output_type="np").images
    images = torch.from_numpy(images).permute(0, 3, 1, 2) * 2 - 1
    assert images.std() > 0.1
    worst = error(ours["images"], images)
    print(f"images {worst:.1e}")
    assert worst < BOUND * 10


def test_a_variance_that_a_pipeline_drops_is_told_of(tmp_path):
    dit(10, out_channels=8).save_pretrained(tmp_path / "saved/transformer")
    DDPMScheduler(**LEADING, clip_sample=False).save_pretrained(tmp_path / "saved/scheduler")
    succeed(0, "import", tmp_path / "saved", "--out", tmp_path / "checkpoint")
    text = succeed(0, "export", "--from", tmp_path / "checkpoint", "--format", "diffusers", "--out", tmp_path / "out").out
    assert "fixed variance, not the learned one" in text


@pytest.mark.parametrize("scheduler, process, solver", [
    (EulerDiscreteScheduler(**SCHEDULE), "ddpm", "euler"), (EDMEulerScheduler(sigma_max=50), "edm", "euler"),
    (FlowMatchEulerDiscreteScheduler(num_train_timesteps=500), "flow", "euler")])
def test_other_schedulers_come_and_go(scheduler, process, solver, tmp_path):
    unet(labels=None).save_pretrained(tmp_path / "saved/unet")
    scheduler.save_pretrained(tmp_path / "saved/scheduler")
    succeed(0, "import", tmp_path / "saved", "--out", tmp_path / "checkpoint")
    options = options_of(tmp_path / "checkpoint")
    assert (options["diffusion.process"], options["sampler.solver"]) == (process, solver)
    succeed(0, "export", "--from", tmp_path / "checkpoint", "--format", "diffusers", "--out", tmp_path / "out")
    back = type(scheduler).from_pretrained(tmp_path / "out", subfolder="scheduler")
    back.set_timesteps(9), scheduler.set_timesteps(9)
    assert torch.equal(back.sigmas, scheduler.sigmas) and torch.equal(back.timesteps, scheduler.timesteps)
    succeed(0, "export", "--from", tmp_path / "checkpoint", "--format", "diffusers", "--sampler.solver", "heun", "--out",
            tmp_path / "heun")
