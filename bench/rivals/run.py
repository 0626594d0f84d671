"""What the scripts of this folder share: the machine in a line, our figures, PyTorch's, and tables."""
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent


def machine(threads):
    names = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    flags = next((line for line in open("/proc/cpuinfo") if line.startswith("flags")), "")
    has = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8") if f" {flag}" in flags]
    load = os.getloadavg()[0]
    return f"{names[0]}, {len(names)} processors, {threads} threads, {' '.join(has)}; load {load:.1f} at the start"


def need_binary(path):
    if not pathlib.Path(path).is_file():
        sys.exit(f"no opencloc binary at {path}: build one with ./quickstart, or say where it is with --opencloc")


def lines(command, environment=None, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          env={**os.environ, **(environment or {})}, **options)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        print(f"{command[0]}: {reason}", file=sys.stderr)
        return []
    return [json.loads(line) for line in done.stdout.splitlines()]


def torch_rates(what, batches, threads, seconds, environment=None):
    """{batch: (images a second, a second of processor time)}; empty where it cannot run."""
    command = ["/usr/bin/python3", HERE / "torch_run.py", what, "--threads", threads, "--seconds", seconds, "--batch", *batches]
    return {line["batch"]: (line["per_s"], line["per_cpu_s"]) for line in lines(command, environment)}


def our_figures(opencloc, subject, batches, threads, seconds):
    figures = {}
    for batch in batches:
        command = [opencloc, "bench", subject, "--model", "ViT-B-16", "--batch", batch, "--threads", threads,
                   "--seconds", seconds, "--json"]
        for line in lines(command):
            figures[line["name"]] = line
    return figures


def print_table(rows, batch, ours):
    """rows: [(system, {batch: rates})]; ours: [(name, rates)]. By the clock, and by processor time in brackets."""
    print(f"\n| batch {batch} | images/s | a core-second | " + " | ".join(f"ours {name} is" for name, _ in ours) + " |")
    print("|---|---|---|" + "---|" * len(ours))
    for system, rates in [*((name, r.get(batch)) for name, r in rows), *(("ours " + name, r) for name, r in ours)]:
        if rates is None:
            print(f"| {system} | did not run | | " + "| " * len(ours))
            continue
        ratios = " | ".join(f"{r[0] / rates[0]:.2f}x ({r[1] / rates[1]:.2f}x)" for _, r in ours)
        print(f"| {system} | {rates[0]:.2f} | {rates[1]:.2f} | {ratios} |")
