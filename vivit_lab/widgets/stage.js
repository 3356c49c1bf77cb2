// The stage of every explorer: draws the commands of canvas.py at the screen's own resolution, lets
// the regions be hovered, pressed, dragged and reached by keys, and plays films, all in the browser.
// It also lays the explorer out, so that picture and controls are in sight together.

const MARGIN = 5; // as in canvas.py
const NEAR = 9; // pixels from a curve that count as on it
const KEPT = 800; // pictures of a page; more if its explorers show more
const CONTROL_KEYS = /^(Arrow|Page|Home|End|Enter| )/; // of a slider, list or button
const PATIENCE = 20000; // milliseconds without an answer, after which a message counts as lost
const page = (globalThis.vivitLab ??= { pictures: new Map(), coming: new Set(), views: new Set() });

// ---- pictures and letters, which come once

const isFont = (key) => key.startsWith("font");

async function keep(keys, buffers) {
  const fresh = keys.map((key, i) => [key, buffers[i]])
    .filter(([key]) => !page.pictures.has(key) && !page.coming.has(key));
  for (const [key] of fresh) page.coming.add(key);
  await Promise.allSettled(fresh.map(async ([key, file]) => {
    if (isFont(key)) {
      const weight = key === "font bold" ? "bold" : "normal";
      document.fonts.add(await new FontFace("ViViT Lab", file, { weight }).load());
      page.pictures.set(key, null);
    } else {
      page.pictures.set(key, await createImageBitmap(new Blob([file])));
    }
  }));
  for (const [key] of fresh) page.coming.delete(key);
  forget(new Set(keys));
  for (const view of [...page.views]) if (view.waits) view.draw();
}

// the oldest pictures that no explorer shows
function forget(used) {
  if (page.pictures.size <= KEPT) return;
  for (const view of page.views) for (const key of view.needs) used.add(key);
  for (const [key, picture] of page.pictures) {
    if (page.pictures.size <= KEPT) return;
    if (isFont(key) || used.has(key)) continue;
    page.pictures.delete(key);
    picture.close();
  }
}

function needed(scene) {
  const keys = new Set(["font", "font bold"]);
  for (const command of scene.commands) if (command[0] === "f") keys.add(command[1]);
  for (const film of scene.films) for (const key of film.keys) keys.add(key);
  return [...keys];
}

// ---- drawing, one function a letter

function isDark() {
  const { jpThemeLight, vscodeThemeKind } = document.body.dataset;
  if (jpThemeLight) return jpThemeLight === "false";
  if (vscodeThemeKind) return vscodeThemeKind.includes("dark");
  return document.documentElement.getAttribute("theme") === "dark";
}

