// The model picker, shared by all tabs.
import { session } from "./session.js";

export function mount({ element, props }) {
  const picker = element.querySelector("#model");
  for (const name of props.models) picker.add(new Option(name, name));
  const asked = new URLSearchParams(location.search).get("model");
  if (props.models.includes(asked)) picker.value = asked;
  picker.addEventListener("change", () => session.open(picker.value));
  session.on("open", (description) => {
    picker.value = description.model;
    element.querySelector("#facts").replaceChildren(...facts(description));
  });
  session.open(picker.value);
}

function facts({ latents, images, evaluation }) {
  const alive = latents.filter((latent) => !latent.dead).length;
  const entries = [
    [`${latents.length} latents`, "Coordinates of the space that the model squeezes images into"],
    [`${alive} alive`, "Latents that tell anything about an image (KL of at least 0.01 nats)"],
    [`${images.toLocaleString("en")} images on the map`, "The gallery: images the model was not trained on"],
    [
      `ELBO ${evaluation.elbo.toFixed(1).replace("-", "−")} nats`,
      `Evidence lower bound per image, on ${evaluation.images.toLocaleString("en")} ${evaluation.split} images. ${evaluation.likelihood}`,
    ],
  ];
  return entries.map(([text, title]) => Object.assign(document.createElement("span"), { textContent: text, title }));
}
