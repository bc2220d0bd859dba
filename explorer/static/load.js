// Runs when Gradio has put a component on the page: hands it to its module.
const { root, api_prefix } = window.gradio_config;
const file = (path) => `${root}${api_prefix}/file=${encodeURI(path)}`;
/** Files to the server; gives the path of each there. */
const send = async (files) => {
  const form = new FormData();
  for (const one of files) form.append("files", one);
  const { request } = await import(root + props.fetch);
  return (await request(`${root}${api_prefix}/upload`, { method: "POST", body: form })).json();
};
import(root + props.module).then((module) => module.mount({ element, props, server, upload: send, file }));
const ahead = (module) => Object.assign(document.createElement("link"), { rel: "modulepreload", href: root + module });
document.head.append(...(props.ahead ?? []).map(ahead));
