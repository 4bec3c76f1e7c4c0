"use strict";
// Draws the topology and lets a person search it, narrow it down and ask for the rules behind a flow.
// All words from objects reach the page as text (textContent), never as markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const sheet = $("sheet"), panel = $("panel");
  const RULED = 0, OPEN = 2, GOVERNANCE = data.lines.map((line) => line[0]);
  const TIP = 5, MAX_LABELS = 48, MAX_BOWS = 120, DENSE = 90, CROWDED = 400;
  const SHARES = [0.5, 0.38, 0.62, 0.28, 0.72, 0.2, 0.8, 0.12, 0.88];
  const BOWS = [[0, 0], ...[45, 90, 150, 220, 310].flatMap((by) => [[by, by], [-by, -by], [by, 0], [-by, 0], [0, by], [0, -by]])];

  const nodes = data.nodes, boxes = new Map(data.boxes.map((box) => [box.key, box]));
  const isRange = (key) => !boxes.get(key).title;
  const spaces = data.boxes.filter((box) => box.title);
  const inside = new Map(data.boxes.map((box) => [box.key, []]));
  nodes.forEach((node, at) => inside.get(node.box).push(at));
  const linksOf = nodes.map(() => []);
  data.links.forEach((link, at) => { linksOf[link[0]].push(at); if (link[1] !== link[0]) linksOf[link[1]].push(at); });

  const state = {
    open: new Set(data.open ? spaces.map((box) => box.key) : []),
    only: new Set(), near: true, ungoverned: data.ungoverned, found: null, chosen: null, at: null,
    x: 0, y: 0, scale: 1,
  };
  let units = new Map(), lines = new Map(), world, extent;

  // --- making elements ---

  const fill = (element, attributes, children) => {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name === "text") element.textContent = value;
      else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
    }
    element.append(...(children || []).filter(Boolean));
    return element;
  };
  const svg = (name, attributes, ...children) =>
    fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
  const html = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
  const css = (coverage) => coverage.replace(" ", "-");
  const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
  const called = (at) => (isRange(nodes[at].box) ? `${nodes[at].title} (${nodes[at].subtitle})` : `${nodes[at].box}/${nodes[at].title}`);

  const measure = document.createElement("canvas").getContext("2d");
  const fitted = (text, font, room) => {
    measure.font = `${font} system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif`;
    if (measure.measureText(text).width <= room) return text;
    for (let keep = text.length - 1; keep > 4; keep--) {
      const head = Math.floor(((keep + 1) * 2) / 3);
      const cut = `${text.slice(0, head)}…${text.slice(text.length - (keep - head))}`;
      if (measure.measureText(cut).width <= room) return cut;
    }
    return text.slice(0, 4) + "…";
  };

  // --- what is shown ---

  const shownLinks = () => data.links.filter((link) => {
    if (link[3] === OPEN && !state.ungoverned) return false;
    if (!state.only.size) return true;
    const one = state.only.has(nodes[link[0]].box), other = state.only.has(nodes[link[1]].box);
    const outside = isRange(nodes[link[0]].box) || isRange(nodes[link[1]].box);
    return (one && other) || ((one || other) && (state.near || outside));
  });

  const shownBoxes = (links) => {
    const shown = new Set(spaces.filter((box) => inside.get(box.key).length && (!state.only.size || state.only.has(box.key))).map((box) => box.key));
    for (const link of links) { shown.add(nodes[link[0]].box); shown.add(nodes[link[1]].box); }
    return shown;
  };

  const sizeOf = (key) => (isRange(key) || state.open.has(key) ? boxes.get(key).size : boxes.get(key).whole);

  // The same as layout.stack: columns side by side, each centred.
  const place = (shown) => {
    const listed = new Set(data.columns.flat());
    const late = [...shown].filter((key) => !listed.has(key));
    const columns = [...data.columns, late].map((column) => column.filter((key) => shown.has(key))).filter((column) => column.length);
    const [GAP_X, GAP_Y] = columns.flat().some((key) => state.open.has(key)) ? [150, 34] : [104, 30];
    const heights = columns.map((column) => column.reduce((sum, key) => sum + sizeOf(key)[1] + GAP_Y, -GAP_Y));
    const total = Math.max(0, ...heights), places = new Map();
    let x = 0;
    columns.forEach((column, at) => {
      const width = Math.max(...column.map((key) => sizeOf(key)[0]));
      let y = (total - heights[at]) / 2;
      for (const key of column) {
        const [w, h] = sizeOf(key);
        places.set(key, { x: x + (width - w) / 2, y, w, h });
        y += h + GAP_Y;
      }
      x += width + GAP_X;
    });
    return places;
  };

  const unitOf = (at) => {
    const box = nodes[at].box;
    return isRange(box) || state.open.has(box) ? `n${at}` : `b${box}`;
  };

  // --- how lines run; the same as paths.py ---

  const sides = (a, b) => (a === b ? ["loop", "loop"] : b.x >= a.x + a.w ? ["right", "left"] : a.x >= b.x + b.w ? ["left", "right"] : ["right", "right"]);
  const middle = (rect) => rect.y + rect.h / 2;
  const along = (p, t) => {
    const s = 1 - t, w = [s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t];
    return [0, 1].map((axis) => p.reduce((sum, point, at) => sum + w[at] * point[axis], 0));
  };

  const anchor = (drawn, rects) => {
    const groups = new Map();
    const add = (unit, side, entry) => {
      const key = `${side} ${unit}`;
      if (!groups.has(key)) groups.set(key, { unit, entries: [] });
      groups.get(key).entries.push(entry);
    };
    drawn.forEach((line, at) => {
      const a = rects.get(line.a), b = rects.get(line.b), [one, other] = sides(a, b);
      line.heights = [0, 0];
      if (one === "loop") return;
      add(line.a, one, [middle(b), at, 0]);
      add(line.b, other, [middle(a), at, 1]);
    });
    for (const { unit, entries } of groups.values()) {
      const rect = rects.get(unit), room = Math.min(rect.h - 16, 26 * (entries.length - 1));
      entries.sort((p, q) => p[0] - q[0] || p[1] - q[1] || p[2] - q[2]);
      entries.forEach(([, at, end], position) => {
        drawn[at].heights[end] = middle(rect) + room * (entries.length > 1 ? position / (entries.length - 1) - 0.5 : 0);
      });
    }
  };

  const curve = (line, rects, bow) => {
    const a = rects.get(line.a), b = rects.get(line.b), [start, end] = line.heights, [one] = sides(a, b);
    if (one === "loop") {
      const x = a.x + a.w - 30;
      return [[x - 18, a.y], [x - 26, a.y - 26], [x + 22, a.y - 26], [x + 12, a.y - TIP]];
    }
    if (b.x >= a.x + a.w) {
      const bend = Math.max(40, (b.x - a.x - a.w) / 2), p = [a.x + a.w, start], q = [b.x - TIP, end];
      return [p, [p[0] + bend, start + bow[0]], [q[0] - bend, end + bow[1]], q];
    }
    if (a.x >= b.x + b.w) {
      const bend = Math.max(40, (a.x - b.x - b.w) / 2), p = [a.x, start], q = [b.x + b.w + TIP, end];
      return [p, [p[0] - bend, start + bow[0]], [q[0] + bend, end + bow[1]], q];
    }
    const out = Math.max(a.x + a.w, b.x + b.w) + 46 + Math.min(Math.abs(end - start) * 0.12, 60);
    return [[a.x + a.w, start], [out, start], [out, end], [b.x + b.w + TIP, end]];
  };

  const clear = (line, rects, solid, bows) => {
    let best = null;
    for (const bow of bows) {
      const points = curve(line, rects, bow), spots = [];
      for (let step = 1; step < 18; step++) spots.push(along(points, step / 18));
      let hits = 0;
      for (const [key, r] of solid) {
        if (key !== line.a && key !== line.b && spots.some(([x, y]) => x > r.x - 4 && x < r.x + r.w + 4 && y > r.y - 4 && y < r.y + r.h + 4)) hits += r.h === 44 ? 1 : 4;
      }
      if (!hits) return points;
      if (!best || hits < best.hits) best = { hits, points };
    }
    return best.points;
  };

  // --- drawing ---

  const headWidth = (box) => {
    measure.font = "650 14px system-ui, -apple-system, sans-serif";
    return Math.min(Math.max(measure.measureText(box.title).width, measure.measureText(state.open.has(box.key) ? box.subtitle : box.folded).width), 248) + 20;
  };

  const definitions = () => {
    const defs = svg("defs");
    for (const kind of GOVERNANCE) {
      defs.append(svg("marker", { id: `tip-${kind}`, viewBox: "0 0 8 8", refX: 3, refY: 4, markerWidth: 8, markerHeight: 8, markerUnits: "userSpaceOnUse", orient: "auto" },
        svg("path", { class: `tip ${kind}`, d: "M0 0L8 4L0 8Z" })));
    }
    defs.append(svg("pattern", { id: "hatch", width: 7, height: 7, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      svg("rect", { class: "hatch-ground", width: 7, height: 7 }), svg("line", { class: "hatch-line", y2: 7 })));
    return defs;
  };

  const drawBox = (box, rect, open) => {
    const contents = open ? box.subtitle : box.folded;
    const spoken = `Namespace ${box.title}, ${contents}${uncoveredWords(box.coverage)}`;
    const choose = () => choosing({ kind: "space", key: box.key });
    const group = svg("g", { class: open ? "box" : "box whole", transform: `translate(${rect.x} ${rect.y})`, role: "button", tabindex: -1, "aria-expanded": String(open), "aria-label": spoken, onclick: choose },
      svg("title", { text: spoken }),
      svg("rect", { class: "space", width: rect.w, height: rect.h, rx: 12 }));
    // Of an open namespace the words lie above the lines, the ground beneath them.
    const head = open ? svg("g", { class: "box", transform: `translate(${rect.x} ${rect.y})`, "aria-hidden": "true", onclick: choose }) : group;
    head.append(svg("text", { class: "name", x: 16, y: 24, text: fitted(box.title, "650 14px", rect.w - 52) }),
      svg("text", { class: "muted", x: 16, y: 41, text: contents }));
    const toggle = svg("g", { class: "toggle", onclick: (event) => { event.stopPropagation(); unfold(box.key, !open); } },
      svg("title", { text: open ? "Collapse" : "Expand" }),
      svg("rect", { x: rect.w - 38, y: 2, width: 36, height: 36, fill: "transparent" }),
      svg("text", { class: "toggle", x: rect.w - 28, y: 26, text: open ? "−" : "+" }));
    head.append(toggle);
    if (!open) {
      const total = Object.values(box.coverage).reduce((sum, number) => sum + number, 0);
      let x = 16;
      for (const [coverage, number] of Object.entries(box.coverage)) {
        const width = ((rect.w - 32) * number) / total;
        group.append(svg("rect", { class: `bar ${css(coverage)}`, x, y: 54, width, height: 7 }, svg("title", { text: `${count(number, "workload")}: ${meaning(coverage)}` })));
        x += width;
      }
    }
    return { element: group, head };
  };

  const meaning = (coverage) => (data.legend.find((item) => item[0] === coverage) || ["", ""])[1];
  const uncoveredWords = (coverage) => {
    const bare = (coverage["uncovered"] || 0) + (coverage["open ingress"] || 0) + (coverage["open egress"] || 0), wide = coverage["open to all"] || 0;
    return (bare ? `, ${bare} without a policy in some direction` : "") + (wide ? `, ${wide} open to all` : "");
  };

  const drawCard = (at, rect) => {
    const card = nodes[at];
    const group = svg("g", { class: `card ${css(card.coverage)}`, transform: `translate(${rect.x} ${rect.y})`, role: "button", tabindex: -1, "aria-label": card.spoken, onclick: () => choosing({ kind: "node", at }) },
      svg("title", { text: card.spoken }),
      svg("rect", { class: "face", width: rect.w, height: rect.h, rx: card.coverage === "outside" ? 22 : 8 }),
      svg("text", { class: "name", x: 14, y: 21, text: fitted(card.title, "600 13px", rect.w - 26) }));
    [card.subtitle, ...card.lines].forEach((text, row) => {
      group.append(svg("text", { class: row ? "member" : "muted", x: 14, y: 37 + 16 * row, text: fitted(text, "11.5px", rect.w - 26) }));
    });
    if (card.badge) {
      const y = 46 + 16 * card.lines.length, label = svg("text", { class: "badge-text", x: 21, y: y + 12.5, text: card.badge });
      measure.font = "600 11px system-ui, -apple-system, sans-serif";
      group.append(svg("rect", { class: "badge", x: 14, y, width: measure.measureText(card.badge).width + 15, height: 17, rx: 8.5 }), label);
    }
    return group;
  };

  const governanceOf = (links) => (links.every((link) => link[3] === links[0][3]) ? links[0][3] : 1);
  const labelOf = (links) => {
    const texts = [...new Set(links.map((link) => data.ports[link[2]][0]))];
    const ports = texts.length <= 2 && texts.join(", ").length <= 26 ? texts.join(", ") : "several ports";
    return links.length > 1 ? `${links.length} flows: ${ports}` : ports;
  };

  const render = () => {
    const links = shownLinks(), shown = shownBoxes(links), places = place(shown);
    const rects = new Map(), solid = new Map();
    for (const [key, rect] of places) {
      if (isRange(key)) continue;
      rects.set(`b${key}`, rect);
      solid.set(`b${key}`, state.open.has(key) ? { x: rect.x, y: rect.y, w: headWidth(boxes.get(key)), h: 44 } : rect);
    }
    for (const [key, rect] of places) {
      if (!isRange(key) && !state.open.has(key)) continue;
      for (const at of inside.get(key)) {
        const [x, y, w, h] = nodes[at].at, own = { x: rect.x + x, y: rect.y + y, w, h };
        rects.set(`n${at}`, own);
        solid.set(`n${at}`, own);
      }
    }
    lines = new Map();
    for (const link of links) {
      const a = unitOf(link[0]), b = unitOf(link[1]);
      if (a === b && a.startsWith("b")) continue;
      const key = `${a} ${b}`;
      if (!lines.has(key)) lines.set(key, { key, a, b, links: [] });
      lines.get(key).links.push(link);
    }
    const drawn = [...lines.values()];
    anchor(drawn, rects);
    const bows = drawn.length <= MAX_BOWS ? BOWS : BOWS.slice(0, 1);
    const back = svg("g"), middleLayer = svg("g"), front = svg("g"), words = svg("g");
    units = new Map();
    for (const [key, rect] of places) {
      if (isRange(key)) continue;
      const open = state.open.has(key), { element, head } = drawBox(boxes.get(key), rect, open);
      (open ? back : front).append(element);
      if (open) front.append(head);
      units.set(`b${key}`, { id: `b${key}`, rect, element, head, choose: { kind: "space", key } });
    }
    for (const [id, rect] of rects) {
      if (!id.startsWith("n")) continue;
      const at = Number(id.slice(1)), element = drawCard(at, rect);
      front.append(element);
      units.set(id, { id, rect, element, choose: { kind: "node", at } });
    }
    const taken = [...solid.values()];
    for (const line of drawn) {
      const kind = governanceOf(line.links), points = clear(line, rects, solid, bows);
      line.kind = kind;
      const path = `M${points[0].join(" ")}C${points.slice(1).map((point) => point.map((v) => Math.round(v * 10) / 10).join(" ")).join(" ")}`;
      const spoken = `${speak(line.a)} → ${speak(line.b)}: ${labelOf(line.links)}`;
      line.element = svg("g", { class: `flow ${GOVERNANCE[kind]}`, "data-line": line.key, onclick: () => choosing({ kind: "line", key: line.key }) },
        svg("title", { text: spoken }),
        svg("path", { class: `line ${GOVERNANCE[kind]}`, d: path, "marker-end": `url(#tip-${GOVERNANCE[kind]})` }),
        svg("path", { class: "hit", d: path }));
      middleLayer.append(line.element);
      if (drawn.length > MAX_LABELS || kind === OPEN) continue;
      const text = labelOf(line.links);
      measure.font = "11px system-ui, -apple-system, sans-serif";
      const w = measure.measureText(text).width + 12;
      for (const share of SHARES) {
        const [x, y] = along(points, share), room = { x: x - w / 2, y: y - 9, w, h: 18 };
        if (taken.some((r) => room.x < r.x + r.w && r.x < room.x + w && room.y < r.y + r.h + 2 && r.y < room.y + 20)) continue;
        taken.push(room);
        line.label = svg("g", { class: `label ${GOVERNANCE[kind]}`, transform: `translate(${room.x} ${room.y})` },
          svg("rect", { width: w, height: 18, rx: 9 }), svg("text", { x: w / 2, y: 12.5, text }));
        words.append(line.label);
        break;
      }
    }
    extent = [...places.values()].reduce((e, r) => ({ w: Math.max(e.w, r.x + r.w), h: Math.max(e.h, r.y + r.h) }), { w: 0, h: 0 });
    world = svg("g", {}, back, middleLayer, front, words);
    sheet.replaceChildren(definitions(), world);
    sheet.classList.toggle("dense", drawn.length > DENSE);
    sheet.classList.toggle("crowded", drawn.length > CROWDED);
    $("empty").hidden = units.size > 0;
    move();
    mark();
    rove();
  };

  const speak = (id) => (id.startsWith("b") ? id.slice(1) : called(Number(id.slice(1))));

  // --- marks: what is chosen, what was found ---

  const mark = () => {
    const chosen = state.chosen, keepUnits = new Set(), keepLines = new Set();
    const keep = (line) => { keepLines.add(line.key); for (const id of [line.a, line.b]) keepWhole(id); };
    const keepWhole = (id) => { keepUnits.add(id); if (id.startsWith("n")) keepUnits.add(`b${nodes[Number(id.slice(1))].box}`); };
    let own = null;
    if (chosen && chosen.kind === "node") own = unitOf(chosen.at);
    if (chosen && chosen.kind === "space") own = `b${chosen.key}`;
    if (own) {
      keepWhole(own);
      const parts = new Set([own]);
      if (chosen.kind === "space") for (const at of inside.get(chosen.key)) { parts.add(unitOf(at)); keepWhole(unitOf(at)); }
      for (const line of lines.values()) if (parts.has(line.a) || parts.has(line.b)) keep(line);
    }
    let line = chosen && chosen.kind === "line" ? lines.get(chosen.key) : null;
    if (chosen && chosen.kind === "link") line = lines.get(`${unitOf(data.links[chosen.at][0])} ${unitOf(data.links[chosen.at][1])}`);
    if (line) keep(line);
    const found = state.found && new Set([...state.found].flatMap((at) => [unitOf(at), `b${nodes[at].box}`]));
    const hits = state.found && new Set([...state.found].map(unitOf));
    for (const unit of units.values()) {
      const c = unit.element.classList;
      c.toggle("chosen", unit.id === own);
      c.toggle("found", Boolean(hits && hits.has(unit.id)));
      const dim = Boolean((found && !found.has(unit.id)) || (!found && chosen && keepUnits.size && !keepUnits.has(unit.id)));
      c.toggle("dim", dim);
      if (unit.head) unit.head.classList.toggle("dim", dim);
    }
    for (const entry of lines.values()) {
      const on = keepLines.has(entry.key);
      entry.element.classList.toggle("on", on);
      const dim = Boolean(found ? !on && !(hits.has(entry.a) && hits.has(entry.b)) : chosen && keepUnits.size && !on);
      entry.element.classList.toggle("dim", dim);
      if (entry.label) entry.label.classList.toggle("dim", dim);
      if (on) entry.element.parentNode.append(entry.element);
    }
  };

  const choosing = (what, focus) => {
    state.chosen = what;
    mark();
    panel.replaceChildren(...({ node: nodePanel, space: spacePanel, line: linePanel, link: linkPanel }[what ? what.kind : ""] || introduction)(what));
    panel.scrollTop = 0;
    if (what && (what.kind === "node" || what.kind === "space")) {
      const id = what.kind === "node" ? unitOf(what.at) : `b${what.key}`;
      if (units.has(id)) { state.at = id; rove(); }
    }
    if (focus) { const head = panel.querySelector("h2"); head.setAttribute("tabindex", "-1"); head.focus(); }
  };

  // --- the panel ---

  const button = (text, onclick, attributes) => html("button", { type: "button", text, onclick, ...attributes });
  const nodeButton = (at) => button(called(at), () => show(at));

  const introduction = () => [
    html("h2", { text: "Details" }),
    html("p", { class: "quiet", text: "Choose a box for its workloads and policies, or an arrow for the rules behind it, on both sides." }),
    html("h3", { text: "Keys" }),
    ...[["/", "search"], ["Tab, arrows", "go from box to box"], ["Enter", "open what is behind a box"], ["Space", "expand or collapse a namespace"], ["+ − 0", "zoom in, out, show everything"], ["Esc", "let go of what is chosen"]]
      .map(([key, what]) => html("p", { class: "kv" }, html("code", { text: key }), html("span", { class: "quiet", text: `  ${what}` }))),
  ];

  const flowButton = (link, at, text) => html("li", { class: GOVERNANCE[link[3]] },
    button("", () => choosing({ kind: "link", at }, true), { "data-link": at, "aria-label": `${text}, ${data.ports[link[2]][1]}, ${data.lines[link[3]][1]}` }));
  const flowList = (title, entries, name) => {
    if (!entries.length) return [html("h3", { text: title }), html("p", { class: "quiet", text: "nothing" })];
    const list = html("ul", { class: "flows" });
    const add = (part) => {
      for (const at of part) {
        const link = data.links[at], item = flowButton(link, at, name(link));
        item.firstChild.append(html("span", { text: name(link) }), html("br"), html("span", { class: "ports", text: data.ports[link[2]][0] }));
        if (link[3] !== RULED) item.firstChild.append(html("small", { text: `  ${data.lines[link[3]][1]}` }));
        list.append(item);
      }
    };
    add(entries.slice(0, 100));
    const rest = entries.slice(100);
    const more = rest.length ? button(`Show ${rest.length} more`, () => { add(rest); more.remove(); }) : null;
    return [html("h3", { text: `${title} (${entries.length})` }), list, more];
  };

  const nodePanel = ({ at }) => {
    const node = nodes[at], range = isRange(node.box);
    const out = linksOf[at].filter((link) => data.links[link][0] === at), into = linksOf[at].filter((link) => data.links[link][1] === at);
    const parts = [html("h2", { text: node.title }), html("p", { class: "quiet", text: range ? node.all : `${node.subtitle} in namespace ${node.box}` })];
    if (!range) {
      parts.push(html("span", { class: `pill ${css(node.coverage)}`, text: node.badge || "policies in both directions" }));
      if (node.members.length > 1) {
        parts.push(html("h3", { text: `Workloads (${node.members.length})` }), html("ul", {}, ...node.members.map(([kind, name, pods]) => html("li", { text: `${name} ` }, html("small", { text: kind + (pods > 1 ? `, ${pods} pods` : "") })))));
      }
      parts.push(...isolation("What arrives is governed by", node.ingress, node.coverage, "No policy isolates it for what arrives, so anything may connect to it."));
      parts.push(...isolation("What leaves is governed by", node.egress, node.coverage, "No policy isolates it for what leaves, so it may connect to anything."));
      if (node.labels.length) parts.push(html("h3", { text: "Labels" }), html("p", {}, ...node.labels.flatMap((label) => [html("code", { text: label }), html("br")])));
    }
    parts.push(...flowList("May reach", out, (link) => (link[1] === at ? "each other" : called(link[1]))));
    parts.push(...flowList("May be reached by", into, (link) => (link[0] === at ? "each other" : called(link[0]))));
    return parts.filter(Boolean);
  };

  const isolation = (title, policies, coverage, none) => {
    if (coverage === "node") return [html("h3", { text: title }), html("p", { class: "quiet", text: "On its node's network (hostNetwork), which no policy governs." })];
    if (!policies.length) return [html("h3", { text: title }), html("div", { class: "rule none", text: none })];
    return [html("h3", { text: title }), html("ul", {}, ...policies.map((at) => html("li", { text: data.policies[at].name })))];
  };

  const spacePanel = ({ key }) => {
    const box = boxes.get(key), open = state.open.has(key), own = new Set(inside.get(key));
    const links = data.links.map((link, at) => [link, at]);
    const out = links.filter(([link]) => own.has(link[0]) && !own.has(link[1])).map((pair) => pair[1]);
    const into = links.filter(([link]) => own.has(link[1]) && !own.has(link[0])).map((pair) => pair[1]);
    const both = (link) => `${called(link[0])} → ${called(link[1])}`;
    return [
      html("h2", { text: box.title }), html("p", { class: "quiet", text: `Namespace, ${box.subtitle}` }),
      html("p", { class: "row" }, button(open ? "Collapse" : "Expand", () => { unfold(key, !open); choosing({ kind: "space", key }, true); }), button("Show only this", () => narrow([key]))),
      ...Object.entries(box.coverage).map(([coverage, number]) => html("p", {}, html("span", { class: `pill ${css(coverage)}`, text: String(number) }), html("span", { text: `  ${meaning(coverage)}` }))),
      html("h3", { text: "Workloads" }), html("ul", { class: "flows" }, ...inside.get(key).map((at) => html("li", {}, nodeButton(at)))),
      ...flowList("Leaves", out, both), ...flowList("Arrives", into, both),
    ].filter(Boolean);
  };

  const linePanel = ({ key }) => {
    const line = lines.get(key);
    if (!line) return introduction();
    const numbers = line.links.map((link) => data.links.indexOf(link));
    if (numbers.length === 1) return linkPanel({ at: numbers[0] });
    const shut = [line.a, line.b].filter((id) => id.startsWith("b")).map((id) => id.slice(1));
    return [
      html("h2", { text: `${speak(line.a)} → ${speak(line.b)}` }), html("p", { class: "quiet", text: count(numbers.length, "flow") }),
      shut.length ? html("p", { class: "row" }, button(shut.length > 1 ? "Expand both namespaces" : `Expand ${shut[0]}`, () => { shut.forEach((space) => state.open.add(space)); state.chosen = null; render(); syncSides(); choosing(null); }, { id: "expand-both" })) : null,
      ...flowList("Flows", numbers, (link) => `${called(link[0])} → ${called(link[1])}`),
    ].filter(Boolean);
  };

  const linkPanel = ({ at }) => {
    const [from, to, ports, kind, leaving, arriving] = data.links[at];
    const within = from === to;
    const depends = [...new Set([...data.sides[leaving].depends, ...data.sides[arriving].depends])];
    return [
      html("h2", { text: within ? `${called(from)}, among each other` : `${called(from)} → ${called(to)}` }),
      html("p", { class: GOVERNANCE[kind] }, html("span", { class: "ports", text: data.ports[ports][1] }), html("span", { class: "quiet", text: ` · ${data.lines[kind][1]}` })),
      html("p", { class: "row" }, nodeButton(from), within ? null : nodeButton(to)),
      html("h3", { text: `Leaving ${called(from)}` }), ...sidePanel(data.sides[leaving], nodes[from].title, true),
      html("h3", { text: `Arriving at ${called(to)}` }), ...sidePanel(data.sides[arriving], nodes[to].title, false),
      depends.length ? html("h3", { text: "Depends on the cluster" }) : null, ...depends.map((text) => html("p", { class: "quiet", text })),
    ].filter(Boolean);
  };

  const sidePanel = (side, name, leaving) => {
    if (side.state === "open") return [html("div", { class: "rule none", text: leaving ? `No policy isolates ${name} for what leaves, so it may connect to anything.` : `No policy isolates ${name} for what arrives, so anything may connect to it.` })];
    if (side.state === "node") return [html("div", { class: "rule none", text: `${name} is on its node's network (hostNetwork), which no policy governs.` })];
    if (side.state === "outside") return [html("p", { class: "quiet", text: `Outside the pods: no policy governs what these addresses ${leaving ? "send" : "receive"}.` })];
    return side.rules.map(([policy, path, ports, rule]) => {
      const told = data.policies[policy];
      return html("div", { class: "rule" },
        html("p", {}, html("b", { text: told.name })),
        html("p", {}, html("code", { text: path }), html("span", { class: "ports", text: `  ${ports === "all" ? "all ports" : ports}` })),
        told.purpose ? html("p", { text: told.purpose }) : null,
        ...[["origin", "from "], ["owner", "owner: "], ["place", "read in "]].map(([key, lead]) => (told[key] ? html("p", { class: "quiet", text: lead + told[key] }) : null)),
        rule >= 0 ? html("pre", { tabindex: 0, "aria-label": "The rule as written", text: data.rules[rule] }) : null);
    });
  };

  // --- moving about ---

  const move = () => world.setAttribute("transform", `translate(${state.x} ${state.y}) scale(${state.scale})`);
  const view = () => sheet.getBoundingClientRect();
  const fit = () => {
    const { width, height } = view();
    state.scale = Math.max(0.05, Math.min((width - 56) / Math.max(extent.w, 1), (height - 84) / Math.max(extent.h, 1), 1.15));
    state.x = (width - extent.w * state.scale) / 2;
    state.y = (height - extent.h * state.scale) / 2;
    move();
  };
  const zoom = (factor, x, y) => {
    const { width, height } = view(), [cx, cy] = [x ?? width / 2, y ?? height / 2];
    const scale = Math.min(4, Math.max(0.05, state.scale * factor)), ratio = scale / state.scale;
    state.x = cx - (cx - state.x) * ratio;
    state.y = cy - (cy - state.y) * ratio;
    state.scale = scale;
    move();
  };
  const reveal = (id, close) => {
    const unit = units.get(id);
    if (!unit) return;
    const { width, height } = view();
    if (close && state.scale < 0.7) state.scale = 0.9;
    const x = state.x + (unit.rect.x + unit.rect.w / 2) * state.scale, y = state.y + (unit.rect.y + Math.min(unit.rect.h, 120) / 2) * state.scale;
    if (close || x < 60 || x > width - 60) state.x += width / 2 - x;
    if (close || y < 40 || y > height - 40) state.y += height / 2 - y;
    move();
  };
  const unfold = (key, open) => {
    const before = units.get(`b${key}`);
    if (open) state.open.add(key); else state.open.delete(key);
    if (state.chosen && state.chosen.kind === "line") state.chosen = null;
    render();
    const after = units.get(`b${key}`);
    if (before && after) { // what was clicked stays under the pointer
      state.x += (before.rect.x - after.rect.x) * state.scale;
      state.y += (before.rect.y - after.rect.y) * state.scale;
      move();
    }
    syncSides();
  };
  const show = (at) => {
    if (!isRange(nodes[at].box)) state.open.add(nodes[at].box);
    if (state.only.size && !units.has(unitOf(at))) state.only.clear();
    render();
    syncSides();
    choosing({ kind: "node", at }, true);
    reveal(unitOf(at), true);
  };
  const narrow = (keys) => {
    state.only = new Set(keys);
    keys.forEach((key) => state.open.add(key));
    state.chosen = null;
    render();
    syncSides();
    choosing(null);
    fit();
  };

  const rove = () => {
    if (!units.has(state.at)) state.at = units.size ? units.keys().next().value : null;
    for (const unit of units.values()) unit.element.setAttribute("tabindex", unit.id === state.at ? "0" : "-1");
  };
  const go = (dx, dy) => {
    const here = units.get(state.at);
    if (!here) return;
    const centre = (unit) => [unit.rect.x + unit.rect.w / 2, unit.rect.y + Math.min(unit.rect.h / 2, 30)];
    const [x, y] = centre(here);
    let best = null;
    for (const unit of units.values()) {
      if (unit === here) continue;
      const [ux, uy] = centre(unit), ahead = (ux - x) * dx + (uy - y) * dy, aside = Math.abs((ux - x) * dy) + Math.abs((uy - y) * dx);
      if (ahead > 1 && (!best || ahead + 2.2 * aside < best.far)) best = { unit, far: ahead + 2.2 * aside };
    }
    if (!best) return;
    state.at = best.unit.id;
    rove();
    best.unit.element.focus({ preventScroll: true });
    reveal(state.at);
  };

  sheet.addEventListener("focusin", (event) => {
    const unit = [...units.values()].find((one) => one.element === event.target);
    if (unit) { state.at = unit.id; rove(); }
  });
  sheet.addEventListener("keydown", (event) => {
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (arrows[event.key]) {
      if (event.target === sheet) units.get(state.at)?.element.focus(); else go(...arrows[event.key]);
    } else if (event.key === "Enter" && units.has(state.at)) choosing(units.get(state.at).choose, true);
    else if (event.key === " " && units.has(state.at)) {
      const chosen = units.get(state.at).choose;
      if (chosen.kind !== "space") choosing(chosen, true);
      else { unfold(chosen.key, !state.open.has(chosen.key)); state.at = `b${chosen.key}`; rove(); units.get(state.at).element.focus(); }
    } else return;
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement && event.target.type === "search";
    if (event.key === "Escape") {
      if ($("query").value) { $("query").value = ""; search(); return; }
      const back = units.get(state.at);
      choosing(null);
      if (back && panel.contains(document.activeElement)) back.element.focus();
      else if (back && document.activeElement === document.body) back.element.focus();
    } else if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    else if (event.key === "/") { event.preventDefault(); $("query").focus(); }
    else if (event.key === "+" || event.key === "=") zoom(1.25);
    else if (event.key === "-") zoom(0.8);
    else if (event.key === "0") fit();
  });

  let grip = null;
  sheet.addEventListener("pointerdown", (event) => { if (event.button === 0) grip = { x: event.clientX, y: event.clientY, moved: false, id: event.pointerId }; });
  sheet.addEventListener("pointermove", (event) => {
    if (!grip || grip.id !== event.pointerId) return;
    const dx = event.clientX - grip.x, dy = event.clientY - grip.y;
    if (!grip.moved && Math.hypot(dx, dy) < 5) return;
    if (!grip.moved) { grip.moved = true; sheet.setPointerCapture(event.pointerId); sheet.classList.add("drag"); }
    state.x += dx; state.y += dy; grip.x = event.clientX; grip.y = event.clientY;
    move();
  });
  const drop = () => { sheet.classList.remove("drag"); const was = grip; setTimeout(() => { if (grip === was) grip = null; }); };
  sheet.addEventListener("pointerup", drop);
  sheet.addEventListener("pointercancel", drop);
  sheet.addEventListener("click", (event) => {
    if (grip && grip.moved) { event.stopPropagation(); event.preventDefault(); }
    else if (event.target === sheet) choosing(null);
  }, true);
  sheet.addEventListener("wheel", (event) => {
    event.preventDefault();
    const { left, top } = view();
    zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016)), event.clientX - left, event.clientY - top);
  }, { passive: false });
  $("in").addEventListener("click", () => zoom(1.25));
  $("out").addEventListener("click", () => zoom(0.8));
  $("fit").addEventListener("click", fit);

  // --- search ---

  const haystacks = nodes.map((node, at) => {
    const members = (node.members || []).flatMap(([kind, name]) => [kind, name]);
    return [called(at), node.title, node.subtitle, node.badge, node.all || "", ...members, ...(node.labels || [])].join("\n").toLowerCase();
  });
  const governors = nodes.map((node) => [...(node.ingress || []), ...(node.egress || [])].map((at) => data.policies[at].name).join("\n").toLowerCase());

  const search = () => {
    const words = $("query").value.toLowerCase().split(/\s+/).filter(Boolean), results = $("results");
    results.replaceChildren();
    results.hidden = !words.length;
    if (!words.length) { state.found = null; $("matches").textContent = ""; mark(); return; }
    const hit = (text) => words.every((word) => text.includes(word));
    const among = (texts) => nodes.map((_, at) => at).filter((at) => hit(texts[at]));
    const own = among(haystacks); // what a policy selects is found by the policy's name, but only if nothing is called so
    state.found = new Set(own.length ? own : among(governors));
    const named = spaces.filter((box) => hit(box.title.toLowerCase()) && inside.get(box.key).length);
    const close = (act) => () => { $("query").value = ""; search(); act(); };
    for (const box of named.slice(0, 8)) {
      results.append(html("li", {}, button("", close(() => { render(); choosing({ kind: "space", key: box.key }, true); reveal(`b${box.key}`, true); }))));
      results.lastChild.firstChild.append(html("span", { text: box.title }), html("small", { text: `  namespace, ${box.subtitle}` }));
    }
    for (const at of [...state.found].slice(0, 40)) {
      const member = (nodes[at].members || []).map((entry) => entry[1]).find((name) => nodes[at].members.length > 1 && hit(`${nodes[at].box}/${name}`.toLowerCase()));
      results.append(html("li", {}, button("", close(() => show(at)))));
      results.lastChild.firstChild.append(html("span", { text: member || nodes[at].title }), html("small", { text: isRange(nodes[at].box) ? `  ${nodes[at].subtitle}` : `  ${nodes[at].box}${member ? `, among ${nodes[at].title}` : ""}${nodes[at].badge ? ` · ${nodes[at].badge}` : ""}` }));
    }
    const all = state.found.size + named.length;
    $("matches").textContent = all ? count(all, "match").replace("matchs", "matches") : "no match";
    if (!all) results.append(html("li", { class: "note", text: "Nothing matches all of these words." }));
    else if (state.found.size > 40) results.append(html("li", { class: "note", text: `and ${state.found.size - 40} more` }));
    mark();
  };
  $("query").addEventListener("input", search);
  $("query").addEventListener("keydown", (event) => {
    const first = $("results").querySelector("button");
    if (event.key === "Enter" && first) { event.preventDefault(); first.click(); }
    if (event.key === "ArrowDown" && first) { event.preventDefault(); first.focus(); }
  });
  $("results").addEventListener("keydown", (event) => {
    const list = [...$("results").querySelectorAll("button")], at = list.indexOf(document.activeElement);
    if (event.key === "ArrowDown" && list[at + 1]) { event.preventDefault(); list[at + 1].focus(); }
    if (event.key === "ArrowUp") { event.preventDefault(); (list[at - 1] || $("query")).focus(); }
    if (event.key === "Escape") $("query").focus();
  });
  document.addEventListener("pointerdown", (event) => { if (!event.target.closest(".search")) $("results").hidden = true; });
  $("query").addEventListener("focus", () => { $("results").hidden = !$("query").value.trim(); });

  // --- the side ---

  const ticks = new Map();
  const syncSides = () => {
    for (const [key, tick] of ticks) tick.checked = state.only.has(key);
    $("all").disabled = !state.only.size;
  };
  const side = () => {
    $("summary").textContent = data.summary;
    for (const box of spaces) {
      if (!inside.get(box.key).length) continue;
      const tick = html("input", { type: "checkbox", "data-namespace": box.key, onchange: () => {
        if (tick.checked) { state.only.add(box.key); state.open.add(box.key); } else state.only.delete(box.key);
        state.chosen = null; render(); syncSides(); choosing(null); fit();
      } });
      ticks.set(box.key, tick);
      const bad = box.coverage["uncovered"] || 0, part = (box.coverage["open ingress"] || 0) + (box.coverage["open egress"] || 0) + (box.coverage["open to all"] || 0);
      $("namespaces").append(html("li", {}, html("label", { class: "check" }, tick, html("span", { text: box.title }),
        bad + part ? html("span", { class: bad ? "tag bad" : "tag", text: `${bad + part} open`, title: uncoveredWords(box.coverage).slice(2) }) : null)));
    }
    $("all").addEventListener("click", () => narrow([]));
    $("unfold").addEventListener("click", () => { spaces.forEach((box) => state.open.add(box.key)); render(); choosing(null); fit(); });
    $("fold").addEventListener("click", () => { state.open.clear(); render(); choosing(null); fit(); });
    $("near").addEventListener("change", () => { state.near = $("near").checked; render(); fit(); });
    $("ungoverned").checked = state.ungoverned;
    $("ungoverned-count").textContent = data.links.filter((link) => link[3] === OPEN).length.toLocaleString("en");
    $("ungoverned").addEventListener("change", () => { state.ungoverned = $("ungoverned").checked; state.chosen = null; render(); choosing(null); fit(); });
    for (const [coverage, text] of data.legend) {
      if (!data.coverage[coverage]) continue;
      $("legend").append(html("li", {}, svg("svg", { width: 26, height: 18, "aria-hidden": "true", class: "card-swatch" }, svg("g", { class: `card ${css(coverage)}` }, svg("rect", { class: "face", x: 2, y: 2, width: 22, height: 14, rx: 4 }))),
        html("span", { text: `${text} (${data.coverage[coverage].toLocaleString("en")})` })));
    }
    for (const [kind, text] of data.lines) {
      $("legend").append(html("li", {}, svg("svg", { width: 26, height: 18, "aria-hidden": "true" }, svg("path", { class: `line ${kind}`, d: "M0 9L20 9", "marker-end": `url(#tip-${kind})` })), html("span", { text })));
    }
    syncSides();
  };

  side();
  render();
  choosing(null);
  fit();
})();
