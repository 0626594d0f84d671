"""What our importers do on purpose where other readers do something else: import_agreement.py's reasons.

An Entry is one annotation: its class as we write it, and the outcomes that are right, each a box in shares of the
picture (None: left out) with a reason; the reason "" means: as the other reader has it.
"""
import dataclasses
import math

NEAR = 3e-6  # float32 of numbers up to 1, through a width and a centre
CLIPPED = "sticks out of the picture: clipped"
NO_AREA = "no area in the picture: left out"
NOT_FINITE = "not finite: left out"
NOT_FOUR = "not four numbers: left out"
NO_CLASS = "class without a name: left out"
CONTRADICTS = "size contradicts the picture's: left out"


@dataclasses.dataclass
class Entry:
    label: str
    outcomes: list


def class_text(name):
    return name.replace("_", " ")


def find(regions, label, box):
    for text, ours in regions:
        if text == label and all(abs(a - b) <= NEAR for a, b in zip(ours, box)):
            return text, ours
    return None


def place(box):
    """The outcome of a box in shares of the picture that the other reader has, too."""
    if not all(math.isfinite(value) for value in box):
        return None, NOT_FINITE
    clipped = [min(max(value, 0.0), 1.0) for value in box]
    if clipped[2] - clipped[0] <= 1e-9 or clipped[3] - clipped[1] <= 1e-9:
        return None, NO_AREA
    return clipped, CLIPPED if max(abs(a - b) for a, b in zip(box, clipped)) > NEAR else ""


def unit(box, size):
    return [box[0] / size[0], box[1] / size[1], box[2] / size[0], box[3] / size[1]]


def numbers(values, count):
    return isinstance(values, list) and len(values) == count and \
        all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


def turned(box, orientation):
    """A box of the upright picture in the stored one, in shares: EXIF 6 is stored a quarter turn to the left."""
    x0, y0, x1, y1 = box
    return [y0, 1 - x1, y1, 1 - x0] if orientation == 6 else [1 - y1, x0, 1 - y0, x1]


def coco_entries(image, annotations, theirs, classes, truth):
    """The annotations of one "images" entry; `theirs` are those that the other reader gives to it."""
    entries = [coco_entry(annotation, image, classes, truth) for annotation in theirs]
    for annotation in annotations:  # ids that differ as text and number only
        number = annotation["image_id"]
        if number != image["id"] and str(number) == str(image["id"]):
            entry = coco_entry(annotation, image, classes, truth)
            entry.outcomes = [(box, reason or "image_id as text and as number: one picture")
                              for box, reason in entry.outcomes]
            entries.append(entry)
    return entries


def coco_entry(annotation, image, classes, truth):
    number = annotation["category_id"]
    name = classes.get(number)
    outcomes = coco_boxes(annotation, image, truth)
    if name is None and isinstance(number, str) and number.isdigit() and int(number) in classes:
        name = classes[int(number)]  # we may take it for the number
        outcomes = [(box, reason or "category_id as text: read as the number") for box, reason in outcomes]
        outcomes.append((None, NO_CLASS))
    elif name is None:
        outcomes = [(None, NO_CLASS)]
    if annotation.get("iscrowd") in (1, True):
        outcomes = [(None, "crowd: left out")]
    return Entry(class_text(name or ""), outcomes)


def coco_boxes(annotation, image, truth):
    size = (truth[1] if truth else None) or (image["width"], image["height"])
    listed = (image.get("width") or size[0], image.get("height") or size[1])
    values = annotation.get("bbox")
    why = ""
    if not numbers(values, 4):
        polygons = annotation.get("segmentation")
        if not values and isinstance(polygons, list) and polygons and numbers(polygons[0], len(polygons[0])):
            xs, ys = polygons[0][0::2], polygons[0][1::2]
            values, why = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)], "no bbox: box of the polygon"
        else:
            return [(None, NOT_FOUR)]
    x, y, w, h = values
    if w < 0 or h < 0:
        x, y, w, h = min(x, x + w), min(y, y + h), abs(w), abs(h)
        why = "width or height below 0: corners put in order"
    box, reason = place(unit([x, y, x + w, y + h], listed))
    same_shape = abs(listed[0] * size[1] - listed[1] * size[0]) <= max(*listed, *size)
    if same_shape or box is None:
        outcomes = [(box, (why or reason) if box else reason)]
        return outcomes + [(None, NO_AREA)] if why and box else outcomes
    if (listed[1], listed[0]) == tuple(size) and truth and truth[2] in (6, 8):
        return [(turned(box, truth[2]), "EXIF turns the picture: turned back"), (None, CONTRADICTS)]
    # Nobody can know which of both sizes the box is of: ours is left out, or kept and the picture is named.
    return [(box, "size contradicts the picture's: kept, counted and named"), (None, CONTRADICTS)]


