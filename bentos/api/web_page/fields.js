/**
 * One field of the form for one feature of the schema. Each has `element`, `read()` (null where it is empty),
 * `fill(value)` and `complain(message)`; an image's tells `changed` when a picture was chosen.
 */
import {el, figure} from "./dom.js";
import {imageControl} from "./image.js";

export function field(feature, shown, examples, changed) {
  const name = encodeURIComponent(feature.name);
  const [id, hintId, problemId] = [`field-${name}`, `hint-${name}`, `problem-${name}`];
  const control = controlFor(feature, id, examples, changed);
  const problem = el("p", {class: "problem", id: problemId, hidden: true});
  const hint = hintFor(feature);
  control.target.setAttribute("aria-describedby", `${hintId} ${problemId}`);
  const element = el(
    "div",
    {class: `field ${feature.kind}`},
    el("label", {for: id, title: feature.name}, shown),
    control.element,
    el("p", {class: "hint", id: hintId}, hint),
    problem,
  );
  return {
    name: feature.name,
    element,
    read: control.read,
    fill: control.fill,
    focus: () => control.target.focus(),
    complain(message) {
      problem.textContent = message || "";
      problem.hidden = !message;
      element.classList.toggle("wrong", Boolean(message));
      control.target.setAttribute("aria-invalid", String(Boolean(message)));
    },
  };
}

function controlFor(feature, id, examples, changed) {
  if (feature.private === "token") return text(feature, id);
  if (feature.kind === "image") return imageControl(feature, id, examples, changed);
  if (feature.kind === "boolean") return choice(feature, id, [["true", "yes", true], ["false", "no", false]]);
  if (feature.kind === "number" || feature.kind === "integer") return number(feature, id);
  if (feature.vocabulary) return choice(feature, id, feature.vocabulary.map((word) => [word, word, word]));
  return text(feature, id);
}

function hintFor(feature) {
  const parts = [];
  if (feature.description) parts.push(feature.description);
  if (feature.range) parts.push(`${figure(feature.range[0], 9)} to ${figure(feature.range[1], 9)}`);
  if (feature.kind === "image") parts.push(`read as ${feature.size[1]} × ${feature.size[0]} pixels`);
  if (feature.private) parts.push("masked before anything keeps it");
  if (feature.nullable) parts.push("may be empty");
  return parts.join(" · ");
}

function number(feature, id) {
  const step = feature.kind === "integer" ? "1" : "any";
  const input = el("input", {id, type: "number", step, inputmode: feature.kind === "integer" ? "numeric" : "decimal"});
  return {
    element: el("div", {class: "measure"}, input, feature.unit ? el("span", {class: "unit"}, feature.unit) : null),
    target: input,
    read() {
      if (input.validity.badInput) throw new Error("This is not a number.");
      return input.value === "" ? null : Number(input.value);
    },
    fill: (value) => (input.value = value ?? ""),
  };
}

/** A select over [key, words, value] triples, with an empty choice first: what is missing is said, never guessed. */
function choice(feature, id, options) {
  const values = new Map(options.map(([key, , value]) => [key, value]));
  const empty = el("option", {value: ""}, feature.nullable ? "(empty)" : "(choose)");
  const select = el("select", {id}, empty, ...options.map(([key, words]) => el("option", {value: key}, words)));
  return {
    element: select,
    target: select,
    read: () => (select.value === "" ? null : values.get(select.value)),
    fill(value) {
      const key = value === null || value === undefined ? "" : String(value);
      if (key && !values.has(key)) {
        values.set(key, value);
        select.append(el("option", {value: key}, key));
      }
      select.value = key;
    },
  };
}

/** Free text: a category without a vocabulary, or a value that will be masked; an example's token tells nobody anything. */
function text(feature, id) {
  const input = el("input", {id, type: "text", autocomplete: "off"});
  const numeric = () => ["number", "integer"].includes(feature.kind) && Number.isFinite(Number(input.value));
  return {
    element: input,
    target: input,
    read: () => (input.value === "" ? null : numeric() ? Number(input.value) : input.value),
    fill: (value) => (input.value = feature.private ? "" : (value ?? "")),
  };
}
