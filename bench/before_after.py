#!/usr/bin/env python3
"""Two binaries of OpenCLOC, or one with two settings, in one run: does a change cost speed?

  bench/before_after.py OLD NEW --rounds 3 -- encode train prompt loader --model ViT-B-16 --precision bf16 --seconds 4

What stands behind -- is passed to `opencloc bench`. The binaries take turns, so that what else happens on the machine
meets both; each figure is the best of the rounds: items per second of the clock, or with --cpu of processor time, which
other programs disturb less. Prints a Markdown table.
"""

import argparse
import json
import subprocess
import sys


def figures(binary, arguments, key):
    lines = subprocess.run([binary, "bench", *arguments, "--json"], check=True, capture_output=True, text=True).stdout
    rows = [json.loads(line) for line in lines.splitlines()]
    return {row["name"]: row[key] for row in rows if key in row}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cpu", action="store_true", help="per second of processor time")
    parser.add_argument("bench", nargs="+", help="subjects and flags of opencloc bench, behind --")
    options = parser.parse_args()
    best = {options.old: {}, options.new: {}}
    for turn in range(options.rounds):
        # Who is first takes turns, too.
        for binary in (options.old, options.new)[:: 1 if turn % 2 == 0 else -1]:
            for name, value in figures(binary, options.bench, "items_per_cpu_s" if options.cpu else "items_per_s").items():
                best[binary][name] = max(value, best[binary].get(name, 0))
            print(f"round {turn + 1}: {binary}", file=sys.stderr)
    print("| | old, items/s | new, items/s | new / old |\n|---|---|---|---|")
    for name, old in best[options.old].items():
        new = best[options.new].get(name)
        if new:
            print(f"| {name} | {old:.4g} | {new:.4g} | {new / old:.2f} |")


if __name__ == "__main__":
    main()