def voc_entries(tree, size):
    """The objects of a tree of torchvision's parse_voc_xml."""
    objects = tree.get("object", [])
    listed = tree.get("size") if isinstance(tree.get("size"), dict) else {}
    try:
        listed = (float(listed["width"]), float(listed["height"]))
    except (KeyError, ValueError):
        listed = (0, 0)
    if min(listed) <= 0:
        listed = size or (1, 1)
    return [voc_entry(item if isinstance(item, dict) else {}, listed) for item in objects]


def voc_entry(item, size):
    name, bounds = item.get("name"), item.get("bndbox")
    if not name:
        return Entry("", [(None, "object without a name: left out")])
    try:
        x0, y0, x1, y1 = (float(bounds[key]) for key in ("xmin", "ymin", "xmax", "ymax"))
    except (KeyError, ValueError, TypeError):
        return Entry(class_text(name), [(None, NOT_FOUR)])
    if x0 > x1 or y0 > y1:
        ordered = [min(x0, x1) - 1, min(y0, y1) - 1, max(x0, x1), max(y0, y1)]
        # A box of which only xmax = xmin - 1 has no pixel.
        return Entry(class_text(name), [(place(unit(ordered, size))[0], "corners swapped: put in order"),
                                        (None, "corners swapped: left out")])
    return Entry(class_text(name), [place(unit([x0 - 1, y0 - 1, x1, y1], size))])


def yolo_entry(line, theirs, classes, kind, shape, repeated):
    """One line; `theirs`: [class, cx, cy, w, h] of ultralytics for this line alone, None when it refuses it."""
    refused = (None, "refused by both")
    try:
        number, *values = [float(word) for word in line.split()]
    except ValueError:
        return Entry("", [refused])
    if "_" in line or number != int(number) if math.isfinite(number) else True:
        return Entry("", [refused])
    if not 0 <= number < len(classes):
        return Entry("", [refused])
    label, outcomes = class_text(classes[int(number)]), []
    keypoints = shape[0] * shape[1] if shape else 0
    count = len(values)
    if theirs is not None:
        cx, cy, w, h = theirs[1:]
        box, reason = place([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
        outcomes.append((box, reason))
        if count == 6:
            outcomes.append((yolo_box(values), "6 numbers: box, score and track id, not a triangle"))
            outcomes.append((None, "6 numbers could be a triangle, or box, score and track id: left out"))
    elif count == 4 or keypoints and count == 4 + keypoints:
        why = "out of [0, 1]: clipped" if kind != "pose" or count != 4 else "box without keypoints in a pose set"
        outcomes.append((yolo_box(values), why))
    elif count == 5 and 0 <= values[4] <= 1:
        outcomes.append((yolo_box(values), "score in a fifth number"))
    elif count == 6 and 0 <= values[4] <= 1:
        outcomes.append((yolo_box(values), "6 numbers: box, score and track id"))
    elif keypoints and count == 5 + keypoints:
        outcomes.append((yolo_box(values), "score after the keypoints"))
    if theirs is None and not shape and count >= 6 and count % 2 == 0 and all(map(math.isfinite, values)):
        xs, ys = values[0::2], values[1::2]
        outcomes.append((place([min(xs), min(ys), max(xs), max(ys)])[0], "polygon out of [0, 1]: clipped"))
    if theirs is None and not shape and count >= 7 and count % 2 == 1 and 0 <= values[-1] <= 1:
        xs, ys = values[0:-1:2], values[1:-1:2]
        outcomes.append((place([min(xs), min(ys), max(xs), max(ys)])[0], "score after a polygon: noted"))
    if count >= 6 and count % 2 == 0 and any(not -0.01 <= value <= 1.01 for value in values):
        outcomes.append((None, "polygon with a point out of [0, 1]: left out"))
    if theirs is None:
        outcomes.append((None, "refused by ultralytics, left out by us"))
    if repeated:
        outcomes.append((None, "the same line twice: once"))
    return Entry(label, [outcome for outcome in outcomes if outcome[0] is not None] +
                 [outcome for outcome in outcomes if outcome[0] is None])


def yolo_box(values):
    cx, cy, w, h = values[:4]
    return place([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])[0] if min(w, h) >= 0 else None
