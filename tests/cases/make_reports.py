#!/usr/bin/env python3
"""Writes public bug reports of other programs as case folders: make_reports.py FOLDER

Each folder has a tiny input after the report's description and a README.md in the form that run_cases.py reads:
`COMMAND` -> the right outcome. expectations_reports.py judges them; docs/results/other_peoples_files.md lists them.
"""
import io
import json
import os
import shutil
import sys
import tarfile

from pictures import write_png

COCO = "opencloc data import --format coco --images imgs --annotations ann.json --out $OUT/s"
VOC = "opencloc data import --format voc --images imgs --annotations xml --out $OUT/s"
YOLO = "opencloc data import --format yolo --images ds/images --annotations ds/data.yaml --out $OUT/s"
STATS = "opencloc data stats --data x.tar --json"
EMBED = "opencloc embed --model $OUT/{0} --images one.png --out $OUT/{0}.st"
CATEGORIES = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]


class Report:
    """One folder. Pictures are 64 x 48; [8, 8, 16, 16] in pixels is the usual box."""

    def __init__(self, root, name, source, given, command, right):
        self.folder = os.path.join(root, name)
        os.makedirs(self.folder)
        self.text("README.md", f"`{command}` -> {right}\n\nInput: {given}\n\nFrom: {source}.\n")

    def text(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return self

    def pictures(self, *names):
        for name in names:
            write_png(os.path.join(self.folder, name), 64, 48)
        return self

    def coco(self, images, annotations, categories=None):
        """images: (id, file name[, width, height]); annotations: (image id, category id, box[, id])."""
        self.text("ann.json", json.dumps({
            "images": [dict(zip(("id", "file_name", "width", "height"), (*image, 64, 48)[:4])) for image in images],
            "annotations": [{"id": a[3] if len(a) > 3 else i + 1, "image_id": a[0], "category_id": a[1], "bbox": a[2]}
                            for i, a in enumerate(annotations)], "categories": categories or CATEGORIES}))
        return self

    def voc(self, name, bounds):
        self.pictures(f"imgs/{name}.png")
        return self.text(f"xml/{name}.xml", f"<annotation><filename>{name}.png</filename><size><width>64</width>"
                         f"<height>48</height></size><object><name>cat</name><bndbox>{bounds}</bndbox></object>"
                         "</annotation>")

    def yolo(self, line, yaml="names: [cat, dog]\n", picture="a.png"):
        self.pictures(f"ds/images/{picture}")
        self.text(f"ds/labels/{os.path.splitext(picture)[0]}.txt", line + "\n")
        return self.text("ds/data.yaml", yaml)

    def tar(self, *members):
        with tarfile.open(os.path.join(self.folder, "x.tar"), "w", format=tarfile.USTAR_FORMAT) as shard:
            for name, data in members:
                if data is None:
                    self.pictures("one.png")
                    with open(os.path.join(self.folder, "one.png"), "rb") as file:
                        data = file.read()
                info = tarfile.TarInfo(name)
                info.size = len(data)
                shard.addfile(info, io.BytesIO(data))
        return self


def corners(x0, y0, x1, y1, order="xmin ymin xmax ymax"):
    values = {"xmin": x0, "ymin": y0, "xmax": x1, "ymax": y1}
    return "".join(f"<{key}>{values[key]}</{key}>" for key in order.split())


def make_coco(new):
    box = [8, 8, 16, 16]
    new("coco_category_0", "open-edge-platform/datumaro#733, #156", "categories 0 and 1", COCO,
        "the class of category_id 0 is the one with id 0").pictures("imgs/a.png").coco(
        [(1, "a.png")], [(1, 0, box)], [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}])
    new("coco_category_gaps", "NVIDIA/DALI#943", "categories 11 and 59", COCO, "classes by id, not by place").pictures(
        "imgs/a.png").coco([(1, "a.png")], [(1, 59, box)], [{"id": 11, "name": "cat"}, {"id": 59, "name": "dog"}])
    new("coco_image_id_of_nobody", "cvat-ai/cvat#1334", "images 0, 1, 2; annotations of images 0, 5, 10", COCO,
        "one region; two annotations counted, because no picture has their image_id").pictures(
        "imgs/0.png", "imgs/1.png", "imgs/2.png").coco(
        [(0, "0.png"), (1, "1.png"), (2, "2.png")], [(0, 1, box), (5, 1, box), (10, 1, box)])
    new("coco_name_within_name", "bnsreenu/digitalsreeni-image-annotator#45", "bee.png beside honeybee.png", COCO,
        "each has its own box").pictures("imgs/bee.png", "imgs/honeybee.png").coco(
        [(1, "honeybee.png"), (2, "bee.png")], [(1, 1, box), (2, 2, [40, 8, 16, 16])])
    new("coco_width_is_height", "PaddleCV-SIG/PaddleLabel#172", "width and height exchanged, no EXIF", COCO,
        "the picture is counted and named; no wrong box without a word").pictures("imgs/a.png").coco(
        [(1, "a.png", 48, 64)], [(1, 1, box)])
    new("coco_equal_annotation_ids", "roboflow/supervision#285", "both annotations have id 1", COCO,
        "both regions, each on its picture").pictures("imgs/a.png", "imgs/b.png").coco(
        [(1, "a.png"), (2, "b.png")], [(1, 1, box, 1), (2, 2, [40, 8, 16, 16], 1)])


