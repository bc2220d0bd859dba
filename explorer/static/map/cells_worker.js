// A worker that fetches points and sorts them into the cells of a grid.

import { respond } from "../shared/one_shot_worker.js";
import { Cells } from "./cells.js";
import { readBytes } from "../shared/fetch.js";

respond(async ({ url }) => {
  const cells = new Cells(new Float32Array(await readBytes(url)));
  return { out: { ...cells }, buffers: [cells.order.buffer, cells.positions.buffer, cells.starts.buffer] };
});
