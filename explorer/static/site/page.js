// A page without a server: hands the tabs their parts of it, and answers for the server.

import { choice } from "../shared/choice.js";
import * as encode from "../encode/encode.js";
import * as explore from "../explore/explore.js";
import * as header from "../header/header.js";
import { calls, Standalone } from "./standalone.js";

const WORDS = { server: "getting ready to decode", never: "cannot decode here: see the self-check", page: "nothing you do here leaves it" };

const part = (id) => document.querySelector(`#${id}`);
const file = (path) => new URL(path, location.href.split(/[?#]/)[0]).href;
const baked = JSON.parse(part("baked").textContent);
const standalone = new Standalone(baked, file);
const server = calls(standalone);

choice(document.querySelector(".ls-tabs"), "tab", (chosen) => {
  for (const id of ["explore", "encode"]) part(id).hidden = id !== chosen;
});
explore.mount({ element: part("explore"), props: baked, server, file, own: standalone, texts: WORDS });
// Pictures that are given to the page are their own paths: there is nowhere to send them.
encode.mount({ element: part("encode"), props: baked, server, upload: async (pictures) => pictures, file });
header.mount({ element: document, props: { models: [baked.description.model] } });
