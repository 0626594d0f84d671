#!/usr/bin/env python3
"""tools/check_layers finds what it is for: run on small trees with one fault each."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAYERS = 'base:\nkernels: base\nops: base kernels\n'


def check(files):
    """Runs the tool over a tree of {path below opencloc/: text}; -> (exit code, stderr)."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = pathlib.Path(folder, 'opencloc', name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        done = subprocess.run([ROOT / 'tools' / 'check_layers', folder], capture_output=True, text=True)
        return done.returncode, done.stderr


class CheckLayers(unittest.TestCase):
    def setUp(self):
        self.tree = {
            'layers.txt': LAYERS,
            'base/a.h': '#include <vector>\n',
            'kernels/k.cc': '#include "opencloc/base/a.h"\n#include "opencloc/kernels/k.h"\n',
            'ops/o.h': '#include "opencloc/base/a.h"\n#include <opencloc/kernels/k.h>\n',
        }

    def test_a_tree_in_order_passes(self):
        self.assertEqual(check(self.tree), (0, ''))

    def test_an_upward_include_is_named_with_its_line(self):
        self.tree['base/b.cc'] = '#include <map>\n#include "opencloc/ops/o.h"\n'
        code, said = check(self.tree)
        self.assertEqual(code, 1)
        self.assertIn('opencloc/base/b.cc:2: base may not include ops', said)

    def test_a_header_alone_is_enough(self):
        self.tree['kernels/deep/x.h'] = '#pragma once\n#  include <opencloc/ops/o.h>\n'
        code, said = check(self.tree)
        self.assertEqual(code, 1)
        self.assertIn('opencloc/kernels/deep/x.h:2', said)

    def test_the_list_itself_has_no_cycle(self):
        self.tree['layers.txt'] = 'base: kernels\nkernels: base\nops: base kernels\n'
        code, said = check(self.tree)
        self.assertEqual(code, 1)
        self.assertIn('base may include kernels, which does not stand above it', said)

    def test_a_folder_that_is_not_listed(self):
        self.tree['extra/e.cc'] = ''
        code, said = check(self.tree)
        self.assertEqual(code, 1)
        self.assertIn('opencloc/extra: the folder is not in', said)

    def test_a_leave_that_nobody_uses(self):
        self.tree['ops/o.h'] = '#include "opencloc/kernels/k.h"\n'
        code, said = check(self.tree)
        self.assertEqual(code, 1)
        self.assertIn('ops may include base, but no file does', said)

    def test_two_types_of_one_name(self):
        self.tree['base/a.h'] = '#include <vector>\nnamespace opencloc {\nstruct Scene {\n};\n}\n'
        other = '#include "opencloc/base/a.h"\nnamespace %s {\nclass Scene : public A<B> {\n};\nclass Scene::Part {};\n}\n'
        self.tree['kernels/k.h'] = other % 'opencloc::kernels'
        self.assertEqual(check(self.tree), (0, ''))
        self.tree['kernels/k.h'] = other % 'opencloc'
        code, said = check(self.tree)
        self.assertEqual(code, 1)
        self.assertIn('opencloc/kernels/k.h: another type is called opencloc::Scene in opencloc/base/a.h', said)


if __name__ == '__main__':
    sys.exit(unittest.main())
