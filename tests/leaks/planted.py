"""The table of leaks: one a kind and layer, how it is planted, and which guard finds it."""

import base64
import hashlib
import hmac
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tests.controller.people import identity_code
from tests.leaks.clean import ADDRESS, CODE, COUNT, EMAIL, FULL_NAME, NAME, NOTE, PEOPLE, PHONE, RECORD, Staged
from transforms.controller.pseudonymise import permute

Plant = Callable[[Staged], None]


@dataclass(frozen=True)
class Leak:
    """One planted leak; `guard` is the name in transforms.controller.boundary that finds it."""

    kind: str
    layer: str
    guard: str
    plant: Plant

    @property
    def name(self) -> str:
        """For the test's report."""
        return f"{self.layer}: {self.kind}"


def area_name(text: str) -> Plant:
    """Write a text as the English name of a district, which is published, and so in every page and CSV."""
    return lambda staged: staged.put("area", "name_en", text)


def value(table: str, column: str, content: object) -> Plant:
    return lambda staged: staged.put(table, column, content)


def pseudonyms(make: Callable[[str], bytes]) -> Plant:
    def plant(staged: Staged) -> None:
        made = sorted(make(code) for code in PEOPLE["person_id"])
        staged.fill("person", "pseudonym", [*made])

    return plant


def rewritten(table: str, change: Callable[[pa.Table], pa.Table]) -> Plant:
    """Write a file with pyarrow, which keeps what Polars would not."""

    def plant(staged: Staged) -> None:
        path = staged.path(table)
        pq.write_table(change(pq.read_table(path)), path)

    return plant


def with_metadata(key: str) -> Plant:
    return rewritten("diagnosis", lambda rows: rows.replace_schema_metadata({key: f"x {NAME} x"}))


def with_field_metadata(rows: pa.Table) -> pa.Table:
    fields = [field.with_metadata({"comment": NAME}) if field.name == "code" else field for field in rows.schema]
    return rows.cast(pa.schema(fields))


def dictionary_residue(rows: pa.Table) -> pa.Table:
    """A slice of a dictionary array: the dictionary keeps the words of the rows that were cut off."""
    whole = pa.DictionaryArray.from_arrays(pa.array([0] + [1] * COUNT, pa.int32()), pa.array([NAME, "icd10"]))
    place = rows.schema.get_field_index("code_system")
    return rows.set_column(place, "code_system", whole.slice(1))


def renamed_column(name: str) -> Plant:
    return lambda staged: staged.change("diagnosis", lambda rows: rows.rename({"end_date": name}))


def renamed_file(staged: Staged) -> None:
    path = staged.path("diagnosis")
    path.rename(path.with_name(f"{NAME}.parquet"))


def other_writer(staged: Staged) -> None:
    path = staged.path("diagnosis")
    data = path.read_bytes()
    writer = b"parquet-cpp-arrow"
    assert data.count(writer) == 1
    path.write_bytes(data.replace(writer, FULL_NAME.encode()[: len(writer)].ljust(len(writer))))


def behind_the_pages(text: str) -> Plant:
    """Bytes between the last page and the footer, which no reader looks at."""

    def plant(staged: Staged) -> None:
        path = staged.path("diagnosis")
        data = path.read_bytes()
        footer = int.from_bytes(data[-8:-4], "little") + 8
        path.write_bytes(data[:-footer] + b"\0" + text.encode() + b"\0" + data[-footer:])

    return plant


def between_the_pages(staged: Staged) -> None:
    """A second file in front of the first: its pages are still there, and no reader looks at them."""
    path = staged.path("diagnosis")
    rows = pq.read_table(path)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, rows.schema, compression="zstd") as writer:
        sink.write(b"\0" * 4 + base64.b85encode(NOTE.encode()) * 60)
        writer.write_table(rows)
    path.write_bytes(sink.getvalue().to_pybytes())


def as_ipc(staged: Staged) -> None:
    """An Arrow file under a Parquet name: nulls there keep the value that they hide."""
    path = staged.path("person")
    rows = pl.read_parquet(path)
    rows.write_ipc(path)


def as_pickle(staged: Staged) -> None:
    path = staged.path("person")
    path.write_bytes(pickle.dumps(pl.read_parquet(path)))


def retyped(table: str, column: str, dtype: pl.DataType | type[pl.DataType]) -> Plant:
    return lambda staged: staged.change(table, lambda rows: rows.with_columns(pl.col(column).cast(dtype)))


