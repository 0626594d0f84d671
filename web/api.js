// The server's routes. Addresses are relative, so that the page also works below a prefix.

const RETRIES = 4;

let key = sessionStorage.getItem('key') || '';
export function setKey(text) {
  key = text.trim();
  sessionStorage.setItem('key', key);
}

const failure = (status, message) => Object.assign(new Error(message), { status });

async function errorOf(response) {
  const { status } = response;
  let message = `The server answered ${status}.`;
  try {
    ({ message } = (await response.json()).error);
  } catch {
    // The answer of a proxy.
  }
  return failure(status, status === 401 ? 'The server asks for a key, or does not know this one.' : message);
}

// The answer to a request. A server that is busy is asked again after the time that it names; `options.busy(seconds)`
// hears of it.
async function ask(path, options = {}) {
  const { busy, ...init } = options;
  if (key) init.headers = { ...init.headers, Authorization: `Bearer ${key}` };
  for (let attempt = 1; ; ++attempt) {
    let response;
    try {
      response = await fetch(path, init);
    } catch (error) {
      if (init.signal?.aborted) throw error;
      throw failure(0, init.body instanceof Blob
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

const indexed = (name, id) => `v1/indexes/${encodeURIComponent(name)}/images/${encodeURIComponent(id)}`;
const scenePath = (id) => `v1/scenes/${encodeURIComponent(id)}`;
export const storedPicture = (index, id, size) => `${indexed(index, id)}/picture?size=${size}`;
export const scenePicture = (id, size) => `${scenePath(id)}/picture?size=${size}`;

export const indexes = (options) => get('v1/indexes', options).then((answer) => answer.data);
export const stored = (index, id, options) => get(indexed(index, id), options);
export const search = (body, options) => post('v1/search', body, options);
export const scene = (id, options) => get(scenePath(id), options);
// The picture as it is, with a type that the server takes: some systems know none for a picture's name.
export const sendPicture = async (blob, options = {}) => (await ask('v1/scenes', {
  ...options, method: 'POST', body: blob,
  headers: { 'Content-Type': /^image\//.test(blob.type) ? blob.type : 'application/octet-stream' },
})).json();
// Of a picture that the server has.
export const storedScene = (index, id, options) => post('v1/scenes', { index, id: Number(id) }, options);
export const ground = (id, text, options) =>
  post(`${scenePath(id)}/ground`, { texts: [text] }, options).then((answer) => answer.data[0]);
// The labels for one prompt; none = the whole picture.
export const classify = (id, labels, prompt, options) =>
  post(`${scenePath(id)}/classify`, prompt ? { labels, prompts: [prompt] } : { labels }, options)
    .then((answer) => answer.data[0].labels);

// Shows a picture in an <img>; a search goes first. Fetched, not linked: a key goes with the request, and an error can be
// told in words.
export async function fillPicture(image, path, signal) {
  const address = URL.createObjectURL(await (await ask(path, { signal, priority: 'low' })).blob());
  try {
    image.src = address;
    await image.decode();
  } finally {
    URL.revokeObjectURL(address);
  }
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

// A search as command lines. `file`: the picture of its scene; or `stored`, {index, id} of one that the server has.
export function curlOf(body, file, stored) {
  const curl = `curl -s${key ? ' -H "Authorization: Bearer $OPENCLOC_KEY"' : ''}`;
  const at = (place) => quoted(new URL(place, document.baseURI).href);
  const json = (value, place) =>
    `${curl} -H 'Content-Type: application/json' -d ${quoted(JSON.stringify(value))} ${at(place)}`;
  const lines = [json(body, 'v1/search')];
  if (body.scene) {
    lines.unshift(stored ? json(stored, 'v1/scenes')
      : `${curl} -H 'Content-Type: application/octet-stream' --data-binary @${quoted(file)} ${at('v1/scenes')}`);
  }
  return lines.join('\n');
}
