"""Rules for every manifest that is applied, checked on the output of kustomize."""

from __future__ import annotations

import os
import re
import tomllib
from unittest import mock

import pytest

from slipway.settings import settings
from tests.infra.kubernetes.manifests import COMPONENTS, FOLDER, Pod, of_kind, one, pods

SECRETS = {  # by name, the keys that docs/how-to/deploy-on-kubernetes.md creates
    "slipway": {"mask-key", "api-key", "keys.json", "prefect-login", "alert-secret"},
    "slipway-mlflow": {"admin", "serving", "watch", "flow-run"},
    "slipway-databases": {"mlflow", "prefect"},
    "slipway-database-admin": {"login.json"},
    "slipway-signing": {"signing.pem"},
    "slipway-trusted": {"signing.pub.pem"},
    "serving-tls": {"tls.crt"},
    "slipway-s3": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"},
}
SERVICES = ("serving", "watch", "flow-run")  # users of MLflow
GRACE_SECONDS = 30  # that `slipway serve` gives the service (bentos/launcher/launcher.py)
PRIVILEGED = {"slipway-volumes", "nvidia-device-plugin"}
OUTSIDE = {"ingress-nginx", "prometheus", "alertmanager", "kube-dns"}  # pods of others, in namespaces of their own


def matches(selector: dict, pod: Pod) -> bool:
    return selector.get("matchLabels", {}).items() <= pod.labels.items()


def references(pod: Pod, kind: str) -> list[tuple[str, str | None, bool]]:
    """List name, key (None: all) and optionality of each ConfigMap or Secret that the pod references."""
    field, volume, name = {
        "ConfigMap": ("configMap", "configMap", "name"),
        "Secret": ("secret", "secret", "secretName"),
    }[kind]
    found = []
    for container in pod.containers:
        for entry in container.get("envFrom", []):
            if reference := entry.get(f"{field}Ref"):
                found.append((reference["name"], None, reference.get("optional", False)))
        for entry in container.get("env", []):
            if reference := entry.get("valueFrom", {}).get(f"{field}KeyRef"):
                found.append((reference["name"], reference["key"], reference.get("optional", False)))
    for entry in pod.spec.get("volumes", []):
        sources = [(entry.get(volume), name)]
        sources += [(source.get(field), "name") for source in entry.get("projected", {}).get("sources", [])]
        for source, key in sources:
            if source:
                items = source.get("items", [{"key": None}])
                found += [(source[key], item["key"], source.get("optional", False)) for item in items]
    return found


def ports(container: dict) -> set[str | int]:
    return {port[key] for port in container.get("ports", []) for key in ("name", "containerPort") if key in port}


def test_every_container_has_requests_and_a_limit_of_memory(manifests):
    for pod in pods(manifests):
        for container in pod.containers:
            resources = container.get("resources", {})
            assert {"cpu", "memory"} <= resources.get("requests", {}).keys(), f"{pod.name}/{container['name']}"
            assert "memory" in resources.get("limits", {}), f"{pod.name}/{container['name']}"


def test_every_container_is_confined(manifests):
    for pod in pods(manifests):
        assert pod.spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, pod.name
        for container in pod.containers:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, f"{pod.name}/{container['name']}"
            assert context["readOnlyRootFilesystem"] is True, f"{pod.name}/{container['name']}"
            assert context["capabilities"]["drop"] == ["ALL"], f"{pod.name}/{container['name']}"


def test_nobody_but_who_mounts_a_folder_of_the_node_is_root(manifests):
    for pod in pods(manifests):
        if pod.namespace in PRIVILEGED:
            assert any("hostPath" in volume for volume in pod.spec["volumes"]), pod.name
        else:
            assert pod.spec["securityContext"]["runAsNonRoot"] is True, pod.name
            assert not any("hostPath" in volume for volume in pod.spec.get("volumes", [])), pod.name


