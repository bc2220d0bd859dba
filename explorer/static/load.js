// Runs when Gradio has put a component on the page: hands it to its module.
const { root, api_prefix } = window.gradio_config;
const file = (path) => `${root}${api_prefix}/file=${encodeURI(path)}`;
import(file(props.module)).then((module) => module.mount({ element, props, server, upload, file }));
