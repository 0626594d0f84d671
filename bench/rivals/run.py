"""What the scripts of this folder share: the machine in a line, processes that measure, and tables.

A measurement is one JSON object per line: {"task": "encode/ViT-B-16/b32/bf16", "system": "openvino 2026.4.1",
"items_per_s": 12.3, "items_per_cpu_s": 6.2}. The last part of a task is the precision.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
OURS = "opencloc"


def machine(threads):
    names = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    flags = next((line for line in open("/proc/cpuinfo") if line.startswith("flags")), "")
    has = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8") if f" {flag}" in flags]
    load = os.getloadavg()[0]
    return f"{names[0]}, {len(names)} processors, {threads} threads, {' '.join(has)}; load {load:.1f} at the start"


def need_binary(path):
    if not pathlib.Path(path).is_file():
        sys.exit(f"no opencloc binary at {path}: build one with ./quickstart, or say where it is with --opencloc")


def need_packages(python, *names):
    """Stops where `python` lacks one of the packages."""
    code = f"import importlib.util, sys; sys.exit(' '.join(n for n in {names!r} if importlib.util.find_spec(n) is None) or 0)"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{python} lacks {done.stderr.strip()}: python3 -m venv DIR; DIR/bin/pip install torch open-clip-torch onnx "
                 "onnxscript onnxruntime openvino nncf, and give --python DIR/bin/python")


def has_package(python, name):
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({name!r}) is None)"
    return subprocess.run([python, "-c", code], check=False).returncode == 0


def lines(command, environment=None, **options):
    """The JSON lines that a command prints; none, and the reason on stderr, where it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False,
                          env={**os.environ, **(environment or {})}, **options)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        print(f"{' '.join(str(part) for part in command[1:4])}: {reason}", file=sys.stderr)
        return []
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def our_lines(opencloc, subject, models, batches, threads, seconds):
    """`opencloc bench SUBJECT` as measurements: {..., "share_of_peak"}."""
    found = []
    for model in models:
        for batch in batches:
            command = [opencloc, "bench", subject, "--model", model, "--batch", batch, "--threads", threads, "--seconds", seconds,
                       "--json"]
            for line in lines(command):
                if "items_per_s" not in line:
                    continue
                parts = line["name"].split("/")  # encode/MODEL/PRECISION/bN or train/MODEL/clip/PRECISION/bN
                middle = parts[2:-2]
                task = "/".join([parts[0], parts[1], *middle, parts[-1], parts[-2]])
                found.append({"task": task, "system": OURS, "items_per_s": line["items_per_s"],
                              "items_per_cpu_s": line["items_per_cpu_s"], "share_of_peak": line.get("share_of_peak")})
    return found


def show(line):
    print(json.dumps(line), flush=True)


def print_table(measured):
    """A row per task: ours, the best of the others, their ratio, and all of the others."""
    tasks = list(dict.fromkeys(line["task"] for line in measured))
    ratios = []
    print("\n| task | ours, items/s | share of the peak | best of the others | ours is | the others |\n" + "|---" * 6 + "|")
    for task in tasks:
        of_task = [line for line in measured if line["task"] == task]
        ours = next((line for line in of_task if line["system"] == OURS), None)
        others = sorted((line for line in of_task if line["system"] != OURS), key=lambda line: -line["items_per_s"])
        cells = [task, "-", "-", "-", "-", "; ".join(f"{line['system']} {line['items_per_s']:.2f}" for line in others)]
        if ours:
            cells[1] = f"{ours['items_per_s']:.2f}"
            cells[2] = f"{100 * ours['share_of_peak']:.0f} %" if ours.get("share_of_peak") else "-"
        if others:
            cells[3] = f"{others[0]['system']} {others[0]['items_per_s']:.2f}"
        if ours and others:
            ratios.append(ours["items_per_s"] / others[0]["items_per_s"])
            cells[4] = f"{ratios[-1]:.2f}x"
        print("| " + " | ".join(cells) + " |")
    if ratios:
        behind = sum(ratio < 1 for ratio in ratios)
        print(f"\nOurs beside the best of the others: median {statistics.median(ratios):.2f}x, {len(ratios)} cells, behind in {behind}.")


def flags(parser, batches):
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--python", default=sys.executable, help="with the other programs' packages (default: this one)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=3, help="per figure")
    parser.add_argument("--batch", type=int, nargs="+", default=batches)
    parser.add_argument("--model", nargs="+", default=["ViT-B-16"])
    parser.add_argument("--systems", default="", help="by comma, such as opencloc,openvino:int8 (default: all)")
    parser.add_argument("--json", action="store_true", help="one JSON object per measurement in place of the table")


def wanted(arguments, system, precision):
    chosen = [name for name in arguments.systems.split(",") if name]
    return not chosen or system in chosen or f"{system}:{precision}" in chosen
