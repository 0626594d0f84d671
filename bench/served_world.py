"""A small model, an index and a running `opencloc serve` for bench/serve_abuse.py, and a client that measures it."""
import base64
import http.client
import io
import json
import multiprocessing
import os
import pathlib
import random
import re
import signal
import socket
import struct
import subprocess
import tarfile
import time
import zlib

KEY = 'a-key-of-this-bench-alone'
HONEST_ADDRESS = '127.0.0.2'  # the attackers come from others


def png(width, height, data=None, seed=1):
    """Noise; with `data` that is the compressed picture, whatever it may be."""
    def chunk(kind, body):
        return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))
    if data is None:
        rng = random.Random(seed)
        data = zlib.compress(b''.join(b'\0' + rng.randbytes(3 * width) for _ in range(height)), 1)
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0))
            + chunk(b'IDAT', data) + chunk(b'IEND', b''))


def mib_of(pid, key='VmRSS'):
    status = pathlib.Path(f'/proc/{pid}/status').read_text()
    return int(re.search(rf'^{key}:\s+(\d+) kB', status, re.M).group(1)) / 1024


class World:
    """What is served: a model of two training steps, an index of scenes with one large picture, an index to write to."""

    def __init__(self, binary, folder):
        self.binary, self.folder = str(binary), pathlib.Path(folder)
        self.pictures = []
        photos = self.folder / 'photos'
        photos.mkdir()
        for size, count in ((96, 60), (320, 20), (900, 6)):
            shards = self.folder / f'scenes{size}'
            self.run('data', 'scenes', '--count', count, '--size', size, '--names', '20', '--seed', size, '--out', shards)
            with tarfile.open(shards / '00000.tar') as tar:
                for member in tar.getmembers():
                    if member.name.endswith('.jpg'):
                        self.pictures.append(tar.extractfile(member).read())
                        (photos / f'{size}-{member.name}').write_bytes(self.pictures[-1])
        (photos / 'large.png').write_bytes(png(1600, 1200))
        self.model = self.folder / 'run/model'
        self.run('train', '--data', self.folder / 'scenes96', '--model', 'ViT-Test', '--steps', '2', '--batch-size', '8',
                 '--out', self.folder / 'run')
        self.run('index', 'add', self.folder / 'photos.idx', '--model', self.model, '--images', photos)
        self.run('index', 'add', self.folder / 'scratch.idx', '--model', self.model, '--images', photos / 'large.png')
        (self.folder / 'keys').write_text(KEY + '\n')
        os.chmod(self.folder / 'keys', 0o600)

    def run(self, *arguments):
        done = subprocess.run([self.binary, *map(str, arguments)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f'serve_abuse: opencloc {arguments[0]} failed:\n{done.stderr}')


class Server:
    """opencloc serve on a free port. With keys it may write. `before` stands before its command (strace)."""

    def __init__(self, world, *flags, before=(), name='serve', keys=True):
        self.log = world.folder / f'{name}.log'
        command = [*before, world.binary, 'serve', '--model', world.model, '--index', f'photos={world.folder}/photos.idx',
                   '--index', f'scratch={world.folder}/scratch.idx', '--device', 'cpu', '--port', '0', *flags]
        if keys:
            command += ['--api-key-file', world.folder / 'keys', '--read-only', 'off']
        with open(self.log, 'w', encoding='utf-8') as log:
            self.process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=log, text=True)
        self.port = int(self.process.stdout.readline().rsplit(':', 1)[1])
        self.pid = self.process.pid
        if before:
            self.pid = int(pathlib.Path(f'/proc/{self.pid}/task/{self.pid}/children').read_text().split()[0])

    def mib(self):
        return mib_of(self.pid)

    def stop(self):
        """Its exit code; None when it had ended by itself."""
        if self.process.poll() is not None:
            return None
        os.kill(self.pid, signal.SIGTERM)
        return self.process.wait(60)


def connect(port, source=None, timeout=60):
    return http.client.HTTPConnection('127.0.0.1', port, timeout=timeout, source_address=(source, 0) if source else None)


def ask(connection, method, path, body=None, kind=None, headers=None):
    """(status, body)"""
    every = {'Authorization': f'Bearer {KEY}', **(headers or {})}
    if kind:
        every['Content-Type'] = kind
    connection.request(method, path, body, every)
    answer = connection.getresponse()
    return answer.status, answer.read()


def ask_json(connection, path, value):
    return ask(connection, 'POST', path, json.dumps(value), 'application/json')


