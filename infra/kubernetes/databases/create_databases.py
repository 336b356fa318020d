"""Create the roles and databases that URLs name, as the administrator of their PostgreSQL server.

`create_databases.py LOGIN FOLDER`: LOGIN is a JSON file with `username` and `password`, as RDS keeps them in Secrets
Manager. FOLDER holds one URL a file, as MLflow and Prefect read them. The role of a URL owns its database, and nobody
else may connect to it. What is there stays; passwords become those of the URLs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import encrypt_password
from psycopg2.sql import SQL, Identifier, Literal
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

CONNECT_SECONDS = 30


class InvalidInputError(ValueError):
    """A file of the Job's Secrets cannot be used. The message says which, and never what is in it."""


def read_login(path: Path) -> tuple[str, str]:
    """Return name and password of the administrator."""
    try:
        login = json.loads(path.read_text())
        return login["username"], login["password"]
    except (ValueError, KeyError, TypeError):
        raise InvalidInputError(
            f"{path.name} of the Secret slipway-database-admin is not the JSON of RDS with username and password: "
            "copy the value of the secret that Terraform's output database.admin_secret_arn names"
        ) from None


def read_url(path: Path) -> URL:
    """Return the URL of one database, in which nothing is missing."""
    try:
        url = make_url(path.read_text().strip())
    except ArgumentError:
        url = URL.create("none")
    if not url.drivername.startswith("postgresql") or not all((url.username, url.password, url.host, url.database)):
        raise InvalidInputError(
            f"{path.name} of the Secret slipway-databases is no URL of PostgreSQL with user, password, host and "
            "database: postgresql://USER:PASSWORD@HOST:5432/DATABASE"
        )
    return url


def create_role(cursor: Any, url: URL) -> str:
    """Create the role of the URL or set its password, and return what was done."""
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (url.username,))
    verb, done = ("ALTER", "has its password") if cursor.fetchone() else ("CREATE", "is new")
    # Hashed here, so that the password is in no log of the server.
    hashed = encrypt_password(url.password, url.username, cursor, "scram-sha-256")
    cursor.execute(SQL(f"{verb} ROLE {{}} WITH LOGIN PASSWORD {{}}").format(Identifier(url.username), Literal(hashed)))
    return f"role {url.username} {done}"


def create_database(cursor: Any, url: URL) -> str:
    """Create the database of the URL, for its role alone, and return what was done."""
    database, role = Identifier(url.database), Identifier(url.username)
    cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (url.database,))
    is_there = cursor.fetchone() is not None
    if not is_there:
        # RDS' administrator is no superuser: it gives a database to a role whose member it is.
        cursor.execute(SQL("GRANT {} TO CURRENT_USER").format(role))
        cursor.execute(SQL("CREATE DATABASE {} OWNER {}").format(database, role))
    cursor.execute(SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    return f"database {url.database} {'is there' if is_there else 'is new'}"


def create(login: tuple[str, str], url: URL) -> list[str]:
    """Create role and database of one URL, and return what was done."""
    username, password = login
    connection = psycopg2.connect(
        host=url.host,
        port=url.port or 5432,
        dbname="postgres",
        user=username,
        password=password,
        sslmode="require" if {"sslmode", "ssl"} & url.query.keys() else "prefer",
        connect_timeout=CONNECT_SECONDS,
    )
    try:
        connection.autocommit = True  # databases are not created in transactions
        with connection.cursor() as cursor:
            return [create_role(cursor, url), create_database(cursor, url)]
    finally:
        connection.close()


def main(arguments: Sequence[str]) -> int:
    """Create what every file of the folder names, and return the exit code."""
    login_file, folder = map(Path, arguments)
    try:
        login = read_login(login_file)
        urls = [read_url(path) for path in sorted(folder.iterdir()) if path.is_file()]
        for url in urls:
            sys.stdout.write("\n".join(create(login, url)) + "\n")
    except (InvalidInputError, psycopg2.Error) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
