// Elements of HTML and SVG. Text becomes text nodes only, so nothing from the server is ever markup.

export const $ = (id) => document.getElementById(id);

export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS('http://www.w3.org/2000/svg', name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// A layer over a picture of this size; its units are the picture's pixels.
export function overlay(width, height, attributes = {}) {
  return svg('svg', { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', class: 'overlay', ...attributes });
}

// A box [x0, y0, x1, y1] in [0, 1]: a light line on a dark one, so that it shows on every picture.
export function boxShape(box, width, height, attributes = {}) {
  const place = {
    x: box[0] * width, y: box[1] * height,
    width: Math.max(0, box[2] - box[0]) * width, height: Math.max(0, box[3] - box[1]) * height,
  };
  return svg('g', attributes, svg('rect', { ...place, class: 'under' }), svg('rect', { ...place, class: 'line' }));
}

export const number = (value, digits) =>
  (typeof value === 'number' && isFinite(value) ? value.toFixed(digits) : '-');
export const count = (n, one, many = one + 's') => `${n.toLocaleString('en')} ${n === 1 ? one : many}`;
