#!/usr/bin/env python3
"""What `opencloc serve` does under abuse, beside an honest client that asks ten times a second.

    bench/serve_abuse.py [--binary build/release/opencloc] [--only drip,broken,slowhttptest,paths,foreign,pictures,bombs,
        reading,random,connects,memory] [--robust DIR] [--random-mb 200] [--requests 10000]

Makes a small model and an index itself and prints one table: what was sent, what was wanted and seen, the honest client's
times (/healthz, and a search by a text), and the server's memory afterwards. The exit code is 1 when something is not as
wanted: p99 <= 100 ms, memory grows by <= 100 MB in all, and in the part `memory` by <= 2 % from request 1,000 to the end.

The attackers run at the lowest priority, as if their work were done on another machine. They come from other
addresses than the honest client, and --per-address is off, so that all 1,000 connections are let in. `slowhttptest` and
`connects` need the Debian packages slowhttptest and strace; `pictures` takes the files under --robust (broken and hostile
ones; default: those of OPENCLOC_TEST_DATA or ../shared). Without them these parts are skipped, and it is said.
"""
import argparse
import os
import pathlib
import resource
import shutil
import sys
import tempfile
import time

import serve_attacks as attacks
from served_world import Elsewhere, Honest, Server, World, ask, connect, percentile

ROOT = pathlib.Path(__file__).resolve().parent.parent
MOST_MS, MOST_MIB = 100, 100
PARTS = ['drip', 'broken', 'slowhttptest', 'paths', 'foreign', 'pictures', 'bombs', 'reading', 'random', 'connects',
         'memory']


class Table:
    def __init__(self):
        self.good = True
        print('| sent | wanted | seen | /healthz p50, p99, ms | search p50, p99, ms | memory after, MiB |\n'
              '|---|---|---|---|---|---|')

    def add(self, sent, wanted, seen, good, honest=None, mib=None):
        cells = ['', '']
        if honest is not None:
            times, faults = honest
            cells = [f'{percentile(times[name], 0.5):.1f}, {percentile(times[name], 0.99):.1f}' for name in times]
            slow = max(percentile(times[name], 0.99) for name in times) > MOST_MS
            good = good and not slow and not faults
            if faults:
                seen += f'; the honest client failed {len(faults)} times: {faults[0]}'
        self.good = self.good and good
        print(f'| {sent} | {wanted} | {seen}{"" if good else " **(not as wanted)**"} | {cells[0]} | {cells[1]} | '
              f'{"" if mib is None else f"{mib:.1f}"} |', flush=True)


def attack(table, server, sent, wanted, function, *arguments):
    """Runs an attack beside the honest client. It gives (what was seen, whether that is as wanted)."""
    honest = Honest(server.port)
    time.sleep(1)
    began = time.monotonic()
    seen, good = Elsewhere(function, server.port, *arguments).result()
    time.sleep(max(0.0, 10 - (time.monotonic() - began)))
    connection = connect(server.port)
    ready, _ = ask(connection, 'GET', '/readyz')
    table.add(sent, wanted, seen + ('' if ready == 200 else f'; /readyz {ready}'), good and ready == 200, honest.end(),
              server.mib())


def warm_up(server, world):
    """Every kind of request, so that the memory of the attacks is theirs."""
    connection = connect(server.port)
    for _ in range(3):
        attacks.every_picture_route(connection, world.pictures[:4])
    attacks.mixed_requests(server.port, world.pictures, 300)