def test_only_the_worker_of_prefect_has_a_token_and_rights(manifests):
    for pod in pods(manifests):
        assert pod.spec["automountServiceAccountToken"] is (pod.name == "prefect-worker"), pod.name
    bound = [subject for binding in of_kind(manifests, "RoleBinding") for subject in binding["subjects"]]
    people = [subject["name"] for subject in bound if subject["kind"] == "Group"]
    assert {subject["name"] for subject in bound if subject["kind"] != "Group"} <= {"prefect-worker"}
    assert set(people) <= {"slipway-deployers"}
    assert not of_kind(manifests, "ClusterRole", "ClusterRoleBinding")
    assert not any("*" in str(role["rules"]) for role in of_kind(manifests, "Role"))


def test_no_service_of_the_namespace_becomes_a_setting(manifests):
    """kubelet would set MLFLOW_PORT=tcp://… for a Service called mlflow, which `mlflow server` reads."""
    for pod in pods(manifests):
        assert pod.spec["enableServiceLinks"] is False, pod.name


def test_namespaces_hold_pods_to_restricted_except_where_a_folder_of_the_node_is_mounted(manifests):
    for namespace in of_kind(manifests, "Namespace"):
        name, labels = namespace["metadata"]["name"], namespace["metadata"]["labels"]
        expected = "privileged" if name in PRIVILEGED else "restricted"
        assert labels["pod-security.kubernetes.io/enforce"] == expected, name


def test_probes_use_declared_ports(manifests):
    for pod in pods(manifests):
        for container in pod.containers:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                if request := container.get(probe, {}).get("httpGet"):
                    assert request["port"] in ports(container), f"{pod.name}/{container['name']} {probe}"


def test_every_server_has_the_three_probes(overlay):
    for manifest in of_kind(overlay, "Deployment"):
        for container in manifest["spec"]["template"]["spec"]["containers"]:
            if container.get("ports") and manifest["metadata"]["name"] != "prefect-worker":
                assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys(), container["name"]


def test_services_select_existing_pods_and_ports(overlay):
    for service in of_kind(overlay, "Service"):
        found = [pod for pod in pods(overlay) if service["spec"]["selector"].items() <= pod.labels.items()]
        assert found, service["metadata"]["name"]
        for pod in found:
            offered = set().union(*(ports(container) for container in pod.containers))
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= offered, service["metadata"]["name"]


def test_no_service_selects_a_flow_run(overlay):
    (run,) = [pod for pod in pods(overlay) if pod.name == "flow-run"]
    for service in of_kind(overlay, "Service"):
        assert not service["spec"]["selector"].items() <= run.labels.items(), service["metadata"]["name"]


def test_network_policies_select_existing_pods(overlay, rendered):
    everyone = pods(overlay) + pods(rendered("smoke"))
    for policy in of_kind(overlay, "NetworkPolicy"):
        name, namespace = policy["metadata"]["name"], policy["metadata"]["namespace"]
        there = [pod for pod in everyone if pod.namespace == namespace]
        assert any(matches(policy["spec"]["podSelector"], pod) for pod in there), name
        rules = [*policy["spec"].get("ingress", []), *policy["spec"].get("egress", [])]
        for peer in (peer for rule in rules for peer in (*rule.get("from", []), *rule.get("to", []))):
            if "podSelector" in peer and "namespaceSelector" not in peer:
                assert any(matches(peer["podSelector"], pod) for pod in there), f"{name}: {peer}"


