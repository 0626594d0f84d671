#!/usr/bin/env python3
"""What an index of 100,000 pictures with 15 vectors each takes: disk, time to open, memory of a server, adding and removing.

    bench/large_index.py --work runs/large_index [--pictures 100000] [--regions 14] [--opencloc build/release/opencloc]

Vectors are made up, 512 numbers each, and come in through `index import`; the 1,000 pictures that are added are generated
scenes, encoded by a model with random weights. Takes about 8 GB of disk for 100,000 pictures; finished parts are kept.
Needs numpy.
"""
import argparse
import json
import os
import pathlib
import shutil
import socket
import subprocess
import time
import urllib.request

import numpy as np

WIDTH, LATENT, CHUNK = 512, 64, 20_000
ADDED = 1000
MODEL = {"embed_dim": WIDTH,
         "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 64, "layers": 2, "head_width": 32},
         "text_cfg": {"context_length": 16, "vocab_size": 400, "width": 64, "heads": 2, "layers": 2}}


def report(what, value, unit):
    print(f"{what:<58} {value:>10.3f} {unit}", flush=True)


def run(*command, as_json=True):
    """What the command prints, and the seconds that it took."""
    began = time.perf_counter()
    done = subprocess.run([*map(str, command), *(["--json"] if as_json else [])], capture_output=True, text=True,
                          check=False)
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise SystemExit(" ".join(map(str, command)) + "\n" + done.stderr[-2000:])
    return (json.loads(done.stdout) if as_json else done.stdout), seconds


def write_vectors(folder, pictures, regions):
    """As `index export` writes them: vectors.npy, and rows.jsonl with a line a row."""
    folder.mkdir(parents=True)
    rows = pictures * (regions + 1)
    surface = np.random.default_rng(1).standard_normal((LATENT, WIDTH)).astype(np.float32)
    vectors = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float32, (rows, WIDTH))
    for begin in range(0, rows, CHUNK):
        count = min(CHUNK, rows - begin)
        rng = np.random.default_rng([2, begin])
        x = rng.standard_normal((count, LATENT), np.float32) @ surface
        x += 2 * rng.standard_normal((count, WIDTH), np.float32) + 2
        vectors[begin:begin + count] = x / np.linalg.norm(x, axis=1, keepdims=True)
    vectors.flush()
    with open(folder / "rows.jsonl", "w") as lines:
        for picture in range(pictures):
            lines.write(json.dumps({"region": 0, "name": f"/made/up/folder/{picture:08}.jpg", "width": 640, "height": 480,
                                    "box": [0, 0, 1, 1]}) + "\n")
            for region in range(regions):
                x, y = region % 4 * 0.2, region // 4 * 0.2
                lines.write(json.dumps({"region": region + 1, "box": [x, y, x + 0.4, y + 0.4]}) + "\n")


