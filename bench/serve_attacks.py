"""The attacks of bench/serve_abuse.py. Each takes the server's port and gives (what was seen, whether that is as wanted)."""
import collections
import concurrent.futures
import contextlib
import gzip
import json
import random
import re
import socket
import subprocess
import time
import zlib

from served_world import KEY, ask, ask_json, connect, form, mib_of, picture_requests, png, raw

HEAD = f'Host: 127.0.0.1\r\nAuthorization: Bearer {KEY}\r\n'


def counted(values):
    return ', '.join(f'{count} x {value}' for value, count in sorted(collections.Counter(values).items()))


def source(number):
    """An address of this machine that nobody else has."""
    return f'127.1.{number // 250}.{number % 250 + 1}'


def open_many(port, count, data):
    """Connections that have sent `data`: yields (number, connection)."""
    for number in range(count):
        connection = socket.socket()
        connection.bind((source(number), 0))
        connection.connect(('127.0.0.1', port))
        connection.sendall(data)
        yield number, connection


def drip(port, count=1000, seconds=20):
    left = {number: (connection, time.monotonic()) for number, connection in
            open_many(port, count, b'GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n')}
    ages, end = [], time.monotonic() + seconds
    while left and time.monotonic() < end:
        time.sleep(0.5)
        for number, (connection, opened) in list(left.items()):
            try:
                answer = connection.recv(65536, socket.MSG_DONTWAIT)  # its 408, or nothing: it is over either way
            except BlockingIOError:
                answer = None
                with contextlib.suppress(OSError):
                    connection.sendall(b'X-More: 1\r\n')
            except OSError:
                answer = b''
            if answer is not None:
                ages.append(time.monotonic() - opened)
                connection.close()
                del left[number]
    for connection, _ in left.values():
        connection.close()
    return (f'{len(ages)} ended, after {min(ages, default=0):.1f} to {max(ages, default=0):.1f} s, {len(left)} still open',
            not left and max(ages) <= 13)


def chunked(port, times):
    head = f'POST /v1/scenes HTTP/1.1\r\n{HEAD}Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n'.encode()
    chunk = b'10000\r\n' + bytes(1 << 16) + b'\r\n'
    body = head + chunk * 1024 + b'0\r\n\r\n'
    seen = [raw(port, body, source(1)) for _ in range(times)]
    # Who is cut off while it sends may miss the answer: its own send fails first.
    return (f'{counted(status for status, _ in seen)}; at most {max(sent for _, sent in seen) / 2**20:.1f} MiB taken',
            all(status in (0, 413) for status, _ in seen) and max(sent for _, sent in seen) < 64 << 20)


def zipped(port, times):
    body = gzip.compress(bytes(64 << 20), 9)
    head = (f'POST /v1/scenes HTTP/1.1\r\n{HEAD}Content-Type: image/png\r\nContent-Encoding: gzip\r\n'
            f'Content-Length: {len(body)}\r\n\r\n').encode()
    seen = [raw(port, head + body, source(1))[0] for _ in range(times)]
    return counted(seen), set(seen) == {415}


def many_lines(port, times):
    data = f'GET /healthz HTTP/1.1\r\n{HEAD}'.encode() + b'X-Line: 1\r\n' * 20_000 + b'\r\n'
    seen = [raw(port, data, source(1))[0] for _ in range(times)]
    return counted(seen), set(seen) <= {0, 431} and 431 in seen


def slowhttptest(port, mode):
    path = {'-X': '/v1/indexes/photos/images/87/picture?size=1600', '-B': '/v1/embeddings'}.get(mode, '/healthz')
    flags = {'-X': ['-w', '512', '-y', '1024', '-n', '5', '-z', '32', '-k', '3'], '-R': ['-a', '10', '-b', '3000'],
             '-H': ['-i', '5'], '-B': ['-i', '5', '-s', '8192', '-f', 'application/json']}[mode]
    done = subprocess.run(['slowhttptest', mode, '-c', '1000', '-r', '200', '-l', '25', '-p', '5', '-u',
                           f'http://127.0.0.1:{port}{path}', *flags], capture_output=True, text=True, check=False)
    text = re.sub(r'\x1b\[[0-9;]*m', '', done.stdout)
    available = re.findall(r'service available:\s*(\w+)', text)
    ended = re.findall(r'Exit status:\s*(.+)', text)
    return (f'available {counted(available)}; {ended[-1].strip() if ended else done.stderr.strip()[:200]}',
            bool(available) and set(available) == {'YES'})


