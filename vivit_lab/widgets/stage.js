// The stage of every explorer: draws the commands of canvas.py at the screen's own resolution, lets
// the regions be hovered, pressed, dragged and reached by keys, and plays films, all in the browser.
// It also lays the explorer out, so that picture and controls are in sight together.

const MARGIN = 5; // as in canvas.py
const KEPT = 800; // pictures of a page
const NEAR = 9; // pixels from a curve that count as on it
const page = (globalThis.vivitLab ??= { pictures: new Map(), coming: new Set(), redraws: new Set() });

// ---- pictures and letters, which come once

async function keep(keys, buffers) {
  for (const key of keys) page.coming.add(key);
  await Promise.all(keys.map(async (key, i) => {
    if (key.startsWith("font")) {
      const weight = key === "font bold" ? "bold" : "normal";
      document.fonts.add(await new FontFace("ViViT Lab", buffers[i], { weight }).load());
      page.pictures.set(key, true);
    } else {
      page.pictures.set(key, await createImageBitmap(new Blob([buffers[i]])));
    }
  })).finally(() => keys.forEach((key) => page.coming.delete(key)));
  for (const key of [...page.pictures.keys()].slice(0, Math.max(0, page.pictures.size - KEPT)))
    if (!key.startsWith("font")) page.pictures.delete(key);
  for (const redraw of page.redraws) redraw();
}

function missing(scene) {
  const keys = new Set(["font", "font bold"]);
  for (const command of scene.commands) if (command[0] === "f") keys.add(command[1]);
  for (const film of scene.films) for (const key of film.keys) keys.add(key);
  return [...keys].filter((key) => !page.pictures.has(key));
}

// ---- drawing, one function a letter

function isDark() {
  const { jpThemeLight, vscodeThemeKind } = document.body.dataset;
  if (jpThemeLight) return jpThemeLight === "false";
  if (vscodeThemeKind) return vscodeThemeKind.includes("dark");
  return document.documentElement.getAttribute("theme") === "dark";
}

