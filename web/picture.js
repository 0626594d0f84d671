// A picture with its regions, and the tools that say where in it: a box, a point, a mask, a region that is there.
//
// Positions are in [0, 1] of the picture. What is selected is one of
//   {kind: 'box', box}  {kind: 'point', point}  {kind: 'mask', mask}
//   {kind: 'text', text, box}            a phrase, and the box that the server found for it
//   {kind: 'region', region, box, name}  a region that the index holds
// or null: the whole picture.

import { boxShape, el, number, overlay, svg } from './dom.js';
import { emptyMask, maskPath, painted } from './mask.js';

const CLICK = 4;                        // CSS pixels that a click may move
const GRAB = { mouse: 9, touch: 22 };   // and from where a box's line is taken hold of
const BRUSH = 0.025;                    // radius, of the longer side
const STEP = 0.01, LONG_STEP = 0.1;     // of the cursor
const LEAST = 0.002;                    // side of a box
const ZOOMS = [1, 1.5, 2, 3, 4, 6, 8];

const clamp = (value) => Math.min(1, Math.max(0, value));
const boxOf = (a, b) =>
  ({ kind: 'box', box: [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])] });
const stroke = (mask, a, b) => ({ kind: 'mask', mask: painted(mask, a, b, BRUSH) });
const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);
const holds = (box, [x, y]) => box[0] <= x && x <= box[2] && box[1] <= y && y <= box[3];

export class Picture {
  // `list`: where its regions are listed, for those who would rather read than point.
  // `on`: changed(selection), tool(name), search(), say(text) for everybody, whisper(text) for screen readers.
  constructor(stage, image, list, on) {
    Object.assign(this, { stage, image, list, on, tool: 'box', zoom: 0 });
    this.clear();
    const handlers = {
      pointerdown: this.down, pointermove: this.move, pointerup: this.up, pointercancel: this.cancel,
      keydown: this.key, blur: () => this.drawCursor(),
    };
    for (const [name, handler] of Object.entries(handlers)) stage.addEventListener(name, handler.bind(this));
  }

  clear() {
    this.width = this.height = 1;
    Object.assign(this, {
      regions: [], selection: null, past: [], future: [], cursor: [0.5, 0.5], drag: null, corner: null, draft: null,
    });
    this.image.removeAttribute('src');
    this.list.replaceChildren();
    this.layer?.remove();
    this.layer = null;
  }

  // Its pixels come later, into `image`. `regions`: {region, box, text}.
  show({ width, height, name, regions }) {
    this.clear();
    this.width = width;
    this.height = height;
    this.image.alt = name;
    this.stage.setAttribute('aria-label', `${name}, ${width} by ${height} pixels`);
    this.layer = overlay(width, height, { role: 'group', 'aria-label': 'Boxes' });
    this.parts = {};
    for (const part of ['regions', 'chosen', 'cursor']) this.layer.append(this.parts[part] = svg('g'));
    this.stage.append(this.layer);
    this.stage.style.aspectRatio = `${width} / ${height}`;
    this.setZoom(0);
    this.setRegions(regions);
    this.setTool(regions.length ? 'select' : 'box');
  }

  setRegions(regions) {
    this.regions = regions;
    for (const region of regions) {
      const name = region.name = `Region ${region.region}${region.text ? `, ${region.text}` : ''}`;
      const shape = boxShape(region.box, this.width, this.height,
        { class: 'box', tabindex: 0, role: 'button', 'aria-label': name, 'data-region': region.region });
      const [x0, y0, x1, y1] = region.box.map((value) => Math.round(100 * value));
      const line = el('button', { type: 'button' }, `${name}: ${x0} to ${x1} % across, ${y0} to ${y1} % down`);
      // Pointers pass through the layer: on a shape this is the press of a screen reader.
      for (const one of [shape, line]) one.addEventListener('click', () => this.selectRegion(region));
      this.parts.regions.append(shape);
      this.list.append(el('li', {}, line, el('span')));
    }
  }

  // How the regions scored, a map from their numbers. The best one stands out.
  mark(scores, best) {
    for (const [i, { region }] of this.regions.entries()) {
      this.parts.regions.children[i].classList.toggle('best', region === best);
      this.list.children[i].lastChild.textContent = scores.has(region) ? ` ${number(scores.get(region), 3)}` : '';
    }
  }

  setTool(tool) {
    this.cancel();
    this.tool = tool;
    this.stage.dataset.tool = tool;
    this.on.tool(tool);
  }

  setZoom(step) {
    this.zoom = Math.min(ZOOMS.length - 1, Math.max(0, step));
    const fit = `min(100%, ${(70 * this.width / this.height).toFixed(4)}vh)`;
    this.stage.style.width = `calc(${fit} * ${ZOOMS[this.zoom]})`;
  }

