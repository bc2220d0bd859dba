// Where pictures come from besides files: a crop of one, a pen, a camera.

const MOST = 640; // pixels on the longer side of the picture shown for cropping

/** A picture shown whole, with a rectangle dragged over it. */
export class Crop {
  shares = null; // left, top, right, bottom of the crop as shares of the sides; null for the whole picture

  constructor(ui, onChange) {
    Object.assign(this, { ui, onChange });
    const canvas = ui["crop-canvas"];
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.start = this.#at(event);
    });
    canvas.addEventListener("pointermove", (event) => this.start && this.#span(this.#at(event)));
    canvas.addEventListener("pointerup", (event) => {
      if (!this.start) return;
      this.#span(this.#at(event));
      this.start = null;
      this.onChange();
    });
    ui["crop-all"].addEventListener("click", () => {
      this.#set(null);
      this.onChange();
    });
  }

  /** Show a picture, cropped to shares; one that the browser cannot draw is simply not shown. */
  async show(blob, shares = null) {
    this.#set(shares);
    const { ui } = this;
    try {
      const bitmap = await createImageBitmap(blob, { imageOrientation: "from-image" });
      const scale = Math.min(1, MOST / Math.max(bitmap.width, bitmap.height));
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

  #span([x, y]) {
    const [x0, y0] = this.start;
    const shares = [Math.min(x, x0), Math.min(y, y0), Math.max(x, x0), Math.max(y, y0)];
    // A click or a sliver is no crop.
    this.#set(shares[2] - shares[0] < 0.02 || shares[3] - shares[1] < 0.02 ? null : shares);
  }

  #set(shares) {
    this.shares = shares;
    const frame = this.ui["crop-frame"];
    frame.hidden = shares === null;
    if (!shares) return;
    const percent = (share) => `${100 * share}%`;
    Object.assign(frame.style, { left: percent(shares[0]), top: percent(shares[1]), width: percent(shares[2] - shares[0]), height: percent(shares[3] - shares[1]) });
  }
}

/** Black ink on white paper. */
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

/** A camera that runs only while its pane is open. */
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
      this.ui["camera-note"].textContent = `No camera: ${error.message ?? "the browser offers none on this page"}.`;
    }
    this.ui.snap.disabled = this.#stream === null;
  }

  stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
  }
}
