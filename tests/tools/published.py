"""Published evaluations re-stated in PyTorch and Pillow for protocols_test.py: open_clip's towers, torchvision's
RoIAlign, the dense features of CLIPSelf and FG-CLIP, their canvases and crops. Written from the formulas, not from our
sources; slow and plain."""
import json
import math
import pathlib
import struct

import numpy
import torch
from PIL import Image
from torch.nn import functional


def read_tensors(path):
    data = pathlib.Path(path).read_bytes()
    size = struct.unpack('<Q', data[:8])[0]
    header = json.loads(data[8:8 + size])
    kinds = {'F32': numpy.float32, 'I64': numpy.int64, 'I32': numpy.int32}
    found = {}
    for name, entry in header.items():
        if name == '__metadata__':
            continue
        begin, end = entry['data_offsets']
        values = numpy.frombuffer(data[8 + size + begin:8 + size + end], kinds[entry['dtype']])
        found[name] = torch.from_numpy(values.copy()).reshape(entry['shape'])
    return found


def write_tensors(path, tensors):
    header, body = {}, b''
    for name, tensor in tensors.items():
        values = tensor.float().numpy().tobytes()
        header[name] = {'dtype': 'F32', 'shape': list(tensor.shape), 'data_offsets': [len(body), len(body) + len(values)]}
        body += values
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    pathlib.Path(path).write_bytes(struct.pack('<Q', len(text)) + text + body)


def norm(x):
    return functional.normalize(x, dim=-1)


