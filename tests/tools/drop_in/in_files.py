"""Formats of files in their own readers: safetensors, GGUF, WebDataset, img2dataset, COCO and LVIS annotations."""

import contextlib
import functools
import http.server
import io
import json
import tarfile
import threading

from common import Row, largest, same_set, version

BITS = {'f32': 0.0, 'f16': 1e-3, 'bf16': 1e-2, 'q8_0': 1e-2}  # what a type may lose of a tensor's largest value


def safetensors_files(work):
    import numpy
    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    program, native = version('safetensors'), work.trained('native')
    work.run('convert', native, work.folder / 'copy', '--to', 'opencloc', '--dtype', 'bf16')
    ours = load_file(work.folder / 'copy/open_clip_model.safetensors')
    with safe_open(work.folder / 'copy/open_clip_model.safetensors', 'pt') as file:
        format_told = file.metadata()
    wanted = load_file(native / 'open_clip_model.safetensors')
    worst = max(0 if torch.equal(ours[name], values.bfloat16()) else 1 for name, values in wanted.items())
    yield Row(program, f'a bf16 model, metadata {format_told}', 'ours -> theirs', worst, 0, keys=same_set(ours, wanted))
    inputs = {'pixel_values': torch.randn(2, 3, 96, 96).half(), 'input_ids': torch.randint(3, 200, (2, 16))}
    save_file(inputs, work.folder / 'half.safetensors')
    halves = work.embed(native, '--tensors', work.folder / 'half.safetensors')['image_embeds']
    save_file({**inputs, 'pixel_values': inputs['pixel_values'].float()}, work.folder / 'float.safetensors')
    floats = work.embed(native, '--tensors', work.folder / 'float.safetensors')['image_embeds']
    yield Row(
        program, 'F16 and I64 tensors of its save_file', 'theirs -> ours', 0.0 if numpy.array_equal(halves, floats) else 1.0, 0
    )


def gguf_files(work):
    import gguf
    import numpy
    from safetensors.numpy import load_file

    model = work.clip_words()
    work.run('convert', model, work.folder / 'hf for gguf', '--to', 'hf')
    wanted = load_file(work.folder / 'hf for gguf/model.safetensors')
    places = {
        'v.patch_embd.weight': 'vision_model.embeddings.patch_embedding.weight',
        't.token_embd.weight': 'text_model.embeddings.token_embedding.weight',
        'v.blk.1.ffn_down.weight': 'vision_model.encoder.layers.1.mlp.fc1.weight',
        'v.blk.0.attn_q.bias': 'vision_model.encoder.layers.0.self_attn.q_proj.bias',
        'visual_projection.weight': 'visual_projection.weight',
    }
    for dtype, allowed in BITS.items():
        path = work.folder / f'{dtype}.gguf'
        work.run('convert', model, path, '--to', 'gguf', '--dtype', dtype)
        reader = gguf.GGUFReader(path)
        tensors = {tensor.name: tensor for tensor in reader.tensors}
        worst = 0.0
        for name, other in places.items():
            tensor = tensors[name]
            values = (
                tensor.data
                if tensor.tensor_type == gguf.GGMLQuantizationType.F32
                else gguf.dequantize(tensor.data, tensor.tensor_type)
            )
            worst = max(worst, largest(numpy.asarray(values).reshape(wanted[other].shape), wanted[other]))
        told = reader.get_field('general.architecture').contents()
        yield Row(
            version('gguf'),
            f'{dtype}: {len(tensors)} tensors, architecture {told}',
            'ours -> theirs',
            worst,
            allowed,
            keys='none' if len(tensors) == len(wanted) - 1 else f'{len(tensors)} tensors, not {len(wanted) - 1}',
        )
    # Their writer copies one of ours, key by key.
    reader = gguf.GGUFReader(work.folder / 'f32.gguf')
    writer = gguf.GGUFWriter(work.folder / 'theirs.gguf', reader.get_field('general.architecture').contents())
    for name, field in reader.fields.items():
        if name.startswith('GGUF.') or name == 'general.architecture':
            continue
        kinds = field.types
        writer.add_key_value(name, field.contents(), kinds[0], kinds[-1] if kinds[0] == gguf.GGUFValueType.ARRAY else None)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    ours, theirs = work.embed_all(model), work.embed_all(work.folder / 'theirs.gguf')
    yield Row(
        version('gguf'),
        'a file of its writer: embeddings',
        'theirs -> ours',
        max(largest(theirs[name], ours[name]) for name in ('image_embeds', 'text_embeds')),
    )


