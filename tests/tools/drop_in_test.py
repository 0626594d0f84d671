#!/usr/bin/env python3
"""OpenCLOC's files in the programs that they are for, and theirs in OpenCLOC: drop_in_test.py BINARY [--table] [--only NAME,...]

Small models with random weights are written and read by the programs themselves, both ways, and the numbers compared;
nothing of the programs is changed or written again here. A program that is not there is skipped and named. --table prints
the table of docs/results/drop_in.md.

Packages, for a Python named by OPENCLOC_DROP_IN_PYTHON (default: this one):
    python3 -m venv V
    V/bin/pip install torch torchvision open-clip-torch transformers onnx onnxruntime openvino safetensors gguf clip-benchmark \\
        webdataset pycocotools lvis img2dataset sentencepiece
    export OPENCLOC_DROP_IN_PYTHON=$PWD/V/bin/python
"""

import argparse
import importlib
import os
import pathlib
import platform
import sys
import tempfile
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / 'drop_in'))
from common import Work  # noqa: E402

SKIPPED = 77
# Name -> module, function, the packages it imports.
CHECKS = {
    'open_clip': ('in_open_clip', 'checks', ('open_clip', 'sentencepiece')),
    'timm': ('in_timm', 'checks', ('open_clip', 'timm')),
    'clip_benchmark': ('in_open_clip', 'checks_of_benchmark', ('clip_benchmark', 'webdataset')),
    'transformers': ('in_transformers', 'checks', ('transformers', 'torch')),
    'onnx': ('in_onnx', 'checks', ('onnx', 'onnxruntime', 'openvino')),
    'onnx_example': ('in_onnx', 'checks_of_example', ('onnxruntime', 'sentencepiece')),
    'safetensors': ('in_files', 'checks_of_safetensors', ('safetensors', 'torch')),
    'gguf': ('in_files', 'checks_of_gguf', ('gguf', 'open_clip')),
    'webdataset': ('in_files', 'checks_of_webdataset', ('webdataset',)),
    'img2dataset': ('in_files', 'checks_of_img2dataset', ('img2dataset',)),
    'annotations': ('in_files', 'checks_of_annotations', ('pycocotools', 'lvis')),
}


def missing(packages):
    return [name for name in packages if importlib.util.find_spec(name) is None]


def table(rows):
    print('| program | what | direction | largest difference | missing or unexpected | note |\n|---|---|---|---|---|---|')
    for row in rows:
        print(f'| {row.program} | {row.what} | {row.direction} | {row.difference:.1e} | {row.keys} | {row.note} |')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('binary')
    parser.add_argument('--table', action='store_true')
    parser.add_argument('--only', default=','.join(CHECKS), help='names, by comma')
    args = parser.parse_args()
    os.environ.setdefault('HF_HUB_OFFLINE', '1')
    rows, skipped, failed = [], [], []
    with tempfile.TemporaryDirectory(prefix='opencloc-drop-in-') as scratch:
        work = Work(os.path.abspath(args.binary), scratch)
        for name in args.only.split(','):
            module, function, packages = CHECKS[name]
            if lacking := missing((*packages, 'numpy', 'PIL', 'safetensors')):
                skipped.append(f'{name}: skipped, no {", ".join(lacking)} here')
                print(skipped[-1], flush=True)
                continue
            try:
                for row in getattr(importlib.import_module(module), function)(work):
                    rows.append(row)
                    if not row.good():
                        failed.append(
                            f'{row.program}, {row.what}, {row.direction}: {row.difference:.1e} (allowed {row.tolerance:.1e}), '
                            f'keys: {row.keys}'
                        )
                    if not args.table:
                        print(
                            f'{"good" if row.good() else "BAD "} {row.program}: {row.what}, {row.direction}: {row.difference:.1e}',
                            flush=True,
                        )
            except Exception:  # the other programs are still looked at; the exit code tells
                failed.append(f'{name}: {traceback.format_exc()}')
    if args.table:
        print(f'{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}\n')
        table(rows)
    for line in failed:
        print(f'failed: {line}')
    print(f'{len(rows)} comparisons, {len(failed)} failed, {len(skipped)} programs skipped')
    return 1 if failed else SKIPPED if not rows else 0


if __name__ == '__main__':
    python = os.environ.get('OPENCLOC_DROP_IN_PYTHON')
    if python and os.path.abspath(python) != os.path.abspath(sys.executable):
        os.execv(python, [python, *sys.argv])
    sys.exit(main())
