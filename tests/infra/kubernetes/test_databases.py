"""The script of the Job `databases` runs on a real PostgreSQL server, as an administrator who is no superuser."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
import pytest

from tests.infra.kubernetes.manifests import FOLDER
from tests.support.servers import free_port
from tests.support.waiting import until

SCRIPT = FOLDER / "databases" / "create_databases.py"
ADMIN = ("slipway", "the administrator's")
PASSWORD = "a/b@c:d%e f"  # what has to be quoted in a URL


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server; `ADMIN` creates roles and databases on it and is no superuser, as on RDS."""

    port: int

    @contextmanager
    def connected(self, user: str, password: str, database: str = "postgres") -> Iterator[Any]:
        """Yield a cursor of a new connection."""
        connection = psycopg2.connect(host="127.0.0.1", port=self.port, dbname=database, user=user, password=password)
        connection.autocommit = True
        try:
            yield connection.cursor()
        finally:
            connection.close()

    def is_up(self) -> bool:
        try:
            with self.connected("postgres", "superuser"):
                return True
        except psycopg2.OperationalError:
            return False

    def url(self, name: str, password: str = PASSWORD, driver: str = "postgresql") -> str:
        return f"{driver}://{name}:{quote(password, safe='')}@127.0.0.1:{self.port}/{name}"


@pytest.fixture(scope="module")
def server(needs: Callable[[str], Path]) -> Iterator[Server]:
    programs = needs("postgres").parent
    folder, found = Path(tempfile.mkdtemp(prefix="postgres-")), Server(free_port())
    (folder / "password").write_text("superuser")
    owner = {"user": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}  # it refuses to run as root
    for path in (folder, folder / "password") if owner else ():
        shutil.chown(path, "postgres")
    initdb = [f"{programs}/initdb", f"--pgdata={folder}/data", "--username=postgres", "--auth=scram-sha-256"]
    subprocess.run([*initdb, f"--pwfile={folder}/password", "--no-sync"], check=True, capture_output=True, **owner)
    command = [f"{programs}/postgres", "-D", f"{folder}/data", "-p", str(found.port), "-k", str(folder)]
    process = subprocess.Popen([*command, "-c", "fsync=off"], stderr=subprocess.DEVNULL, **owner)
    try:
        until(found.is_up, 60)
        with found.connected("postgres", "superuser") as cursor:
            cursor.execute("CREATE ROLE slipway LOGIN CREATEROLE CREATEDB PASSWORD %s", ADMIN[1:])
        yield found
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder)


@dataclass(frozen=True)
class Job:
    """The script with the files that the Job mounts."""

    folder: Path

    def run(self, login: object = None, **urls: str) -> subprocess.CompletedProcess[str]:
        databases = self.folder / "databases"
        shutil.rmtree(databases, ignore_errors=True)
        databases.mkdir()
        for name, url in urls.items():
            (databases / name).write_text(url)
        admin = self.folder / "login.json"
        admin.write_text(json.dumps(login or {"username": ADMIN[0], "password": ADMIN[1]}))
        command = [sys.executable, str(SCRIPT), str(admin), str(databases)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def test_each_url_gets_a_role_that_owns_its_database(server: Server, job: Job) -> None:
    driver = "postgresql+asyncpg"
    ran = job.run(mlflow=server.url("mlflow"), prefect=server.url("prefect_staging", driver=driver))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        "role mlflow is new",
        "database mlflow is new",
        "role prefect_staging is new",
        "database prefect_staging is new",
    ]
    with server.connected("mlflow", PASSWORD, "mlflow") as cursor:
        cursor.execute("CREATE TABLE runs (id int)")
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        server.connected("mlflow", PASSWORD, "prefect_staging").__enter__()


def test_a_second_run_keeps_the_tables_and_sets_the_password(server: Server, job: Job) -> None:
    assert job.run(again=server.url("again")).returncode == 0
    with server.connected("again", PASSWORD, "again") as cursor:
        cursor.execute("CREATE TABLE kept (id int)")
    ran = job.run(again=server.url("again", "another"))
    assert ran.stdout.splitlines() == ["role again has its password", "database again is there"]
    with server.connected("again", "another", "again") as cursor:
        cursor.execute("SELECT count(*) FROM kept")
        assert cursor.fetchone() == (0,)
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        server.connected("again", PASSWORD, "again").__enter__()


@pytest.mark.parametrize("url", ["", "sqlite:///mlflow.db", "postgresql://mlflow@127.0.0.1/mlflow", "secret://x:y@z/w"])
def test_a_url_that_lacks_something_is_named_and_not_shown(job: Job, url: str) -> None:
    ran = job.run(mlflow=url)
    assert ran.returncode == 1
    assert "mlflow of the Secret slipway-databases" in ran.stderr
    assert not url or url not in ran.stderr


def test_a_login_of_another_form_is_named_and_not_shown(job: Job) -> None:
    ran = job.run(login={"user": "admin", "pass": "hidden"}, mlflow="postgresql://a:b@127.0.0.1/c")
    assert ran.returncode == 1
    assert "login.json of the Secret slipway-database-admin" in ran.stderr
    assert "hidden" not in ran.stderr


def test_a_server_that_does_not_answer_ends_it_with_one_line(job: Job) -> None:
    ran = job.run(mlflow=f"postgresql://a:secret@127.0.0.1:{free_port()}/c")
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: connection to server") and "Traceback" not in ran.stderr
    assert "secret" not in ran.stderr
