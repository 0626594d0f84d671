"""What is right for the cases known by name: pictures and JSON here, text, tables, YOLO and
folders in expectations_text.py, models and messages in expectations_models.py.

A check takes a Case that ran (run_cases.py) and raises Wrong with the reason. Where a README allows several
outcomes, each is accepted. `within` is in shares of the picture: the READMEs round to four digits.
"""
import math
import os
import shutil
import subprocess

from outputs import all_regions, captions, json_objects, regions

TABLE = {}
WANT_MODEL = {"brace_names_a_missing_shard"}  # more cases that need a model directory
FIRST, SECOND = (0.125, 0.16667, 0.375, 0.5), (0.625, 0.16667, 0.875, 0.5)
MIDDLE = (0.25, 0.25, 0.75, 0.75)


class Wrong(Exception):
    pass


class Skipped(Exception):
    pass


def case(check):
    TABLE[check.__name__] = check
    return check


def require(run):
    """Skipped, when this machine cannot run the case."""
    if "setpriv" in run.command and (os.geteuid() != 0 or not shutil.which("setpriv")):
        raise Skipped("needs root and setpriv")
    if "make_model.py" not in run.command:
        return
    if not (run.bench.cases / "make_model.py").exists():
        raise Skipped("there is no make_model.py")
    torch = subprocess.run(["/usr/bin/python3", "-c", "import torch"], stderr=subprocess.DEVNULL)
    if torch.returncode != 0:
        raise Skipped("needs python3-torch")


def expect(condition, reason):
    if not condition:
        raise Wrong(reason)


def near(box, wanted, within=2e-4):
    return len(box) == 4 and all(math.isfinite(a) and abs(a - b) <= within for a, b in zip(box, wanted))


def has(found, key, text, box, score=1.0):
    """One region alone, in the sample `key`."""
    expect(key in found, f"{key} is not among the samples {sorted(found)}")
    got = regions(found[key])
    expect(len(got) == 1 and got[0][0] == text and near(got[0][1], box) and abs(got[0][2] - score) < 1e-4,
           f"{key} has {got}, not '{text}' at {box}")


def says(text, *words):
    """Every word (or one of a tuple) is in the text, whatever its case."""
    low = text.lower()
    for word in words:
        options = word if isinstance(word, tuple) else (word,)
        expect(any(option.lower() in low for option in options), f"no word of {' or '.join(options)}")


def speaks_of(text, *words):
    try:
        says(text, *words)
        return True
    except Wrong:
        return False


def refuses(call, *words):
    """Exit code 2 and one line on stderr that holds the words."""
    expect(call.code == 2, f"exit code {call.code}, not 2 ({' '.join(call.args[:2])})")
    expect(len(call.lines) == 1, f"{len(call.lines)} lines on stderr, not one")
    says(call.stderr, *words)


def succeeds(result, code=0):
    codes = [call.code for call in result.calls] or [result.code]
    expect(all(c == code for c in codes), f"exit codes {codes}: {(result.stderr.splitlines() or [''])[-1][:200]}")


def stats_of(run):
    succeeds(run)
    found = json_objects(run.calls[-1].stdout)
    expect(found, "no JSON on stdout")
    return found[0]


def skipped_in(stats):
    return sum(stats.get("skipped", {}).values())


# Wrong picture

@case
def coco_backslash_file_names(c):
    found = c.records()
    if not all_regions(found):
        says(c.text, "missing", "dd-frame_2", "cc-frame_1")
        return
    has(found, "dd-frame_2", "cat", FIRST)
    has(found, "cc-frame_1", "dog", SECOND)


@case
def coco_missing_file_other_number(c):
    found = c.records()
    expect(sorted(found) == ["z"], f"samples {sorted(found)}, not z alone")
    has(found, "z", "dog", (0.0625, 0.16667, 0.3125, 0.5))
    says(c.text, "missing", "a.jpg", "b.jpg")


@case
def jsonl_paths_of_another_machine(c):
    found = c.records()
    if not any(captions(record) for record in found.values()):
        says(c.text, ("ambiguous", "missing"), "cats/1.jpg", "dogs/1.jpg")
        return
    got = {key: captions(record) for key, record in found.items()}
    expect(got == {"cats/1": ["a cat"], "dogs/1": ["a dog"]}, f"captions {got}")


@case
def voc_one_filename_in_all(c):
    found = c.records()
    has(found, "a", "cat", FIRST)
    has(found, "b", "dog", SECOND)


@case
def voc_two_folders(c):
    found = c.records()
    has(found, "cam1/0001", "cat", FIRST)
    has(found, "cam2/0001", "dog", SECOND)


# Sizes that contradict, and EXIF

@case
def coco_exif_turned(c):
    got = all_regions(c.records())
    if len(got) == 1 and near(got[0][1], (0.125, 0.08333, 0.375, 0.41667)):
        return
    expect(not got, f"a wrong box: {got}")
    says(c.text, "phone.jpg", ("turn", "exif", "orientation", "rotat"))


@case
def coco_size_of_another_picture(c):
    says(c.text, "a.jpg", ("size", "x48", "x64"))


# JSON as Python writes it; one odd value

@case
def coco_image_id_null(c):
    succeeds(c)
    found = c.records()
    expect(len(all_regions(found)) == 1, f"regions {all_regions(found)}, not one")
    has(found, "a", "cat", FIRST)
    says(c.text, ("annotation", "image_id"), ("skipped", "left out", "cannot be used"))


@case
def coco_nan(c):
    succeeds(c)
    has(c.records(), "a", "cat", FIRST)


@case
def coco_string_ids(c):
    succeeds(c)
    has(c.records(), "img_0001", "cat", FIRST)


@case
def coco_polygons_alone(c):
    got = all_regions(c.records())
    if len(got) == 2 and all(near(box, FIRST) and text == "cat" for text, box, _ in got):
        return
    expect(not got, f"regions {got}")
    says(c.text, "no bbox")


@case
def tar_caption_is_a_list(c):
    stats = stats_of(c)
    expect(stats["images"] == 3, f"images {stats['images']}, not 3")
    # "a dog", "an animal" and "one text"; 1984 may be kept as a text
    expect(stats["captions"] in (3, 4), f"captions {stats['captions']}, not 3 (4 with 1984)")
    expect(stats["images_with_text"] in (2, 3), f"images_with_text {stats['images_with_text']}")


@case
def tar_nan_in_json(c):
    stats = stats_of(c)
    expect(stats["images"] == 2 and skipped_in(stats) == 0,
           f"images {stats['images']}, skipped {stats['skipped']}")


@case
def tar_one_bad_region(c):
    stats = stats_of(c)
    expect(stats["images"] == 1, f"images {stats['images']}, not 1")
    expect(stats["regions"] == 1 and skipped_in(stats) == 2 or stats["regions"] == 0 and skipped_in(stats) > 0,
           f"regions {stats['regions']}, skipped {stats['skipped']}")


# At the end: the table of the others is filled.
import expectations_models  # noqa: E402,F401
import expectations_text  # noqa: E402,F401
