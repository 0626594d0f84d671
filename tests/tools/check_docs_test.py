#!/usr/bin/env python3
"""tools/check_docs finds what it is for: run on small trees with one fault each, and a binary that only has --help."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Verbs `data scenes`, which makes a folder, and `eval`, which reads it.
BINARY = r'''#!/usr/bin/env bash
case "$*" in
  --help) printf 'Subcommands:\n  data    Data\n  eval    Evaluate\n' ;;
  'data --help') printf 'Subcommands:\n  scenes  Draw\n' ;;
  'data scenes --help') printf 'Options:\n  --count INT REQUIRED\n              Scenes\n  --out DIR\n' ;;
  'eval --help') printf 'Options:\n  --data,--val-data GLOB\n              Not --a-flag, though it is named here\n' ;;
  'data scenes'*) mkdir scenes && echo "$@" >scenes/log ;;
  'eval --data scenes') cat scenes/log ;;
  *) echo "refused: $*"; exit 2 ;;
esac
'''


def check(files, *arguments, binary=False):
    """Runs the tool over a tree of {path: text}; -> (exit code, stdout, stderr)."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder, 'tree')
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        command = [ROOT / 'tools' / 'check_docs', '--root', root, *arguments]
        if binary:
            fake = pathlib.Path(folder, 'opencloc')
            fake.write_text(BINARY)
            fake.chmod(0o755)
            command += ['--binary', fake]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr


def guide(text, **more):
    """The tree of every test, with `text` as its guide."""
    return {
        'README.md': '# Tree\nSee [it](docs/guide/a.md#a-part), `train/step.h`, `step.h`, `opencloc/train/*.h`.\n',
        'docs/guide/a.md': '# Guide\n## A part\n' + text,
        'opencloc/train/step.h': '',
        'tests/train/step_test.cc': '',
        **more,
    }


class Paths(unittest.TestCase):
    def found(self, text, fault):
        code, _, said = check(guide(text))
        self.assertEqual((code, said), (1, fault + '\n'))

    def test_a_tree_in_order_passes_and_says_what_was_left_out(self):
        text = ('`train/step.{h}` `train --init DIR` `a/b.txt` [up](../../README.md) [web](https://x.org/y)\n'
                '`train_test --gtest_filter=A`, `opencloc/train/NAME.h`, tests/train/step_test.cc\n')
        code, said, faults = check(guide(text))
        self.assertEqual((code, faults), (0, ''))
        self.assertIn('verbs and flags are not checked', said)

    def test_a_broken_link(self):
        self.found('one\n[b](b.md)\n', 'docs/guide/a.md:4: the link (b.md) leads nowhere')

    def test_a_heading_that_is_not_there(self):
        self.found('[b](../../README.md#trees)\n', 'docs/guide/a.md:3: ../../README.md has no heading #trees')

    def test_a_missing_path(self):
        self.found('`opencloc/train/stop.h`\n', 'docs/guide/a.md:3: there is no `opencloc/train/stop.h`')
        self.found('`train/stop.h`\n', 'docs/guide/a.md:3: there is no `train/stop.h`')
        self.found('`stop.h`\n', 'docs/guide/a.md:3: there is no `stop.h`')
        self.found('`train/step.{h,cc}`\n', 'docs/guide/a.md:3: there is no `train/step.cc`')
        self.found('`train/NAME_lock.h`\n', 'docs/guide/a.md:3: there is no `train/NAME_lock.h`')
        self.found('as `tools/stop\n--now FILE` does\n', 'docs/guide/a.md:3: there is no `tools/stop`')
        self.found('see docs/guide/b.md.\n', 'docs/guide/a.md:3: there is no docs/guide/b.md')

    def test_a_missing_test(self):
        self.found('`eval_test --gtest_filter=A`\n', 'docs/guide/a.md:3: there is no test `eval_test`')

    def test_what_blocks_hold_is_no_path(self):
        code, _, faults = check(guide('```text\n`train/stop.h` [b](b.md)\n```\n'))
        self.assertEqual((code, faults), (0, ''))

    def test_a_block_without_a_language(self):
        self.found('```\nx\n```\n',
                   'docs/guide/a.md:3: a block without a language: sh for commands, console, text, ...')


class Commands(unittest.TestCase):
    def found(self, text, fault):
        code, _, said = check(guide(text), binary=True)
        self.assertEqual((code, said), (1, fault + '\n'))

    def test_commands_in_order_pass(self):
        code, _, faults = check(guide('```sh\ntime ./opencloc data scenes --count 3 \\\n    --out x  # not --this\n'
                                      'A=1 opencloc eval --val-data=x | grep --count y\n```\n'
                                      '`eval --data x`, `data scenes`, `cmake --preset release`\n'), binary=True)
        self.assertEqual((code, faults), (0, ''))

    def test_an_unknown_flag(self):
        self.found('```sh\nopencloc data scenes \\\n  --cuont 3\n```\n',
                   'docs/guide/a.md:4: `opencloc data scenes` has no flag --cuont')
        self.found('```console\n$ opencloc eval --a-flag\n```\n',
                   'docs/guide/a.md:4: `opencloc eval` has no flag --a-flag')
        self.found('`eval --out x`\n', 'docs/guide/a.md:3: `opencloc eval` has no flag --out')

    def test_an_unknown_verb(self):
        self.found('```sh\nfor x in y; do opencloc data draw; done\n```\n',
                   'docs/guide/a.md:4: there is no verb `opencloc data draw`')


class Run(unittest.TestCase):
    def test_blocks_share_a_folder_and_marked_ones_do_not_run(self):
        text = ('<!-- run before: opencloc data scenes --count 3 -->\n```sh\ntest -d scenes\n```\n'
                '<!-- not run: needs the\nmoon -->\n```sh\nfalse\n```\n'
                '```sh\nopencloc eval --data scenes\n```\n```text\nfalse\n```\n')
        code, said, faults = check(guide(text), '--run', binary=True)
        self.assertEqual((code, faults), (0, ''))
        self.assertIn('docs/guide/a.md:9: not run: needs the moon', said)
        self.assertIn('docs/guide/a.md:12: ran in', said)

    def test_a_block_that_fails(self):
        code, _, faults = check(guide('```sh\nfalse\ntrue\n```\n'), '--run', binary=True)
        self.assertEqual(code, 1)
        self.assertIn('docs/guide/a.md:3: the block ends with exit code 1', faults)

    def test_a_page_that_takes_too_long(self):
        code, _, faults = check(guide('```sh\nsleep 60\ntrue\n```\n'), '--run', '--limit', '1', binary=True)
        self.assertEqual(code, 1)
        self.assertIn('docs/guide/a.md:3: the page takes more than 1 seconds', faults)


if __name__ == '__main__':
    sys.exit(unittest.main())
