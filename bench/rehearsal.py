#!/usr/bin/env python3
"""The whole way of docs/guide/pretrain.md at a ten-thousandth of its size: image-text shards as img2dataset writes them ->
captions -> phrases -> boxes -> CLOC pre-training by several processes, one of which is killed -> evaluation -> conversion.

    bench/rehearsal.py [--out runs/rehearsal] [--pictures 1200] [--samples 32000] [--processes 2] [--binary ...]

Generated scenes stand for the web's pictures; a small captioner and a small CLOC, both trained here, stand for the
multimodal LLM and for OWLv2. All other commands are those of the guide, with configs/recipes/cloc_b16.toml and a smaller
model. Prints what each stage took and the results; about ten minutes on two cores.
"""
import argparse
import hashlib
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tarfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECIPE = ROOT / 'configs' / 'recipes' / 'cloc_b16.toml'
SMALL = ['--model', 'ViT-XXS-16-96', '--batch-size', '64', '--lr', '2e-3', '--warmup', '50', '--text-lr-scale', '0.1',
         '--augment', 'off', '--report-pictures', '4']


class Rehearsal:
    def __init__(self, options):
        self.options, self.out = options, options.out.resolve()
        self.binary = str(options.binary.resolve())
        self.rows = []

    def run(self, *words, processes=1):
        launch = ['launch', '--processes', str(processes), '--'] if processes > 1 else []
        command = [self.binary, *launch, *map(str, words)]
        print('$ opencloc ' + ' '.join(command[1:]), flush=True)
        with open(self.out / 'log.txt', 'ab') as log:
            subprocess.run(command, check=True, stdout=log, stderr=log)

    def stage(self, name, work):
        began = time.monotonic()
        note = work() or ''
        self.rows.append((name, time.monotonic() - began, note))
        print(f'  {name}: {time.monotonic() - began:.1f} s; {note}', flush=True)

    # As img2dataset writes them: 000000012.jpg, .txt (the alt-text) and .json (url, sizes, status).
    def web_shards(self):
        self.run('data', 'scenes', '--count', self.options.pictures, '--size', 96, '--names', 100, '--seed', 11, '--out',
                 self.out / 'web_scenes')
        web = self.out / 'web'
        web.mkdir()
        pictures, size, key = 0, 0, 0
        per_shard = max(1, self.options.pictures // 8)
        shard = None
        for tar in sorted((self.out / 'web_scenes').glob('*.tar')):
            with tarfile.open(tar) as scenes:
                members = {member.name: member for member in scenes}
                for name in sorted(n for n in members if n.endswith('.json')):
                    record = json.load(scenes.extractfile(members[name]))
                    picture = scenes.extractfile(members[name[:-4] + 'jpg']).read()
                    if key % per_shard == 0:
                        if shard:
                            shard.close()
                        shard = tarfile.open(web / f'{key // per_shard:05}.tar', 'w')
                    about = {'url': f'http://example.com/{key}.jpg', 'caption': record['alt_text'], 'key': f'{key:09}',
                             'status': 'success', 'width': 96, 'height': 96,
                             'sha256': hashlib.sha256(picture).hexdigest()}
                    for ending, data in (('jpg', picture), ('txt', record['alt_text'].encode()),
                                         ('json', json.dumps(about).encode())):
                        info = tarfile.TarInfo(f'{key:09}.{ending}')
                        info.size = len(data)
                        shard.addfile(info, io.BytesIO(data))
                    key += 1
                    pictures += 1
                    size += len(picture)
        shard.close()
        return f'{pictures} pictures, {size / pictures / 1e3:.1f} kB each'

    def teachers(self):
        self.run('data', 'scenes', '--count', 4000, '--size', 96, '--names', 100, '--seed', 12, '--out', self.out / 'seed')
        common = ['--data', self.out / 'seed', '--precision', 'bf16']
        self.run('train', *common, '--objective', 'coca', '--model', 'coca-XXS-16-96', '--steps', 250, '--batch-size', 64,
                 '--lr', '2e-3', '--augment', 'off', '--out', self.out / 'captioner', processes=self.options.processes)
        self.run('train', *common, *SMALL, '--steps', 700, '--out', self.out / 'detector', processes=self.options.processes)
        return 'stand for the multimodal LLM and for OWLv2'

    def label(self):
        self.run('label', '--config', RECIPE, '--data', self.out / 'web', '--out', self.out / 'labelled', '--captioner',
                 self.out / 'captioner' / 'model', '--detector-kind', 'cloc', '--detector',
                 self.out / 'detector' / 'model', '--threshold', '0.3', processes=self.options.processes)
        stats = json.loads(subprocess.run([self.binary, 'data', 'stats', '--data', self.out / 'labelled', '--json'],
                                          check=True, capture_output=True).stdout)
        self.run('data', 'show', '--data', self.out / 'labelled', '--out', self.out / 'labelled.html')
        size = sum(tar.stat().st_size for tar in (self.out / 'labelled').glob('*.tar'))
        regions, pictures = find(stats, 'regions'), find(stats, 'pictures', 'images', 'samples')
        return f'{regions} regions on {pictures} pictures, {size / 1e6:.1f} MB'

    def train_command(self, objective):
        return ['train', '--config', RECIPE, *SMALL, '--objective', objective, '--data', self.out / 'labelled', '--samples',
                self.options.samples, '--save-every', 100, '--eval-every', 0, '--log-every', 20, '--zero',
                1 if objective == 'cloc' else 0, '--out', self.out / objective]

    # One process is killed in the middle; the same command goes on.
    def train(self):
        command = [self.binary, 'launch', '--processes', str(max(2, self.options.processes)), '--',
                   *map(str, self.train_command('cloc'))]
        print('$ opencloc ' + ' '.join(command[1:]), flush=True)
        with open(self.out / 'log.txt', 'ab') as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            while process.poll() is None and not (self.out / 'cloc' / 'checkpoints' / 'step-200').exists():
                time.sleep(0.05)
            children = pathlib.Path(f'/proc/{process.pid}/task/{process.pid}/children').read_text().split()
            os.kill(int(children[-1]), signal.SIGKILL)
            began = time.monotonic()
            process.wait()
            ended = time.monotonic() - began
        self.run(*self.train_command('cloc'), processes=max(2, self.options.processes))
        lines = metrics(self.out / 'cloc')
        rate = sum(line['samples_per_s'] for line in lines) / len(lines)
        return f'a rank killed after step 200, all ended in {ended:.1f} s, resumed; {rate:.0f} samples/s, loss {lines[-1]["loss"]:.2f}'

    def train_clip(self):
        self.run(*self.train_command('clip'), processes=self.options.processes)
        lines = metrics(self.out / 'clip')
        rate = sum(line['samples_per_s'] for line in lines) / len(lines)
        return f'{rate:.0f} samples/s, loss {lines[-1]["loss"]:.2f}'

    def evaluate(self):
        self.run('data', 'scenes', '--count', 600, '--size', 96, '--names', 100, '--seed', 13, '--out', self.out / 'val')
        for objective in ('clip', 'cloc'):
            self.run('eval', '--config', RECIPE, '--model', self.out / objective / 'model', '--data', self.out / 'val', '--out',
                     self.out / f'{objective}.json', processes=self.options.processes)
        return 'on 600 scenes with given boxes'

    def convert(self):
        for layout in ('open_clip', 'hf'):
            self.run('convert', self.out / 'cloc' / 'model', self.out / f'as_{layout}', '--to', layout)
        return 'open_clip and Hugging Face layouts'

    def table(self):
        larger = 10_000_000 / self.options.pictures
        print('\n| stage | seconds here | note |\n|---|---|---|')
        for name, seconds, note in self.rows:
            print(f'| {name} | {seconds:.0f} | {note} |')
        size = sum(tar.stat().st_size for tar in (self.out / 'labelled').glob('*.tar'))
        print(f'\nRecords beside the pictures: {(size - pictures_size(self.out / "labelled")) * larger / 1e9:.1f} GB for ten '
              f'million pictures.\n', flush=True)
        result = subprocess.run([self.binary, 'compare', f'CLIP={self.out}/clip.json', f'CLOC={self.out}/cloc.json'],
                                check=True, capture_output=True, text=True)
        print(result.stdout)


def find(tree, *names):
    """The first number under one of these names."""
    for name in names:
        pending = [tree]
        while pending:
            node = pending.pop(0)
            if isinstance(node, dict):
                if isinstance(node.get(name), (int, float)):
                    return node[name]
                pending.extend(node.values())
    return None


def pictures_size(folder):
    total = 0
    for tar in folder.glob('*.tar'):
        with tarfile.open(tar) as shard:
            total += sum(member.size for member in shard if member.name.endswith('.jpg'))
    return total


def metrics(run):
    lines = [json.loads(line) for line in (run / 'metrics.jsonl').read_text().splitlines()]
    return [line for line in lines if 'loss' in line]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument('--out', type=pathlib.Path, default=pathlib.Path('runs/rehearsal'))
    options.add_argument('--pictures', type=int, default=1200)
    options.add_argument('--samples', type=int, default=32000)
    options.add_argument('--processes', type=int, default=2)
    options.add_argument('--binary', type=pathlib.Path, default=ROOT / 'build' / 'release' / 'opencloc')
    options = options.parse_args()
    if options.out.exists():
        sys.exit(f'rehearsal: {options.out} is there: remove it, or name another --out')
    options.out.mkdir(parents=True)
    rehearsal = Rehearsal(options)
    began = time.monotonic()
    for name, work in (('image-text shards', rehearsal.web_shards), ('captioner and detector', rehearsal.teachers),
                       ('label', rehearsal.label), ('train CLOC', rehearsal.train), ('train CLIP', rehearsal.train_clip),
                       ('evaluate', rehearsal.evaluate), ('convert', rehearsal.convert)):
        rehearsal.stage(name, work)
    rehearsal.table()
    print(f'{time.monotonic() - began:.0f} s in all')


if __name__ == '__main__':
    main()
