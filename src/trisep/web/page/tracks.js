// The rows of the sounds: one per stem and one for the rest. A row knows how loud it is, and whether it is alone or mute.

import { going, presence } from "./words.js";
import { drawWave, scaleOf } from "./waveform.js";

export const REST = "rest";

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function toggle(text, label, onChange) {
  const button = element("button", { type: "button", textContent: text, title: label });
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => onChange(button.getAttribute("aria-pressed") !== "true"));
  return button;
}

export class Tracks extends EventTarget {
  #list;
  #rows = new Map();
  #scale = 1;

  // Events: "gains"; "reword" {key, text}; "remove", "heat" {key}; "seek" {share}.
  constructor(list) {
    super();
    this.#list = list;
  }

  clear() {
    this.#rows.clear();
    this.#list.replaceChildren();
  }

  set peaksOfMixture(peaks) {
    this.#scale = scaleOf(peaks);
  }

  get rows() {
    return [...this.#rows.values()];
  }

  // Brings the rows in line with what the server tells of the session.
  show(session, { hasPicture, heatKey, sound, spectrogram }) {
    const wanted = session.stems.map((stem) => stem.key);
    const finished = session.stems.filter((stem) => stem.state === "done");
    if (finished.length) wanted.push(REST);
    for (const [key, row] of this.#rows) {
      if (!wanted.includes(key)) {
        row.item.remove();
        this.#rows.delete(key);
      }
    }
    wanted.forEach((key, index) => {
      if (!this.#rows.has(key)) this.#rows.set(key, this.#row(key));
      const row = this.#rows.get(key);
      if (this.#list.children[index] !== row.item) this.#list.insertBefore(row.item, this.#list.children[index] ?? null);
      row.number = key === REST ? 0 : index + 1;
      if (key === REST) this.#showRest(row, session.rest);
      else this.#showStem(row, session.stems[index], { hasPicture, heatKey, sound, spectrogram });
    });
    this.#rows.forEach((row) => this.#showGain(row));
  }

  // How loud each sound is heard, linear, by its key.
  gains() {
    const isAnySolo = this.rows.some((row) => row.isSolo);
    const loudness = (row) => (isAnySolo ? (row.isSolo ? row.volume : 0) : row.isMute ? 0 : row.volume);
    return new Map(this.rows.map((row) => [row.key, loudness(row)]));
  }

  toggleSolo(number) {
    const row = this.rows.find((candidate) => candidate.number === number);
    if (row?.isReady) this.#set(row, { isSolo: !row.isSolo });
    return row;
  }

  toggleMute(item) {
    const row = this.rows.find((candidate) => candidate.item === item) ?? this.rows.find((candidate) => candidate.isReady);
    if (row?.isReady) this.#set(row, { isMute: !row.isMute });
    return row;
  }

  draw(share) {
    for (const row of this.rows) {
      if (!row.peaks || row.wave.hidden) continue;
      const style = getComputedStyle(row.item);
      const [colour, played] = [style.getPropertyValue("--colour"), style.getPropertyValue("--played")];
      drawWave(row.wave, row.peaks, { share, colour, played, scale: this.#scale });
    }
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #set(row, changes) {
    Object.assign(row, changes);
    this.#rows.forEach((each) => this.#showGain(each));
    this.#tell("gains");
  }

  #row(key) {
    const row = { key, volume: 1, isSolo: false, isMute: false, isReady: false, isSpectrum: false, peaks: null, number: 0 };
    row.badge = element("span", { className: "badge" });
    row.badge.setAttribute("aria-hidden", "true");
    row.name = key === REST ? element("span", { textContent: "Everything else" }) : element("input", { type: "text", maxLength: 200 });
    row.state = element("p", { className: "state" });
    row.wave = element("canvas", { className: "wave" });
    row.wave.setAttribute("aria-hidden", "true");
    row.bar = element("progress", { max: 1 });
    row.solo = toggle("Solo", "Hear this alone", (isSolo) => this.#set(row, { isSolo }));
    row.mute = toggle("Mute", "Leave this out", (isMute) => this.#set(row, { isMute }));
    row.volumeSlider = element("input", { type: "range", min: 0, max: 2, step: 0.01, value: 1, title: "Volume" });
    row.volumeSlider.addEventListener("input", () => this.#set(row, { volume: Number(row.volumeSlider.value) }));
    row.volumeSlider.addEventListener("dblclick", () => {
      row.volumeSlider.value = 1;
      this.#set(row, { volume: 1 });
    });
    row.wave.addEventListener("click", (event) => this.#tell("seek", { share: event.offsetX / row.wave.clientWidth }));
    row.tools = element("div", { className: "tools" }, row.solo, row.mute, row.volumeSlider);
    if (key !== REST) {
      row.heat = toggle("Where", "Show where it is in the picture", () => this.#tell("heat", { key }));
      row.heat.className = "where";
      row.picture = element("img", { className: "wave", alt: "", hidden: true });
      row.picture.addEventListener("error", () => this.#showSpectrum(row, { isSpectrum: false }));
      row.picture.addEventListener("click", (event) => this.#tell("seek", { share: event.offsetX / row.picture.clientWidth }));
      row.spectrum = toggle("Spectrum", "Show its spectrogram", (isSpectrum) => this.#showSpectrum(row, { isSpectrum }));
      row.spectrum.className = "spectrum";
      row.tools.append(row.spectrum);
      row.save = element("a", { className: "button save", textContent: "↓", title: "Save this sound (wav)" });
      row.remove = element("button", { type: "button", className: "remove", textContent: "✕" });
      row.remove.addEventListener("click", () => this.#tell("remove", { key }));
      row.tools.append(row.heat, row.save, row.remove);
      row.name.addEventListener("change", () => this.#tell("reword", { key, text: row.name.value }));
      row.name.addEventListener("keydown", (event) => event.key === "Enter" && row.name.blur());
    } else {
      row.save = element("button", { type: "button", className: "save", textContent: "↓", title: "Save this sound (wav)" });
      row.save.addEventListener("click", () => this.#tell("save-rest"));
      row.tools.append(row.save);
    }
    const middle = element("div", { className: "middle" }, row.wave, ...(row.picture ? [row.picture] : []), row.bar);
    row.item = element("li", {}, row.badge, element("div", { className: "name" }, row.name), row.state, middle, row.tools);
    return row;
  }

  #showStem(row, stem, { hasPicture, heatKey, sound, spectrogram }) {
    const isOpen = stem.state === "waiting" || stem.state === "running";
    row.isReady = stem.state === "done";
    row.peaks = row.isReady ? stem.result.peaks : null;
    if (document.activeElement !== row.name) row.name.value = stem.name;
    row.name.setAttribute("aria-label", `Sound ${row.number}: change the words to ask for another`);
    const isFinding = stem.heat && (stem.heat.state === "waiting" || stem.heat.state === "running");
    if (isOpen) row.state.textContent = going("Separating", stem);
    else if (isFinding) row.state.textContent = going("Looking for it in the picture", stem.heat);
    else row.state.textContent = stem.state === "done" ? presence(stem.result) : stem.error ?? "Cancelled";
    row.state.classList.toggle("is-bad", stem.state === "failed");
    this.#showSpectrum(row, { isSpectrum: row.isReady && row.isSpectrum, address: row.isReady ? spectrogram(stem) : null });
    row.bar.hidden = !isOpen;
    row.bar.setAttribute("aria-label", `Progress of ${stem.name}`);
    if (stem.share > 0) row.bar.value = stem.share;
    else row.bar.removeAttribute("value");
    row.heat.hidden = !hasPicture;
    row.heat.textContent = "Where";
    row.heat.classList.toggle("is-busy", Boolean(isFinding));
    row.heat.setAttribute("aria-pressed", String(heatKey === row.key));
    row.save.hidden = !row.isReady;
    if (row.isReady) Object.assign(row.save, { href: sound(stem), download: `${stem.name}.wav` });
    row.remove.setAttribute("aria-label", isOpen ? `Cancel ${stem.name}` : `Remove ${stem.name}`);
    row.remove.title = isOpen ? "Cancel" : "Remove";
    this.#label(row, stem.name);
  }

  // Shows the waveform of a row or, where it was asked for, the spectrogram, which is fetched then.
  #showSpectrum(row, changes) {
    Object.assign(row, changes);
    row.wave.hidden = !row.isReady || row.isSpectrum;
    row.picture.hidden = !row.isSpectrum;
    row.spectrum.setAttribute("aria-pressed", String(row.isSpectrum));
    if (row.isSpectrum && row.picture.getAttribute("src") !== row.address) row.picture.src = row.address;
  }

  #showRest(row, rest) {
    row.isReady = true;
    row.peaks = rest?.state === "done" ? rest.result.peaks : row.peaks;
    row.state.textContent = "What no sound above takes";
    row.bar.hidden = true;
    this.#label(row, "everything else");
  }

  #label(row, name) {
    row.item.className = `track sound-${row.number}`;
    row.badge.textContent = row.number;
    row.solo.setAttribute("aria-label", `Solo ${name}`);
    row.mute.setAttribute("aria-label", `Mute ${name}`);
    row.save?.setAttribute("aria-label", `Save ${name}`);
    row.spectrum?.setAttribute("aria-label", `Spectrum of ${name}`);
    row.heat?.setAttribute("aria-label", `Where is ${name} in the picture`);
    row.volumeSlider.setAttribute("aria-label", `Volume of ${name}`);
    for (const tool of [row.solo, row.mute, row.volumeSlider, row.heat, row.spectrum]) if (tool) tool.disabled = !row.isReady;
  }

  #showGain(row) {
    row.solo.setAttribute("aria-pressed", String(row.isSolo));
    row.mute.setAttribute("aria-pressed", String(row.isMute));
    row.volumeSlider.setAttribute("aria-valuetext", `${Math.round(100 * row.volume)} %`);
    row.item.classList.toggle("is-silent", this.gains().get(row.key) === 0);
  }
}