def part_memory(table, world, options):
    """Mixed requests; the scenes' cache is full after the first ones, so that its filling is not taken for a leak."""
    server = Server(world, '--scene-cache', '4M', name='memory')
    honest, sizes, done, statuses = Honest(server.port), [], 0, {}
    step = max(1, options.requests // 10)
    while done < options.requests:
        for status, count in Elsewhere(attacks.mixed_requests, server.port, world.pictures, step, done).result().items():
            statuses[status] = statuses.get(status, 0) + count
        done += step
        sizes.append(server.mib())
    grown = 100 * (sizes[-1] / sizes[0] - 1)
    seen = f'{grown:+.2f} % since request {step}; {statuses}; MiB: ' + ' '.join(f'{size:.1f}' for size in sizes)
    table.add(f'{done} mixed requests', 'at most 2 % more', seen, grown <= 2 and not any(s >= 500 for s in statuses),
              honest.end(), sizes[-1])
    server.stop()


def part_connects(table, world):
    if shutil.which('strace') is None:
        print('skipped: connects (strace is not installed)', file=sys.stderr)
        return
    trace = world.folder / 'trace'
    server = Server(world, before=['strace', '-f', '-qq', '-e', 'trace=connect,socket', '-o', trace], name='traced')
    asked = [attacks.addresses(server.port), attacks.paths(server.port)]
    connection = connect(server.port)
    attacks.every_picture_route(connection, world.pictures[:1])
    server.stop()
    lines = trace.read_text().splitlines()
    local = [line for line in lines if ' connect(' in line and 'AF_UNIX' in line]  # the C library asks its name cache
    connects = [line for line in lines if ' connect(' in line and line not in local]
    sockets = [line for line in lines if ' socket(' in line]
    good = not connects and all(good for _, good in asked)
    table.add('addresses in place of pictures, under strace', '400, and no connect() to any address',
              '; '.join(seen for seen, _ in asked) + f'; {len(connects)} connect() beside {len(local)} on this machine, {len(sockets)} socket()', good)
    for line in connects:
        print('    ' + line, file=sys.stderr)


def part_slowhttptest(table, world):
    """Against a server without keys, which reads what they send."""
    if shutil.which('slowhttptest') is None:
        print('skipped: slowhttptest (it is not installed)', file=sys.stderr)
        return
    server = Server(world, '--per-address', '0', name='slow', keys=False)
    for mode, name in (('-H', 'slow heads'), ('-B', 'slow bodies'), ('-R', 'ranges'), ('-X', 'slow reads')):
        attack(table, server, f'slowhttptest {mode} ({name}), 1,000 connections', 'the server stays available',
               attacks.slowhttptest, mode)
    server.stop()


def parts_of_one_server(table, world, options):
    server = Server(world, '--per-address', '0')
    warm_up(server, world)
    before = server.mib()
    table.add('a warm-up with requests of every kind', '', '', True, mib=before)
    only = options.only
    if 'drip' in only:
        attack(table, server, '1,000 clients that drip a header a second', 'all ended within 13 s', attacks.drip)
    if 'broken' in only:
        attack(table, server, '64 MiB in chunks, 20 times', '413', attacks.chunked, 20)
        attack(table, server, '64 MiB as 65 kB of gzip, 20 times', '415', attacks.zipped, 20)
        attack(table, server, '20,000 lines of a head, 20 times', '431', attacks.many_lines, 20)
    if 'paths' in only:
        attack(table, server, '200 paths that lead out', '404, 400 or 405', attacks.paths)
    if 'foreign' in only:
        attack(table, server, 'foreign Host, foreign Origin', '403', attacks.foreign)
        attack(table, server, 'addresses in place of pictures', '400, nobody is asked', attacks.addresses)
    if 'pictures' in only:
        files = sorted(path for path in options.robust.rglob('*') if path.is_file()) if options.robust.is_dir() else []
        if files:
            attack(table, server, f'{len(files)} broken and hostile files, each by 9 routes',
                   '2xx or 422, the same by every route', attacks.pictures, files, server.pid)
        else:
            print(f'skipped: pictures (no files in {options.robust})', file=sys.stderr)
    if 'bombs' in only:
        attack(table, server, '120 bombs and largest pictures', '422 or 201', attacks.bombs, server.pid)
    if 'reading' in only:
        attack(table, server, '1,000 clients that do not read large answers', 'memory during: at most 200 MiB more',
               attacks.not_reading, server.pid)
    if 'random' in only:
        attack(table, server, f'{options.random_mb} MB of random requests', 'no 5xx but 503', attacks.random_requests,
               options.random_mb, world.pictures)
    grown = server.mib() - before
    code = server.stop()
    table.add('in all', f'at most {MOST_MIB} MiB more; SIGTERM: exit code 0', f'{grown:+.1f} MiB; exit code {code}',
              grown <= MOST_MIB and code == 0)


def main():
    shared = pathlib.Path(os.environ.get('OPENCLOC_TEST_DATA', ROOT.parent / 'shared'))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--binary', default=ROOT / 'build/release/opencloc')
    parser.add_argument('--only', type=lambda text: text.split(','), default=PARTS)
    parser.add_argument('--robust', type=pathlib.Path, default=shared / 'data/robust')
    parser.add_argument('--random-mb', type=int, default=200)
    parser.add_argument('--requests', type=int, default=10_000, help='of the part memory')
    options = parser.parse_args()
    for part in options.only:
        if part not in PARTS:
            parser.error(f'no part {part}: there are {", ".join(PARTS)}')
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 8192), most))
    with tempfile.TemporaryDirectory() as folder:
        world = World(options.binary, folder)
        table = Table()
        if set(options.only) - {'slowhttptest', 'memory', 'connects'}:
            parts_of_one_server(table, world, options)
        if 'slowhttptest' in options.only:
            part_slowhttptest(table, world)
        if 'connects' in options.only:
            part_connects(table, world)
        if 'memory' in options.only:
            part_memory(table, world, options)
    return 0 if table.good else 1


if __name__ == '__main__':
    sys.exit(main())
