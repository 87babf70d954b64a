// The page of `vremove pick`: it shows what the server knows and sends what the hand does. It keeps nothing itself.

import { get, post, upload, effects, mask as fetchMask, Refusal } from "./api.js";
import { Frames } from "./frames.js";
import { View, tinted } from "./view.js";
import { Timeline, LOW, doubtsOf } from "./timeline.js";
import { Player, dragging, listen, panOrSplit } from "./player.js";

const COLOURS = ["#ff2fa0", "#35c9ff", "#b9f53c", "#ffb02e", "#b48cff", "#ff6f4f"];
const RESTS = 1500; // ms without a click, after which the cost is asked for
const SHADOW = "#2f6bff";
const HOVER = 120; // ms that the pointer rests
const OTHERS = 2000; // ms between looks at what another window has changed
const POLL = 300; // ms between looks at a running command
const DRAGGED = 4; // pixels of the screen from which a click is a box

const $ = (id) => document.getElementById(id);
const view = new View($("view"));
const timeline = new Timeline($("timeline"), (index) => player.go(index));
const before = new Frames("frame"), after = new Frames("result");
let clip = null, state = null, player = null, object = "", objects = [""], tool = "point";
let accepted = "", hovering = 0, polling = 0, resting = 0, lost = false, replace = false;
let layerNames = []; // of the masks that are shown
let drawn = null; // the brush's canvas, while it is down
let known = { version: -1, result: "" };
let followed = { stamp: null, confidence: {}, uncertain: [] };

// ---- masks of this frame

async function masks() {
  if (player.playing || view.mode !== "before") return;
  const at = player.index, version = state.version, found = [], names = [];
  let said = "";
  try {
    for (const name of objects) {
      const one = await fetchMask(at, name);
      if (at !== player.index || version !== state.version) return;
      if (!one) continue;
      found.push(tinted(one.bitmap, colourOf(name)));
      names.push(name);
      if (name === object) said = one.remark || `expected overlap ${one.confidence.toFixed(2)}`;
      one.bitmap.close();
    }
    const shadow = $("shadow").checked && state.result ? await effects(at) : null;
    if (at !== player.index || version !== state.version) return;
    if (shadow) found.push(tinted(shadow, SHADOW));
    view.layers = found;
    view.preview = null;
    layerNames = names;
    view.painted = null;
    $("mask-said").textContent = said;
    $("view").dataset.masks = `${at}/${version}/${found.length}`;
    view.draw();
  } catch (error) { say(error); }
}

const colourOf = (name) => COLOURS[Math.max(0, objects.indexOf(name)) % COLOURS.length];

function marks() {
  view.clicks = state.clicks.filter((c) => c.frame === player.index && c.kind !== "key_mask")
    .map((c) => ({ ...c, colour: colourOf(c.object) }));
  view.draw();
}

// ---- what the server says

function take(now) {
  state = now;
  for (const click of now.clicks) if (!objects.includes(click.object)) objects.push(click.object);
  $("undo").disabled = !now.can_undo;
  $("redo").disabled = !now.can_redo;
  timeline.marks = now.clicks.map((c) => ({ frame: c.frame, colour: colourOf(c.object) }));
  const more = now.masks && now.masks.stamp !== followed.stamp;
  followed = now.masks || followed;
  timeline.confidence = followed.confidence;
  timeline.draw();
  $("hint").hidden = now.clicks.length > 0;
  listObjects();
  takeJob(now.job);
  if (now.version !== known.version || more) {
    if (more) listUncertain(followed.uncertain);
    if (now.version !== known.version) later();
    marks();
    masks();
  }
  if (now.result && now.result !== known.result) opened();
  known = { version: now.version, result: now.result };
  $("compare").disabled = !now.result;
}

