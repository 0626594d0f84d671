#!/usr/bin/python3
"""One PyTorch measurement in a process of its own, so that OPENBLAS_CORETYPE can differ: `encode` or `train`.

Prints one JSON object a batch: images a second by the shortest run, and a second of processor time.
    torch_run.py encode --threads 2 --seconds 3 --batch 1 8 32
"""
import argparse
import json
import time

import torch
from vit import ImageTower, TextTower


def rates(work, batch, seconds):
    first = time.perf_counter()
    cpu_first = time.process_time()
    work()
    best, cpu, spent, runs = time.perf_counter() - first, time.process_time() - cpu_first, 0.0, 1
    if best < seconds:  # else the first run is the figure, as in `opencloc bench`
        best, cpu, runs = float("inf"), 0.0, 0
        while spent < seconds:
            began, cpu_began = time.perf_counter(), time.process_time()
            work()
            took = time.perf_counter() - began
            best, spent, runs, cpu = min(best, took), spent + took, runs + 1, cpu + time.process_time() - cpu_began
    return {"batch": batch, "per_s": batch / best, "per_cpu_s": batch * runs / cpu}


def encoder(batch):
    tower, pixels = ImageTower().eval(), torch.randn(batch, 3, 224, 224)

    def work():
        with torch.no_grad():
            tower(pixels)
    return work


def trainer(batch):
    image, text = ImageTower(), TextTower()
    scale = torch.nn.Parameter(torch.tensor(2.659))
    optimizer = torch.optim.AdamW([*image.parameters(), *text.parameters(), scale], lr=1e-6)
    pixels, ids = torch.randn(batch, 3, 224, 224), torch.randint(1, 49408, (batch, 77))
    labels = torch.arange(batch)

    def work():
        a, b = (torch.nn.functional.normalize(x, dim=-1) for x in (image(pixels), text(ids)))
        logits = scale.exp() * a @ b.t()
        loss = (torch.nn.functional.cross_entropy(logits, labels) + torch.nn.functional.cross_entropy(logits.t(), labels)) / 2
        loss.backward()
        torch.nn.utils.clip_grad_norm_([*image.parameters(), *text.parameters()], 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return work


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["encode", "train"])
    parser.add_argument("--threads", type=int, default=0, help="0: as torch chooses")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--batch", type=int, nargs="+", default=[32])
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    for batch in arguments.batch:
        work = (encoder if arguments.what == "encode" else trainer)(batch)
        print(json.dumps(rates(work, batch, arguments.seconds)), flush=True)


if __name__ == "__main__":
    main()