def test_every_allowed_egress_is_an_allowed_ingress(overlay, rendered):
    """Egress of one pod to another needs the other's ingress, at the same port."""
    everyone = pods(overlay) + pods(rendered("smoke"))
    policies = [p for p in of_kind(overlay, "NetworkPolicy") if p["metadata"]["namespace"] == "slipway"]
    incoming = {
        (source.name, target.name, port)
        for policy in policies
        for rule in policy["spec"].get("ingress", [])
        for target in everyone
        if matches(policy["spec"]["podSelector"], target)
        for peer in rule["from"]
        if "podSelector" in peer and "namespaceSelector" not in peer
        for source in everyone
        if matches(peer["podSelector"], source)
        for port in _numbers(rule["ports"], target)
    }
    outgoing = {
        (source.name, target.name, port)
        for policy in policies
        for rule in policy["spec"].get("egress", [])
        for source in everyone
        if matches(policy["spec"]["podSelector"], source)
        for peer in rule.get("to", [])
        if "podSelector" in peer and "namespaceSelector" not in peer
        for target in everyone
        if matches(peer["podSelector"], target)
        for port in _numbers(rule["ports"], target)
    }
    assert outgoing == incoming
    assert ("serving", "mlflow", 5000) in outgoing
    assert ("watch", "serving", 3000) in outgoing
    assert ("flow-run", "prefect", 4200) in outgoing


def _numbers(ports: list[dict], target: Pod) -> set[int]:
    by_name = {port["name"]: port["containerPort"] for c in target.containers for port in c.get("ports", [])}
    return {by_name.get(port["port"], port["port"]) for port in ports}


def test_all_traffic_is_denied_unless_a_policy_allows_it(overlay):
    for namespace in of_kind(overlay, "Namespace"):
        (deny,) = [
            policy
            for policy in of_kind(overlay, "NetworkPolicy")
            if policy["metadata"]["namespace"] == namespace["metadata"]["name"]
            and not policy["spec"]["podSelector"]
            and policy["metadata"]["name"] == "default-deny"
        ]
        assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_configuration_that_pods_name_exists(overlay):
    maps = {manifest["metadata"]["name"]: manifest["data"].keys() for manifest in of_kind(overlay, "ConfigMap")}
    for pod in pods(overlay):
        for name, key, optional in references(pod, "ConfigMap"):
            assert optional or name in maps, f"{pod.name}: {name}"
            assert optional or key is None or key in maps[name], f"{pod.name}: {name}/{key}"


def test_secrets_that_pods_name_are_those_that_the_readme_makes(manifests):
    for pod in pods(manifests):
        for name, key, _ in references(pod, "Secret"):
            assert key is None or key in SECRETS[name], f"{pod.name}: {name}/{key}"


def test_the_service_starts_without_its_secrets_and_reports_which_are_missing(overlay):
    (serving,) = [pod for pod in pods(overlay) if pod.name == "serving"]
    assert {name for name, _, _ in references(serving, "Secret")} >= {"slipway"}
    assert all(optional for _, _, optional in references(serving, "Secret"))


def test_claimed_volumes_exist_and_are_large_enough(overlay):
    claims = {claim["metadata"]["name"]: claim["spec"] for claim in of_kind(overlay, "PersistentVolumeClaim")}
    named = {
        v["persistentVolumeClaim"]["claimName"]
        for pod in pods(overlay)
        for v in pod.spec.get("volumes", [])
        if "persistentVolumeClaim" in v
    }
    assert named == claims.keys()
    volumes = {volume["spec"]["claimRef"]["name"]: volume["spec"] for volume in of_kind(overlay, "PersistentVolume")}
    for name, volume in volumes.items():
        assert claims[name]["storageClassName"] == volume["storageClassName"]
        assert claims[name]["resources"]["requests"]["storage"] == volume["capacity"]["storage"]
        assert claims[name]["accessModes"] == volume["accessModes"]


def test_settings_in_manifests_are_settings(manifests):
    """An unknown `SLIPWAY_…` ends each process at its start."""
    for pod in pods(manifests):
        for container in pod.containers:
            values = {"SLIPWAY_API_KEY": "k" * 16, "SLIPWAY_MASK_KEY": "m" * 16}
            for entry in container.get("envFrom", []):
                if "configMapRef" in entry and (maps := of_kind(manifests, "ConfigMap")):
                    values |= one(maps, "ConfigMap", entry["configMapRef"]["name"])["data"]
            values |= {entry["name"]: entry["value"] for entry in container.get("env", []) if "value" in entry}
            given = {name: value for name, value in values.items() if re.match("SLIPWAY_", name)}
            with mock.patch.dict(os.environ, given):
                settings.cache_clear()
                settings()
    settings.cache_clear()


