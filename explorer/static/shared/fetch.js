// Requests over HTTP. A failed one throws an error that names the file and the status; a file is fetched once.

const MAX_CACHED = 32 << 20; // bytes of files that stay in memory whether or not they are in use
const recent = new Map(); // address → buffer, the least recently used first
const buffers = new Map(); // address → WeakRef of its buffer: a file in use is never held twice
const pending = new Map(); // address → promise of its buffer

/** Send a request and return the response. Throws an Error that names the file and the status. */
export async function request(address, options) {
  const response = await named(address, fetch(address, options));
  return response.ok ? response : named(address, Promise.reject(new Error(`HTTP status ${response.status}`)));
}

/** Fetch the bytes of a file, also if they are in memory already. Throws as `request` does. */
export async function readBytes(address, options) {
  return named(address, (await request(address, options)).arrayBuffer());
}

/** The bytes of a file, fetched once. All callers get the same buffer: it must not be changed or transferred. Throws as `request` does. */
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
    const fetched = readBytes(address);
    pending.set(address, fetched);
    const end = () => pending.delete(address);
    fetched.then((buffer) => buffers.set(address, new WeakRef(buffer))).then(end, end);
  }
  return pending.get(address);
}

/** The same promise, with the name of the file in its error. */
async function named(address, promise) {
  try {
    return await promise;
  } catch (error) {
    const file = decodeURI(String(address).split(/[?#]/)[0]).split("/").at(-1);
    throw new Error(`request for ${file} failed: ${error.message}`);
  }
}
