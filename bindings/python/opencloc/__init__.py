"""OpenCLOC: embeddings of pictures, of regions in them, and of texts, in one space.

    model = opencloc.load("runs/demo/model")
    scene = model.encode("street.jpg")                     # one pass of the image tower
    region = scene.region((0.1, 0.2, 0.4, 0.6))            # box in [0, 1] of the picture
    score = region @ model.encode_text("a red car")        # cosine
    box = scene.ground("a red car")

All embeddings are float32 tensors of unit length on the model's device; numpy.asarray() reads those on
the CPU without a copy. A picture is a path, a PIL image, or a uint8 tensor or numpy array [height,
width, 3]. Wherever a tensor is taken, a numpy array is, too.
"""
from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Sequence, Union

import torch  # the extension needs torch's libraries in the process

from . import _built_for

if torch.__version__.split(".")[:2] != _built_for.TORCH.split(".")[:2]:
    raise ImportError(
        f"opencloc was built for torch {_built_for.TORCH}, and this is torch {torch.__version__}: "
        "build it anew, 'pip install --force-reinstall --no-deps .' in its source"
    )

from . import _core
from ._core import Error, __version__

if TYPE_CHECKING:
    import numpy

__all__ = ["Error", "Model", "Scene", "load", "__version__"]

Array = Union[torch.Tensor, "numpy.ndarray[Any, Any]"]
Picture = Union[str, "os.PathLike[str]", Array, Any]  # Any: a PIL image


def _is_array(value: object) -> bool:
    return hasattr(value, "__array_interface__") and hasattr(value, "ndim")


def _tensor(array: Array) -> torch.Tensor:
    """The same values, without a copy where numpy's memory may be written and is in order."""
    if isinstance(array, torch.Tensor):
        return array
    import numpy

    return torch.from_numpy(numpy.require(array, requirements=["C", "W"]))


def _picture(picture: Picture) -> torch.Tensor:
    """The uint8 tensor [height, width, 3] of a tensor, numpy array or PIL image."""
    if isinstance(picture, torch.Tensor) or _is_array(picture):
        return _tensor(picture)
    if hasattr(picture, "convert") and hasattr(picture, "tobytes"):
        rgb = picture.convert("RGB")
        return torch.frombuffer(bytearray(rgb.tobytes()), dtype=torch.uint8).view(rgb.height, rgb.width, 3)
    raise TypeError(f"no picture: {type(picture).__name__}")


def _is_path(picture: Picture) -> bool:
    return isinstance(picture, (str, os.PathLike))


class Scene:
    """A picture that went through the image tower once; any number of prompts can follow."""

    def __init__(self, core: _core.Scene, model: _core.Model) -> None:
        self._core = core
        self._model = model

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture in pixels."""
        return self._core.width, self._core.height

    @property
    def embedding(self) -> torch.Tensor:
        """[E]: the whole picture's embedding."""
        return self._core.embedding()

    @property
    def tokens(self) -> torch.Tensor:
        """[N, D]: the image tower's patch tokens, row by row (a view, not a copy)."""
        return self._core.tokens()

    def region(
        self,
        box: Sequence[float] | Array | None = None,
        *,
        point: Sequence[float] | None = None,
        mask: Array | None = None,
        text: str | None = None,
    ) -> torch.Tensor:
        """[E]: the embedding of what one prompt points at.

        Give one of: box (x0, y0, x1, y1); point (x, y); mask [height, width] over the whole
        picture, true inside; text. Coordinates are in [0, 1] of the picture. A box tensor [n, 4]
        gives [n, E], much faster than one by one. Raises Error for prompts outside what the model
        sees, and for a plain CLIP, which has no region part.
        """
        given = [prompt for prompt in (box, point, mask, text) if prompt is not None]
        if len(given) != 1:
            raise TypeError("give one of box, point, mask, text")
        if box is not None:
            boxes = torch.as_tensor(_tensor(box) if _is_array(box) else box, dtype=torch.float32)
            return self._core.regions(boxes) if boxes.dim() == 2 else self._core.regions(boxes[None])[0]
        if point is not None:
            return self._core.region_at(*point)
        if mask is not None:
            return self._core.region_of_mask(_tensor(mask))
        return self._core.region_of_text(text)

    def ground(self, text: str | Array) -> torch.Tensor:
        """[4]: the box (x0, y0, x1, y1) of what a text names, in [0, 1] of the picture.

        Always an answer, also for what is not there: compare region(box) with the text to judge
        it. Embeddings of texts are taken, too: [E] -> [4], [n, E] -> [n, 4].
        """
        if isinstance(text, str):
            return self._core.ground(self._model.encode_texts([text]))[0]
        rows = _tensor(text)
        return self._core.ground(rows) if rows.dim() == 2 else self._core.ground(rows[None])[0]


