"""Story of one prediction: from its caller's request to what Kibana asks for it, under the caller's own `trace.id`."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from elk.kibana.conditions import query
from elk.kibana.data_views import EVERYTHING
from elk.kibana.searches import SEARCHES
from monitoring.search.prediction import find_predictions
from monitoring.search.results import Prediction
from monitoring.search.source_choice import Choice, ask
from scenarios.harness.waiting import until
from scenarios.observability.report import StoryStep
from slipway.clients.elasticsearch.connection import connect
from slipway.clients.http import HttpClient, Response
from slipway.errors import NotFound, ServiceError
from slipway.settings import settings

SHIPPED_SECONDS = 40.0
_SEARCH = next(search for search in SEARCHES if search.view is EVERYTHING)
_SINCE = timedelta(hours=1)
Features = Mapping[str, Any]


class PredictionStory:
    """The story of a row of a use case that is served at `url`, whose true label is known afterwards."""

    def __init__(self, usecase: str, url: str, row: Features, label: str) -> None:
        self.trace, self.key = secrets.token_hex(16), f"application-{secrets.token_hex(4)}"
        self._usecase, self._row, self._label = usecase, row, label
        headers = {"traceparent": f"00-{self.trace}-{secrets.token_hex(8)}-01", **settings().authorization}
        self._service = HttpClient(url, headers=headers, use_proxy=False)
        self._id = ""

    def tell(self) -> list[StoryStep]:
        """Take the steps; those after one that did not hold are left out."""
        steps: list[StoryStep] = []
        began = time.monotonic()
        for take in (
            self._predict,
            self._label_it,
            self._mistype,
            self._find,
            self._find_in_parquet,
            self._ask_as_kibana,
        ):
            step = replace(take(), seconds=time.monotonic() - began)
            steps.append(step)
            if not step.held:
                break
        return steps

    def _predict(self) -> StoryStep:
        response = self._post("predict", {"instances": [self._row], "keys": [self.key]})
        found = response.read(dict)["predictions"][0] if response.ok else {}
        self._id = str(found.get("id", ""))
        observed = f"the response has the id `{self._id}` and the label `{found.get('label')}`"
        what = f"A caller asks for a prediction, with `traceparent` of the trace `{self.trace}`"
        return StoryStep(what, observed, response.ok)

    def _label_it(self) -> StoryStep:
        response = self._post("feedback", {"feedback": [{"id": self._id, "label": self._label}]})
        return StoryStep("The caller sends the label of that id", f"status {response.status}", response.ok)

    def _mistype(self) -> StoryStep:
        response = self._post("predict", {"instances": [self._row]}, {"Authorization": "Bearer mistyped"})
        problem = response.read(dict) if response.status == HTTPStatus.UNAUTHORIZED else {}
        observed = f"status {response.status} with the same `trace_id`: {problem.get('detail', '').rstrip('.')}"
        return StoryStep("The caller mistypes its key", observed, problem.get("trace_id") == self.trace)

    def _find(self) -> StoryStep:
        return self._found(f"`slipway find {self._id}`", self._id, "elasticsearch")

    def _find_in_parquet(self) -> StoryStep:
        return self._found(f"`slipway find {self.key} --from parquet`", self.key, "parquet")

    def _found(self, what: str, text: str, choice: Choice) -> StoryStep:
        found = _eventually(lambda: self._search(text, choice))
        if found is None:
            return StoryStep(what, f"not found with its label and log line within {SHIPPED_SECONDS:.0f} s", False)
        event, label = found.events[0], found.label or {}
        observed = (
            f"version {event['version']} responded `{event['label']}` in {event['duration_ns'] / 1e6:.1f} ms, "
            f"its label is `{label.get('label')}`" + "".join(f"; logged: {line['message']}" for line in found.log_lines)
        )
        return StoryStep(what, observed, event["trace"] == self.trace and label.get("label") == self._label)

    def _search(self, text: str, choice: Choice) -> Prediction | None:
        """Find the prediction with its label and log line; None while one of them is not there yet."""
        since = datetime.now(UTC) - _SINCE
        try:
            found, *_ = ask(
                lambda source: find_predictions(source, text, settings(), since, self._usecase), settings(), choice
            )
        except (NotFound, ServiceError):  # such as a stream whose first shard is just being made
            return None
        newest = found.predictions[0]
        logged = newest.log_lines or choice == "parquet"  # which has none
        return newest if newest.id == self._id and newest.label and logged else None

    def _ask_as_kibana(self) -> StoryStep:
        """Send what Discover sends for the saved search, where somebody typed the id in quotation marks."""
        typed = {"multi_match": {"type": "phrase", "query": self._id, "lenient": True}}
        response = connect(settings()).search(
            index=_SEARCH.view.pattern,
            query={"bool": {"filter": [typed, query(_SEARCH.of)]}},
            sort=[{"@timestamp": "desc"}],
            size=500,
        )
        streams = sorted({hit["_index"].removeprefix(".ds-").rsplit("-", 2)[0] for hit in response["hits"]["hits"]})
        observed = f"{len(response['hits']['hits'])} documents of {', '.join(f'`{name}`' for name in streams)}"
        both = all(any(kind in name for name in streams) for kind in ("prediction", "feedback"))
        return StoryStep(f'In Kibana, the id in the saved search "{_SEARCH.title}"', observed, both)

    def _post(self, route: str, document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
        path = f"/v1/models/{self._usecase}/{route}"
        return self._service.request("POST", path, document=document, headers=headers)


def _eventually(probe: Callable[[], Prediction | None]) -> Prediction | None:
    found: list[Prediction] = []

    def is_there() -> bool:
        found.extend(filter(None, [probe()]))
        return bool(found)

    return found[0] if until(is_there, SHIPPED_SECONDS) else None
