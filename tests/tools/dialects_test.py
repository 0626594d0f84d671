#!/usr/bin/env python3
"""Other people's clients against `opencloc serve`: dialects_test.py BINARY

clip-retrieval's ClipClient and OpenAI's client are the packages themselves. Weaviate's module and immich's server are no
Python: their requests are sent byte for byte as Go's and Node's HTTP clients write them. Vectors are those of `opencloc
embed` to 1e-6.

Needs the packages for a Python named by OPENCLOC_CLIENTS_PYTHON (default: this one):
    python3 -m venv V && V/bin/pip install requests openai numpy && V/bin/pip install --no-deps clip-retrieval
    export OPENCLOC_CLIENTS_PYTHON=$PWD/V/bin/python
Without them it says so and is skipped.
"""
import base64
import importlib.util
import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77
BINARY = ''
TEXTS = ['a red car', 'two dogs in the street', 'ein Haus: "ü"']
NEAR = 1e-6


def run(*command):
    result = subprocess.run([BINARY, *map(str, command)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, f'{command}: {result.stderr}'
    return result.stdout


def unit(row):
    size = sum(x * x for x in row) ** 0.5
    return [x / size for x in row]


def read_rows(path, name):
    """Rows of an F32 tensor of a safetensors file, of unit length."""
    data = pathlib.Path(path).read_bytes()
    size = struct.unpack('<Q', data[:8])[0]
    entry = json.loads(data[8:8 + size])[name]
    begin, end = entry['data_offsets']
    values = struct.unpack(f'<{(end - begin) // 4}f', data[8 + size + begin:8 + size + end])
    rows, width = entry['shape']
    return [unit(values[width * i:width * (i + 1)]) for i in range(rows)]


def clip_client():
    """clip_retrieval/clip_client.py without the package around it, which wants Flask, faiss and torch."""
    package = importlib.util.find_spec('clip_retrieval')
    file = pathlib.Path(package.submodule_search_locations[0], 'clip_client.py')
    spec = importlib.util.spec_from_file_location('clip_client', file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ClipClient


def go_json(value):
    """As Go's encoding/json writes it: no spaces, and <, > and & escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(',', ':'))
    return text.replace('<', '\\u003c').replace('>', '\\u003e').replace('&', '\\u0026').encode()


class Dialects(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix='opencloc-dialects-'))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        scenes, photos, cls.model = cls.folder / 'scenes', cls.folder / 'photos', cls.folder / 'run/model'
        run('data', 'scenes', '--count', 24, '--size', 96, '--names', 12, '--seed', 5, '--out', scenes)
        run('train', '--data', scenes, '--model', 'ViT-Test', '--steps', 2, '--batch-size', 6, '--threads', 1, '--workers', 1,
            '--report-pictures', 0, '--seed', 3, '--out', cls.folder / 'run')
        photos.mkdir()
        with tarfile.open(scenes / '00000.tar') as tar:
            for member in tar.getmembers():
                if member.name.endswith('.jpg'):
                    (photos / member.name).write_bytes(tar.extractfile(member).read())
        run('index', 'add', cls.folder / 'photos.idx', '--model', cls.model, '--images', photos)
        cls.pictures = sorted(photos.iterdir())
        (cls.folder / 'texts.txt').write_text('\n'.join(TEXTS) + '\n', encoding='utf-8')
        out = cls.folder / 'out.safetensors'
        run('embed', '--model', cls.model, '--images', *cls.pictures, '--texts', cls.folder / 'texts.txt', '--device', 'cpu', '--out',
            out)
        cls.texts, cls.images = read_rows(out, 'text_embeds'), read_rows(out, 'image_embeds')
        server = subprocess.Popen([BINARY, 'serve', '--device', 'cpu', '--port', '0', '--index',
                                   f'photos={cls.folder}/photos.idx'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  text=True)

        def stop():
            server.terminate()
            server.wait()
            server.stdout.close()
        cls.addClassCleanup(stop)
        cls.address = server.stdout.readline().strip()

    def near(self, given, wanted):
        self.assertEqual(len(given), len(wanted))
        self.assertLessEqual(max(abs(a - b) for a, b in zip(given, wanted)), NEAR)

    def exchange(self, request):
        """Sends the bytes of a request as they are. -> (status, body)"""
        host, port = self.address.rsplit('/', 1)[1].split(':')
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(request.replace(b'HOST', f'{host}:{port}'.encode()))
            answer = b''
            while b'\r\n\r\n' not in answer:
                answer += connection.recv(65536)
            head, body = answer.split(b'\r\n\r\n', 1)
            length = [line for line in head.lower().split(b'\r\n') if line.startswith(b'content-length:')]
            while length and len(body) < int(length[0].split(b':')[1]):
                body += connection.recv(65536)
        return int(head[9:12]), body

    # clip-retrieval ------------------------------------------------------------------------------------------------

    def test_clip_retrieval(self):
        client = clip_client()(url=self.address + '/knn-service', indice_name='photos', num_images=5, deduplicate=False)
        by_text = client.query(text=TEXTS[0])
        self.assertEqual(len(by_text), 5)
        for hit in by_text:
            self.assertLessEqual({'id', 'similarity', 'url', 'caption'}, hit.keys())
        by_vector = client.query(embedding_input=self.texts[0])
        self.assertEqual([hit['id'] for hit in by_text], [hit['id'] for hit in by_vector])
        self.near([hit['similarity'] for hit in by_text], [hit['similarity'] for hit in by_vector])
        # Exact cosines, but for the 16 bits in which the index keeps a vector.
        best = sorted((sum(a * b for a, b in zip(self.texts[0], row)) for row in self.images), reverse=True)[:5]
        for hit, cosine in zip(by_text, best):
            self.assertAlmostEqual(hit['similarity'], cosine, delta=1e-3)
        by_picture = client.query(image=str(self.pictures[3]))
        self.assertAlmostEqual(by_picture[0]['similarity'], 1, delta=1e-3)
        self.assertEqual(by_picture[0]['image_path'], self.pictures[3].name)

    def test_clip_retrieval_fetches_nothing(self):
        client = clip_client()(url=self.address + '/knn-service', indice_name='photos')
        self.assertIn('error', client.query(image='http://127.0.0.1:9/a.jpg'))

    def test_openai(self):
        result = subprocess.run([sys.executable, ROOT / 'tests/serve/openai_client.py', '--binary', BINARY, '--model',
                                 self.model, '--picture', self.pictures[0]], capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    # Weaviate, modules/multi2vec-clip/clients: http.Client with bytes.NewReader, so no Content-Type ------------------

    def weaviate(self, value):
        body = go_json(value)
        status, answer = self.exchange(b'POST /vectorize HTTP/1.1\r\nHost: HOST\r\nUser-Agent: Go-http-client/1.1\r\n'
                                       + f'Content-Length: {len(body)}\r\nAccept-Encoding: gzip\r\n\r\n'.encode() + body)
        return status, json.loads(answer)

    def test_weaviate_vectorizes(self):
        pictures = [base64.b64encode(path.read_bytes()).decode() for path in self.pictures[:2]]
        status, both = self.weaviate({'texts': TEXTS, 'images': pictures})
        self.assertEqual(status, 200)
        for given, wanted in zip(both['textVectors'], self.texts):
            self.near(given, wanted)
        for given, wanted in zip(both['imageVectors'], self.images):
            self.near(given, wanted)
        # A nil slice of Go.
        status, texts = self.weaviate({'texts': TEXTS[:1], 'images': None})
        self.assertEqual((status, len(texts['textVectors']), texts['imageVectors']), (200, 1, []))
        status, images = self.weaviate({'texts': None, 'images': pictures[:1]})
        self.assertEqual((status, images['textVectors'], len(images['imageVectors'])), (200, [], 1))

    def test_weaviate_hears_of_errors(self):
        status, answer = self.weaviate({'texts': None, 'images': ['AAAA']})
        self.assertGreater(status, 399)
        self.assertIsInstance(answer['error'], str)  # its field is a string

    def test_weaviate_starts(self):
        head = b' HTTP/1.1\r\nHost: HOST\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n'
        self.assertEqual(self.exchange(b'GET /.well-known/ready' + head)[0], 204)
        status, meta = self.exchange(b'GET /meta' + head)
        self.assertEqual(status, 200)
        self.assertIsInstance(json.loads(meta), dict)

    # immich, machine-learning.repository.ts: Node's fetch with a FormData -------------------------------------------

    def immich(self, entries, name, value):
        edge = '----formdata-undici-012345678901'
        file = '; filename="blob"\r\nContent-Type: application/octet-stream' if name == 'image' else ''
        body = (f'--{edge}\r\nContent-Disposition: form-data; name="entries"\r\n\r\n'
                + json.dumps(entries, separators=(',', ':')) + f'\r\n--{edge}\r\nContent-Disposition: form-data; '
                f'name="{name}"{file}\r\n\r\n').encode() + value + f'\r\n--{edge}--\r\n'.encode()
        status, answer = self.exchange(
            b'POST /predict HTTP/1.1\r\nhost: HOST\r\nconnection: keep-alive\r\n'
            + f'content-type: multipart/form-data; boundary={edge}\r\n'.encode()
            + b'accept: */*\r\naccept-language: *\r\nsec-fetch-mode: cors\r\nuser-agent: node\r\n'
            + f'accept-encoding: gzip, deflate\r\ncontent-length: {len(body)}\r\n\r\n'.encode() + body)
        return status, json.loads(answer)

    def test_immich(self):
        status, answer = self.immich({'clip': {'visual': {'modelName': 'ViT-B-32__openai'}}}, 'image',
                                     self.pictures[0].read_bytes())
        self.assertEqual((status, answer['imageWidth'], answer['imageHeight']), (200, 96, 96))
        self.assertIsInstance(answer['clip'], str)  # a list in a string
        self.near(json.loads(answer['clip']), self.images[0])
        for options in ({}, {'language': 'de'}):
            status, answer = self.immich({'clip': {'textual': {'modelName': 'ViT-B-32__openai', 'options': options}}},
                                         'text', TEXTS[2].encode())
            self.assertEqual(status, 200)
            self.near(json.loads(answer['clip']), self.texts[2])

    def test_immich_refusals(self):
        faces = {'facial-recognition': {'detection': {'modelName': 'buffalo_l', 'options': {'minScore': 0.7}},
                                        'recognition': {'modelName': 'buffalo_l'}}}
        self.assertEqual(self.immich(faces, 'image', self.pictures[0].read_bytes())[0], 422)
        self.assertEqual(self.exchange(b'GET /ping HTTP/1.1\r\nhost: HOST\r\n\r\n'), (200, b'pong'))


def skip(reason):
    """Says so, also to tools/tally_tests."""
    print(f'dialects_test: skipped: {reason}')
    results = os.environ.get('GTEST_OUTPUT', '')
    if results.startswith('xml:') and results.endswith('/'):
        pathlib.Path(results[4:], 'dialects_test.xml').write_text(
            f'<testcase name="all" result="skipped" classname="dialects">\n<skipped message="{reason}"/>\n</testcase>\n')
    sys.exit(SKIPPED)


if __name__ == '__main__':
    python = os.environ.get('OPENCLOC_CLIENTS_PYTHON')
    if python and os.path.abspath(python) != os.path.abspath(sys.executable):
        os.execv(python, [python, *sys.argv])
    for needed in ('requests', 'openai', 'numpy', 'clip_retrieval'):
        if importlib.util.find_spec(needed) is None:
            skip(f'no {needed} here (pip install requests openai numpy; pip install --no-deps clip-retrieval)')
    BINARY = os.path.abspath(sys.argv.pop(1))
    unittest.main()
