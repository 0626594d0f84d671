// A mask: cells over the whole picture, 1 inside. It travels as run lengths row by row, what is outside first.

const CELLS = 128; // of the longer side

export function emptyMask(width, height) {
  const scale = CELLS / Math.max(width, height);
  const columns = Math.max(1, Math.round(width * scale)), rows = Math.max(1, Math.round(height * scale));
  return { width: columns, height: rows, cells: new Uint8Array(columns * rows) };
}

// With a stroke of the brush from a to b, positions in [0, 1]; a new mask.
export function painted({ width, height, cells }, a, b, radius) {
  const r = radius * Math.max(width, height);
  const [ax, ay, bx, by] = [a[0] * width, a[1] * height, (b[0] - a[0]) * width, (b[1] - a[1]) * height];
  const near = (i) => {
    const [x, y] = [i % width + 0.5 - ax, Math.floor(i / width) + 0.5 - ay];
    const t = Math.min(1, Math.max(0, (x * bx + y * by) / (bx * bx + by * by || 1)));
    return Math.hypot(x - t * bx, y - t * by) <= r;
  };
  return { width, height, cells: cells.map((cell, i) => cell || near(i)) };
}

export function runsOf(mask) {
  const runs = [];
  let value = 0, length = 0;
  for (const cell of mask.cells) {
    if (cell !== value) {
      runs.push(length);
      value = cell;
      length = 0;
    }
    ++length;
  }
  runs.push(length);
  return runs;
}

// Null when the runs do not fill the mask.
export function maskOfRuns(width, height, runs) {
  if (!(width > 0 && height > 0 && width * height <= 4 * CELLS * CELLS)) return null;
  const cells = new Uint8Array(width * height);
  let at = 0;
  for (const [i, run] of runs.entries()) {
    if (!(run >= 0) || at + run > cells.length) return null;
    if (i % 2) cells.fill(1, at, at + run);
    at += run;
  }
  return at === cells.length ? { width, height, cells } : null;
}

// The inside as the path of an overlay of this size.
export function maskPath(mask, width, height) {
  const [w, h] = [width / mask.width, height / mask.height];
  let path = '';
  for (let row = 0; row < mask.height; ++row) {
    for (let column = 0; column < mask.width; ++column) {
      if (!mask.cells[row * mask.width + column]) continue;
      const start = column;
      while (column + 1 < mask.width && mask.cells[row * mask.width + column + 1]) ++column;
      path += `M${start * w} ${row * h}h${(column + 1 - start) * w}v${h}h${(start - column - 1) * w}z`;
    }
  }
  return path;
}
