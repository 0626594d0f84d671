#!/usr/bin/env python3
"""Do our importers read the boxes that other readers read? A long check, not a unit test.

    import_agreement.py --binary build/release/opencloc [--data ../shared/data] [--files 200] [--seed 1] [--only NAME]

Readers: pycocotools, lvis, torchvision's VOCDetection, ultralytics' verify_image_label. Data: the data sets of
--data, and odd files from a seed (odd_files.py). Every box that the other reader has, or that we have, is
matched. What differs is counted under a reason of import_rules.py, which says what we do on purpose; the rest is
unexplained, printed, and makes the exit code 1.

    python3 -m venv --system-site-packages venv      # Debian's python3-torch is enough
    venv/bin/pip install 'numpy<2' pycocotools lvis 'opencv-python-headless<4.10' pyyaml pillow psutil requests
    venv/bin/pip install --no-deps torchvision==0.15.2 ultralytics py-cpuinfo
"""
import argparse
import collections
import contextlib
import glob
import io
import json
import os
import pathlib
import random
import subprocess
import sys
import tarfile
import tempfile
import warnings
import xml.etree.ElementTree

import import_rules
import odd_files

warnings.filterwarnings("ignore")
PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".ppm"}


class Tally:
    """A row of the table."""

    def __init__(self, reader, data):
        self.reader, self.data = reader, data
        self.files = self.boxes = self.equal = 0
        self.reasons, self.unexplained = collections.Counter(), []

    def match(self, entries, ours, where):
        """Pairs the entries of a picture with our regions of it."""
        left = list(ours)
        # Entries with one outcome first: they cannot be mistaken for another's alternative.
        for entry in sorted(entries, key=lambda e: len(e.outcomes)):
            self.boxes += 1
            for box, reason in entry.outcomes:
                found = None if box is None else import_rules.find(left, entry.label, box)
                if box is not None and found is None:
                    continue
                if found is not None:
                    left.remove(found)
                if reason:
                    self.reasons[reason] += 1
                else:
                    self.equal += 1
                break
            else:
                self.unexplained.append(f"{where}: {entry} is not in {ours}")
        for region in left:
            self.boxes += 1
            self.unexplained.append(f"{where}: only we have {region}")

    def row(self):
        reasons = "; ".join(f"{count} {reason}" for reason, count in self.reasons.most_common()) or "-"
        return (f"| {self.reader} | {self.data} | {self.files} | {self.boxes} | {self.equal} | {reasons} "
                f"| {len(self.unexplained)} |")


def import_with(binary, form, images, annotations):
    """{path of the picture: [(text, box)]} of our importer, found by the pictures' bytes."""
    by_bytes = {}
    for path in glob.glob(f"{glob.escape(str(images))}/**", recursive=True):
        if pathlib.Path(path).suffix.lower() in PICTURES:
            with open(path, "rb") as file:
                by_bytes[file.read()] = os.path.relpath(path, images)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run([binary, "data", "import", "--format", form, "--images", images, "--annotations",
                              annotations, "--threads", "1", "--out", f"{folder}/s"], capture_output=True,
                             encoding="utf-8", errors="replace")
        if run.returncode not in (0, 2):
            raise RuntimeError(f"exit code {run.returncode}: {run.stderr[-300:]}")
        for path in sorted(glob.glob(f"{folder}/s/*.tar")):
            regions, picture = {}, {}
            with tarfile.open(path) as shard:
                for member in shard:
                    data = shard.extractfile(member).read()
                    key = member.name.rpartition(".")[0]
                    if member.name.endswith(".json"):
                        regions[key] = [(r["text"], r["box"]) for r in json.loads(data).get("regions", [])]
                    elif not member.name.endswith(".txt"):
                        picture[key] = by_bytes[data]
            found.update({name: regions.get(key, []) for key, name in picture.items()})
    return found, run.stderr


def read_instances(kind, path):
    """The other reader's list of annotations by picture, and its classes."""
    with contextlib.redirect_stdout(io.StringIO()):
        if kind == "pycocotools":
            from pycocotools.coco import COCO
            read = COCO(str(path))
            return read.dataset, read.imgToAnns, {number: c["name"] for number, c in read.cats.items()}
        import lvis
        read = lvis.LVIS(str(path))
        return read.dataset, read.img_ann_map, {number: c["name"] for number, c in read.cats.items()}