  // As the user's act: it can be undone and is told.
  select(selection) {
    this.past.push(this.selection);
    this.future = [];
    this.restore(selection);
  }

  restore(selection) {
    this.selection = selection;
    this.drag = this.corner = this.draft = null;
    this.draw();
    this.on.changed(selection);
  }

  undo() {
    if (!this.past.length) return;
    this.future.push(this.selection);
    this.restore(this.past.pop());
  }

  redo() {
    if (!this.future.length) return;
    this.past.push(this.selection);
    this.restore(this.future.pop());
  }

  // True when something was begun that is now dropped.
  cancel() {
    const begun = this.drag || this.corner || this.draft;
    this.drag = this.corner = this.draft = null;
    this.draw();
    return begun;
  }

  selectRegion(region) {
    this.select({ kind: 'region', ...region });
  }

  finishBox(box) {
    if (box[2] - box[0] < LEAST || box[3] - box[1] < LEAST) {
      this.cancel();
      this.on.say('This box is too small.');
    } else {
      this.select({ kind: 'box', box });
    }
  }

  maskNow() {
    return this.selection?.mask || emptyMask(this.width, this.height);
  }

  // Pointers.
  place(event) {
    const frame = this.layer.getBoundingClientRect();
    return [clamp((event.clientX - frame.left) / frame.width), clamp((event.clientY - frame.top) / frame.height)];
  }

  // Which sides of the selected box lie under the pointer: places in [x0, y0, x1, y1].
  sidesAt(event) {
    if (this.selection?.kind !== 'box' || this.tool !== 'box' || this.corner) return [];
    const frame = this.layer.getBoundingClientRect();
    const reach = GRAB[event.pointerType] || GRAB.mouse;
    const at = [event.clientX - frame.left, event.clientY - frame.top];
    const lines = this.selection.box.map((side, i) => side * (i % 2 ? frame.height : frame.width));
    if ([0, 1].some((axis) => at[axis] < lines[axis] - reach || at[axis] > lines[axis + 2] + reach)) return [];
    return [0, 1].flatMap((axis) => {
      const near = Math.min(reach, (lines[axis + 2] - lines[axis]) / 3 + CLICK);  // the middle of a small box stays free
      return [axis, axis + 2].filter((side) => Math.abs(at[axis] - lines[side]) <= near).slice(0, 1);
    });
  }

  down(event) {
    if (!this.layer || event.button !== 0) return;
    if (!event.isPrimary) return this.cancel();  // a second finger: the picture is moved, not drawn on
    this.stage.focus({ preventScroll: true });
    if (this.tool !== 'select') {
      event.preventDefault();
      this.stage.setPointerCapture(event.pointerId);
    }
    const at = this.cursor = this.place(event);
    const sides = this.sidesAt(event);
    this.drag = {
      pointer: event.pointerId, start: at, x: event.clientX, y: event.clientY, moved: false,
      sides, box: sides.length ? this.selection.box : null,
    };
    if (this.tool === 'mask') this.draft = stroke(this.maskNow(), at, at);
    this.follow(at, at);
  }

  move(event) {
    const { drag } = this;
    if (!this.layer || (drag ? drag.pointer !== event.pointerId : !this.corner)) return;
    const at = this.place(event);
    if (drag) drag.moved ||= Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > CLICK;
    this.follow(this.cursor, at);
    if (drag) this.cursor = at;
  }

  up(event) {
    const { drag, tool } = this;
    if (drag?.pointer !== event.pointerId) return;
    this.move(event);
    this.drag = null;
    if (tool === 'mask' || tool === 'point') this.select(this.draft);
    else if (!drag.moved && !drag.box) this.act(this.cursor);
    else if (drag.moved && tool === 'box') this.finishBox(this.draft.box);
  }

  // What is being drawn follows the pointer, or the cursor, from one place to another.
  follow(from, to, withCursor = false) {
    const { tool, drag, corner } = this;
    if (tool === 'mask') {
      if (this.draft) this.draft = stroke(this.draft.mask, from, to);
    } else if (tool === 'point') {
      if (drag) this.draft = { kind: 'point', point: to };
    } else if (tool === 'box' && drag?.box && drag.moved) {
      const [x0, y0, x1, y1] = drag.box.map((side, i) =>
        (drag.sides.includes(i) ? clamp(side + to[i % 2] - drag.start[i % 2]) : side));
      this.draft = boxOf([x0, y0], [x1, y1]);
    } else if (tool === 'box' && (corner || drag?.moved)) {
      this.draft = boxOf(corner || drag.start, to);
    }
    this.draw(withCursor);
  }