def paths(port):
    ups = ['..', '%2e%2e', '.%2e', '%252e%252e', '..%00', '..%5c..', '..;', '....//..', '%c0%ae%c0%ae', '..%2f..']
    tops = ['', '/v1', '/v1/indexes/photos', '/v1/indexes/photos/images/1', '/v1/scenes', '/knn-service', '/x', '/index.html',
            '/v1/indexes/photos/images', '/.well-known']
    ends = ['/etc/passwd', '%2fetc%2fpasswd']
    seen, leaks = [], 0
    for top in tops:
        for up in ups:
            for end in ends:
                with socket.socket() as connection:
                    connection.settimeout(30)
                    connection.connect(('127.0.0.1', port))
                    target = f'{top}/{"/".join([up] * 6)}{end}'
                    connection.sendall(f'GET {target} HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n'.encode())
                    answer = b''
                    while got := connection.recv(65536):
                        answer += got
                seen.append(int(answer[9:12]))
                leaks += b'root:' in answer
    return counted(seen) + f'; {leaks} answers with the file', set(seen) <= {400, 404, 405} and leaks == 0


def foreign(port):
    seen = []
    for host in ('evil.example', 'evil.example:80', '127.0.0.1.evil.example', 'localhost.evil.example', '10.0.0.1', '[::2]'):
        for path in ('/', '/healthz', '/v1/indexes', '/v1/embeddings'):
            seen.append(raw(port, f'GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n'.encode())[0])
    for origin in ('http://evil.example', 'null', 'https://127.0.0.1:8443', 'http://localhost:1', 'http://127.0.0.1.evil.example',
                   ''):
        for method, path in (('GET', '/v1/indexes'), ('POST', '/v1/search'), ('OPTIONS', '/v1/search'), ('POST', '/v1/scenes')):
            seen.append(raw(port, f'{method} {path} HTTP/1.1\r\n{HEAD}Origin: {origin}\r\nContent-Length: 0\r\n'
                                  'Connection: close\r\n\r\n'.encode())[0])
    return counted(seen), set(seen) == {403}


def addresses(port):
    """Pictures by address: of a listener of this program, which hears of every attempt."""
    with socket.socket() as trap:
        trap.bind(('127.0.0.1', 0))
        trap.listen()
        connection, seen = connect(port), []
        ours = f'127.0.0.1:{trap.getsockname()[1]}'
        for url in (f'http://{ours}/a.jpg', f'https://{ours}/a.jpg', f'HTTP://{ours}/a.jpg', f'ftp://{ours}/a.jpg',
                    'file:///etc/passwd', f'//{ours}/a.jpg', f's3://{ours}/a.jpg', 'gopher://x/a'):
            entry = {'type': 'image_url', 'image_url': {'url': url}}
            for path, value in (
                    ('/v1/embeddings', {'input': url, 'modality': 'image'}), ('/v1/embeddings', {'input': [{'image': url}]}),
                    ('/v1/embeddings', {'input': [entry]}),
                    ('/v1/embeddings', {'messages': [{'role': 'user', 'content': [entry]}]}),
                    ('/v1/search', {'image': url}), ('/knn-service', {'image_url': url, 'modality': 'image'}),
                    ('/knn-service', {'image': url, 'modality': 'image'}), ('/vectorize', {'images': [url]})):
                seen.append(ask_json(connection, path, value)[0])
        trap.setblocking(False)
        try:
            trap.accept()
            came = 1
        except BlockingIOError:
            came = 0
    return counted(seen) + f'; {came} came', set(seen) == {400} and came == 0


def every_picture_route(connection, pictures):
    for picture in pictures:
        for _, request in picture_requests(picture):
            ask(connection, *request)