// `dense`: pixels of the screen in one of the picture; edges and crisp lines keep to whole ones
function painter(ctx, palette, place, dense) {
  const colour = (code) => (palette[code.slice(0, 7)] ?? code.slice(0, 7)) + code.slice(7);
  const snap = (length) => Math.round(length * dense) / dense;
  const thick = (line) => Math.max(1, Math.round(line * dense)) / dense;
  const snapped = (x, y, width, height) => {
    const [left, top] = [snap(x), snap(y)];
    return [left, top, Math.max(1 / dense, snap(x + width) - left), Math.max(1 / dense, snap(y + height) - top)];
  };
  const trace = (points) => {
    ctx.beginPath();
    for (let i = 0; i < points.length; i += 2) ctx[i ? "lineTo" : "moveTo"](points[i], points[i + 1]);
  };
  return {
    colour,
    f(key, sx, sy, sw, sh, x, y, width, height, fade, look, name) {
      const picture = page.pictures.get(key), { width: across, height: down } = picture;
      const part = [sx / across, sy / down, sw / across, sh / down];
      const box = snapped(...(name ? place(name, part, x, y, width, height) : [x, y, width, height]));
      ctx.save();
      ctx.imageSmoothingEnabled = !(look & 1);
      ctx.imageSmoothingQuality = "high";
      ctx.drawImage(picture, sx, sy, sw, sh, ...box);
      const cover = (fill, alpha, how = "source-over") => {
        ctx.globalAlpha = alpha;
        ctx.globalCompositeOperation = how;
        ctx.fillStyle = fill;
        ctx.fillRect(...box);
      };
      if (look & 2) { // without colour, then under a grey
        cover("#808080", 1, "saturation");
        cover("#3c3c3c", 0.4);
      }
      if (fade) cover(colour("#ffffff"), fade);
      ctx.restore();
    },
    t(x, base, words, size, code, bold, side) {
      ctx.font = `${bold ? "bold " : ""}${size}px "ViViT Lab", "DejaVu Sans", sans-serif`;
      ctx.textAlign = { l: "left", m: "center", r: "right" }[side];
      ctx.fillStyle = colour(code);
      ctx.fillText(words, Math.round(x), Math.round(base));
    },
    b(x, y, width, height, fill, outline, line, radius, name) {
      [x, y, width, height] = name ? place(name, null, x, y, width, height) : snapped(x, y, width, height);
      ctx.beginPath();
      ctx.roundRect(x, y, width, height, radius);
      if (fill) { ctx.fillStyle = colour(fill); ctx.fill(); }
      if (!outline) return;
      line = Math.min(thick(line), width, height);
      ctx.beginPath();
      ctx.roundRect(x + line / 2, y + line / 2, width - line, height - line, Math.max(0, radius - line / 2));
      ctx.lineWidth = line;
      ctx.strokeStyle = colour(outline);
      ctx.stroke();
    },
    l(points, code, width) {
      width = thick(width);
      const half = Math.round(width * dense) % 2 ? 0.5 : 0;
      trace(points.map((length) => (Math.floor(length * dense) + half) / dense));
      ctx.lineWidth = width;
      ctx.strokeStyle = colour(code);
      ctx.stroke();
    },
    "|"(xs, top, bottom, code, width) {
      for (const x of xs) this.l([x, top, x, bottom], code, width);
    },
    "-"(x, y, width, code) {
      ctx.fillStyle = colour(code);
      for (let i = 0; i < width; i += 8) ctx.fillRect(...snapped(x + i, y, Math.min(4, width - i), 1));
    },
    c(points, code, width, [left, top, right, bottom]) {
      ctx.save();
      ctx.beginPath();
      ctx.rect(left - MARGIN, top - MARGIN, right - left + 2 * MARGIN, bottom - top + 2 * MARGIN);
      ctx.clip();
      trace(points);
      ctx.lineJoin = "round";
      ctx.lineWidth = width;
      ctx.strokeStyle = ctx.fillStyle = colour(code);
      if (width) ctx.stroke(); else ctx.fill();
      ctx.restore();
    },
    d(points, code, radius, edge) {
      for (let i = 0; i < points.length; i += 2)
        for (const [reach, fill] of edge ? [[radius + edge, "#ffffff"], [radius, code]] : [[radius, code]]) {
          ctx.beginPath();
          ctx.arc(points[i], points[i + 1], reach, 0, 2 * Math.PI);
          ctx.fillStyle = colour(fill);
          ctx.fill();
        }
    },
  };
}

// ---- regions: what lies where

const axes = (region) => [["across", 0], ["down", 1]].filter(([axis]) => region[axis]);

// the box of cell (i, j) of a region, with the radius of its corners if it has any
function cellBox(region, [i, j]) {
  let [x, y, width, height] = region.box;
  if (region.levels) return [region.places[i] - 5, region.levels[i] - 5, 10, 10, 6];
  if (region.places) return [region.places[i] - 1, y, 2, height];
  if (region.across && i >= 0) { width /= region.across[1].length; x += i * width; }
  if (region.down && j >= 0) { height /= region.down[1].length; y += j * height; }
  return [x, y, width, height];
}

// how far above or below the curve of a region a place lies, or how far from its nearest dot
function awayFrom({ places, levels, dots }, x, y) {
  if (dots) return Math.min(...places.map((place, i) => Math.hypot(place - x, levels[i] - y)));
  const i = places.findIndex((place) => place >= x);
  if (i <= 0) return Math.abs(y - (i ? levels.at(-1) : levels[0]));
  const share = (x - places[i - 1]) / (places[i] - places[i - 1]);
  return Math.abs(y - levels[i - 1] - share * (levels[i] - levels[i - 1]));
}