function takeJob(job) {
  const running = Boolean(job && !job.ended);
  $("job").hidden = !running;
  $("follow").disabled = $("erase").disabled = running;
  if (running) {
    const { stage = "starting", percent = 0, eta } = job.progress;
    $("progress").value = percent;
    $("job-said").textContent = `${stage} ${Math.round(percent)} %${eta ? `, about ${Math.ceil(eta)} s left` : ""}`;
    clearTimeout(polling);
    polling = setTimeout(refresh, POLL);
  }
  timeline.doubts = doubtsOf(job?.result?.warnings || []);
  for (const name of ["follow", "erase"]) {
    const out = $(`${name}-said`);
    if (job?.name !== name) continue;
    out.className = job.error ? "bad" : "";
    out.textContent = job.error || (job.ended ? done(job) : "");
    if (name === "erase") {
      replace = /exists/.test(job.error);
      $("erase").textContent = replace ? "Replace it" : "Erase";
    }
  }
  if (job?.name === "follow" && job.ended && !job.error && state.stale) $("follow-said").textContent = "Clicks have changed: follow again.";
}

function done(job) {
  const result = job.result || {};
  if (job.name === "follow") return (result.warnings || []).map((w) => w.text).join("; ") || "Followed.";
  const share = (x) => `${Math.round(100 * x)} %`;
  return `${result.output}: ${share(result.recovered)} from other frames, ${share(result.unseen)} made up.`;
}

let acts = 0; // actions that were sent, and those that were answered

async function refresh() {
  const before = acts;
  try {
    const now = await get("state", { known: followed.stamp || "" });
    if (before === acts) take(now);
    else { // it may be of before an action, whose answer is newer
      clearTimeout(polling);
      polling = setTimeout(refresh, POLL);
    }
    if (lost) say("");
    lost = false;
  } catch (error) {
    lost = true;
    say(error);
    if (state?.job && !state.job.ended) polling = setTimeout(refresh, OTHERS);
  }
}

async function act(promise) {
  acts += 1;
  try {
    say("");
    const now = await promise;
    acts += 1;
    take(now);
  } catch (error) { say(error); }
}

function say(error) {
  if (error && !(error instanceof Refusal) && error.name !== "TypeError") console.error(error);
  $("said").textContent = !error ? "" : error.name === "TypeError" ? "the server does not answer: is `vremove pick` still running?" : error.message;
}

// ---- objects

function listObjects() {
  $("objects").replaceChildren(...objects.map((name) => {
    const row = document.createElement("li"), label = document.createElement("label");
    const radio = Object.assign(document.createElement("input"), { type: "radio", name: "object", value: name, checked: name === object });
    const swatch = document.createElement("i");
    swatch.style.background = colourOf(name);
    radio.onchange = () => { object = name; masks(); };
    label.append(radio, swatch, name || "object");
    row.append(label);
    if (state.clicks.some((c) => c.object === name)) {
      const gone = Object.assign(document.createElement("button"), { textContent: "×" });
      gone.setAttribute("aria-label", `Forget ${name || "object"}`);
      gone.onclick = () => act(post("remove", { object: name }));
      row.append(gone);
    }
    return row;
  }));
}

$("add-object").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("object-name").value.trim().replace(/[^\w.-]+/g, "-").replace(/^[^A-Za-z_]+/, "");
  if (!name || name === "object" || objects.includes(name)) return;
  objects.push(name);
  object = name;
  $("object-name").value = "";
  listObjects();
  $("view").focus();
});

function listUncertain(frames) {
  $("uncertain").replaceChildren(...frames.filter((t) => followed.confidence[t] < LOW).map((t) => {
    const button = document.createElement("button"), image = document.createElement("img");
    image.src = `api/frame/${t}?width=120`;
    image.alt = "";
    button.append(image, `${t}: ${followed.confidence[t].toFixed(2)}`);
    button.setAttribute("aria-label", `Go to frame ${t}, expected overlap ${followed.confidence[t].toFixed(2)}`);
    button.onclick = () => player.go(t);
    return button;
  }));
}

// ---- the hand on the frame

const round = ([x, y]) => [Math.round(x * 10) / 10, Math.round(y * 10) / 10];
const within = ([x, y]) => [Math.min(clip.width - 1, Math.max(0, x)), Math.min(clip.height - 1, Math.max(0, y))];
const click = (kind, at) => act(post("click", { kind, object, frame: player.index, at }));

$("view").addEventListener("contextmenu", (event) => event.preventDefault());

$("view").addEventListener("pointerdown", (event) => {
  const canvas = $("view"), start = view.at(event);
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  view.cross = null;
  if (panOrSplit(player, event)) return undefined;
  if (player.playing) player.stop();
  if (!view.inside(start)) return undefined;
  const not = event.button === 2 || event.altKey;
  return tool === "brush" ? stroke(canvas, event, not) : pointOrBox(canvas, event, start, not);
});

