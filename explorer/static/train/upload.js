// Files from the visitor's disk to the server: a folder, a .zip file or single pictures, in parcels of bounded size.

const MANY = 100; // files in a request

/** What was dropped, as [name, file]: folders with everything in them, names without the folder they all are in. */
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => [file.name, file]);
  const found = (await Promise.all(entries.map((entry) => walk(entry, "")))).flat();
  return entries.length === 1 && entries[0].isDirectory ? found.map(([name, file]) => [inner(name), file]) : found;
}

/** What was chosen, likewise. */
export function chosen(input) {
  return [...input.files].map((file) => [file.webkitRelativePath ? inner(file.webkitRelativePath) : file.name, file]);
}

/** What the whole is called: its folder, or its one file without the ending. */
export function title(files, transfer) {
  const folder = transfer?.items?.length === 1 && transfer.items[0].webkitGetAsEntry?.();
  if (folder?.isDirectory) return folder.name;
  const path = files[0]?.[1].webkitRelativePath;
  if (path) return path.split("/")[0];
  return files.length === 1 ? files[0][0].replace(/\.[^.]*$/, "") : "pictures";
}

/**
 * Parcels of [name, blob], of at most `bytes` each, to be sent one after another: small files together, a large one in pieces, which the server puts
 * together again.
 */
export function* parcels(files, bytes) {
  let parcel = [];
  let size = 0;
  for (const [name, file] of files) {
    for (let start = 0; start === 0 || start < file.size; start += bytes) {
      const piece = file.slice(start, start + bytes);
      if (parcel.length && (parcel.length === MANY || size + piece.size > bytes)) {
        yield parcel;
        parcel = [];
        size = 0;
      }
      parcel.push([name, piece]);
      size += piece.size;
    }
  }
  if (parcel.length) yield parcel;
}

function inner(path) {
  return path.slice(path.indexOf("/") + 1);
}

async function walk(entry, above) {
  const name = above + entry.name;
  if (entry.isFile) return [[name, await new Promise((resolve, reject) => entry.file(resolve, reject))]];
  const reader = entry.createReader();
  const children = [];
  for (;;) {
    // A reader gives some at a time.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    children.push(...some);
  }
  return (await Promise.all(children.map((child) => walk(child, `${name}/`)))).flat();
}
