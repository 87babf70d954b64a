// The page of `vremove review`: a sheet of all results, one of them beside its source, a verdict on each.

import { get, post, Refusal } from "./api.js";
import { Frames } from "./frames.js";
import { View } from "./view.js";
import { Timeline, doubtsOf } from "./timeline.js";
import { Player, listen, panOrSplit } from "./player.js";

const THUMBNAIL = 320; // pixels
const WORDS = { accept: "accepted", reject: "rejected", "": "not judged" };

const $ = (id) => document.getElementById(id);
const view = new View($("view"));
const timeline = new Timeline($("timeline"), (index) => player.go(index));
let results = [], number = -1, player = null, opening = 0;

function say(error) {
  if (error && !(error instanceof Refusal)) console.error(error);
  $("said").textContent = error ? error.message : "";
}

// ---- all results

function sheet() {
  $("sheet").replaceChildren(...results.map((result, k) => {
    const card = document.createElement("button"), image = document.createElement("img"), name = document.createElement("span");
    const verdict = document.createElement("em");
    card.className = `card ${result.verdict}`;
    image.loading = "lazy";
    image.alt = "";
    image.src = `api/${k}/result/${doubted(result)}?width=${THUMBNAIL}`;
    name.textContent = result.name;
    const grade = result.score ? `, score ${Math.round(result.score.overall)}` : "";
    verdict.textContent = WORDS[result.verdict] + grade + (result.note ? `: ${result.note}` : "");
    card.append(image, name, verdict);
    card.onclick = () => open(k);
    return card;
  }));
}

// The first frame that the summary doubts; the first of all where it doubts none.
const doubted = (result) => doubtsOf(result.warnings)[0]?.[0] ?? 0;

function count() {
  const judged = results.filter((r) => r.verdict).length;
  $("count").textContent = `${judged} of ${results.length} judged`;
}

function back() {
  if (player?.playing) player.stop();
  number = -1;
  for (const id of ["one", "foot", "back"]) $(id).hidden = true;
  $("sheet").hidden = false;
  $("name").textContent = $("where").textContent = "";
  document.title = "vremove review";
  sheet();
  $("sheet").firstElementChild?.focus();
}

// ---- one result

async function open(k) {
  if (k < 0 || k >= results.length) return;
  const turn = ++opening;
  if (player?.playing) player.stop();
  try {
    say();
    const clip = await get(`${k}/clip`);
    if (turn !== opening) return;
    number = k;
    for (const id of ["one", "foot", "back"]) $(id).hidden = false;
    $("sheet").hidden = true;
    player?.before.clear();
    player?.after.clear();
    view.before = view.after = null;
    view.whole();
    player = new Player({
      view, timeline, clip, before: new Frames(`${k}/frame`), after: new Frames(`${k}/result`),
      compared: () => true, moved: () => {}, rested: () => {}, failed: say,
    });
    document.title = `${results[k].name} – vremove review`;
    player.setMode("after");
    facts();
    await player.go(doubted(results[k]));
    $("view").focus();
    document.body.dataset.opened = k;
  } catch (error) { say(error); }
}

function scored(score) {
  const named = Object.entries(score).filter(([name, value]) => name !== "overall" && value !== null);
  const rest = named.map(([name, value]) => `${name.replace("_", " ")} ${value.toFixed(2)}`).join(", ");
  return `Score ${Math.round(score.overall)} of 100: ${rest}`;
}

function facts() {
  const result = results[number], share = (x) => `${Math.round(100 * x)} %`;
  $("name").textContent = result.name;
  $("shares").textContent = `${share(result.recovered)} from other frames, ${share(result.doubtful)} doubtful, ${share(result.unseen)} made up`;
  $("score").textContent = result.score ? scored(result.score) : "";
  $("note").value = result.note;
  for (const verdict of ["accept", "reject"]) $(verdict).setAttribute("aria-pressed", result.verdict === verdict);
  $("warnings").replaceChildren(...result.warnings.map((warning) => {
    const row = document.createElement("li"), button = document.createElement("button");
    button.textContent = warning.text;
    button.disabled = !warning.frames.length;
    button.onclick = () => player.go(warning.frames[0][0]);
    row.append(button);
    return row;
  }));
  timeline.doubts = doubtsOf(result.warnings);
  timeline.draw();
  count();
}

async function judge(verdict) {
  const k = number;
  if (k < 0) return;
  try {
    results = await post(`${k}/verdict`, { verdict, note: $("note").value });
    document.body.dataset.judged = `${k}/${verdict}`;
    facts();
    if (verdict && k + 1 < results.length) open(k + 1);
  } catch (error) { say(error); }
}

async function redo() {
  try {
    const { address } = await post(`${number}/redo`);
    window.open(address, "_blank");
  } catch (error) { say(error); }
}

$("view").addEventListener("pointerdown", (event) => { $("view").focus(); panOrSplit(player, event); });
$("back").onclick = back;
$("accept").onclick = () => judge("accept");
$("reject").onclick = () => judge("reject");
$("previous").onclick = () => open(number - 1);
$("next").onclick = () => open(number + 1);
$("redo").onclick = redo;
$("note").onchange = () => judge(results[number].verdict).then(() => $("view").focus());
$("keys").onclick = () => $("help").showModal();

const one = (act) => (event) => { if (number >= 0) act(event); };
const shared = (key) => one((event) => player.keys[key](event));
const SHARED = ["ArrowLeft", "ArrowRight", "Home", "End", "j", "k", " ", "l", "+", "=", "-", "0", "o"];
const keys = {
  ...Object.fromEntries(SHARED.map((key) => [key, shared(key)])),
  a: one(() => judge("accept")), r: one(() => judge("reject")), u: one(() => judge("")),
  n: one(() => $("note").focus()), Escape: one(back), "?": () => $("help").showModal(),
  PageDown: one(() => open(number + 1)), PageUp: one(() => open(number - 1)),
};

async function start() {
  results = await get("state");
  listen(keys);
  count();
  if (results.length === 1) await open(0); else back();
  document.body.dataset.ready = "true";
}

start().catch(say);
