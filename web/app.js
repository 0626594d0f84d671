// The page: its address says what is shown (state.js), and every act changes the address.

import * as api from './api.js';
import { $, count, el, number } from './dom.js';
import { Picture } from './picture.js';
import { Results, summaryOf } from './results.js';
import * as address from './state.js';

const LARGE = 1600; // pixels of the longer side, the largest that the server makes

const welcome = $('summary').textContent;

let indexes = [];
let found = null;          // the search that is shown: {key, body, answer, index, on}
let shown = {};            // the picture that is shown: {name, index}, the name as the address has it
let searching = null;   // AbortController
let opening = null;
let started = false;    // from then on, what is opened takes the focus
const files = new Map();   // scene id -> File, to send it again
const nameOf = (name) => files.get(name?.slice(1))?.name;
const scenes = new Map();  // "index/id" -> scene id, of pictures of an index that are drawn on

const say = (text) => { $('status').textContent = text; };
const state = () => address.current();
const link = (changes) => address.changed(state(), changes);
const indexName = () => state().index || indexes[0]?.name || '';
const busy = (seconds) => say(`The server is busy: asking again in ${count(seconds, 'second')}.`);

// Links and Back come by way of hashchange.
function go(changes, { replace = false } = {}) {
  const next = link(changes);
  if (replace || next === (location.hash || '#')) history.replaceState(null, '', next);
  else history.pushState(null, '', next);
  return apply();
}

function fail(error) {
  if (error.status === 401 && !$('ask-key').open) $('ask-key').showModal();
  say('');
  $('error').hidden = false;
  $('error').textContent = error.message;
}
const settled = () => { $('error').hidden = true; };
// An event's handler that tells what went wrong.
const guarded = (work) => (event) => {
  event.preventDefault();
  settled();
  Promise.resolve().then(() => work(event)).catch(fail);
};

const picture = new Picture($('stage'), $('shown'), $('region-list'), {
  changed: showSelection,
  search: () => searchSelection(),
  say,
  whisper: (text) => { $('where').textContent = text; },
});
const results = new Results($('hits'));

// A scene of a picture, made where there is none. `again`: the server has dropped it.
async function sceneOf(name, index, again = false) {
  if (address.isScene(name)) {
    const id = name.slice(1);
    if (again) {
      const file = files.get(id);
      if (!file) throw new Error('The server does not hold this picture any more: give it again.');
      await api.sendPicture(file, { busy });
    }
    return id;
  }
  const key = `${index}/${name}`;
  if (again || !scenes.has(key)) {
    say('Encoding the picture.');
    const blob = await api.pictureBlob(api.storedPicture(index, name, LARGE));
    scenes.set(key, (await api.sendPicture(blob, { busy })).id);
  }
  return scenes.get(key);
}
async function withScene(name, index, work) {
  const id = await sceneOf(name, index);
  try {
    return await work(id);
  } catch (error) {
    if (error.status !== 404) throw error;
    return work(await sceneOf(name, index, true));
  }
}

// The search that the address asks for, unless it is there already.
async function search(now) {
  const index = indexName();
  const wanted = address.requestOf(now, index);
  const key = wanted && JSON.stringify([wanted, wanted.scene && now.on]);
  if (key && key === found?.key) return;
  searching?.abort();
  searching = new AbortController();
  const { signal } = searching;
  found = null;
  $('results').setAttribute('aria-busy', 'true');
  try {
    if (wanted && !index) throw new Error('This server has no collection to search: start it with --index.');
    results.clear();
    if (!wanted) return;
    say('Searching.');
    const options = { signal, busy };
    let { body } = wanted;
    const answer = wanted.scene
      ? await withScene(now.on, index, (id) => api.search(body = { ...body, scene: id }, options))
      : await api.search(body, options);
    if (signal.aborted) return;
    found = { key, body, answer, index, on: now.on };
    results.show(answer, index, link);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    if (!signal.aborted) showAnswer();
  }
}

function showAnswer() {
  const answer = found?.answer;
  $('curl').disabled = $('json').disabled = !answer;
  $('summary').textContent = answer ? summaryOf(answer) : welcome;
  $('results').removeAttribute('aria-busy');
  say('');
  const k = Number(state().k);
  const more = Math.min(1000, k + 20);
  $('more').hidden = !answer || answer.hits.length < k || more === k;
  $('more').href = link({ k: more });
}