def members(folder):
    """{key: {extension: bytes}} of shards, by Python's tarfile."""
    found = {}
    for shard in sorted(folder.glob('*.tar')):
        with tarfile.open(shard) as tar:
            for member in tar:
                key, _, extension = member.name.partition('.')
                if member.isfile():
                    found.setdefault(key, {})[extension] = tar.extractfile(member).read()
    return found


def webdataset_shards(work):
    import webdataset

    program, wanted = version('webdataset'), members(work.scenes())
    pattern = [str(path) for path in sorted(work.scenes().glob('*.tar'))]
    theirs = {
        sample['__key__']: {name: value for name, value in sample.items() if not name.startswith('__')}
        for sample in webdataset.WebDataset(pattern, shardshuffle=False)
    }
    different = sum(theirs.get(key) != files for key, files in wanted.items()) + len(set(theirs) - set(wanted))
    yield Row(program, f'{len(wanted)} scenes, member by member', 'ours -> theirs', float(different), 0)
    (work.folder / 'written').mkdir()
    with webdataset.ShardWriter(str(work.folder / 'written/%05d.tar'), maxcount=64, verbose=0) as sink:
        for key, files in wanted.items():
            sink.write({'__key__': key, **files})
    ours, copy = (
        json.loads(work.run('data', 'stats', '--data', folder, '--json')) for folder in (work.scenes(), work.folder / 'written')
    )
    same = all(ours[name] == copy[name] for name in ours if name not in ('shards', 'bytes', 'sources', 'data', 'files'))
    yield Row(program, 'shards of its ShardWriter: data stats', 'theirs -> ours', 0.0 if same else 1.0, 0)


@contextlib.contextmanager
def served(folder):
    """A web server of the folder, on a port of its own."""
    quiet = type('Quiet', (http.server.SimpleHTTPRequestHandler,), {'log_message': lambda *_: None})
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f'http://127.0.0.1:{server.server_address[1]}'
    finally:
        server.shutdown()


def img2dataset_shards(work):
    import numpy
    from PIL import Image
    from img2dataset import download

    source, out = work.folder / 'web', work.folder / 'downloaded'
    source.mkdir()
    scenes = [(key, files) for key, files in members(work.scenes()).items()][:40]
    with served(source) as address:
        lines = ['url\tcaption']
        for key, files in scenes:
            (source / f'{key}.jpg').write_bytes(files['jpg'])
            lines.append(f'{address}/{key}.jpg\t{json.loads(files["json"])["caption"]}')
        lines.append(f'{address}/missing.jpg\tnothing')
        (work.folder / 'urls.tsv').write_text('\n'.join(lines) + '\n')
        with contextlib.redirect_stdout(io.StringIO()):
            download(
                url_list=str(work.folder / 'urls.tsv'),
                input_format='tsv',
                url_col='url',
                caption_col='caption',
                output_folder=str(out),
                output_format='webdataset',
                number_sample_per_shard=16,
                resize_mode='no',
                disable_all_reencoding=True,
                processes_count=1,
                thread_count=4,
                distributor='multiprocessing',
                enable_wandb=False,
            )
    stored = members(out)
    ours = work.embed(work.trained('native'), '--data', out)
    wanted = work.embed(
        work.trained('native'),
        '--images',
        *[write(work.folder / 'of_shards' / f'{key}.jpg', files['jpg']) for key, files in stored.items() if 'jpg' in files],
    )
    yield Row(
        version('img2dataset'),
        f'{len(scenes)} pictures of a web server: embeddings of its shards',
        'theirs -> ours',
        largest(ours['image_embeds'], wanted['image_embeds']),
        keys='none' if len(ours['image_embeds']) == len(scenes) else f'{len(ours["image_embeds"])} of {len(scenes)} pictures',
    )
    assert all(numpy.asarray(Image.open(io.BytesIO(files['jpg']))).size for files in stored.values() if 'jpg' in files)


