"""`ganymede export --format diffusers` and `ganymede import` of first stages: what one side writes the other computes alike
with. Errors are relative L2.
"""

import json
import shutil

import pytest
import torch
from diffusers import AutoencoderKL, VQModel
from safetensors.torch import load_file, save_file

from diffusion_tool import error, tool
from test_denoisers import randomise
from test_exchange import BOUND, change, load, options_of
from test_first_stages import model_of

from ganymede_runs import ROOT, checkpoints, refusal, some_digits, succeed, tensors_of, write_dataset

FOLDERS = {"kl": "vae", "vq": "vqvae"}
CLASSES = {"kl": AutoencoderKL, "vq": VQModel}


def random_model(kind, attention=False, **arguments):
    model = randomise(model_of(kind, attention, **arguments)).eval()
    if kind == "vq":
        with torch.no_grad():
            model.quantize.embedding.weight.mul_(3)
    return model


def weights_of(checkpoint, kind="weight"):
    start = f"autoencoder/{kind}/"
    return {f"weight.{name[len(start):]}": torch.from_numpy(tensor)
            for name, tensor in tensors_of(checkpoint).items() if name.startswith(start)}


def compare_outputs(checkpoint, model, folder, kind="weight"):
    """What the encoder says of images, and what is decoded of a latent of theirs."""
    config = model.config
    generator = torch.Generator().manual_seed(2)
    draw = lambda channels, side: torch.randn(2, channels, side, side, generator=generator)
    side, z = config.sample_size, config.latent_channels
    small, is_kl = side >> (len(config.block_out_channels) - 1), isinstance(model, AutoencoderKL)
    tensors = {"x": draw(config.in_channels, side), "g": draw(2 * z if is_kl else z, small), "h": draw(config.in_channels, side)}
    if is_kl:
        tensors["eps"] = draw(z, small)
    theirs = {}
    with torch.no_grad():
        if is_kl:
            latent = model.encode(tensors["x"]).latent_dist
            theirs["moments"] = latent.parameters
            theirs["latent"] = latent.mean + latent.std * tensors["eps"]
            theirs["reconstruction"] = model.decode(theirs["latent"]).sample
        else:
            theirs["moments"] = model.encode(tensors["x"]).latents
            theirs["latent"] = model.quantize(theirs["moments"])[0]
            theirs["reconstruction"] = model.decode(theirs["moments"]).sample
    options = " ".join(f"{key}={value.replace(' ', '')}" for key, value in options_of(checkpoint).items()
                       if key.startswith("first_stage."))
    ours = tool("autoencoder", folder, tensors | weights_of(checkpoint, kind), options)
    for name, value in theirs.items():
        assert value.std() > 1e-3
        off = error(ours[name], value)
        print(f"{name} {off:.1e}")
        assert off < BOUND, name


@pytest.mark.parametrize("kind", FOLDERS)
def test_diffusers_computes_what_a_run_has_learned(kind, tmp_path):
    images, labels = some_digits()
    data = write_dataset(tmp_path / "digits.h5", images, labels)
    succeed(0, "train", "--recipe", "kl-digits", "--data", data, "--out", tmp_path / "run", "--steps", 4, "--train.batch", 4,
            "--train.threads", 1, "--train.precision", "fp32", "--first_stage.latent", kind, "--first_stage.channels", "8,16,16",
            "--first_stage.codes", 50, "--first_stage.attention", 16, "--autoencoder.warmup", 0, "--autoencoder.lr", 0.01,
            "--autoencoder.ema", 0.5, "--sample.every", 0)
    checkpoint = checkpoints(tmp_path / "run")[-1]
    text = succeed(0, "export", "--from", tmp_path / "run", "--format", "diffusers", "--out", tmp_path / "out").out
    assert CLASSES[kind].__name__ in text
    assert [path.name for path in (tmp_path / "out").iterdir()] == [FOLDERS[kind]]
    compare_outputs(checkpoint, load(CLASSES[kind], tmp_path / "out", subfolder=FOLDERS[kind]).eval(), tmp_path, "ema")
    succeed(0, "export", "--from", checkpoint, "--format", "diffusers", "--ema", "false", "--out", tmp_path / "raw")
    compare_outputs(checkpoint, load(CLASSES[kind], tmp_path / "raw", subfolder=FOLDERS[kind]).eval(), tmp_path)


