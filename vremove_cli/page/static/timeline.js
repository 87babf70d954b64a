// The clip in a strip: confidence of the masks, clicks, cuts, and where the page is.

export const LOW = 0.77; // expected overlap below which a frame should be looked at (docs/masks.md)

// Ranges of frames that warnings doubt; that a shadow was found, or not, is no doubt of a frame.
export const doubtsOf = (warnings) => warnings.filter((w) => w.kind !== "effects").flatMap((w) => w.frames);

export class Timeline {
  constructor(canvas, moved) {
    this.canvas = canvas;
    this.frames = 1;
    this.index = 0;
    this.cuts = [];
    this.marks = [];
    this.doubts = []; // ranges [first, last] that a summary warns of
    this.confidence = {};
    this.span = null;
    const follow = (event) => moved(this.frameAt(event));
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      canvas.focus();
      follow(event);
      canvas.onpointermove = follow;
    });
    canvas.addEventListener("pointerup", () => { canvas.onpointermove = null; });
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  frameAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    return Math.min(this.frames - 1, Math.max(0, Math.floor(share * this.frames)));
  }

  draw() {
    const ratio = window.devicePixelRatio || 1, box = this.canvas.getBoundingClientRect();
    if (!box.width) return;
    Object.assign(this.canvas, { width: Math.round(box.width * ratio), height: Math.round(box.height * ratio) });
    const g = this.canvas.getContext("2d"), step = box.width / this.frames;
    g.scale(ratio, ratio);
    g.fillStyle = "#161616";
    g.fillRect(0, 0, box.width, box.height);
    for (const [t, c] of Object.entries(this.confidence)) {
      g.fillStyle = c < LOW ? "#e0a44a" : "#5b7f9f";
      const high = 4 + 22 * c;
      const left = Math.floor(t * step);
      g.fillRect(left, 30 - high, Math.max(1, Math.floor((Number(t) + 1) * step) - left), high);
    }
    g.fillStyle = "#777";
    for (const t of this.cuts) g.fillRect(t * step, 0, 1, box.height);
    if (this.span) {
      g.fillStyle = "#ffffff22";
      g.fillRect(this.span[0] * step, 0, (this.span[1] - this.span[0]) * step, box.height);
    }
    g.fillStyle = "#e0a44a";
    for (const [first, last] of this.doubts) g.fillRect(first * step, 31, Math.max(2, (last + 1 - first) * step), 2);
    for (const { frame, colour } of this.marks) {
      g.fillStyle = colour;
      g.fillRect(frame * step, 34, Math.max(step, 3), 10);
    }
    g.fillStyle = "#fff";
    g.fillRect(this.index * step + step / 2 - 1, 0, 2, box.height);
    this.canvas.setAttribute("aria-valuemax", this.frames - 1);
    this.canvas.setAttribute("aria-valuenow", this.index);
  }
}
