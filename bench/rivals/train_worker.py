#!/usr/bin/env python3
"""Training steps of open_clip's own model and loss in PyTorch: a line per batch. Called by train.py in its own process.

    train_worker.py pytorch-compile bf16 ViT-B-16 --threads 2 --seconds 3 --batch 8 32
"""
import argparse

import open_clip
import torch
from encode_worker import rates
from open_clip.loss import ClipLoss

import run


def step_of(arguments, batch):
    torch.manual_seed(1)
    model = open_clip.create_model(arguments.model, pretrained=None)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.2)
    side = model.visual.image_size
    side = side[0] if isinstance(side, tuple) else side
    pixels, ids = torch.randn(batch, 3, side, side), torch.randint(1, model.vocab_size, (batch, model.context_length))
    loss_of = ClipLoss()
    forward = torch.compile(model) if arguments.system == "pytorch-compile" else model

    def work():
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.precision == "bf16"):
            image, text, scale = forward(pixels, ids)[:3]
            loss = loss_of(image, text, scale)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return work


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("system", choices=["pytorch", "pytorch-compile"])
    parser.add_argument("precision", choices=["fp32", "bf16"])
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--batch", type=int, nargs="+", default=[32])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for batch in arguments.batch:
        run.show({"task": f"train/{arguments.model}/clip/b{batch}/{arguments.precision}",
                  "system": f"{arguments.system} {torch.__version__.split('+')[0]}", **rates(step_of(arguments, batch), batch,
                                                                                           arguments.seconds)})


if __name__ == "__main__":
    main()
