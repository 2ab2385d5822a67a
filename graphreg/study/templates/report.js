
"use strict";
(() => {
  document.documentElement.classList.add("js");

  // Tables: the header of a column sorts by it, numbers as numbers, empty cells last.
  for (const table of document.querySelectorAll("table.sortable")) {
    const headers = [...table.tHead.rows[0].cells];
    const number = (text) => (text.trim() === "" ? NaN : Number(text));
    headers.forEach((header, column) => {
      header.querySelector("button").addEventListener("click", () => {
        const falling = header.getAttribute("aria-sort") === "ascending";
        const value = (row) => row.cells[column].dataset.value;
        const empty = (text) => text === "" || text.toLowerCase() === "nan";
        const compare = (a, b) => {
          if (empty(a) || empty(b)) return empty(a) - empty(b);
          const [m, n] = [number(a), number(b)];
          const order = isNaN(m) || isNaN(n) ? a.localeCompare(b, "en", { numeric: true }) : m - n;
          return falling ? -order : order;
        };
        const body = table.tBodies[0];
        body.append(...[...body.rows].sort((a, b) => compare(value(a), value(b))));
        headers.forEach((other) => other.removeAttribute("aria-sort"));
        header.setAttribute("aria-sort", falling ? "descending" : "ascending");
      });
    });
  }

  // Views: fixed image in red and the moving one, mixed of before and after, in cyan; or both in squares.
  const SQUARE = 5; // two to the power of this many pixels
  const greyOf = async (image) => {
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height).data.filter((_, i) => i % 4 === 0);
  };
  const showViews = async (figure) => {
    const canvas = figure.querySelector("canvas");
    const [blend, checker] = [figure.querySelector(".blend"), figure.querySelector(".checker")];
    const layer = (name) => greyOf(figure.querySelector(`[data-layer="${name}"]`));
    const [fixed, before, after] = [await layer("fixed"), await layer("before"), await layer("after")];
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(canvas.width, canvas.height);
    const draw = () => {
      const share = blend.value / 100;
      const squares = checker.checked;
      for (let p = 0, at = 0; p < fixed.length; p++, at += 4) {
        const other = before[p] + share * (after[p] - before[p]);
        const odd = squares && (((p % canvas.width) >> SQUARE) + (Math.floor(p / canvas.width) >> SQUARE)) % 2;
        const first = squares && odd ? other : fixed[p];
        const rest = squares ? first : other;
        pixels.data[at] = first;
        pixels.data[at + 1] = pixels.data[at + 2] = rest;
        pixels.data[at + 3] = 255;
      }
      context.putImageData(pixels, 0, 0);
      blend.setAttribute("aria-valuetext", `${blend.value} % of the way from before to after`);
      figure.dataset.drawn = `${blend.value} ${squares}`;
    };
    blend.addEventListener("input", draw);
    checker.addEventListener("change", draw);
    draw();
  };
  (async () => {
    for (const figure of document.querySelectorAll(".views")) await showViews(figure);
  })();

  // Keypoints: turned about the axis of the body, then tipped; the nearer the brighter.
  const RAMP = [[80, 150, 255], [120, 230, 160], [255, 225, 90], [255, 110, 70]];
  const colour = (share, light) => {
    const at = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1);
    const low = Math.min(Math.floor(at), RAMP.length - 2);
    const mixed = RAMP[low].map((value, i) => Math.round((value + (at - low) * (RAMP[low + 1][i] - value)) * light));
    return `rgb(${mixed.join(" ")})`;
  };
  const FRONT = { turn: 0, tip: 0, zoom: 1 };
  const showCloud = (figure) => {
    const canvas = figure.querySelector("canvas");
    const { values, longest_mm } = JSON.parse(figure.querySelector("script").textContent);
    const context = canvas.getContext("2d");
    const { width, height } = canvas;
    const view = { ...FRONT };
    let reach = 1;
    for (let i = 0; i < values.length; i += 6) {
      const [x, y, z, dx, dy, dz] = values.slice(i, i + 6);
      reach = Math.max(reach, Math.hypot(x, y, z), Math.hypot(x + dx, y + dy, z + dz));
    }
    let waiting = false;
    const draw = () => {
      waiting = false;
      const scale = (0.46 * height * view.zoom) / reach;
      const [ct, st, cp, sp] = [Math.cos(view.turn), Math.sin(view.turn), Math.cos(view.tip), Math.sin(view.tip)];
      const project = (x, y, z) => {
        const across = x * ct - y * st;
        const away = x * st + y * ct;
        return [width / 2 + scale * across, height / 2 - scale * (z * cp + away * sp), away * cp - z * sp];
      };
      const marks = [];
      for (let i = 0; i < values.length; i += 6) {
        const [x, y, z, dx, dy, dz] = values.slice(i, i + 6);
        marks.push([project(x, y, z), project(x + dx, y + dy, z + dz), Math.hypot(dx, dy, dz) / (10 * longest_mm)]);
      }
      marks.sort((a, b) => b[0][2] - a[0][2]);
      context.clearRect(0, 0, width, height);
      context.lineWidth = 1.2;
      for (const [from, to, share] of marks) {
        const near = (reach - from[2]) / (2 * reach);
        context.strokeStyle = context.fillStyle = colour(share, 0.45 + 0.55 * Math.min(Math.max(near, 0), 1));
        context.beginPath();
        context.moveTo(from[0], from[1]);
        context.lineTo(to[0], to[1]);
        context.stroke();
        context.fillRect(from[0] - 1.5, from[1] - 1.5, 3, 3);
      }
      compass(ct, st, cp, sp);
    };
    const compass = (ct, st, cp, sp) => {
      const [x, y, arm] = [54, height - 54, 34];
      context.strokeStyle = context.fillStyle = "#c9d1d9";
      context.font = "12px system-ui, sans-serif";
      context.textAlign = "center";
      context.textBaseline = "middle";
      for (const [name, across, up] of [["L", ct, st * sp], ["P", -st, ct * sp], ["S", 0, cp]]) {
        context.beginPath();
        context.moveTo(x, y);
        context.lineTo(x + arm * across, y - arm * up);
        context.stroke();
        context.fillText(name, x + 1.3 * arm * across, y - 1.3 * arm * up);
      }
    };
    const change = (turn, tip, zoom = 1) => {
      view.turn += turn;
      view.tip = Math.min(Math.max(view.tip + tip, -Math.PI / 2), Math.PI / 2);
      view.zoom = Math.min(Math.max(view.zoom * zoom, 0.3), 8);
      redraw();
    };
    const redraw = () => {
      figure.dataset.view = [view.turn, view.tip, view.zoom].map((value) => value.toFixed(3)).join(" ");
      if (!waiting) requestAnimationFrame(draw);
      waiting = true;
    };
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      if (canvas.hasPointerCapture(event.pointerId)) change(event.movementX / 150, event.movementY / 150);
    });
    const keys = {
      ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1],
      "+": [0, 0, 1.15], "=": [0, 0, 1.15], "-": [0, 0, 1 / 1.15],
    };
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Home") Object.assign(view, FRONT);
      else if (!(event.key in keys)) return;
      event.preventDefault();
      change(...(keys[event.key] ?? [0, 0]));
    });
    redraw();
  };
  document.querySelectorAll(".cloud").forEach(showCloud);
})();
