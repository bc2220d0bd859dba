// One-shot workers: each handles one request and ends. A worker's memory is freed as soon as it ends. Memory that the page
// releases is freed only at the browser's next full garbage collection.

const started = new Map(); // workers that have no request yet, by the URL of their script

/** Start a worker for a later `runInWorker`. `script` is the URL of a module. Errors are reported by `runInWorker`. */
export function startWorker(script) {
  try {
    if (!started.has(script)) started.set(script, open(script));
  } catch {
    // `runInWorker` tries again and reports the error.
  }
}

/** Send a request to a worker and return its answer. Throws what the worker threw. */
export async function runInWorker(script, request) {
  const { worker, answered } = started.get(script) ?? open(script);
  started.delete(script);
  worker.postMessage(request);
  return answered;
}

function open(script) {
  const worker = new Worker(script, { type: "module" });
  // Listen at once: a worker may fail before it gets a request.
  const answered = new Promise((resolve, reject) => {
    worker.addEventListener("message", ({ data: { out, error } }) => {
      if (error === undefined) resolve(out);
      else reject(new Error(error));
    });
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      reject(new Error(event.message || "a worker of the page could not start; reload it"));
    });
  });
  const end = () => worker.terminate();
  answered.then(end, end);
  return { worker, answered };
}

/** In the worker: answer the request with `handle(request)`, {out, buffers}. The buffers are transferred, not copied. */
export function respond(handle) {
  addEventListener("message", async ({ data }) => {
    try {
      const { out, buffers } = await handle(data);
      postMessage({ out }, buffers);
    } catch (error) {
      postMessage({ error: error.message ?? String(error) });
    }
  });
}