function painter(ctx, palette, place) {
  const colour = (code) => (palette[code.slice(0, 7)] ?? code.slice(0, 7)) + code.slice(7);
  const trace = (points, shift) => {
    ctx.beginPath();
    for (let i = 0; i < points.length; i += 2)
      ctx[i ? "lineTo" : "moveTo"](points[i] + shift, points[i + 1] + shift);
  };
  return {
    colour,
    f(key, sx, sy, sw, sh, x, y, width, height, fade, look, name) {
      const picture = page.pictures.get(key);
      [x, y, width, height] = place(name, x, y, width, height);
      const left = name ? x : Math.round(x), top = name ? y : Math.round(y);
      const right = name ? x + width : Math.round(x + width);
      const bottom = name ? y + height : Math.round(y + height);
      const box = [left, top, Math.max(1, right - left), Math.max(1, bottom - top)];
      ctx.save();
      ctx.imageSmoothingEnabled = !(look & 1);
      ctx.imageSmoothingQuality = "high";
      ctx.globalAlpha = 1 - fade;
      ctx.drawImage(picture, sx, sy, sw, sh, ...box);
      if (look & 2) { // without colour, then under a grey
        ctx.globalCompositeOperation = "saturation";
        ctx.fillStyle = "#808080";
        ctx.fillRect(...box);
        ctx.globalCompositeOperation = "source-over";
        ctx.fillStyle = "#3c3c3c66";
        ctx.fillRect(...box);
      }
      ctx.restore();
    },
    t(x, base, words, size, code, bold, side) {
      ctx.font = `${bold ? "bold " : ""}${size}px "ViViT Lab", "DejaVu Sans", sans-serif`;
      ctx.textAlign = { l: "left", m: "center", r: "right" }[side];
      ctx.fillStyle = colour(code);
      ctx.fillText(words, Math.round(x), Math.round(base));
    },
    b(x, y, width, height, fill, outline, line, radius, name) {
      [x, y, width, height] = place(name, x, y, width, height);
      ctx.beginPath();
      ctx.roundRect(x, y, width, height, radius);
      if (fill) { ctx.fillStyle = colour(fill); ctx.fill(); }
      if (!outline) return;
      ctx.beginPath();
      ctx.roundRect(x + line / 2, y + line / 2, width - line, height - line, radius);
      ctx.lineWidth = line;
      ctx.strokeStyle = colour(outline);
      ctx.stroke();
    },
    l(points, code, width) {
      trace(points, width % 2 ? 0.5 : 0);
      ctx.lineWidth = width;
      ctx.strokeStyle = colour(code);
      ctx.stroke();
    },
    "-"(x, y, width, code) {
      ctx.fillStyle = colour(code);
      for (let i = 0; i < width; i += 8) ctx.fillRect(x + i, y, Math.min(4, width - i), 1);
    },
    c(points, code, width, [left, top, right, bottom]) {
      ctx.save();
      ctx.beginPath();
      ctx.rect(left - MARGIN, top - MARGIN, right - left + 2 * MARGIN, bottom - top + 2 * MARGIN);
      ctx.clip();
      trace(points, 0);
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

// the box of cell (i, j) of a region
function cellBox(region, [i, j]) {
  let [x, y, width, height] = region.box;
  if (region.levels) return [region.places[i] - 5, region.levels[i] - 5, 10, 10];
  if (region.places) return [region.places[i] - 1, y, 2, height];
  if (region.across && i >= 0) { width /= region.across[1].length; x += i * width; }
  if (region.down && j >= 0) { height /= region.down[1].length; y += j * height; }
  return [x, y, width, height];
}

// how far above or below the curve of a region a place lies
function awayFrom({ places, levels }, x, y) {
  const i = places.findIndex((place) => place >= x);
  if (i <= 0) return Math.abs(y - (i ? levels.at(-1) : levels[0]));
  const share = (x - places[i - 1]) / (places[i] - places[i - 1]);
  return Math.abs(y - levels[i - 1] - share * (levels[i] - levels[i - 1]));
}

function hit(scene, x, y) {
  const under = scene.regions.filter(({ box: [left, top, width, height] }) =>
    x >= left && y >= top && x < left + width && y < top + height);
  const away = (region) => (region.levels ? awayFrom(region, x, y) : 0);
  const nearest = Math.min(NEAR, ...under.filter((each) => each.levels).map(away));
  const region = under.findLast((each) => away(each) <= nearest);
  if (!region) return null;
  const [left, top, width, height] = region.box, cell = [-1, -1], at = { ...region.at };
  for (const [axis, n] of axes(region)) {
    const [name, values] = region[axis];
    if (n === 0 && region.places) {
      const apart = region.places.map((place) => Math.abs(place - x));
      cell[0] = apart.indexOf(Math.min(...apart));
    } else {
      const share = n ? (y - top) / height : (x - left) / width;
      cell[n] = Math.min(values.length - 1, Math.floor(share * values.length));
    }
    at[name] = values[cell[n]];
  }
  return { region, cell, at };
}

// where a thing is seen: wherever no name that both have disagrees, and one at least agrees
function litBoxes(scene, at) {
  const boxes = [];
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
    else if (region.levels) region.places.forEach((_, i) => boxes.push(cellBox(region, [i, -1])));
  }
  return boxes;
}

function wordsOf({ region, cell, at }) {
  const wide = region.across ? region.across[1].length : 1;
  const value = region.values?.[Math.max(cell[1], 0) * wide + Math.max(cell[0], 0)];
  return region.says.replace(/\{(\w+)\}/g, (_, name) => (name === "value" ? value : at[name]) ?? "");
}

// ---- names and values of ipywidgets' controls for those who do not see them

function nameControls(explorer) {
  const set = (node, name, value) => value && node.getAttribute(name) !== value && node.setAttribute(name, value);
  for (const row of explorer.querySelectorAll(".widget-slider, .widget-hslider")) {
    const label = row.querySelector(".widget-label")?.textContent.trim();
    const value = row.querySelector(".widget-readout")?.textContent.trim();
    for (const handle of row.querySelectorAll(".noUi-handle")) {
      set(handle, "aria-label", label);
      set(handle, "aria-valuetext", value);
    }
    const readout = row.querySelector(".widget-readout[contenteditable]");
    if (readout) { set(readout, "aria-label", `${label}, as a number`); set(readout, "role", "textbox"); }
  }
  for (const node of explorer.querySelectorAll('[title="null"], [title=""]')) node.removeAttribute("title");
  for (const node of explorer.querySelectorAll("button:not([aria-label])"))
    if (!node.textContent.trim()) set(node, "aria-label", node.title);
}

// ---- the widget

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
    const bar = make("div", el, { className: "vl-bar", hidden: true, attributes: { role: "group", "aria-label": "Film" } });
    const said = make("div", el, { className: "vl-said", attributes: { "aria-live": "polite" } });
    let scene = null, scale = 1, before = new Map(), places = new Map(), began = 0, frame = 0;
    let hovered = null, dragging = false, busy = false, waiting = null, asked = "";

    // -- the picture

    const place = (name, ...box) => {
      if (!name) return box;
      places.set(name, box);
      const from = before.get(name), share = scene.animate ? (performance.now() - began) / scene.animate : 1;
      if (!from || share >= 1) return box;
      const eased = share * share * (3 - 2 * share);
      return box.map((to, i) => from[i] + (to - from[i]) * eased);
    };

    function draw() {
      const next = model.get("scene");
      if (!next?.commands) return;
      const wanted = missing(next).filter((key) => !page.coming.has(key));
      if (wanted.length && wanted.join() !== asked) model.send({ want: wanted });
      asked = wanted.join();
      if (missing(next).some((key) => !key.startsWith("font"))) return; // drawn when they have come
      if (next !== scene) { before = places; places = new Map(); began = performance.now(); }
      scene = next;
      for (const each of [canvas, overlay]) {
        each.width = Math.round(scene.width * scale * devicePixelRatio);
        each.height = Math.round(scene.height * scale * devicePixelRatio);
      }
      root.style.aspectRatio = `${scene.width} / ${scene.height}`;
      const ctx = canvas.getContext("2d");
      ctx.setTransform(canvas.width / scene.width, 0, 0, canvas.height / scene.height, 0, 0);
      const paint = painter(ctx, isDark() ? model.get("palette") : {}, place);
      ctx.fillStyle = paint.colour("#ffffff");
      ctx.fillRect(0, 0, scene.width, scene.height);
      for (const [letter, ...rest] of scene.commands) paint[letter](...rest);
      if (canvas.getAttribute("aria-label") !== scene.words) {
        canvas.setAttribute("aria-label", scene.words);
        if (document.activeElement === canvas) said.textContent = scene.words;
      }
      root.dataset.drawn = (Number(root.dataset.drawn) || 0) + 1; // counts pictures, for tests
      showBar();
      drawOver();
      if (scene.animate && performance.now() - began < scene.animate) requestAnimationFrame(draw);
    }

    function drawOver() {
      const ctx = overlay.getContext("2d");
      ctx.setTransform(overlay.width / scene.width, 0, 0, overlay.height / scene.height, 0, 0);
      ctx.clearRect(0, 0, scene.width, scene.height);
      const at = { ...(hovered?.at ?? {}) };
      if (frame !== null && started)
        for (const film of scene.films) {
          const i = Math.floor(frame * film.rate) % film.keys.length;
          ctx.imageSmoothingQuality = "high";
          ctx.drawImage(page.pictures.get(film.keys[i]), ...film.box);
          if (film.name) at[film.name] = film.values[i];
        }
      const paint = painter(ctx, isDark() ? model.get("palette") : {}, place);
      for (const [x, y, width, height] of litBoxes(scene, at)) {
        ctx.lineWidth = 4;
        ctx.strokeStyle = paint.colour("#ffffff") + "b0";
        ctx.strokeRect(x - 1, y - 1, width + 2, height + 2);
        ctx.lineWidth = 2;
        ctx.strokeStyle = paint.colour("#b3470a");
        ctx.strokeRect(x - 1, y - 1, width + 2, height + 2);
      }
      root.dataset.lit = JSON.stringify(at);
    }

    // -- hover, press, drag, keys

    // one message at a time: of the moves while the kernel is busy only the last is sent
    function tell(message) {
      if (busy) { waiting = message; return; }
      busy = true;
      model.send(message);
    }

    function where(event) {
      const box = canvas.getBoundingClientRect();
      return [(event.clientX - box.left) * scene.width / box.width, (event.clientY - box.top) * scene.height / box.height];
    }

    function hover(event) {
      if (!scene) return;
      const found = event && hit(scene, ...where(event));
      const changed = JSON.stringify(found?.at) !== JSON.stringify(hovered?.at);
      hovered = found;
      canvas.style.cursor = found?.region.press ? "pointer" : "default";
      const words = found ? wordsOf(found) : "";
      tip.hidden = !words;
      if (words) {
        tip.textContent = words;
        const box = root.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
        tip.style.left = `${Math.max(0, Math.min(x + 14, box.width - tip.offsetWidth))}px`;
        tip.style.top = `${y + 18 + tip.offsetHeight > box.height ? y - tip.offsetHeight - 8 : y + 18}px`;
      }
      if (changed) drawOver();
      return changed;
    }

    canvas.addEventListener("pointermove", (event) => {
      if (hover(event) && dragging && hovered?.region.press) tell({ press: hovered.at });
    });
    canvas.addEventListener("pointerdown", (event) => {
      hover(event);
      if (!hovered?.region.press) return;
      dragging = true;
      canvas.setPointerCapture(event.pointerId);
      tell({ press: hovered.at });
    });
    canvas.addEventListener("pointerup", () => { dragging = false; });
    canvas.addEventListener("pointerleave", () => hover(null));
    canvas.addEventListener("keydown", (event) => {
      const ways = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [1, -1], ArrowDown: [1, 1],
        PageUp: [2, -1], PageDown: [2, 1] };
      if (event.key === " " && !bar.hidden) play(!timer);
      else if (ways[event.key] && scene.keys) tell({ key: ways[event.key] });
      else return;
      event.preventDefault();
      event.stopPropagation(); // JupyterLab would go to another cell
    });

    // -- play

    let timer = 0, last = 0, started = false, waited = 0;
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
      bar.hidden = !(scene.films.length || scene.play.name);
      if (bar.hidden && timer) play(false);
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
      frame = ((Math.round(frame * rate) + (started ? steps : 0) + keys.length) % keys.length + 0.01) / rate;
      started = true;
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
      started = true;
      last = performance.now();
      waited = 0;
      if (scene.play.name && scene.play.values.at(-1) === scene.play.now) go(1, true);
      const tick = (now) => {
        const passed = (now - last) / 1000 * Number(speed.value);
        last = now;
        frame += passed;
        waited += passed;
        if (scene.films.length) drawOver();
        if (scene.play.name && waited > scene.play.seconds && !busy) { waited = 0; go(1, false); }
        if (on && timer && root.isConnected) timer = requestAnimationFrame(tick); else timer = 0;
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
      let fits = Math.min(wide / width, high / height, 1.25), beside = false;
      if (panel) {
        const [side, rows] = [290, Math.min(panel.scrollHeight || 170, Math.max(130, 0.3 * high))];
        const below = Math.min(wide / width, (high - rows) / height, 1.25);
        const next = Math.min((wide - side - 12) / width, high / height, 1.25);
        beside = next > 0.97 * below;
        fits = beside ? next : below;
        explorer.classList.toggle("vl-beside", beside);
        const left = beside ? high : Math.max(rows, high - height * fits);
        panel.style.maxHeight = `${Math.floor(left)}px`;
      }
      scale = Math.max(fits, 0.25);
      root.style.width = `${Math.floor(width * scale)}px`;
      draw();
    }

    const watchers = [new ResizeObserver(layout), new MutationObserver(draw)];
    watchers[0].observe(el);
    watchers[1].observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-vscode-theme-kind"] });
    addEventListener("resize", layout);

    // the explorer around the stage, which is not there before the stage has been drawn
    function meet() {
      explorer = el.closest(".vivit-lab-explorer");
      if (!explorer) return;
      panel = explorer.querySelector(".vl-controls");
      let due = 0;
      const name = new MutationObserver(() => {
        due ||= requestAnimationFrame(() => { due = 0; nameControls(explorer); });
      });
      name.observe(explorer, { subtree: true, childList: true, characterData: true });
      watchers.push(name);
      watchers[0].observe(explorer);
      nameControls(explorer);
      explorer.addEventListener("focusin", (event) => { // not of a mouse: a scroll would lose its click
        if (event.target.matches(":focus-visible")) explorer.scrollIntoView({ block: "nearest" });
      });
    }

    const heard = (message) => {
      if (!message.done) return;
      busy = false;
      if (waiting) { const next = waiting; waiting = null; tell(next); }
    };
    const resized = () => {
      const next = model.get("scene");
      if (scene && (next.width !== scene.width || next.height !== scene.height)) layout(); else draw();
    };
    model.on("msg:custom", heard);
    model.on("change:scene", resized);
    page.redraws.add(draw);
    layout();
    return () => {
      play(false);
      watchers.forEach((watcher) => watcher.disconnect());
      removeEventListener("resize", layout);
      page.redraws.delete(draw);
      model.off("msg:custom", heard);
      model.off("change:scene", resized);
    };
  },
};