  // A click, or Space at the cursor.
  act(at) {
    if (this.tool === 'select') {
      // The smallest region that holds the place.
      const [region] = this.regions.filter(({ box }) => holds(box, at)).sort((a, b) => area(a.box) - area(b.box));
      if (region) this.selectRegion(region);
      else this.on.say('No region holds this place: draw a box (B).');
    } else if (this.tool === 'point') {
      this.select({ kind: 'point', point: at });
    } else if (this.tool === 'mask') {
      if (this.draft) return this.select(this.draft);
      this.draft = stroke(this.maskNow(), at, at);
      this.on.say('The brush is down: arrows paint, Space lifts it.');
    } else if (this.corner) {
      return this.finishBox(boxOf(this.corner, at).box);
    } else {
      this.corner = at;
      this.draft = boxOf(at, at);
      this.on.say('First corner: now the opposite one.');
    }
    this.draw();
  }

  // Keys.
  key(event) {
    if (!this.layer || event.altKey || event.metaKey) return;
    const { key, ctrlKey, shiftKey } = event;
    const shape = event.target.closest('[data-region]');
    const region = this.regions.find((one) => String(one.region) === shape?.dataset.region);
    const chosen = shape?.getAttribute('aria-pressed') === 'true';
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
    if (arrow) this.moveCursor(arrow, event);
    else if (ctrlKey && key === 'z') this.undo();
    else if (ctrlKey && (key === 'y' || (shiftKey && key === 'Z'))) this.redo();
    else if (ctrlKey) return;
    else if (region && (key === ' ' || (key === 'Enter' && !chosen))) this.selectRegion(region);
    else if (key === ' ' || (key === 'Enter' && this.draft)) this.act(this.cursor);
    else if (key === 'Enter') this.on.search();
    else if (key === 'Delete' || key === 'Backspace') this.selection && this.select(null);
    else if (key === '+' || key === '-') this.setZoom(this.zoom + (key === '+' ? 1 : -1));
    else if (key === '0') this.setZoom(0);
    else if (key !== 'Escape' || !this.cancel()) return;
    event.preventDefault();
    event.stopPropagation();
  }

  // One step is 1 % of the longer side, 10 % with Shift, one pixel with Ctrl.
  moveCursor([dx, dy], { shiftKey, ctrlKey }) {
    const longer = Math.max(this.width, this.height);
    const step = ctrlKey ? 1 : longer * (shiftKey ? LONG_STEP : STEP);
    const before = this.cursor;
    this.cursor = [clamp(before[0] + dx * step / this.width), clamp(before[1] + dy * step / this.height)];
    this.follow(before, this.cursor, true);
    this.on.whisper(`${Math.round(this.cursor[0] * this.width)}, ${Math.round(this.cursor[1] * this.height)}`);
    this.parts.cursor.lastChild.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }

  // What is selected or being drawn.
  draw(withCursor = false) {
    if (!this.layer) return;
    const { width, height } = this;
    const shown = this.draft || this.selection;
    const shapes = [];
    if (shown?.box) shapes.push(boxShape(shown.box, width, height, { class: 'box chosen', id: 'chosen-box' }));
    if (shown?.kind === 'box' && !this.draft) {
      for (const x of [0, 2]) for (const y of [1, 3]) shapes.push(dot([shown.box[x] * width, shown.box[y] * height]));
    }
    if (shown?.mask) shapes.push(svg('path', { class: 'mask', d: maskPath(shown.mask, width, height) }));
    if (shown?.point) shapes.push(dot([shown.point[0] * width, shown.point[1] * height], 'point'));
    this.parts.chosen.replaceChildren(...shapes);
    for (const shape of this.parts.regions.children) {
      shape.setAttribute('aria-pressed', shape.dataset.region === String(shown?.region));
    }
    this.drawCursor(withCursor);
  }

  drawCursor(visible = false) {
    if (!this.layer) return;
    const [x, y] = [this.cursor[0] * this.width, this.cursor[1] * this.height];
    const d = `M${x} 0V${this.height}M0 ${y}H${this.width}`;
    this.parts.cursor.replaceChildren(...(visible ? [...lines('cross', d), dot([x, y])] : []));
  }
}

// A dot that has the same size at every zoom: a line without length, with round ends.
function dot([x, y], kind = 'corner') {
  return svg('g', { class: kind }, ...lines('dot', `M${x} ${y}h0.001`));
}

// A light line on a dark one.
const lines = (kind, d) => [svg('path', { class: `${kind} under`, d }), svg('path', { class: kind, d })];
