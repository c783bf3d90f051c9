"""A real server: what may be asked of it, what is never told of it, and what is refused."""

import os
from dataclasses import replace
from pathlib import Path

import adbc_driver_manager
import polars as pl
import pytest

from flows import cli, run, settings, sources
from schemas import policy
from schemas.errors import PolicyRefused, SourceRefused
from tests.sources.population import AS_OF, invented
from tests.sources.postgresql_server import OWNER_PASSWORD, READER_PASSWORD, Server
from tests.sources.writers import write_feed
from transforms.sources import postgresql
from transforms.sources.feed import FeedSource
from transforms.sources.postgresql import PostgresqlSource, connected
from transforms.sources.postgresql_address import Address, parse_address
from transforms.sources.postgresql_schema import ddl, load_feed

PERSON = "CREATE SCHEMA s; CREATE TABLE s.person (person_id text, birth_date date);"
GRANT = "GRANT USAGE ON SCHEMA s TO caregap_reader; GRANT SELECT ON ALL TABLES IN SCHEMA s TO caregap_reader;"
CANARY = "Zyxwv"


@pytest.fixture
def database(server: Server, request: pytest.FixtureRequest) -> str:
    """An empty database of the test's own."""
    name = "t" + str(abs(hash(request.node.name)))
    server.run(f"CREATE DATABASE {name} TEMPLATE template0")
    return name


def reader(server: Server, database: str, options: str = "?schema=s") -> PostgresqlSource:
    address = parse_address(server.address("caregap_reader", database=database, options=options))
    return PostgresqlSource(replace(address, password=READER_PASSWORD), "opaque")


def rows_of(source: PostgresqlSource) -> dict[str, pl.DataFrame]:
    frames: dict[str, list[pl.DataFrame]] = {}
    for table, rows in source.batches():
        frames.setdefault(table, []).append(rows)
    return {table: pl.concat(parts) for table, parts in frames.items()}


def test_the_ddl_has_every_column_and_says_what_it_is(server: Server, database: str) -> None:
    server.run(ddl("city", "another_reader"), database)
    described = server.run(
        "SELECT count(*) FROM pg_description JOIN pg_class ON objoid = pg_class.oid "
        "WHERE relnamespace = 'city'::regnamespace AND objsubid > 0",
        database,
    )
    columns = server.run("SELECT count(*) FROM information_schema.columns WHERE table_schema = 'city'", database)
    assert described == columns
    assert int(columns) > 90


def test_views_and_columns_of_other_types_are_read(server: Server, database: str) -> None:
    """A DBA gives views over what is there: text, numerics, timestamps, codes of fixed width."""
    server.run(
        """CREATE SCHEMA s; CREATE TABLE raw (id uuid, born timestamptz, gender char(8), gone date, x text);
        INSERT INTO raw VALUES
            ('00000000-0000-0000-0000-000000000001', '1990-05-05 21:30+00', 'female', 'infinity', 'z');
        CREATE VIEW s.person AS
            SELECT id AS person_id, born AS birth_date, gender AS sex, gone AS death_date, x FROM raw;
        CREATE VIEW s.measurement AS SELECT id AS person_id, 'loinc'::varchar(9) AS code_system, '4548-4' AS code,
            '2026-01-02'::text AS event_date, 7.25::numeric(9, 3) AS value, 'mmol/mol' AS unit FROM raw;
        CREATE VIEW s.medication AS SELECT id AS person_id, 'atc' AS code_system, 'A10BA02' AS code,
            '2026-01-02'::date AS event_date, 90::smallint AS days_supplied, 1 AS is_retracted FROM raw;"""
        + GRANT,
        database,
    )
    source = reader(server, database)
    frames = rows_of(source)
    key = "00000000-0000-0000-0000-000000000001"
    # Half past nine in the evening by UTC is the next day in Helsinki; an end that is infinity has not come.
    assert frames["person"].rows() == [(key, pl.Series(["1990-05-06"]).str.to_date()[0], "female", None)]
    assert frames["measurement"].select("event_date", "value").rows() == [("2026-01-02", 7.25)]
    assert frames["medication"].select("days_supplied", "is_retracted").rows() == [(90, "1")]
    rules = {(remark.table, remark.column): remark.rule for remark in source.remarks()}
    assert rules["diagnosis", None] == "the table is not in the database"
    assert rules["person", "phone"] == "the column is not in the database"