def form(parts):
    """multipart/form-data of [(name, bytes)] -> (body, content type)"""
    out = io.BytesIO()
    for name, value in parts:
        file = '; filename="blob"\r\nContent-Type: application/octet-stream' if name == 'image' else ''
        out.write(f'--edge\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + value + b'\r\n')
    out.write(b'--edge--\r\n')
    return out.getvalue(), 'multipart/form-data; boundary=edge'


# Every way a picture comes in: (name, request of its bytes as ask() takes it after the connection).
def picture_requests(picture, write_to='scratch'):
    text = base64.b64encode(picture).decode()
    entries = (b'entries', json.dumps({'clip': {'visual': {'modelName': 'ViT-B-32__openai'}}}).encode())

    def as_json(value):
        return json.dumps(value), 'application/json'
    return [
        ('scenes', ('POST', '/v1/scenes', picture, 'application/octet-stream')),
        ('scenes, form', ('POST', '/v1/scenes', *form([('image', picture)]))),
        ('embeddings, data:', ('POST', '/v1/embeddings', *as_json({'input': 'data:image/png;base64,' + text}))),
        ('embeddings, box', ('POST', '/v1/embeddings',
                             *as_json({'input': [{'image': text, 'box': [0.1, 0.1, 0.9, 0.9]}]}))),
        ('search', ('POST', '/v1/search', *as_json({'index': 'photos', 'image': text, 'k': 3}))),
        ('knn-service', ('POST', '/knn-service', *as_json({'image': text, 'modality': 'image', 'num_images': 3}))),
        ('vectorize', ('POST', '/vectorize', *as_json({'texts': [], 'images': [text]}))),
        ('predict', ('POST', '/predict', *form([(entries[0].decode(), entries[1]), ('image', picture)]))),
        ('index', ('POST', f'/v1/indexes/{write_to}/images', picture, 'application/octet-stream')),
    ]


def percentile(times, share):
    times = sorted(times)
    return times[min(len(times) - 1, int(share * len(times)))] if times else float('nan')


class Honest:
    """A client in a process of its own: /healthz and a search by a text every 100 ms over one connection each."""

    def __init__(self, port):
        self.queue, self.ended = multiprocessing.Queue(), multiprocessing.Event()
        self.process = multiprocessing.Process(target=self.work, args=(port,), daemon=True)
        self.process.start()

    def work(self, port):
        times, faults = {'health': [], 'search': []}, []
        connection, number = connect(port, HONEST_ADDRESS), 0
        while not self.ended.is_set():
            number += 1
            began = time.perf_counter()
            try:
                for name, request in (
                        ('health', ('GET', '/healthz')),
                        ('search', ('POST', '/v1/search', json.dumps({'text': f'a red car {number % 50}', 'k': 3}),
                                    'application/json'))):
                    at = time.perf_counter()
                    status, _ = ask(connection, *request)
                    times[name].append(1000 * (time.perf_counter() - at))
                    if status != 200:
                        faults.append(f'{name} {status}')
            except (OSError, http.client.HTTPException) as error:
                faults.append(repr(error))
                connection.close()
            time.sleep(max(0, 0.1 - (time.perf_counter() - began)))
        self.queue.put((times, faults))

    def end(self):
        """({'health': [ms], 'search': [ms]}, [what failed])"""
        self.ended.set()
        result = self.queue.get(timeout=120)
        self.process.join()
        return result


class Elsewhere:
    """Runs a function in a process of the lowest priority, as if its work were done on another machine."""

    def __init__(self, function, *arguments):
        self.queue = multiprocessing.Queue()
        self.process = multiprocessing.Process(target=self.work, args=(function, arguments), daemon=True)
        self.process.start()

    def work(self, function, arguments):
        os.nice(19)
        try:
            self.queue.put((function(*arguments), None))
        except Exception as error:  # told by result()
            self.queue.put((None, f'{type(error).__name__}: {error}'))

    def result(self):
        value, error = self.queue.get()
        self.process.join()
        if error:
            raise RuntimeError(error)
        return value


def raw(port, data, source=None, timeout=60, no_more=False):
    """Sends bytes and reads until the server is done: (status or 0, bytes sent). `no_more`: closes its end after them."""
    with socket.socket() as connection:
        connection.settimeout(timeout)
        if source:
            connection.bind((source, 0))
        connection.connect(('127.0.0.1', port))
        sent = 0
        try:
            for begin in range(0, len(data), 1 << 16):
                connection.sendall(data[begin:begin + (1 << 16)])
                sent += len(data[begin:begin + (1 << 16)])
            if no_more:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        answer = b''
        try:
            while b'\r\n' not in answer:
                got = connection.recv(4096)
                if not got:
                    break
                answer += got
        except OSError:
            pass
        return (int(answer[9:12]) if answer.startswith(b'HTTP/1.1 ') else 0), sent