function pointOrBox(canvas, event, start, not) {
  const far = (now) => Math.hypot(now.clientX - event.clientX, now.clientY - event.clientY) > DRAGGED;
  dragging(canvas, (now) => {
    if (not || !far(now)) return;
    const [x, y] = within(view.at(now)), [u, v] = start;
    view.box = [Math.min(x, u), Math.min(y, v), Math.max(x, u), Math.max(y, v)];
    view.draw();
  }, () => {
    const box = view.box;
    view.box = null;
    view.draw();
    if (box && box[2] - box[0] >= 1 && box[3] - box[1] >= 1) click("box", [...round(box), ...round(box.slice(2))]);
    else click(not ? "not_point" : "point", round(start));
  });
}

// The brush changes the mask that is shown, and the whole mask becomes a key mask of this frame.
function stroke(canvas, event, not) {
  drawn ||= maskCanvas();
  const g = drawn.getContext("2d"), radius = Number($("brush").value) / 2;
  let last = view.at(event);
  const line = (to) => {
    g.globalCompositeOperation = not ? "destination-out" : "source-over";
    g.strokeStyle = colourOf(object);
    g.lineCap = "round";
    g.lineWidth = 2 * radius;
    g.beginPath();
    g.moveTo(...last);
    g.lineTo(...to);
    g.stroke();
    last = to;
    view.painted = drawn;
    view.layers = [];
    view.draw();
  };
  line([last[0] + 0.01, last[1]]);
  dragging(canvas, (now) => { hover(now); line(view.at(now)); }, async () => {
    const picture = drawn;
    drawn = null;
    await act(upload(`paint/${player.index}?${new URLSearchParams({ object })}`, await whiteOnBlack(picture)));
  });
}

function maskCanvas() {
  const canvas = new OffscreenCanvas(clip.width, clip.height), g = canvas.getContext("2d");
  const mine = view.layers[layerNames.indexOf(object)];
  if (mine) g.drawImage(mine, 0, 0, clip.width, clip.height);
  return canvas;
}

async function whiteOnBlack(canvas) {
  const out = new OffscreenCanvas(canvas.width, canvas.height), g = out.getContext("2d");
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < data.data.length; i += 4) {
    const white = data.data[i + 3] > 127 ? 255 : 0;
    data.data[i] = data.data[i + 1] = data.data[i + 2] = white;
    data.data[i + 3] = 255;
  }
  g.putImageData(data, 0, 0);
  return out.convertToBlob({ type: "image/png" });
}

function hover(event) {
  const [x, y] = view.at(event);
  preview(event);
  view.brush = tool === "brush" ? { x, y, radius: Number($("brush").value) / 2 } : null;
  view.draw();
}

// What a click would give, where the pointer rests: only if a network answers fast enough.
function preview(event) {
  clearTimeout(hovering);
  view.preview = null;
  const at = view.at(event), index = player.index;
  if (!clip.hover || tool !== "point" || view.mode !== "before" || event.buttons || player.playing || !view.inside(at)) return;
  hovering = setTimeout(async () => {
    try {
      const found = await fetchMask(index, object, round(at).join(","));
      if (!found || index !== player.index) return;
      view.preview = tinted(found.bitmap, "#ffffff");
      found.bitmap.close();
      view.draw();
    } catch { /* the next move asks again */ }
  }, HOVER);
}
$("view").onpointermove = hover;
$("view").addEventListener("pointerleave", () => { clearTimeout(hovering); view.brush = view.preview = null; view.draw(); });

// ---- erase and compare

const chosen = () => ({
  ...Object.fromEntries(["remover", "quality", "effects"].map((id) => [id, $(id).value]).filter(([, v]) => v)),
  ...(accepted ? { accept_license: accepted } : {}),
});

// A licence that a sentence asks for is accepted with a button.
function offerLicence(sentence) {
  const name = /--accept-license ([\w.-]*\w)/.exec(sentence || "")?.[1];
  $("licence").hidden = !name;
  if (!name) return;
  $("accept").textContent = `Accept the licence of ${name}`;
  $("accept").onclick = () => { accepted = name; $("licence").hidden = true; estimate(); };
}

