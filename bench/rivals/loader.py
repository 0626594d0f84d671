#!/usr/bin/python3
"""Our loader against torchvision: 640x480 JPEGs to 224 px, one thread each, in one run.

torchvision with Pillow (Debian: python3-torchvision python3-pil): open, RGB, Resize(224, bicubic),
CenterCrop, ToTensor, Normalize. Ours: `opencloc bench loader` on the same files, same arithmetic.

Example: bench/rivals/loader.py --opencloc build/release/opencloc
"""
import argparse
import io
import json
import pathlib
import subprocess
import tempfile
import time

import numpy as np
import torch
import torchvision.transforms as T
from PIL import Image


def photo_like(rng, width=640, height=480):
    """Noise with as much power in every octave, much like a photograph's."""
    total = np.full((height, width, 3), 128.0, np.float32)
    cells = 2
    while cells <= width:
        octave = rng.integers(0, 256, (max(1, cells * height // width), cells, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(octave).resize((width, height), Image.BICUBIC), np.float32)
        total += 0.9 / max(1, cells // 8) * (smooth - 128.0)
        cells *= 2
    return Image.fromarray(total.clip(0, 255).astype(np.uint8))


def make_photos(folder, count):
    rng = np.random.default_rng(0)
    for i in range(count):
        photo_like(rng).save(folder / f"{i:04d}.jpg", quality=90)


def torchvision_rate(paths, seconds):
    torch.set_num_threads(1)
    transform = T.Compose([
        T.Resize(224, interpolation=T.InterpolationMode.BICUBIC), T.CenterCrop(224), T.ToTensor(),
        T.Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))])
    files = [path.read_bytes() for path in paths]
    for data in files[:8]:
        transform(Image.open(io.BytesIO(data)).convert("RGB"))
    done, began, cpu_began = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        for data in files:
            transform(Image.open(io.BytesIO(data)).convert("RGB"))
        done += len(files)
    return done / (time.perf_counter() - began), done / (time.process_time() - cpu_began)


def our_rate(opencloc, folder, seconds):
    command = [opencloc, "bench", "loader", "--threads", "1", "--json",
               "--images", str(folder), "--seconds", str(seconds)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {line["name"].split("/")[2]: (line["items_per_s"], line["items_per_cpu_s"])
            for line in map(json.loads, lines)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--images", help="a folder of JPEGs instead of generated ones")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3, help="for each figure and round")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(arguments.images or scratch)
        if not arguments.images:
            make_photos(folder, arguments.count)
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
        size = sum(path.stat().st_size for path in paths) / len(paths)
        print(f"{len(paths)} JPEGs, {size / 1000:.0f} kB each, one thread. Images a second of processor time")
        print("(what one core does, whatever else runs); on the right, of the clock.")
        print(f"{'torchvision':>12} {'opencloc':>9} {'ratio':>6} {'decode only':>12} {'draft mode':>11}"
              f" | {'torchvision':>12} {'opencloc':>9} {'ratio':>6}")
        for _ in range(arguments.rounds):
            wall, cpu = torchvision_rate(paths, arguments.seconds)
            ours = our_rate(arguments.opencloc, folder, arguments.seconds)
            our_wall, our_cpu = ours["shortest-224"]
            print(f"{cpu:12.1f} {our_cpu:9.1f} {our_cpu / cpu:6.2f} {ours['decode'][1]:12.1f}"
                  f" {ours['shortest-224-draft'][1]:11.1f} | {wall:12.1f} {our_wall:9.1f}"
                  f" {our_wall / wall:6.2f}", flush=True)


if __name__ == "__main__":
    main()
