#!/usr/bin/env python3
"""What a table of many classes costs: the time of a step, memory, and the bytes of a checkpoint, with L_entity over C classes
of width E and without it.

    bench/entity_classes.py --out runs/classes                     (1,000,000 x 64, 65,536 negatives)
    bench/entity_classes.py --out runs/classes --classes 2000000 --width 512

Also measures that an interrupted run goes on to the same bytes: it stops after half of the steps and is started again.
Needs python3's standard library only."""
import argparse
import io
import json
import os
import pathlib
import shutil
import statistics
import tarfile

from steps import run


def tables(args):
    """Scenes whose things are classes spread over all C."""
    data = args.out / "data"
    if not data.exists():
        run([args.opencloc, "data", "scenes", "--count", args.scenes, "--size", 96, "--seed", 1, "--out", args.out / "scenes"], args.log)
        names = {}
        (args.out / "data.part").mkdir(exist_ok=True)
        for path in sorted((args.out / "scenes").glob("*.tar")):
            with tarfile.open(path) as given, tarfile.open(args.out / "data.part" / path.name, "w") as made:
                for member in given:
                    content = given.extractfile(member).read()
                    if member.name.endswith(".json"):
                        record = json.loads(content)
                        record["entities"] = [{"id": f"Q{names.setdefault(region['name'], len(names)) * 997 % args.classes}"}
                                              for region in record["regions"]]
                        content = json.dumps(record).encode()
                        member.size = len(content)
                    made.addfile(member, io.BytesIO(content))
        os.rename(args.out / "data.part", data)
    with open(args.out / "classes.tsv", "w") as table:
        table.write("class\tid\tname\timages\n")
        table.writelines(f"{i}\tQ{i}\tname {i}\t5\n" for i in range(args.classes))
    model = args.out / "model.json"
    model.write_text(json.dumps({
        "model_cfg": {"embed_dim": args.width, "vision_cfg": {"image_size": 96, "layers": 4, "width": 128, "patch_size": 16},
                      "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 2}},
        "preprocess_cfg": {"resize_mode": "longest", "fill_color": 0, "interpolation": "bicubic"}}))
    return data, model


def peak_of(command, log):
    """Runs it; the most memory it had at a time, in bytes."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as sink:
        pid = os.posix_spawnp(str(command[0]), [str(part) for part in command], os.environ,
                              file_actions=[(os.POSIX_SPAWN_DUP2, sink.fileno(), 1), (os.POSIX_SPAWN_DUP2, sink.fileno(), 2)])
        _, status, usage = os.wait4(pid, 0)
    if status != 0:
        raise SystemExit(f"failed, see {log}")
    return usage.ru_maxrss * 1024


def train(args, data, model, name, flags, steps):
    folder = args.out / name
    peak = peak_of([args.opencloc, "train", "--objective", "clip", "--data", data, "--model", model, "--batch-size", args.batch,
                    "--steps", steps, "--log-every", 1, "--save-every", args.steps // 2, "--report-pictures", 0, "--threads",
                    args.threads, "--workers", 1, *flags, "--out", folder], args.out / f"{name}.txt")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    # Steps beside a checkpoint have its time in their interval.
    seconds = [args.batch / line["samples_per_s"] for line in lines[2:] if "samples_per_s" in line]
    return {"step_ms": 1000 * statistics.median(seconds), "peak_mb": peak / 1e6}


def bytes_of(folder):
    return (folder / "beside.safetensors").read_bytes() + (folder / "model/open_clip_model.safetensors").read_bytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--classes", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--negatives", type=int, nargs="+", default=[8192, 65536])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    args.log = args.out / "log.txt"
    data, model = tables(args)
    print(f"{args.classes} classes x {args.width}, batches of {args.batch}, {args.threads} thread(s)\n")
    print("| negatives a step | step ms | peak MB | checkpoint beside the model, MB |\n|---|---|---|---|")
    rows = {"none": []}
    for negatives in args.negatives:
        rows[str(negatives)] = ["--entity-classes", args.out / "classes.tsv", "--entity-negatives", negatives]
    for name, flags in rows.items():
        shutil.rmtree(args.out / name, ignore_errors=True)
        made = train(args, data, model, name, flags, args.steps)
        beside = args.out / name / f"checkpoints/step-{args.steps}/beside.safetensors"
        size = beside.stat().st_size / 1e6 if beside.exists() else 0
        print(f"| {name} | {made['step_ms']:.0f} | {made['peak_mb']:.0f} | {size:.0f} |", flush=True)
    # The last one again, as if killed after half of the steps.
    last = args.out / name
    whole = bytes_of(last / f"checkpoints/step-{args.steps}")
    shutil.rmtree(last / f"checkpoints/step-{args.steps}")
    train(args, data, model, name, flags, args.steps)
    same = bytes_of(last / f"checkpoints/step-{args.steps}") == whole
    print(f"\ngone on with after step {args.steps // 2}: {'the same bytes' if same else 'OTHER BYTES'}")


if __name__ == "__main__":
    main()