def pictures(port, files, pid):
    connection, seen, differ, most, good = connect(port), collections.Counter(), [], 0, 0
    for number, file in enumerate(files):
        data = file.read_bytes()
        statuses = {}
        for name, request in picture_requests(data):
            status = ask(connection, *request)[0]
            while status == 429:
                time.sleep(0.2)
                status = ask(connection, *request)[0]
            statuses[name] = status
            seen[status] += 1
        good += statuses['scenes'] == 201
        if len({status // 100 for status in statuses.values()}) > 1:
            differ.append(f'{file.name} {statuses}')
        if number % 20 == 0:
            most = max(most, mib_of(pid))
            if ask(connection, 'GET', '/readyz')[0] != 200:
                differ.append(f'after {file.name}: not ready')
    text = ', '.join(f'{count} x {status}' for status, count in sorted(seen.items()))
    text += f'; {good} are pictures; most memory {most:.0f} MiB' + ''.join(f'; {one}' for one in differ[:3])
    # 400: an empty file is no picture in a request. 413: a file over --max-body.
    return text, not differ and set(seen) <= {200, 201, 400, 413, 422}


def bombs(port, pid):
    sizes = [(60_000, 60_000), (2**31 - 1, 2**31 - 1), (2**31 - 1, 1), (1, 2**31 - 1), (0, 5), (20_000, 20_000)]
    all_of = [png(width, height, zlib.compress(bytes(1 << 20))) for width, height in sizes]
    packer = zlib.compressobj(9)
    row = b'\0' + bytes(3 * 20_000)
    all_of.append(png(20_000, 20_000, b''.join(packer.compress(row) for _ in range(20_000)) + packer.flush()))
    largest = png(7_000, 7_000, zlib.compress((b'\0' + bytes(21_000)) * 7_000, 9))  # 49 megapixels are allowed
    all_of += [largest] * 5
    most, seen = mib_of(pid), []

    def send(picture):
        connection = connect(port, timeout=120)
        status, _ = ask(connection, 'POST', '/v1/scenes', picture, 'image/png')
        connection.close()
        return status
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        tasks = [pool.submit(send, picture) for _ in range(10) for picture in all_of]
        while not all(task.done() for task in tasks):
            most = max(most, mib_of(pid))
            time.sleep(0.02)
        seen = [task.result() for task in tasks]
    return f'{counted(seen)}; most memory {most:.0f} MiB', set(seen) <= {201, 422}


def not_reading(port, pid, count=1000, seconds=20):
    """Each asks for a picture of 1.5 MB and takes nothing of it."""
    before = most = mib_of(pid)
    data = f'GET /v1/indexes/photos/images/87/picture?size=1600 HTTP/1.1\r\n{HEAD}\r\n'.encode()
    sockets, end = [], time.monotonic() + seconds
    for number in range(count):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.bind((source(number), 0))
        connection.connect(('127.0.0.1', port))
        connection.sendall(data)
        sockets.append(connection)
        time.sleep(0.01)
        most = max(most, mib_of(pid))
    while time.monotonic() < end:
        most = max(most, mib_of(pid))
        time.sleep(0.05)
    for connection in sockets:
        connection.close()
    return f'{most - before:+.0f} MiB at most', most - before <= 200


def damaged(rng, data):
    data = bytearray(data)
    for _ in range(rng.randint(1, 20)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data[:rng.randrange(len(data) + 1)] if rng.random() < 0.3 else data)


JSON_PARTS = ['"input"', ':', '[', ']', '{', '}', '"text"', ',', '1e308', '-0', 'null', '"\\ud800"', '"image"', '"k"']
ROUTES = [('POST', path, kind) for path in ('/v1/embeddings', '/v1/search', '/knn-service', '/vectorize', '/metadata',
                                            '/v1/scenes/0/regions') for kind in ('application/json', 'image/png')]
ROUTES += [('POST', '/v1/scenes', 'image/jpeg'), ('POST', '/predict', 'multipart/form-data; boundary=edge'),
           ('POST', '/v1/indexes/scratch/images', 'image/png'), ('DELETE', '/v1/indexes/scratch/images/x', 'image/png')]


def random_request(rng, samples):
    """-> (bytes, whether its sender closes its end after them, because the server would wait for more)"""
    size, kind = int(2 ** rng.uniform(0, 22)), rng.randrange(4)
    if kind == 0:  # no HTTP at all
        return rng.randbytes(min(size, 1 << 18)), True
    method, path, content = rng.choice(ROUTES)
    if kind == 1:
        body = rng.randbytes(size)
    elif kind == 2:  # a request that was good
        _, (method, path, body, content) = rng.choice(picture_requests(rng.choice(samples)))
        body = damaged(rng, body.encode() if isinstance(body, str) else body)
    else:
        body = ''.join(rng.choices(JSON_PARTS, k=min(size, 20_000))).encode()
    head = (f'{method} {path} HTTP/1.1\r\nConnection: close\r\n{HEAD}Content-Type: {content}\r\n'
            f'Content-Length: {len(body)}\r\n\r\n').encode()
    if rng.random() < 0.1:
        return damaged(rng, head) + body, True
    return head + body, False


def random_requests(port, megabytes, samples):
    def client(number):
        rng, seen, left = random.Random(number), collections.Counter(), megabytes * 10**6 / 8
        while left > 0:
            data, no_more = random_request(rng, samples)
            status, sent = raw(port, data, source(number), no_more=no_more)
            seen[status] += 1
            left -= sent
        return seen
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        seen = sum(pool.map(client, range(8)), collections.Counter())
    text = ', '.join(f'{count} x {status}' for status, count in sorted(seen.items()))
    return f'{text} (0: closed without an answer)', not any(status >= 500 and status != 503 for status in seen)


def mixed_requests(port, samples, count, seed=0):
    """Honest requests of every kind, a few wrong ones among them, by four clients. -> {status: how many}"""
    def client(number):
        rng, seen, connection = random.Random(f'{seed} {number}'), collections.Counter(), connect(port)
        scene = None
        for _ in range(count // 4):
            text, picture = f'a {rng.choice(["red", "small"])} car {rng.randrange(10**6)}', rng.choice(samples)
            kind = rng.randrange(14)
            if kind == 0:
                request = rng.choice(picture_requests(picture))[1]
                status, _ = ask(connection, *request)
            elif kind < 4:
                status, _ = ask_json(connection, '/v1/embeddings', {'input': [text] * rng.choice([1, 1, 8, 64])})
            elif kind < 7:
                status, _ = ask_json(connection, '/v1/search', {'text': text, 'k': rng.choice([1, 10, 100])})
            elif kind == 7:
                body, content = form([('entries', json.dumps({'clip': {'textual': {'modelName': 'x'}}}).encode()),
                                      ('text', text.encode())])
                status, _ = ask(connection, 'POST', '/predict', body, content)
            elif kind == 8 or scene is None:
                status, answer = ask(connection, 'POST', '/v1/scenes', picture, 'image/jpeg')
                scene = json.loads(answer)['id'] if status == 201 else None
            elif kind == 9:
                boxes = [{'box': [0.1, 0.1, rng.uniform(0.2, 1), rng.uniform(0.2, 1)]} for _ in range(rng.choice([1, 5, 100]))]
                status, _ = ask_json(connection, f'/v1/scenes/{scene}/regions', {'prompts': boxes})
            elif kind == 10:
                status, _ = ask_json(connection, f'/v1/scenes/{scene}/classify', {'labels': ['car', text]})
            elif kind == 11:
                status, _ = ask(connection, 'GET', f'/v1/indexes/photos/images/{rng.randrange(1, 87)}/picture?size=256')
            elif kind == 12:
                status, _ = ask(connection, 'GET', rng.choice(['/metrics', '/healthz', '/', '/v1/indexes', '/no-such']))
            else:
                status, _ = ask_json(connection, f'/v1/scenes/{scene}/ground', {'texts': [text]})
            seen[status] += 1
        return seen
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return dict(sum(pool.map(client, range(4)), collections.Counter()))
