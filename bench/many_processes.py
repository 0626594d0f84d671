#!/usr/bin/env python3
"""What several processes do to a training run: the same numbers, the bytes they exchange, how they fail, how fast they are.

    bench/many_processes.py [--binary build/release/opencloc] [--only same,bytes,failures,resume,speed,launchers,network]

Prints a table per part. Small CLOC runs on generated scenes; about ten minutes in all on two cores. `launchers` takes
those that are installed (mpirun, torchrun, srun inside an allocation); `network` makes two network namespaces and needs
root, ip, tc and nft.
"""
import argparse
import array
import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PARTS = ['same', 'bytes', 'failures', 'resume', 'speed', 'launchers', 'network']


class Runs:
    """Commands of small runs in a folder of their own."""

    def __init__(self, binary, folder):
        self.binary, self.folder = str(binary), pathlib.Path(folder)
        for name, seed in (('scenes', 1), ('others', 2)):
            subprocess.run([self.binary, 'data', 'scenes', '--count', '400', '--size', '48', '--seed', str(seed), '--out',
                            self.folder / name], check=True, capture_output=True)
        subprocess.run([self.binary, 'data', 'scenes', '--count', '300', '--size', '48', '--seed', '1', '--out',
                        self.folder / 'fewer'], check=True, capture_output=True)

    def train(self, name, steps=50, **more):
        """The command of a run; its settings as `batch_size=24`."""
        settings = {'data': self.folder / 'scenes', 'out': self.folder / name, 'model': 'ViT-Test', 'vocab_size': 400,
                    'batch_size': 22, 'steps': steps, 'warmup': 10, 'text_filter_opens': 0.2, 'save_every': 1000,
                    'log_every': 1, 'threads': 1, 'workers': 1, 'report_pictures': 0, 'seed': 3, **more}
        flags = [str(part) for key, value in settings.items() for part in ('--' + key.replace('_', '-'), value)]
        return [self.binary, 'train', *flags]

    def launch(self, processes, command):
        return [self.binary, 'launch', '--processes', str(processes), '--', *command[1:]] if processes > 1 else command

    def done(self, processes, name, **more):
        """Runs to the end; its metrics."""
        result = subprocess.run(self.launch(processes, self.train(name, **more)), capture_output=True, text=True)
        if result.returncode != 0:
            raise SystemExit(f'many_processes: {name} failed:\n{result.stderr}')
        return self.metrics(name)

    def metrics(self, name):
        lines = (self.folder / name / 'metrics.jsonl').read_text().splitlines()
        return [json.loads(line) for line in lines]

    def weights(self, name):
        digest = hashlib.sha256()
        for file in ('open_clip_model.safetensors', 'cloc_heads.safetensors'):
            digest.update((self.folder / name / 'model' / file).read_bytes())
        return digest.hexdigest()[:16]


def tensors(path):
    """F32 tensors of a safetensors file."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], 'little')
    for name, entry in json.loads(data[8:8 + length]).items():
        if name == '__metadata__' or entry['dtype'] != 'F32':
            continue
        begin, end = (8 + length + offset for offset in entry['data_offsets'])
        yield name, array.array('f', data[begin:end])


def first_gradients(runs, name):
    """AdamW's first moments after one step are a tenth of the (clipped) gradients."""
    path = runs.folder / name / 'checkpoints' / 'step-1' / 'optimizer.safetensors'
    return {key: values for key, values in tensors(path) if key.startswith('m.')}


