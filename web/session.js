// What the page shows: its address says it (state.js), and every act changes the address.

import * as api from './api.js';
import { $, count, el, number } from './dom.js';
import { Picture } from './picture.js';
import { Results, summaryOf } from './results.js';
import * as address from './state.js';

const LARGE = 1600;  // pixels of the longer side, the largest that the server makes

const welcome = $('summary').textContent;

let indexes = [];
export let found = null;  // the search that is shown: {key, body, answer, index, on}
export let shown = {};  // the picture that is shown: {name, index}, the name as the address has it
let searching, opening;  // AbortController
let started = false;  // from then on, what is opened takes the focus
export const files = new Map();  // scene id -> File, to send it again
export const nameOf = (name) => files.get(name?.slice(1))?.name;
const scenes = new Map();  // "index/id" -> scene id, of pictures of an index that are drawn on

export const say = (text) => { $('status').textContent = text; };
export const state = address.current;
const link = (changes) => address.changed(state(), changes);
const indexName = () => state().index || indexes[0]?.name || '';
export const busy = (seconds) => say(`The server is busy: asking again in ${count(seconds, 'second')}.`);

// Links and Back come by way of hashchange.
export function go(changes, { replace = false } = {}) {
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
export const guarded = (work) => (event) => {
  event.preventDefault();
  settled();
  Promise.resolve().then(() => work(event)).catch(fail);
};

export const toolButtons = document.querySelectorAll('button[data-tool]');
export const picture = new Picture($('stage'), $('shown'), $('region-list'), {
  changed: showSelection,
  search: () => searchSelection(),
  tool: (tool) => {
    for (const button of toolButtons) button.setAttribute('aria-pressed', button.dataset.tool === tool);
  },
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
    scenes.set(key, (await api.storedScene(index, name, { busy })).id);
  }
  return scenes.get(key);
}
export async function withScene(name, index, work) {
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
  // The card that had the focus is gone.
  if (started && document.activeElement === document.body) $('results-name').focus();
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
  if (!name) {
    if (before) results.focus(before);
    return;
  }
  try {
    const facts = await factsOf(name, index, signal);
    if (signal.aborted) return;
    picture.show(facts);
    $('picture-name').textContent = facts.name;
    $('caption').textContent = facts.caption || '';
    $('regions').hidden = !facts.regions.length;
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
  let selection = address.selectionOf(now);
  if (selection?.kind === 'region') {
    const region = picture.regions.find((one) => one.region === selection.region);
    selection = region && { kind: 'region', ...region };
  } else if (selection?.kind === 'text') {
    if (picture.selection?.text === selection.text) return;
    selection = await pointedAt($('part').value = selection.text);
  }
  if (selection) picture.restore(selection);
}

export async function apply() {
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

// Of each kind of cut-off: its name, least, most, step, and where it begins.
export const LEAST = { z: ['Least z', 0, 15, 0.5, 5], s: ['Least score', -0.2, 1, 0.01, 0.25] };
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

// The selection.
export const sides = [...$('sides').querySelectorAll('input')];
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
  const score = typeof selection.score === 'number' ? `, score ${number(selection.score, 3)}` : '';
  const what = { box: `Box ${at}`, point: 'Point', mask: 'Mask', region: selection.name, text: `"${selection.text}" at ${at}${score}` };
  say(`${what[selection.kind]}: Enter searches.`);
}

export function searchSelection(selection = picture.selection) {
  if (shown.name) go({ on: shown.name, ...address.placeOf(selection) });
}

export async function pointedAt(text) {
  say(`Looking for "${text}".`);
  const at = await withScene(shown.name, shown.index, (id) => api.ground(id, text, { busy }));
  if (!at) throw new Error('The model found no box for this.');
  return { kind: 'text', text, box: at.box, score: at.score };
}

// Shows what the address says; again after a key was given.
export async function begin() {
  found = null;
  shown = {};
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