def make_voc(new):
    new("voc_corners_swapped", "WenyaoL/tools-VOC#3", "xmin 24, xmax 9", VOC,
        "put in order, or counted by name").voc("a", corners(24, 9, 9, 24))
    new("voc_order_of_tags", "datitran/raccoon_dataset#74", "ymin, xmin, ymax, xmax", VOC,
        "corners by tag, not by place").voc("a", corners(9, 9, 24, 24, "ymin xmin ymax xmax"))
    new("voc_from_zero", "microsoft/VoTT#923", "xmin 0, xmax 64 of 64", VOC,
        "within the picture, from edge to edge").voc("a", corners(0, 9, 64, 24))
    new("voc_negative", "thsant/wgisd#1", "xmin -0.6", VOC, "clipped to the picture").voc(
        "a", corners(-0.604736, 9, 24, 24))
    new("voc_fractions", "joheras/CLoDSA#10", "xmin 9.5 and others", VOC, "fractions are kept").voc(
        "a", corners(9.5, 9.25, 24.5, 24.75))
    new("voc_no_width", "akhilpm/DroneDetectron2#32", "xmax = xmin", VOC,
        "one pixel wide (VOC's boxes hold their last pixel), or counted").voc("a", corners(9, 9, 9, 24))


def make_yolo(new):
    new("yolo_other_keypoints", "ultralytics/ultralytics#14205", "kpt_shape [4, 2], lines with 4 x 3 numbers", YOLO,
        "counted, or the box alone; no polygon").yolo(
        "0 0.5 0.5 0.5 0.5 " + "0.3 0.3 2 " * 4, "names: [cat, dog]\nkpt_shape: [4, 2]\n")
    new("yolo_keypoints_undeclared", "ultralytics/JSON2YOLO#94", "5 keypoints of 3 numbers, no kpt_shape", YOLO,
        "counted, or the box alone").yolo("0 0.680863 0.595223 0.20369 0.0726488 0.579017 0.631547 2 0.687827 "
                                          "0.609047 2 0.748973 0.590758 2 0.782708 0.558898 2 0.6325 0.624151 2")
    new("yolo_over_one", "ultralytics/yolov5#3656", "the box ends at 1.15", YOLO, "clipped and counted").yolo(
        "0 0.9 0.5 0.5 0.5")
    new("yolo_odd_polygon", "ultralytics/ultralytics#8262", "a polygon of 55 numbers", YOLO,
        "the line is counted, or named as a polygon with a score").yolo(
        "0 " + " ".join(f"{0.2 + 0.01 * i:.2f}" for i in range(55)))
    new("yolo_negative", "ultralytics/ultralytics#13203", "the box begins at -0.05", YOLO, "clipped and counted").yolo(
        "0 0.2 0.5 0.5 0.5")
    new("yolo_class_names_and_pixels", "ultralytics/ultralytics#8839", "'Airplane 0.0 146.07 392.39 325.41'", YOLO,
        "the line is counted").yolo("Airplane 0.0 146.06531999999999 392.390656 325.405")
    new("yolo_upper_case_ending", "eriklindernoren/PyTorch-YOLOv3#649", "frame_003400.PNG", YOLO,
        "its label is found").yolo("0 0.5 0.5 0.5 0.5", picture="frame_003400.PNG")
    new("yolo_polygon", "ultralytics/yolov5#10807", "a polygon of 5 points", YOLO, "the box around it").yolo(
        "0 0.25 0.5 0.5 0.25 0.75 0.5 0.6 0.75 0.4 0.75")
    new("yolo_picture_called_images", "pjreddie/darknet#1703", "images/images-1.png, labels/images-1.txt", YOLO,
        "its label is found").yolo("0 0.5 0.5 0.5 0.5", picture="images-1.png")