def part_same(runs):
    print('### The same run by 1 to 4 processes\n50 CLOC steps of 22 samples, ViT-Test, F32.\n')
    print('| processes | largest difference of a loss | of a gradient norm, relative | filter opens after step | largest '
          'difference of a gradient in step 1, relative to the largest gradient |\n|---|---|---|---|---|')
    reference = gradients = largest = None
    for processes in (1, 2, 3, 4):
        lines = runs.done(processes, f'same-{processes}')
        runs.done(processes, f'one-step-{processes}', steps=1, warmup=0)
        own = first_gradients(runs, f'one-step-{processes}')
        opened = next((line['step'] for line in lines if line['text_filter_open']), None)
        if reference is None:
            reference, gradients = lines, own
            largest = max(max(map(abs, values), default=0) for values in own.values())
        loss = max(abs(a['loss'] - b['loss']) for a, b in zip(reference, lines))
        norm = max(abs(a['grad_norm'] / b['grad_norm'] - 1) for a, b in zip(reference, lines))
        gradient = max(abs(a - b) for key in gradients for a, b in zip(gradients[key], own[key])) / largest
        same_keys = all(a.keys() - b.keys() == set() for a, b in zip(reference, lines))
        if len(lines) != len(reference) or not same_keys:
            raise SystemExit('many_processes: the metrics have other lines or keys')
        print(f'| {processes} | {loss:.1e} | {norm:.1e} | {opened} | {gradient:.1e} |', flush=True)
    print()


def part_bytes(runs):
    print('### Bytes that a process receives in a step\nBy formula: gradients 2 (N-1)/N x 4 bytes x parameters; embeddings '
          '(N-1)/N x 4 bytes x width x (2 x samples + 2 x regions); log-sum-exps (N-1)/N x 4 bytes x 2 x (samples + '
          'regions).\n')
    print('| processes | received | gradients | embeddings | log-sum-exps | the rest |\n|---|---|---|---|---|---|')
    for processes in (2, 3, 4):
        line = runs.done(processes, f'bytes-{processes}', steps=12, batch_size=24)[-1]
        name = f'bytes-{processes}'
        parameters = sum(len(values) for key, values in
                         tensors(runs.folder / name / 'checkpoints' / 'step-12' / 'optimizer.safetensors')
                         if key.startswith('m.'))
        config = json.loads((runs.folder / name / 'model' / 'open_clip_config.json').read_text())
        width = config['model_cfg']['embed_dim']
        share = (processes - 1) / processes
        rows = 24 + line['regions']
        gradients = 2 * share * 4 * parameters
        embeddings = share * 4 * width * 2 * rows
        sums = share * 4 * 2 * rows
        received = line['received_mb'] * 1e6
        rest = received - gradients - embeddings - sums
        print(f'| {processes} | {received:.0f} | {gradients:.0f} | {embeddings:.0f} | {sums:.0f} | {rest:.0f} |', flush=True)
    print()


def part_resume(runs):
    print('### Resumed by another number of processes\n40 steps; after 10 steps by 4 processes 10 by 2, 10 by 3, 10 by 1.\n')
    whole = runs.done(1, 'whole', steps=40, save_every=10, warmup=4)
    for processes, steps in ((4, 10), (2, 20), (3, 30), (1, 40)):
        # The schedule is that of 40 steps: the run is stopped, as a signal would, after its checkpoint.
        command = runs.launch(processes, runs.train('parts', steps=40, save_every=10, warmup=4))
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        checkpoint = runs.folder / 'parts' / 'checkpoints' / f'step-{steps}'
        while process.poll() is None and not checkpoint.exists():
            time.sleep(0.01)
        if steps < 40:
            process.send_signal(signal.SIGTERM)
        process.communicate()
        # What came after the checkpoint is made again.
        for later in sorted((runs.folder / 'parts' / 'checkpoints').glob('step-*')):
            if int(later.name.split('-')[1]) > steps:
                shutil.rmtree(later)
    parts = runs.metrics('parts')
    loss = max(abs(a['loss'] - b['loss']) for a, b in zip(whole, parts))
    same = len(whole) == len(parts) and all(a[key] == b[key] for a, b in zip(whole, parts)
                                            for key in ('samples', 'regions', 'captioned', 'text_filter_open'))
    print('| steps | largest difference of a loss | samples, regions and filter of every step equal |\n|---|---|---|')
    print(f'| {len(parts)} | {loss:.1e} | {"yes" if same else "NO"} |\n', flush=True)


