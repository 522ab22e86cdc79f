"""The peer of train.py and sampling.py for denoisers: the networks of diffusers, from a folder that `export` wrote."""

import torch


def load_denoiser(folder):
    from diffusers import DiTTransformer2DModel, UNet2DModel

    if (folder / "unet").exists():
        return UNet2DModel.from_pretrained(folder, subfolder="unet")
    return DiTTransformer2DModel.from_pretrained(folder, subfolder="transformer")


def classes_of(network):
    """How many kinds the network tells apart; 0 where it is told none."""
    return getattr(network.config, "num_class_embeds", None) or getattr(network.config, "num_embeds_ada_norm", None) or 0


def predicted(network, x, times, labels):
    """`network` may be wrapped."""
    return network(x, times, class_labels=labels, return_dict=False)[0]


def denoising_step(recipe, folder, wrap, form, batch, device):
    """An update as the training scripts of diffusers make it, with DDPM's loss: returns the losses."""
    tuned = form != "default"
    options = recipe["denoiser"]
    network = load_denoiser(folder).train().to(
        device, memory_format=torch.channels_last if tuned else torch.preserve_format)
    config, classes = network.config, classes_of(network)
    parallel = wrap(network)
    adam = torch.optim.Adam(network.parameters(), lr=options.getfloat("lr"), eps=options.getfloat("eps"), fused=tuned,
                            betas=(options.getfloat("beta1"), options.getfloat("beta2")))
    clip, decay = options.getfloat("clip"), options.getfloat("ema")
    ema = [parameter.detach().clone() for parameter in network.parameters()]
    alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, device=device), 0)
    layout = torch.channels_last if tuned else torch.contiguous_format
    shape = batch, config.in_channels, config.sample_size, config.sample_size

    def step():
        x0 = (torch.rand(shape, device=device) * 2 - 1).to(memory_format=layout)
        eps = torch.randn(shape, device=device).to(memory_format=layout)
        times = torch.randint(1000, (batch,), device=device)
        labels = torch.randint(classes, (batch,), device=device) if classes else None
        kept = alpha_bar[times].view(-1, 1, 1, 1)
        adam.zero_grad()
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=tuned):
            out = predicted(parallel, kept.sqrt() * x0 + (1 - kept).sqrt() * eps, times, labels)
        loss = torch.nn.functional.mse_loss(out.float(), eps)
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
        adam.step()
        torch._foreach_lerp_(ema, list(network.parameters()), 1 - decay)
        return (loss.detach(),)

    return step
