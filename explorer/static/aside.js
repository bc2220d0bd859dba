// What takes much memory for a moment is done in a worker of its own, which ends with it: only so does a browser give back at once
// what was taken; a page keeps it until its next full collection.

const ahead = new Map(); // workers that have not been asked yet, by their scripts

/** Start a worker, `script`, that will soon be asked. */
export function start(script) {
  const worker = new Worker(new URL(script, import.meta.url), { type: "module" });
  ahead.set(script, worker);
  return worker;
}

/** Ask a worker one thing. Throws what it threw. */
export async function aside(script, request) {
  const worker = ahead.get(script) ?? start(script);
  ahead.delete(script);
  try {
    const { out, error } = await new Promise((resolve, reject) => {
      worker.addEventListener("message", ({ data }) => resolve(data));
      worker.addEventListener("error", () => reject(new Error(`a part of the page, ${script}, could not be started`)));
      worker.postMessage(request);
    });
    if (error) throw new Error(error);
    return out;
  } finally {
    worker.terminate();
  }
}

/** In the worker: answer with what `act(request)` gives, {out, buffers}, the buffers being handed over. */
export function answer(act) {
  addEventListener("message", async ({ data }) => {
    try {
      const { out, buffers } = await act(data);
      postMessage({ out }, buffers);
    } catch (error) {
      postMessage({ error: error.message ?? String(error) });
    }
  });
}