def nested(staged: Staged) -> None:
    staged.change("diagnosis", lambda rows: rows.with_columns(code=pl.struct(code=pl.col("code"))))


def many_services(staged: Staged) -> None:
    rows = pl.concat([pl.read_parquet(staged.path("contact"))] * 60)
    word = pl.int_range(pl.len()).cast(pl.String).str.replace_many(list("0123456789"), list("kdqwxzvbnm"))
    more = rows.with_columns(service=pl.lit("kd") + word)
    staged.change("contact", lambda _: more)


def split(table: str, left: str, head: str, right: str, end: str) -> Plant:
    def plant(staged: Staged) -> None:
        staged.put(table, left, head)
        staged.put(table, right, end)

    return plant


def view(code: str) -> bytes:
    """The Arrow string view of an identity code: 16 bytes."""
    return len(code).to_bytes(4, "little") + code.encode() + b"\0"


def zero_key(code: str) -> bytes:
    return permute(np.frombuffer(view(code), dtype=np.uint8).reshape(1, 16), bytes(32)).tobytes()


RELATIVE = identity_code(date(2005, 3, 14))
"""Of nobody in the batch."""
DIGITS = CODE[:6] + CODE[7:10]
PHONE_DIGITS = PHONE.replace(" ", "").replace("+358", "0")
SPELLINGS = {
    "as it is": CODE,
    "in a sentence": f"see {CODE}, please",
    "lower case": CODE.lower(),
    "OID prefix": f"1.2.246.21.{CODE}",
    "en dash": CODE.replace("A", "–"),
    "minus sign": CODE.replace("A", "−"),
    "soft hyphen": CODE.replace("A", "\u00ad"),
    "inner space": f"{CODE[:6]} {CODE[6:]}",
    "spaces everywhere": " ".join(CODE),
    "full-width digits": CODE.translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)}),
    "Arabic digits": CODE.translate({ord("0") + digit: 0x0660 + digit for digit in range(10)}),
    "zero-width space": f"{CODE[:4]}\u200b{CODE[4:]}",
    "reversed": CODE[::-1],
    "hex": CODE.encode().hex(),
    "hex in capitals": CODE.encode().hex().upper(),
    "Base64": base64.b64encode(CODE.encode()).decode(),
    "Base64 without padding": base64.urlsafe_b64encode(CODE.encode()).decode().rstrip("="),
    "Base32": base64.b32encode(CODE.encode()).decode(),
    "URL": "".join(f"%{byte:02X}" for byte in CODE.encode()),
    "hex of UTF-16": CODE.encode("utf-16-le").hex(),
}
assert "A" in CODE