// the cell of a region at a point
function cellAt(region, x, y) {
  const [left, top, width, height] = region.box, cell = [-1, -1], at = { ...region.at };
  for (const [axis, n] of axes(region)) {
    const [name, values] = region[axis];
    if (n === 0 && region.places) {
      const apart = region.places.map((place, i) => Math.hypot(place - x, region.dots ? region.levels[i] - y : 0));
      cell[0] = apart.indexOf(Math.min(...apart));
    } else {
      const share = n ? (y - top) / height : (x - left) / width;
      cell[n] = Math.max(0, Math.min(values.length - 1, Math.floor(share * values.length)));
    }
    at[name] = values[cell[n]];
  }
  return { region, cell, at };
}

// how far a point is from a region
function away({ box: [left, top, width, height], ...region }, x, y) {
  const outside = Math.hypot(Math.max(left - x, 0, x - left - width), Math.max(top - y, 0, y - top - height));
  return outside + (region.levels ? awayFrom(region, x, y) : 0);
}

// how far right of the middle of what can be dragged a point in it is
const offMiddle = ({ grip: [left, width] = [0, 0] }, x) => (x > left && x < left + width ? x - left - width / 2 : 0);

// The topmost thing at a point, and of curves the nearest; while things with certain names are
// `held`, the nearest of those, wherever the point is.
function hit(scene, x, y, held = null) {
  const those = scene.regions.filter((region) => held === null || namesOf(region) === held)
    .map((region) => ({ region, far: away(region, x, y) }))
    .filter(({ region, far }) => held !== null || far <= (region.levels ? NEAR : 0));
  const rivals = those.filter(({ region }) => held !== null || region.levels);
  const nearest = Math.min(...rivals.map(({ far }) => far));
  const found = those.findLast(({ far }) => far <= nearest);
  return found ? cellAt(found.region, x - (held === null ? offMiddle(found.region, x) : 0), y) : null;
}

const namesOf = (region) =>
  [...Object.keys(region.at), ...axes(region).map(([axis]) => region[axis][0])].sort().join();

// where a thing is seen, boxes and whole curves: wherever no name that both have disagrees, and one
// at least agrees
function litParts(scene, at) {
  const boxes = [], curves = [];
  for (const region of scene.regions) {
    const cell = [-1, -1];
    let agree = 0, differ = 0;
    for (const name in region.at)
      if (name in at) region.at[name] === at[name] ? agree++ : differ++;
    for (const [axis, n] of axes(region)) {
      const [name, values] = region[axis];
      if (!(name in at)) continue;
      cell[n] = values.indexOf(at[name]);
      cell[n] < 0 ? differ++ : agree++;
    }
    if (!agree || differ) continue;
    if (!region.places || cell[0] >= 0) boxes.push(cellBox(region, cell));
    else if (region.dots) region.places.forEach((_, i) => boxes.push(cellBox(region, [i, -1])));
    else if (region.levels) curves.push(region.places.flatMap((x, i) => [x, region.levels[i]]));
  }
  return { boxes, curves };
}

function wordsOf({ region, cell, at }) {
  const wide = region.across ? region.across[1].length : 1;
  const value = region.values?.[Math.max(cell[1], 0) * wide + Math.max(cell[0], 0)];
  return region.says.replace(/\{(\w+)([+-]\d+)?\}/g, (_, name, more) => {
    const found = (name === "value" ? value : at[name]) ?? "";
    return more ? Number(found) + Number(more) : found;
  });
}

// ---- names and values of ipywidgets' controls for those who do not see them

function nameControls(explorer) {
  const set = (node, name, value) => value && node.getAttribute(name) !== value && node.setAttribute(name, value);
  for (const row of explorer.querySelectorAll(".widget-slider, .widget-hslider")) {
    const label = row.querySelector(".widget-label")?.textContent.trim();
    const readout = row.querySelector(".widget-readout");
    for (const handle of row.querySelectorAll(".noUi-handle")) {
      set(handle, "aria-label", label);
      set(handle, "aria-valuetext", readout?.textContent.trim());
    }
    if (!readout?.isContentEditable) continue;
    set(readout, "aria-label", `${label}, as a number`);
    set(readout, "role", "textbox");
  }
  for (const node of explorer.querySelectorAll('[title="null"], [title=""]')) node.removeAttribute("title");
  for (const node of explorer.querySelectorAll(".widget-toggle-button"))
    set(node, "aria-pressed", String(node.classList.contains("mod-active")));
  for (const node of explorer.querySelectorAll(".jupyter-widget-play button, .widget-play button"))
    set(node, "aria-label", node.title || node.querySelector("i")?.className.replace(/.*fa-(\w+).*/, "$1"));
  for (const node of explorer.querySelectorAll("button:not([aria-label])"))
    if (!node.textContent.trim()) set(node, "aria-label", node.title);
}