def test_the_connection_cannot_write_whatever_the_role_may(server: Server, database: str) -> None:
    server.run(PERSON + "CREATE TABLE s.plain (a text)", database)
    address = parse_address(server.address(password=OWNER_PASSWORD, database=database))
    with connected(address.uri(None)) as connection, connection.cursor() as cursor:
        said = ""
        try:
            cursor.execute("INSERT INTO s.plain VALUES ('x')")
        except adbc_driver_manager.Error as error:
            said = str(error)
        assert "read-only" in said
    with connected(address.uri(None, writes=True)) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO s.plain VALUES ('x')")


def test_a_role_that_may_write_is_a_remark_and_a_reader_is_none(server: Server, database: str) -> None:
    server.run(PERSON + "INSERT INTO s.person VALUES ('1', '2000-01-01');" + GRANT, database)
    source = reader(server, database)
    rows_of(source)
    assert not [remark for remark in source.remarks() if "write" in remark.rule]
    owner = parse_address(server.address(password=OWNER_PASSWORD, database=database, options="?schema=s"))
    source = PostgresqlSource(owner, "opaque")
    rows_of(source)
    assert [remark.table for remark in source.remarks() if "write" in remark.rule] == ["person"]


def test_all_tables_are_of_one_moment(server: Server, database: str) -> None:
    visits = "CREATE TABLE s.contact (person_id text, event_date date, channel text);"
    server.run(PERSON + visits + "INSERT INTO s.person VALUES ('1', '2000-01-01');" + GRANT, database)
    batches = reader(server, database).batches()
    assert next(batches)[0] == "person"
    server.run("INSERT INTO s.contact VALUES ('1', '2026-01-01', 'visit')", database)
    assert list(batches) == []


@pytest.mark.parametrize(
    ("statements", "table", "column", "word"),
    [
        ("", "person", None, "missing"),
        ("CREATE SCHEMA s; CREATE TABLE s.person (person_id text);" + GRANT, "person", "birth_date", "required column"),
        (PERSON + "GRANT USAGE ON SCHEMA s TO caregap_reader", "person", None, "may not read"),
        (
            PERSON
            + f"CREATE VIEW s.diagnosis AS SELECT '{CANARY}' AS person_id, 'icd10' AS code_system, 'I10' AS code,"
            f" ('{CANARY}' || now())::date AS event_date;" + GRANT,
            "diagnosis",
            None,
            "cannot be read",
        ),
    ],
    ids=["no table", "no column", "no right", "a value that the server refuses"],
)
def test_what_cannot_be_read_is_refused_in_one_line(
    server: Server, database: str, statements: str, table: str, column: str | None, word: str
) -> None:
    if statements:
        server.run(statements, database)
    with pytest.raises(SourceRefused) as caught:
        rows_of(reader(server, database))
    assert (caught.value.table, caught.value.column, caught.value.exit_code) == (table, column, 10)
    assert word in caught.value.rule
    assert CANARY not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"password": "wrong" + CANARY}, "does not accept"),
        ({"password": ""}, "does not accept"),
        ({"database": "nowhere" + CANARY}, "no such database"),
        ({"port": "1"}, "cannot be reached"),
    ],
)
def test_a_connection_that_fails_says_why_without_the_address(
    server: Server, change: dict[str, str], word: str
) -> None:
    address = parse_address(server.address("caregap_reader", READER_PASSWORD))
    with pytest.raises(SourceRefused) as caught:
        rows_of(PostgresqlSource(replace(address, **change), "hetu"))
    assert word in caught.value.rule
    for secret in (READER_PASSWORD, CANARY, "caregap_reader", str(server.port)):
        assert secret not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_password_file_lets_in(server: Server, database: str, tmp_path: Path) -> None:
    server.run(PERSON + "INSERT INTO s.person VALUES ('1', '2000-01-01');" + GRANT, database)
    written = READER_PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    passfile = tmp_path / "pass"
    passfile.write_text(f"127.0.0.1:{server.port}:*:caregap_reader:{written}\n")
    passfile.chmod(0o600)
    address = parse_address(server.address("caregap_reader", database=database, options="?schema=s"))
    assert rows_of(PostgresqlSource(address, "opaque", passfile))["person"].height == 1


