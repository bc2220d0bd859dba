// Runs when Gradio has put a component on the page: loads the component's module and calls its `mount`.
const { root, api_prefix } = window.gradio_config;
const file = (path) => `${root}${api_prefix}/file=${encodeURI(path)}`;
/** Upload files. Resolves with the path of each on the server. (Gradio defines `upload` in this scope.) */
const uploadFiles = async (files) => {
  const form = new FormData();
  for (const each of files) form.append("files", each);
  const { request } = await import(root + props.fetch);
  return (await request(`${root}${api_prefix}/upload`, { method: "POST", body: form })).json();
};
import(root + props.module).then((module) => module.mount({ element, props, server, upload: uploadFiles, file }));
const preload = (module) => Object.assign(document.createElement("link"), { rel: "modulepreload", href: root + module });
document.head.append(...(props.preload ?? []).map(preload));
