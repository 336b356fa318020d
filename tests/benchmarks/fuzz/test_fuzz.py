"""Hostile requests over all routes: each is answered, none with a 5xx, and the server is ready all along."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.fuzz import clients, damaged_files, held_connections, mutated_responses
from benchmarks.fuzz.campaign import Answer, faults_of, neighbours, run, series, unknown_paths
from benchmarks.fuzz.requests import request
from benchmarks.fuzz.target import Target, UseCase
from slipway.system import files
from tests.support import bundles

SEED, REQUESTS, UNKNOWN_PATHS = 4, 10_000, 10_000  # `python -m benchmarks.fuzz` sends more
KINDS = 15
SERVING = {"deadline_ms": 20_000, "max_instances": 500}  # time is not what is tested, on a busy machine either
SETTINGS = {"SLIPWAY_MAX_BODY_BYTES": "1000000", "SLIPWAY_MAX_RECEIVE_SECONDS": "10"}


@pytest.mark.timeout(900)  # 15 s alone
def test_ten_thousand_hostile_requests_get_no_5xx_and_hurt_nobody(serve, var, tmp_path):
    for schema in (bundles.TABULAR, bundles.IMAGES, bundles.PRIVATE):
        bundles.promote(var, tmp_path / schema.usecase, schema, serving=SERVING)
    server = serve("loans", "shapes", "private_loans", workers=2, **SETTINGS)
    target, workers = Target.of(server.port), server.workers()
    found = run(target, SEED, REQUESTS)
    assert not found.failures, "\n".join(found.failures)
    assert found.sent >= REQUESTS
    assert len({kind for kind, _ in found.answers}) == KINDS, found.table()
    statuses = {status for _, status in found.answers}
    assert {200, 400, 404, 405, 413, 415, 422, 431} <= statuses

    shown = series(target)
    unknown_paths(target, UNKNOWN_PATHS)
    assert not series(target) - shown, "unknown paths made new series"
    assert not neighbours(target)
    assert server.workers() == workers, "a worker ended"
    assert "Traceback" not in server.log.read_text()


TARGET = Target(0, [UseCase("loans", bundles.ROWS["loans"], [{"name": "age", "kind": "number"}], {"label": "bad"})])


def test_a_request_can_be_made_again_from_its_seed_and_number():
    picture = UseCase("shapes", [{"image": {"b64": ""}}], [{"name": "image", "kind": "image"}], {"label": "star"})
    target = Target(0, [*TARGET.usecases, picture])
    first = [request(target, 1, number) for number in range(200)]
    assert first == [request(target, 1, number) for number in range(200)]
    assert first != [request(target, 2, number) for number in range(200)]


def test_a_connection_can_be_made_again_from_its_seed_and_number():
    first = [held_connections.case(TARGET, 1, number) for number in range(100)]
    assert first == [held_connections.case(TARGET, 1, number) for number in range(100)]
    assert len({case.kind for case in first}) == 9 and len({case.end for case in first}) == 4


def test_mutated_responses_are_read_or_refused():
    found = mutated_responses.run(SEED, 20)
    assert found.failures == [] and found.sent == 20
    assert {outcome for _, outcome in found.answers} == {"read", "refused"}


def test_a_client_that_fails_is_reported_with_the_seed_and_the_response(monkeypatch):
    read = clients.Read(lambda url: {}["missing"], {"a": 1})
    monkeypatch.setattr(mutated_responses, "READS", {"a client": read})
    found = mutated_responses.run(7, 1)
    name, content = mutated_responses.case(7, 0)
    assert found.failures == [f"seed 7, case 0 ({name}): KeyError 'missing'; received {content[:500]!r}"]


@pytest.mark.parametrize("number", range(40))
def test_a_damaged_file_is_restored_unless_somebody_mended_it(tmp_path, number):
    path, mended = tmp_path / "pointer.json", b'{"generation":2}'
    path.write_bytes(b'{"generation":1}')
    damage = damaged_files._damage(Random(number), "pointer.json", path)
    damage.do()
    if damage.content == damage.before:
        return
    assert damage.is_there()
    damage.undo()
    assert path.read_bytes() == damage.before
    damage.do()
    if not path.is_dir() or path.is_symlink():
        files.write_bytes(path, mended)
        assert not damage.is_there()
        damage.undo()
        assert path.read_bytes() == mended


FINE = b'{"status":422,"detail":"no","trace_id":"%b"}' % (b"0" * 32)
PROBLEM = {b"content-type": b"application/problem+json"}


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (Answer(422, PROBLEM, FINE), ""),
        (Answer(200, {}, b"{}"), ""),
        (Answer(500, PROBLEM, FINE), "answered 500"),
        (Answer(503, PROBLEM, FINE), "answered 503"),
        (Answer(307, {}, b""), "answered 307"),
        (Answer(200, {}, b"Traceback (most recent call last):"), "a stack trace"),
        (Answer(422, {b"content-type": b"text/plain"}, FINE), "came as"),
        (Answer(404, PROBLEM, FINE), "is no problem"),
        (Answer(422, PROBLEM, FINE.replace(b"0" * 32, b"")), "is no problem"),
        (Answer(422, PROBLEM, b"no"), "is no problem"),
    ],
)
def test_the_fuzzer_detects_wrong_answers(answer, fault):
    wrong = faults_of(answer)
    assert len(wrong) == bool(fault)
    assert fault in "".join(wrong)
