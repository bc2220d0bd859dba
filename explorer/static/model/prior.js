// The prior: a draw from it, and what it is called on the page.

const NORMAL = {
  sample: "Draw z from the prior N(0, 1)",
  reset: "Go to z = 0, the middle of the prior",
  sheet: "Draws from the prior, z ~ N(0, temperature²): pictures the model makes up. Click one to go there.",
};
const LEARNED = {
  sample: "Draw z from the prior, which this model has learned",
  reset: "Go to the mean of the images' posteriors: the prior is learned, and z = 0 means nothing to it",
  sheet: "Draws from the prior, which this model has learned: pictures it makes up. The temperature spreads them around the mean of the images' posteriors. Click one to go there.",
};

/** What is said of a model's prior. */
export function words({ prior }) {
  return prior === "normal" ? NORMAL : LEARNED;
}

/** A draw from the prior: by the page itself where that is N(0, 1), else by the server, which knows the prior. */
export async function sample({ description, name, server }) {
  if (description.prior === "normal") return description.start.map(normal);
  const seed = Math.floor(Math.random() * 2 ** 31);
  const answer = await server.draw_samples({ model: name, seed, temperature: 1, count: 1 });
  return answer?.z?.[0] ?? null;
}

/** A draw from N(0, 1) (Box and Muller, 1958). */
export function normal() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}
