"""Double of kubectl and a cluster without controllers, as far as a delivery uses them.

It is called as `kubectl_double.py REAL STATE ARGS`.

REAL renders kustomizations. STATE is a JSON file: `objects` by kind, namespace and name; `namespaces`; `secrets` with
their keys; and what goes wrong: images that do not become ready (`stuck`) or fail their smoke test (`failing`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

REAL, PATH = sys.argv[1], Path(sys.argv[2])
STATE: dict[str, Any] = json.loads(PATH.read_text())


def fail(message: str) -> None:
    sys.exit(f"error: {message}")


def answer(text: str) -> None:
    sys.stdout.write(f"{text}\n" if text else "")


def key(kind: str, namespace: str, name: str) -> str:
    return f"{kind.lower()}/{namespace}/{name}"


def store(found: dict[str, Any], namespace: str) -> None:
    metadata = found["metadata"]
    at = key(found["kind"], metadata.setdefault("namespace", namespace), metadata["name"])
    STATE["revision"] += 1
    STATE["objects"][at] = found | {"metadata": metadata | {"resourceVersion": str(STATE["revision"])}}


def stored(kind: str, namespace: str, name: str) -> dict[str, Any] | None:
    return STATE["objects"].get(key(kind, namespace, name))


def documents(text: str) -> list[dict[str, Any]]:
    found = json.loads(text)
    return found["items"] if found["kind"] == "List" else [found]


def rendered(folder: str) -> str:
    return subprocess.run([REAL, "kustomize", folder], capture_output=True, text=True, check=True).stdout


def images(found: dict[str, Any]) -> list[str]:
    pod = found["spec"]["template"]["spec"]
    return [one["image"] for one in (*pod.get("initContainers", ()), *pod["containers"])]


def apply(namespace: str, args: list[str]) -> None:
    if args[0] == "--kustomize":
        text = rendered(args[1])
        image = next(line.split()[-1] for line in text.splitlines() if " image: " in line)
        pod = {"containers": [{"image": image}]}
        job = {"kind": "Job", "metadata": {"name": "smoke", "namespace": namespace_of(text)}}
        if stored("Job", job["metadata"]["namespace"], "smoke"):
            fail("Job.batch smoke is invalid: field is immutable")
        store(job | {"spec": {"template": {"spec": pod}}}, namespace)
        return
    for found in documents(sys.stdin.read()):
        store(found, namespace)


def namespace_of(text: str) -> str:
    return next(line.split()[-1] for line in text.splitlines() if line.startswith("  namespace: "))


def create(namespace: str, _: list[str]) -> None:
    (found,) = documents(sys.stdin.read())
    name = found["metadata"]["name"]
    if stored(found["kind"], namespace, name):
        fail(f'(AlreadyExists): configmaps "{name}" already exists')
    store(found, namespace)


def replace(namespace: str, _: list[str]) -> None:
    (found,) = documents(sys.stdin.read())
    current = stored(found["kind"], namespace, found["metadata"]["name"])
    if not current or current["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
        fail("(Conflict): the object has been modified; please apply your changes to the latest version")
    store(found, namespace)


def delete(namespace: str, args: list[str]) -> None:
    STATE["objects"].pop(key(args[0], namespace, args[1]), None)


def get(namespace: str, args: list[str]) -> None:
    kind, name = args[0], args[1]
    if kind == "namespace":
        answer(f"namespace/{name}" if name in STATE["namespaces"] else "")
    elif kind == "secret":
        keys = STATE["secrets"].get(name)
        sys.stdout.write("" if keys is None else " ".join(keys) + ".")
    elif kind == "deployments":
        items = [found for at, found in STATE["objects"].items() if at.startswith(f"deployment/{namespace}/")]
        answer(json.dumps({"items": items}))
    elif kind == "pods":
        waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
        status = {"containerStatuses": [{"name": "service", "state": {"waiting": waiting}}]}
        answer(json.dumps({"items": [{"status": status}]}))
    elif kind == "job":
        job = stored("job", namespace, name)
        answer(json.dumps({"status": {"failed": 1} if fails(job) else {"succeeded": 1}}))
    else:
        found = stored(kind, namespace, name)
        answer(json.dumps(found) if found else "")


def fails(job: dict[str, Any] | None) -> bool:
    return job is None or any(image in STATE.get("failing", ()) for image in images(job))


def logs(namespace: str, _: list[str]) -> None:
    if fails(stored("job", namespace, "smoke")):
        answer("ok        loans live\nfailed    loans latency    73 ms\nhttp://serving:3000: failed, 1 of 2 checks")
    else:
        answer("http://serving:3000: passed")


def rollout(namespace: str, args: list[str]) -> None:
    name = args[1].partition("/")[2]
    found = stored("deployment", namespace, name)
    if found is None:
        fail(f'deployments.apps "{name}" not found')
    elif set(images(found)) & set(STATE.get("stuck", ())):
        fail(f'deployment "{name}" exceeded its progress deadline')


def main(args: list[str]) -> None:
    if args[0] == "kustomize":
        answer(rendered(args[1]))
        return
    namespace = "default"
    if args[0] == "--namespace":
        namespace, args = args[1], args[2:]
    globals()[args[0]](namespace, args[1:])
    PATH.write_text(json.dumps(STATE))


if __name__ == "__main__":
    main(sys.argv[3:])
