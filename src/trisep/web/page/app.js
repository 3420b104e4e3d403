// The page as a whole: start, upload, work. It asks the server, and tells player, rows and picture what to show.

import { request, upload } from "./api.js";
import { colourOf, Heat } from "./heat.js";
import { askByPointing, drawHeat } from "./picture.js";
import { Player } from "./player.js";
import { Spans } from "./spans.js";
import { REST, Tracks } from "./tracks.js";
import { askBySpan, drawWave, scaleOf } from "./waveform.js";
import { bytes, clock, going } from "./words.js";

const POLL_MILLISECONDS = 300;
const STEP_SECONDS = 5;
const $ = (id) => document.getElementById(id);

const player = new Player($("video"));
const tracks = new Tracks($("tracks"));
const heat = new Heat();
const spans = new Spans(player, { line: $("span"), ask: $("ask-span"), stop: $("repeat"), announce: $("announce") });
let settings = null;
let session = null;
let sending = null;
let polling = 0;
const saved = new Set();

const path = (...parts) => ["api", "sessions", session.key, ...parts].join("/");
const reading = () => session?.reading?.result ?? {};
const isOpen = (job) => Boolean(job) && (job.state === "waiting" || job.state === "running");

// ---- the three states of the page

function show(id) {
  for (const section of ["start", "loading", "work"]) $(section).hidden = section !== id;
  $("close").hidden = id !== "work";
}

function complain(message) {
  $("problem").textContent = message;
  $("problem").hidden = !message;
}

async function tried(action) {
  try {
    complain("");
    return await action();
  } catch (error) {
    if (error.status === 404 && session) restart(error.message);
    else complain(error.message);
    return null;
  }
}

function restart(message) {
  $("saving").textContent = "";
  clearTimeout(polling);
  player.close();
  tracks.clear();
  session = null;
  heat.clear();
  saved.clear();
  $("video").removeAttribute("src");
  $("video").load();
  $("title").textContent = "";
  document.title = "trisep";
  show("start");
  startProblem(message);
}

function startProblem(message) {
  $("limits").textContent = message || limits();
  $("limits").className = message ? "problem" : "small";
  if (message) $("limits").setAttribute("role", "alert");
}

function limits() {
  if (!settings) return "";
  if (settings.demo) return "This is a demonstration: it takes the sample alone.";
  return `Files stay on this computer. Up to ${Math.round(settings.max_seconds / 60)} minutes and ${bytes(settings.max_bytes)}.`;
}

async function openFile(file) {
  startProblem("");
  show("loading");
  sending = new AbortController();
  $("loading-heading").textContent = "Reading the file";
  $("loading-detail").textContent = file.name;
  const onProgress = (share) => ($("loading-bar").value = share / 2);
  await opened(() => upload(`api/sessions?name=${encodeURIComponent(file.name)}`, file, { onProgress, signal: sending.signal }));
}

async function openSample() {
  startProblem("");
  show("loading");
  $("loading-heading").textContent = "Reading the sample";
  $("loading-detail").textContent = "";
  $("loading-bar").removeAttribute("value");
  await opened(() => request("POST", "api/sample"));
}

async function opened(ask) {
  try {
    session = await ask();
    await followSession();
  } catch (error) {
    restart(error.name === "AbortError" ? "" : error.message);
  }
}

// ---- following what the server does

async function followSession() {
  clearTimeout(polling);
  if (session.reading.state === "failed" || session.reading.state === "cancelled") {
    const message = session.reading.error ?? "";
    await request("DELETE", path()).catch(() => {});
    restart(message);
    return;
  }
  if (isOpen(session.reading)) {
    $("loading-bar").value = 0.5 + session.reading.share / 2;
    $("loading-detail").textContent = `${session.title}: ${going("Reading", session.reading)}`;
  } else if ($("work").hidden) {
    startWork();
  }
  if (!$("work").hidden) showWork();
  const jobs = [session.reading, session.heard, session.rest, ...session.stems, ...session.stems.map((stem) => stem.heat), ...session.exports];
  if (jobs.some(isOpen)) polling = setTimeout(poll, POLL_MILLISECONDS);
}

async function poll() {
  const key = session?.key;
  const told = await tried(() => request("GET", path()));
  if (!session || session.key !== key) return;
  if (told) session = told;
  else polling = setTimeout(poll, 5 * POLL_MILLISECONDS);
  if (told) await followSession();
}

async function ask(method, body, ...parts) {
  const key = session.key;
  const told = await tried(() => request(method, path(...parts), body));
  if (told && session?.key === key) {
    session = told;
    await followSession();
  }
  return told;
}

