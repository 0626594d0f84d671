"""Odd data sets from a seed: what label tools and scripts really write, beside sound entries.

Each maker fills a folder with pictures and one annotation file of a format and returns which picture an entry
means (a truth that no reader has to guess). import_agreement.py reads them with OpenCLOC and with others.
"""
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/cases"))
from pictures import write_png  # noqa: E402

NAMES = ["cat", "traffic_light", "Straße", "dog house"]


def write_text(rng, path, text):
    """UTF-8, now and then with a byte order mark or as UTF-16."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    encoding = rng.choices(["utf-8", "utf-8-sig", "utf-16"], [16, 2, 1])[0]
    with open(path, "wb") as file:
        file.write(text.encode(encoding))
    return encoding


def sound_box(rng, width, height):
    x, y = rng.uniform(0, width - 4), rng.uniform(0, height - 4)
    box = [x, y, rng.uniform(2, width - x), rng.uniform(2, height - y)]
    return [round(v) if rng.random() < 0.3 else round(v, rng.choice([1, 2, 6])) for v in box]


def odd_box(rng, width, height):
    box = sound_box(rng, width, height)
    kind = rng.randrange(9)
    if kind == 0:
        return box[:3]
    if kind == 1:
        return [box[0], box[1], 0, box[3]]
    if kind == 2:
        return [box[0], box[1], -box[2], box[3]]
    if kind == 3:
        return [-box[0] - 3, box[1], box[0] + 6, box[3]]
    if kind == 4:
        return [width + 5, box[1], 7, box[3]]
    if kind == 5:
        return [float("nan"), *box[1:]]
    if kind == 6:
        return [box[0], box[1], float("inf"), box[3]]
    if kind == 7:
        return None
    return [box[0], box[1], box[2] + width, box[3] + height]


def make_coco(rng, folder, lvis=False):
    """ann.json and imgs/. Returns {picture: (key, size)} by the position of its entry in "images"."""
    images, annotations, truth = [], [], {}
    for i in range(rng.randint(1, 4)):
        width, height = rng.randint(16, 70), rng.randint(16, 70)
        name = rng.choice(["pic {}.png", "a/b/pic{}.png", "pic.v1.{}.png", "bild_ü{}.png", "000{}.png"]).format(i)
        number = rng.choice([i + 1, -i - 5, 10 ** 12 + i, f"img_{i}"])
        image = {"id": number, "file_name": name, "width": width, "height": height}
        orientation = None
        odd = rng.randrange(12)
        if odd == 0:
            image["width"] = image["height"] = None
        elif odd == 1:
            image["width"], image["height"] = width * 2, height * 2  # annotated at another scale
        elif odd == 2 and width != height:
            image["width"], image["height"] = height, width
            orientation = rng.choice([None, 6, 8])
        elif odd == 3:
            image["file_name"] = name.replace("/", "\\")
        elif odd == 4:
            image.update({"date_captured": None, "gsd": float("nan"), "extra": {"deep": [[1, [2]]]}})
        if lvis:
            image["coco_url"] = "http://images.cocodataset.org/val2017/" + name
            if rng.random() < 0.7:
                del image["file_name"]
        if odd != 5:  # 5: the picture is not there
            write_png(f"{folder}/imgs/{name}", width, height, orientation)
            truth[i] = (name, (width, height), orientation)
        images.append(image)
        for _ in range(rng.choice([0, 1, 2, 5])):
            annotations.append(coco_annotation(rng, image, number, width, height, len(annotations) + 1))
    write_png(f"{folder}/imgs/never named 3.png", 20, 20)
    rng.shuffle(annotations)
    categories = [{"id": i * 3 + 1, "name": name, "supercategory": None} for i, name in enumerate(NAMES)]
    root = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
    if rng.random() < 0.5:
        root = dict(reversed(root.items()))  # annotations before the pictures they belong to
    text = json.dumps(root, indent=rng.choice([None, 1]), ensure_ascii=False)
    if rng.random() < 0.5 or "\ud800" in text:  # a lone surrogate can be written as an escape only
        text = json.dumps(root, indent=rng.choice([None, 1]))
    if rng.random() < 0.2:
        text = text.replace("\n", "\r\n")
    write_text(rng, f"{folder}/ann.json", text)
    return truth


def coco_annotation(rng, image, number, width, height, index):
    size = image["width"] or width, image["height"] or height
    box = sound_box(rng, *size)
    x, y, w, h = box
    annotation = {"id": rng.choice([index, f"a{index}"]), "image_id": number, "bbox": box,
                  "category_id": rng.randrange(len(NAMES)) * 3 + 1, "iscrowd": 0, "area": w * h}
    kind = rng.randrange(16)
    if kind == 0:
        annotation["iscrowd"] = rng.choice([1, True, 1.0])
        annotation["segmentation"] = {"counts": [0, 5, 20], "size": [5, 5]}
    elif kind in (1, 2):
        annotation["bbox"] = odd_box(rng, *size)
    elif kind == 3:
        annotation["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        if rng.random() < 0.5:
            annotation["bbox"] = rng.choice([None, []])
    elif kind == 4:
        annotation["segmentation"] = {"counts": "PPYo1", "size": [size[1], size[0]]}
    elif kind == 5:
        annotation["category_id"] = rng.choice([99, None, "1"])
    elif kind == 6:
        annotation["image_id"] = str(number) if isinstance(number, int) else rng.choice([None, 77])
    elif kind == 7:
        annotation["area"] = float("nan")
        annotation["attributes"] = {"text": "\ud800", "occluded": False}
    elif kind == 8:
        annotation["keypoints"] = [0] * 51
    elif kind == 9:
        del annotation["iscrowd"], annotation["area"]
    elif kind == 10 and isinstance(number, int):
        annotation["image_id"] = float(number)
    return annotation


def make_voc(rng, folder, count=10):
    """xml/NAME.xml and imgs/NAME.png. Returns {name: size of the picture, None when it is not there}."""
    truth = {}
    for i in range(count):
        name = rng.choice(["pic {}", "pic.v1.{}", "bild_ü{}", "000{}"]).format(i)
        width, height = rng.randint(16, 70), rng.randint(16, 70)
        truth[name] = None if rng.random() < 0.08 else (width, height)
        if truth[name]:
            write_png(f"{folder}/imgs/{name}.png", width, height)
        objects = "".join(voc_object(rng, width, height) for _ in range(rng.choice([0, 1, 2, 4])))
        shape = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
        shape = rng.choice([shape, shape, "", "<size><width>0</width><height>0</height></size>", "<size/>"])
        named = rng.choice([f"{name}.png", f"{name}.png", f" {name}.png\n", ""])
        text = f"<annotation verified='yes'><folder>x</folder><filename>{named}</filename>{shape}{objects}</annotation>"
        if rng.random() < 0.3:
            text = text.replace("><", ">\r\n\t<")
        if rng.random() < 0.05:
            text = text[:len(text) * 2 // 3]
        write_text(rng, f"{folder}/xml/{name}.xml", text)
    return truth


def voc_object(rng, width, height):
    x, y, w, h = sound_box(rng, width, height)
    values = {"xmin": x + 1, "ymin": y + 1, "xmax": x + w, "ymax": y + h}
    name, more = rng.choice(NAMES), ""
    kind = rng.randrange(14)
    if kind == 0:
        values["xmin"], values["xmax"] = values["xmax"], values["xmin"]
    elif kind == 1:
        values["xmax"] = values["xmin"] - 1
    elif kind == 2:
        values["ymin"] = 0
    elif kind == 3:
        values["ymax"] = height + rng.choice([1, 30])
    elif kind == 4:
        values["xmin"] = -4.5
    elif kind == 5:
        values[rng.choice(sorted(values))] = rng.choice(["nan", "", "12px", "1e1", "+9", "inf", "0x10"])
    elif kind == 6:
        del values[rng.choice(sorted(values))]
    elif kind == 7:
        name = rng.choice(["", " cat ", "a&amp;b"])
    elif kind == 8:
        more = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></part>"
    elif kind == 9:
        more = "<difficult>1</difficult><truncated>0</truncated><pose>Unspecified</pose>"
    keys = sorted(values, key=lambda _: rng.random())
    bounds = "".join(f"<{key}>{values[key]}</{key}>" for key in keys)
    return f"<object><name>{name}</name>{more}<bndbox>{bounds}</bndbox></object>"


def make_yolo(rng, folder, count=10):
    """images/, labels/ and data.yaml. Returns (kind, size of kpt_shape or None, names of the pictures)."""
    kind = rng.choice(["detect", "detect", "segment", "pose"])
    shape = rng.choice([(2, 3), (17, 3), (4, 2)]) if kind == "pose" else None
    listed = "".join(f"  {i}: {name}\n" for i, name in enumerate(NAMES)) if rng.random() < 0.5 else None
    yaml = "names:\n" + listed if listed else f"names: [{', '.join(NAMES)}]\n"
    if shape:
        yaml += f"kpt_shape: [{shape[0]}, {shape[1]}]\n"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/data.yaml", "w", encoding="utf-8") as file:
        file.write(yaml)
    names = []
    for i in range(count):
        name = rng.choice(["pic {}", "pic.v1.{}", "bild_ü{}", "sub/000{}"]).format(i)
        names.append(name)
        write_png(f"{folder}/images/{name}.png", rng.randint(16, 70), rng.randint(16, 70))
        if rng.random() < 0.05:
            continue  # no label file
        lines = [yolo_line(rng, kind, shape) for _ in range(rng.choice([0, 1, 1, 2, 4]))]
        if lines and rng.random() < 0.1:
            lines.append(lines[0])
        text = "".join(line + rng.choice(["\n", "\n", "\r\n", "\n\n"]) for line in lines)
        if rng.random() < 0.2:
            text = text.replace(" ", rng.choice(["  ", "\t"]))
        os.makedirs(os.path.dirname(f"{folder}/labels/{name}"), exist_ok=True)
        with open(f"{folder}/labels/{name}.txt", "wb") as file:
            file.write((b"\xef\xbb\xbf" if rng.random() < 0.1 else b"") + text.encode())
    return kind, shape, names


def yolo_line(rng, kind, shape):
    w, h = rng.uniform(0.05, 0.5), rng.uniform(0.05, 0.5)
    cx, cy = rng.uniform(w / 2, 1 - w / 2), rng.uniform(h / 2, 1 - h / 2)
    number = f"{rng.randrange(len(NAMES))}"
    values = [cx, cy, w, h]
    if kind == "segment" and rng.random() < 0.9:
        values = [v for _ in range(rng.choice([3, 4, 4, 9])) for v in (rng.uniform(0, 1), rng.uniform(0, 1))]
    if shape and rng.random() < 0.9:
        for _ in range(shape[0]):
            values += [rng.uniform(0, 1), rng.uniform(0, 1)] + ([rng.choice([0, 1, 2])] if shape[1] == 3 else [])
    words = [rng.choice(["{:.6f}", "{:.9e}", "{!r}"]).format(v) for v in values]
    odd = rng.randrange(22)
    if odd == 0:
        number += ".0"
    elif odd == 1:
        number = rng.choice(["4", "-1", "1.5", "cat", "", "1e0", "999999999999"])
    elif odd == 2:
        words.append("0.75")
    elif odd == 3 and kind == "detect":
        words += ["0.75", "12"]
    elif odd == 4:
        words = words[:-1]
    elif odd == 5:
        words[0] = rng.choice(["nan", "inf", "0x1p-1", "0,5", ".5", "+0.5", "0.5.1", "1e400"])
    elif odd == 6:
        words[0] = rng.choice(["-0.2", "1.3", "320"])
    elif odd == 7 and len(words) > 2:
        words[2] = "0"
    elif odd == 8:
        words.append("# note")
    return " ".join([number, *words])
