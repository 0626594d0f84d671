#!/usr/bin/env python3
"""Exact and approximate search beside faiss, hnswlib and USearch: one and 16 queries, recall, memory, building.

    python3 -m venv /tmp/rivals && /tmp/rivals/bin/pip install numpy faiss-cpu hnswlib usearch
    /tmp/rivals/bin/python bench/rivals/search.py --opencloc build/release/opencloc [--rows 1000000]
        [--graph-rows 100000] [--threads 2] [--seconds 5]

Rows are made up: unit vectors of 512 numbers. Flat indexes and ours scan --rows of them, graphs are built over
--graph-rows, since building takes minutes for each 100,000. Recall is of the best 10, against the exact search in F32.
Ours is `opencloc bench search` in the same run. Rivals that are not installed are named and left out.
"""
import argparse
import json
import os
import resource
import subprocess
import time

import numpy as np

WIDTH, HITS, QUERIES = 512, 10, 64


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


def exact(rows, queries):
    """The 10th best score of each query."""
    best = np.full((len(queries), HITS), -2, np.float32)
    for begin in range(0, len(rows), 50000):
        scores = queries @ rows[begin:begin + 50000].T
        best = np.sort(np.concatenate([best, scores], 1), 1)[:, -HITS:]
    return best[:, 0]


def recall(rows, queries, bars, found):
    scores = np.einsum("qe,qke->qk", queries, rows[found])
    return float((scores >= bars[:, None] - 1e-6).mean())


def report(name, rows, search, built, arguments, queries, bars, all_rows):
    found = np.asarray(search(queries))
    line = {"name": name, "rows": rows, "recall_at_10": recall(all_rows, queries, bars, found), "build_s": built}
    for count in (1, 16):
        took = shortest(arguments.seconds, lambda: search(queries[:count]))
        line[f"ms_a_pass_of_{count}"] = 1000 * took
    line["max_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(line), flush=True)


def rivals(arguments):
    def faiss_flat(x):
        import faiss
        faiss.omp_set_num_threads(arguments.threads)
        index = faiss.IndexFlatIP(WIDTH)
        index.add(x)
        return lambda q: index.search(q, HITS)[1]

    def faiss_sq8(x):
        import faiss
        faiss.omp_set_num_threads(arguments.threads)
        index = faiss.IndexScalarQuantizer(WIDTH, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
        index.train(x[:100000])
        index.add(x)
        return lambda q: index.search(q, HITS)[1]

    def faiss_hnsw(x):
        import faiss
        faiss.omp_set_num_threads(arguments.threads)
        index = faiss.IndexHNSWFlat(WIDTH, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efSearch = 128
        index.add(x)
        return lambda q: index.search(q, HITS)[1]

    def hnswlib(x):
        import hnswlib as library
        index = library.Index(space="ip", dim=WIDTH)
        index.init_index(max_elements=len(x), M=16, ef_construction=200)
        index.set_num_threads(arguments.threads)
        index.add_items(x)
        index.set_ef(128)
        return lambda q: index.knn_query(q, k=HITS)[0]

    def usearch(x):
        from usearch.index import Index
        index = Index(ndim=WIDTH, metric="ip", dtype="i8", expansion_search=128)
        index.add(np.arange(len(x)), x, threads=arguments.threads)
        return lambda q: np.asarray(index.search(q, HITS, threads=arguments.threads).keys).reshape(len(q), -1)

    return [("faiss IndexFlatIP", faiss_flat, arguments.rows), ("faiss SQ8", faiss_sq8, arguments.rows),
            ("faiss HNSW32", faiss_hnsw, arguments.graph_rows), ("hnswlib", hnswlib, arguments.graph_rows),
            ("usearch i8", usearch, arguments.graph_rows)]


def ours(arguments, rows):
    command = [arguments.opencloc, "bench", "search", "--rows", str(rows), "--threads", str(arguments.threads),
               "--seconds", str(arguments.seconds), "--json"]
    print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--opencloc", default="build/release/opencloc")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--graph-rows", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=5)
    arguments = parser.parse_args()
    for rows in sorted({arguments.rows, arguments.graph_rows}):
        ours(arguments, rows)
    everything = made_up(arguments.rows, 1)
    queries = made_up(QUERIES, 2)
    bars = {rows: exact(everything[:rows], queries) for rows in {arguments.rows, arguments.graph_rows}}
    for name, make, rows in rivals(arguments):
        try:
            began = time.perf_counter()
            search = make(everything[:rows])
            built = time.perf_counter() - began
        except ImportError as error:
            print(json.dumps({"name": name, "left_out": str(error)}), flush=True)
            continue
        report(name, rows, search, built, arguments, queries, bars[rows], everything)


if __name__ == "__main__":
    main()
