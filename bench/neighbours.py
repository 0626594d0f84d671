#!/usr/bin/env python3
"""How training shares a machine: the quickstart's recipe alone, beside one and two busy processes, and in a control
group of one processor.

    bench/neighbours.py [--binary build/release/opencloc] [--before OTHER_BINARY] [--rounds 5] [--steps 100]

Prints a table: samples per second (the median of the rounds, the least and the most), and the share of what is fair:
2 compute threads beside b busy processes on c processors get 2 c / (2 + b) of c processors' work. Takes about 20 s per
round and row. Needs root for the control group (version 1 or 2 of the cpu controller); without it that row is left out.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECIPE = ROOT / 'configs' / 'quickstart' / 'recipe.toml'


def make_group():
    """A control group of one processor: its file of processes, or None where none can be made."""
    for mount, files in (('/sys/fs/cgroup/cpu', {'cpu.cfs_period_us': '100000', 'cpu.cfs_quota_us': '100000'}),
                         ('/sys/fs/cgroup', {'cpu.max': '100000 100000'})):
        group = pathlib.Path(mount, 'opencloc_one_cpu')
        try:
            group.mkdir(exist_ok=True)
            for name, value in files.items():
                if not (group / name).exists():
                    raise OSError(name)
                (group / name).write_text(value)
            return group / 'cgroup.procs'
        except OSError:
            try:
                group.rmdir()
            except OSError:
                pass
    return None


def train(binary, steps, data, folder, group=None, threads=0):
    """Samples per second after the first 20 steps."""
    out = pathlib.Path(tempfile.mkdtemp(dir=folder))
    command = [str(binary), 'train', '--config', str(RECIPE), '--objective', 'cloc', '--steps', str(steps), '--data',
               str(data), '--out', str(out / 'run'), '--log-every', '20', '--threads', str(threads)]

    def enter():
        if group:
            group.write_text(str(os.getpid()))
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=enter)
    if done.returncode != 0:
        sys.exit(done.stderr)
    rows = [json.loads(line) for line in (out / 'run' / 'metrics.jsonl').read_text().splitlines()]
    speeds = [row['samples_per_s'] for row in rows if 'samples_per_s' in row]
    return statistics.harmonic_mean(speeds[1:])


def measure(binary, steps, data, folder, busy, group):
    neighbours = [subprocess.Popen([sys.executable, '-c', 'while True: pass']) for _ in range(busy)]
    try:
        return train(binary, steps, data, folder, group)
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--binary', type=pathlib.Path, default=ROOT / 'build' / 'release' / 'opencloc')
    parser.add_argument('--before', type=pathlib.Path, help='another binary, run in turns with the first')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--steps', type=int, default=100)
    arguments = parser.parse_args()
    binaries = {'now': arguments.binary.resolve()}
    if arguments.before:
        binaries['before'] = arguments.before.resolve()
    cpus = len(os.sched_getaffinity(0))
    group = make_group()
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder, 'scenes')
        subprocess.run([str(arguments.binary.resolve()), 'data', 'scenes', '--config', str(RECIPE), '--count', '3000',
                        '--seed', '1', '--out', str(data)], check=True, capture_output=True)
        settings = [('alone', 0, None, 1.0)]
        settings += [(f'beside {b} busy', b, None, min(1.0, 2 / (2 + b)) if cpus == 2 else None) for b in (1, 2)]
        if group:
            settings.append(('control group of 1 CPU', 0, group, 1 / cpus))
        found = {}
        for _ in range(arguments.rounds):
            for setting, busy, in_group, _ in settings:
                for name, binary in binaries.items():
                    speed = measure(binary, arguments.steps, data, folder, busy, in_group)
                    found.setdefault((setting, name), []).append(speed)
    print('| | binary | samples/s | least, most | fair | share of the fair |\n|---|---|---|---|---|---|')
    for setting, _, _, share in settings:
        for name in binaries:
            speeds = found[setting, name]
            middle, alone = statistics.median(speeds), statistics.median(found['alone', name])
            fair = f'{share * alone:.0f} | {middle / (share * alone):.2f}' if share else '- | -'
            print(f'| {setting} | {name} | {middle:.0f} | {min(speeds):.0f}, {max(speeds):.0f} | {fair} |')
    if not group:
        print('(no control group could be made: that row is left out)')


if __name__ == '__main__':
    main()
