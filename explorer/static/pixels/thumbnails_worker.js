// A worker that unpacks a thumbnail sprite. Unpacking needs eight times the memory of the thumbnails.

import { request } from "../shared/fetch.js";
import { respond } from "../shared/one_shot_worker.js";

respond(async ({ url, columns, shape }) => {
  const out = await unpack(url, columns, shape);
  return { out, buffers: [out.buffer] };
});

/** Unpack a sprite with `columns` thumbnails (C, H, W) in a row: bytes (N, H, W, C), row by row of the sprite. */
async function unpack(url, columns, [channels, height, width]) {
  const response = await request(url);
  const sheet = await createImageBitmap(await response.blob(), { colorSpaceConversion: "none" });
  const rows = sheet.height / height;
  const out = new Uint8Array(rows * columns * channels * height * width);
  const strip = new OffscreenCanvas(sheet.width, height).getContext("2d", { willReadFrequently: true });
  for (let row = 0, o = 0; row < rows; row++) {
    strip.drawImage(sheet, 0, -row * height);
    const { data } = strip.getImageData(0, 0, sheet.width, height);
    for (let column = 0; column < columns; column++) {
      for (let y = 0; y < height; y++) {
        let i = 4 * (y * sheet.width + column * width);
        const end = i + 4 * width;
        for (; i < end; i += 4) for (let channel = 0; channel < channels; channel++) out[o++] = data[i + channel];
      }
    }
  }
  return out;
}
