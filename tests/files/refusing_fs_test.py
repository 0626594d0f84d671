"""Training, labelling, captioning and importing on a cluster's file system: refusing_fs_test.py OPENCLOC REFUSING_FS.

refusing_fs.c plays the file system: no exchange of folders, no locks, a disk that fills up, a process that is
killed before its N-th change. `--every N` kills at each N-th place only.
"""
import argparse
import errno
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest

parser = argparse.ArgumentParser()
parser.add_argument("binary", type=os.path.abspath)
parser.add_argument("library", type=os.path.abspath)
parser.add_argument("--every", type=int, default=6)
ARGUMENTS = parser.parse_args()


def digests(folder, pattern="*.tar"):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob(pattern))}


def hidden(folder):
    """Temporary files and folders that were left behind; the lock file belongs there."""
    return [str(p) for p in folder.rglob(".*") if p.name != ".lock"]


class Captioner(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = json.dumps({"choices": [{"message": {"content": "a red bus beside two brown dogs"}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class RefusingFileSystem(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="opencloc-refusing-")
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.done("data", "scenes", "--count", 24, "--size", 48, "--seed", 1, "--samples-per-shard", 12,
                 "--out", cls.folder / "scenes")
        cls.done(*cls.train(cls.folder / "reference"))

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    @classmethod
    def environment(cls, **refuses):
        values = {f"REFUSING_FS_{name.upper()}": str(value) for name, value in refuses.items()}
        return {**os.environ, "LD_PRELOAD": ARGUMENTS.library, "REFUSING_FS_ROOT": str(cls.folder), **values}

    @classmethod
    def run_opencloc(cls, *command, **refuses):
        return subprocess.run([ARGUMENTS.binary, *map(str, command)], env=cls.environment(**refuses),
                              capture_output=True, text=True)

    @classmethod
    def done(cls, *command, **refuses):
        result = cls.run_opencloc(*command, **refuses)
        if result.returncode != 0:
            raise AssertionError(f"{command}: exit code {result.returncode}\n{result.stderr}")
        return result

    @classmethod
    def train(cls, out, steps=6):
        return ["train", "--data", cls.folder / "scenes", "--model", "ViT-Test", "--out", out, "--steps", steps,
                "--save-every", 2, "--keep-checkpoints", 1, "--batch-size", 8, "--vocab-size", 400,
                "--report-pictures", 0, "--threads", 1, "--workers", 1]

    def model_of(self, run):
        return digests(run / "model", "*.safetensors")

    CLUSTER = {"no_exchange": 1, "flock": errno.ENOLCK, "slow_fsync": 1}

    def test_training_saves_and_resumes_to_the_same_weights(self):
        run = self.folder / "run"
        kills = 0
        for kill_at in range(9, 400, 31):  # from saves, and between the two names of model/
            result = self.run_opencloc(*self.train(run), **self.CLUSTER, kill_at=kill_at)
            if result.returncode == 0:
                break
            self.assertEqual(result.returncode, -signal.SIGKILL, result.stderr)
            kills += 1
        self.assertGreater(kills, 1)
        result = self.done(*self.train(run), **self.CLUSTER)
        self.assertIn("has no locks", result.stderr)
        self.assertEqual(self.model_of(run), self.model_of(self.folder / "reference"))
        self.assertEqual(hidden(run), [])

    def test_a_folder_that_was_being_replaced_can_be_read_and_comes_back(self):
        run = self.folder / "replaced"
        shutil.copytree(self.folder / "reference", run)
        (run / "model").rename(run / ".model.replaced")
        self.done("inspect", run / "model")
        self.done("convert", run / "model", self.folder / "converted", "--to", "hf")
        self.done(*self.train(run), **self.CLUSTER)
        self.assertEqual(self.model_of(run), self.model_of(self.folder / "reference"))
        self.assertEqual(hidden(run), [])

    def test_a_converted_model_is_replaced(self):
        for _ in range(2):
            self.done("convert", self.folder / "reference/model", self.folder / "twice", "--to", "hf", **self.CLUSTER)
        self.assertEqual([p for p in hidden(self.folder) if "twice" in p], [])

    def test_errors_of_the_lock_are_told_apart(self):
        run = self.folder / "locked"
        for error in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
            result = self.done(*self.train(run), flock=error)
            self.assertIn("has no locks", result.stderr)
            self.assertNotIn("another process is training", result.stderr)
        result = self.run_opencloc(*self.train(run), flock=errno.EIO)
        self.assertEqual(result.returncode, 1)
        self.assertIn("Input/output error", result.stderr)
        for refuses in ({}, self.CLUSTER):  # with locks and without
            process = subprocess.Popen([ARGUMENTS.binary, *map(str, self.train(run, 1000000))],
                                       env=self.environment(**refuses), stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            while (run / ".lock").read_text().count("\n") == 0:
                self.assertIsNone(process.poll())
                time.sleep(0.01)
            result = self.run_opencloc(*self.train(run), **refuses)
            process.kill()
            process.wait()
            self.assertEqual(result.returncode, 2)
            self.assertIn(f"another process is training here (process {process.pid} on ", result.stderr)
            self.done(*self.train(run), **refuses)

    def test_captions_of_equal_pictures(self):
        pictures = self.folder / "equal"
        (pictures / "bus").mkdir(parents=True)
        for i in range(16):
            (pictures / "bus" / f"{i}.ppm").write_bytes(b"P6 4 4 255\n" + bytes(48))
        self.done("data", "import", "--format", "folder", "--images", pictures, "--out", self.folder / "equal-shards")
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Captioner)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for i in range(4):
            self.done("label", "--data", self.folder / "equal-shards", "--out", self.folder / f"captioned-{i}",
                      "--detector-kind", "none", "--captioner", f"http://127.0.0.1:{server.server_port}/v1",
                      "--captioner-model", "m", **self.CLUSTER)
            self.assertEqual(hidden(self.folder / f"captioned-{i}"), [])
        server.shutdown()
        server.server_close()

    def label(self, out, threshold, *more):
        return ["label", "--data", self.folder / "scenes", "--out", out, "--detector-kind", "cloc", "--detector",
                self.folder / "reference/model", "--threshold", threshold, "--threads", 1, *more]

    def check_reports(self, out, before, after):
        """Every shard is an old or a new one, and of those settings that its report names, if it has one."""
        now = digests(out)
        self.assertEqual(now.keys(), before.keys(), "a shard was lost")
        for name, digest in now.items():
            self.assertIn(digest, (before[name], after[name]))
            report = out / (name + ".report.json")
            if report.exists():
                is_new = json.loads(report.read_text())["settings"]["detect"]["threshold"] == 0.999
                self.assertEqual(digest, (after if is_new else before)[name], name)

    def test_labels_that_are_made_again_are_never_old_ones_with_a_new_report(self):
        old, new, out = (self.folder / name for name in ("old-labels", "new-labels", "labels"))
        self.done(*self.label(old, "-1"))
        self.done(*self.label(new, "0.999"))
        before, after = digests(old), digests(new)
        self.assertFalse(set(before.values()) & set(after.values()))
        kills = 0
        for kill_at in range(1, 200, ARGUMENTS.every):
            shutil.rmtree(out, ignore_errors=True)
            shutil.copytree(old, out)
            result = self.run_opencloc(*self.label(out, "0.999", "--overwrite"), **self.CLUSTER, kill_at=kill_at)
            self.check_reports(out, before, after)
            if result.returncode == 0:
                break
            self.assertEqual(result.returncode, -signal.SIGKILL, result.stderr)
            kills += 1
            self.done(*self.label(out, "0.999", "--overwrite"), **self.CLUSTER)
            self.assertEqual(digests(out), after)
            self.assertEqual(hidden(out), [])
        self.assertGreater(kills, 1)

    def test_labels_on_a_disk_that_fills_up(self):
        out, new = self.folder / "full-labels", self.folder / "full-new-labels"
        self.done(*self.label(out, "-1"))
        self.done(*self.label(new, "0.999"))
        before = digests(out)
        result = self.run_opencloc(*self.label(out, "0.999", "--overwrite"), **self.CLUSTER, bytes=20000)
        self.assertEqual(result.returncode, 1)
        self.assertIn("No space left", result.stderr)
        self.assertEqual(digests(out), before)
        self.check_reports(out, before, digests(new))
        self.assertEqual(hidden(out), [])

    def make_set(self, name, count, colour):
        pictures = self.folder / name
        (pictures / "class").mkdir(parents=True)
        for i in range(count):
            (pictures / "class" / f"{i:03}.ppm").write_bytes(b"P6 4 4 255\n" + bytes([colour, i, 7] * 16))
        return ["data", "import", "--format", "folder", "--images", pictures, "--samples-per-shard", 3, "--threads", 1]

    def test_a_set_of_shards_is_the_old_one_or_the_new_one(self):
        old, new = self.make_set("old-pictures", 12, 1), self.make_set("new-pictures", 8, 2)
        sets = {}
        for name, command in (("old", old), ("new", new)):
            self.done(*command, "--out", self.folder / name)
            sets[name] = digests(self.folder / name)
        counts = {"old": 12, "new": 8}
        for first, second in (("old", "new"), ("new", "old")):  # fewer shards, and more
            out, kills, seen = self.folder / f"over-{first}", 0, set()
            for kill_at in range(1, 200, ARGUMENTS.every):
                shutil.rmtree(out, ignore_errors=True)
                shutil.copytree(self.folder / first, out)
                command = new if second == "new" else old
                result = self.run_opencloc(*command, "--out", out, "--overwrite", **self.CLUSTER, kill_at=kill_at)
                # A reader sees one of the two sets, whole,
                samples = json.loads(self.done("data", "stats", "--data", out, "--json").stdout)["images"]
                self.assertIn(samples, counts.values())
                # and who writes there next puts it in its place, here one that may not overwrite it.
                refused = self.run_opencloc(*command, "--out", out)
                self.assertEqual(refused.returncode, 2, refused.stderr)
                found = [name for name in sets if digests(out) == sets[name]]
                self.assertEqual(len(found), 1, f"killed at {kill_at}")
                self.assertEqual(samples, counts[found[0]])
                self.assertEqual(hidden(out), [])
                seen.add(found[0])
                if result.returncode == 0:
                    break
                self.assertEqual(result.returncode, -signal.SIGKILL, result.stderr)
                kills += 1
            self.assertEqual(seen, {"old", "new"})
            self.assertGreater(kills, 1)

    def test_a_set_on_a_disk_that_fills_up(self):
        out = self.folder / "full-set"
        self.done(*self.make_set("few-pictures", 4, 3), "--out", out)
        before = digests(out)
        result = self.run_opencloc(*self.make_set("many-pictures", 40, 4), "--out", out, "--overwrite",
                                   **self.CLUSTER, bytes=20000)
        self.assertEqual(result.returncode, 1)
        self.assertIn("No space left", result.stderr)
        self.assertEqual(digests(out), before)
        self.assertEqual(hidden(out), [])

    def test_shards_are_read_without_a_temporary_folder(self):
        run = self.folder / "no-tmpdir"
        subprocess.run([ARGUMENTS.binary, *map(str, self.train(run))], check=True, capture_output=True,
                       env={**os.environ, "TMPDIR": str(self.folder / "none")})


if __name__ == "__main__":
    unittest.main(argv=["refusing_fs_test"], verbosity=2)
