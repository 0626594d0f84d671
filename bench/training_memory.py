#!/usr/bin/env python3
"""What training says before step 1 that it will take, beside its largest resident size.

    bench/training_memory.py [--binary build/release/opencloc]

Prints a table. Each row is three steps of a small run on generated scenes; about two minutes in all. Needs Linux.
"""
import argparse
import pathlib
import re
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# objective, model, batch, accum-freq
ROWS = [('clip', 'ViT-XS-16-128', 64, 1), ('clip', 'ViT-XS-16-128', 256, 1), ('cloc', 'ViT-XS-16-128', 64, 1),
        ('cloc', 'ViT-XS-16-128', 256, 1), ('cloc', 'ViT-XS-16-128', 256, 4), ('cloc', 'ViT-XS-16-128', 256, 16),
        ('coca', 'coca-XXS-16-96', 64, 1), ('coca', 'coca-XXS-16-96', 256, 1), ('coca', 'coca-XXS-16-96', 256, 8),
        ('clip', 'ViT-S-16', 32, 1), ('cloc', 'ViT-S-16', 32, 1), ('cloc', 'ViT-S-16', 32, 4)]


def peak_of(command):
    """(the run's words, its largest resident size in bytes without the files it maps)"""
    with tempfile.TemporaryFile('w+') as words:
        process = subprocess.Popen(command, stdout=words, stderr=subprocess.STDOUT)
        peak = 0
        while process.poll() is None:
            try:
                status = pathlib.Path(f'/proc/{process.pid}/status').read_text()
                found = re.search(r'RssAnon:\s+(\d+) kB', status)
                peak = max(peak, int(found[1]) * 1024 if found else 0)
            except OSError:
                pass
            try:
                process.wait(0.02)
            except subprocess.TimeoutExpired:
                pass
        words.seek(0)
        text = words.read()
    if process.returncode != 0:
        raise SystemExit(text)
    return text, peak


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument('--binary', type=pathlib.Path, default=ROOT / 'build' / 'release' / 'opencloc')
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scenes = pathlib.Path(folder, 'scenes')
        subprocess.run([options.binary, 'data', 'scenes', '--count', '600', '--size', '128', '--out', scenes], check=True,
                       capture_output=True)
        print('| objective | model | batch | parts | said | taken | said / taken |\n|---|---|---|---|---|---|---|')
        for row, (objective, model, batch, parts) in enumerate(ROWS):
            text, peak = peak_of([options.binary, 'train', '--data', scenes, '--model', model, '--objective', objective,
                                  '--batch-size', str(batch), '--accum-freq', str(parts), '--steps', '3', '--vocab-size',
                                  '2000', '--report-pictures', '0', '--out', f'{folder}/run{row}'])
            number, unit = re.search(r'about ([\d.]+) ([MG]B)', text).groups()
            said = float(number) * (1e9 if unit == 'GB' else 1e6)
            print(f'| {objective} | {model} | {batch} | {parts} | {said / 1e6:.0f} MB | {peak / 1e6:.0f} MB '
                  f'| {said / peak:.2f} |', flush=True)


if __name__ == '__main__':
    main()
