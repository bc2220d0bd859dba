// The prior: draws from it, and the texts on the page that depend on it.

const NORMAL = {
  sample: "Draw z from the prior N(0, 1)",
  reset: "Go to z = 0, the mean of the prior",
  sheet: "Images decoded from draws of the prior, z ~ N(0, temperature²). Click one to go there.",
};
const LEARNED = {
  sample: "Draw z from the model's learned prior",
  reset: "Go to the mean of the images' posteriors. The prior is learned, so z = 0 has no special meaning.",
  sheet:
    "Images decoded from draws of the model's learned prior. " +
    "The temperature spreads them around the mean of the images' posteriors. Click one to go there.",
};

/** The texts for a model's prior: titles of the buttons Sample and Reset, and the note of the Samples view. */
export function priorTexts({ prior }) {
  return prior === "normal" ? NORMAL : LEARNED;
}

/** Draw from a model's prior: N(0, 1) in the page, any other on the server. Null if the server does not answer. */
export async function samplePrior({ description, name, server }) {
  if (description.prior === "normal") return description.start.map(standardNormal);
  const seed = Math.floor(Math.random() * 2 ** 31);
  const answer = await server.draw_samples({ model: name, seed, temperature: 1, count: 1 });
  return answer?.z?.[0] ?? null;
}

/** A draw from N(0, 1) (Box and Muller, 1958). */
export function standardNormal() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}