def test_a_server_that_goes_away_while_it_is_read_is_refused(server: Server, database: str) -> None:
    many = "CREATE TABLE s.contact AS SELECT '1'::text AS person_id, DATE '2020-01-01' AS event_date,"
    server.run(PERSON + many + " repeat('x', 500) AS channel FROM generate_series(1, 200000);" + GRANT, database)
    batches = reader(server, database).batches()
    assert next(batches)[0] == "contact"
    server.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{database}' AND usename = 'caregap_reader'"
    )
    with pytest.raises(SourceRefused, match="broke off"):
        list(batches)


def test_a_feed_that_does_not_fit_leaves_the_database_as_it_was(server: Server, database: str, tmp_path: Path) -> None:
    server.run("CREATE SCHEMA s; " + ddl("s", "some_reader").split("-- The role")[0], database)
    owner = parse_address(server.address(password=OWNER_PASSWORD, database=database, options="?schema=s"))
    folder = write_feed(invented(20), tmp_path / "feed")
    (folder / "vaccination.csv").write_text(
        "person_id,code_system,code,event_date\nx,cvx,03,2020-01-01\nx,cvx,03,soon\n"
    )
    for path in (folder / "vaccination").glob("*"):
        path.unlink()
    with pytest.raises(SourceRefused) as caught:
        load_feed(FeedSource(folder), owner, None)
    assert (caught.value.table, caught.value.column) == ("vaccination", "event_date")
    assert server.run("SELECT count(*) FROM s.person", database) == "0"


# Addresses


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://db.city.fi/care",
        "postgresql://user@db.city.fi:5433/care",
        "postgresql://user@[2001:db8::1]:5433/care",
        "postgresql://user@%2Frun%2Fpostgresql/care",
        "postgresql://a%40b@db.city.fi/care?schema=caregap&sslrootcert=%2Fetc%2Fca.crt",
    ],
)
def test_an_address_is_written_as_it_was_read(text: str) -> None:
    address = parse_address(text)
    assert parse_address(str(address)) == address
    assert str(address) == text


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "[::1]", "localhost", "%2Frun%2Fpostgresql", ""])
def test_only_this_machine_may_do_without_tls(host: str) -> None:
    assert "sslmode" not in parse_address(f"postgresql://u@{host}/d").uri(None)
    assert "sslmode=disable" in parse_address(f"postgresql://u@{host}/d?sslmode=disable").uri(None)


@pytest.mark.parametrize("host", ["db.city.fi", "10.0.0.1", "localhost.city.fi", "[2001:db8::1]", "127.0.0.1.city.fi"])
def test_a_network_is_crossed_with_tls_and_the_server_verified(host: str) -> None:
    assert "sslmode=verify-full" in parse_address(f"postgresql://u@{host}/d").uri(None)
    assert "sslmode=require" in parse_address(f"postgresql://u@{host}/d?sslmode=require").uri(None)
    for mode in ("disable", "allow", "prefer", ""):
        with pytest.raises(SourceRefused, match="TLS"):
            parse_address(f"postgresql://u@{host}/d?sslmode={mode}")