// The picture that the address names.
async function open(now) {
  const name = now.show || now.on;
  const index = indexName();
  if (name === shown.name && index === shown.index) return;
  opening?.abort();
  opening = new AbortController();
  const { signal } = opening;
  const before = shown.name;
  shown = { name, index };
  $('picture').hidden = !name;
  document.querySelector('main').classList.toggle('two', Boolean(name));
  picture.clear();
  $('ranked').replaceChildren();
  if (!name) {
    if (before && started) results.focus(before);
    return;
  }
  try {
    const facts = await factsOf(name, index, signal);
    if (signal.aborted) return;
    picture.show(facts);
    $('picture-name').textContent = facts.name;
    $('caption').textContent = facts.caption || '';
    $('regions').hidden = !facts.regions.length;
    showTool();
    showSelection(null);
    if (started) $('stage').focus({ preventScroll: true });
    $('picture-name').scrollIntoView({ block: 'nearest' });
    await api.fillPicture($('shown'), facts.path, signal);
  } catch (error) {
    if (signal.aborted) return;
    if (!picture.layer) {
      shown = {};
      $('picture').hidden = true;
    }
    throw error;
  }
}

async function factsOf(name, index, signal) {
  if (!address.isScene(name)) {
    const entry = await api.stored(index, name, { signal, busy });
    return { ...entry, name: entry.names[0] || `Picture ${name}`, path: api.storedPicture(index, name, LARGE) };
  }
  const scene = await withScene(name, index, (id) => api.scene(id, { signal }));
  return { ...scene, name: nameOf(name) || 'Your picture', regions: [], path: api.scenePicture(scene.id, LARGE) };
}
// In an opened hit, the region that matched best stands out.
function markHits() {
  if (!picture.layer) return;
  const hit = found && found.index === shown.index && found.answer.hits.find((one) => String(one.id) === shown.name);
  picture.mark(new Map((hit ? [hit, ...hit.regions] : []).map((one) => [one.region, one.score])), hit?.region);
}

// What the address says of the place, once the picture is there.
async function place(now) {
  if (!picture.layer || shown.name !== now.on) return;
  const selection = address.selectionOf(now);
  if (selection?.kind === 'region') {
    const region = picture.regions.find((one) => one.region === selection.region);
    if (region) picture.restore({ ...selection, box: region.box, text: region.text });
  } else if (selection?.kind === 'text') {
    if (picture.selection?.text === selection.text) return;
    $('part').value = selection.text;
    picture.restore(await pointedAt(selection.text));
  } else if (selection) {
    picture.restore(selection);
  }
}

async function apply() {
  const now = state();
  settled();
  showOptions(now);
  document.title = now.q ? `${now.q} - OpenCLOC` : 'OpenCLOC';
  $('phrase').value = now.q || '';
  $('close').href = link(now.show ? { show: null } : { q: null });
  const done = await Promise.allSettled([search(now), open(now).then(() => place(now))]);
  started = true;
  markHits();
  for (const { reason } of done) if (reason) fail(reason);
}

// The selection.
const sides = [...$('sides').querySelectorAll('input')];
function showSelection(selection) {
  const { width, height } = picture;
  $('search-region').disabled = !selection;
  for (const [i, field] of sides.entries()) {
    field.max = i % 2 ? height : width;
    field.value = selection?.box ? Math.round(selection.box[i] * (i % 2 ? height : width)) : '';
  }
  $('undo').disabled = !picture.past.length;
  $('redo').disabled = !picture.future.length;
  $('clear').disabled = !selection;
  $('ranked').replaceChildren();
  if (!selection) return;
  const at = selection.box ? sides.map((field) => field.value).join(', ') : '';
  say({
    box: `Box ${at}: Enter searches.`, point: 'Point: Enter searches.', mask: 'Mask: Enter searches.',
    region: `Region ${selection.region}${selection.text ? `, ${selection.text}` : ''}: Enter searches.`,
    text: `"${selection.text}" is at ${at}${typeof selection.score === 'number' ? `, score ${number(selection.score, 3)}` : ''}.`,
  }[selection.kind]);
}

function searchSelection(selection = picture.selection) {
  if (shown.name) go({ on: shown.name, ...address.placeOf(selection) });
}

