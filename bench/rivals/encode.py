#!/usr/bin/env python3
"""CLIP's image and text towers, random weights: PyTorch, OpenVINO, ONNX Runtime and ours, in one run on the same threads.

    python3 -m venv ~/rivals
    ~/rivals/bin/pip install torch open-clip-torch onnx onnxscript onnxruntime openvino nncf
    bench/rivals/encode.py --python ~/rivals/bin/python                           (ViT-B-16, batch 1, 8, 32)
    bench/rivals/encode.py --python ~/rivals/bin/python --model ViT-L-14 --tower image --json

The others run open_clip's own model: PyTorch as it is and with torch.compile (F32, bf16 by autocast), OpenVINO (F32, bf16,
int8 by NNCF's post-training quantization), ONNX Runtime (F32, int8 by its dynamic quantization), and on AMD zentorch where
it is installed. Each in a process of its own; the shortest run counts. Texts fill the whole context. A task's name ends in
the precision of the products.
"""
import argparse
import pathlib

import run

SYSTEMS = [("pytorch", "fp32"), ("pytorch", "bf16"), ("pytorch-compile", "fp32"), ("pytorch-compile", "bf16"),
           ("openvino", "fp32"), ("openvino", "bf16"), ("openvino", "int8"), ("onnxruntime", "fp32"), ("onnxruntime", "int8"),
           ("zentorch", "fp32"), ("zentorch", "bf16")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    run.flags(parser, [1, 8, 32])
    parser.add_argument("--tower", choices=["image", "text", "both"], default="both")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path.home() / ".cache/opencloc/rivals",
                        help="folder of exported models")
    arguments = parser.parse_args()
    run.need_binary(arguments.opencloc)
    run.need_packages(arguments.python, "torch", "open_clip")
    if not arguments.json:
        print(run.machine(arguments.threads))
    towers = ["image", "text"] if arguments.tower == "both" else [arguments.tower]
    measured = []

    def keep(found):
        measured.extend(found)
        for line in found:
            if arguments.json:
                run.show(line)

    systems = [row for row in SYSTEMS if row[0] != "zentorch" or run.has_package(arguments.python, "zentorch")]
    for model in arguments.model:
        for tower in towers:
            for system, precision in systems:
                if run.wanted(arguments, system, precision):
                    keep(run.lines([arguments.python, run.HERE / "encode_worker.py", system, precision, tower, model, "--threads",
                                    arguments.threads, "--seconds", arguments.seconds, "--work", arguments.work, "--batch",
                                    *arguments.batch]))
            if run.wanted(arguments, run.OURS, ""):
                keep(run.our_lines(arguments.opencloc, "encode" if tower == "image" else "text", [model], arguments.batch,
                                   arguments.threads, arguments.seconds))
    if not arguments.json:
        run.print_table(measured)


if __name__ == "__main__":
    main()
