// Uploads from the user's disk: a folder, a .zip file or single pictures, in batches of limited size.

const MAX_FILES = 100; // files in a batch

/** The dropped files as [name, file]. Folders are read recursively; if a single folder was dropped, names are relative to it. */
export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => [file.name, file]);
  const found = (await Promise.all(entries.map((entry) => filesOf(entry, "")))).flat();
  return entries.length === 1 && entries[0].isDirectory ? found.map(([name, file]) => [withoutTop(name), file]) : found;
}

/** The files chosen in a file input as [name, file]; names are relative to a chosen folder. */
export function chosenFiles(input) {
  return [...input.files].map((file) => [file.webkitRelativePath ? withoutTop(file.webkitRelativePath) : file.name, file]);
}

/** A name for the files: their folder's, or that of a single file without its extension, else "pictures". */
export function collectionName(files, transfer) {
  const folder = transfer?.items?.length === 1 && transfer.items[0].webkitGetAsEntry?.();
  if (folder?.isDirectory) return folder.name;
  const path = files[0]?.[1].webkitRelativePath;
  if (path) return path.split("/")[0];
  return files.length === 1 ? files[0][0].replace(/\.[^.]*$/, "") : "pictures";
}

/**
 * Split files into batches of [name, blob] with at most `bytes` bytes each. Small files share a batch. A large file is split into
 * pieces with the same name, which the server joins.
 */
export function* batches(files, bytes) {
  let batch = [];
  let size = 0;
  for (const [name, file] of files) {
    for (let start = 0; start === 0 || start < file.size; start += bytes) {
      const piece = file.slice(start, start + bytes);
      if (batch.length && (batch.length === MAX_FILES || size + piece.size > bytes)) {
        yield batch;
        batch = [];
        size = 0;
      }
      batch.push([name, piece]);
      size += piece.size;
    }
  }
  if (batch.length) yield batch;
}

/** A path without its first folder. */
function withoutTop(path) {
  return path.slice(path.indexOf("/") + 1);
}

async function filesOf(entry, prefix) {
  const name = prefix + entry.name;
  if (entry.isFile) return [[name, await new Promise((resolve, reject) => entry.file(resolve, reject))]];
  const reader = entry.createReader();
  const children = [];
  for (;;) {
    // Each call returns only some of the entries, and none at the end.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    children.push(...some);
  }
  return (await Promise.all(children.map((child) => filesOf(child, `${name}/`)))).flat();
}
