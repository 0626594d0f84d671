"""What is right for the cases of encodings, YOLO's columns, tables, rows, names and folders."""
from expectations import FIRST, MIDDLE, case, expect, has, refuses, says, skipped_in, stats_of, succeeds
from outputs import all_regions, captions, deep, json_objects, regions


# Encodings

@case
def coco_utf16(c):
    if c.code == 0:
        has(c.records(), "a", "cat", FIRST)
    else:
        refuses(c.calls[0], "utf-16")


@case
def csv_windows_1252(c):
    got = captions(c.records().get("a", {}))
    if got != ["un café à Paris"]:
        expect(not got, f"captions {got}")
        says(c.text, "utf-8")
    expect(captions(c.records().get("b", {})) == ["ok"], "b.jpg has lost its caption")


@case
def voc_gbk_undeclared(c):
    found = c.records()
    has(found, "a", "猫", FIRST)
    expect(not regions(found.get("b", {})), f"b has {regions(found.get('b', {}))}")
    says(c.text, "utf-8", "b.xml")


@case
def tar_txt_encodings(c):
    stats = stats_of(c)
    expect(1 <= stats["distinct_texts"] <= 2, f"distinct_texts {stats['distinct_texts']}, not 1 or 2")
    expect(skipped_in(stats) or any(value for key, value in stats.items() if "text" in key and "problem" in key)
           or any("utf" in key.lower() for key in stats), "nothing is counted")


# YOLO columns

@case
def yolo_class_as_float(c):
    found = c.records()
    for key, text in (("a", "dog"), ("b", "dog"), ("c", "cat")):
        has(found, key, text, MIDDLE)


@case
def yolo_conf_and_track_id(c):
    found = c.records()
    if all_regions(found):
        has(found, "a", "cat", MIDDLE, 0.9)
    else:
        says(c.text, "a.txt", ("skipped", "left out"))


@case
def yolo_pose_17(c):
    has(c.records(), "a", "cat", MIDDLE)


@case
def yolo_images_twice_in_path(c):
    got = all_regions(c.records())
    if len(got) != 1:
        expect(not got, f"regions {got}")
        says(c.stderr, "label")


@case
def yolo_no_label_file_found(c):
    says(c.stderr, "label", ("no picture", "none of", "not one", "no label"), ("looked", "labels/", "/labels"))


@case
def yolo_darknet_obj_data(c):
    got = all_regions(c.records())
    if c.code == 2:
        expect(len(c.calls[0].lines) == 1, f"{len(c.calls[0].lines)} lines on stderr, not one")
    else:
        expect(got and all(text == "car" for text, _, _ in got), f"regions {got}, not 'car'")


# Tables and rows

@case
def csv_blank_after_comma(c):
    record = c.records().get("a", {})
    expect(captions(record) == ["a dog"], f"captions {captions(record)}")
    expect(not any(key.startswith(" ") for key in record), f"keys {sorted(record)}")


@case
def csv_flickr30k_results(c):
    succeeds(c)
    found = c.records()
    got = {key: captions(record) for key, record in found.items()}
    expect(got == {"100": ["Two young guys , with hair , stand .", "A child ."], "200": ["A dog runs ."]},
           f"captions {got}")
    says(c.text, "1 ", ("few", "short", "cells", "columns"))
    bare = c.run("opencloc data import --format csv --images imgs --annotations t.csv --out $OUT/bare")
    expect(bare.code == 0 and captions(c.records("bare").get("200", {})) == ["A dog runs ."],
           "without flags the same table is not read")


@case
def csv_lines_end_in_cr(c):
    got = {key: captions(record) for key, record in c.records().items()}
    expect(got == {"a": ["a dog"], "b": ["a house"]}, f"captions {got}")


@case
def csv_too_many_cells(c):
    found = c.records()
    expect(not captions(found.get("a", {})), f"a has {captions(found.get('a', {}))}")
    expect(captions(found.get("b", {})) == ["a house"], f"b has {captions(found.get('b', {}))}")
    says(c.text, "5", "4", ("cells", "columns"))


@case
def csv_unquoted_comma(c):
    found = c.records()
    got = captions(found.get("a", {}))
    if got != ["a dog, a cat and a bird"]:
        expect(not got, f"a has {got}")
        says(c.text, ("cells", "columns"))
    expect(captions(found.get("b", {})) == ["a house"], "b has lost its caption")


@case
def jsonl_karpathy_sentences(c):
    got = captions(c.records().get("1", {}))
    if got != ["A dog.", "An animal."]:
        expect(not got, f"captions {got}")
        says(c.text, ("sentences", "unknown form"))
        expect("region has no text" not in c.text, "counted as a region, which it is not")


@case
def jsonl_label_is_a_number(c):
    record = c.records().get("a", {})
    expect(record.get("label") in ("3", 3), f"label {record.get('label')!r}")
    expect("x" in captions(record) + [record.get("text")], "the text is gone")


@case
def parquet_gz_and_pretty_lists(c):
    for call, name, word in zip(c.calls, "stu", ("list", "gzip", "parquet")):
        if call.code == 0:
            expect(captions(c.records(name).get("a", {})), f"{word}: nothing was read")
        else:
            refuses(call, word)


# Names and folders

@case
def folder_jupyter_checkpoints(c):
    found = c.records()
    got = {key: record.get("label") for key, record in found.items()}
    expect(got == {"cat/1": "cat", "dog/1": "dog"}, f"labels {got}")


@case
def folder_link_to_itself(c):
    expect(sorted(c.records()) == ["cat/1"], f"{len(c.records())} samples, not 1")


@case
def classes_with_underscores(c):
    succeeds(c)
    data = "opencloc eval --model ../_model_of_your_own --data $OUT/s --tasks zeroshot"
    whole = json_objects(c.run(f"{data} --classes classes.txt --json").calls[0].stdout)
    expect(deep(whole, "n") == [2] and deep(whole, "left_out") in ([0], []),
           f"n {deep(whole, 'n')}, left out {deep(whole, 'left_out')}")
    part = c.run(f"echo cat >$OUT/one.txt; echo ship >>$OUT/one.txt; {data} --classes $OUT/one.txt").calls[0]
    says(part.stdout, "left out")


@case
def classes_file_with_bom(c):
    whole = json_objects(c.calls[0].stdout)
    expect(deep(whole, "n") == [2] and deep(whole, "left_out") == [0],
           f"n {deep(whole, 'n')}, left out {deep(whole, 'left_out')}")


@case
def texts_file_with_bom(c):
    succeeds(c)
    got = json_objects(c.calls[0].stdout)
    expect(got and got[0] == {"text": "a cat", "phrases": ["cat"]}, f"first line {got[:1]}")
