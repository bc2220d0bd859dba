// Sources of pictures: a crop of a file, a drawing, the camera.

const MAX_SIDE = 640; // pixels on the longer side of the picture that is shown for cropping

/** Shows a picture, and lets the user drag a rectangle over it to crop it. */
export class Crop {
  fractions = null; // left, top, right, bottom of the crop, 0 to 1; null for the whole picture

  constructor(ui, onChange) {
    Object.assign(this, { ui, onChange });
    const canvas = ui["crop-canvas"];
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.start = this.#at(event);
    });
    canvas.addEventListener("pointermove", (event) => this.start && this.#dragTo(this.#at(event)));
    canvas.addEventListener("pointerup", (event) => {
      if (!this.start) return;
      this.#dragTo(this.#at(event));
      this.start = null;
      this.onChange();
    });
    ui["crop-all"].addEventListener("click", () => {
      this.#set(null);
      this.onChange();
    });
  }

  /** Show a picture and its crop. A picture that the browser cannot decode is not shown. */
  async show(blob, fractions = null) {
    this.#set(fractions);
    const { ui } = this;
    try {
      const bitmap = await createImageBitmap(blob, { imageOrientation: "from-image" });
      const scale = Math.min(1, MAX_SIDE / Math.max(bitmap.width, bitmap.height));
      const canvas = ui["crop-canvas"];
      canvas.width = Math.max(1, Math.round(bitmap.width * scale));
      canvas.height = Math.max(1, Math.round(bitmap.height * scale));
      canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
      ui["crop-box"].style.aspectRatio = `${canvas.width} / ${canvas.height}`;
      ui["crop-box"].style.setProperty("--ratio", canvas.width / canvas.height);
      this.#visible(true);
    } catch {
      this.#visible(false);
    }
  }

  #visible(shown) {
    this.ui.drop.hidden = shown;
    this.ui["crop-box"].hidden = !shown;
    this.ui["crop-bar"].hidden = !shown;
  }

  #at(event) {
    const box = this.ui["crop-canvas"].getBoundingClientRect();
    const clamp = (value) => Math.max(0, Math.min(1, value));
    return [clamp((event.clientX - box.left) / box.width), clamp((event.clientY - box.top) / box.height)];
  }

  #dragTo([x, y]) {
    const [x0, y0] = this.start;
    const fractions = [Math.min(x, x0), Math.min(y, y0), Math.max(x, x0), Math.max(y, y0)];
    // A click or a very thin rectangle removes the crop.
    this.#set(fractions[2] - fractions[0] < 0.02 || fractions[3] - fractions[1] < 0.02 ? null : fractions);
  }

  #set(fractions) {
    this.fractions = fractions;
    const frame = this.ui["crop-frame"];
    frame.hidden = fractions === null;
    if (!fractions) return;
    const percent = (fraction) => `${100 * fraction}%`;
    Object.assign(frame.style, { left: percent(fractions[0]), top: percent(fractions[1]), width: percent(fractions[2] - fractions[0]), height: percent(fractions[3] - fractions[1]) });
  }
}

/** A canvas to draw on, in black on white. Each stroke is followed by `onStroke` with a PNG. */
export class Pen {
  constructor(ui, onStroke) {
    this.canvas = ui.pen;
    this.context = this.canvas.getContext("2d");
    Object.assign(this.context, { lineWidth: 20, lineCap: "round", lineJoin: "round" });
    this.clear();
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      this.last = this.#at(event);
      this.#line(this.last);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!this.last) return;
      for (const part of event.getCoalescedEvents?.() ?? [event]) this.#line(this.#at(part));
    });
    for (const name of ["pointerup", "pointercancel"]) {
      this.canvas.addEventListener(name, () => {
        if (!this.last) return;
        this.last = null;
        this.canvas.toBlob(onStroke, "image/png");
      });
    }
    ui["pen-clear"].addEventListener("click", () => this.clear());
  }

  clear() {
    this.context.fillStyle = "white";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * this.canvas.width, ((event.clientY - box.top) / box.height) * this.canvas.height];
  }

  #line(to) {
    this.context.beginPath();
    this.context.moveTo(...this.last);
    this.context.lineTo(...to);
    this.context.stroke();
    this.last = to;
  }
}

/** The camera. It runs only while its pane is open. */
export class Camera {
  #stream = null;

  constructor(ui, onPicture) {
    this.ui = ui;
    ui.snap.addEventListener("click", () => {
      const { videoWidth: width, videoHeight: height } = ui.camera;
      if (!width) return;
      const canvas = Object.assign(document.createElement("canvas"), { width, height });
      canvas.getContext("2d").drawImage(ui.camera, 0, 0);
      canvas.toBlob(onPicture, "image/png");
    });
  }

  async start() {
    this.ui["camera-note"].textContent = "";
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({ video: true });
      this.ui.camera.srcObject = this.#stream;
    } catch (error) {
      this.ui["camera-note"].textContent = `No camera: ${error.message ?? "the browser does not allow one on this page"}.`;
    }
    this.ui.snap.disabled = this.#stream === null;
  }

  stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
  }
}
