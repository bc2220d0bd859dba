// Tests of sampling from the prior and of its description.

import assert from "node:assert/strict";
import { test } from "node:test";
import { priorTexts, samplePrior } from "../../../explorer/static/model/prior.js";

test("the page samples the standard normal", async () => {
  const model = { description: { prior: "normal", start: new Array(20000).fill(7) } };
  const z = await samplePrior(model);
  const mean = z.reduce((sum, value) => sum + value, 0) / z.length;
  const variance = z.reduce((sum, value) => sum + (value - mean) ** 2, 0) / z.length;
  assert.ok(Math.abs(mean) < 0.05);
  assert.ok(Math.abs(variance - 1) < 0.08);
});

test("the server samples a learned prior at temperature 1, and its description is not N(0, 1)", async () => {
  const asked = [];
  const draw_samples = async (request) => (asked.push(request), { z: [[1, 2]] });
  const model = { description: { prior: "flow", start: [0, 0] }, name: "m", server: { draw_samples } };
  assert.deepEqual(await samplePrior(model), [1, 2]);
  const [{ seed, ...request }] = asked;
  assert.deepEqual(request, { model: "m", temperature: 1, count: 1 });
  assert.ok(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 31);
  for (const text of Object.values(priorTexts({ prior: "flow" }))) assert.doesNotMatch(text, /N\(0|z = 0, the mean/);
  assert.match(priorTexts({ prior: "normal" }).reset, /z = 0/);
});

test("without a server response there is no sample", async () => {
  const model = { description: { prior: "vamp" }, name: "m", server: { draw_samples: async () => null } };
  assert.equal(await samplePrior(model), null);
});