def compare_instances(tally, binary, folder, truth, kind, path=None, images=None):
    """One COCO or LVIS file. `truth`: position in "images" -> (path of the picture, its size, EXIF turn)."""
    path, images = path or f"{folder}/ann.json", images or f"{folder}/imgs"
    ours, _ = import_with(binary, "coco" if kind == "pycocotools" else "lvis", images, path)
    tally.files += 1
    try:
        root, by_picture, classes = read_instances(kind, path)
    except (UnicodeDecodeError, json.JSONDecodeError):  # a byte order mark or UTF-16
        tally.reasons["file refused by the other reader: read again as plain UTF-8"] += 1
        raw = pathlib.Path(path).read_bytes()
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        pathlib.Path(f"{folder}/plain.json").write_bytes(text.encode())
        root, by_picture, classes = read_instances(kind, f"{folder}/plain.json")
    for position, image in enumerate(root["images"]):
        where = f"{path} picture {image['id']!r}"
        entries = import_rules.coco_entries(image, root["annotations"], by_picture[image["id"]], classes,
                                            truth.get(position))
        if position in truth:
            tally.match(entries, ours.pop(truth[position][0], []), where)
        else:
            tally.boxes += len(entries)
            tally.reasons["picture is not there"] += len(entries)
    for name, regions in ours.items():
        tally.match([], regions, f"{path}: {name}, which no entry means,")


def compare_voc(tally, binary, folder, truth):
    from torchvision.datasets import VOCDetection
    ours, _ = import_with(binary, "voc", f"{folder}/imgs", f"{folder}/xml")
    for name, size in truth.items():
        path = f"{folder}/xml/{name}.xml"
        tally.files += 1
        try:
            tree = VOCDetection.parse_voc_xml(xml.etree.ElementTree.parse(path).getroot())["annotation"]
        except xml.etree.ElementTree.ParseError:
            tally.reasons["XML that is cut short: neither reads it"] += 1
            tree = {}
        entries = import_rules.voc_entries(tree, size)
        if size is None:
            tally.boxes += len(entries)
            tally.reasons["picture is not there"] += len(entries)
        else:
            picture = next(iter(glob.glob(f"{folder}/imgs/{glob.escape(name)}.*")))
            tally.match(entries, ours.pop(os.path.relpath(picture, f"{folder}/imgs"), []), path)
    for name, regions in ours.items():
        tally.match([], regions, f"{folder}: {name}, which no XML means,")


def compare_yolo(tally, binary, images, labels, yaml, classes, kind="detect", shape=None):
    """Line by line: ultralytics drops a whole file for one line, we only the line."""
    from ultralytics.data.utils import verify_image_label
    ours, _ = import_with(binary, "yolo", images, yaml)

    def verify(picture, label):
        return verify_image_label((picture, label, "", shape is not None, len(classes), *(shape or (0, 0)), False))

    with tempfile.TemporaryDirectory() as scratch:
        for name, regions in ours.items():
            tally.files += 1
            picture = f"{images}/{name}"
            label = f"{labels}/{os.path.splitext(name)[0]}.txt"
            whole = verify(picture, label)
            lines = []
            if os.path.exists(label):
                with open(label, encoding="utf-8-sig") as file:
                    lines = [line for line in file.read().splitlines() if line.strip()]
            if whole[8] and len(lines) > 1:
                tally.reasons["file dropped by ultralytics for one of its lines: compared line by line"] += 1
            entries = []
            for line in lines:
                with open(f"{scratch}/line.txt", "w", encoding="utf-8") as file:
                    file.write(line)
                read = verify(picture, f"{scratch}/line.txt")
                theirs = None if read[1] is None else [float(value) for value in read[1][0]]
                entries.append(import_rules.yolo_entry(line, theirs, classes, kind, shape, line in lines[:len(entries)]))
            tally.match(entries, regions, label)