@pytest.mark.parametrize("components", [(), ("load-balancer",)], ids=["base", "load-balancer"])
def test_a_pod_that_ends_has_the_time_for_all_that_it_does(with_components, components):
    manifests = with_components("local", *components)
    (serving,) = [pod for pod in pods(manifests) if pod.name == "serving"]
    (service,) = serving.spec["containers"]
    drain = float(one(manifests, "ConfigMap", "slipway")["data"]["SLIPWAY_DRAIN_SECONDS"])
    pre_stop = service["lifecycle"]["preStop"]["sleep"]["seconds"]
    to_ship = 30
    assert serving.spec["terminationGracePeriodSeconds"] >= pre_stop + GRACE_SECONDS + to_ship
    assert drain + settings().max_receive_seconds < GRACE_SECONDS
    # endpoints must have changed before the first connection is refused
    assert pre_stop >= 2
    assert drain >= service["readinessProbe"]["periodSeconds"]


def test_the_shipper_starts_first_and_ends_last(overlay):
    (serving,) = [pod for pod in pods(overlay) if pod.name == "serving"]
    sidecars = [(container["name"], container.get("restartPolicy")) for container in serving.spec["initContainers"]]
    assert sidecars == [("ship", "Always"), ("follow", "Always")]
    # whatever becomes of sidecars, the service is there: neither readiness nor start-up waits for them
    for container in serving.spec["initContainers"]:
        assert not {"readinessProbe", "startupProbe"} & container.keys()


