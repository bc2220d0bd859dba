// The static page: mounts the tabs with functions that compute in the browser in place of a server.

import * as encode from "../encode/encode.js";
import * as explore from "../explore/explore.js";
import * as header from "../header/header.js";
import { choice } from "../shared/choice.js";
import { serverFunctions, Standalone } from "./standalone.js";

const TEXTS = {
  server: "preparing the decoder",
  never: "cannot decode here: see the self-check",
  page: "your input never leaves the browser",
};

const part = (id) => document.querySelector(`#${id}`);
const file = (path) => new URL(path, location.href.split(/[?#]/)[0]).href;
const baked = JSON.parse(part("baked").textContent);
const standalone = new Standalone(baked, file);
const server = serverFunctions(standalone);

choice(document.querySelector(".ls-tabs"), "tab", (selected) => {
  for (const id of ["explore", "encode"]) part(id).hidden = id !== selected;
});
explore.mount({ element: part("explore"), props: baked, server, file, factories: standalone, texts: TEXTS });
// Pictures are not uploaded: the File takes the place of its path on the server.
encode.mount({ element: part("encode"), props: baked, server, upload: async (files) => files, file });
header.mount({ element: document, props: { models: [baked.description.model] } });
