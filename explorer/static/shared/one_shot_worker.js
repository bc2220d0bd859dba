// What takes much memory for a moment is done in a worker of its own, which ends with it: only so does a browser give back at once
// what was taken; a page keeps it until its next full collection.

const waiting = new Map(); // workers that have not been asked yet, by their scripts

/** Start a worker, the module at the address `script`, that will soon be asked; what it fails in is told to whoever asks. */
export function start(script) {
  try {
    if (!waiting.has(script)) waiting.set(script, open(script));
  } catch {
    // Nor will it start when it is asked.
  }
}

/** Ask a worker one thing. Throws what it threw. */
export async function aside(script, request) {
  const { worker, answered } = waiting.get(script) ?? open(script);
  waiting.delete(script);
  worker.postMessage(request);
  return answered;
}

function open(script) {
  const worker = new Worker(script, { type: "module" });
  // From the start on: a worker may fail before it is asked.
  const answered = new Promise((resolve, reject) => {
    worker.addEventListener("message", ({ data }) => (data.error === undefined ? resolve(data.out) : reject(new Error(data.error))));
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      reject(new Error(event.message || "a worker of the page could not start; reload it"));
    });
  });
  const end = () => worker.terminate();
  answered.then(end, end);
  return { worker, answered };
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
