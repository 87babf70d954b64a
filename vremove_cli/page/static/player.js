// Which frame is shown: steps, playing at real speed, a loop, and the comparison with the result.

const REST = 140; // ms without a step, after which the exact picture is fetched
const LOOP = 12; // frames before and after in a loop
const AHEAD = 6; // frames that are fetched while the clip plays

const $ = (id) => document.getElementById(id);

export class Player {
  // before, after: `Frames`; compared(): whether there is a result; moved(), rested(): called when the frame changes, and
  // when it has been the same for a moment; failed(error).
  constructor({ view, timeline, before, after, clip, compared, moved, rested, failed }) {
    Object.assign(this, { view, timeline, before, after, clip, compared, moved, rested, failed });
    Object.assign(this, { index: 0, playing: 0, loop: null, asked: 0, shown: 0, timer: 0 });
    view.size = clip;
    timeline.frames = clip.frames;
    timeline.cuts = clip.cuts;
    this.wire();
  }

  get screenWidth() {
    const width = this.view.canvas.getBoundingClientRect().width * (window.devicePixelRatio || 1);
    return Math.min(this.clip.width, Math.max(320, Math.ceil(width / 160) * 160));
  }

  async go(to) {
    this.index = Math.min(this.clip.frames - 1, Math.max(0, to));
    this.say();
    this.moved();
    clearTimeout(this.timer);
    await this.show(this.screenWidth);
    this.timer = setTimeout(() => { this.show(0); this.rested(); }, REST);
  }

  async show(width) {
    const turn = ++this.asked, at = this.index;
    try {
      const wanted = [this.before.at(at, width)];
      if (this.compared()) wanted.push(this.after.at(at, width));
      const [first, second] = await Promise.all(wanted);
      if (turn < this.shown || (at !== this.index && !this.playing)) return;
      this.shown = turn;
      this.view.before = first;
      this.view.after = second || null;
      this.view.canvas.dataset.index = at;
      this.view.canvas.dataset.exact = width === 0;
      this.view.draw();
    } catch (error) { this.failed(error); }
  }

  say() {
    const time = this.clip.seconds[this.index];
    this.timeline.index = this.index;
    this.timeline.draw();
    $("where").textContent = `frame ${this.index} of ${this.clip.frames} · ${time.toFixed(3)} s`;
    this.timeline.canvas.setAttribute("aria-valuetext", `frame ${this.index}, ${time.toFixed(2)} seconds`);
  }

