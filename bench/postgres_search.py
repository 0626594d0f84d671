#!/usr/bin/env python3
"""An index in PostgreSQL beside a folder of the same vectors: sizes, times and recall before and after HNSW is built.

    bench/postgres_search.py --opencloc build/release/opencloc --place 'postgres://USER@HOST/DB?index=bench' --work DIR
        [--rows 100000] [--queries 30]

Rows are made up: unit vectors of 512 numbers that lie near a surface of 64 dimensions, as a model's do; queries are other
points of it. Each is searched by its own `opencloc search --embedding`, as a user would. Recall is of the best 10 against
all rows in F32. The index must be new: drop it before (docs/guide/search.md). Needs numpy.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import time

import numpy as np

WIDTH, LATENT, HITS = 512, 64, 10


def made_up(rows, seed):
    surface = np.random.default_rng(1).standard_normal((LATENT, WIDTH)).astype(np.float32)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, LATENT)).astype(np.float32) @ surface
    x += rng.standard_normal((rows, WIDTH)).astype(np.float32) + 2
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def best_of(rows, queries):
    return np.argsort(-(queries @ rows.T), axis=1)[:, :HITS]


def opencloc(binary, *arguments):
    began = time.perf_counter()
    done = subprocess.run([binary, *map(str, arguments), '--json'], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout), time.perf_counter() - began


def search(arguments, place, queries, best):
    """(median milliseconds of the search itself, recall, least recall)"""
    times, recalls = [], []
    for query, wanted in zip(queries, best):
        file = arguments.work / 'query.json'
        file.write_text(json.dumps(query.tolist()))
        found, _ = opencloc(arguments.opencloc, 'search', place, '--embedding', file, '--unit', 'image',
                            '--deduplicate', 'off')
        times.append(found['took_ms']['search'])
        names = {int(hit['name'].rsplit('#', 1)[1]) for hit in found['hits']}
        recalls.append(len(names & set(wanted.tolist())) / HITS)
    return statistics.median(times), statistics.mean(recalls), min(recalls)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--opencloc', default='build/release/opencloc')
    parser.add_argument('--place', required=True)
    parser.add_argument('--work', type=pathlib.Path, required=True)
    parser.add_argument('--rows', type=int, default=100_000)
    parser.add_argument('--queries', type=int, default=30)
    arguments = parser.parse_args()
    embeddings = arguments.work / 'embeddings'
    embeddings.mkdir(parents=True)
    rows, queries = made_up(arguments.rows, 2), made_up(arguments.queries, 3)
    np.save(embeddings / 'rows.npy', rows)
    best = best_of(rows, queries)
    folder = arguments.work / 'folder.idx'
    for place, name in ((folder, 'folder'), (arguments.place, 'postgres')):
        _, seconds = opencloc(arguments.opencloc, 'index', 'import', place, '--embeddings', embeddings)
        stats, _ = opencloc(arguments.opencloc, 'index', 'stats', place)
        milliseconds, recall, least = search(arguments, place, queries, best)
        print(f'{name}: imported in {seconds:.1f} s, {stats["bytes_on_disk"] / arguments.rows:.0f} bytes a row; '
              f'a search {milliseconds:.1f} ms, recall {recall:.3f} (least {least:.1f})', flush=True)
    built, seconds = opencloc(arguments.opencloc, 'index', 'compact', arguments.place)
    stats, _ = opencloc(arguments.opencloc, 'index', 'stats', arguments.place)
    milliseconds, recall, least = search(arguments, arguments.place, queries, best)
    print(f'postgres with HNSW: built in {seconds:.1f} s, {stats["bytes_on_disk"] / arguments.rows:.0f} bytes a row; '
          f'a search {milliseconds:.1f} ms, recall {recall:.3f} (least {least:.1f}); {built["says"]}')


if __name__ == '__main__':
    main()
