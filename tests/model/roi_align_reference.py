#!/usr/bin/env python3
"""The numbers of roi_align_test.cc from torchvision (pip install torchvision): 1x1 RoIAlign, adaptive sampling, half-pixel
places. Prints one line per box: x0 y0 x1 y1 of the canvas, then the two channels."""
import torch
import torchvision

GRID = 9
BOXES = [[0.0, 0.0, 1.0, 1.0], [0.13, 0.4, 0.57, 0.93], [0.9, 0.02, 0.95, 0.05], [0.02, 0.31, 0.99, 0.36],
         [0.6, 0.55, 1.0, 1.0], [0.25, 0.1, 0.26, 0.97]]


def main():
    cells = torch.arange(GRID * GRID).view(1, 1, GRID, GRID)
    features = torch.cat([cells * (2 * c + 3) % 13 for c in range(2)], 1).float()
    boxes = torch.tensor(BOXES)
    got = torchvision.ops.roi_align(features, [boxes * GRID], 1, 1.0, -1, True).flatten(1)
    print("torchvision", torchvision.__version__)
    for box, values in zip(BOXES, got.tolist()):
        print(box, [round(v, 6) for v in values])


if __name__ == "__main__":
    main()