// The estimate reads the clip: it waits until the hand rests.
function later() {
  clearTimeout(resting);
  resting = setTimeout(estimate, RESTS);
}

async function estimate() {
  if (!state.clicks.length) { $("cost").textContent = ""; return; }
  if (state.job && !state.job.ended) return;
  const version = state.version;
  try {
    const need = await get("estimate", chosen());
    if (version !== state.version) return;
    const size = (bytes) => (bytes > 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.round(bytes / 1e6)} MB`);
    offerLicence(need.error);
    $("cost").textContent = need.error || [
      need.seconds === null ? "time not measured" : `about ${Math.ceil(need.seconds)} s`, `${size(need.memory)} memory`,
      ...need.downloads.map((d) => `fetches ${d.name}${d.megabytes ? ` (${d.megabytes} MB)` : ""}`),
    ].join(" · ");
  } catch (error) { say(error); }
}

function opened() {
  after.clear();
  player.setMode("after");
  player.go(player.index);
}

async function copy() {
  const { command } = await get("command", chosen());
  $("copy").dataset.command = command;
  try {
    await navigator.clipboard.writeText(command);
    $("erase-said").textContent = `Copied: ${command}`;
  } catch { $("erase-said").textContent = command; }
}

const erase = () => begin("erase", { ...chosen(), replace });
const follow = () => begin("follow");

// One command at a time: both buttons rest until the server has answered.
function begin(name, body) {
  if ($(name).disabled) return;
  $("follow").disabled = $("erase").disabled = true;
  $(`${name}-said`).textContent = "";
  act(post(name, body)).then(() => takeJob(state.job));
}
$("shadow").onchange = () => player.setMode("before");
$("undo").onclick = () => act(post("undo"));
$("redo").onclick = () => act(post("redo"));
$("follow").onclick = follow;
$("erase").onclick = erase;
$("cancel").onclick = () => act(post("cancel"));
$("copy").onclick = () => copy().catch(say);
for (const id of ["remover", "quality", "effects"]) $(id).onchange = estimate;
for (const radio of document.querySelectorAll("[name=tool]")) radio.onchange = () => { tool = radio.value; };

// ---- keys

function setTool(name) {
  tool = name;
  document.querySelector(`[name=tool][value=${name}]`).checked = true;
}

function nextClick(way) {
  const frames = [...new Set(state.clicks.map((c) => c.frame))].sort((a, b) => a - b);
  const found = way > 0 ? frames.find((t) => t > player.index) : frames.findLast((t) => t < player.index);
  if (found !== undefined) player.go(found);
}

function moveCross(dx, dy, event) {
  const [x, y] = view.cross || [clip.width / 2, clip.height / 2], step = event.shiftKey ? 1 : 8;
  view.cross = within([x + dx * step, y + dy * step]);
  view.draw();
}

const CROSS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const keys = () => ({
  ...player.keys,
  ...Object.fromEntries(Object.entries(CROSS).map(([key, way]) => [`Alt+${key}`, (e) => moveCross(...way, e)])),
  n: () => nextClick(-1), m: () => nextClick(1), p: () => setTool("point"), b: () => setTool("brush"),
  "[": () => { $("brush").value -= 4; }, "]": () => { $("brush").value = Number($("brush").value) + 4; },
  f: follow, e: erase,
  "Ctrl+z": (e) => act(post(e.shiftKey ? "redo" : "undo")),
  Enter: (e) => { if (view.cross) click(e.shiftKey ? "not_point" : "point", round(view.cross)); },
});

// ---- start

async function start() {
  clip = await get("clip");
  document.title = `${clip.name} – vremove pick`;
  $("name").textContent = clip.name;
  player = new Player({
    view, timeline, before, after, clip, compared: () => Boolean(state?.result), moved: marks, rested: masks, failed: say,
  });
  take(await get("state"));
  listen(keys());
  await player.go(state.clicks[0]?.frame ?? 0);
  document.body.dataset.ready = "true";
  setInterval(() => { if (!document.hidden && (!state.job || state.job.ended)) refresh(); }, OTHERS);
}

start().catch(say);
