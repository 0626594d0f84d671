#!/usr/bin/env python3
"""A CLIP training step, image and text tower, loss and AdamW: open_clip's own model and loss in PyTorch, and ours, in one run.

    bench/rivals/train.py --python ~/rivals/bin/python --batch 8 32         (packages: see encode.py)

PyTorch runs F32 and bf16 by autocast, as it is and with torch.compile. It computes every text at 77 ids, as open_clip does.
Ours are captions of 20 to 60 ids, computed at their own length: part of the ratio. A task's name ends in the precision.
"""
import argparse

import run

SYSTEMS = [("pytorch", "fp32"), ("pytorch", "bf16"), ("pytorch-compile", "fp32"), ("pytorch-compile", "bf16")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    run.flags(parser, [8, 32])
    arguments = parser.parse_args()
    run.need_binary(arguments.opencloc)
    run.need_packages(arguments.python, "torch", "open_clip")
    if not arguments.json:
        print(run.machine(arguments.threads))
    measured = []
    for model in arguments.model:
        for system, precision in SYSTEMS:
            if run.wanted(arguments, system, precision):
                measured += run.lines([arguments.python, run.HERE / "train_worker.py", system, precision, model, "--threads",
                                       arguments.threads, "--seconds", arguments.seconds, "--batch", *arguments.batch])
        if run.wanted(arguments, run.OURS, ""):
            measured += run.our_lines(arguments.opencloc, "train", [model], arguments.batch, arguments.threads, arguments.seconds)
    if arguments.json:
        for line in measured:
            run.show(line)
    else:
        run.print_table(measured)


if __name__ == "__main__":
    main()