// ---- the widget

const still = matchMedia("(prefers-reduced-motion: reduce)");
const WAYS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [1, -1], ArrowDown: [1, 1],
  PageUp: [2, -1], PageDown: [2, 1] };

function make(tag, parent, options = {}) {
  const { attributes = {}, ...others } = options;
  const node = Object.assign(document.createElement(tag), others);
  for (const name in attributes) node.setAttribute(name, attributes[name]);
  parent.append(node);
  return node;
}

export default {
  initialize({ model }) {
    model.on("msg:custom", (message, buffers) => message.pictures && keep(message.pictures, buffers));
  },

  render({ model, el }) {
    const root = make("div", el, { className: "vl-stage" });
    const canvas = make("canvas", root, { tabIndex: 0, attributes: { role: "img" } });
    const overlay = make("canvas", root, { className: "vl-overlay", attributes: { "aria-hidden": "true" } });
    const tip = make("div", root, { className: "vl-tip", hidden: true, attributes: { role: "tooltip" } });
    const bar = make("div", el, { className: "vl-bar", hidden: true, attributes: { role: "group" } });
    const said = make("div", el, { className: "vl-said", attributes: { "aria-live": "polite" } });
    const lost = make("div", root, { className: "vl-lost", hidden: true, attributes: { role: "status" } });
    const ended = new AbortController(), { signal } = ended;
    let scene = null, scale = 1, time = "";

    // -- the picture

    const view = { draw, waits: false, needs: [] }, asked = new Map();
    let coming = null, listens = false, before = new Map(), places = new Map(), began = 0, moving = 0;

    // whether all that a scene needs is there; what is not is asked for
    function ready(next) {
      if (next !== coming) [coming, view.needs] = [next, needed(next)];
      const lacking = view.needs.filter((key) => !page.pictures.has(key)), now = performance.now();
      for (const key of view.needs) if (page.pictures.has(key)) asked.delete(key);
      const wanted = lacking.filter((key) => !page.coming.has(key) && !(now - asked.get(key) < PATIENCE));
      for (const key of wanted) asked.set(key, now);
      if (wanted.length || !listens) model.send({ want: wanted });
      listens = true;
      view.waits = lacking.length > 0;
      return lacking.every(isFont);
    }

    // where a thing with a name is on its way from the picture before; a part of a frame that was
    // whole there ("frame 3/7" of "frame 3") sets out from its place in it
    const place = (name, part, ...box) => {
      const whole = part && before.get(name.split("/")[0]);
      const from = before.get(name) ?? (whole && [whole[0] + part[0] * whole[2],
        whole[1] + part[1] * whole[3], part[2] * whole[2], part[3] * whole[3]]);
      const share = (performance.now() - began) / scene.animate;
      if (from && share < 1) box = box.map((to, i) => from[i] + (to - from[i]) * share * share * (3 - 2 * share));
      places.set(name, box);
      return box;
    };

    const paintOn = (layer) => {
      const ctx = layer.getContext("2d");
      ctx.setTransform(layer.width / scene.width, 0, 0, layer.height / scene.height, 0, 0);
      return [ctx, painter(ctx, isDark() ? model.get("palette") : {}, place, layer.width / scene.width)];
    };

    function draw() {
      const next = model.get("scene");
      if (!next?.commands || !ready(next)) return; // else drawn when the pictures have come
      if (next !== scene) {
        [before, places, began] = [still.matches ? new Map() : places, new Map(), performance.now()];
        if (!timer) filmed = false;
        time = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
      }
      scene = next;
      const size = [scene.width, scene.height].map((length) => Math.round(length * scale * devicePixelRatio));
      for (const each of [canvas, overlay])
        if (each.width !== size[0] || each.height !== size[1]) [each.width, each.height] = size;
      [root.style.width, root.style.height] = size.map((length) => `${length / devicePixelRatio}px`);
      const [ctx, paint] = paintOn(canvas);
      ctx.fillStyle = paint.colour("#ffffff");
      ctx.fillRect(0, 0, scene.width, scene.height);
      for (const [letter, ...rest] of scene.commands) paint[letter](...rest);
      if (canvas.getAttribute("aria-label") !== scene.words) {
        canvas.setAttribute("aria-label", scene.words);
        if (document.activeElement === canvas) said.textContent = scene.words;
      }
      root.dataset.drawn = (Number(root.dataset.drawn) || 0) + 1; // counts pictures, for tests
      showBar();
      hover(pointer); // another thing may be there now
      drawOver();
      cancelAnimationFrame(moving);
      if (performance.now() - began < scene.animate) moving = requestAnimationFrame(draw);
    }

    function drawOver() {
      const [ctx, paint] = paintOn(overlay), at = { ...hovered?.at };
      ctx.clearRect(0, 0, scene.width, scene.height);
      ctx.imageSmoothingQuality = "high";
      for (const film of filmed ? scene.films : []) {
        const i = Math.floor(seconds * film.rate) % film.keys.length;
        const picture = page.pictures.get(film.keys[i]); // none if lost while another scene is awaited
        if (picture) ctx.drawImage(picture, ...film.crop, ...film.box);
        if (film.name) at[film.name] = film.values[i];
      }
      const { boxes, curves } = litParts(scene, at);
      for (const points of curves) paint.c(points, "#b3470a50", 9, [0, 0, scene.width, scene.height]);
      for (const [x, y, width, height, radius = 0] of boxes)
        for (const [line, colour] of [[4, paint.colour("#ffffff") + "b0"], [2, paint.colour("#b3470a")]]) {
          ctx.lineWidth = line;
          ctx.strokeStyle = colour;
          ctx.beginPath();
          ctx.roundRect(x - 1, y - 1, width + 2, height + 2, radius);
          ctx.stroke();
        }
      root.dataset.lit = JSON.stringify(at);
    }

    // -- hover, press, drag, keys

    let pointer = null, hovered = null, held = null, off = 0, sent = 0;
    const waiting = [];

    // One message at a time. Of presses of the same things while the kernel is busy only the last
    // is sent, so that a drag does not lag; of key strokes the sum, but of a key held down just one.
    function tell(message, repeated = false) {
      if (sent && performance.now() - sent < PATIENCE) {
        const kind = ({ key, press }) => (key ? key[0] : Object.keys(press).join());
        const last = waiting.at(-1);
        if (last && !message.once && kind(last) === kind(message)) {
          if (message.key && !repeated) message.key[1] += last.key[1];
          waiting.pop();
        }
        waiting.push(message);
        return;
      }
      sent = performance.now();
      root.setAttribute("aria-busy", "true");
      model.send(message);
    }

    function hover(event) {
      pointer = event;
      if (!scene) return false;
      const box = root.getBoundingClientRect(), { clientX: x, clientY: y } = event ?? {};
      const place = [(x - box.left) * scene.width / box.width, (y - box.top) * scene.height / box.height];
      const found = event && hit(scene, place[0] - off, place[1], held);
      if (found) found.off = offMiddle(found.region, place[0]);
      const changed = JSON.stringify(found?.at) !== JSON.stringify(hovered?.at);
      hovered = found;
      canvas.style.cursor = found?.region.press ? "pointer" : "default";
      const words = found ? wordsOf(found) : "";
      tip.hidden = !words;
      if (words) {
        tip.textContent = words;
        const left = Math.min(x - box.left + 14, box.width - tip.offsetWidth), top = y - box.top + 18;
        tip.style.left = `${Math.max(0, left)}px`;
        tip.style.top = `${top + tip.offsetHeight > box.height ? top - tip.offsetHeight - 26 : top}px`;
      }
      if (changed) drawOver();
      return changed;
    }

    canvas.addEventListener("pointermove", (event) => {
      if (event.isPrimary && hover(event) && held !== null) tell({ press: hovered.at });
    });
    canvas.addEventListener("pointerdown", (event) => {
      if (!event.isPrimary || event.button) return;
      hover(event);
      if (!hovered?.region.press) return;
      const { once } = hovered.region;
      [held, off] = once ? [null, 0] : [namesOf(hovered.region), hovered.off]; // what a drag moves, wherever it goes
      canvas.setPointerCapture(event.pointerId);
      tell({ press: hovered.at, once });
    });
    canvas.addEventListener("lostpointercapture", (event) => { [held, off] = [null, 0]; hover(event); });
    canvas.addEventListener("pointerleave", () => hover(null));

    // heard before JupyterLab, which would go to another cell
    function key(event) {
      if (event.target !== canvas || event.ctrlKey || event.altKey || event.metaKey || !scene) return;
      const way = WAYS[event.key];
      if (event.key === " " && plays) event.repeat || play(!timer);
      else if (way && way[0] < scene.keys) tell({ key: [...way] }, event.repeat);
      else return;
      event.preventDefault();
      event.stopPropagation();
    }
    addEventListener("keydown", key, { capture: true, signal });

    // -- play

    let timer = 0, last = 0, seconds = 0, waited = 0, filmed = false, plays = false;
    const button = (name, words, action) => {
      const found = make("button", bar, { textContent: words, title: name, attributes: { "aria-label": name } });
      found.addEventListener("click", action);
      return found;
    };
    button("One step back", "◂", () => step(-1));
    const toggle = button("Play", "▶", () => play(!timer));
    button("One step forward", "▸", () => step(1));
    const speed = make("select", bar, { title: "Speed", attributes: { "aria-label": "Speed" } });
    for (const each of [0.25, 0.5, 1, 2]) make("option", speed, { value: each, textContent: `${each}×`, selected: each === 1 });

    function showBar() {
      plays = scene.films.some((film) => film.keys.length > 1) || Boolean(scene.play.name);
      if (plays) bar.hidden = false; // once it is there it keeps its place: nothing below it jumps
      bar.style.visibility = plays ? "visible" : "hidden";
      bar.setAttribute("aria-label", scene.play.name ? "Steps" : "Film");
      if (!plays) play(false);
      const does = [scene.keys && "Arrow keys move the selection.", plays && "The space bar plays and pauses."];
      canvas.setAttribute("aria-description", does.filter(Boolean).join(" "));
      canvas.setAttribute("role", scene.keys || plays ? "application" : "img");
    }

    function go(steps, round) {
      const { name, values, now } = scene.play;
      const i = values.indexOf(now) + steps;
      if (values[i] === undefined && !round) return play(false);
      tell({ press: { [name]: values[(i + values.length) % values.length] } });
    }

    function step(steps) {
      play(false);
      if (scene.play.name) return go(steps, true);
      const { rate, keys } = scene.films[0];
      const i = Math.floor(seconds * rate) + (filmed ? steps : 0) + keys.length;
      seconds = (i % keys.length + 0.01) / rate;
      filmed = true;
      drawOver();
    }

    function play(on) {
      if (on === Boolean(timer)) return;
      cancelAnimationFrame(timer);
      timer = 0;
      toggle.textContent = on ? "❚❚" : "▶";
      toggle.title = on ? "Pause" : "Play";
      toggle.setAttribute("aria-label", toggle.title);
      if (!on) return;
      [filmed, last, waited] = [true, performance.now(), 0];
      if (scene.play.name && scene.play.values.at(-1) === scene.play.now) go(1, true);
      const tick = (now) => {
        // a tab in the background waits; the time of the first frame may be one before the press
        const passed = Math.max(0, Math.min(0.25, (now - last) / 1000)) * speed.value;
        [last, seconds, waited] = [now, seconds + passed, waited + passed];
        timer = requestAnimationFrame(tick);
        if (!root.isConnected) return play(false);
        if (scene.films.length) drawOver();
        if (scene.play.name && waited > scene.play.seconds && !sent) { waited = 0; go(1, false); }
      };
      timer = requestAnimationFrame(tick);
    }

    // -- layout: picture and controls in sight together

    let explorer = null, panel = null;

    function room() {
      for (let node = el.parentElement; node; node = node.parentElement)
        if (node.matches(".jp-WindowedPanel-outer, .jp-Notebook") && node.clientHeight) return node.clientHeight;
      return innerHeight;
    }

    function layout() {
      if (!explorer && root.isConnected) meet();
      const wide = explorer?.clientWidth || el.clientWidth, { width, height } = model.get("scene") ?? {};
      if (!wide || !width) return;
      const high = room() - 16 - (bar.hidden ? 0 : 34);
      scale = Math.min(wide / width, high / height, 1.25);
      if (panel) {
        explorer.classList.remove("vl-beside");
        panel.style.maxHeight = "";
        const side = 290, rows = Math.min(panel.scrollHeight || 170, Math.max(130, 0.3 * high));
        const below = Math.min(scale, (high - rows) / height);
        const next = Math.min(scale, (wide - side - 12) / width), beside = next > 0.97 * below;
        scale = beside ? next : below;
        explorer.classList.toggle("vl-beside", beside);
        panel.style.maxHeight = `${Math.floor(beside ? high : Math.max(rows, high - height * scale))}px`;
      }
      scale = Math.max(scale, 0.25);
      draw();
    }

    const watchers = [new ResizeObserver(layout), new MutationObserver(draw)];
    watchers[0].observe(el);
    watchers[1].observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-vscode-theme-kind"] });
    addEventListener("resize", layout, { signal });

    function watchDensity() { // of the screen, to another of which a window can be moved
      const density = matchMedia(`(resolution: ${devicePixelRatio}dppx)`);
      density.addEventListener("change", () => { layout(); watchDensity(); }, { signal, once: true });
    }
    watchDensity();

    // the explorer around the stage, which is not there before the stage has been drawn
    function meet() {
      explorer = el.closest(".vivit-lab-explorer");
      if (!explorer) return;
      panel = explorer.querySelector(".vl-controls");
      // Notebook 7 takes a key for a shortcut before the control that has the focus can hear it
      addEventListener("keydown", ({ target, key, ctrlKey, shiftKey, altKey, metaKey }) => {
        const own = CONTROL_KEYS.test(key) && !(ctrlKey || shiftKey || altKey || metaKey);
        if (explorer.contains(target)) target.toggleAttribute("data-lm-suppress-shortcuts", own);
      }, { capture: true, signal });
      let due = 0;
      const name = () => { due ||= requestAnimationFrame(() => { due = 0; nameControls(explorer); }); };
      watchers.push(new MutationObserver(name));
      const attributeFilter = ["title", "aria-valuetext", "class"];
      watchers.at(-1).observe(panel, { subtree: true, childList: true, characterData: true, attributeFilter });
      watchers[0].observe(explorer);
      name();
      // not in the middle of a drag, which it would move to another place
      const show = () => explorer.scrollIntoView({ block: "nearest" });
      explorer.addEventListener("focusin", (event) => event.target.matches(":focus-visible") && show());
      panel.addEventListener("click", (event) => event.target.closest("select") || show());
    }

    // a picture does not change any more when its kernel has ended: it must say so itself
    let met = false;
    const pulse = setInterval(() => {
      const kernel = model.widget_manager?.kernel;
      met ||= Boolean(kernel);
      const lives = !el.closest(".jupyter-widgets-disconnected") && (kernel ? kernel.status !== "dead" : !met);
      if (lives === lost.hidden) return;
      lost.textContent = `No kernel: this picture is of ${time}. Run the cell again.`;
      lost.hidden = lives;
    }, 1000);

    const heard = (message) => {
      if (!message.done) return;
      sent = 0;
      root.setAttribute("aria-busy", "false");
      if (waiting.length) tell(waiting.shift());
    };
    const changed = () => {
      const next = model.get("scene");
      if (scene && (next.width !== scene.width || next.height !== scene.height)) layout(); else draw();
    };
    model.on("msg:custom", heard);
    model.on("change:scene", changed);
    page.views.add(view);
    layout();
    return () => {
      play(false);
      cancelAnimationFrame(moving);
      clearInterval(pulse);
      watchers.forEach((watcher) => watcher.disconnect());
      ended.abort();
      page.views.delete(view);
      model.off("msg:custom", heard);
      model.off("change:scene", changed);
    };
  },
};
