#!/usr/bin/env python3
"""Golden losses: two steps of four recipes (both pools, RoIAlign with the sigmoid loss, a captioner) from fixed weights.

    losses_test.py BINARY GOLDEN              compares `BINARY bench signature` with the golden numbers
    losses_test.py BINARY GOLDEN --write      accepts today's numbers

Losses, gradient norms, weights and embeddings must agree within a share that other processors and other versions of
libtorch keep; the hash of every bit is for comparing two builds on one machine (docs/results/speed.md).
"""
import json
import pathlib
import subprocess
import sys

TOLERANCE = {'fp32': 2e-4, 'bf16': 2e-3, 'int8': 1e-2}
KEYS = ('loss', 'grad_norm', 'weights', 'embeddings')


def signature(binary):
    """{precision: {figure: number}} of the scalar kernels, which every machine has, and of the best ones."""
    done = subprocess.run([binary, 'bench', 'signature', '--json'], capture_output=True, text=True, check=True)
    found = {}
    for line in done.stdout.splitlines():
        row = json.loads(line)
        _, precision, kernels = row['name'].split('/')
        numbers = {key: row[key] for key in KEYS if key in row}
        found[f'{precision}/scalar' if kernels == 'scalar' else f'{precision}/best'] = numbers
    return found


def main():
    binary, golden = sys.argv[1], pathlib.Path(sys.argv[2])
    found = signature(binary)
    if '--write' in sys.argv[3:]:
        scalar = {name: numbers for name, numbers in found.items() if name.endswith('/scalar')}
        golden.write_text(json.dumps(scalar, indent=2) + '\n')
        return 0
    wrong = 0
    wanted = json.loads(golden.read_text())
    for name, numbers in found.items():
        precision = name.split('/')[0]
        for key, value in numbers.items():
            expected = wanted[f'{precision}/scalar'][key]
            off = abs(value - expected) / abs(expected)
            if not off <= TOLERANCE[precision]:
                print(f'{name} {key}: {value}, golden {expected}: off by {off:.1e}', file=sys.stderr)
                wrong += 1
    missing = [name for name in wanted if name not in found]
    for name in missing:
        print(f'{name}: no such row', file=sys.stderr)
    if wrong or missing:
        print(f'where the change is meant: losses_test.py BINARY {golden} --write, and say why', file=sys.stderr)
        return 1
    print(f'{len(found)} rows as promised')
    return 0


if __name__ == '__main__':
    sys.exit(main())