def real_sets(options, tally_of):
    """The data sets of --data."""
    from PIL import Image
    data = options.data
    for name in ("coco", "openimages5"):
        if wanted(options, "pycocotools"):
            root = json.loads((data / name / "instances.json").read_text())
            truth = {i: (image["file_name"], Image.open(data / name / "images" / image["file_name"]).size, None)
                     for i, image in enumerate(root["images"]) if (data / name / "images" / image["file_name"]).exists()}
            compare_instances(tally_of("pycocotools", name), options.binary, None, truth, "pycocotools",
                              data / name / "instances.json", data / name / "images")
    if wanted(options, "lvis"):
        with tempfile.TemporaryDirectory() as folder:
            root, truth = json.loads((data / "formats/lvis_val_100.json").read_text()), {}
            for i, image in enumerate(root["images"]):
                name = image["coco_url"].rpartition("/")[2]
                odd_files.write_png(f"{folder}/{name}", image["width"], image["height"])
                truth[i] = (name, (image["width"], image["height"]), None)
            compare_instances(tally_of("lvis", "lvis_val_100"), options.binary, None, truth, "lvis",
                              data / "formats/lvis_val_100.json", folder)
    if wanted(options, "torchvision"):
        with tempfile.TemporaryDirectory() as folder:
            truth = voc_of_coco(data / "openimages5", folder)
            compare_voc(tally_of("torchvision", "openimages5 as VOC"), options.binary, folder, truth)
    if wanted(options, "ultralytics"):
        import yaml
        signs = data / "road_signs"
        compare_yolo(tally_of("ultralytics", "road_signs"), options.binary, signs / "images", signs / "labels",
                     signs / "data.yaml", yaml.safe_load((signs / "data.yaml").read_text())["names"])


def voc_of_coco(source, folder):
    """Writes a COCO data set as VOC's XML: pixels count from 1, boxes hold their last pixel."""
    root, truth = json.loads((source / "instances.json").read_text()), {}
    classes = {c["id"]: c["name"] for c in root["categories"]}
    os.makedirs(f"{folder}/xml")
    os.symlink((source / "images").resolve(), f"{folder}/imgs")
    for image in root["images"]:
        name = os.path.splitext(image["file_name"])[0]
        truth[name] = (image["width"], image["height"])
        text = f"<annotation><filename>{image['file_name']}</filename><size><width>{image['width']}</width>" \
               f"<height>{image['height']}</height><depth>3</depth></size>"
        for annotation in root["annotations"]:
            if annotation["image_id"] == image["id"]:
                x, y, w, h = annotation["bbox"]
                text += f"<object><name>{classes[annotation['category_id']]}</name><bndbox><xmin>{x + 1}</xmin>" \
                        f"<ymin>{y + 1}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object>"
        pathlib.Path(f"{folder}/xml/{name}.xml").write_text(text + "</annotation>")
    return truth


def odd_sets(options, tally_of):
    """--files odd files of each format."""
    for reader in ("pycocotools", "lvis", "torchvision", "ultralytics"):
        if not wanted(options, reader):
            continue
        tally, rng = tally_of(reader, "odd files"), random.Random(f"{options.seed} {reader}")
        while tally.files < options.files:
            with tempfile.TemporaryDirectory() as folder:
                if reader in ("pycocotools", "lvis"):
                    truth = odd_files.make_coco(rng, folder, lvis=reader == "lvis")
                    compare_instances(tally, options.binary, folder, truth, reader)
                elif reader == "torchvision":
                    compare_voc(tally, options.binary, folder, odd_files.make_voc(rng, folder))
                else:
                    kind, shape, _ = odd_files.make_yolo(rng, folder)
                    compare_yolo(tally, options.binary, f"{folder}/images", f"{folder}/labels", f"{folder}/data.yaml",
                                 odd_files.NAMES, kind, shape)


def wanted(options, reader):
    return not options.only or reader in options.only


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--data", type=pathlib.Path, help="folder with coco, openimages5, formats, road_signs")
    parser.add_argument("--files", type=int, default=200, help="odd files of each format")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", default=[], metavar="READER")
    options = parser.parse_args()
    tallies = []

    def tally_of(reader, data):
        tallies.append(Tally(reader, data))
        return tallies[-1]

    if options.data:
        real_sets(options, tally_of)
    odd_sets(options, tally_of)
    print("| reader | data | files | boxes compared | equal | differ for a reason | unexplained |\n|" + "---|" * 7)
    for tally in tallies:
        print(tally.row())
    unexplained = [line for tally in tallies for line in tally.unexplained]
    for line in unexplained[:40]:
        print(f"unexplained: {line}", file=sys.stderr)
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