def test_a_rollout_and_an_eviction_take_no_pod_before_there_is_another(overlay):
    serving = one(overlay, "Deployment", "serving")["spec"]
    assert serving["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    budget = one(overlay, "PodDisruptionBudget", "serving")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == serving["selector"]


@pytest.mark.parametrize(("name", "alias"), [("staging", "challenger"), ("production", "champion")])
def test_an_environment_follows_its_alias_and_keeps_nothing_on_a_node(rendered, name, alias):
    manifests = rendered(name)
    data = one(manifests, "ConfigMap", "slipway")["data"]
    assert (data["SLIPWAY_ENVIRONMENT"], data["SLIPWAY_ALIAS"]) == (name, alias)
    assert data["SLIPWAY_LOG_URL"].startswith("s3://")
    assert not of_kind(manifests, "PersistentVolumeClaim", "PersistentVolume")
    autoscaler = one(manifests, "HorizontalPodAutoscaler", "serving")["spec"]
    assert autoscaler["minReplicas"] == (3 if name == "production" else 2)
    assert "replicas" not in one(manifests, "Deployment", "serving")["spec"]


def test_production_names_images_by_digest_and_spreads_pods_over_zones(rendered):
    manifests = rendered("production")
    lasting = [pod for pod in pods(manifests) if pod.name != "flow-run"]
    images = [container["image"] for pod in lasting for container in pod.containers]
    (registers,) = one(manifests, "Deployment", "prefect-worker")["spec"]["template"]["spec"]["initContainers"]
    images += [entry["value"] for entry in registers["env"] if entry["name"] == "IMAGE"]  # of flow runs
    assert [image for image in images if not re.search(r"@sha256:[0-9a-f]{64}$", image)] == []
    spread = one(manifests, "Deployment", "serving")["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert [(s["topologyKey"], s["whenUnsatisfiable"]) for s in spread] == [
        ("topology.kubernetes.io/zone", "DoNotSchedule"),
        ("kubernetes.io/hostname", "ScheduleAnyway"),
    ]


@pytest.mark.parametrize("component", [name for name in COMPONENTS if name != "shared-storage"])
def test_every_component_can_be_added_to_local(with_components, component):
    assert pods(with_components("local", component))


def test_log_lines_of_the_service_and_its_follower_are_where_the_shipper_looks(with_components):
    serving = one(with_components("local", "log-lines"), "Deployment", "serving")["spec"]["template"]["spec"]
    containers = {each["name"]: each for each in [*serving["initContainers"], *serving["containers"]]}
    variable = {"name": "SLIPWAY_SPOOL_LOGS", "value": "true"}
    spooled = {name for name, each in containers.items() if variable in each["env"]}
    assert spooled == {"service", "follow"}
    shared = {"name": "var", "mountPath": "/var/lib/slipway"}
    assert all(shared in containers[name]["volumeMounts"] for name in spooled | {"ship"})


def test_the_gpu_component_requests_a_gpu_and_its_image(with_components):
    serving = one(with_components("local", "gpu"), "Deployment", "serving")["spec"]["template"]["spec"]
    (service,) = serving["containers"]
    assert service["image"] == "slipway-serving-gpu"
    assert service["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert serving["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert serving["nodeSelector"] == {"nvidia.com/gpu.present": "true"}


def test_metrics_are_not_exposed_by_the_ingress(with_components):
    paths = one(with_components("local", "ingress"), "Ingress", "serving")["spec"]["rules"][0]["http"]["paths"]
    assert not any("/metrics".startswith(path["path"]) for path in paths if path["pathType"] == "Prefix")
    assert "/metrics" not in [path["path"] for path in paths]
    settings_behind = one(with_components("local", "load-balancer"), "ConfigMap", "slipway")["data"]
    assert settings_behind["SLIPWAY_OPEN_METRICS"] == "false"


def test_the_ingress_has_the_limits_of_the_service(with_components):
    ingress = one(with_components("local", "ingress"), "Ingress", "serving")
    annotations = ingress["metadata"]["annotations"]
    body = annotations["nginx.ingress.kubernetes.io/proxy-body-size"]
    assert int(body.removesuffix("m")) << 20 == settings().body_limit(images=True)
    assert int(annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"]) > settings().max_receive_seconds
    assert ingress["spec"]["tls"]


def test_the_watch_sees_the_certificate_of_the_ingress_and_not_its_key(with_components):
    manifests = with_components("local", "ingress")
    [secret] = [tls["secretName"] for tls in one(manifests, "Ingress", "serving")["spec"]["tls"]]
    pod = one(manifests, "Deployment", "watch")["spec"]["template"]["spec"]
    [watch] = pod["containers"]
    [volume] = [volume for volume in pod["volumes"] if volume.get("secret", {}).get("secretName") == secret]
    [mount] = [mount for mount in watch["volumeMounts"] if mount["name"] == volume["name"]]
    [item] = volume["secret"]["items"]
    assert item["key"] == "tls.crt" and volume["secret"]["optional"]
    assert variables(watch)["SLIPWAY_TLS_CERTIFICATE"] == f"{mount['mountPath']}/{item['path']}"


def test_prefect_asks_for_a_login_that_only_the_cluster_and_its_page_have(manifests):
    for pod in pods(manifests):
        containers = [*pod.spec["containers"], *pod.spec.get("initContainers", [])]
        named = [env for container in containers for env in container.get("env", []) if "AUTH_STRING" in env["name"]]
        for env in named:
            if env["name"].endswith("API_AUTH_STRING"):
                assert env["valueFrom"]["secretKeyRef"]["key"] == "prefect-login", pod.name
        if pod.name == "prefect":
            [server] = named
            assert server["name"] == "PREFECT_SERVER_API_AUTH_STRING"
            assert "optional" not in server["valueFrom"]["secretKeyRef"]  # without it no server, instead of an open one
            values = {env["name"]: env.get("value") for env in containers[0]["env"]}
            assert "*" not in values["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"]
        if pod.name in ("prefect-worker", "watch"):
            assert named, pod.name


def variables(container: dict) -> dict[str, str | tuple[str, str, bool]]:
    """Map variables to their values; one from a Secret to its name, its key, and whether it may be missing."""
    found = {}
    for env in container.get("env", []):
        secret = env.get("valueFrom", {}).get("secretKeyRef")
        found[env["name"]] = (
            (secret["name"], secret["key"], secret.get("optional", False)) if secret else env.get("value")
        )
    return found


def test_mlflow_has_a_login_without_whose_secret_there_is_no_server(overlay):
    [mlflow] = [pod for pod in pods(overlay) if pod.name == "mlflow"]
    [server] = mlflow.spec["containers"]
    given = variables(server)
    assert given["SLIPWAY_MLFLOW_LOGIN"] == "true"
    assert given["MLFLOW_AUTH_ADMIN_PASSWORD"] == ("slipway-mlflow", "admin", False)
    [mounted] = [m for m in server["volumeMounts"] if m["mountPath"] == given["SLIPWAY_MLFLOW_USERS"]]
    [users] = [volume["secret"] for volume in mlflow.spec["volumes"] if volume["name"] == mounted["name"]]
    assert users["secretName"] == "slipway-mlflow" and not users.get("optional")
    assert {item["key"]: item["path"] for item in users["items"]} == {name: name for name in SERVICES}


@pytest.mark.parametrize(
    ("name", "container"), [("serving", "follow"), ("watch", "watch"), ("flow-run", "prefect-job")]
)
def test_each_client_of_mlflow_has_its_own_login_and_no_other(manifests, name, container):
    for pod in (pod for pod in pods(manifests) if pod.name in (*SERVICES, "prefect", "prefect-worker", "smoke")):
        secrets = {
            c["name"]: [s[1] for s in variables(c).values() if s and s[0] == "slipway-mlflow"] for c in pod.containers
        }
        if pod.name == name:
            assert secrets.pop(container) == [name]
            [client] = [c for c in pod.containers if c["name"] == container]
            given = variables(client)
            assert given["MLFLOW_TRACKING_USERNAME"] == name
            assert given["MLFLOW_TRACKING_PASSWORD"] == ("slipway-mlflow", name, True)
        if pod.name not in SERVICES or pod.name == name:
            assert not any(secrets.values()), pod.name
        for volume in pod.spec.get("volumes", []):
            assert volume.get("secret", {}).get("secretName") != "slipway-mlflow", pod.name


def test_the_docs_make_a_password_for_every_user_of_mlflow():
    page = (FOLDER.parents[1] / "docs" / "how-to" / "deploy-on-kubernetes.md").read_text()
    [made] = re.findall(r"for user in ([\w\- ]+); do", page)
    assert set(made.split()) == SECRETS["slipway-mlflow"] == {"admin", *SERVICES}
    assert "create secret generic slipway-mlflow --from-file=$secrets/mlflow" in page


def test_mlflow_runs_our_app_and_writes_its_audit_where_the_watch_reads_it(overlay):
    [mlflow] = [pod for pod in pods(overlay) if pod.name == "mlflow"]
    [watch] = [pod for pod in pods(overlay) if pod.name == "watch"]
    [server], [reader] = mlflow.spec["containers"], watch.spec["containers"]
    assert "--app-name=slipway" in server["args"]
    assert {"configMapRef": {"name": "slipway"}} in server["envFrom"]
    logs = [mount for mount in reader.get("volumeMounts", []) if mount["name"] == "log"]
    assert [mount for mount in server["volumeMounts"] if mount["name"] == "log"] == logs
    root = FOLDER.parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    [(name, app)] = project["entry-points"]["mlflow.app"].items()
    assert f"[mlflow.app]\\n{name} = {app}\\n" in (root / "infra" / "images" / "Dockerfile").read_text()
