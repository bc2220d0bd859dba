// The worker that fetches points and sorts them into cells.

import { answer } from "../shared/one_shot_worker.js";
import { Cells } from "./cells.js";
import { fetched } from "../model/projection.js";

answer(async ({ url }) => {
  const cells = new Cells(new Float32Array(await fetched(url)));
  return { out: { ...cells }, buffers: [cells.order.buffer, cells.places.buffer, cells.starts.buffer] };
});
