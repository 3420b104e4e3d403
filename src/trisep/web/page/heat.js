// Which sound is shown in the picture, and the maps of where it is, which the server makes when they are first wanted.

const USUAL_COLOUR = [255, 170, 60];

export class Heat {
  constructor() {
    this.clear();
  }

  clear() {
    this.key = null; // of the sound
    this.maps = null;
    this.name = null; // the words that the maps are of
  }

  toggle(key) {
    const isShown = this.key === key;
    this.clear();
    if (!isShown) this.key = key;
  }

  // Keeps up with the sounds: `fetchMaps(stem)` reads its maps, `order(stem)` has them made, `complain(message)` is
  // called where they failed. Returns whether a sound is shown.
  follow(stems, { fetchMaps, order, complain }) {
    const stem = stems.find((candidate) => candidate.key === this.key);
    if (!stem) {
      this.clear();
    } else if (stem.heat?.state === "failed") {
      complain(stem.heat.error);
      this.clear();
    } else if (stem.heat?.state === "done" && this.name !== stem.name) {
      this.name = stem.name;
      fetchMaps(stem).then((maps) => {
        if (this.key === stem.key && this.name === stem.name) this.maps = maps;
      });
    } else if (!stem.heat && stem.state === "done") {
      this.maps = null;
      this.name = null;
      order(stem);
    }
    return Boolean(stem);
  }
}

// The heat has the colour of its row: red, green, blue.
export function colourOf(row) {
  if (!row) return USUAL_COLOUR;
  const [, red, green, blue] = /^#(..)(..)(..)$/.exec(getComputedStyle(row.item).getPropertyValue("--colour").trim()) ?? [];
  return red ? [red, green, blue].map((digits) => parseInt(digits, 16)) : USUAL_COLOUR;
}