function startWork() {
  const { sound, picture } = reading();
  show("work");
  spans.clear();
  $("title").textContent = session.title;
  document.title = `${session.title} · trisep`;
  player.open(sound, path("sound"));
  tracks.peaksOfMixture = sound.peaks;
  $("stage").hidden = !picture;
  $("point-hint").hidden = !picture;
  $("unseen").hidden = true;
  if (picture) $("video").src = path("media");
  $("save-mix").textContent = picture ? "Save the video with this mix" : "Save this mix";
  $("length").textContent = clock(player.duration);
  $("wave").setAttribute("aria-valuemax", player.duration.toFixed(1));
  $("words").focus({ preventScroll: true });
}

function showWork() {
  const finished = session.stems.filter((stem) => stem.state === "done");
  const sound = (stem) => `${path("stems", stem.key, "sound")}?${stem.result.file}`;
  const spectrogram = (stem) => `${path("stems", stem.key, "spectrogram")}?${stem.result.file}`;
  tracks.show(session, { hasPicture: Boolean(reading().picture), heatKey: heat.key, sound, spectrogram });
  player.setStems(new Map(finished.map((stem) => [stem.key, { url: sound(stem), offset: stem.result.offset }])));
  player.setGains(tracks.gains());
  $("empty").hidden = session.stems.length > 0;
  $("exports").hidden = finished.length === 0;
  showRoom(session.stems.length < settings.max_stems);
  showSuggestions();
  showHeat();
  showExports();
}

// Whether a further sound may be asked for; where not, why.
function showRoom(isRoom) {
  for (const id of ["words", "separate", "ask-span"]) $(id).disabled = !isRoom;
  $("other-ways").hidden = !isRoom;
  $("full").textContent = isRoom ? "" : `At most ${settings.max_stems} at a time: remove one to ask for another sound.`;
}

// What is heard in the file, less what was asked for already.
function showSuggestions() {
  const asked = session.stems.map((stem) => stem.name);
  const words = (session.heard?.result.words ?? []).filter((word) => !asked.includes(word));
  $("suggestions").hidden = words.length === 0 || $("words").disabled;
  if ($("chips").dataset.words === words.join()) return;
  $("chips").dataset.words = words.join();
  $("chips").replaceChildren(
    ...words.map((word) => {
      const chip = document.createElement("button");
      chip.type = "button";
      chip.textContent = word;
      chip.addEventListener("click", () => ask("POST", { text: word }, "stems"));
      return chip;
    }),
  );
}

function showHeat() {
  $("opacity-line").hidden = !heat.follow(session.stems, {
    fetchMaps: (stem) => tried(() => request("GET", path("stems", stem.key, "heat"))),
    order: (stem) => ask("POST", undefined, "stems", stem.key, "heat"),
    complain,
  });
}

function showExports() {
  const open = session.exports.find(isOpen);
  $("save-mix").disabled = $("save-zip").disabled = Boolean(open);
  if (open) $("saving").textContent = going("Writing", open);
  for (const made of session.exports) {
    if (made.state === "failed" && !saved.has(made.key)) {
      $("saving").textContent = "";
      complain(made.error);
    }
    if (made.state === "done" && !saved.has(made.key)) {
      const link = document.createElement("a");
      link.href = path("exports", made.key);
      link.download = made.result.title;
      link.click();
      $("saving").textContent = `Saved as ${made.result.title}`;
    }
    if (!isOpen(made)) saved.add(made.key);
  }
}

// ---- what people do

$("file").addEventListener("change", () => {
  const [file] = $("file").files;
  $("file").value = "";
  if (file) openFile(file);
});
$("sample").addEventListener("click", openSample);
$("loading-cancel").addEventListener("click", async () => {
  sending?.abort();
  if (session) await request("DELETE", path()).catch(() => {});
  restart("");
});
$("close").addEventListener("click", () => {
  const its = path();
  restart("");
  request("DELETE", its).catch(() => {});
});
for (const type of ["dragenter", "dragover"]) {
  document.addEventListener(type, (event) => {
    event.preventDefault();
    document.body.classList.add("is-over");
  });
}
document.addEventListener("dragleave", (event) => !event.relatedTarget && document.body.classList.remove("is-over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("is-over");
  const [file] = event.dataTransfer.files;
  if (!file || settings?.demo) return;
  if (!session) openFile(file);
  else if (file.type.startsWith("image/")) askByFile("picture", file);
  else if (file.type.startsWith("audio/")) askByFile("sound", file);
  else complain("One file at a time: press New file first, or drop a photograph or a sound to ask by it.");
});

$("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  const box = $("words");
  const text = box.value.trim();
  if (!text) return;
  box.value = ""; // at once, for whoever types on; it comes back where it was refused
  if (!(await ask("POST", { text }, "stems")) && !box.value) box.value = text;
});
for (const [id, kind] of [["photograph", "picture"], ["example", "sound"]]) {
  $(id).addEventListener("change", () => {
    const [file] = $(id).files;
    $(id).value = "";
    if (file) askByFile(kind, file);
  });
}
function askByFile(kind, file) {
  return ask("POST", file, "stems", `${kind}?name=${encodeURIComponent(file.name)}`);
}
askByPointing($("picture"), $("box"), (place) => ask("POST", { place: { ...place, time_seconds: Math.min(player.time, player.duration) } }, "stems"));