def write(path, data):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def annotations(work):
    """Every box of a small COCO and LVIS file, as their own readers and as our importers have it."""
    import numpy
    from PIL import Image
    from lvis import LVIS
    from pycocotools.coco import COCO

    draw = numpy.random.default_rng(6)
    pictures = work.folder / 'annotated'
    pictures.mkdir()
    images, boxes = [], []
    for number in range(1, 13):
        width, height = int(draw.integers(40, 200)), int(draw.integers(40, 200))
        Image.fromarray(draw.integers(0, 255, (height, width, 3), dtype='uint8')).save(pictures / f'{number:03}.jpg')
        images.append(
            {
                'id': number,
                'file_name': f'{number:03}.jpg',
                'width': width,
                'height': height,
                'neg_category_ids': [],
                'coco_url': f'http://images.cocodataset.org/val2017/{number:03}.jpg',
                'not_exhaustive_category_ids': [],
            }
        )
        for _ in range(int(draw.integers(1, 6))):
            x, y = draw.uniform(0, width - 20), draw.uniform(0, height - 20)
            w, h = draw.uniform(4, width - x), draw.uniform(4, height - y)
            boxes.append(
                {
                    'id': len(boxes) + 1,
                    'image_id': number,
                    'category_id': int(draw.integers(1, 4)),
                    'bbox': [x, y, w, h],
                    'area': w * h,
                    'iscrowd': 0,
                    'segmentation': [[x, y, x + w, y, x + w, y + h, x, y + h]],
                }
            )
    names = {1: 'cat', 2: 'dog', 3: 'traffic light'}
    content = {
        'images': images,
        'annotations': boxes,
        'categories': [
            {
                'id': i,
                'name': name,
                'synset': f'{name}.n.01',
                'frequency': 'f',
                'synonyms': [name],
                'def': '',
                'image_count': 1,
                'instance_count': 1,
            }
            for i, name in names.items()
        ],
    }
    path = work.folder / 'annotations.json'
    path.write_text(json.dumps(content))
    with contextlib.redirect_stdout(io.StringIO()):
        readers = (('coco', 'pycocotools', COCO(str(path))), ('lvis', 'lvis', LVIS(str(path))))
    for kind, package, reader in readers:
        out = work.folder / f'imported {kind}'
        work.run('data', 'import', '--format', kind, '--images', pictures, '--annotations', path, '--out', out)
        ours = sorted(
            (region['text'], *region['box'])
            for files in members(out).values()
            for region in json.loads(files['json']).get('regions', [])
        )
        theirs = []
        for box in reader.load_anns(reader.get_ann_ids()) if kind == 'lvis' else reader.loadAnns(reader.getAnnIds()):
            image = (reader.load_imgs([box['image_id']]) if kind == 'lvis' else reader.loadImgs([box['image_id']]))[0]
            x, y, w, h = box['bbox']
            width, height = image['width'], image['height']
            theirs.append((names[box['category_id']], x / width, y / height, (x + w) / width, (y + h) / height))
        theirs.sort()
        same = [text for text, *_ in ours] == [text for text, *_ in theirs]
        yield Row(
            version(package),
            f'{len(theirs)} boxes of {len(images)} pictures',
            'theirs -> ours',
            largest([box for _, *box in ours], [box for _, *box in theirs]) if same else 1.0,
            1e-6,
        )


def checks_of_safetensors(work):
    yield from safetensors_files(work)


def checks_of_gguf(work):
    yield from gguf_files(work)


def checks_of_webdataset(work):
    yield from webdataset_shards(work)


def checks_of_img2dataset(work):
    yield from img2dataset_shards(work)


def checks_of_annotations(work):
    yield from annotations(work)
