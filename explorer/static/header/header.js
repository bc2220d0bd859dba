// The model picker, shared by all tabs: a list of names, and a strip of pictures.
import { session } from "../shared/session.js";
import { Strip } from "./strip.js";

export async function mount({ element, props, server }) {
  const picker = element.querySelector("#model");
  for (const name of props.models) picker.add(new Option(name, name));
  const asked = new URLSearchParams(location.search).get("model");
  if (props.models.includes(asked)) picker.value = asked;
  const strip = new Strip(element.querySelector("#strip"), props.models, server, (model) => session.open(model));
  // A model that was trained since the page was built.
  session.on("offer", (model) => {
    if (![...picker.options].some(({ value }) => value === model)) picker.add(new Option(model, model));
    strip.add(model);
  });
  picker.addEventListener("change", () => session.open(picker.value));
  session.on("model", (model) => {
    picker.value = model;
    strip.mark(model);
  });
  // Not before the first picture is there: it is what the visitor waits for.
  session.on("shown", () => strip.fill());
  session.on("open", (description) => {
    element.querySelector("#facts").replaceChildren(...facts(description));
  });
  if (asked && !props.models.includes(asked) && (await server?.cover({ model: asked }))?.pixels) {
    session.emit("offer", asked);
    picker.value = asked;
  }
  session.open(picker.value);
}

function facts({ latents, images, encoded, evaluation, active_variance }) {
  const active = latents.filter((latent) => latent.active).length;
  const entries = [
    [`${latents.length} latents`, "Coordinates of the space that the model squeezes images into"],
    [`${active} active`, `Active units: latents whose posterior mean has a variance above ${active_variance} over the images (Burda et al., 2016)`],
    encoded
      ? [`${encoded.rows.toLocaleString("en")} images on the map`, `All that were encoded; placed by ${images.toLocaleString("en")} of the gallery's, which the model was not trained on`]
      : [`${images.toLocaleString("en")} images on the map`, "The gallery: images the model was not trained on"],
    [
      `ELBO ${evaluation.elbo.toFixed(1).replace("-", "−")} nats`,
      `Evidence lower bound per image, on ${evaluation.images.toLocaleString("en")} ${evaluation.split} images. ${evaluation.likelihood}`,
    ],
  ];
  return entries.map(([text, title]) => Object.assign(document.createElement("span"), { textContent: text, title }));
}
