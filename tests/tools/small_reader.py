"""A multimodal language model of a few steps, for the tests that ask other programs what it answers."""
import json
import os
import pathlib
import subprocess
import sys
import tarfile


def go_on_in(variable):
    """The test itself in the Python that an environment variable names, where it names another one."""
    python = os.environ.get(variable)
    if python and os.path.abspath(python) != os.path.abspath(sys.executable):
        os.execv(python, [python, *sys.argv])


def run(binary, *command):
    done = subprocess.run([binary, *map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f'{command}: {done.stderr}')
    return done.stdout


def small_reader(binary, folder, class_token=True):
    """A tower and a reader of a few steps -> the reader's model folder and its dialogues."""
    run(binary, 'data', 'scenes', '--count', 60, '--size', 96, '--names', 12, '--seed', 1, '--out', folder / 'scenes')
    run(binary, 'data', 'dialogues', '--data', folder / 'scenes', '--seed', 1, '--out', folder / 'talking')
    architecture = 'ViT-XXS-16-96'
    if not class_token:
        run(binary, 'train', '--data', folder / 'scenes', '--model', architecture, '--steps', 1, '--batch-size', 8,
            '--report-pictures', 0, '--out', folder / 'with_token')
        config = json.loads((folder / 'with_token/model/open_clip_config.json').read_text())['model_cfg']
        config['vision_cfg'].update({'class_token': False, 'pool_type': 'avg'})
        architecture = folder / 'without_token.json'
        architecture.write_text(json.dumps(config))
    run(binary, 'train', '--data', folder / 'scenes', '--model', architecture, '--steps', 2, '--batch-size', 16,
        '--report-pictures', 0, '--out', folder / 'tower')
    run(binary, 'mllm', 'train', '--vision', folder / 'tower/model', '--data', folder / 'talking', '--region-source', 'none',
        '--lm', '2x64', '--steps', 40, '--batch-size', 16, '--report-pictures', 0, '--out', folder / 'reader')
    return folder / 'reader/model', folder / 'talking'


def pictures(shards):
    """Encoded pictures by "path of the shard#key"."""
    found = {}
    for shard in sorted(pathlib.Path(shards).glob('*.tar')):
        with tarfile.open(shard) as tar:
            for member in tar:
                key, _, extension = member.name.partition('.')
                if extension in ('jpg', 'png', 'webp'):
                    found[f'{shard}#{key}'] = (tar.extractfile(member).read(), extension)
    return found


def answers_of(binary, model, dialogues, folder, count, max_ids=24):
    """The first `count` questions with our answers: sample, ask, prompt_ids, ids, ended."""
    answers = folder / 'answers.jsonl'
    run(binary, 'mllm', 'eval', model, '--data', dialogues, '--max-ids', max_ids, '--answers', answers)
    return [json.loads(line) for line in answers.read_text().splitlines()][:count]


def hidden_tokens(binary, model, stored, names, layer, folder):
    """Patch tokens of these pictures at a layer, as `embed` gives them -> [n, N, D]."""
    from safetensors import safe_open
    files = []
    for i, name in enumerate(names):
        files.append(folder / f'picture{i}.{stored[name][1]}')
        files[-1].write_bytes(stored[name][0])
    out = folder / 'features.safetensors'
    run(binary, 'embed', '--model', model / 'vision', '--images', *files, '--layer', layer, '--tokens', 'patch', '--out', out)
    with safe_open(out, 'np') as file:
        return file.get_tensor('image_tokens')