  play(way) {
    if (this.playing === way) return this.stop();
    this.playing = way;
    $("play").textContent = "Stop";
    const began = performance.now(), from = this.clip.seconds[this.index], run = { shown: 0 };
    const tick = async () => {
      if (this.playing !== way) return;
      const at = this.frameAfter(from + (way * (performance.now() - began)) / 1000);
      if (at < 0) { this.stop(); return; }
      if (at !== this.index) {
        this.index = at;
        this.say();
        await this.show(this.screenWidth);
        $("play").dataset.shown = run.shown += 1;
      }
      this.fetchAhead(way);
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
    return undefined;
  }

  // The frame that is shown at a time of the clip, within the loop; -1 behind either end.
  frameAfter(time) {
    const { seconds, frames, rate } = this.clip;
    if (this.loop) {
      const [low, high] = this.loop, length = seconds[high - 1] - seconds[low] + 1 / rate;
      return this.nearest(seconds[low] + ((((time - seconds[low]) % length) + length) % length));
    }
    return time < 0 || time > seconds[frames - 1] + 1 / rate ? -1 : this.nearest(time);
  }

  nearest(time) {
    let low = 0, high = this.clip.frames - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.clip.seconds[middle] <= time + 1e-6) low = middle; else high = middle - 1;
    }
    return low;
  }

  fetchAhead(way) {
    const [low, high] = this.loop || [0, this.clip.frames];
    for (let t = this.index + way; t >= low && t < high && Math.abs(t - this.index) <= AHEAD; t += way) {
      this.before.at(t, this.screenWidth).catch(() => {});
      if (this.compared()) this.after.at(t, this.screenWidth).catch(() => {});
    }
  }

  stop() {
    this.playing = 0;
    $("play").textContent = "Play";
    this.go(this.index);
  }

  setLoop(on) {
    this.loop = on ? [Math.max(0, this.index - LOOP), Math.min(this.clip.frames, this.index + LOOP + 1)] : null;
    $("loop").checked = on;
    this.timeline.span = this.loop;
    this.timeline.draw();
    if (this.playing) this.stop();
    if (on) this.play(1);
  }

  setMode(mode) {
    this.view.mode = mode;
    document.querySelector(`[name=compare][value=${mode}]`).checked = true;
    this.view.draw();
    if (!this.playing) this.rested();
  }

  setSplit(percent) {
    $("split").value = percent;
    this.view.split = percent / 100;
    this.view.draw();
  }

  // While the key is held the other picture is shown in the same place.
  flick() {
    const { view } = this, mode = view.mode;
    view.mode = mode === "before" ? "after" : "before";
    view.draw();
    const back = (event) => {
      if (event.type === "keyup" && event.key.toLowerCase() !== "o") return;
      document.removeEventListener("keyup", back);
      window.removeEventListener("blur", back);
      view.mode = mode;
      view.draw();
    };
    document.addEventListener("keyup", back);
    window.addEventListener("blur", back);
  }

  wire() {
    $("play").onclick = () => this.play(1);
    $("loop").onchange = () => this.setLoop($("loop").checked);
    $("split").oninput = () => this.setSplit(Number($("split").value));
    for (const radio of document.querySelectorAll("[name=compare]")) radio.onchange = () => this.setMode(radio.value);
    $("keys").onclick = () => $("help").showModal();
  }

  // The keys that pages share, by name.
  get keys() {
    return {
      ArrowLeft: (e) => this.go(this.index - (e.shiftKey ? 10 : 1)),
      ArrowRight: (e) => this.go(this.index + (e.shiftKey ? 10 : 1)),
      Home: () => this.go(0), End: () => this.go(this.clip.frames - 1),
      j: () => this.play(-1), k: () => this.playing && this.stop(), " ": () => this.play(1),
      l: () => this.setLoop(!this.loop), "?": () => $("help").showModal(),
      "+": () => this.view.zoomBy(1.25), "=": () => this.view.zoomBy(1.25), "-": () => this.view.zoomBy(0.8),
      0: () => this.view.whole(),
      o: (e) => { if (!e.repeat && this.compared()) this.flick(); },
    };
  }
}

// Drags on the canvas that every page has: the middle button pans, and the split follows the pointer.
export function dragging(canvas, moved, ended) {
  const before = canvas.onpointermove;
  canvas.onpointermove = moved;
  canvas.onpointerup = canvas.onpointercancel = (event) => {
    canvas.onpointermove = before;
    canvas.onpointerup = canvas.onpointercancel = null;
    ended?.(event);
  };
}

export function panOrSplit(player, event) {
  const { view } = player, { canvas } = view;
  if (event.button === 1) {
    let last = [event.clientX, event.clientY];
    dragging(canvas, (now) => {
      view.pan.x += now.clientX - last[0];
      view.pan.y += now.clientY - last[1];
      last = [now.clientX, now.clientY];
      view.draw();
    });
    return true;
  }
  if (view.mode !== "split") return false;
  const move = (now) => player.setSplit(Math.min(100, Math.max(0, (100 * view.at(now)[0]) / view.size.width)));
  move(event);
  dragging(canvas, move);
  return true;
}

// Sends keys to a table, but not those that a control of the page wants itself.
export function listen(keys) {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input:not([type=radio]):not([type=checkbox]), select, textarea, dialog *");
    if (typing || document.querySelector("dialog[open]")) return;
    const held = `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${event.altKey ? "Alt+" : ""}`;
    const onControl = event.target.matches("button, input, summary") && [" ", "Enter"].includes(event.key);
    const onRadio = event.target.matches("[type=radio]") && event.key.startsWith("Arrow");
    const key = held + (event.key.length === 1 ? event.key.toLowerCase() : event.key);
    if (!keys[key] || onControl || onRadio) return;
    event.preventDefault();
    keys[key](event);
  });
}
