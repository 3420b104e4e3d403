// Asking by a click or a box on the playing picture, and the heat of a query over it.

const LEAST_DRAG_PIXELS = 8;

// Calls `onPlace` with shares of the picture: a point has no width.
export function askByPointing(area, box, onPlace) {
  let from = null;
  const shares = (event) => {
    const frame = area.getBoundingClientRect();
    const clamp = (value) => Math.min(1, Math.max(0, value));
    return { x: clamp((event.clientX - frame.left) / frame.width), y: clamp((event.clientY - frame.top) / frame.height) };
  };
  const between = (a, b) => ({ x: Math.min(a.x, b.x), y: Math.min(a.y, b.y), width: Math.abs(a.x - b.x), height: Math.abs(a.y - b.y) });
  const isDrag = (event) => Math.hypot(event.clientX - from.clientX, event.clientY - from.clientY) >= LEAST_DRAG_PIXELS;

  area.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    from = { ...shares(event), clientX: event.clientX, clientY: event.clientY };
    area.setPointerCapture(event.pointerId);
  });
  area.addEventListener("pointermove", (event) => {
    if (!from || !isDrag(event)) return;
    const { x, y, width, height } = between(from, shares(event));
    box.hidden = false;
    box.style.left = `${100 * x}%`;
    box.style.top = `${100 * y}%`;
    box.style.width = `${100 * width}%`;
    box.style.height = `${100 * height}%`;
  });
  area.addEventListener("pointerup", (event) => {
    if (!from) return;
    const place = isDrag(event) ? between(from, shares(event)) : { x: from.x, y: from.y, width: 0, height: 0 };
    from = null;
    box.hidden = true;
    if ((place.width > 0) === (place.height > 0)) onPlace(place);
  });
  area.addEventListener("pointercancel", () => {
    from = null;
    box.hidden = true;
  });
}

// Draws the map of a time, in one colour, over the picture; between two maps it is a mixture of both.
export function drawHeat(canvas, heat, seconds, { colour, opacity }) {
  const context = canvas.getContext("2d");
  if (!heat) {
    context.clearRect(0, 0, canvas.width, canvas.height);
    return;
  }
  const [rows, columns] = heat.size;
  const after = heat.times.findIndex((time) => time >= seconds);
  const right = after < 0 ? heat.times.length - 1 : after;
  const left = Math.max(0, right - (after > 0 ? 1 : 0));
  const span = heat.times[right] - heat.times[left];
  const share = span > 0 ? (seconds - heat.times[left]) / span : 0;
  const cells = new ImageData(columns, rows);
  const [red, green, blue] = colour;
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const at = 4 * (row * columns + column);
      const value = (1 - share) * heat.maps[left][row][column] + share * heat.maps[right][row][column];
      cells.data.set([red, green, blue, value * opacity], at);
    }
  }
  const small = new OffscreenCanvas(columns, rows);
  small.getContext("2d").putImageData(cells, 0, 0);
  canvas.width = 40 * columns;
  canvas.height = 40 * rows;
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
}
