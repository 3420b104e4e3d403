// A waveform on a canvas: mirrored peaks, the part that was played darker, and a line at the position.

const CLICK_PIXELS = 6;

export function drawWave(canvas, peaks, { share, colour, played, scale = 1, span = null }) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio);
  const height = Math.round(canvas.clientHeight * ratio);
  if (!width || !height) return;
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  if (span) {
    context.fillStyle = played;
    context.globalAlpha = 0.14;
    context.fillRect(span.from * width, 0, (span.to - span.from) * width, height);
  }
  const step = 3 * ratio;
  const bars = Math.floor(width / step);
  context.fillStyle = colour;
  for (let bar = 0; bar < bars; bar += 1) {
    const first = Math.floor((bar * peaks.length) / bars);
    const last = Math.max(first + 1, Math.floor(((bar + 1) * peaks.length) / bars));
    let peak = 0;
    for (let index = first; index < last && index < peaks.length; index += 1) peak = Math.max(peak, peaks[index]);
    // The square root lifts quiet parts, which ears hear well and eyes would miss.
    const half = Math.max(ratio, (Math.sqrt(Math.min(1, peak * scale)) * height) / 2);
    context.globalAlpha = (bar + 0.5) / bars < share ? 1 : 0.45;
    context.fillRect(bar * step, height / 2 - half, 2 * ratio, 2 * half);
  }
  context.globalAlpha = 1;
  context.fillStyle = played;
  context.fillRect(Math.min(width - 2 * ratio, share * width), 0, 2 * ratio, height);
}

// Calls onPlace(share) for a click on an element, and onSpan({from, to}, isWhole) for a stroke along it; shares of its width.
export function askBySpan(element, { onPlace, onSpan }) {
  let start = null;
  const share = (event) => {
    const box = element.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  };
  const isStroke = (event) => Math.abs(event.clientX - start.x) >= CLICK_PIXELS;
  const span = (event) => ({ from: Math.min(start.share, share(event)), to: Math.max(start.share, share(event)) });
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    start = { share: share(event), x: event.clientX };
    element.setPointerCapture(event.pointerId);
  });
  element.addEventListener("pointermove", (event) => start && isStroke(event) && onSpan(span(event), false));
  element.addEventListener("pointercancel", () => (start = null));
  element.addEventListener("pointerup", (event) => {
    if (!start) return;
    if (isStroke(event)) onSpan(span(event), true);
    else onPlace(start.share);
    start = null;
  });
}

// The factor that brings the loudest of some peaks to full height.
export function scaleOf(peaks) {
  return 1 / Math.max(1e-3, ...peaks);
}
