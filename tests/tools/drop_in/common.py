"""What the drop-in checks share: a row of their table, small models with random weights, pictures, and our own numbers."""

import dataclasses
import importlib.metadata
import json
import pathlib
import subprocess

TOLERANCE = 1e-4  # largest difference, relative to the largest value, of embeddings in F32
WORDS = [
    'a red car on a road',
    'two dogs',
    'stethoscope beside a chestnut',
    'Über 3 Häuser, eins davon GRÜN!',
    'x',
    'a photo of a very long sentence that does not fit into any of these small text towers, and so is cut at its end',
    '  blanks \t and   tabs ',
    "it's & it isn't &amp; 100% <b>bold</b>",
]


@dataclasses.dataclass
class Row:
    program: str
    what: str
    direction: str  # "ours -> theirs", "theirs -> ours"
    difference: float = 0.0
    tolerance: float = TOLERANCE
    keys: str = 'none'  # missing or unexpected
    note: str = ''

    def good(self):
        return self.difference <= self.tolerance and self.keys == 'none'


def version(package):
    return f'{package} {importlib.metadata.version(package)}'


def largest(found, wanted):
    """The largest difference, relative to the largest value of all."""
    import numpy

    found, wanted = numpy.asarray(found, dtype='float64'), numpy.asarray(wanted, dtype='float64')
    assert found.shape == wanted.shape, (found.shape, wanted.shape)
    return float(numpy.abs(found - wanted).max() / max(numpy.abs(wanted).max(), 1e-30))


def unit(rows):
    import numpy

    rows = numpy.asarray(rows, dtype='float64')
    return rows / numpy.linalg.norm(rows, axis=-1, keepdims=True)


def plain(tensor):
    return tensor.detach().float().numpy()


def pooled(output):
    """transformers 5 wraps embeddings that 4 gives as they are."""
    return plain(getattr(output, 'pooler_output', output))


def randomise(model, seed=5):
    """Every parameter of a torch module moves, so that no bias or norm can be forgotten unnoticed."""
    import torch

    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 0 and not name.startswith('logit_'):
                parameter.add_(torch.randn_like(parameter) * (0.2 if parameter.dim() == 1 else parameter.shape[-1] ** -0.5))
    return model.eval()


class Work:
    """A binary and a folder of its own, with models and pictures that are made once."""

    def __init__(self, binary, folder):
        self.binary, self.folder, self.made = binary, pathlib.Path(folder), {}

    def run(self, *command, good=True):
        done = subprocess.run([self.binary, *map(str, command)], capture_output=True, text=True, check=False)
        if good and done.returncode != 0:
            raise AssertionError(f'{" ".join(map(str, command))}: {done.stderr}')
        return done.stdout if good else done

    def once(self, name, make):
        if name not in self.made:
            self.made[name] = make(self.folder / name)
        return self.made[name]

    def scenes(self):
        def make(folder):
            self.run('data', 'scenes', '--count', 200, '--size', 96, '--names', 12, '--seed', 1, '--out', folder)
            return folder

        return self.once('scenes', make)

    def trained(self, name, *flags, config=None):
        """A model of a few steps whose every parameter then moves at random."""

        def make(folder):
            flags_of_model = ['--model', 'ViT-XXS-16-96']
            if config is not None:
                (self.folder / f'{name}.json').write_text(json.dumps(config))
                flags_of_model = ['--model', self.folder / f'{name}.json']
            self.run(
                'train',
                '--data',
                self.scenes(),
                *flags_of_model,
                '--steps',
                2,
                '--batch-size',
                16,
                '--report-pictures',
                0,
                '--out',
                folder,
                *flags,
            )
            for file in ('open_clip_model', 'cloc_heads'):
                move_weights(folder / 'model' / f'{file}.safetensors')
            return folder / 'model'

        return self.once(name, make)

    def vocabulary(self):
        """CLIP's own, from the package that brings it along."""
        import open_clip

        return pathlib.Path(open_clip.__file__).with_name('bpe_simple_vocab_16e6.txt.gz')

    def clip_words(self):
        """A model with CLIP's own vocabulary and preprocessing: what other programs tokenize and cut by themselves."""
        config = {
            'embed_dim': 32,
            'quick_gelu': True,
            'vision_cfg': {'image_size': 96, 'layers': 2, 'width': 64, 'patch_size': 16, 'head_width': 32},
            'text_cfg': {'context_length': 20, 'vocab_size': 49408, 'width': 48, 'heads': 3, 'layers': 2},
        }
        whole = {'model_cfg': config, 'preprocess_cfg': {'resize_mode': 'shortest', 'interpolation': 'bicubic'}}
        return self.trained('clip_words', '--tokenizer', self.vocabulary(), config=whole)

    def pictures(self):
        """Odd sizes, smooth and noisy, as PNG."""

        def make(folder):
            import numpy
            from PIL import Image

            folder.mkdir()
            draw = numpy.random.default_rng(3)
            paths = []
            for i, (width, height) in enumerate([(96, 96), (133, 97), (40, 200), (301, 222), (97, 64)]):
                x, y = numpy.meshgrid(numpy.linspace(0, 6, width), numpy.linspace(0, 6, height))
                waves = numpy.stack([numpy.sin(x + i), numpy.cos(y * 2), numpy.sin(x * y)], -1) * 90 + 128
                pixels = (waves + draw.normal(0, 25, waves.shape)).clip(0, 255).astype('uint8')
                paths.append(folder / f'{i}.png')
                Image.fromarray(pixels).save(paths[-1])
            return paths

        return self.once('pictures', make)

    def embed(self, model, *flags):
        """Our numbers: {name: array}."""
        from safetensors.numpy import load_file

        out = self.folder / 'embed.safetensors'
        self.run('embed', '--model', model, *flags, '--out', out)
        return load_file(out)

    def embed_all(self, model):
        """Of the pictures and WORDS, with pixel_values and input_ids."""
        texts = self.folder / 'texts.txt'
        texts.write_text('\n'.join(WORDS) + '\n')
        return self.embed(model, '--images', *self.pictures(), '--texts', texts, '--save-inputs')

    def embed_tensors(self, model, pixels, ids=None):
        from safetensors.numpy import save_file

        tensors = {'pixel_values': plain(pixels)}
        if ids is not None:
            tensors['input_ids'] = ids.numpy()
        save_file(tensors, self.folder / 'inputs.safetensors')
        return self.embed(model, '--tensors', self.folder / 'inputs.safetensors')


def move_weights(path):
    import numpy
    from safetensors.numpy import load_file, save_file

    draw = numpy.random.default_rng(4)
    tensors = load_file(path)
    for name, values in tensors.items():
        if values.ndim > 0:
            tensors[name] = (values + 0.05 * draw.normal(size=values.shape)).astype('float32')
    save_file(tensors, path, metadata={'format': 'pt'})


def same_set(found, wanted):
    """Keys that are missing or unexpected, in words."""
    missing, unexpected = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    return (
        '; '.join(
            f'{kind} {", ".join(names[:3])}' for kind, names in (('missing', missing), ('unexpected', unexpected)) if names
        )
        or 'none'
    )