def part_speed(runs):
    print('### 2 processes of 1 thread beside 1 process of 2 threads\nCLOC, ViT-XS-16-128, bf16, batch 48, in turns.\n')
    scenes = runs.folder / 'larger'
    subprocess.run([runs.binary, 'data', 'scenes', '--count', '600', '--size', '128', '--out', scenes], check=True,
                   capture_output=True)
    print('| round | 1 x 2 threads, samples/s | 2 x 1 thread | ratio | communication |\n|---|---|---|---|---|')
    common = dict(data=scenes, model='ViT-XS-16-128', batch_size=48, steps=24, log_every=6, precision='bf16',
                  vocab_size=2000, warmup=4)
    for turn in range(3):
        rates, shares = [], []
        for processes, threads in ((1, 2), (2, 1)):
            lines = runs.done(processes, f'speed-{processes}-{turn}', threads=threads, **common)[1:]
            rates.append(sum(line['samples_per_s'] for line in lines) / len(lines))
            shares.append(sum(line.get('communication', 0) for line in lines) / len(lines))
        print(f'| {turn + 1} | {rates[0]:.1f} | {rates[1]:.1f} | {rates[1] / rates[0]:.2f} | {shares[1]:.1%} |', flush=True)
    print()


def free_port():
    with socket.socket() as taken:
        taken.bind(('', 0))
        return taken.getsockname()[1]


def last_error(text):
    errors = [line for line in text.splitlines() if 'error: ' in line]
    return errors[-1].split('error: ', 1)[1] if errors else text[-300:]


@contextlib.contextmanager
def started(commands, environments):
    """Processes with their stderr in files; whatever is left is killed."""
    processes = []
    for command, environment in zip(commands, environments):
        words = tempfile.TemporaryFile('w+')
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=words, env={**os.environ, **environment})
        process.words = words
        processes.append(process)
    try:
        yield processes
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()


def words_of(process):
    process.words.seek(0)
    return process.words.read()


