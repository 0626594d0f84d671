#!/usr/bin/env python3
"""Search beside faiss, hnswlib and USearch: one and 16 queries, recall, memory, building, adding.

    python3 -m venv /tmp/rivals && /tmp/rivals/bin/pip install numpy faiss-cpu hnswlib usearch
    /tmp/rivals/bin/python bench/rivals/search.py --opencloc build/release/opencloc [--rows 1000000]
        [--index photos.idx] [--threads 2] [--seconds 3] [--only NAME]

Two tables. Exact search: --rows made-up unit vectors of 512 numbers; ours is `opencloc bench search` in the same run.
Graphs: on the vectors of an index (--index; vectors of a model, which lie closer together than made-up ones), each with
the smallest search width that reaches a recall of 0.9 and of 0.99. Recall is of the best 10, counted by score against
the exact search in F32. Every rival runs in a process of its own, so that its memory is its own: what the process holds
beyond the vectors that it was given. Rivals that are not installed are named and left out.
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

WIDTH, HITS, QUERIES, ADDED = 512, 10, 256, 1000
TARGETS = (0.9, 0.99)
SEARCH_WIDTHS = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)


def made_up(rows, seed):
    x = np.random.default_rng(seed).random((rows, WIDTH), dtype=np.float32) - np.float32(0.4)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x


def shortest(seconds, work):
    work()
    best, began = 1e9, time.perf_counter()
    while time.perf_counter() - began < seconds:
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def exact_bars(rows, queries):
    """The 10th best score of each query."""
    best = np.full((len(queries), HITS), -2, np.float32)
    for begin in range(0, len(rows), 50000):
        scores = queries @ rows[begin:begin + 50000].T
        best = np.sort(np.concatenate([best, scores], 1), 1)[:, -HITS:]
    return best[:, 0]


def recall(rows, queries, bars, found):
    scores = np.einsum("qe,qke->qk", queries, rows[found])
    return float((scores >= bars[:, None] - 1e-6).mean())


class FaissFlat:
    def __init__(self, width, threads):
        import faiss
        faiss.omp_set_num_threads(threads)
        self.index = faiss.IndexFlatIP(width)

    def add(self, x):
        self.index.add(x)

    def search(self, q):
        return self.index.search(q, HITS)[1]


class FaissSq8(FaissFlat):
    def __init__(self, width, threads):
        import faiss
        faiss.omp_set_num_threads(threads)
        self.index = faiss.IndexScalarQuantizer(width, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)

    def add(self, x):
        if not self.index.is_trained:
            self.index.train(x[:100000])
        self.index.add(x)


class FaissHnsw(FaissFlat):
    def __init__(self, width, threads):
        import faiss
        faiss.omp_set_num_threads(threads)
        self.index = faiss.IndexHNSWFlat(width, 32, faiss.METRIC_INNER_PRODUCT)

    def widen(self, ef):
        self.index.hnsw.efSearch = ef


class Hnswlib:
    def __init__(self, width, threads):
        import hnswlib
        self.index = hnswlib.Index(space="ip", dim=width)
        self.threads, self.made = threads, False

    def add(self, x):
        if self.made:
            self.index.resize_index(self.index.get_current_count() + len(x))
        else:
            self.index.init_index(max_elements=len(x), M=16, ef_construction=200)
            self.index.set_num_threads(self.threads)
            self.made = True
        self.index.add_items(x)

    def widen(self, ef):
        self.index.set_ef(ef)

    def search(self, q):
        return self.index.knn_query(q, k=HITS)[0]


class Usearch:
    def __init__(self, width, threads):
        from usearch.index import Index
        self.index, self.threads, self.count = Index(ndim=width, metric="ip", dtype="i8"), threads, 0

    def add(self, x):
        self.index.add(np.arange(self.count, self.count + len(x)), x, threads=self.threads)
        self.count += len(x)

    def widen(self, ef):
        self.index.expansion_search = ef

    def search(self, q):
        return np.asarray(self.index.search(q, HITS, threads=self.threads).keys).reshape(len(q), -1).astype(np.int64)


EXACT = {"faiss IndexFlatIP": FaissFlat, "faiss SQ8": FaissSq8}
GRAPHS = {"faiss HNSW32": FaissHnsw, "hnswlib M=16": Hnswlib, "usearch i8": Usearch}


def resident_mb():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize() / 2**20


def run_rival(name, arguments):
    """In a process of its own."""
    rows, queries = np.load(arguments.vectors, mmap_mode="r"), np.load(arguments.vectors + ".queries.npy")
    bars = np.load(arguments.vectors + ".bars.npy")
    rows = np.ascontiguousarray(rows)
    before = resident_mb()
    try:
        rival = {**EXACT, **GRAPHS}[name](rows.shape[1], arguments.threads)
    except ImportError as error:
        print(json.dumps({"name": name, "left_out": str(error)}), flush=True)
        return
    began = time.perf_counter()
    rival.add(rows)
    line = {"name": name, "rows": len(rows), "build_s": time.perf_counter() - began, "mb": resident_mb() - before}
    targets = list(TARGETS) if name in GRAPHS else [0]
    for width in SEARCH_WIDTHS if name in GRAPHS else [None]:
        if width:
            rival.widen(width)
        got = recall(rows, queries, bars, np.asarray(rival.search(queries)))
        if not targets or got < targets[0]:
            continue
        while targets and got >= targets[0]:
            targets.pop(0)
        result = {**line, "search_width": width, "recall_at_10": got}
        for count in (1, 16):
            result[f"ms_a_pass_of_{count}"] = 1000 * shortest(arguments.seconds, lambda: rival.search(queries[:count]))
        print(json.dumps(result), flush=True)
    for target in targets:
        print(json.dumps({**line, "not_reached": target, "search_width": SEARCH_WIDTHS[-1]}), flush=True)
    began = time.perf_counter()
    rival.add(np.ascontiguousarray(rows[:ADDED]))
    print(json.dumps({"name": name, "rows": len(rows), f"add_{ADDED}_s": time.perf_counter() - began}), flush=True)


def ours(arguments, *flags):
    command = [arguments.opencloc, "bench", "search", *flags, "--threads", str(arguments.threads), "--seconds",
               str(arguments.seconds), "--json"]
    print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="", flush=True)


def each_rival(names, rows, queries, folder, arguments):
    path = os.path.join(folder, "vectors.npy")
    np.save(path, rows)
    np.save(path + ".queries.npy", queries)
    np.save(path + ".bars.npy", exact_bars(rows, queries))
    del rows
    for name in names:
        if arguments.only and arguments.only not in name:
            continue
        subprocess.run([sys.executable, __file__, "--rival", name, "--vectors", path, "--threads",
                        str(arguments.threads), "--seconds", str(arguments.seconds)], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--index", help="for graphs: an index of OpenCLOC")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--only", default="", help="rivals whose names hold this")
    parser.add_argument("--rival", help=argparse.SUPPRESS)
    parser.add_argument("--vectors", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rival:
        run_rival(arguments.rival, arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        if arguments.rows > 0:
            ours(arguments, "--rows", str(arguments.rows))
            each_rival(EXACT, made_up(arguments.rows, 1), made_up(QUERIES, 2), folder, arguments)
        if arguments.index:
            out = os.path.join(folder, "exported")
            subprocess.run([arguments.opencloc, "index", "export", arguments.index, "--out", out], check=True,
                           stdout=subprocess.DEVNULL)
            rows = np.load(os.path.join(out, "vectors.npy"))
            ours(arguments, "--rows", str(len(rows)))
            pick = np.random.default_rng(1).choice(len(rows), QUERIES, replace=False)
            # Queries beside stored vectors, not on them: as another picture of the same thing would lie.
            queries = rows[pick] + 0.3 * made_up(QUERIES, 2)[:, :rows.shape[1]] * np.sqrt(WIDTH / rows.shape[1])
            queries = np.ascontiguousarray(queries / np.linalg.norm(queries, axis=1, keepdims=True), dtype=np.float32)
            each_rival({**EXACT, **GRAPHS}, rows, queries, folder, arguments)


if __name__ == "__main__":
    main()