@pytest.mark.parametrize(
    "text",
    [
        "postgresql:",
        "postgresql://db.city.fi",
        "postgresql://u@127.0.0.1,db.city.fi/d",
        "postgresql://u@127.0.0.1/d?host=db.city.fi",
        "postgresql://u@127.0.0.1/d?hostaddr=10.0.0.1",
        "postgresql://u@127.0.0.1/d?options=-c%20default_transaction_read_only%3Doff",
        "postgresql://u@127.0.0.1/d?service=other",
        "postgresql://u@127.0.0.1:x/d",
        "postgresql://u@127.0.0.1/d?schema=a;DROP",
        f"postgresql://:{CANARY}@127.0.0.1/d",
        f"postgresql://u:{CANARY}@127.0.0.1/d?unknown=1",
    ],
)
def test_an_address_that_could_lead_elsewhere_is_refused(text: str) -> None:
    with pytest.raises(SourceRefused) as caught:
        parse_address(text)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("text", [f"postgresql://u:{CANARY}@h/d", f"postgresql://u@h/d?password={CANARY}"])
def test_the_password_is_in_nothing_that_is_shown(text: str) -> None:
    address = parse_address(text)
    assert address.password == CANARY
    for shown in (str(address), repr(address), address.public, f"{address}"):
        assert CANARY not in shown
    assert address.public == "postgresql://h/d"
    assert CANARY in address.uri(None)


def test_a_password_on_the_command_line_becomes_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_taken", {})
    clean = sources.without_password(f"postgresql://u:{CANARY}@127.0.0.1/d")
    assert clean == "postgresql://u@127.0.0.1/d"
    assert settings.take_secrets() == {"PGPASSWORD": CANARY}
    assert sources.described(clean) == "postgresql://127.0.0.1/d"
    assert sources.described("feed:/somewhere") == "feed"


def test_the_zones_of_a_run_are_given_no_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings, "_taken", {})
    given: list[str] = []
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")  # else the command would start one
    monkeypatch.setattr(run, "run_all", lambda *zones: given.extend(word for words in zones for word in words))
    address = f"postgresql://u:{CANARY}@127.0.0.1/d"
    assert cli.run(["run", "--source", address, "--as-of", "2026-10-31", "--data", str(tmp_path / "data")]) == 0
    assert "postgresql://u@127.0.0.1/d" in given
    assert CANARY not in str(given)
    assert settings.take_secrets() == {"PGPASSWORD": CANARY}


def test_the_environment_cannot_lead_to_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_taken", {})
    monkeypatch.setenv("PGHOSTADDR", "10.0.0.1")
    monkeypatch.setenv("PGOPTIONS", "-c default_transaction_read_only=off")
    monkeypatch.setenv("PGPASSWORD", CANARY)
    seen: list[Address] = []
    monkeypatch.setattr(sources, "PostgresqlSource", lambda address, *_: seen.append(address))
    sources.open_source("postgresql://u@127.0.0.1/d", AS_OF, sources.SourceOptions())
    assert not [name for name in os.environ if name.startswith("PG")]
    assert seen[0].password == CANARY


def test_a_server_outside_the_eea_stops_the_load(tmp_path: Path) -> None:
    text = policy.POLICY_FILE.read_text("utf-8")
    mine = '[source.postgresql]         # region: where the server stands\nregion = "FI"'
    assert mine in text
    (tmp_path / "policy.toml").write_text(text.replace(mine, mine.replace("FI", "US")))
    with pytest.raises(PolicyRefused, match=r"source\.postgresql"):
        policy.load_policy(tmp_path / "policy.toml").in_force(AS_OF)


def test_the_command_prints_statements_and_takes_plain_names_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["sources", "ddl", "--schema", "city"]) == 0
    assert "CREATE TABLE city.person (" in capsys.readouterr().out
    assert cli.run(["sources", "ddl", "--schema", "a; DROP"]) == 2
    assert cli.run(["sources", "ddl", "--role", 'a"']) == 2


def test_every_answer_of_libpq_has_words_of_our_own() -> None:
    assert all(word == word.lower() for word in postgresql._CONNECTING)
