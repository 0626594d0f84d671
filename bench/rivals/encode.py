#!/usr/bin/python3
"""ViT-B/16 image tower, random weights: PyTorch, ONNX Runtime (F32, int8) and ours, in one run.

    bench/rivals/encode.py --opencloc build/release/opencloc --work ~/.cache/opencloc/rivals

PyTorch is Debian's python3-torch, as installed and with OPENBLAS_CORETYPE=SkylakeX. ONNX Runtime is npm's
onnxruntime-node, installed into --work where it is not there (about 90 MB; the optional GPU part is not fetched); its
models are written by onnx_vit.py. Prints a table a batch: images a second of the clock (the shortest run), images a
second of processor time, and how many times ours is faster (by processor time in brackets). bf16 products of PyTorch
1.13 are left out: they die of an illegal instruction on machines whose hypervisor hides the AMX palette.
"""
import argparse
import pathlib
import subprocess

import run


def onnxruntime(work):
    package = work / "node_modules" / "onnxruntime-node"
    if not package.exists():
        work.mkdir(parents=True, exist_ok=True)
        # The package's install script would fetch CUDA libraries.
        subprocess.run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-timeout=1200000",
                        "onnxruntime-node"], cwd=work, check=True)
    return work


def write_models(work):
    import torch
    from onnx_vit import write
    from vit import ImageTower
    torch.manual_seed(1)
    tower = ImageTower().eval()
    paths = {name: work / f"vit-b-16-{name}.onnx" for name in ("fp32", "int8")}
    for name, path in paths.items():
        write(str(path), tower, name == "int8")
    with torch.no_grad():
        return paths, tower(torch.full((1, 3, 224, 224), 0.5))[0, :16]


def cosine(a, b):
    import torch
    return torch.nn.functional.cosine_similarity(torch.tensor(a), torch.as_tensor(b), dim=0).item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path.home() / ".cache/opencloc/rivals")
    parser.add_argument("--threads", type=int, default=len(__import__("os").sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=3, help="for each figure")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32])
    arguments = parser.parse_args()
    work, batches, threads, seconds = (arguments.work.resolve(), arguments.batch, arguments.threads, arguments.seconds)
    run.need_binary(arguments.opencloc)
    print(run.machine(threads))
    onnxruntime(work)
    models, expected = write_models(work)
    rows = [("PyTorch as installed", run.torch_rates("encode", batches, 0, seconds)),
            ("PyTorch, OPENBLAS_CORETYPE=SkylakeX",
             run.torch_rates("encode", batches, threads, seconds, {"OPENBLAS_CORETYPE": "SkylakeX"}))]
    for name, path in models.items():
        found = run.lines(["node", run.HERE / "onnx_run.js", work, path, threads, seconds, *batches])
        rows.append((f"ONNX Runtime {name}", {line["batch"]: (line["per_s"], line["per_cpu_s"]) for line in found}))
        if found:
            print(f"ONNX Runtime {name}: cosine with PyTorch's embedding {cosine(found[0]['head'], expected):.5f}")
    ours = run.our_figures(arguments.opencloc, "encode", batches, threads, seconds)
    for batch in batches:
        of_batch = {name.split("/")[2]: (line["items_per_s"], line["items_per_cpu_s"]) for name, line in ours.items()
                    if name.endswith(f"/b{batch}")}
        run.print_table(rows, batch, list(of_batch.items()))
    for name, line in ours.items():
        print(f"{name}: {line['gflops']:.0f} GFLOP/s, {100 * line['share_of_peak']:.0f} % of the peak measured beside it")


if __name__ == "__main__":
    main()
