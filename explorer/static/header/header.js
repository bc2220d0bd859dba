// The header of all tabs: the model picker (a list, and a strip of images) and facts about the open model.
import { session } from "../shared/session.js";
import { Strip } from "./strip.js";

export async function mount({ element, props, server }) {
  const picker = element.querySelector("#model");
  for (const name of props.models) picker.add(new Option(name, name));
  const linked = new URLSearchParams(location.search).get("model");
  if (props.models.includes(linked)) picker.value = linked;
  const strip = new Strip(element.querySelector("#strip"), props.models, server, (model) => session.open(model));
  // A model that was trained after the page was built.
  session.on("offer", (model) => {
    if (![...picker.options].some(({ value }) => value === model)) picker.add(new Option(model, model));
    strip.add(model);
  });
  picker.addEventListener("change", () => session.open(picker.value));
  session.on("model", (model) => {
    picker.value = model;
    strip.mark(model);
  });
  // After the first decoded image, which the visitor waits for.
  session.on("shown", () => strip.load());
  session.on("open", (description) => {
    element.querySelector("#facts").replaceChildren(...facts(description));
  });
  if (linked && !props.models.includes(linked) && (await server?.cover({ model: linked }))?.pixels) {
    session.emit("offer", linked);
    picker.value = linked;
  }
  session.open(picker.value);
}

function facts({ latents, images, encoded, evaluation, active_variance }) {
  const active = latents.filter((latent) => latent.active).length;
  const number = (value) => value.toLocaleString("en");
  const gallery = "images that the model was not trained on";
  const entries = [
    [`${latents.length} latents`, "Dimensions of the latent space"],
    [
      `${active} active`,
      `Active units: latents whose posterior mean has a variance above ${active_variance} over the images (Burda et al., 2016)`,
    ],
    encoded
      ? [`${number(encoded.rows)} images on the map`, `The encoded images, on the map of ${number(images)} gallery ${gallery}`]
      : [`${number(images)} images on the map`, `The gallery: ${gallery}`],
    [
      `ELBO ${evaluation.elbo.toFixed(1).replace("-", "−")} nats`,
      `Evidence lower bound per image, on ${number(evaluation.images)} ${evaluation.split} images. ${evaluation.likelihood}`,
    ],
  ];
  return entries.map(([text, title]) => Object.assign(document.createElement("span"), { textContent: text, title }));
}
