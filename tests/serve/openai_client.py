#!/usr/bin/env python3
"""OpenAI's own Python client against `opencloc serve`: its vectors are those of `opencloc embed`, to 1e-6.

    python3 -m venv VENV && VENV/bin/pip install openai numpy
    VENV/bin/python tests/serve/openai_client.py --binary build/release/opencloc --model DIR --picture FILE

Starts the server itself, on a free port. Prints a line per check and exits 1 when one fails.
"""
import argparse
import base64
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

import numpy
import openai

TEXTS = ['a red car', 'two dogs in the street', 'ein Haus']
BOX = [0.1, 0.2, 0.6, 0.8]


def read_safetensors(path):
    data = pathlib.Path(path).read_bytes()
    size = struct.unpack('<Q', data[:8])[0]
    head = json.loads(data[8:8 + size])
    body = data[8 + size:]
    return {name: numpy.frombuffer(body[slice(*entry['data_offsets'])], '<f4').reshape(entry['shape'])
            for name, entry in head.items() if name != '__metadata__' and entry['dtype'] == 'F32'}


def unit(rows):
    rows = rows.astype(numpy.float64)
    return rows / numpy.linalg.norm(rows, axis=-1, keepdims=True)


def embed(options, folder):
    """What the command line gives: (texts, pictures, regions), of unit length."""
    (folder / 'texts.txt').write_text('\n'.join(TEXTS) + '\n')
    (folder / 'boxes.jsonl').write_text(json.dumps({'image': str(options.picture), 'box': BOX}) + '\n')
    subprocess.run([options.binary, 'embed', '--model', options.model, '--images', options.picture, '--texts',
                    folder / 'texts.txt', '--boxes', folder / 'boxes.jsonl', '--device', 'cpu', '--out',
                    folder / 'out.safetensors'], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    tensors = read_safetensors(folder / 'out.safetensors')
    return [unit(tensors[name]) for name in ('text_embeds', 'image_embeds', 'region_embeds')]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--binary', required=True)
    parser.add_argument('--model', required=True)
    parser.add_argument('--picture', required=True, type=pathlib.Path)
    options = parser.parse_args()
    options.picture = options.picture.resolve()
    faults = 0

    def check(name, given, wanted):
        nonlocal faults
        difference = float(numpy.max(numpy.abs(numpy.asarray(given) - wanted)))
        good = difference <= 1e-6
        faults += not good
        print(f'{"ok  " if good else "FAIL"} {name}: largest difference {difference:.2g}')

    def check_refusal(name, wanted, ask):
        nonlocal faults
        try:
            ask()
            said = 'no error'
        except openai.APIStatusError as error:
            said = f'{error.status_code}'
        faults += said != wanted
        print(f'{"ok  " if said == wanted else "FAIL"} {name}: {said}')

    with tempfile.TemporaryDirectory() as folder:
        texts, pictures, regions = embed(options, pathlib.Path(folder))
    server = subprocess.Popen([options.binary, 'serve', '--model', options.model, '--device', 'cpu', '--port', '0'],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        client = openai.OpenAI(base_url=server.stdout.readline().strip() + '/v1', api_key='none', max_retries=0)

        def vectors(**ask):
            return [item.embedding for item in client.embeddings.create(model='any', **ask).data]

        encoded = base64.b64encode(options.picture.read_bytes()).decode()
        uri = 'data:image/jpeg;base64,' + encoded
        check('texts, base64 as the client asks by itself', vectors(input=TEXTS), texts)
        check('texts, float', vectors(input=TEXTS, encoding_format='float'), texts)
        check('one text', vectors(input=TEXTS[1]), texts[1:2])
        check('a picture as a data: URI', vectors(input=uri), pictures)
        check('a box', vectors(input='', extra_body={'input': [{'image': encoded, 'box': BOX}]}), regions)
        check('texts and pictures', vectors(input=[TEXTS[0], uri, TEXTS[2]]),
              numpy.stack([texts[0], pictures[0], texts[2]]))
        check_refusal('an address of a picture', '400', lambda: vectors(input='https://example.org/a.jpg'))
        check_refusal('a broken picture', '422', lambda: vectors(input='data:image/png;base64,AAAA'))
        check_refusal('other dimensions', '400', lambda: vectors(input='a', dimensions=7))
        names = [model.id for model in client.models.list().data]
        print('models:', ', '.join(names), '· client', openai.__version__)
        faults += len(names) != 1
    finally:
        server.terminate()
        code = server.wait()
    print(f'{"ok  " if code == 0 else "FAIL"} SIGTERM: exit code {code}')
    return 1 if faults or code else 0


if __name__ == '__main__':
    sys.exit(main())
