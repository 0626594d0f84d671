"""What is right for the public reports of make_reports.py."""
import re

import outputs
from expectations import (FIRST, MIDDLE, SECOND, all_regions, captions, case, expect, has, near, refuses, regions, says,
                          speaks_of, stats_of, succeeds)
from expectations_models import embeddings

COUNTED = ("skipped", "left out", "cannot be used", "warning")


def counted(c, *words):
    """Nothing of it is among the regions, and the output says so."""
    expect(not all_regions(c.records()), f"regions {all_regions(c.records())}")
    says(c.text, COUNTED, *words)


@case
def coco_category_0(c):
    has(c.records(), "a", "cat", FIRST)


@case
def coco_category_gaps(c):
    has(c.records(), "a", "dog", FIRST)


@case
def coco_image_id_of_nobody(c):
    found = c.records()
    has(found, "0", "cat", FIRST)
    expect(len(all_regions(found)) == 1, f"regions {all_regions(found)}")
    says(c.text, COUNTED, ("image_id", "annotation"))


@case
def coco_name_within_name(c):
    has(c.records(), "honeybee", "cat", FIRST)
    has(c.records(), "bee", "dog", SECOND)


@case
def coco_width_is_height(c):
    says(c.text, "a.png", ("size", "48x64", "64x48"))


@case
def coco_equal_annotation_ids(c):
    has(c.records(), "a", "cat", FIRST)
    has(c.records(), "b", "dog", SECOND)


@case
def voc_corners_swapped(c):
    if all_regions(c.records()):
        has(c.records(), "a", "cat", FIRST)
    else:
        counted(c, "a.")


@case
def voc_order_of_tags(c):
    has(c.records(), "a", "cat", FIRST)


@case
def voc_from_zero(c):
    found = regions(c.records().get("a", {}))
    # The last pixel counts from 1 or from 0.
    expect(len(found) == 1 and near(found[0][1], (0, 0.16667, 1, 0.5), 0.021), f"regions {found}")


@case
def voc_negative(c):
    found = regions(c.records().get("a", {}))
    expect(len(found) == 1 and near(found[0][1], (0, 0.16667, 0.375, 0.5)), f"regions {found}")


@case
def voc_fractions(c):
    has(c.records(), "a", "cat", (8.5 / 64, 8.25 / 48, 24.5 / 64, 24.75 / 48))


@case
def voc_no_width(c):
    if all_regions(c.records()):
        has(c.records(), "a", "cat", (8 / 64, 8 / 48, 9 / 64, 24 / 48))
    else:
        counted(c, "a.")


def box_or_counted(c, box):
    if all_regions(c.records()):
        has(c.records(), "a", "cat", box)
    else:
        counted(c, "a.txt")


@case
def yolo_other_keypoints(c):
    box_or_counted(c, MIDDLE)


@case
def yolo_keypoints_undeclared(c):
    x, y, w, h = 0.680863, 0.595223, 0.20369, 0.0726488
    box_or_counted(c, (x - w / 2, y - h / 2, x + w / 2, y + h / 2))


@case
def yolo_over_one(c):
    has(c.records(), "a", "cat", (0.65, 0.25, 1, 0.75))
    expect(re.search(r"clipped\D*1\b", c.text), "not counted as clipped")


@case
def yolo_negative(c):
    has(c.records(), "a", "cat", (0, 0.25, 0.45, 0.75))
    expect(re.search(r"clipped\D*1\b", c.text), "not counted as clipped")


@case
def yolo_odd_polygon(c):
    if all_regions(c.records()):  # a polygon with a score, as ultralytics writes its own predictions
        says(c.text, "odd", "a.txt")
    else:
        counted(c, "a.txt")


@case
def yolo_class_names_and_pixels(c):
    counted(c, "a.txt")


@case
def yolo_upper_case_ending(c):
    has(c.records(), "frame_003400", "cat", MIDDLE)


@case
def yolo_polygon(c):
    has(c.records(), "a", "cat", MIDDLE)


@case
def yolo_picture_called_images(c):
    has(c.records(), "images-1", "cat", MIDDLE)


@case
def jsonl_prompt(c):
    if captions(c.records().get("a", {})) != ["a dog"]:
        says(c.stderr, ("text", "caption"), ("no ", "none", "not one"))


@case
def csv_equal_base_names(c):
    got = {key: captions(record) for key, record in c.records().items()}
    expect(got == {"Cat/0": ["a cat"], "Dog/0": ["a dog"]}, f"captions {got}")


@case
def csv_of_urls(c):
    refuses(c.calls[0], ("url", "--csv-img-key"))


@case
def tar_dots_in_names(c):
    stats = stats_of(c)
    expect(stats["images"] == 1 and stats["images_with_text"] == 1 or stats["skipped"],
           f"images {stats['images']}, with text {stats['images_with_text']}, skipped {stats['skipped']}")


@case
def tar_dots_in_folders(c):
    stats = stats_of(c)
    expect(stats["images"] == 2 and stats["distinct_texts"] == 2,
           f"images {stats['images']}, texts {stats['distinct_texts']}")


@case
def tar_members_apart(c):
    stats = stats_of(c)
    expect(stats["images_with_text"] == 2 or stats["skipped"],
           f"with text {stats['images_with_text']}, skipped {stats['skipped']}")


@case
def tar_texts_alone(c):
    stats = stats_of(c)
    expect(stats["images"] == 1 and stats["skipped"].get("no image") == 1,
           f"images {stats['images']}, skipped {stats['skipped']}")


def same_embeddings(c):
    succeeds(c)
    off = outputs.furthest(embeddings(c, "a.st"), embeddings(c, "b.st"))
    expect(off <= 1e-6, f"embeddings differ by {off:.3g}")


@case
def model_compiled(c):
    same_embeddings(c)


@case
def model_compiled_in_ddp(c):
    same_embeddings(c)


@case
def model_position_ids(c):
    same_embeddings(c)


@case
def model_two_activations(c):
    if c.calls[-1].code == 2:
        refuses(c.calls[-1], "hidden_act")
    else:
        same_embeddings(c)


@case
def model_without_config(c):
    if all(call.code == 0 for call in c.calls):
        same_embeddings(c)
    else:
        refuses(c.calls[-1], ("config", "transformers", "hugging face"))


@case
def model_other_patch(c):
    refuses(c.calls[-1], "patch")


@case
def model_activation_unknown(c):
    expect(c.calls[-1].code in (0, 2), f"exit code {c.calls[-1].code}")
    expect(speaks_of(c.calls[-1].stderr, ("activation", "gelu")), "embed assumes an activation without a word")