class Clip:
    """open_clip's CLIP from its folder."""

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        config = json.loads((folder / 'open_clip_config.json').read_text())
        self.model, self.preprocess = config['model_cfg'], config['preprocess_cfg']
        self.w = read_tensors(folder / 'open_clip_model.safetensors')
        vision = self.model['vision_cfg']
        self.size, self.patch = vision['image_size'], vision['patch_size']
        self.heads, self.layers = vision['width'] // vision['head_width'], vision['layers']

    def ln(self, x, name):
        return functional.layer_norm(x, x.shape[-1:], self.w[name + '.weight'], self.w[name + '.bias'])

    def linear(self, x, name):
        return functional.linear(x, self.w[name + '.weight'], self.w[name + '.bias'])

    def attention(self, x, name, heads, mask=None):
        b, t, d = x.shape
        qkv = functional.linear(x, self.w[name + '.in_proj_weight'], self.w[name + '.in_proj_bias'])
        q, k, v = (part.view(b, t, heads, d // heads).transpose(1, 2) for part in qkv.chunk(3, -1))
        scores = q @ k.transpose(-1, -2) / math.sqrt(d // heads)
        if mask is not None:
            scores = scores + mask
        return self.linear((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, d), name + '.out_proj')

    def own_value(self, x, name):
        """CLIPSelf's proj_without_attn: the value of each token through the output projection."""
        d = x.shape[-1]
        v = functional.linear(x, self.w[name + '.in_proj_weight'], self.w[name + '.in_proj_bias'])[..., -d:]
        return self.linear(v, name + '.out_proj')

    def mlp(self, x, name):
        return self.linear(functional.gelu(self.linear(x, name + '.mlp.c_fc')), name + '.mlp.c_proj')

    def block(self, x, name, heads, mask=None, without_attention=False):
        normed = self.ln(x, name + '.ln_1')
        x = x + (self.own_value(normed, name + '.attn') if without_attention else
                 self.attention(normed, name + '.attn', heads, mask))
        return x + self.mlp(self.ln(x, name + '.ln_2'), name)

    def tokens(self, pixels, dense):
        x = functional.conv2d(pixels, self.w['visual.conv1.weight'], stride=self.patch).flatten(2).transpose(1, 2)
        x = torch.cat([self.w['visual.class_embedding'].expand(len(x), 1, -1), x], 1) + self.w['visual.positional_embedding']
        x = self.ln(x, 'visual.ln_pre')
        for i in range(self.layers):
            last = dense and i == self.layers - 1
            x = self.block(x, f'visual.transformer.resblocks.{i}', self.heads, without_attention=last)
        return self.ln(x, 'visual.ln_post') @ self.w['visual.proj']

    def image(self, pixels):
        return norm(self.tokens(pixels, False)[:, 0])

    def dense(self, pixels, normalize):
        """[B, E, grid, grid] of the last block without attention."""
        x = self.tokens(pixels, True)[:, 1:]
        x = norm(x) if normalize else x
        side = math.isqrt(x.shape[1])
        return x.transpose(1, 2).reshape(len(x), -1, side, side)

    def text(self, ids):
        x = self.w['token_embedding.weight'][ids] + self.w['positional_embedding'][:ids.shape[1]]
        mask = torch.full((ids.shape[1], ids.shape[1]), -math.inf).triu(1)
        text = self.model['text_cfg']
        for i in range(text['layers']):
            x = self.block(x, f'transformer.resblocks.{i}', text['heads'], mask)
        end = (ids == text['eos_id']).int().argmax(-1)
        return norm(self.ln(x, 'ln_final')[torch.arange(len(x)), end] @ self.w['text_projection'])

    def to_tensor(self, picture):
        pixels = torch.from_numpy(numpy.array(picture.convert('RGB'))).permute(2, 0, 1).float() / 255
        mean, std = (torch.tensor(self.preprocess[key]).view(3, 1, 1) for key in ('mean', 'std'))
        return (pixels - mean) / std


# Canvases: the picture, and what its pixels are multiplied by and moved by on the canvas.
def squash(picture, size):
    return picture.resize((size, size), Image.BICUBIC), (size / picture.width, size / picture.height), (0, 0)


def corner(picture, size):
    """CLIPSelf's ResizeLongest: padding on the right and below; boxes by the exact scale."""
    scale = size / max(picture.size)
    resized = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.BICUBIC)
    canvas = Image.new('RGB', (size, size))
    canvas.paste(resized, (0, 0))
    return canvas, (scale, scale), (0, 0)


def shortest(picture, size):
    """torchvision's Resize(size) and CenterCrop(size)."""
    w, h = picture.size
    new = (size, int(size * h / w)) if w <= h else (int(size * w / h), size)
    resized = picture.resize(new, Image.BICUBIC)
    left, top = int(round((new[0] - size) / 2.0)), int(round((new[1] - size) / 2.0))
    return resized.crop((left, top, left + size, top + size)), (new[0] / w, new[1] / h), (-left, -top)


def longest(picture, size):
    """open_clip's ResizeKeepRatio and CenterCropOrPad."""
    scale = size / max(picture.size)
    new = (round(picture.width * scale), round(picture.height * scale))
    left, top = (size - new[0]) // 2, (size - new[1]) // 2
    canvas = Image.new('RGB', (size, size))
    canvas.paste(picture.resize(new, Image.BICUBIC), (left, top))
    return canvas, (new[0] / picture.width, new[1] / picture.height), (left, top)


def roi_align(feature, box):
    """torchvision.ops.roi_align(feature [C, H, W], box in cells, output_size=1, sampling_ratio=-1, aligned=True)."""
    x0, y0, x1, y1 = (v - 0.5 for v in box)
    height, width = feature.shape[1:]
    rows, columns = max(1, math.ceil(y1 - y0)), max(1, math.ceil(x1 - x0))
    total = torch.zeros(feature.shape[0])
    for i in range(rows):
        for j in range(columns):
            y = y0 + (i + 0.5) * (y1 - y0) / rows
            x = x0 + (j + 0.5) * (x1 - x0) / columns
            if y < -1 or y > height or x < -1 or x > width:
                continue
            y, x = max(y, 0), max(x, 0)
            low_y, low_x = min(int(y), height - 1), min(int(x), width - 1)
            high_y, high_x = min(low_y + 1, height - 1), min(low_x + 1, width - 1)
            y, x = (low_y if low_y == height - 1 else y), (low_x if low_x == width - 1 else x)
            dy, dx = y - low_y, x - low_x
            total += ((1 - dy) * (1 - dx) * feature[:, low_y, low_x] + (1 - dy) * dx * feature[:, low_y, high_x] +
                      dy * (1 - dx) * feature[:, high_y, low_x] + dy * dx * feature[:, high_y, high_x])
    return total / (rows * columns)


def region(clip, picture, box, read_out, canvas):
    """The embedding of box (x, y, w, h in pixels) as the named evaluation reads it."""
    x, y, w, h = box
    if read_out == 'crop:1.5':
        cx, cy = x + w * 0.5, y + h * 0.5
        cut = picture.crop((max(cx - w * 0.75, 0), max(cy - h * 0.75, 0), min(cx + w * 0.75, picture.width),
                            min(cy + h * 0.75, picture.height)))
    elif read_out == 'crop':
        cut = picture.crop((math.floor(x), math.floor(y), math.ceil(x + w), math.ceil(y + h)))
    if read_out.startswith('crop'):
        return clip.image(clip.to_tensor(canvas(cut, clip.size)[0])[None])[0]
    pixels, (sx, sy), (left, top) = canvas(picture, clip.size)
    feature = clip.dense(clip.to_tensor(pixels)[None], normalize=read_out == 'dense')[0]
    corners = [x * sx + left, y * sy + top, (x + w) * sx + left, (y + h) * sy + top]
    return norm(roi_align(feature, [min(max(v, 0), clip.size) / clip.patch for v in corners]))