def test_what_diffusers_has_not_is_refused(tmp_path):
    random_model("kl").save_pretrained(tmp_path / "model")
    succeed(0, "import", tmp_path / "model", "--out", tmp_path / "checkpoint", "--first_stage.eps", 1e-5)
    line = refusal(2, 0, "export", "--from", tmp_path / "checkpoint", "--format", "diffusers", "--out", tmp_path / "out")
    assert "first_stage.eps" in line and not list(tmp_path.glob("out*"))


MODELS = {
    "kl": lambda: random_model("kl"),
    "kl-attention": lambda: random_model("kl", True, latent_channels=5, scaling_factor=0.3),
    "kl-one-channel": lambda: random_model("kl", in_channels=1, out_channels=1, layers_per_block=1, norm_num_groups=8),
    "vq": lambda: random_model("vq"),
    "vq-attention": lambda: random_model("vq", True, vq_embed_dim=3, norm_num_groups=8),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_program_computes_what_diffusers_saved_and_gives_it_back(name, tmp_path):
    model = MODELS[name]()
    model.save_pretrained(tmp_path / "model")
    succeed(0, "import", tmp_path / "model", "--out", tmp_path / "checkpoint")
    compare_outputs(tmp_path / "checkpoint", model, tmp_path)
    succeed(0, "export", "--from", tmp_path / "checkpoint", "--format", "diffusers", "--out", tmp_path / "back")
    folder = tmp_path / "back" / FOLDERS[name[:2]]
    state, expected = load(type(model), folder).state_dict(), model.state_dict()
    assert state.keys() == expected.keys() and all(torch.equal(state[key], expected[key]) for key in state)
    config, theirs = (json.loads((path / "config.json").read_text()) for path in (folder, tmp_path / "model"))
    assert config.pop("scaling_factor") == 1  # a run that diffuses no latents knows of none
    assert {key for key in config if config[key] != theirs[key]} <= {"vq_embed_dim"}, (config, theirs)


@pytest.mark.parametrize("left_out", ["use_quant_conv", "use_post_quant_conv", "mid_block_add_attention"])
def test_layers_that_were_left_out_change_nothing(left_out, tmp_path):
    model = random_model("kl", **{left_out: False})
    model.save_pretrained(tmp_path / "model")
    succeed(0, "import", tmp_path / "model", "--out", tmp_path / "checkpoint")
    compare_outputs(tmp_path / "checkpoint", model, tmp_path)
    succeed(0, "export", "--from", tmp_path / "checkpoint", "--format", "diffusers", "--out", tmp_path / "back")
    compare_outputs(tmp_path / "checkpoint", load(AutoencoderKL, tmp_path / "back/vae").eval(), tmp_path)


def test_older_names_of_attention_are_read(tmp_path):
    model = random_model("kl", True)
    model.save_pretrained(tmp_path / "model")
    path = tmp_path / "model/diffusion_pytorch_model.safetensors"
    state = load_file(path)
    for now, before in {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}.items():
        state = {name.replace(f".{now}.", f".{before}."): tensor for name, tensor in state.items()}
    save_file(state, path)
    succeed(0, "import", tmp_path / "model", "--out", tmp_path / "checkpoint")
    compare_outputs(tmp_path / "checkpoint", model, tmp_path)


@pytest.mark.parametrize("kind, key, value", [
    ("kl", "act_fn", "relu"), ("kl", "out_channels", 1), ("kl", "sample_size", [32, 16]), ("kl", "block_out_channels", []),
    ("kl", "down_block_types", ["DownEncoderBlock2D", "CrossAttnDownBlock2D", "DownEncoderBlock2D"]),
    ("kl", "up_block_types", ["AttnUpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"]),
    ("vq", "vq_embed_dim", 2), ("vq", "norm_type", "spatial"), ("vq", "lookup_from_codebook", True)])
def test_what_the_program_has_not_is_refused(kind, key, value, tmp_path):
    random_model(kind).save_pretrained(tmp_path / "model")
    change(tmp_path / "model", key, value)
    line = refusal(4, 0, "import", tmp_path / "model", "--out", tmp_path / "checkpoint")
    assert "model" in line and key in line and not list(tmp_path.glob("checkpoint*"))


# By the names of their authors ----------------------------------------------------------------------------------------


def original(model):
    """Its state by the names of latent diffusion: levels from the image, maps of attention as 1x1 convolutions."""
    names, levels = {}, len(model.config.block_out_channels)
    for coder in ("encoder", "decoder"):
        names |= {f"{coder}.mid_block.resnets.0.": f"{coder}.mid.block_1.", f"{coder}.mid_block.resnets.1.": f"{coder}.mid.block_2.",
                  f"{coder}.mid_block.attentions.0.": f"{coder}.mid.attn_1.", f"{coder}.conv_norm_out.": f"{coder}.norm_out."}
    for i in range(levels):
        for ours, theirs in ((f"encoder.down_blocks.{i}", f"encoder.down.{i}"),
                             (f"decoder.up_blocks.{levels - 1 - i}", f"decoder.up.{i}")):
            names |= {f"{ours}.resnets.": f"{theirs}.block.", f"{ours}.attentions.": f"{theirs}.attn.",
                      f"{ours}.downsamplers.0.": f"{theirs}.downsample.", f"{ours}.upsamplers.0.": f"{theirs}.upsample."}
    parts = {"conv_shortcut": "nin_shortcut", "group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
    state = {}
    for name, tensor in model.state_dict().items():
        if ".attentions." in name and tensor.dim() == 2:
            tensor = tensor[..., None, None].contiguous()
        for before, now in names.items():
            name = name.replace(before, now)
        for before, now in parts.items():
            name = name.replace(f".{before}.", f".{now}.")
        state[name] = tensor
    return state


@pytest.mark.parametrize("kind, form", [("kl", "ckpt"), ("vq", "ckpt"), ("kl", "safetensors"), ("kl", "latent diffusion")])
def test_first_stages_come_by_their_authors_names(kind, form, tmp_path):
    model = random_model(kind, True)
    state = original(model)
    assert "decoder.up.2.upsample.conv.weight" in state and state["encoder.mid.attn_1.q.weight"].dim() == 4
    path = tmp_path / f"model.{'safetensors' if form == 'safetensors' else 'ckpt'}"
    if form == "safetensors":
        save_file(state, path)
    elif form == "ckpt":
        torch.save({"state_dict": state | {"loss.logvar": torch.zeros(1)}, "global_step": 3}, path)
    else:
        torch.save({"state_dict": {f"first_stage_model.{name}": tensor for name, tensor in state.items()} |
                    {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(1)}}, path)
    options = ["--first_stage.resolution", 32, "--first_stage.channels", "8,16,24", "--first_stage.groups", 4,
               "--first_stage.attention", 16, "--first_stage.latent_channels", 3]
    options += ["--first_stage.codes", 20] * (kind == "vq")
    arguments = ["import", path, "--recipe", f"{kind}-f4", *options]
    succeed(0, *arguments, "--out", tmp_path / "checkpoint")
    compare_outputs(tmp_path / "checkpoint", model, tmp_path)
    if form == "safetensors":
        line = refusal(4, 0, *arguments, "--first_stage.blocks", 1, "--out", tmp_path / "other")
        assert "block.1" in line or "no place" in line
        assert "train.method = denoising" in refusal(4, 0, "import", path, "--recipe", "ddpm-digits", "--out", tmp_path / "other")