def size_of(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


class Server:
    """`opencloc serve` of one index, or of none."""

    def __init__(self, args, model, index=None):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [args.opencloc, "serve", "--model", model, "--port", self.port]
        command += ["--index", f"large={index}"] if index else []
        self.log = open(args.work / "serve.log", "ab")
        began = time.perf_counter()
        self.process = subprocess.Popen(list(map(str, command)), stdout=self.log, stderr=self.log)
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5)
                break
            except OSError:
                if self.process.poll() is not None:
                    raise SystemExit(f"the server ended: see {self.log.name}") from None
                time.sleep(0.01)
        self.ready = time.perf_counter() - began

    def resident(self):
        """MB of memory: of its own, and of mapped files."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        return [int(fields[key].split()[0]) / 1000 for key in ("RssAnon", "RssFile")]

    def search(self, **query):
        body = json.dumps({"index": "large", "k": 10, **query}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v1/search", body,
                                         {"Content-Type": "application/json"})
        return json.load(urllib.request.urlopen(request, timeout=60))

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


def seconds_until_seen(server, query, before, change):
    """What `change` gives, and how long after its end a search still answered as before."""
    given = change()
    began = time.perf_counter()
    while server.search(**query)["scanned"] == before:
        if time.perf_counter() - began > 30:
            raise SystemExit("the server does not see the change")
    return given, time.perf_counter() - began


def prepare(args):
    """A model, a large index, scenes to add: each is made once."""
    work, rows = args.work, args.pictures * (args.regions + 1)
    model, index, vectors = work / "run/model", work / "large.idx", work / "vectors"
    work.mkdir(parents=True, exist_ok=True)
    if not model.exists():
        (work / "model.json").write_text(json.dumps(MODEL))
        run(args.opencloc, "data", "scenes", "--count", ADDED, "--size", 64, "--names", 20, "--seed", 1, "--out",
            work / "scenes", as_json=False)
        run(args.opencloc, "train", "--data", work / "scenes", "--model", work / "model.json", "--steps", 1,
            "--batch-size", 8, "--out", work / "run", as_json=False)
    if not index.exists():
        shutil.rmtree(vectors, ignore_errors=True)
        began = time.perf_counter()
        write_vectors(vectors, args.pictures, args.regions)
        report("vectors made up", time.perf_counter() - began, "s")
        partial = work / "partial.idx"
        shutil.rmtree(partial, ignore_errors=True)
        _, seconds = run(args.opencloc, "index", "import", partial, "--embeddings", vectors, "--model", model)
        report("index import", seconds, "s")
        shutil.rmtree(vectors)
        _, seconds = run(args.opencloc, "index", "compact", partial)
        report("index compact", seconds, "s")
        os.rename(partial, index)
    stats, _ = run(args.opencloc, "index", "stats", index)
    report("vectors", stats["vectors"] / 1e6, "million")
    report("on disk", size_of(index) / 1e9, "GB")
    report("on disk a vector", size_of(index) / rows, "bytes")
    report("read by a search", stats["bytes_searched"] / 1e9, "GB")
    return model, index


def measure_memory(args, model, index):
    alone = Server(args, model)
    own, mapped = alone.resident()
    alone.stop()
    report("serve without an index: memory of its own", own, "MB")
    report("serve without an index: mapped files", mapped, "MB")
    server = Server(args, model, index)
    report("serve with the index: ready after", server.ready, "s")
    report("serve without an index: ready after", alone.ready, "s")
    for number in range(1, 21):
        server.search(id=f"{number}:1")
    with_own, with_mapped = server.resident()
    report("serve after 20 searches: own memory beyond the model", with_own - own, "MB")
    report("serve after 20 searches: mapped files beyond the model", with_mapped - mapped, "MB")
    return server


def measure_changes(args, model, index, server):
    add = [args.opencloc, "index", "add"]
    made = ["--model", model, "--data", args.work / "scenes", "--regions", "grid"]
    small = args.work / "small.idx"
    shutil.rmtree(small, ignore_errors=True)
    into_small, small_seconds = run(*add, small, *made)
    before = server.search(id="1:1")["scanned"]
    (into_large, large_seconds), seen = seconds_until_seen(
        server, {"id": "1:1"}, before, lambda: run(*add, index, *made[:4]))
    report(f"{ADDED} pictures into an empty index", small_seconds, "s")
    report(f"{ADDED} pictures into the large one", large_seconds, "s")
    report("  of it not reading, decoding or encoding", into_large["writing_seconds"], "s")
    report("  the same of an empty index", into_small["writing_seconds"], "s")
    report("a running server sees them after", seen, "s")
    last = args.pictures + into_large["added"]
    ids = ",".join(str(last - i) for i in range(into_large["added"]))
    before = server.search(id="1:1")["scanned"]
    (_, seconds), seen = seconds_until_seen(
        server, {"id": "1:1"}, before, lambda: run(args.opencloc, "index", "remove", index, "--ids", ids))
    report(f"{ADDED} pictures removed", seconds, "s")
    report("a running server sees it after", seen, "s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--regions", type=int, default=14)
    args = parser.parse_args()
    model, index = prepare(args)
    times = []
    for _ in range(5):
        found, seconds = run(args.opencloc, "search", index, "--id", "1:1")
        times.append(seconds - found["took_ms"]["search"] / 1000)
    report("opening: a process that searches once, less the search", min(times), "s")
    report("  the search of that process", found["took_ms"]["search"], "ms")
    server = measure_memory(args, model, index)
    try:
        measure_changes(args, model, index, server)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
