"""Writes a small corpus for the fuzz targets: sound files of every kind, which the fuzzer then breaks.

    make_corpus.py FOLDER      FOLDER/fuzz_TARGET/NAME
"""
import gzip
import io
import json
import os
import pickle
import sqlite3
import struct
import sys
import tarfile
import tempfile
import zipfile

root = sys.argv[1]


def write(target, name, data):
    os.makedirs(f"{root}/{target}", exist_ok=True)
    with open(f"{root}/{target}/{name}", "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


# safetensors: headers alone
write("fuzz_safetensors", "two", json.dumps({
    "__metadata__": {"format": "pt"},
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "b": {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]}}))
write("fuzz_safetensors", "scalar", '{"s":{"dtype":"F16","shape":[],"data_offsets":[0,2]}}')
write("fuzz_safetensors", "empty", "{}")

# GGUF
keys = [text("general.architecture") + struct.pack("<I", 8) + text("clip"),
        text("general.alignment") + struct.pack("<II", 4, 32),
        text("clip.vision.image_mean") + struct.pack("<IIQ3f", 9, 6, 3, 0.5, 0.5, 0.5),
        text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b"),
        text("clip.has_vision_encoder") + struct.pack("<IB", 7, 1)]
tensors = [text("v.class_embd") + struct.pack("<IQIQ", 1, 4, 0, 0),
           text("v.blk.0.attn_q.weight") + struct.pack("<IQQIQ", 2, 32, 2, 8, 32)]
head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys) + b"".join(tensors)
head += b"\0" * (-len(head) % 32)
write("fuzz_gguf", "clip", head + b"\0" * 32 + b"\1" * 96)
write("fuzz_gguf", "empty", b"GGUF" + struct.pack("<IQQ", 3, 0, 0))

# pickles and archives
state = (b"\x80\x02ccollections\nOrderedDict\nq\0)Rq\1(X\1\0\0\0wq\2ctorch._utils\n_rebuild_tensor_v2\nq\3"
         b"((X\7\0\0\0storageq\4ctorch\nFloatStorage\nq\5X\1\0\0\0" b"0q\6X\3\0\0\0cpuq\7K\4tq\x08QK\0K\2K\2"
         b"\x86q\x09K\2K\1\x86q\x0a\x89h\0)Rq\x0btq\x0cRq\x0du}q\x0eX\x09\0\0\0_metadatah\0)Rsb.")
script = b"\x80\x02c__torch__.M\nM\n)\x81}(X\1\0\0\0nK\7X\1\0\0\0bctorch.jit._pickle\nbuild_intlist\n](K\1K\2e\x85Rub."
write("fuzz_pickle", "state", state)
write("fuzz_pickle", "script", script)
for protocol in (2, 4, 5):
    write("fuzz_pickle", f"numbers{protocol}",
          pickle.dumps({"epoch": 7, "loss": 0.5, "list": [1, -70000, 2 ** 40, None, True, "text"]}, protocol))
archive = io.BytesIO()
with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as out:
    out.writestr("a/data.pkl", state)
    out.writestr("a/data/0", b"\0" * 16)
write("fuzz_pickle", "archive", archive.getvalue())

# JSON
write("fuzz_json", "config", json.dumps({"a": 7, "b": 0.5, "c": [None, True, {"d": "\u00fc\n"}], "e": -1e-9}))
write("fuzz_json", "nested", "[" * 20 + "]" * 20)

# tokenizers
merges = '"bpe" #version: 0.2\nl o\nlo w</w>\ne r</w>\n'
write("fuzz_tokenizer", "merges", "b" + merges)
write("fuzz_tokenizer", "zipped", b"b" + gzip.compress(merges.encode()))
write("fuzz_tokenizer", "pair", 'v{"l": 0, "o": 1, "lo": 2, "<|endoftext|>": 3}\0' + merges)
write("fuzz_tokenizer", "text", "ta Low &amp; lower\u00fc 123 don't \U0001f600&#x41; <|endoftext|>")

# shards
for form, name in ((tarfile.USTAR_FORMAT, "ustar"), (tarfile.GNU_FORMAT, "gnu"), (tarfile.PAX_FORMAT, "pax")):
    shard = io.BytesIO()
    with tarfile.open(fileobj=shard, mode="w", format=form) as tar:
        for member, data in (("k/00.jpg", b"\xff\xd8\xff"), ("k/00.txt", b"a bus"),
                             ("k/00.json", b'{"caption":"a","regions":[{"box":[0.1,0.2,0.5,0.6],"text":"bus"}]}')):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    packed = shard.getvalue()[:4096]
    write("fuzz_shard", name, packed)
    write("fuzz_shard", name + "_gz", gzip.compress(packed))

