#!/usr/bin/python3
"""A CLIP training step, ViT-B/16 and its text tower, AdamW included: PyTorch and ours, in one run.

    bench/rivals/train.py --opencloc build/release/opencloc --batch 16

PyTorch is Debian's python3-torch in F32, as installed and with OPENBLAS_CORETYPE=SkylakeX; its texts are computed at 77
ids, as every other implementation does. Ours are captions of 20 to 60 ids at their own length: part of the ratio.
Also how much longer a CLOC step (4 regions and their texts an image) takes than a CLIP step.
"""
import argparse
import os

import run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=3, help="for each figure")
    parser.add_argument("--batch", type=int, default=32)
    arguments = parser.parse_args()
    batch, threads, seconds = arguments.batch, arguments.threads, arguments.seconds
    run.need_binary(arguments.opencloc)
    print(run.machine(threads))
    rows = [("PyTorch as installed", run.torch_rates("train", [batch], 0, seconds)),
            ("PyTorch, OPENBLAS_CORETYPE=SkylakeX",
             run.torch_rates("train", [batch], threads, seconds, {"OPENBLAS_CORETYPE": "SkylakeX"}))]
    figures = run.our_figures(arguments.opencloc, "train", [batch], threads, seconds)
    rates = {name.split("/")[2] + " " + name.split("/")[3]: (line["items_per_s"], line["items_per_cpu_s"])
             for name, line in figures.items() if "items_per_s" in line}
    run.print_table(rows, batch, list(rates.items()))
    for name, line in figures.items():
        if "times" in line:
            print(f"{name}: {line['times']:.3f} times as long ({line['times_of_cpu']:.3f} of processor time)")
        else:
            print(f"{name}: {line['gflops']:.0f} GFLOP/s, {100 * line['share_of_peak']:.0f} % of the peak measured beside it")


if __name__ == "__main__":
    main()
