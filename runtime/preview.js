"use strict";
// Shows what `edge run` sees. /frames sends one message a frame, without an end: the length of its
// JSON (4 bytes, big endian), the length of its JPEG (likewise), the JSON, the JPEG.

const HISTORY = 120;
const STAGES = ["capture", "detect", "crop", "classify", "total"];
// Without the name and password that the address of the page may hold: requests may not have them.
const ROOT = location.origin + location.pathname;
const NOTICE_MS = 5000;
const at = (id) => document.getElementById(id);
const history = Object.fromEntries(STAGES.map((name) => [name, []]));
const picture = at("picture");
let paused = false;
let noticed = 0;

function number(value, digits = 0, unit = "") {
  return value === null || value === undefined ? "–" : value.toFixed(digits) + unit;
}

function drawFaces(pen, told, scale) {
  const line = Math.max(2, picture.width / 320);
  const size = Math.max(14, picture.width / 36);
  pen.lineWidth = line;
  pen.font = `600 ${size}px system-ui, sans-serif`;
  pen.textBaseline = "top";
  for (const face of told.faces) {
    const [x, y, width, height] = face.box.map((value) => value * scale);
    pen.strokeStyle = "#4cd3a0";
    pen.strokeRect(x, y, width, height);
    const words = face.labels.length ? face.labels.join(", ") : "–";
    const wide = pen.measureText(words).width + size / 2;
    const top = y > size * 1.3 ? y - size * 1.3 : y + height;
    pen.fillStyle = "#4cd3a0";
    pen.fillRect(x - line / 2, top, wide, size * 1.3);
    pen.fillStyle = "#06281c";
    pen.fillText(words, x + size / 4, top + size * 0.15);
  }
}

async function drawPicture(told, jpeg) {
  const bitmap = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
  if (picture.width !== bitmap.width || picture.height !== bitmap.height) {
    picture.width = bitmap.width;
    picture.height = bitmap.height;
  }
  const pen = picture.getContext("2d");
  pen.drawImage(bitmap, 0, 0);
  drawFaces(pen, told, bitmap.width / told.size[0]);
  bitmap.close();
}

function drawSparkline(canvas, values) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * ratio;
  canvas.height = canvas.clientHeight * ratio;
  const pen = canvas.getContext("2d");
  // One slow frame would make a flat line of all others: it is cut off.
  const usual = [...values].sort((one, other) => one - other)[Math.floor(values.length * 0.9)];
  const most = Math.max(1.5 * usual, 1e-6);
  pen.strokeStyle = getComputedStyle(canvas).color;
  pen.lineWidth = ratio;
  pen.beginPath();
  values.forEach((value, place) => {
    const x = (place / (HISTORY - 1)) * canvas.width;
    pen.lineTo(x, canvas.height - 1 - Math.min(value / most, 1) * (canvas.height - 2));
  });
  pen.stroke();
}

function showStages(latency) {
  for (const name of STAGES) {
    const values = history[name];
    values.push(latency[name]);
    if (values.length > HISTORY) values.shift();
    let row = at(`stage-${name}`);
    if (!row) {
      row = at("stages").insertRow();
      row.id = `stage-${name}`;
      row.innerHTML = "<th></th><td><canvas aria-hidden='true'></canvas></td><td></td>";
      row.cells[0].textContent = name;
    }
    row.cells[2].textContent = latency[name].toFixed(2);
    drawSparkline(row.querySelector("canvas"), values);
  }
}

function showFaces(faces) {
  at("faces").replaceChildren(...faces.map((face) => {
    const item = document.createElement("li");
    if (face.id) item.append(`#${face.id} `);
    Object.entries(face.attributes).forEach(([name, value], place) => {
      const held = face.labels.includes(name);
      const word = document.createElement(held ? "b" : "span");
      word.textContent = `${name} ${value.toFixed(2)}`;
      item.append(place ? ", " : "", word);
    });
    return item;
  }));
}