tracks.addEventListener("gains", () => player.setGains(tracks.gains()));
tracks.addEventListener("seek", ({ detail }) => player.seek(detail.share * player.duration));
tracks.addEventListener("save-rest", () => ask("POST", { kind: "rest" }, "exports"));
tracks.addEventListener("remove", ({ detail }) => ask("DELETE", undefined, "stems", detail.key));
tracks.addEventListener("reword", ({ detail }) => {
  const stem = session.stems.find((candidate) => candidate.key === detail.key);
  const text = detail.text.trim();
  if (text && text !== stem?.name) ask("PUT", { text }, "stems", detail.key);
  else showWork();
});
tracks.addEventListener("heat", ({ detail }) => {
  heat.toggle(detail.key);
  showWork();
});

$("save-mix").addEventListener("click", () => {
  const kind = reading().picture ? "video" : "sound";
  ask("POST", { kind, gains: Object.fromEntries(tracks.gains()) }, "exports");
});
$("save-zip").addEventListener("click", () => ask("POST", { kind: "zip" }, "exports"));

$("play").addEventListener("click", playOrPause);
function playOrPause() {
  if (player.isPlaying) player.pause();
  else player.play();
}
player.addEventListener("change", () => {
  $("play").classList.toggle("is-playing", player.isPlaying);
  $("play").setAttribute("aria-label", player.isPlaying ? "Pause" : "Play");
});
askBySpan($("wave"), {
  onPlace: (share) => player.seek(share * player.duration),
  onSpan: (shares, isWhole) => spans.draw(shares, isWhole),
});
$("repeat").addEventListener("click", () => spans.stop());
$("ask-span").addEventListener("click", () => ask("POST", { span: spans.seconds }, "stems"));
$("video").addEventListener("error", () => {
  if (!$("video").getAttribute("src")) return;
  $("unseen").hidden = false;
});

document.addEventListener("keydown", (event) => {
  const target = event.target;
  const isTyping = target.matches("input[type=text]");
  if ($("work").hidden || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  const isControl = target.matches("button, input");
  if (event.key === " " && !isControl) playOrPause();
  else if (event.key === "ArrowLeft" && !target.matches("input")) player.seek(player.time - STEP_SECONDS);
  else if (event.key === "ArrowRight" && !target.matches("input")) player.seek(player.time + STEP_SECONDS);
  else if (event.key === "Escape" && spans.shares) spans.stop();
  else if (event.key === "Home" && target === $("wave")) player.seek(0);
  else if (event.key === "End" && target === $("wave")) player.seek(player.duration);
  else if (/^[0-9]$/.test(event.key)) tell(tracks.toggleSolo(Number(event.key)), "isSolo", "alone");
  else if (event.key.toLowerCase() === "i") spans.begin();
  else if (event.key.toLowerCase() === "o") spans.end();
  else if (event.key.toLowerCase() === "m") tell(tracks.toggleMute(target.closest(".track")), "isMute", "mute");
  else return;
  event.preventDefault();
});

// Says what a key did, to those who do not see it.
function tell(row, property, word) {
  if (row) $("announce").textContent = `${row.name.value ?? row.name.textContent}: ${row[property] ? word : `no longer ${word}`}`;
}

// ---- every frame

function frame() {
  requestAnimationFrame(frame);
  if ($("work").hidden || !session) return;
  player.follow();
  const share = player.duration ? player.time / player.duration : 0;
  const style = getComputedStyle(document.documentElement);
  const { sound } = reading();
  drawWave($("wave"), sound.peaks, { share, colour: style.getPropertyValue("--soft"), played: style.getPropertyValue("--played"), scale: scaleOf(sound.peaks), span: spans.shares });
  tracks.draw(share);
  $("now").textContent = clock(player.time);
  $("wave").setAttribute("aria-valuenow", player.time.toFixed(1));
  $("wave").setAttribute("aria-valuetext", `${clock(player.time)} of ${clock(player.duration)}`);
  if (!$("stage").hidden) {
    const row = tracks.rows.find((candidate) => candidate.key === heat.key && candidate.key !== REST);
    drawHeat($("heat"), heat.maps, player.time, { colour: colourOf(row), opacity: Number($("opacity").value) });
  }
}

try {
  settings = await request("GET", "api/settings");
  $("sample").hidden = !settings.sample;
  $("choose").hidden = $("invitation").hidden = settings.demo;
} catch (error) {
  startProblem(error.message);
}
if (settings) startProblem("");
frame();