# segments of an index


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def segment(pictures, width):
    rows, stride = len(pictures), -(-width // 64) * 64
    columns = [bytes([1] * width + [0] * (stride - width)) * rows, struct.pack("<f", 0.1) * rows,
               struct.pack("<i", width) * rows, struct.pack("<H", 0x3dcc) * (rows * width),
               struct.pack(f"<{rows}I", *pictures), struct.pack("<4H", 0, 0, 30000, 65535) * rows]
    body = b"".join(column + b"\0" * (-len(column) % 64) for column in columns)
    head = b"OCLOCSEG" + struct.pack("<IIQQ", 1, width, rows, 64 + len(body)) + b"\0" * 28
    head += struct.pack("<I", crc32c(head))
    return head + body + struct.pack("<I", crc32c(head + body))


write("fuzz_segment", "rows", segment([1, 1, 1, 2, 5, 5], 24))
write("fuzz_segment", "row", segment([7], 64))
write("fuzz_segment", "empty", segment([], 1))


# catalogs of an index, in pages of 512 bytes (opencloc/index/catalog.cc)
def catalog(pictures):
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/catalog.sqlite"
        db = sqlite3.connect(path)
        db.executescript("""
            PRAGMA page_size = 512; PRAGMA user_version = 1;
            CREATE TABLE pictures(id INTEGER PRIMARY KEY AUTOINCREMENT, digest TEXT NOT NULL UNIQUE,
                width INTEGER NOT NULL, height INTEGER NOT NULL, rows INTEGER NOT NULL, caption TEXT NOT NULL);
            CREATE TABLE names(name TEXT NOT NULL UNIQUE, picture INTEGER NOT NULL, sample INTEGER NOT NULL,
                bytes INTEGER NOT NULL, modified_ns INTEGER NOT NULL);
            CREATE INDEX names_of_picture ON names(picture);
            CREATE TABLE texts(picture INTEGER NOT NULL, region INTEGER NOT NULL, text TEXT NOT NULL,
                PRIMARY KEY(picture, region)) WITHOUT ROWID;
            CREATE TABLE segments(id INTEGER PRIMARY KEY AUTOINCREMENT, rows INTEGER NOT NULL, checksum INTEGER NOT NULL);
            CREATE TABLE removed(picture INTEGER PRIMARY KEY);
            CREATE TABLE cuts(json TEXT NOT NULL);""")
        for i in range(1, pictures + 1):
            db.execute("INSERT INTO pictures VALUES(?, ?, 640, 480, 3, 'a fox')", (i, f"{i:064x}"))
            db.execute("INSERT INTO names VALUES(?, ?, -1, 1000, 12345)", (f"{i}.jpg", i))
            db.execute("INSERT INTO texts VALUES(?, 1, 'fox')", (i,))
        db.execute("INSERT INTO segments VALUES(1, ?, 77)", (3 * pictures,))
        db.execute("INSERT INTO removed VALUES(9)")
        db.execute("INSERT INTO cuts VALUES(?)", ('[{"unit": "region", "score": "quality", "by": "score", "limit": 0.25}]',))
        db.commit()
        db.close()
        with open(path, "rb") as file:
            return file.read()


write("fuzz_catalog", "pictures", catalog(3))
write("fuzz_catalog", "empty", catalog(0))

# requests: bodies, then whole ones
write("fuzz_wire", "search", json.dumps({
    "text": "a red car", "k": 10, "deduplicate": True, "prompt": {"box": [0.1, 0.2, 0.5, 0.6]},
    "mask": {"mask": {"width": 3, "height": 2, "rle": [1, 2, 3]}}, "point": {"point": [0.5, 0.5]},
    "image": "data:image/png;base64,iVBORw0KGgo=", "texts": ["a", "b"], "box": [0, 0, 1, 1]}))
form = "--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a\"\r\nContent-Type: image/png\r\n\r\n" \
       "x\r\n--b\r\nContent-Disposition: form-data; name=text\r\n\r\n\r\n--b--\r\n"
write("fuzz_wire", "form", "b\n" + form)
write("fuzz_wire", "base64", "Zm9vYmE=")
post = "POST /a?size=3 HTTP/1.1\r\nHost: a\r\nContent-Type: "
write("fuzz_http_request", "json", post + "application/json\r\nContent-Length: 8\r\n\r\n{\"a\": 1}GET /%6eo HTTP/1.0\r\n\r\n")
write("fuzz_http_request", "chunks", post + "a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
      "3;x=y\r\n{}\n\r\n0\r\nX: y\r\n\r\n")
write("fuzz_http_request", "form",
      post + f"multipart/form-data; boundary=b\r\nContent-Length: {len(form)}\r\n\r\n{form}")
write("fuzz_http_request", "odd", "HEAD / HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")

# data sets: the annotation file beside imgs/a.jpg and imgs/b/1.jpg
write("fuzz_import_coco", "instances", json.dumps({
    "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48},
               {"id": "x", "coco_url": "http://h/b/1.jpg", "width": 48, "height": 64}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [8, 8, 16, 16], "iscrowd": 0},
                    {"id": 2, "image_id": "x", "category_id": "3", "bbox": None,
                     "segmentation": [[1, 2, 3.5, 4, 5, 6]]},
                    {"id": 3, "image_id": 1, "category_id": 3, "bbox": [8, 8, float("nan"), 16], "iscrowd": 1,
                     "segmentation": {"counts": [1, 2], "size": [48, 64]}}],
    "categories": [{"id": 3, "name": "traffic_light"}]}))
