"""The Python package against the command line: python_test.py OPENCLOC MAKE_TINY_MODEL.

PYTHONPATH names the package. The same inputs must give the same bits. Standard library and torch.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest

import torch

# As a host program that used oneDNN before it loads the package.
torch.nn.functional.conv2d(torch.ones(8, 64, 32, 32), torch.ones(64, 64, 3, 3))

import opencloc

BINARY, MAKE_TINY_MODEL = sys.argv[1:3]
DTYPES = {"F32": torch.float32, "I64": torch.int64}


def read_safetensors(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    header.pop("__metadata__", None)
    return {
        name: torch.frombuffer(data[info["data_offsets"][0] : info["data_offsets"][1]],
                               dtype=DTYPES[info["dtype"]]).reshape(info["shape"])
        for name, info in header.items()
    }


class PythonPackage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = cls.temporary.name
        subprocess.run([MAKE_TINY_MODEL, cls.folder], check=True)
        torch.manual_seed(1)
        cls.arrays = [torch.randint(0, 256, (h, w, 3), dtype=torch.uint8) for h, w in ((20, 30), (40, 16), (33, 33))]
        cls.pictures = []
        for number, pixels in enumerate(cls.arrays):
            cls.pictures.append(f"{cls.folder}/{number}.ppm")
            with open(cls.pictures[-1], "wb") as file:
                file.write(b"P6 %d %d 255\n" % (pixels.shape[1], pixels.shape[0]) + bytes(pixels.flatten().tolist()))
        cls.model = opencloc.load(cls.folder + "/model")

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def embed(self, *flags):
        out = self.folder + "/out.safetensors"
        subprocess.run([BINARY, "embed", "--model", self.folder + "/model", "--out", out, *flags],
                       check=True, stdout=subprocess.DEVNULL)
        return read_safetensors(out)

    def test_images_and_texts_are_the_command_lines_bits(self):
        texts = ["a red car", "Two dogs, in the street", ""] + ["a blue bus " * 20]
        with open(self.folder + "/texts.txt", "w") as file:
            file.write("\n".join(texts) + "\n")
        theirs = self.embed("--images", *self.pictures, "--texts", self.folder + "/texts.txt", "--save-inputs")
        images = self.model.encode_image(self.pictures)
        self.assertTrue(torch.equal(images, theirs["image_embeds"]))
        self.assertTrue(torch.equal(self.model.encode_image(self.arrays), theirs["image_embeds"]))
        self.assertTrue(torch.equal(self.model.encode_image(theirs["pixel_values"]), theirs["image_embeds"]))
        self.assertTrue(torch.equal(self.model.preprocess(self.pictures[1]), theirs["pixel_values"][1]))
        self.assertTrue(torch.equal(self.model.encode_text(texts), theirs["text_embeds"]))

    def test_regions_are_the_command_lines_bits(self):
        boxes = [[0.0, 0.0, 0.5, 1.0], [0.25, 0.5, 1.0, 1.0], [0.1, 0.2, 0.3, 0.4]]
        with open(self.folder + "/boxes.jsonl", "w") as file:
            for box in boxes:
                file.write(json.dumps({"image": self.pictures[0], "box": box}) + "\n")
        theirs = self.embed("--boxes", self.folder + "/boxes.jsonl", "--tokens", "patch", "--layer", "-1")
        scene = self.model.encode(self.pictures[0])
        self.assertTrue(torch.equal(scene.region(torch.tensor(boxes)), theirs["region_embeds"]))
        self.assertTrue(torch.equal(scene.embedding, theirs["image_embeds"][0]))
        self.assertTrue(torch.equal(scene.tokens, theirs["image_tokens"][0]))
        self.assertTrue(torch.allclose(scene.region(boxes[1]), theirs["region_embeds"][1], atol=1e-6))

    def test_prompts_and_grounding(self):
        scene = self.model.encode(self.arrays[0])
        self.assertEqual(scene.size, (30, 20))
        width = self.model.embedding_width
        mask = torch.zeros(20, 30, dtype=torch.bool)
        mask[5:10, 5:15] = True
        for region in (scene.region(point=(0.5, 0.5)), scene.region(mask=mask), scene.region(text="a dog"),
                       scene.region((0.1, 0.1, 0.9, 0.9))):
            self.assertEqual(region.shape, (width,))
            self.assertAlmostEqual(region.norm().item(), 1, places=5)
        box = scene.ground("a red car")
        self.assertEqual(box.shape, (4,))
        self.assertTrue(((box >= 0) & (box <= 1)).all())
        texts = self.model.encode_text(["a red car", "a dog"])
        self.assertTrue(torch.allclose(scene.ground(texts)[0], box, atol=1e-5))
        self.assertEqual(scene.ground(texts[1]).shape, (4,))

    def test_numpy_in_and_out(self):
        try:
            import numpy
        except ImportError:
            self.skipTest("no numpy")
        picture = self.arrays[0].numpy()
        scene, same = self.model.encode(picture), self.model.encode(self.arrays[0])
        self.assertTrue(torch.equal(scene.embedding, same.embedding))
        boxes = numpy.array([[0, 0, 0.5, 1], [0.1, 0.2, 0.3, 0.4]])  # float64
        regions = scene.region(boxes)
        self.assertTrue(torch.equal(regions, same.region(torch.from_numpy(boxes).float())))
        self.assertEqual(scene.region(boxes[0]).shape, (self.model.embedding_width,))
        mask = numpy.zeros((20, 30), dtype=bool)
        mask[5:10, 5:15] = True
        self.assertTrue(torch.equal(scene.region(mask=mask), same.region(mask=torch.from_numpy(mask))))
        texts = self.model.encode_text(["a red car", "a dog"])
        self.assertTrue(torch.equal(scene.ground(numpy.asarray(texts)), same.ground(texts)))
        # What cannot be read in place is copied: views that run backwards, memory that must not be written.
        flipped = picture[:, ::-1]
        flipped.flags.writeable = False
        self.assertTrue(torch.equal(self.model.encode_image([flipped]),
                                    self.model.encode_image([self.arrays[0].flip(1)])))
        pixels = torch.stack([self.model.preprocess(array) for array in self.arrays])
        self.assertTrue(torch.equal(self.model.encode_image(pixels.numpy()), self.model.encode_image(pixels)))
        out = numpy.asarray(regions)
        self.assertEqual((out.dtype, out.shape), (numpy.float32, (2, self.model.embedding_width)))
        self.assertEqual(out.__array_interface__["data"][0], regions.data_ptr())  # no copy

    def test_loading_leaves_the_generator_alone(self):
        torch.manual_seed(3)
        expected = torch.rand(4)
        torch.manual_seed(3)
        opencloc.load(self.folder + "/model")
        self.assertTrue(torch.equal(torch.rand(4), expected))

    def test_tensors_are_not_copied(self):
        scene = self.model.encode(self.arrays[0])
        tokens, again = scene.tokens, scene.tokens
        self.assertEqual(tokens.data_ptr(), again.data_ptr())
        del scene  # the tensor keeps its memory
        self.assertTrue(torch.isfinite(tokens).all())

    def test_errors_say_what_and_how_to_mend(self):
        with self.assertRaisesRegex(opencloc.Error, "no such model directory"):
            opencloc.load(self.folder + "/absent")
        with self.assertRaisesRegex(opencloc.Error, "absent.jpg"):
            self.model.encode_image(self.folder + "/absent.jpg")
        with self.assertRaisesRegex(opencloc.Error, "Model.preprocess"):
            self.model.encode_image(torch.zeros(1, 3, 8, 8))
        with self.assertRaisesRegex(opencloc.Error, "uint8"):
            self.model.encode(torch.zeros(4, 4, 3))
        with self.assertRaisesRegex(opencloc.Error, "no area"):
            self.model.encode(self.arrays[0]).region((0.5, 0.5, 0.5, 0.5))
        with self.assertRaises(TypeError):
            self.model.encode(self.arrays[0]).region((0, 0, 1, 1), text="a dog")
        with self.assertRaises(TypeError):
            self.model.encode_image(3)

    def test_the_example_runs(self):
        source = os.environ.get("OPENCLOC_SOURCE_DIR")
        if source is None:
            self.skipTest("OPENCLOC_SOURCE_DIR is not set")
        result = subprocess.run(
            [sys.executable, source + "/examples/python/describe_region.py", self.folder + "/model",
             self.pictures[0], "0.1", "0.2", "0.6", "0.9", "a red car", "a blue bus"],
            check=True, capture_output=True, text=True)
        self.assertIn("'a red car'", result.stdout)
        self.assertEqual(len(result.stdout.splitlines()), 2)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
