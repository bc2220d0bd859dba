// Light or dark, as the visitor's system has it. A plain script at the top of a page's body: known before anything is drawn.

{
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => document.body.classList.toggle("dark", dark.matches);
  dark.addEventListener("change", follow);
  follow();
}
