"""`convert --to onnx` of models on disk, from a picture's file to scores of regions, in ONNX Runtime and OpenVINO."""

import json
import pathlib
import subprocess
import sys

from common import Row, largest, unit, version

ROOT = pathlib.Path(__file__).resolve().parents[3]


def checks(work):
    import numpy
    import onnx
    import onnxruntime
    import openvino
    from PIL import Image

    draw = numpy.random.default_rng(2)
    square = work.folder / 'square.png'
    Image.fromarray(draw.integers(0, 255, (96, 96, 3), dtype='uint8')).save(square)
    boxes = numpy.sort(draw.uniform(0, 1, (17, 2, 2)), axis=1).reshape(17, 4).astype('float32')
    lines = [json.dumps({'image': str(square), 'box': box.tolist()}) for box in boxes]
    (work.folder / 'boxes.jsonl').write_text('\n'.join(lines) + '\n')
    (work.folder / 'texts.txt').write_text('a red car\ntwo dogs\n')
    for pool in ('prompt', 'all'):
        model, graphs = work.trained(f'pool_{pool}', '--pool', pool), work.folder / f'graphs {pool}'
        work.run('convert', model, graphs, '--to', 'onnx')
        ours = work.embed(
            model,
            '--images',
            square,
            '--boxes',
            work.folder / 'boxes.jsonl',
            '--texts',
            work.folder / 'texts.txt',
            '--save-inputs',
        )
        for path in graphs.glob('*.onnx'):
            onnx.checker.check_model(str(path), full_check=True)

        def by_onnx_runtime(name, feed, graphs=graphs):
            session = onnxruntime.InferenceSession(str(graphs / name), providers=['CPUExecutionProvider'])
            return dict(zip([port.name for port in session.get_outputs()], session.run(None, feed)))

        def by_openvino(name, feed, graphs=graphs):
            compiled = openvino.Core().compile_model(str(graphs / name), 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
            found = compiled(feed)
            return {port.any_name: found[port] for port in compiled.outputs}

        for program, run in ((version('onnxruntime'), by_onnx_runtime), (version('openvino'), by_openvino)):
            seen = run('visual.onnx', {'pixel_values': ours['pixel_values'][:1]})
            texts = run('textual.onnx', {'input_ids': ours['input_ids']})['text_embeds']
            regions = run('prompter.onnx', {'image_tokens': seen['image_tokens'], 'boxes': boxes[None]})['region_embeds'][0]
            for what, found, wanted in (
                ('visual', seen['image_embeds'], ours['image_embeds'][:1]),
                ('textual', texts, ours['text_embeds']),
                ('prompter', regions, ours['region_embeds']),
            ):
                yield Row(program, f'{what}.onnx, pool {pool}, opset 17', 'ours -> theirs', largest(unit(found), wanted))


def checks_of_example(work):
    """The guide's script says what `embed` says."""
    model, graphs, picture = work.trained('native'), work.folder / 'example graphs', work.pictures()[1]
    work.run('convert', model, graphs, '--to', 'onnx')
    box, texts = [0.1, 0.2, 0.6, 0.9], ['two dogs', 'a red car']
    (work.folder / 'boxes.jsonl').write_text(json.dumps({'image': str(picture), 'box': box}) + '\n')
    (work.folder / 'texts.txt').write_text('\n'.join(texts) + '\n')
    ours = work.embed(model, '--boxes', work.folder / 'boxes.jsonl', '--texts', work.folder / 'texts.txt')
    wanted = (ours['region_embeds'] @ ours['text_embeds'].T)[0].tolist()
    done = subprocess.run(
        [sys.executable, ROOT / 'examples/python/onnx_regions.py', graphs, picture, *map(str, box), *texts],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = dict((line.split(maxsplit=1)[1].strip("'"), float(line.split()[0])) for line in done.stdout.splitlines())
    yield Row(
        version('onnxruntime'),
        'examples/python/onnx_regions.py: scores',
        'ours -> theirs',
        largest([said[text] for text in texts], wanted),
        tolerance=1e-3,
        note='four digits are printed',
    )
