// The contrast of every pair of colours in which the page sets words (WCAG 2.2, "contrast ratio").
(() => {
  const part = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = (text) => {
    const [r, g, b] = text.match(/[\d.]+/g).map(Number).map(part);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const probe = document.createElement("i");
  document.body.append(probe);
  const colour = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const words = {
    ink: ["sheet", "panel", "box", "face", "bad-face", "bad-line", "warn-face", "outside"],
    muted: ["sheet", "panel", "box", "face", "bad-face", "bad-line", "warn-face", "outside"],
    "badge-ink": ["warn", "bad", "node"],
    ruled: ["sheet", "face"], half: ["sheet", "face"], open: ["sheet"],
    warn: ["panel"], bad: ["panel"], sheet: ["accent"],
  };
  return Object.entries(words).flatMap(([ink, grounds]) =>
    grounds.map((ground) => [`${ink} on ${ground}`, ratio(colour(ink), colour(ground))]));
})()