async function pointedAt(text) {
  say(`Looking for "${text}".`);
  const at = await withScene(shown.name, shown.index, (id) => api.ground(id, text, { busy }));
  if (!at) throw new Error('The model found no box for this.');
  return { kind: 'text', text, box: at.box, score: at.score };
}

const toolButtons = document.querySelectorAll('button[data-tool]');
function showTool() {
  for (const button of toolButtons) button.setAttribute('aria-pressed', button.dataset.tool === picture.tool);
}
function setTool(tool) {
  picture.setTool(tool);
  showTool();
}

$('point-at').addEventListener('submit', guarded(async () => {
  const text = $('part').value.trim();
  if (text) picture.select(await pointedAt(text));
}));
$('name-it').addEventListener('submit', guarded(async () => {
  const labels = [...new Set($('labels').value.split(/[,\n]/).map((text) => text.trim()).filter(Boolean))];
  if (!labels.length) throw new Error('Give the names to choose from.');
  const prompt = address.promptOf(picture.selection);
  const ranked = await withScene(shown.name, shown.index, (id) => api.classify(id, labels, prompt, { busy }));
  $('ranked').replaceChildren(...ranked.map(({ label, score }) => el('li', {}, `${label}, score ${number(score, 3)}`)));
  say(`${prompt ? 'This region' : 'The whole picture'} is nearest to "${ranked[0].label}".`);
}));
for (const button of toolButtons) button.addEventListener('click', () => setTool(button.dataset.tool));
const presses = {
  'search-region': () => searchSelection(),
  'search-whole': () => searchSelection(null),
  undo: () => picture.undo(),
  redo: () => picture.redo(),
  clear: () => picture.select(null),
  smaller: () => picture.setZoom(picture.zoom - 1),
  larger: () => picture.setZoom(picture.zoom + 1),
  'show-keys': () => $('keys').showModal(),
  json: download,
  curl: showCommand,
};
for (const [id, press] of Object.entries(presses)) $(id).addEventListener('click', press);
$('sides').addEventListener('change', ({ target }) => {
  // Only the side that was changed moves: the others may lie between pixels.
  const box = sides.map((field, i) => (picture.selection?.box && field !== target ? picture.selection.box[i]
    : Math.min(1, Math.max(0, parseFloat(field.value) / (i % 2 ? picture.height : picture.width)))));
  if (box[0] < box[2] && box[1] < box[3]) picture.select({ kind: 'box', box });
  else say('A box has four sides: the right one beyond the left one, the bottom below the top.');
});

// Queries and options.
$('ask').addEventListener('submit', guarded(() => {
  const text = $('phrase').value.trim();
  if (text) return go({ q: text });
}));

async function take(file) {
  if (!file) return;
  say('Sending and encoding the picture.');
  const scene = await api.sendPicture(file, { busy });
  files.set(scene.id, file);
  // It is shown, and searched for once a place, or all of it, is chosen.
  await go({ q: null, show: `s${scene.id}` });
  say(`The picture is ready: ${scene.width} by ${scene.height} pixels. Mark a part of it, or search for all of it.`);
}
$('file').addEventListener('change', guarded(async () => {
  const [file] = $('file').files;
  $('file').value = '';
  await take(file);
}));
document.addEventListener('paste', (event) => {
  const [file] = event.clipboardData?.files || [];
  if (file) guarded(() => take(file))(event);
});
document.addEventListener('dragover', (event) => event.preventDefault());
document.addEventListener('drop', guarded((event) => {
  const [file] = event.dataTransfer.files;
  if (!file) throw new Error('This is an address, and the server opens none: save the picture, and drop the file.');
  return take(file);
}));

