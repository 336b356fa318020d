/** The page of one server: a use case chosen in the address (`#digits`), its form, and its answers. */
import {Api} from "./api.js";
import {answerView, problemView} from "./answer.js";
import {el, title, titles} from "./dom.js";
import {field} from "./fields.js";
import {keyForm} from "./key.js";

const page = document.getElementById("page");
const tabs = [...document.querySelectorAll("nav a[data-usecase]")];
const SOURCES = {packaged: "packaged with this server", bundle: "a bundle from disk"};
let shown = null;

async function show() {
  const wanted = decodeURIComponent(location.hash.slice(1));
  const tab = tabs.find((one) => one.dataset.usecase === wanted) || tabs[0];
  for (const one of tabs) one === tab ? one.setAttribute("aria-current", "page") : one.removeAttribute("aria-current");
  const usecase = tab.dataset.usecase;
  const api = new Api(usecase);
  shown = usecase;
  document.title = `${title(usecase)} · Slipway`;
  try {
    const [model, schema] = await Promise.all([api.model(), api.schema()]);
    if (shown === usecase) page.replaceChildren(...useCaseView(model, schema, api));
  } catch (problem) {
    if (shown === usecase) page.replaceChildren(problemView(problem), keyForm(problem, show) || el("button", {onclick: show}, "Try again"));
  }
}

function useCaseView(model, schema, api) {
  const outcome = el("div", {class: "outcome", "aria-live": "polite"}, el("p", {class: "hint"}, "The answer appears here."));
  return [
    heading(model, schema),
    el("div", {class: "columns"}, formView(schema, api, outcome), el("section", {"aria-label": "Answer"}, outcome)),
  ];
}

function heading(model, schema) {
  const facts = [`version ${model.version}`, schema.task, model.device, SOURCES[model.source]];
  return el(
    "div",
    {class: "heading"},
    el("h1", {}, title(schema.usecase || model.name)),
    el("p", {class: "facts"}, ...facts.filter(Boolean).map((fact) => el("span", {class: "chip"}, fact))),
    schema.synthetic || model.synthetic
      ? el("p", {class: "note"}, el("b", {}, "Synthetic: "), "this model learned from generated data. Decide nothing with it.")
      : null,
    model.gate && !model.gate.passed
      ? el("p", {class: "note"}, el("b", {}, "Its gates failed: "), `it is served as somebody decided. ${model.gate.override || ""}`)
      : null,
  );
}

function formView(schema, api, outcome) {
  const examples = schema.examples || [];
  const onlyImage = asked(schema).length === 1 && asked(schema)[0].kind === "image";
  const shown = titles(schema);
  const own = (row, name) => (Object.hasOwn(row, name) ? row[name] : null); // no row has Object's `constructor`
  const fields = asked(schema).map((feature) =>
    field(feature, shown.get(feature.name), examples.map((row) => own(row, feature.name)), () => onlyImage && send()),
  );
  const fill = (row) => fields.forEach((one) => (one.fill(own(row, one.name)), one.complain(null)));
  const send = () => submit(fields, schema, api, outcome);
  let turn = 0;
  if (examples.length) fill(examples[0]);
  const another = el("button", {type: "button", class: "plain", onclick: () => fill(examples[++turn % examples.length])}, "Another example");
  return el(
    "form",
    {class: "inputs", novalidate: true, onsubmit: (event) => (event.preventDefault(), send())},
    el("div", {class: onlyImage ? "single" : "grid"}, ...fields.map((one) => one.element)),
    el("div", {class: "actions"}, el("button", {}, "Predict"), examples.length > 1 && !onlyImage ? another : null),
  );
}

/** A private feature that is dropped is no input of the model, so nobody is asked for it. */
function asked(schema) {
  return schema.features.filter((feature) => feature.private !== "drop");
}

async function submit(fields, schema, api, outcome) {
  const values = [];
  for (const one of fields) {
    one.complain(null);
    try {
      values.push([one.name, one.read()]);
    } catch (error) {
      one.complain(error.message);
      one.focus();
      return;
    }
  }
  outcome.setAttribute("aria-busy", "true");
  const started = performance.now();
  try {
    const answer = await api.predict(Object.fromEntries(values)); // `instance.__proto__ = …` would set no property
    outcome.replaceChildren(answerView(schema, answer, performance.now() - started, api));
  } catch (problem) {
    const again = keyForm(problem, () => submit(fields, schema, api, outcome));
    outcome.replaceChildren(...[problemView(problem), again].filter(Boolean));
    complain(fields, problem.places || []);
  } finally {
    outcome.removeAttribute("aria-busy");
  }
}

/** Show each problem at the field that it names: `instances[0].age` is `age`, and `a.b` is rather `a.b` than `a`. */
function complain(fields, places) {
  const longestFirst = [...fields].sort((one, other) => other.name.length - one.name.length);
  const wrong = places.map(({place, message}) => {
    const at = longestFirst.find((one) => names(place || "", one.name));
    if (at) at.complain(message);
    return at;
  });
  wrong.find(Boolean)?.focus();
}

function names(place, feature) {
  const path = `instances[0].${feature}`;
  return place === path || place.startsWith(`${path}.`) || place.startsWith(`${path}[`);
}

addEventListener("hashchange", show);
show();
