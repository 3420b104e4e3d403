// What keeps people from using what is shown: controls without a name or too small, text of contrast below 4.5 (WCAG 1.4.3).
(() => {
  const found = [];
  const seen = (e) => e.checkVisibility({checkOpacity: true, checkVisibilityCSS: true}) && !e.closest('.unheard');
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (rgb) => rgb.slice(0, 3).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] > 250) return c; } return [255, 255, 255]; };
  const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
  if (new Set(ids).size < ids.length) found.push('an id comes twice');
  for (const e of document.querySelectorAll('button, input, [role=slider], progress, video')) {
    const by = e.getAttribute('aria-labelledby');
    const name = e.ariaLabel || (by && document.getElementById(by)?.textContent) || [...(e.labels ?? [])].map((l) => l.textContent).join('') || e.textContent;
    if (seen(e) && !name.trim()) found.push(`no name: ${e.outerHTML.slice(0, 90)}`);
    const box = (e.type === 'file' ? e.parentElement : e).getBoundingClientRect();
    if (seen(e) && e.matches('button, input:not([type=file])') && (box.height < 16 || box.width < 24)) found.push(`too small to hit: ${e.outerHTML.slice(0, 90)}`);
  }
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || (e.matches('input[type=text]') && e.value);
    if (!own || !seen(e) || e.matches(':disabled, script, noscript')) continue;
    const [a, b] = [light(rgba(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) found.push(`contrast ${((a + 0.05) / (b + 0.05)).toFixed(2)}: ${e.outerHTML.slice(0, 90)}`);
  }
  return found;
})()
