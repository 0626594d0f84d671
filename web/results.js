// The hits of a search: cards with the boxes that matched.

import { boxShape, count, el, number, overlay } from './dom.js';
import { fillPicture, storedPicture } from './api.js';

const THUMB_REM = 14; // the largest height

// What happened, in words.
export function summaryOf(answer) {
  const parts = [answer.hits.length ? count(answer.hits.length, 'picture') : 'Nothing is found'];
  const { z, below } = answer.cut;
  if (below) parts.push(`${below} below the cut-off${typeof z === 'number' ? ` (z ${number(z, 1)})` : ''}`);
  if (answer.folded) parts.push(`${count(answer.folded, 'near-duplicate')} folded`);
  const ms = Object.values(answer.took_ms).reduce((sum, value) => sum + value, 0);
  parts.push(`${count(answer.scanned, 'vector')} compared, ${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`);
  return parts.join('; ') + '.';
}

// A hit for those who do not see the picture.
const spoken = (hit) =>
  [`Rank ${hit.rank}`, hit.name, hit.text, `score ${number(hit.score, 3)}`, `z ${number(hit.z, 1)}`].filter(Boolean).join(', ');

function thumb(hit) {
  const layer = overlay(hit.width, hit.height, { 'aria-hidden': 'true' });
  for (const region of [hit, ...hit.regions].reverse()) {
    if (region.region === 0) continue; // the whole picture has no box to show
    layer.append(boxShape(region.box, hit.width, hit.height,
      { class: region === hit ? 'box best' : 'box', 'data-region': region.region }));
  }
  const frame = el('span', { class: 'thumb' }, el('img', { alt: '' }), layer);
  frame.style.aspectRatio = `${hit.width} / ${hit.height}`;
  frame.style.width = `min(100%, ${(THUMB_REM * hit.width / hit.height).toFixed(3)}rem)`;
  return frame;
}

// `link(changes)`: the address of this page with other settings.
function card(hit, link) {
  const open = el('a', { class: 'open', href: link({ show: hit.id }), 'aria-label': spoken(hit) }, thumb(hit));
  const similar = (region, text) => el('a', {
    class: 'button', href: link({ q: null, on: hit.id, region: region || null }),
    'aria-label': `Similar ${text}s, rank ${hit.rank}`,
  }, text);
  const facts = el('p', {}, `${hit.rank}. `, el('b', {}, number(hit.score, 3)), ` z ${number(hit.z, 1)}`);
  const item = el('li', { class: 'card', 'data-id': hit.id }, open, facts);
  for (const kind of ['text', 'name', 'caption']) {
    if (hit[kind]) item.append(el('p', { class: kind, title: hit[kind] }, hit[kind]));
  }
  const actions = el('p', { class: 'bar' }, 'Similar:');
  if (hit.region) actions.append(similar(hit.region, 'region'));
  actions.append(similar(0, 'picture'));
  item.append(actions);
  if (hit.duplicates.length) {
    const list = hit.duplicates.map((id) => el('li', {}, el('a', { href: link({ show: id }) }, `Picture ${id}`)));
    item.append(el('details', {}, el('summary', {}, `${list.length} like it`), el('ul', {}, ...list)));
  }
  return item;
}

export class Results {
  constructor(list) {
    this.list = list;
    this.stop = new AbortController();
    list.addEventListener('keydown', (event) => this.key(event));
  }

  clear() {
    this.stop.abort();
    this.stop = new AbortController();
    this.watch?.disconnect();
    this.list.replaceChildren();
  }

  show(answer, index, link) {
    this.clear();
    const { signal } = this.stop;
    const size = Math.min(1600, Math.max(256, Math.ceil(320 * devicePixelRatio)));
    const sources = new Map();
    // A picture is asked for once it is near what is seen.
    this.watch = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        this.watch.unobserve(target);
        fillPicture(target, sources.get(target), signal).catch((error) => {
          if (!signal.aborted) target.parentElement.append(el('span', { class: 'gone' }, error.message));
        });
      }
    }, { rootMargin: '300px' });
    for (const hit of answer.hits) {
      const item = card(hit, link);
      const image = item.querySelector('img');
      this.list.append(item);
      sources.set(image, storedPicture(index, hit.id, size));
      this.watch.observe(image);
    }
  }

  focus(id) {
    for (const item of this.list.children) {
      if (item.dataset.id === String(id)) item.querySelector('.open').focus();
    }
  }

  // Arrows walk the cards; S asks for what is similar. Enter is the link's own.
  key(event) {
    const cards = [...this.list.children];
    const at = cards.indexOf(event.target.closest('.card'));
    if (at < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
    const columns = Math.max(1, cards.filter((item) => item.offsetTop === cards[0].offsetTop).length);
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
    if (step) {
      event.preventDefault();
      cards[Math.min(cards.length - 1, Math.max(0, at + step))].querySelector('.open').focus();
    } else if (event.key.toLowerCase() === 's' && localStorage.getItem('keys') !== 'off') {
      cards[at].querySelector('.bar a').click();
    }
  }
}
