"""Which text fits a region of a picture best: describe_region.py MODEL PICTURE X0 Y0 X1 Y1 TEXT..."""
import sys

import opencloc

directory, picture, box, texts = sys.argv[1], sys.argv[2], [float(x) for x in sys.argv[3:7]], sys.argv[7:]
model = opencloc.load(directory)
scene = model.encode(picture)
scores = model.encode_text(texts) @ scene.region(box)
for score, text in sorted(zip(scores.tolist(), texts), reverse=True):
    print(f"{score:.3f} {text!r}, found at {[round(x, 2) for x in scene.ground(text).tolist()]}")