class Model:
    """A model directory in memory; load() makes one. May be used from several threads."""

    def __init__(self, core: _core.Model) -> None:
        self._core = core

    @property
    def embedding_width(self) -> int:
        """E"""
        return self._core.embedding_width

    @property
    def image_size(self) -> int:
        """Side of the square canvas in pixels."""
        return self._core.image_size

    @property
    def has_region_heads(self) -> bool:
        """False for a plain CLIP, which has no Scene.region and Scene.ground."""
        return self._core.has_region_heads

    def encode(self, picture: Picture) -> Scene:
        """One pass of the image tower over a picture, for any number of prompts."""
        core = (
            self._core.scene_of_file(os.fspath(picture))
            if _is_path(picture)
            else self._core.scene_of_picture(_picture(picture))
        )
        return Scene(core, self._core)

    def preprocess(self, picture: Picture) -> torch.Tensor:
        """[3, S, S]: a picture as the model reads it."""
        if _is_path(picture):
            return self._core.read_pixels([os.fspath(picture)])[0]
        return self._core.preprocess(_picture(picture))

    def encode_image(
        self, images: Picture | Sequence[Picture], batch_size: int = 32
    ) -> torch.Tensor:
        """[E] for one picture, [n, E] for a list of them or for ready pixels [n, 3, S, S].

        Ready pixels (float32, as preprocess() makes them) are read in place.
        """
        if (isinstance(images, torch.Tensor) or _is_array(images)) and images.ndim == 4:
            parts = [self._core.encode_pixels(part) for part in _tensor(images).split(batch_size)]
        elif isinstance(images, (list, tuple)):
            parts = []
            for begin in range(0, len(images), batch_size):
                batch = images[begin : begin + batch_size]
                pixels = (
                    self._core.read_pixels([os.fspath(path) for path in batch])
                    if all(_is_path(picture) for picture in batch)
                    else torch.stack([self.preprocess(picture) for picture in batch])
                )
                parts.append(self._core.encode_pixels(pixels))
        else:
            return self.encode_image([images])[0]
        if not parts:
            return torch.empty(0, self.embedding_width)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def encode_text(self, texts: str | Sequence[str]) -> torch.Tensor:
        """[E] for one text, [n, E] for a list. Longer texts than the model's context are cut."""
        if isinstance(texts, str):
            return self._core.encode_texts([texts])[0]
        return self._core.encode_texts(list(texts))


def load(
    directory: str | os.PathLike[str], device: str = "auto", threads: int = 0, precision: str = "fp32"
) -> Model:
    """Loads a model directory: OpenCLOC's, open_clip's or Hugging Face's.

    device: "auto" (CUDA where there is one), "cpu" or "cuda". threads: CPU threads of this model's
    calls, at most; 0 = all this process may use. precision: of its matrix products, "fp32" or
    "bf16". Raises Error when it is no model directory.
    """
    return Model(_core.Model.load(os.fspath(directory), device, threads, precision))
