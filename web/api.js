// The server's routes. Addresses are relative, so that the page also works below a prefix.

const RETRIES = 4;

let key = sessionStorage.getItem('key') || '';
export function setKey(text) {
  key = text.trim();
  sessionStorage.setItem('key', key);
}

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function errorOf(response) {
  let message = '';
  try {
    message = (await response.json()).error.message;
  } catch {
    // The answer of a proxy, or none: the number says what there is to say.
  }
  if (response.status === 401) message = 'The server asks for a key, or does not know this one.';
  if (response.status === 413 && !message) message = 'This is larger than the server takes.';
  return new ApiError(response.status, message || `The server answered ${response.status}.`);
}

// The response to a request that the server has taken. One that is busy is asked again after the time that it names;
// `options.busy(seconds)` hears of it.
async function ask(path, options = {}) {
  const { busy, ...init } = options;
  if (key) init.headers = { ...init.headers, Authorization: `Bearer ${key}` };
  for (let attempt = 1; ; ++attempt) {
    let response;
    try {
      response = await fetch(path, init);
    } catch (error) {
      if (init.signal?.aborted) throw error;
      throw new ApiError(0, init.body instanceof Blob
        ? 'The server cannot be reached, or it closed the connection because the picture is too large.'
        : 'The server cannot be reached.');
    }
    if (response.ok) return response;
    if ((response.status !== 429 && response.status !== 503) || attempt === RETRIES) throw await errorOf(response);
    const seconds = Math.min(10, Math.max(1, Number(response.headers.get('Retry-After')) || 1));
    busy?.(seconds);
    await new Promise((done) => setTimeout(done, 1000 * seconds));
  }
}

const get = async (path, options) => (await ask(path, options)).json();
const post = async (path, body, options = {}) => (await ask(path, {
  ...options, method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
})).json();

const indexPath = (name) => `v1/indexes/${encodeURIComponent(name)}`;
export const storedPicture = (index, id, size) =>
  `${indexPath(index)}/images/${encodeURIComponent(id)}/picture?size=${size}`;
export const scenePicture = (id, size) => `v1/scenes/${encodeURIComponent(id)}/picture?size=${size}`;

export const indexes = (options) => get('v1/indexes', options).then((answer) => answer.data);
export const stored = (index, id, options) => get(`${indexPath(index)}/images/${encodeURIComponent(id)}`, options);
export const search = (body, options) => post('v1/search', body, options);
export const scene = (id, options) => get(`v1/scenes/${encodeURIComponent(id)}`, options);
// The picture as it is, with a type that the server takes: some systems know none for a picture's name.
export const sendPicture = async (blob, options = {}) => (await ask('v1/scenes', {
  ...options, method: 'POST', body: blob,
  headers: { 'Content-Type': /^image\//.test(blob.type) ? blob.type : 'application/octet-stream' },
})).json();
export const ground = (id, text, options) =>
  post(`v1/scenes/${encodeURIComponent(id)}/ground`, { texts: [text] }, options).then((answer) => answer.data[0]);
// The labels for one prompt; none = the whole picture.
export const classify = (id, labels, prompt, options) =>
  post(`v1/scenes/${encodeURIComponent(id)}/classify`, prompt ? { labels, prompts: [prompt] } : { labels }, options)
    .then((answer) => answer.data[0].labels);

// Pictures are fetched, not linked: a key goes with the request, and an error can be told in words.
export const pictureBlob = async (path, options) => (await ask(path, options)).blob();

// Shows a picture in an <img>; a search goes first.
export async function fillPicture(image, path, signal) {
  const blob = await pictureBlob(path, { signal, priority: 'low' });
  const address = URL.createObjectURL(blob);
  try {
    image.src = address;
    await image.decode();
  } finally {
    URL.revokeObjectURL(address);
  }
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

// A search as command lines. `from`: the file name or the path of the picture that its scene was made of.
export function curlOf(body, from) {
  const address = (path) => quoted(new URL(path, document.baseURI).href);
  const secret = key ? ' -H "Authorization: Bearer $OPENCLOC_KEY"' : '';
  const lines = [];
  if (body.scene) {
    const source = from.path ? `curl -s${secret} ${address(from.path)} | ` : '';
    lines.push(`${source}curl -s${secret} -H 'Content-Type: application/octet-stream' ` +
      `--data-binary @${source ? '-' : quoted(from.name)} ${address('v1/scenes')}`);
  }
  lines.push(`curl -s${secret} -H 'Content-Type: application/json' -d ${quoted(JSON.stringify(body))} ` +
    address('v1/search'));
  return lines.join('\n');
}