def ranks(count, port):
    return [{'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(port), 'WORLD_SIZE': str(count), 'RANK': str(rank)}
            for rank in range(count)]


def wait_for_step(path, step):
    while not path.exists() or f'"step":{step},' not in path.read_text():
        time.sleep(0.02)


def print_end(event, processes, began, but=()):
    for process in processes:
        if process not in but:
            process.wait()
    seconds = time.monotonic() - began
    lines = {last_error(words_of(process)) for process in processes if process not in but}
    for line in sorted(lines):
        print(f'| {event} | {seconds:.1f} | {re.sub(re.escape(tempfile.gettempdir()) + "/[^/]*/", "", line)} |', flush=True)


def part_failures(runs):
    print('### How it fails\n3 processes started as by torchrun, `--dist-timeout 6`; seconds from the event to the end of the '
          'last process (but for the stopped one); the last line of each other process.\n')
    print('| event | seconds | line |\n|---|---|---|')
    events = {'SIGKILL of rank 1': signal.SIGKILL, 'SIGKILL of rank 0': signal.SIGKILL, 'SIGSTOP of rank 2': signal.SIGSTOP}
    for number, (event, kind) in enumerate(events.items()):
        name = f'failure-{number}'
        command = runs.train(name, steps=4000, dist_timeout=6)
        with started([command] * 3, ranks(3, free_port())) as processes:
            wait_for_step(runs.folder / name / 'metrics.jsonl', 5)
            hit = processes[int(event[-1])]
            hit.send_signal(kind)
            print_end(event, processes, time.monotonic(), but=(hit,))
    began = time.monotonic()
    command = runs.train('missing', dist_timeout=6)
    with started([command] * 2, ranks(3, free_port())[:2]) as processes:
        print_end('rank 2 never comes', processes, began)
    for event, changed in (('another --lr on rank 1', {'lr': 0.5}),
                           ('another data set on rank 1', {'data': runs.folder / 'fewer'})):
        began = time.monotonic()
        commands = [runs.train('differs', **(changed if rank == 1 else {})) for rank in range(3)]
        with started(commands, ranks(3, free_port())) as processes:
            print_end(event, processes, began)
    print()


def part_launchers(runs):
    print('### Launchers\n2 processes, 12 steps; SHA-256 of the weights.\n\n| launcher | weights |\n|---|---|')
    runs.done(2, 'by-launch', steps=12)
    print(f'| opencloc launch | {runs.weights("by-launch")} |', flush=True)
    launchers = {'torchrun': ['torchrun', '--nproc_per_node', '2', '--master_port', str(free_port()), '-r', '1', '-t', '1',
                              '--log_dir', runs.folder / 'logs', '--no_python'],
                 'mpirun': ['mpirun', '--allow-run-as-root', '--oversubscribe', '-np', '2'],
                 'srun': ['srun', '--ntasks', '2', '--overlap']}
    for name, launcher in launchers.items():
        if shutil.which(launcher[0]) is None or (name == 'srun' and 'SLURM_JOB_ID' not in os.environ):
            print(f'| {name} | not here |')
            continue
        result = subprocess.run([*launcher, *runs.train(f'by-{name}', steps=12)], capture_output=True, text=True)
        print(f'| {name} | {runs.weights(f"by-{name}") if result.returncode == 0 else last_error(result.stderr)} |', flush=True)
    print()


NAMESPACES = ['opencloc-a', 'opencloc-b']


def sh(command):
    subprocess.run(command, shell=True, check=True, capture_output=True)


def part_network(runs):
    print('### Two network namespaces, 100 Mbit/s and 2 % of the packets lost\n2 processes, 12 steps; then the link is cut '
          '(`--dist-timeout 10`).\n')
    a, b = NAMESPACES
    try:
        sh(f'ip netns add {a}; ip netns add {b}; ip link add oc-a netns {a} type veth peer name oc-b netns {b}')
        for number, (space, link) in enumerate(((a, 'oc-a'), (b, 'oc-b'))):
            sh(f'ip netns exec {space} sh -c "ip addr add 10.77.0.{number + 1}/24 dev {link}; ip link set {link} up; '
               f'ip link set lo up; tc qdisc add dev {link} root tbf rate 100mbit burst 32kbit latency 400ms; '
               "nft add table inet t; nft add chain inet t i '{ type filter hook input priority 0; }'; "
               f'nft add rule inet t i iifname {link} numgen random mod 100 \\< 2 drop"')

        def commands(name, **more):
            return [['ip', 'netns', 'exec', space, *runs.train(name, **more)] for space in NAMESPACES]
        environments = [{**variables, 'MASTER_ADDR': '10.77.0.1'} for variables in ranks(2, 29555)]
        runs.done(2, 'near', steps=12)
        began = time.monotonic()
        with started(commands('far', steps=12), environments) as processes:
            codes = [process.wait() for process in processes]
        line = runs.metrics('far')[-1]
        print('| | steps | seconds | weights | as on one machine |\n|---|---|---|---|---|')
        print(f'| exit codes {codes} | {line["step"]} | {time.monotonic() - began:.1f} | {runs.weights("far")} | '
              f'{"yes" if runs.weights("far") == runs.weights("near") else "NO"} |\n')
        print('| event | seconds | line |\n|---|---|---|')
        with started(commands('cut', steps=4000, dist_timeout=10), environments) as processes:
            wait_for_step(runs.folder / 'cut' / 'metrics.jsonl', 3)
            sh(f'ip netns exec {b} ip link set oc-b down')
            print_end('the link is cut', processes, time.monotonic())
    finally:
        for space in NAMESPACES:
            subprocess.run(['ip', 'netns', 'del', space], capture_output=True)
    print()


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument('--binary', type=pathlib.Path, default=ROOT / 'build' / 'release' / 'opencloc')
    options.add_argument('--only', default=','.join(PARTS), help='parts, with commas: ' + ', '.join(PARTS))
    options = options.parse_args()
    parts = options.only.split(',')
    if unknown := set(parts) - set(PARTS):
        sys.exit(f'many_processes: no part {", ".join(sorted(unknown))}')
    with tempfile.TemporaryDirectory(prefix='opencloc-many-') as folder:
        runs = Runs(options.binary.resolve(), folder)
        for part in parts:
            globals()[f'part_{part}'](runs)


if __name__ == '__main__':
    main()