LEAKS = [
    *(Leak(f"identity code, {how}", "text value", "holds_identity_code", area_name(text))
      for how, text in SPELLINGS.items()),
    Leak("identity code", "code of a diagnosis", "ill_shaped", value("diagnosis", "code", CODE)),
    Leak("identity code", "term", "ill_shaped", value("diagnosis", "code_system", CODE)),
    Leak("identity code", "bytes behind the pages", "count_in_bytes", behind_the_pages(CODE)),
    Leak("identity code in UTF-16", "bytes behind the pages", "count_in_bytes", behind_the_pages("\0".join(CODE))),
    Leak("given name", "service", "kinds_of", value("contact", "service", NAME)),
    Leak("given name among words", "service", "kinds_of", value("contact", "service", f"visit_{NAME}")),
    Leak("given name in Base64", "service", "kinds_of",
         value("contact", "service", base64.b64encode(NAME.encode()).decode())),
    Leak("family name", "service", "kinds_of", value("contact", "service", "Wixöström")),
    Leak("given and family name", "district's name", "kinds_of", area_name(FULL_NAME)),
    Leak("family and given name", "district's name", "kinds_of", area_name("Wixöström, Quaxel")),
    Leak("telephone number", "SNOMED code", "kinds_of", value("contact", "code", PHONE_DIGITS)),
    Leak("telephone number, country code", "district's name", "kinds_of", area_name("00358-457-0000007")),
    Leak("e-mail address", "district's name", "kinds_of", area_name(EMAIL.upper())),
    Leak("street address", "district's name", "kinds_of", area_name(f"at {ADDRESS.upper()}")),
    Leak("note", "district's name", "kinds_of", area_name(NOTE)),
    Leak("record key of the source", "district's name", "kinds_of", area_name(RECORD)),
    Leak("e-mail address", "bytes behind the pages", "whole_kinds", behind_the_pages(EMAIL)),
    Leak("SHA-256 in hex", "district's name", "encoded_digests", area_name(hashlib.sha256(CODE.encode()).hexdigest())),
    Leak("MD5 in Base64", "district's name", "encoded_digests",
         area_name(base64.b64encode(hashlib.md5(CODE.encode()).digest()).decode())),
    *(Leak(f"{name} without a key", "pseudonym", "check_binary",
           pseudonyms(lambda code, name=name: hashlib.new(name, code.encode()).digest()[:16]))
      for name in ("md5", "sha1", "sha256", "sha512", "blake2b", "sha3_256")),
    Leak("HMAC with an empty key", "pseudonym", "check_binary",
         pseudonyms(lambda code: hmac.digest(b"", code.encode(), "sha256")[:16])),
    Leak("AES with a key of zeros", "pseudonym", "check_binary", pseudonyms(zero_key)),
    Leak("string view of the identifier", "pseudonym", "check_binary", pseudonyms(view)),
    Leak("identifier, padded", "pseudonym", "check_binary", pseudonyms(lambda code: code.encode().ljust(16, b"\0"))),
    Leak("SHA-1 at full length", "pseudonym", "check_binary",
         pseudonyms(lambda code: hashlib.sha1(code.encode()).digest())),
    Leak("SHA-256 of the source's record key", "record key", "check_binary",
         value("diagnosis", "record_key", hashlib.sha256(RECORD.encode()).digest()[:16])),
    Leak("SHA-256 of the identifier", "record key", "check_binary",
         value("diagnosis", "record_key", hashlib.sha256(CODE.encode()).digest()[:16])),
    Leak("telephone number", "number", "check_numbers", value("measurement", "value", float(PHONE_DIGITS))),
    Leak("digits of the identity code", "number", "check_numbers", value("measurement", "value", float(DIGITS))),
    Leak("digits of the identity code", "person number", "check_numbers",
         value("diagnosis", "person_number", int(DIGITS))),
    Leak("birthday as days supplied", "number", "check_numbers", value("medication", "days_supplied", int(CODE[:6]))),
    Leak("identity code of a relative, cut in two", "code and unit", "split_identity_codes",
         split("measurement", "code", RELATIVE[:4], "unit", RELATIVE[4:])),
    Leak("end of an identity code", "unit", "ends_identity_code", value("measurement", "unit", CODE[6:])),
    Leak("telephone number cut in two", "code and unit", "whole_kinds",
         split("measurement", "code", PHONE_DIGITS[:5], "unit", PHONE_DIGITS[5:])),
    Leak("free text", "unit", "ill_shaped", value("measurement", "unit", "called the son")),
    Leak("long text", "service", "ill_shaped", value("contact", "service", "x" * 41)),
    Leak("one value a person", "service", "most", many_services),
    Leak("district that no geography has", "area code", "ill_shaped", value("residence", "area_code", "7731")),
    Leak("value that no row has", "dictionary of a slice", "ill_shaped", rewritten("diagnosis", dictionary_residue)),
    Leak("name", "Parquet metadata", "check_metadata", with_metadata("origin")),
    Leak("name", "pandas metadata", "check_metadata", with_metadata("pandas")),
    Leak("name", "column metadata", "check_metadata", rewritten("diagnosis", with_field_metadata)),
    Leak("name", "writer's name", "check_metadata", other_writer),
    Leak("encoded note", "bytes between the pages", "check_metadata", between_the_pages),
    Leak("identity code", "column name", "check_types", renamed_column(CODE)),
    Leak("undeclared column", "columns", "check_types",
         lambda staged: staged.change("person", lambda rows: rows.with_columns(given_names=pl.lit(NAME)))),
    Leak("columns in another order", "columns", "check_types",
         lambda staged: staged.change("diagnosis", lambda rows: rows.select(sorted(rows.columns)))),
    Leak("number as text", "types", "check_types", retyped("measurement", "value", pl.String)),
    Leak("time of day", "types", "check_types", retyped("diagnosis", "event_date", pl.Datetime("us"))),
    Leak("column in a column", "types", "check_types", nested),
    Leak("name", "file name", "check_name", renamed_file),
    Leak("null-masked value", "Arrow file", "check_format", as_ipc),
    Leak("null-masked value", "pickle", "check_format", as_pickle),
]  # fmt: skip
