// What the page shows, as its address: what follows '#'.
//
//   index, unit, k, cut, fold    how is searched; cut is "off", "auto", "z5" (least z) or "s0.3" (least score)
//   q                            a phrase
//   on                           a picture: "7" of the index, or "s" and the id of a scene
//   region | box | point | mask | part     where in it; none of them: all of it
//   show                         the picture that is opened; none: that of `on`

import { maskOfRuns, runsOf } from './mask.js';

const PLACES = ['region', 'box', 'point', 'mask', 'part'];
const USUAL = { unit: 'auto', k: '20', cut: 'off', fold: 'on' };

export function current() {
  const state = { ...USUAL };
  for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
    if (value) state[key] = value;
  }
  return state;
}

// The address with some changes; null takes a key away. Another query forgets the place and what was opened.
export function changed(state, changes) {
  const next = { ...state };
  if ('q' in changes || 'on' in changes) {
    for (const key of ['q', 'on', 'show', ...PLACES]) delete next[key];
  }
  Object.assign(next, changes);
  const list = new URLSearchParams();
  for (const [key, value] of Object.entries(next)) {
    if (value !== null && value !== undefined && value !== '' && String(value) !== USUAL[key]) list.set(key, value);
  }
  return '#' + list;
}

const numbers = (text, n) => {
  const list = (text || '').split(',').map(Number);
  return list.length === n && list.every((x) => x >= 0 && x <= 1) && list;
};
const short = (list) => list.map((x) => Number(x.toFixed(5))).join(',');

// What is selected (picture.js) -> keys of the address.
export function placeOf(selection) {
  const { kind, region, box, point, text, mask } = selection || {};
  if (kind === 'region') return { region: region || null };
  if (kind === 'text') return { part: text };
  if (box) return { box: short(box) };
  if (point) return { point: short(point) };
  return mask ? { mask: [mask.width, mask.height, ...runsOf(mask)].map((n) => n.toString(36)).join('.') } : {};
}

// And back; a region and a phrase have no box there.
export function selectionOf(state) {
  if (state.region) return { kind: 'region', region: Number(state.region) };
  if (state.part) return { kind: 'text', text: state.part };
  const box = numbers(state.box, 4);
  if (box) return { kind: 'box', box };
  const point = numbers(state.point, 2);
  if (point) return { kind: 'point', point };
  if (state.mask) {
    const [width, height, ...runs] = state.mask.split('.').map((n) => parseInt(n, 36));
    const mask = maskOfRuns(width, height, runs);
    if (mask) return { kind: 'mask', mask };
  }
  return null;
}

// What is selected as the server's prompt; undefined: the whole picture.
export function promptOf(selection) {
  const { kind, box, point, text, mask } = selection || {};
  if (kind === 'text') return { text };
  if (box) return { box };
  if (point) return { point };
  return mask && { mask: { width: mask.width, height: mask.height, rle: runsOf(mask) } };
}

// The request of a search, null without a query; `scene`: whether it needs one, too.
export function requestOf(state, index) {
  const body = { unit: state.unit, k: Math.min(1000, Math.max(1, Number(state.k) || 20)), deduplicate: state.fold !== 'off' };
  if (index) body.index = index;
  const least = Number(state.cut.slice(1));
  if (state.cut === 'auto') body.cut = 'auto';
  else if (state.cut[0] === 'z' && isFinite(least)) body.cut = least;
  else if (state.cut[0] === 's' && isFinite(least)) body.min_score = least;
  if (state.q) return { body: { ...body, text: state.q }, scene: false };
  if (!state.on) return null;
  const selection = selectionOf(state);
  if (!isScene(state.on) && (!selection || selection.kind === 'region')) {
    return { body: { ...body, id: selection ? `${state.on}:${selection.region}` : state.on }, scene: false };
  }
  const prompt = promptOf(selection);
  return { body: prompt ? { ...body, prompt } : body, scene: true };
}

export const isScene = (name) => name.startsWith('s');
