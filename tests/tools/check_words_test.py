#!/usr/bin/env python3
"""tools/check_words finds what it is for: run on small checkouts with one fault each, then on this one."""
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def check(files, *arguments):
    """Runs the tool in a checkout of {path: text}, all of it staged; -> (exit code, stderr)."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for command in (['git', '-c', 'init.defaultBranch=main', 'init', '-q'], ['git', 'add', '-A']):
            subprocess.run(command, cwd=folder, check=True)
        done = subprocess.run([ROOT / 'tools' / 'check_words', *arguments], cwd=folder, capture_output=True, text=True)
        return done.returncode, done.stderr


class Words(unittest.TestCase):
    def test_a_word_is_named_with_its_line(self):
        code, said = check({'docs/a.md': 'one\nIn order to see\n'})
        self.assertEqual(code, 1)
        self.assertIn('docs/a.md:2: "In order to": write to', said)

    def test_lines_of_the_next_commit(self):
        self.assertEqual(check({'a.md': 'plain\n'}, '--staged'), (0, ''))
        self.assertEqual(check({'a.md': 'whilst\n'}, '--staged')[0], 1)


class Flags(unittest.TestCase):
    def test_a_message_of_the_library_names_no_flag(self):
        for line in ('throw Error::input("no data", "--data", "name some");', '"use --device cpu, or build"',
                     'log::warn("--{} was {}", flag, value);', 'text += \'"\'; f("give --out");',
                     'at("http://x", "check --split");'):
            for name in ('opencloc/train/a.cc', 'opencloc/data/load/a.h'):
                code, said = check({name: '// --a comment may\n' + line + '\n'})
                self.assertEqual(code, 1, line)
                self.assertIn(f'{name}:2: "--', said)
        code, said = check({'opencloc/base/a.cc': 'f("or pass --skip-bad-shards");'}, '--staged')
        self.assertEqual(code, 1)
        self.assertIn('"--skip-bad-shards": write setting \'skip_bad_shards\'', said)

    def test_what_is_no_flag_or_no_message_of_the_library(self):
        flag = 'throw Error::input("no data", "--data", "name some");\n'
        self.assertEqual(check({
            'opencloc/cli/a.cc': flag, 'opencloc/bench/a.cc': flag, 'tests/base/a.cc': flag, 'examples/a.cc': flag,
            'opencloc/base/a.cc': 'f("a -- b <!--x--> a--b ---");  // as --out\n--count; g("x", --i);  // "--out"\n',
        }), (0, ''))


class ThisCheckout(unittest.TestCase):
    def test_its_words(self):
        if not (ROOT / '.git').exists():
            self.skipTest('not a checkout of git')
        done = subprocess.run([ROOT / 'tools' / 'check_words'], cwd=ROOT, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ''))

    def test_every_setting_that_the_library_names_is_a_flag(self):
        flags = set(re.findall(r'--([a-z][a-z0-9-]*)', (ROOT / 'tests/golden/command_line.txt').read_text()))
        named = {}
        for path in sorted((ROOT / 'opencloc').rglob('*.cc')):
            text = re.sub(r'"\s*\n\s*"', '', path.read_text())
            for found in re.finditer(r"\bsettings? ('\w+(?:=[^']*)?'(?:(?:,? and |,? or |, )'\w+(?:=[^']*)?')*)", text):
                for name in re.findall(r"'(\w+)", found.group(1)):
                    named[name.replace('_', '-')] = path.name
        self.assertGreater(len(named), 40)
        self.assertEqual({name: where for name, where in named.items() if name not in flags}, {})


if __name__ == '__main__':
    sys.exit(unittest.main())
