/** The visitor's credential: kept for this tab alone (sessionStorage), and sent with each request where there is one. */
import {el} from "./dom.js";

const KEPT = "slipway.key";

export function authorization() {
  const key = sessionStorage.getItem(KEPT);
  return key ? {Authorization: `Bearer ${key}`} : {};
}

/** Asks for a key where the server wants one, or another one; null where the problem is none of that kind. */
export function keyForm(problem, retry) {
  if (problem.status !== 401 && problem.status !== 403) return null;
  const control = el("input", {id: "key", type: "password", autocomplete: "off", spellcheck: "false", required: true});
  const use = (event) => {
    event.preventDefault();
    sessionStorage.setItem(KEPT, control.value.trim());
    retry();
  };
  return el(
    "form",
    {class: "key inputs", onsubmit: use},
    el("label", {for: "key"}, "API key"),
    el("div", {}, control, el("button", {}, "Use it")),
    el("p", {class: "hint"}, "It needs the scope predict. This tab forgets it when it is closed."),
  );
}
