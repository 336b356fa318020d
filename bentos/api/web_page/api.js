import {authorization} from "./key.js";

/** An answer that is an error: problem+json (RFC 9457), with the fields that it names. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The server answered ${status}.`);
    this.status = status;
    this.title = body.title || "Error";
    this.trace = body.trace_id;
    this.places = body.errors || (body.place ? [{place: body.place, message: body.detail}] : []);
  }
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, {...options, headers: {...options.headers, ...authorization()}});
  } catch {
    throw new Problem(0, {title: "No response", detail: "The server does not respond. Is it still running?"});
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Problem(response.status, body);
  return body;
}

function post(path, body, headers = {}) {
  const all = {"Content-Type": "application/json", ...headers};
  return ask(path, {method: "POST", headers: all, body: JSON.stringify(body)});
}

/** The server takes a prediction for a test if its values are those of an example: it counts in no statistics. */
const TEST = {"X-Slipway-Test": "true"};

/** The routes of one use case, relative to the page: a proxy may publish the service under a path. */
export class Api {
  constructor(usecase) {
    this.root = `v1/models/${encodeURIComponent(usecase)}`;
  }

  model() {
    return ask(this.root);
  }

  schema() {
    return ask(`${this.root}/schema`);
  }

  predict(instance) {
    return post(`${this.root}/predict`, {instances: [instance]}, TEST);
  }

  feedback(entry) {
    return post(`${this.root}/feedback`, {feedback: [entry]});
  }
}