const LEAST = { z: ['Least z', 0, 15, 0.5, 5], s: ['Least score', -0.2, 1, 0.01, 0.25] };
function showOptions(now) {
  $('index-field').hidden = indexes.length < 2;
  $('index').value = indexName();
  $('unit').value = now.unit;
  Object.assign($('k'), { max: Math.max(100, now.k), value: now.k });
  $('k-value').textContent = now.k;
  const mode = LEAST[now.cut[0]] ? now.cut[0] : now.cut;
  $('cut').value = mode;
  $('fold').checked = now.fold !== 'off';
  $('least-field').hidden = !LEAST[mode];
  if (!LEAST[mode]) return;
  const [label, min, max, step] = LEAST[mode];
  const value = now.cut.slice(1);
  Object.assign($('least'), { min, max, step, value });
  $('least-label').textContent = label;
  $('least-value').textContent = value;
}
for (const id of ['k', 'least']) $(id).addEventListener('input', () => { $(`${id}-value`).textContent = $(id).value; });
$('options').addEventListener('change', ({ target: { id, value, checked } }) => {
  let changes = { [id]: value };
  if (id === 'fold') changes = { fold: checked ? 'on' : 'off' };
  if (id === 'cut' && LEAST[value]) changes = { cut: value + LEAST[value][4] };
  if (id === 'least') changes = { cut: $('cut').value + value };
  // A picture of one collection is not in another.
  if (id === 'index') changes = { ...changes, show: null, ...(/^\d/.test(state().on) && { q: null }) };
  go(changes, { replace: true });
});
$('options').addEventListener('submit', (event) => event.preventDefault());

function download() {
  const blob = new Blob([JSON.stringify(found.answer, null, 1)], { type: 'application/json' });
  const href = URL.createObjectURL(blob);
  el('a', { href, download: 'hits.json' }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10000);
}
async function showCommand() {
  const { body, index, on } = found;
  const text = $('command-text').value =
    api.curlOf(body, nameOf(on) || 'picture.jpg', body.scene && !address.isScene(on) && api.storedPicture(index, on, LARGE));
  $('command').showModal();
  $('command-text').select();
  try {
    await navigator.clipboard.writeText(text);
    say('The command is on the clipboard.');
  } catch {
    // The browser allows it only on safe addresses; the field has it.
  }
}
$('key-form').addEventListener('submit', () => {
  api.setKey($('key').value);
  $('key').value = '';
  found = null;
  shown = {};
  begin();
});

// Keys.
const KEYS = [
  ['/', 'the phrase'], ['B, P, M, V', 'box, point, mask, pick a region'], ['T', 'what to point at'],
  ['?', 'this list'], ['Esc', 'leaves a field, what was begun, then the picture'],
  ['Arrows', 'in the picture: the cursor by 1 % of the longer side; with Shift 10 %, with Ctrl one pixel'],
  ['Space', 'a corner of the box, the point, the brush down and up, the region at the cursor'],
  ['Enter', 'searches what is marked, or the whole picture'], ['Tab', 'walks the regions'],
  ['Delete', 'takes the mark away'], ['Ctrl+Z, Ctrl+Y', 'undo, redo'], ['+ - 0', 'size of the picture'],
  ['Arrows, Enter, S', 'in the results: walk, open, search for what is similar'],
];
$('key-list').append(...KEYS.flatMap(([keys, does]) => [el('dt', {}, keys), el('dd', {}, does)]));
$('keys-on').checked = localStorage.getItem('keys') !== 'off';
$('keys-on').addEventListener('change', () => localStorage.setItem('keys', $('keys-on').checked ? 'on' : 'off'));
document.addEventListener('keydown', (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || document.querySelector('dialog[open]')) return;
  if (event.target.matches('input:not([type=range], [type=checkbox], [type=file]), textarea, select')) {
    if (event.key === 'Escape' && event.target.closest('#picture')) $('stage').focus();
    return;
  }
  const tool = { b: 'box', p: 'point', m: 'mask', v: 'select' }[event.key.toLowerCase()];
  if (event.key === 'Escape') {
    if (shown.name) $('close').click();
    return;
  }
  if (!$('keys-on').checked) return;
  if (event.key === '/') $('phrase').focus();
  else if (event.key === '?') $('keys').showModal();
  else if (tool && shown.name) {
    setTool(tool);
    $('stage').focus();
  } else if (event.key.toLowerCase() === 't' && shown.name) $('part').focus();
  else return;
  event.preventDefault();
});

async function begin() {
  try {
    indexes = await api.indexes({ busy });
    $('index').replaceChildren(...indexes.map(({ name, pictures }) =>
      el('option', { value: name }, `${name} (${count(pictures, 'picture')})`)));
    const one = indexes.find(({ name }) => name === indexName());
    await apply();
    if (!found && $('error').hidden && one) {
      say(`Collection ${one.name}: ${count(one.pictures, 'picture')}, ${count(one.vectors, 'vector')}.`);
    }
  } catch (error) {
    fail(error);
  }
}
window.addEventListener('hashchange', apply);
begin();