def make_rows(new):
    new("jsonl_prompt", "huggingface/datasets#6442", "metadata.jsonl with file_name and prompt",
        "opencloc data import --format jsonl --images imgs --annotations imgs/metadata.jsonl --out $OUT/s",
        "the prompt is the caption, or a warning that no picture has a text").pictures("imgs/a.png").text(
        "imgs/metadata.jsonl", '{"file_name": "a.png", "prompt": "a dog"}\n')
    new("csv_equal_base_names", "huggingface/datasets#4069", "Cat/0.png and Dog/0.png in metadata.csv",
        "opencloc data import --format csv --images imgs --annotations imgs/metadata.csv --out $OUT/s",
        "each its own text").pictures("imgs/Cat/0.png", "imgs/Dog/0.png").text(
        "imgs/metadata.csv", "file_name,text\nDog/0.png,a dog\nCat/0.png,a cat\n")
    new("csv_of_urls", "rom1504/img2dataset#344", "LAION's table: URL and TEXT",
        "opencloc data import --format csv --images imgs --annotations t.csv --out $OUT/s",
        "exit 2, one line that names the columns or --csv-img-key").pictures("imgs/a.png").text(
        "t.csv", "URL,TEXT,similarity\nhttp://h/a.png,a dog,0.3\nhttp://h/b.png,a cat,0.4\n")


def make_shards(new):
    new("tar_dots_in_names", "webdataset/webdataset#237", "'Track 2.0 (Clean).png' and .txt", STATS,
        "the picture and its text, or counted").tar(("235342 Track 2.0 (Clean).png", None),
                                                    ("235342 Track 2.0 (Clean).txt", b"a dog"))
    new("tar_dots_in_folders", "huggingface/datasets#7150", "some/path/22.0/1.1.png", STATS,
        "two samples, two texts: 22.0/1 and 22.1/1").tar(
        ("some/22.0/1.png", None), ("some/22.0/1.txt", b"a dog"), ("some/22.1/1.png", None),
        ("some/22.1/1.txt", b"a cat"))
    new("tar_members_apart", "webdataset/webdataset#407", "all pictures, then all texts", STATS,
        "put together, or the texts without a picture counted").tar(
        ("0.png", None), ("1.png", None), ("0.txt", b"a dog"), ("1.txt", b"a cat"))
    new("tar_texts_alone", "mlfoundations/open_clip#179", "a sample of json and txt", STATS, "counted: no image").tar(
        ("0.png", None), ("0.txt", b"a dog"), ("1.json", b"{}"), ("1.txt", b"a cat"))


def make_models(new):
    hf = "../make_model.py hf $OUT/a && ../edit_model.py {0} $OUT/a $OUT/b; " + EMBED.format("a") + "; " + \
        EMBED.format("b")
    new("model_compiled", "karpathy/nanoGPT#325, mlfoundations/open_clip#639", "prefix _orig_mod.",
        hf.format("prefix=_orig_mod."), "loads as without").pictures("one.png")
    new("model_compiled_in_ddp", "FareedKhan-dev/train-llm-from-scratch#36", "prefix module._orig_mod.",
        hf.format("prefix=module._orig_mod."), "loads as without").pictures("one.png")
    new("model_position_ids", "d8ahazard/sd_dreambooth_extension#6", "position_ids among the weights",
        hf.format("position_ids"), "loads as without").pictures("one.png")
    new("model_two_activations", "huggingface/transformers#25787", "hidden_act gelu (pictures), quick_gelu (texts)",
        hf.format("text_quick_gelu"), "each tower by its own, or one line that says it").pictures("one.png")
    new("model_without_config", "mlfoundations/open_clip#983", "transformers' names in pytorch_model.bin, no config.json",
        hf.format("bin_alone"), "one line that says what is missing, or loads").pictures("one.png")
    new("model_other_patch", "wisdomikezogwo/quilt1m#20", "config.json says 8, the weights have patches of 16",
        hf.format("other_patch"), "exit 2, one line with the tensor and both shapes").pictures("one.png")
    new("model_activation_unknown", "mlfoundations/open_clip#771", "an open_clip checkpoint alone",
        "../make_model.py two_epochs $OUT/m; opencloc embed --model $OUT/m/epoch_1.pt --images one.png --out $OUT/e.st",
        "a warning that the activation is assumed").pictures("one.png")


def main(root):
    os.makedirs(root, exist_ok=True)
    for maker in (make_coco, make_voc, make_yolo, make_rows, make_shards, make_models):
        maker(lambda *words: Report(root, *words))
    shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), "edit_model.py"), root)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: make_reports.py FOLDER")
    main(sys.argv[1])