write("fuzz_import_coco", "utf16", '{"images":[{"id":1,"file_name":"a.jpg"}]}'.encode("utf-16"))
write("fuzz_import_voc", "a", "<annotation><filename>a.jpg</filename><size><width>64</width><height>48</height></size>"
      "<object><name>cat</name><difficult>1</difficult><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>24</xmax>"
      "<ymax>24.5</ymax></bndbox></object><object><name>dog</name><polygon><x1>1</x1><y1>2</y1><x2>5</x2><y2>6</y2>"
      "</polygon></object></annotation>")
write("fuzz_import_voc", "declared", '<?xml version="1.0" encoding="gbk"?><annotation><object><name>'
      "cat</name></object></annotation>")
yaml = "names: [cat, traffic_light]\n"
write("fuzz_import_yolo", "boxes", yaml + "\0" + "0 0.5 0.5 0.5 0.5\n1.0 0.5 0.5 0.5 0.5 0.9 7\r\n")
write("fuzz_import_yolo", "polygon", "names: {0: cat, 1: dog}\nnc: 2\0" + "1 0.1 0.1 0.5 0.1 0.5 0.6\n")
write("fuzz_import_yolo", "pose", yaml + "kpt_shape: [2, 3]\n\0" + "0 0.5 0.5 0.5 0.5 0.3 0.3 2 0.4 0.4 1\n")
write("fuzz_import_csv", "quoted", 'image,caption,label\na.jpg,"a ""dog"", a cat",dog\nb/1.jpg,a house,\n')
write("fuzz_import_csv", "pipes", "image_name| comment_number| comment\na.jpg| 0| a dog\n1.jpg| 1| a cat\n")
write("fuzz_import_csv", "boxes", "filename,xmin,ymin,xmax,ymax,class\na.jpg,1,2,30,40,cat\na.jpg,1,2,x,40,cat\n")
write("fuzz_import_csv", "cr", "image\tcaption\ra.jpg\ta dog\r")

# boxes of other detectors
write("fuzz_entities", "table", "\0id\tname\ttype\tpopularity\tdescription\nQ1\tred apple\tfood\t3\ta \\t fruit\nQ2\tpear\t\t\t\n\0"
      "alias\tid\tprior\napple\tQ1\t0.5\nred apple\tQ1\t\npear\tQ2\t\napple\tQ2\t0.1\n")
write("fuzz_entities", "lines", '\1{"id": "a", "name": "red apple", "description": "a fruit", "entity_vector": [1, 2]}\n'
      '\0{"alias": "apple", "entities": ["a"], "probabilities": [0.5]}\n')
write("fuzz_entities", "pairs", "\2WD_id|alias\nQ1|apple\nQ1|red apple\n\0WP_title|WD_id\napple|Q1\n")
write("fuzz_entities", "wordnet", "\x0300001740 03 n 02 entity 0 physical_thing 0 000 | that which exists  \n"
      "00002684 05 n 01 dog 0 001 @ 00001740 n 0000 | an animal  \n\0dog n 1 1 @ 1 1 00002684  \nentity n 1 0 1 0 00001740  \n")
write("fuzz_entities", "dump", '\4[\n{"type": "item", "id": "Q1", "labels": {"en": {"value": "apple"}}, "descriptions": {"en": '
      '{"value": "fruit"}}, "aliases": {"en": [{"value": "red apple"}]}, "sitelinks": {"enwiki": {}}},\n]\n')
write("fuzz_given_boxes", "lines", '{"key": "k", "box": [0, 0, 0.5, 1], "text": "dog", "score": 0.5}\n'
      '{"image": "a/1.jpg", "regions": [{"bbox": [1, 2, 3, 4], "label": "cat", "source": "x"}], "width": 9, "height": 9}\n'
      '{"image": "1.jpg", "boxes": [[1, 2, 3, 4]], "scores": [NaN], "labels": ["a"]}\n')
write("fuzz_given_boxes", "results", json.dumps([
    {"image_id": 7, "category_id": 3, "bbox": [8, 8, 16, 16], "score": 0.5},
    {"image_id": 7, "text": "dog", "segmentation": {"size": [10, 10], "counts": "P13700000l0"}},
    {"image_id": 1, "text": "dog", "segmentation": {"size": [2, 2], "counts": [1, 2, 1]}},
    {"image_id": "1", "label": "cat", "segmentation": [[1, 2, 3, 4, 5, 6]]}]))
write("fuzz_given_boxes", "set", json.dumps({
    "images": [{"id": 7, "file_name": "k.jpg", "width": 8, "height": 8}], "categories": [{"id": 3, "name": "a_b"}],
    "annotations": [{"image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4]}]}))
