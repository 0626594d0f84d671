// What people do. session.js makes of it what is shown.

import * as api from './api.js';
import { $, el, number } from './dom.js';
import {
  LEAST, apply, begin, busy, files, found, go, guarded, nameOf, picture, pointedAt, say, searchSelection, shown,
  sides, state, toolButtons, withScene,
} from './session.js';
import * as address from './state.js';

// The picture.
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
for (const button of toolButtons) button.addEventListener('click', () => picture.setTool(button.dataset.tool));
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
    api.curlOf(body, nameOf(on) || 'picture.jpg', body.scene && !address.isScene(on) && { index, id: Number(on) });
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
  begin();
});

// Keys.
const KEYS = [
  ['/', 'the phrase'], ['B, P, M, V', 'box, point, mask, pick a region'], ['T', 'what to point at'],
  ['?', 'this list'], ['Esc', 'leaves a field, what was begun, then the picture'],
  ['Arrows', 'move the cursor by 1 % of the longer side; with Shift 10 %, with Ctrl one pixel'],
  ['Space', 'a corner, the point, the brush down and up, the region at the cursor'],
  ['Enter', 'searches what is marked, or the whole picture'], ['Tab', 'walks the regions'],
  ['Delete', 'takes the mark away'], ['Ctrl+Z, Ctrl+Y', 'undo, redo'], ['+ - 0', 'size of the picture'],
  ['Arrows, Enter, S', 'in the results: walk, open, what is similar'],
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
    picture.setTool(tool);
    $('stage').focus();
  } else if (event.key.toLowerCase() === 't' && shown.name) $('part').focus();
  else return;
  event.preventDefault();
});

window.addEventListener('hashchange', apply);
begin();
