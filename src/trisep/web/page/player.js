// Plays sounds of one length together, to the sample, with the picture following. Nothing here knows the page.
//
// Sounds are float32 wav files, read in pieces by range. What is heard is rest · (mixture − Σ stems) + Σ gain · stem, as
// rest · mixture + Σ (gain − rest) · stem: no sound of the rest is needed, and untouched stems change nothing.

const PIECE_SECONDS = 2;
const AHEAD_SECONDS = 3;
const SOON_SECONDS = 0.06;
const DRIFT_SECONDS = 0.15;

export class Player extends EventTarget {
  #video;
  #context = null;
  #layout = null;
  #tracks = new Map();
  #gains = new Map();
  #origin = null;
  #position = 0;
  #timer = 0;
  #run = 0;
  #repeated = null;

  constructor(video) {
    super();
    this.#video = video;
  }

  get isPlaying() {
    return this.#origin !== null;
  }

  get duration() {
    return this.#layout ? this.#layout.num_samples / this.#layout.sample_rate_hz : 0;
  }

  get time() {
    if (!this.isPlaying) return this.#position;
    const late = this.#context.outputLatency || 0;
    return Math.min(this.duration, Math.max(this.#position, this.#position + this.#context.currentTime - this.#origin - late));
  }

  // The layout of all sounds, and where that of the mixture is.
  open(layout, url) {
    this.close();
    this.#layout = layout;
    this.#context = new AudioContext({ sampleRate: layout.sample_rate_hz });
    this.#add("rest", url, layout.offset);
  }

  close() {
    this.pause();
    this.#context?.close();
    this.#context = null;
    this.#layout = null;
    this.#tracks.clear();
    this.#gains.clear();
    this.#repeated = null;
    this.#position = 0;
  }

  // Which stems there are now, as a map from key to {url, offset}.
  setStems(stems) {
    for (const key of [...this.#tracks.keys()]) {
      const track = this.#tracks.get(key);
      if (key !== "rest" && stems.get(key)?.url !== track.url) {
        this.#silence(track);
        track.gain.disconnect();
        this.#tracks.delete(key);
      }
    }
    for (const [key, { url, offset }] of stems) {
      if (!this.#tracks.has(key)) this.#add(key, url, offset);
    }
    this.#applyGains();
  }

  // How loud each stem and `rest` are heard, linear.
  setGains(gains) {
    this.#gains = new Map(gains);
    this.#applyGains();
  }

  async play() {
    if (this.isPlaying || !this.#layout) return;
    if (this.#position >= this.duration - 0.01) this.#position = 0;
    await this.#context.resume();
    await this.#start();
    this.dispatchEvent(new Event("change"));
  }

  pause() {
    if (!this.isPlaying) return;
    this.#position = this.time;
    this.#stop();
    this.#video.pause();
    this.dispatchEvent(new Event("change"));
  }

  async seek(seconds) {
    const wasPlaying = this.isPlaying;
    if (wasPlaying) this.#stop();
    this.#position = Math.min(Math.max(0, seconds), this.duration);
    this.#video.currentTime = this.#position;
    if (wasPlaying) await this.#start();
    this.dispatchEvent(new Event("change"));
  }

  // Plays a span {from, to} in seconds again and again; null plays on to the end.
  repeat(span) {
    this.#repeated = span;
    if (span) this.seek(span.from);
  }

  // Keeps the picture at the sound; called for every frame.
  follow() {
    if (!this.isPlaying) return;
    const time = this.time;
    if (this.#repeated && time >= this.#repeated.to) {
      this.seek(this.#repeated.from);
      return;
    }
    if (time >= this.duration) {
      this.pause();
      this.#position = this.duration;
      return;
    }
    const video = this.#video;
    if (!(video.duration > time) || video.seeking) return;
    if (video.paused) video.play().catch(() => {});
    const drift = video.currentTime - time;
    if (Math.abs(drift) > DRIFT_SECONDS) video.currentTime = time;
    else video.playbackRate = 1 - Math.max(-0.06, Math.min(0.06, drift));
  }

  #add(key, url, offset) {
    const gain = this.#context.createGain();
    gain.gain.value = key === "rest" ? 1 : 0;
    gain.connect(this.#context.destination);
    this.#tracks.set(key, { url, offset, gain, next: null, sources: new Set() });
  }

  #applyGains() {
    if (!this.#context) return;
    const rest = this.#gains.get("rest") ?? 1;
    for (const [key, track] of this.#tracks) {
      const value = key === "rest" ? rest : (this.#gains.get(key) ?? 1) - rest;
      track.gain.gain.setTargetAtTime(value, this.#context.currentTime, 0.012);
    }
  }

  // Fetches the first piece of every sound, then starts them at one moment.
  async #start() {
    const run = (this.#run += 1);
    const from = this.#position;
    const first = Math.floor(from / PIECE_SECONDS);
    const pieces = await Promise.all([...this.#tracks.values()].map(async (track) => [track, await this.#piece(track, first)]));
    if (run !== this.#run || !this.#context) return;
    this.#origin = this.#context.currentTime + SOON_SECONDS;
    for (const track of this.#tracks.values()) track.next = null;
    for (const [track, piece] of pieces) {
      this.#schedule(track, piece, first);
      track.next = first + 1;
    }
    this.#video.currentTime = from;
    this.#timer = setInterval(() => this.#fill(run), 250);
    this.#fill(run);
  }

  #stop() {
    this.#run += 1;
    this.#origin = null;
    clearInterval(this.#timer);
    for (const track of this.#tracks.values()) this.#silence(track);
  }

  #silence(track) {
    for (const source of track.sources) source.stop();
    track.sources.clear();
  }

  // Fetches and schedules what is heard soon; a sound that came later joins in.
  async #fill(run) {
    const last = Math.floor(Math.min(this.time + AHEAD_SECONDS, this.duration) / PIECE_SECONDS);
    for (const track of this.#tracks.values()) {
      if (track.isBusy) continue;
      track.isBusy = true;
      track.next ??= Math.floor(this.time / PIECE_SECONDS);
      try {
        while (run === this.#run && track.next <= last) {
          const number = track.next;
          const piece = await this.#piece(track, number);
          if (run !== this.#run) break;
          this.#schedule(track, piece, number);
          track.next = number + 1;
        }
      } finally {
        track.isBusy = false;
      }
    }
  }

  async #piece(track, number) {
    const { sample_rate_hz: rate, num_channels: channels, num_samples: total } = this.#layout;
    const first = number * PIECE_SECONDS * rate;
    const count = Math.min(PIECE_SECONDS * rate, total - first);
    if (count <= 0) return null;
    const begin = track.offset + first * channels * 4;
    const answer = await fetch(track.url, { headers: { Range: `bytes=${begin}-${begin + count * channels * 4 - 1}` } });
    if (answer.status !== 206) return null;
    const values = new Float32Array(await answer.arrayBuffer());
    const buffer = new AudioBuffer({ length: count, numberOfChannels: channels, sampleRate: rate });
    for (let channel = 0; channel < channels; channel += 1) {
      const samples = buffer.getChannelData(channel);
      for (let index = 0; index < count; index += 1) samples[index] = values[index * channels + channel];
    }
    return buffer;
  }

  #schedule(track, buffer, number) {
    if (!buffer || !this.isPlaying) return;
    const source = new AudioBufferSourceNode(this.#context, { buffer });
    source.connect(track.gain);
    source.onended = () => track.sources.delete(source);
    track.sources.add(source);
    const start = this.#origin + number * PIECE_SECONDS - this.#position;
    const earliest = Math.max(this.#origin, this.#context.currentTime);
    if (start >= earliest) source.start(start);
    else if (earliest - start < buffer.duration) source.start(earliest, earliest - start);
  }
}
