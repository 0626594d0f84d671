"""The installed Python package beside the installed program: installed_test.py MODEL PICTURE. Both are those that the
environment's interpreter and path name; nothing of the source tree or a build is used (wheel_test.sh)."""
import os
import pathlib
import subprocess
import sys
import sysconfig
import tempfile
import unittest

import numpy
import torch

import opencloc

MODEL, PICTURE = sys.argv[1:3]


class Installed(unittest.TestCase):
    def test_it_is_the_environments(self):
        place = pathlib.Path(opencloc.__file__).parent
        self.assertEqual(place.parent, pathlib.Path(sysconfig.get_path("platlib")))
        self.assertTrue((place / "py.typed").exists())
        self.assertTrue((place / "_core.pyi").exists())
        program = pathlib.Path(sysconfig.get_path("scripts")) / "opencloc"
        self.assertTrue(os.access(program, os.X_OK))
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        self.assertEqual(said, f"opencloc {opencloc.__version__}\n")

    def test_the_program_gives_the_same_bits(self):
        program = pathlib.Path(sysconfig.get_path("scripts")) / "opencloc"
        model = opencloc.load(MODEL)
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([program, "embed", "--model", MODEL, "--images", PICTURE, "--out", folder + "/e.safetensors"],
                           check=True, capture_output=True)
            data = pathlib.Path(folder, "e.safetensors").read_bytes()
        width = model.embedding_width
        theirs = numpy.frombuffer(data[-4 * width:], dtype=numpy.float32)
        self.assertTrue(numpy.array_equal(numpy.asarray(model.encode_image(PICTURE)), theirs))

    def test_numpy_and_torch_in_and_out(self):
        model = opencloc.load(MODEL)
        pixels = numpy.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=numpy.uint8)
        scene = model.encode(pixels)
        self.assertTrue(torch.equal(scene.embedding, model.encode(torch.from_numpy(pixels)).embedding))
        regions = scene.region(numpy.array([[0, 0, 0.5, 1], [0.1, 0.2, 0.6, 0.9]]))
        self.assertEqual(numpy.asarray(regions).shape, (2, model.embedding_width))
        self.assertAlmostEqual(float(numpy.linalg.norm(numpy.asarray(regions)[0])), 1, places=5)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