function showFigures(told) {
  at("fps").textContent = number(told.fps, 1);
  at("age").textContent = number(told.age_ms, 0, " ms");
  at("dropped").textContent = number(told.dropped);
  const hot = at("temperature");
  hot.textContent = number(told.temperature_c, 0, " °C") + (told.throttled ? ", throttled" : "");
  hot.classList.toggle("alarm", Boolean(told.throttled));
}

function notice(words) {
  at("notice").textContent = words;
  noticed = performance.now();
}

function showState(state) {
  paused = state.paused;
  at("pause").textContent = paused ? "Start" : "Stop";
  at("source").textContent = state.source;
  at("model").textContent = `${state.model} on ${state.runtime}`;
  const detector = at("detector");
  if (detector.length !== state.detectors.length) {
    detector.replaceChildren(...state.detectors.map((name) => new Option(name, name)));
  }
  if (document.activeElement !== detector) detector.value = state.detector;
  const thresholds = at("thresholds");
  const sliders = [...thresholds.querySelectorAll("input")];
  if (sliders.map((slider) => slider.name).join() === Object.keys(state.thresholds).join()) {
    for (const slider of sliders.filter((one) => one !== document.activeElement)) {
      slider.value = state.thresholds[slider.name];
      slider.previousElementSibling.textContent = Number(slider.value).toFixed(2);
    }
    return;
  }
  thresholds.replaceChildren();
  for (const [name, value] of Object.entries(state.thresholds)) {
    const label = document.createElement("label");
    const slider = Object.assign(document.createElement("input"),
      { type: "range", min: 0, max: 1, step: 0.01, value, name });
    const told = document.createElement("output");
    told.textContent = value.toFixed(2);
    slider.addEventListener("input", () => { told.textContent = Number(slider.value).toFixed(2); });
    slider.addEventListener("change", () => change({ thresholds: { [name]: Number(slider.value) } }));
    label.append(`${name} from `, told, slider);
    thresholds.append(label);
  }
}

async function change(what) {
  document.activeElement.blur();
  try {
    const answer = await fetch(ROOT + "control", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(what),
    });
    const told = await answer.json();
    if (answer.ok) showState(told);
    else notice(told.error);
  } catch {
    notice("the run did not answer");
  }
}

// Yields whole messages out of the pieces in which the network hands them over.
async function* messages(body) {
  const reader = body.getReader();
  let held = new Uint8Array(0);
  while (true) {
    const { done, value } = await reader.read();
    if (done) return;
    const joined = new Uint8Array(held.length + value.length);
    joined.set(held);
    joined.set(value, held.length);
    held = joined;
    while (held.length >= 8) {
      const head = new DataView(held.buffer, held.byteOffset, 8);
      const json = head.getUint32(0);
      const end = 8 + json + head.getUint32(4);
      if (held.length < end) break;
      yield [JSON.parse(new TextDecoder().decode(held.subarray(8, 8 + json))), held.slice(8 + json, end)];
      held = held.slice(end);
    }
  }
}

async function watch() {
  showState(await (await fetch(ROOT + "state")).json());
  const answer = await fetch(ROOT + "frames");
  for await (const [told, jpeg] of messages(answer.body)) {
    await drawPicture(told, jpeg);
    showFigures(told);
    showState(told.state);
    showStages(told.latency_ms);
    showFaces(told.faces);
    if (performance.now() - noticed > NOTICE_MS) at("notice").textContent = "";
    document.dispatchEvent(new CustomEvent("edge-frame", { detail: told }));
  }
}

async function watchForever() {
  while (true) {
    try {
      await watch();
      at("notice").textContent = "the run has ended";
    } catch (error) {
      at("notice").textContent = "no connection; trying again";
    }
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

at("pause").addEventListener("click", () => change({ paused: !paused }));
at("detector").addEventListener("change", (event) => change({ detector: event.target.value }));
at("screenshot").addEventListener("click", () => {
  const link = document.createElement("a");
  link.download = `edge-${new Date().toISOString().replace(/[:.]/g, "-")}.png`;
  link.href = picture.toDataURL("image/png");
  link.click();
});
watchForever();
