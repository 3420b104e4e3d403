// The span of the file that repeats: marked on the waveform or by keys, and told in words.

import { moment } from "./words.js";

const SHORTEST_SECONDS = 0.1;

export class Spans {
  // `elements`: the `line` with the buttons `ask` and `stop`, and what is told to those who do not see, `announce`.
  constructor(player, elements) {
    this.player = player;
    this.elements = elements;
    this.shares = null; // of the file, from and to; also while it is drawn
    this.mark = null;
  }

  get seconds() {
    return [this.shares.from * this.player.duration, this.shares.to * this.player.duration];
  }

  // A span is being drawn, or is whole and repeats from now on.
  draw(shares, isWhole) {
    this.shares = shares;
    if (isWhole) this.#repeat(...this.seconds);
  }

  stop() {
    this.shares = null;
    this.player.repeat(null);
    this.elements.line.hidden = true;
  }

  // Of another file.
  clear() {
    this.stop();
    this.mark = null;
  }

  // By keys: where it begins, then where it ends.
  begin() {
    this.mark = this.player.time;
    this.elements.announce.textContent = `A span begins at ${moment(this.mark)}`;
  }

  end() {
    const now = this.player.time;
    if (this.mark === null || now - this.mark < SHORTEST_SECONDS) return;
    this.draw({ from: this.mark / this.player.duration, to: now / this.player.duration }, true);
    this.elements.announce.textContent = `A span from ${moment(this.mark)} to ${moment(now)}`;
  }

  #repeat(from, to) {
    this.player.repeat({ from, to });
    const words = `${moment(from)} to ${moment(to)}`;
    this.elements.ask.textContent = `Separate what is heard from ${words}`;
    this.elements.stop.textContent = `Stop repeating ${words}`;
    this.elements.line.hidden = false;
  }
}
