// Requests over HTTP. A failed one throws an error that names the file and the status; a file is fetched once.

const MAX_CACHED = 32 << 20; // bytes of files that stay in memory whether or not they are in use
const recent = new Map(); // address → buffer, the least recently used first
const buffers = new Map(); // address → WeakRef of its buffer: a file in use is never held twice
const pending = new Map(); // address → promise of its buffer

/** Send a request and return the response. Throws an Error that names the file and the status. */
export async function request(address, options) {
  const failed = (reason) => new Error(`request for ${fileName(address)} failed: ${reason}`);
  const response = await fetch(address, options).catch((error) => Promise.reject(failed(error.message)));
  if (!response.ok) throw failed(`HTTP status ${response.status}`);
  return response;
}

/** The bytes of a file. All callers get the same buffer: it must not be changed or transferred. Throws as `request` does. */
export async function fetchBytes(address) {
  const buffer = buffers.get(address)?.deref() ?? (await fetchOnce(address));
  recent.delete(address);
  recent.set(address, buffer);
  let total = [...recent.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  for (const [oldest, { byteLength }] of recent) {
    if (total <= MAX_CACHED) break;
    recent.delete(oldest);
    total -= byteLength;
  }
  return buffer;
}

/** The value in a JSON file. Throws as `request` does. */
export async function fetchJson(address) {
  return JSON.parse(new TextDecoder().decode(await fetchBytes(address)));
}

/** Fetch a file, or wait for a request for it that is under way. */
function fetchOnce(address) {
  if (!pending.has(address)) {
    const fetched = request(address).then((response) => response.arrayBuffer());
    pending.set(address, fetched);
    const end = () => pending.delete(address);
    fetched.then((buffer) => buffers.set(address, new WeakRef(buffer))).then(end, end);
  }
  return pending.get(address);
}

function fileName(address) {
  return decodeURI(String(address).split(/[?#]/)[0]).split("/").at(-1);
}
