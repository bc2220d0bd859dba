// Follows the system's colour scheme, light or dark. A plain script at the top of the body: it runs before the first paint.

{
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const update = () => document.body.classList.toggle("dark", dark.matches);
  dark.addEventListener("change", update);
  update();
}
